"""The newest logged events, encoded once, shared by everybody who is not far behind."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.core.access import EVERYTHING as SEES_ALL
from monitor.core.access import Clearance, View

MOST_EVENTS = 2_048
"""Events kept encoded."""

MOST_BYTES = 16 * 1024 * 1024
"""And their bytes: one event may have 256 KiB."""

EVERYTHING = "log"
"""The topic whose readers hear every logged event."""


@dataclass(frozen=True, slots=True)
class Ringed:
    """A logged event as the stream carries it."""

    sequence: int
    topics: tuple[str, ...]
    encoded: bytes
    clearance: Clearance


@dataclass(frozen=True, slots=True)
class Hearing:
    """What readers listen to and what they may see: those of one hearing get the same events."""

    topics: frozenset[str]
    view: View = SEES_ALL

    def hears(self, event: Ringed) -> bool:
        """Whether they get an event: by its topics, and by what they may see."""
        is_heard = EVERYTHING in self.topics or not self.topics.isdisjoint(event.topics)
        return is_heard and self.view.admits(event.clearance)


class Ring:
    """Events in order.  It is whole for every position from `begins_after` on."""

    def __init__(self) -> None:
        self._events: list[Ringed] = []
        self._sequences: list[int] = []
        self._bytes = 0
        self.begins_after = 0

    def begin(self, after: int) -> None:
        """Forget everything; what comes next comes after this position."""
        self._events.clear()
        self._sequences.clear()
        self._bytes = 0
        self.begins_after = after

    def extend(self, events: Iterable[Ringed]) -> None:
        """Take newer events in, and let the oldest go."""
        for event in events:
            self._events.append(event)
            self._sequences.append(event.sequence)
            self._bytes += len(event.encoded)
        going = 0
        while len(self._events) - going > MOST_EVENTS or self._bytes > MOST_BYTES:
            self._bytes -= len(self._events[going].encoded)
            going += 1
        if going:
            self.begins_after = self._sequences[going - 1]
            del self._events[:going], self._sequences[:going]

    def after(self, position: int, hearing: Hearing, most_bytes: int) -> tuple[list[Ringed], int]:
        """What a reader at a position gets next, and the position that it is then at.

        Some `most_bytes` of it, and at least one event where there is one.  The position must
        not lie before `begins_after`.
        """
        found: list[Ringed] = []
        size = 0
        index = bisect_right(self._sequences, position)
        for event in self._events[index:]:
            if hearing.hears(event):
                if found and size + len(event.encoded) > most_bytes:
                    return found, position
                found.append(event)
                size += len(event.encoded)
            position = event.sequence
        return found, position
