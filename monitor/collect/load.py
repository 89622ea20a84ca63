"""Load averages and the number of tasks: /proc/loadavg.

The most tasks that can exist is the smaller of the kernel's two limits; a control group's own
limit is that group's matter.
"""

from __future__ import annotations

import math

from monitor.collect.files import KeptFile, Root, read_int
from monitor.collect.pace import Every
from monitor.collect.tokens import count
from monitor.model import Reading

LIMITS_SECONDS = 10.0
"""How often the limits are read again: only an administrator changes them."""

_AVERAGES = (
    "system.cpu.load_average.1m",
    "system.cpu.load_average.5m",
    "system.cpu.load_average.15m",
)


class Load:
    """Load averages, tasks, and the share of the most tasks that can exist."""

    name = "load"
    interval_seconds = 0.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._loadavg = KeptFile(root.proc("loadavg"))
        self._limit_files = (root.proc("sys/kernel/pid_max"), root.proc("sys/kernel/threads-max"))
        self._limits_due = Every(LIMITS_SECONDS)
        self._limit: float | None = None

    def collect(self, now: float) -> Reading:
        """Read /proc/loadavg.  Raises `ValueError` where it is not what the kernel writes."""
        tokens = self._loadavg.read().split()
        if len(tokens) < 4:  # three averages, then running/all
            raise ValueError("/proc/loadavg has fewer than four columns")
        values = dict(zip(_AVERAGES, map(float, tokens), strict=False))
        if not all(map(math.isfinite, values.values())):
            raise ValueError("a load average in /proc/loadavg is no number")
        tasks = count(tokens[3].partition(b"/")[2])
        values["system.tasks.count"] = tasks
        if self._limits_due.due(now):
            self._limit = self._read_limit()
        if self._limit is not None:
            values["system.tasks.limit"] = self._limit
            values["system.tasks.utilization"] = tasks / self._limit
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptor."""
        self._loadavg.close()

    def _read_limit(self) -> float | None:
        found = [limit for limit in map(read_int, self._limit_files) if limit and limit > 0]
        return float(min(found)) if found else None
