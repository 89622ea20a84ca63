"""The event log in memory: bounded, and gone when the program ends.

Its epoch is therefore new at each start.  Given a registry, trimming stops at the oldest
checkpoint in it; the bound on all events stops at nothing, since memory is not to be had.
"""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from monitor.log import floors
from monitor.log.memory_registry import MemoryRegistry
from monitor.log.records import MOST_PAGE_BYTES, Record, page_size, records, text, topic_texts
from monitor.model import Event, RetentionClass
from monitor.ports import Conflict, Gap

MOST_EVENTS = 10_000
"""Events kept; the floors rise past what is let go."""

PAGE_EVENTS = 256
"""What a tail reads at a time."""


@dataclass(frozen=True, slots=True)
class _Kept:
    sequence: int
    record: Record


_sequence = attrgetter("sequence")


def _is_of(record: Record, of: frozenset[str] | RetentionClass | None) -> bool:
    """Whether it was asked for."""
    if of is None:
        return True
    if isinstance(of, RetentionClass):
        return record.class_ is of
    return not of.isdisjoint(record.topics)


class MemoryLog:
    """A `monitor.ports.EventLog` for one process and one event loop."""

    def __init__(
        self, registry: MemoryRegistry | None = None, *, most_events: int = MOST_EVENTS
    ) -> None:
        self._epoch = secrets.token_hex(8)
        self._registry = registry
        self._most_events = most_events
        self._events: list[_Kept] = []
        self._last = 0
        self._scopes: dict[str, int] = {}
        self._class_floors = dict.fromkeys(RetentionClass, 0)
        self._erased: dict[str, int] = {}
        self._grown = asyncio.Condition()
        self._closed = False

    @property
    def epoch(self) -> str:
        """16 hex digits, new at each start."""
        return self._epoch

    async def append(
        self, events: Sequence[Event], scope: str | None = None, expect: int | None = None
    ) -> int:
        """Append all or none: see `monitor.ports.EventLog`."""
        kept = records(events)
        if scope is not None:
            text(scope, "scope")
        async with self._grown:
            last = 0 if scope is None else self._scopes.get(scope, 0)
            if scope is not None and expect is not None and last != expect:
                raise Conflict(last)
            for record in kept:
                self._last += 1
                self._events.append(_Kept(self._last, record))
            if scope is not None:
                self._scopes[scope] = self._last
            self._bound()
            self._grown.notify_all()
        return self._last

    def _bound(self) -> None:
        too_many = len(self._events) - self._most_events
        if too_many > 0:
            floor = self._events[too_many - 1].sequence
            self._class_floors = dict.fromkeys(RetentionClass, floor)
            self._erased.clear()
            del self._events[:too_many]

    async def read(
        self, after: int, of: frozenset[str] | RetentionClass | None, limit: int
    ) -> tuple[list[Event], int, int]:
        """Events after a position: see `monitor.ports.EventLog`."""
        if isinstance(of, RetentionClass):
            floor = self._class_floors[of]
        else:
            topic_texts(of)
            floor = floors.floor_of(of, self._class_floors, self._erased)
        if not floor <= after <= self._last:
            raise Gap(floor)
        found: list[Event] = []
        most, weight = page_size(limit), 0
        for kept in self._after(after):
            if _is_of(kept.record, of):
                weight += len(kept.record.document)
                if len(found) == most or (found and weight > MOST_PAGE_BYTES):
                    return found, kept.sequence - 1, floor
                found.append(kept.record.event(kept.sequence))
        return found, self._last, floor

    def _after(self, position: int) -> Iterator[_Kept]:
        start = bisect_right(self._events, position, key=_sequence)
        return (self._events[index] for index in range(start, len(self._events)))

    async def last(self, scope: str | None = None) -> int:
        """The last position, of all or of one scope."""
        if scope is not None:
            text(scope, "scope")
        return self._last if scope is None else self._scopes.get(scope, 0)

    async def tail(self, after: int) -> AsyncIterator[Sequence[Event]]:
        """Every event after a position, then more as they are appended, in pages."""
        while True:
            events, searched, _ = await self.read(after, None, PAGE_EVENTS)
            if events:
                yield events
            after = searched
            async with self._grown:
                while self._last <= after and not self._closed:
                    await self._grown.wait()
            if self._closed:
                return

    async def trim(
        self, class_: RetentionClass, before: float, max_bytes: int | None = None
    ) -> int:
        """Let go of a class's oldest events: see `monitor.ports.EventLog`."""
        stop = self._last if self._registry is None else self._registry.oldest_checkpoint()
        of_class = [kept for kept in self._events if kept.record.class_ is class_]
        weight = sum(kept.record.size for kept in of_class)
        going: set[int] = set()
        for kept in of_class:
            too_heavy = max_bytes is not None and weight > max_bytes
            if kept.sequence > stop or not (kept.record.at < before or too_heavy):
                break
            weight -= kept.record.size
            going.add(kept.sequence)
            self._class_floors[class_] = kept.sequence
            for topic in floors.strays(class_, kept.record.topics):
                self._erased[topic] = max(self._erased.get(topic, 0), kept.sequence)
        self._remove(going)
        self._erased = {
            topic: floor
            for topic, floor in self._erased.items()
            if not floors.is_covered(topic, floor, self._class_floors)
        }
        return len(going)

    async def erase(self, topic: str) -> int:
        """Remove every event on a topic: see `monitor.ports.EventLog`."""
        text(topic, "topic")
        going: set[int] = set()
        for kept in self._events:
            if topic in kept.record.topics:
                going.add(kept.sequence)
                for stood_on in kept.record.topics:
                    self._erased[stood_on] = max(self._erased.get(stood_on, 0), kept.sequence)
        self._remove(going)
        return len(going)

    def _remove(self, going: set[int]) -> None:
        if going:
            self._events = [kept for kept in self._events if kept.sequence not in going]

    async def close(self) -> None:
        """End the tails."""
        async with self._grown:
            self._closed = True
            self._grown.notify_all()
