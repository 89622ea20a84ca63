"""Pressure stall information: /proc/pressure, one file a resource.

Kernels before 5.13 have no ``full`` line for the processor, and only some have ``irq``; what
does not exist is left out.  Shares are ratios here and percents in the files; the total is in
microseconds.
"""

from __future__ import annotations

import errno
import math

from monitor.collect.files import KeptFile, Root
from monitor.collect.tokens import count
from monitor.errors import Absent
from monitor.model import Reading, key

RESOURCES = ("cpu", "memory", "io", "irq")
KINDS = ("some", "full")

_COLUMNS = (
    (b"avg10", "system.linux.pressure"),
    (b"avg60", "system.linux.pressure.avg60"),
    (b"avg300", "system.linux.pressure.avg300"),
)
_KEYS = {
    (resource, kind.encode()): (
        *(key(name, kind=kind, resource=resource) for _, name in _COLUMNS),
        key("system.linux.pressure.time", kind=kind, resource=resource),
    )
    for resource in RESOURCES
    for kind in KINDS
}
_MISSING = "this kernel offers no pressure stall information: boot with psi=1"
_SWITCHED_OFF = "pressure stall information is switched off: boot with psi=1"
_PERCENT = 100.0
_MICROSECONDS = 1e6


class Pressure:
    """How much of the time tasks waited for the processor, memory, input/output, interrupts."""

    name = "pressure"
    interval_seconds = 0.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._files = [
            (resource, KeptFile(root.proc(f"pressure/{resource}"), _MISSING))
            for resource in RESOURCES
        ]

    def collect(self, now: float) -> Reading:
        """Read each file.  Raises `Absent` where the kernel does not measure pressure."""
        del now
        values: dict[str, float] = {}
        absences: list[Absent] = []
        for resource, file in self._files:
            try:
                content = file.read()
            except Absent as absent:
                absences.append(absent)
                continue
            except OSError as error:
                # The files exist on a kernel whose accounting is off, and refuse to be read;
                # those of interrupts alone, where interrupt time is not accounted.
                if error.errno != errno.EOPNOTSUPP:
                    raise
                absences.append(Absent(_SWITCHED_OFF))
                continue
            _add(values, resource, content)
        if not values:
            raise absences[0] if absences else Absent(_MISSING)
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptors."""
        for _, file in self._files:
            file.close()


def _add(values: dict[str, float], resource: str, content: bytes) -> None:
    """Add one file's lines.  Raises `ValueError` where it is not what the kernel writes."""
    lines = content.split(b"\n")
    if len(lines) > len(KINDS) + 1:
        raise ValueError(f"/proc/pressure/{resource} has more lines than kinds")
    for line in filter(None, lines):
        kind, *pairs = line.split()
        keys = _KEYS.get((resource, kind))
        if keys is None or len(pairs) != len(_COLUMNS) + 1:
            raise ValueError(f"a line of /proc/pressure/{resource} is not the kernel's")
        *averages, total = (pair.partition(b"=")[2] for pair in pairs)
        for text, average in zip(keys, averages, strict=False):
            ratio = float(average) / _PERCENT
            if not math.isfinite(ratio):
                raise ValueError(f"an average of /proc/pressure/{resource} is no number")
            values[text] = ratio
        values[keys[-1]] = count(total) / _MICROSECONDS
