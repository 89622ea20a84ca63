"""What pages need and a sender does not say: shares from the counts and levels that it does.

An agent brings utilizations of its own.  node_exporter and the Collector bring the seconds of
each processor in each state, the bytes of memory in each state: here the catalog's other KEYs are
made of those, so that they agree with what `monitor.collect` would have read there.

One `Deriver` serves one lane.  What belongs to one instant may come in several pieces, and one
instant's late pieces after the next one's first: a result is given when everything is there that
came for this subject lately.  It knows catalog KEYs and numbers, and no format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from monitor.ingest import shares
from monitor.ingest.shares import Instant
from monitor.model import SeriesKey

MOST_INSTANTS = 3
"""Of one subject that are kept: one before the present, and one that is late."""

MISSED_INSTANTS = 2
"""A part that was missing in so many instants one after the other is waited for no longer."""

MOST_PLACES = 60_000
"""KEYs whose place is remembered: more than a lane may have, so that it is only a bound."""

_Compute: TypeAlias = Callable[[str, Instant | None, Instant], dict[str, float]]

_SUBJECTS: dict[str, tuple[_Compute, str, str, str]] = {
    "system.cpu.time": (shares.processors, "", "cpu", "state"),
    "system.memory.usage": (shares.memory, "", "", "state"),
    "system.memory.limit": (shares.memory, "", "", "limit"),
    "system.paging.usage": (shares.swap, "", "device", "state"),
    "system.paging.limit": (shares.swap, "", "", "limit"),
    "system.filesystem.usage": (shares.filesystem, "mountpoint", "", "state"),
    "system.filesystem.limit": (shares.filesystem, "mountpoint", "", "limit"),
    "system.filesystem.inodes.usage": (shares.inodes, "mountpoint", "", "state"),
    "system.filesystem.inodes.limit": (shares.inodes, "mountpoint", "", "limit"),
    "system.disk.io_time": (shares.disk, "device", "", "busy"),
    "system.disk.weighted_io_time": (shares.disk, "device", "", "weighted"),
    "system.disk.operation_time": (shares.disk, "device", "direction", "time"),
    "system.disk.operations": (shares.disk, "device", "direction", "count"),
    "system.network.io": (shares.network, "interface", "", "direction"),
    "system.network.speed": (shares.network, "interface", "", "speed"),
    "system.network.packets": (shares.packets, "interface", "direction", "packets"),
    "system.network.errors": (shares.packets, "interface", "direction", "errors"),
    "system.network.dropped": (shares.packets, "interface", "direction", "dropped"),
    "hw.temperature": (shares.temperatures, "device", "sensor", "value"),
    "hw.temperature.limit": (shares.temperatures, "device", "sensor", "kind"),
    "system.linux.pressure.time": (shares.pressure, "resource", "", "kind"),
    "system.file_descriptors.count": (shares.descriptors, "", "", "count"),
    "system.file_descriptors.limit": (shares.descriptors, "", "", "limit"),
    "system.network.conntrack.count": (shares.conntrack, "", "", "count"),
    "system.network.conntrack.max": (shares.conntrack, "", "", "limit"),
    "system.tasks.count": (shares.tasks, "", "", "count"),
    "system.tasks.limit": (shares.tasks, "", "", "limit"),
    "system.processes.count": (shares.processes, "", "", "state"),
    "system.boot_time": (shares.uptime, "", "", "boot"),
}
"""By metric: what is made of it, the attribute that tells its subjects apart, and the two that say
which part of the subject it is; the second may be the part's own name."""

_ATTRIBUTES = frozenset({"state", "direction", "kind"})


