"""Paging: swap traffic, block traffic, faults and out-of-memory kills, from /proc/vmstat."""

from __future__ import annotations

import time
from collections.abc import Callable

from monitor.collect.files import KeptFile, Root
from monitor.collect.oom import Kills
from monitor.collect.swapping import Churn
from monitor.collect.tokens import by_name
from monitor.model import Reading, key

_BYTES_PER_KIB = 1024.0

_COUNTERS = (
    (b"pswpin ", 1.0, key("system.paging.operations", direction="in")),
    (b"pswpout ", 1.0, key("system.paging.operations", direction="out")),
    # Kibibytes whatever the size of a page: the kernel halves a count of 512-byte sectors.
    (b"pgpgin ", _BYTES_PER_KIB, key("system.paging.io", direction="in")),
    (b"pgpgout ", _BYTES_PER_KIB, key("system.paging.io", direction="out")),
    (b"workingset_refault_file ", 1.0, key("system.paging.refaults", kind="file")),
    (b"workingset_refault_anon ", 1.0, key("system.paging.refaults", kind="anonymous")),
    (b"oom_kill ", 1.0, "system.memory.oom_kills"),
)
_FAULTS = (b"pgmajfault ", b"pgfault ")
_PREFIXES = (*_FAULTS, *(prefix for prefix, _, _ in _COUNTERS))
_SWAPPED_IN = key("system.paging.operations", direction="in")
_SWAPPED_OUT = key("system.paging.operations", direction="out")
_KILLS = "system.memory.oom_kills"
_KILLS_BY_KIND = (key(_KILLS, kind="system"), key(_KILLS, kind="group"))
_MAJOR = key("system.paging.faults", kind="major")
_MINOR = key("system.paging.faults", kind="minor")


class Paging:
    """Pages swapped, bytes paged, faults by kind, processes killed for want of memory."""

    name = "paging"
    interval_seconds = 0.0
    budget_seconds = 0.05

    def __init__(self, root: Root, clock: Callable[[], float] = time.monotonic) -> None:
        self.note = ""
        self._vmstat = KeptFile(root.proc("vmstat"))
        self._churn = Churn(root)
        self._kills = Kills(root)
        self._clock = clock

    def collect(self, now: float) -> Reading:
        """Read /proc/vmstat.  Raises `ValueError` where it is not what the kernel writes."""
        del now
        major, all_faults, *counters = by_name(self._vmstat.read(), _PREFIXES)
        if major is None or all_faults is None:
            raise ValueError("/proc/vmstat does not count page faults")
        values = {_MAJOR: major, _MINOR: all_faults - major}
        for (_, scale, text), value in zip(_COUNTERS, counters, strict=True):
            if value is not None:
                values[text] = value * scale
        moment = self._clock()
        swapped = values.get(_SWAPPED_IN, 0.0) + values.get(_SWAPPED_OUT, 0.0)
        if (churn := self._churn.ratio(swapped, moment)) is not None:
            values["system.paging.churn"] = churn
        killed = values.get(_KILLS)
        if killed is not None and (told := self._kills.tell(killed, moment)) is not None:
            values.update(zip(_KILLS_BY_KIND, told, strict=True))
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptor."""
        self._vmstat.close()
