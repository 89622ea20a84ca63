"""What this very program costs, and how long it has run: time, memory, descriptors, threads."""

from __future__ import annotations

import os
import time

from monitor.collect.files import KeptFile, Root
from monitor.model import Reading, key

_USER = key("process.cpu.time", state="user")
_SYSTEM = key("process.cpu.time", state="system")
_UPTIME = key("process.uptime", process="monitor")


class Own:
    """This program, from its own /proc/self: the root is the host's and makes no difference."""

    name = "own"
    interval_seconds = 5.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        del root
        self.note = ""
        self._stat = KeptFile("/proc/self/stat")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._ticks = os.sysconf("SC_CLK_TCK")

    def collect(self, now: float) -> Reading:
        """Read it."""
        del now
        raw = self._stat.read()
        fields = raw[raw.rfind(b")") + 2 :].split(None, 22)
        times = os.times()
        # Both count from the host's boot, suspensions included.
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / self._ticks
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count is wanted
        return Reading(
            {
                _USER: times.user,
                _SYSTEM: times.system,
                "process.memory.usage": float(int(fields[21]) * self._page_bytes),
                # One of them was the listing's own.
                "process.open_file_descriptors": float(descriptors - 1),
                "process.threads": float(int(fields[17])),
                _UPTIME: max(0.0, age),
            }
        )

    def close(self) -> None:
        """Give back the descriptor."""
        self._stat.close()