@dataclass(slots=True)
class _Subject:
    """One thing that results are made for: the processors, a filesystem, a disk."""

    name: str
    compute: _Compute
    instants: list[Instant] = field(default_factory=list)
    """The latest few, oldest first."""
    missed: dict[tuple[str, str], int] = field(default_factory=dict)
    """Every part that is waited for, and in how many instants in a row it did not come."""

    def put(self, at: float, part: tuple[str, str], value: float) -> bool:
        """Note a part of an instant; whether that one is still kept."""
        instant = self._instant(at)
        if instant is None:
            return False
        instant.parts[part] = value
        if part in self.missed:
            self.missed[part] = 0
        return True

    def _instant(self, at: float) -> Instant | None:
        """The instant, which may be a new one; none where it is too old."""
        for known in reversed(self.instants):
            if known.at == at:
                return known
        full = len(self.instants) >= MOST_INSTANTS
        if full and at < self.instants[0].at:
            return None
        if self.instants and at > self.instants[-1].at:
            self._note_missing(self.instants[-1])
        if full:
            self.instants.pop(0)
        found = Instant(at)
        self.instants.append(found)
        self.instants.sort(key=lambda instant: instant.at)
        return found

    def _note_missing(self, instant: Instant) -> None:
        """A newer one begins: what has not come for some time is waited for no longer."""
        for part in self.missed.keys() - instant.parts.keys():
            self.missed[part] += 1
            if self.missed[part] >= MISSED_INSTANTS:
                del self.missed[part]

    def result(self, at: float) -> dict[str, float]:
        """What follows from an instant; nothing while a part of it is waited for."""
        place = next(place for place, instant in enumerate(self.instants) if instant.at == at)
        now = self.instants[place]
        if not self.missed.keys() <= now.parts.keys():
            return {}
        self.missed = dict.fromkeys(now.parts, 0)
        before = self.instants[place - 1] if place else None
        made = self.compute(self.name, before, now)
        return {text: value for text, value in made.items() if math.isfinite(value)}


class Sums:
    """KEYs that are made of several samples each, which may come in pieces, of one lane."""

    def __init__(self) -> None:
        self._subjects: dict[str, _Subject] = {}

    def add(self, at: float, parts: Iterable[tuple[str, str, float]]) -> dict[str, float]:
        """The KEYs of an instant that are whole now that these parts are known too.

        A part is its KEY, a name of its own below that, and its value, NaN where it is absent.
        """
        touched: dict[str, _Subject] = {}
        for text, name, value in parts:
            subject = self._subjects.get(text)
            if subject is None:
                if len(self._subjects) >= MOST_PLACES:
                    self._subjects.clear()
                subject = self._subjects[text] = _Subject(text, shares.total)
            if subject.put(at, ("", name), value):
                touched[text] = subject
        found: dict[str, float] = {}
        for subject in touched.values():
            found |= subject.result(at)
        return found


_Place: TypeAlias = tuple[_Subject, tuple[str, str]]


class Deriver:
    """Makes the further values of one lane."""

    def __init__(self) -> None:
        self._places: dict[str, _Place | None] = {}
        self._subjects: dict[tuple[_Compute, str], _Subject] = {}
        self._sent: set[str] = set()
        """KEYs of ours that its sender says itself: its word stands."""

    def wants(self, text: str) -> bool:
        """Whether a KEY matters here: others need not be shown to `derive`."""
        name = text.partition("{")[0]
        return name in _SUBJECTS or name in shares.MADE

    def derive(self, at: float, values: Mapping[str, float]) -> dict[str, float]:
        """The further KEYs of an instant that follow now that these values are known too.

        `values` is an instant's KEYs, all or some of them; what is not finite counts as absent.
        Who sends the same again is given the same again; nothing follows for an instant that is
        older than the latest `MOST_INSTANTS`.
        """
        touched: dict[int, _Subject] = {}
        for text, value in values.items():
            place = self._place(text)
            if place is not None:
                subject, part = place
                known = value if math.isfinite(value) else math.nan
                if subject.put(at, part, known):
                    touched[id(subject)] = subject
        found: dict[str, float] = {}
        for subject in touched.values():
            found |= subject.result(at)
        for text in found.keys() & (self._sent | values.keys()):
            del found[text]
        return found

    def _place(self, text: str) -> _Place | None:
        if text in self._places:
            return self._places[text]
        if len(self._places) >= MOST_PLACES:
            self._places.clear()
            self._subjects.clear()
            self._sent.clear()
        place = self._places[text] = self._placed(text)
        if text.partition("{")[0] in shares.MADE:
            self._sent.add(text)
        return place

    def _placed(self, text: str) -> _Place | None:
        series = SeriesKey.parse(text)
        known = _SUBJECTS.get(series.name)
        if known is None:
            return None
        compute, attribute, first, second = known
        name = series.get(attribute) if attribute else ""
        if attribute and not name:
            return None
        part = (series.get(first) if first else "", second)
        if second in _ATTRIBUTES:
            part = (part[0], series.get(second))
        subject = self._subjects.get((compute, name))
        if subject is None:
            subject = self._subjects[compute, name] = _Subject(name, compute)
        return subject, part
