"""Disks: /proc/diskstats, whole disks only.

Partitions are told from disks by /sys/block, which lists disks alone.  Shares, waits and
queues are of the time between two reads; a counter that went back (it wrapped at 32 bits, or
the disk was replaced) makes them NaN for once.  Columns: Documentation/admin-guide/iostats.rst.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from monitor.collect.files import KeptFile, Root, read_int
from monitor.collect.pace import Every
from monitor.collect.tokens import counts, label
from monitor.errors import Absent
from monitor.model import Reading, key

MOST_DISKS = 128
"""How many disks have series, the first in the kernel's order."""

KNOWN_SECONDS = 60.0
"""How often we ask again what a device of a known name is: names are given to others."""

_COLUMNS = 11
_SECTOR_BYTES = 512.0
_MILLISECONDS = 1e3
_NAN = float("nan")

_NEVER = (b"loop", b"ram", b"zram")
"""Devices made of a file or of memory: what they do is seen where it is done."""

_IF_USED = (b"fd", b"sr", b"nbd")
"""Drives that are most often empty: shown once they have done something."""

_PARTITION = re.compile(rb"(?:[hsv]|xv)d[a-z]+\d+|(?:nvme\d+n|mmcblk|md|nbd)\d+p\d+")
"""What a partition is called, where /sys cannot be asked."""


class Disk:
    """Traffic, operations, waits, queue and utilization of each disk."""

    name = "disk"
    interval_seconds = 0.0
    budget_seconds = 0.05

    def __init__(self, root: Root, clock: Callable[[], float] = time.monotonic) -> None:
        self.note = ""
        self._diskstats = KeptFile(root.proc("diskstats"), "no /proc/diskstats: no block devices")
        self._block = Path(root.sys("block"))
        self._clock = clock
        self._read_at = 0.0
        self._known: dict[bytes, _Disk | None] = {}
        self._known_due = Every(KNOWN_SECONDS)

    def collect(self, now: float) -> Reading:
        """Read /proc/diskstats.  Raises `ValueError` where it is not what the kernel writes."""
        content = self._diskstats.read()
        moment = self._clock()
        elapsed_ms = (moment - self._read_at) * _MILLISECONDS
        self._read_at = moment
        if self._known_due.due(now):
            self._ask_again()
        values: dict[str, float] = {}
        seen: dict[bytes, _Disk | None] = {}
        shown = left_out = 0
        for line in content.split(b"\n"):
            tokens = line.split(None, 3 + _COLUMNS)
            if not tokens:
                continue
            if len(tokens) < 3 + _COLUMNS:
                raise ValueError("a line of /proc/diskstats has too few columns")
            name = tokens[2]
            if name.startswith(_NEVER):
                continue
            disk = self._known[name] if name in self._known else self._disk(name)
            seen[name] = disk
            if disk is None:
                continue
            columns = counts(tokens[3 : 3 + _COLUMNS])
            if disk.only_if_used and not (columns[0] or columns[4]):
                continue
            if shown == MOST_DISKS:
                left_out += 1
                continue
            shown += 1
            disk.add(values, columns, elapsed_ms)
        self._known = seen
        self.note = f"{left_out} disks are left out" if left_out else ""
        if not shown:
            raise Absent("this machine has no disk that it can see")
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptor."""
        self._diskstats.close()

    def _disk(self, name: bytes) -> _Disk | None:
        """What a new name stands for: a disk, or none of our matter."""
        folder = self._folder(name)
        if folder is None:
            return None
        return _Disk(label(name), read_int(f"{folder}/queue/rotational"), name.startswith(_IF_USED))

    def _folder(self, name: bytes) -> Path | None:
        """The disk's folder in /sys; none where it is a partition."""
        # The kernel writes a name's slash as an exclamation mark there.
        entry = label(name).replace("/", "!")
        folder = self._block / entry
        if entry in (".", "..") or "\n" in entry:
            return None
        if os.access(folder, os.F_OK):
            return folder
        unlisted = not os.access(self._block, os.F_OK) and not _PARTITION.fullmatch(name)
        return folder if unlisted else None

    def _ask_again(self) -> None:
        for name, disk in list(self._known.items()):
            folder = self._folder(name)
            if (folder is None) != (disk is None):
                del self._known[name]
            elif disk is not None:
                disk.rotational = read_int(f"{folder}/queue/rotational")


@dataclass(slots=True)
class _Disk:
    """One disk: its KEYs and its last columns."""

    device: str
    rotational: int | None
    only_if_used: bool
    before: list[float] | None = None
    keys: tuple[str, ...] = field(init=False)
    rotational_key: str = field(init=False)

    def __post_init__(self) -> None:
        both = ("io", "operations", "merged", "operation_time", "await")
        one = ("io_time", "weighted_io_time", "pending_operations", "utilization", "queue")
        self.keys = (
            *(
                key(f"system.disk.{name}", device=self.device, direction=direction)
                for name in both
                for direction in ("read", "write")
            ),
            *(key(f"system.disk.{name}", device=self.device) for name in one),
        )
        self.rotational_key = key("system.disk.rotational", device=self.device)

    def add(self, values: dict[str, float], columns: list[float], elapsed_ms: float) -> None:
        """Add this disk's values, the differences from the columns of the last read among them."""
        reads, reads_merged, read_sectors, read_ms = columns[:4]
        writes, writes_merged, written_sectors, write_ms = columns[4:8]
        pending, busy_ms, weighted_ms = columns[8:]
        wait_read = wait_write = utilization = queue = _NAN
        if self.before is not None:
            grown = [late - early for early, late in zip(self.before, columns, strict=True)]
            wait_read = _mean_wait(grown[3], grown[0])
            wait_write = _mean_wait(grown[7], grown[4])
            if elapsed_ms > 0:
                utilization = min(1.0, grown[9] / elapsed_ms) if grown[9] >= 0 else _NAN
                queue = grown[10] / elapsed_ms if grown[10] >= 0 else _NAN
        self.before = columns
        row = (
            read_sectors * _SECTOR_BYTES,
            written_sectors * _SECTOR_BYTES,
            reads,
            writes,
            reads_merged,
            writes_merged,
            read_ms / _MILLISECONDS,
            write_ms / _MILLISECONDS,
            wait_read,
            wait_write,
            busy_ms / _MILLISECONDS,
            weighted_ms / _MILLISECONDS,
            pending,
            utilization,
            queue,
        )
        values.update(zip(self.keys, row, strict=True))
        if self.rotational is not None:
            values[self.rotational_key] = float(self.rotational)


def _mean_wait(grown_ms: float, operations: float) -> float:
    """Seconds an operation took on average; NaN where there were none or a counter went back."""
    if operations <= 0 or grown_ms < 0:
        return _NAN
    return grown_ms / operations / _MILLISECONDS
