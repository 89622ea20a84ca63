"""Clock frequency of each processor: cpufreq in /sys, else /proc/cpuinfo.

Many virtual machines have no cpufreq, and many ARM machines have no ``cpu MHz`` either; there
the subject is absent.  Read seldom: some kernels wake every processor to answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from monitor.collect.files import Root, read, read_int
from monitor.collect.pace import Every
from monitor.errors import Absent
from monitor.model import Reading, key

MOST_PROCESSORS = 1024
"""How many processors are asked."""

LOOK_SECONDS = 60.0
"""How often we look for a cpufreq that was missing: its driver may be loaded later."""

_HERTZ_PER_KILOHERTZ = 1e3
_HERTZ_PER_MEGAHERTZ = 1e6


class Frequency:
    """``system.cpu.frequency`` of each processor, in hertz."""

    name = "frequency"
    interval_seconds = 5.0
    budget_seconds = 0.5

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._folder = Path(root.sys("devices/system/cpu"))
        self._cpuinfo = root.proc("cpuinfo")
        self._keys: dict[int, str] = {}
        self._has_cpufreq = False
        self._look_due = Every(LOOK_SECONDS)

    def collect(self, now: float) -> Reading:
        """Ask each processor.  Raises `Absent` where no file tells the frequency."""
        hertz: dict[int, float] = {}
        if self._has_cpufreq or self._look_due.due(now):
            hertz = self._from_cpufreq()
            self._has_cpufreq = bool(hertz)
        hertz = hertz or self._from_cpuinfo()
        if not hertz:
            raise Absent("neither cpufreq nor /proc/cpuinfo tells the processors' frequency")
        return Reading({self._key(number): value for number, value in hertz.items()})

    def close(self) -> None:
        """Nothing is kept open."""

    def _bounded(self, numbers: Iterable[int]) -> list[int]:
        """The first of these processors, with a note of how many are left out."""
        ordered = sorted(numbers)
        left_out = len(ordered) - MOST_PROCESSORS
        self.note = f"{left_out} processors are left out" if left_out > 0 else ""
        return ordered[:MOST_PROCESSORS]

    def _key(self, number: int) -> str:
        found = self._keys.get(number)
        if found is None:
            found = key("system.cpu.frequency", cpu=str(number))
            if len(self._keys) < MOST_PROCESSORS:
                self._keys[number] = found
        return found

    def _from_cpufreq(self) -> dict[int, float]:
        try:
            names = [entry.name for entry in self._folder.iterdir()]
        except OSError:
            return {}
        numbers = {
            int(name[3:])
            for name in names
            if name.startswith("cpu") and name[3:].isascii() and name[3:].isdigit()
        }
        found: dict[int, float] = {}
        for number in self._bounded(numbers):
            kilohertz = read_int(f"{self._folder}/cpu{number}/cpufreq/scaling_cur_freq")
            if kilohertz is not None and kilohertz > 0:
                found[number] = kilohertz * _HERTZ_PER_KILOHERTZ
        return found

    def _from_cpuinfo(self) -> dict[int, float]:
        try:
            lines = read(self._cpuinfo).split(b"\n")
        except PermissionError:
            raise Absent(f"no permission to read {self._cpuinfo}") from None
        except OSError:
            return {}
        found: dict[int, float] = {}
        number = -1
        for line in lines:
            if line.startswith(b"processor"):
                number = int(line.partition(b":")[2])
            elif line.startswith(b"cpu MHz"):
                megahertz = float(line.partition(b":")[2])
                if number >= 0 and math.isfinite(megahertz) and megahertz > 0:
                    found[number] = megahertz * _HERTZ_PER_MEGAHERTZ
        return {number: found[number] for number in self._bounded(found)}
