"""Errors of memory modules: the counts of the kernel's EDAC drivers, a memory controller each.

Format: Documentation/driver-api/edac.rst and Documentation/ABI/testing/sysfs-devices-edac.
"""

from __future__ import annotations

import os

from monitor.collect.files import Root, read_int
from monitor.collect.tokens import label
from monitor.errors import Absent
from monitor.model import Reading, key

MOST_CONTROLLERS = 64
"""How many memory controllers are read."""

_FILES = (("uncorrectable", "ue_count"), ("corrected", "ce_count"))


class Edac:
    """Errors that were corrected, and those that could not be, of each memory controller."""

    name = "edac"
    interval_seconds = 60.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._directory = root.sys("devices/system/edac/mc")

    def collect(self, now: float) -> Reading:
        """Read them.  Raises `Absent` where no driver counts errors."""
        del now
        try:
            names = os.listdir(self._directory)  # noqa: PTH208 - names are wanted
        except OSError:
            names = []
        controllers = sorted(name for name in names if name.startswith("mc") and name[2:].isdigit())
        values: dict[str, float] = {}
        for name in controllers[:MOST_CONTROLLERS]:
            device = label(os.fsencode(name))
            for kind, file in _FILES:
                count = read_int(f"{self._directory}/{name}/{file}")
                if count is not None and 0 <= count < 2**63:
                    values[key("hw.memory.errors", device=device, kind=kind)] = float(count)
        if not values:
            raise Absent("no driver of this machine counts errors of its memory modules")
        return Reading(values)

    def close(self) -> None:
        """Nothing is kept."""
