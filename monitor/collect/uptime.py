"""How long the host has been up: /proc/uptime, and the instant of its boot from /proc/stat."""

from __future__ import annotations

import math

from monitor.collect.files import KeptFile, Root
from monitor.collect.pace import Every
from monitor.model import Reading

BOOT_SECONDS = 60.0
"""How often the instant of boot is read: it moves only where the clock is set."""


class Uptime:
    """Seconds since boot, and when that was."""

    name = "uptime"
    interval_seconds = 0.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._uptime = KeptFile(root.proc("uptime"))
        self._stat = KeptFile(root.proc("stat"))
        self._boot_due = Every(BOOT_SECONDS)
        self._boot = math.nan

    def collect(self, now: float) -> Reading:
        """Read it.  Raises `ValueError` where it is not what the kernel writes."""
        fields = self._uptime.read().split(None, 1)
        if not fields:
            raise ValueError("/proc/uptime is empty")
        if self._boot_due.due(now):
            self._boot = _boot_time(self._stat.read())
        return Reading({"system.uptime": float(fields[0]), "system.boot_time": self._boot})

    def close(self) -> None:
        """Give back the descriptors."""
        self._uptime.close()
        self._stat.close()


def _boot_time(stat: bytes) -> float:
    at = stat.find(b"\nbtime ")
    fields = stat[at + 7 : at + 40].split(None, 1) if at >= 0 else []
    return float(int(fields[0])) if fields else math.nan
