"""Memory and swap: /proc/meminfo, and the reclaimable cache of ZFS.

``used`` is the total less what is available, as procps 4 prints it.  The kernel does not count
the ARC of ZFS as available although it gives it back under pressure; the utilization does.
"""

from __future__ import annotations

from monitor.collect.files import KeptFile, Root
from monitor.collect.tokens import by_name, count
from monitor.errors import Absent
from monitor.model import Reading, key

_BYTES_PER_KIB = 1024.0

_STATES = (
    ("buffers", b"Buffers:"),
    ("cached", b"Cached:"),
    ("shared", b"Shmem:"),
    ("slab", b"Slab:"),
    ("slab_reclaimable", b"SReclaimable:"),
    ("slab_unreclaimable", b"SUnreclaim:"),
    ("active", b"Active:"),
    ("inactive", b"Inactive:"),
    ("dirty", b"Dirty:"),
    ("writeback", b"Writeback:"),
    ("anonymous", b"AnonPages:"),
    ("mapped", b"Mapped:"),
    ("page_tables", b"PageTables:"),
    ("kernel_stack", b"KernelStack:"),
    ("unevictable", b"Unevictable:"),
    ("locked", b"Mlocked:"),
    ("swap_cached", b"SwapCached:"),
    ("committed", b"Committed_AS:"),
    ("hugepages", b"Hugetlb:"),
)
"""States that are one line of /proc/meminfo each; a kernel without the line has no such state.

`cached` is that line and what of the slab can be reclaimed, as free and psutil have it.
"""

_TOTALS = (b"MemTotal:", b"MemFree:", b"MemAvailable:", b"SwapTotal:", b"SwapFree:")
_PREFIXES = (*_TOTALS, *(prefix for _, prefix in _STATES))
_OLD_HUGEPAGES = (b"HugePages_Total:", b"Hugepagesize:")
_ARC = (b"size ", b"c_min ")

_STATE_KEYS = {
    state: key("system.memory.usage", state=state)
    for state in ("used", "free", "available", "arc_reclaimable", *(name for name, _ in _STATES))
}
_PLAIN_KEYS = tuple(_STATE_KEYS[state] for state, _ in _STATES)
_SWAP_USED = key("system.paging.usage", state="used")
_SWAP_FREE = key("system.paging.usage", state="free")


class Memory:
    """Memory in each state, its limit and utilization, and the same of swap."""

    name = "memory"
    interval_seconds = 0.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._meminfo = KeptFile(root.proc("meminfo"))
        self._arcstats = KeptFile(root.proc("spl/kstat/zfs/arcstats"))

    def collect(self, now: float) -> Reading:
        """Read /proc/meminfo.  Raises `ValueError` where it is not what the kernel writes."""
        del now
        content = self._meminfo.read()
        found = by_name(content, _PREFIXES)
        total, free, available, swap_total, swap_free = found[: len(_TOTALS)]
        if not total or total < 0 or free is None:
            raise ValueError("/proc/meminfo has no total or no free memory")
        if available is None or available > total:
            # As procps: a kernel before 3.14 does not say, and a container's may say nonsense.
            available = free
        values = {
            _STATE_KEYS["used"]: (total - available) * _BYTES_PER_KIB,
            _STATE_KEYS["free"]: free * _BYTES_PER_KIB,
            _STATE_KEYS["available"]: available * _BYTES_PER_KIB,
        }
        for text, value in zip(_PLAIN_KEYS, found[len(_TOTALS) :], strict=True):
            if value is not None:
                values[text] = value * _BYTES_PER_KIB
        if (cached := values.get(_STATE_KEYS["cached"])) is not None:
            values[_STATE_KEYS["cached"]] = cached + values.get(_STATE_KEYS["slab_reclaimable"], 0)
        if _STATE_KEYS["hugepages"] not in values:
            _add_old_hugepages(values, content)
        reclaimable = self._reclaimable_arc()
        if reclaimable is not None:
            values[_STATE_KEYS["arc_reclaimable"]] = reclaimable
        taken = (total - available) * _BYTES_PER_KIB - (reclaimable or 0.0)
        values["system.memory.limit"] = total * _BYTES_PER_KIB
        values["system.memory.utilization"] = max(0.0, taken / (total * _BYTES_PER_KIB))
        if swap_total and swap_total > 0 and swap_free is not None:
            values[_SWAP_USED] = (swap_total - swap_free) * _BYTES_PER_KIB
            values[_SWAP_FREE] = swap_free * _BYTES_PER_KIB
            values["system.paging.utilization"] = (swap_total - swap_free) / swap_total
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptors."""
        self._meminfo.close()
        self._arcstats.close()

    def _reclaimable_arc(self) -> float | None:
        """Bytes of the ARC above its least size, or none where there is no ZFS."""
        try:
            content = self._arcstats.read()
        except Absent:
            return None
        # A line is a name, a type and the number; the type of these two is always 4 (uint64).
        size, least = (_third_column(content, prefix) for prefix in _ARC)
        return None if size is None or least is None else max(0.0, size - least)


def _third_column(content: bytes, prefix: bytes) -> float | None:
    at = (b"\n" + content).find(b"\n" + prefix)
    if at < 0:
        return None
    columns = content[at:].partition(b"\n")[0].split()
    if len(columns) != 3:
        raise ValueError("a line of ZFS's arcstats has other than three columns")
    return count(columns[2])


def _add_old_hugepages(values: dict[str, float], content: bytes) -> None:
    """Huge pages of the default size, all that a kernel before 4.16 tells."""
    pages, size = by_name(content, _OLD_HUGEPAGES)
    if pages is not None and size is not None:
        values[_STATE_KEYS["hugepages"]] = pages * size * _BYTES_PER_KIB
