"""Software RAID: /proc/mdstat.

An array's first line names its members, ``sdb1[1](F)`` one that failed, ``(S)`` a spare; the
second says ``[required/active]``.  Arrays without redundancy (raid0, linear) have no such
figure: what they have is what they need.  An inactive array is degraded, for it serves
nobody.
"""

from __future__ import annotations

import re

from monitor.collect.files import KeptFile, Root
from monitor.collect.tokens import label
from monitor.errors import Absent
from monitor.model import Reading, key

MOST_ARRAYS = 256
"""How many arrays have series."""

_ARRAY = re.compile(rb"(\S+) : (active|inactive)\b(.*)")
_MEMBER = re.compile(rb"\S+\[\d{1,9}\]((?:\([A-Z]\))*)")
_COUNTS = re.compile(rb"\[(\d{1,9})/(\d{1,9})\]")


class Raid:
    """Members of each array, and whether it is degraded."""

    name = "raid"
    interval_seconds = 10.0
    budget_seconds = 0.05

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._mdstat = KeptFile(root.proc("mdstat"), "this kernel has no software RAID")

    def collect(self, now: float) -> Reading:
        """Read it.  Raises `Absent` where there is no array."""
        del now
        arrays = _arrays(self._mdstat.read())
        if not arrays:
            raise Absent("there is no software RAID")
        left_out = len(arrays) - MOST_ARRAYS
        self.note = f"{left_out} arrays have no series" if left_out > 0 else ""
        values: dict[str, float] = {}
        for device, (required, active, failed, spare, degraded) in arrays[:MOST_ARRAYS]:
            states = {"required": required, "active": active, "failed": failed, "spare": spare}
            for state, count in states.items():
                values[key("system.linux.raid.devices", device=device, state=state)] = count
            values[key("system.linux.raid.degraded", device=device)] = degraded
        return Reading(values)

    def close(self) -> None:
        """Give back the descriptor."""
        self._mdstat.close()


_Counts = tuple[float, float, float, float, float]


def _arrays(content: bytes) -> list[tuple[str, _Counts]]:
    found: list[tuple[str, _Counts]] = []
    lines = content.split(b"\n")
    for number, line in enumerate(lines):
        array = _ARRAY.match(line)
        if array:
            # The array's own lines follow, indented, up to an empty one.
            more: list[bytes] = []
            for following in lines[number + 1 : number + 8]:
                if not following.startswith(b" "):
                    break
                more.append(following)
            found.append((label(array[1]), _counts(array[2], array[3], more)))
    return found


def _counts(state: bytes, members: bytes, more: list[bytes]) -> _Counts:
    """Required, active, failed and spare members, and 1 where it is degraded."""
    marks = [member[1] for member in _MEMBER.finditer(members)]
    failed = sum(b"(F)" in mark for mark in marks)
    spare = sum(b"(S)" in mark and b"(F)" not in mark for mark in marks)
    good = len(marks) - failed - spare
    if state == b"inactive":
        # All members of an array that was not assembled are marked as spares.
        return float(good + failed + spare), 0.0, float(failed), 0.0, 1.0
    for line in more:
        counts = _COUNTS.search(line)
        if counts:
            required, active = int(counts[1]), int(counts[2])
            return (
                *(float(required), float(active), float(failed), float(spare)),
                float(active < required),
            )
    return float(good + failed), float(good), float(failed), float(spare), float(failed > 0)
