"""The newest logged events, encoded once, shared by everybody who is not far behind."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

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


def hears(topics: frozenset[str], event: Ringed) -> bool:
    """Whether a reader of these topics gets an event."""
    return EVERYTHING in topics or not topics.isdisjoint(event.topics)


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

    def after(
        self, position: int, topics: frozenset[str], most_bytes: int
    ) -> tuple[list[Ringed], int]:
        """What a reader at a position gets next, and the position that it is then at.

        Some `most_bytes` of it, and at least one event where there is one.  The position must
        not lie before `begins_after`.
        """
        found: list[Ringed] = []
        size = 0
        index = bisect_right(self._sequences, position)
        for event in self._events[index:]:
            if hears(topics, event):
                if found and size + len(event.encoded) > most_bytes:
                    return found, position
                found.append(event)
                size += len(event.encoded)
            position = event.sequence
        return found, position
