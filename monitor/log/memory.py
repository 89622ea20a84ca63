"""The event log in memory: bounded, and gone when the program ends.

Its epoch is therefore new at each start.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from monitor.errors import InputError
from monitor.model import Event
from monitor.ports import Conflict, Gap

MOST_EVENTS = 10_000
"""Events kept; the floor rises past what is let go."""

MOST_AT_ONCE = 1_000
"""Events in one append."""

PAGE_EVENTS = 256
"""What a tail reads at a time."""


class MemoryLog:
    """A `monitor.ports.EventLog` for one process and one event loop."""

    def __init__(self, most_events: int = MOST_EVENTS) -> None:
        self._epoch = secrets.token_hex(8)
        self._events: deque[Event] = deque()
        self._most_events = most_events
        self._last = 0
        self._scopes: dict[str, int] = {}
        self._grown = asyncio.Condition()
        self._closed = False

    @property
    def epoch(self) -> str:
        """16 hex digits, new at each start."""
        return self._epoch

    @property
    def _floor(self) -> int:
        return self._events[0].sequence - 1 if self._events else self._last

    async def append(
        self, events: Sequence[Event], scope: str | None = None, expect: int | None = None
    ) -> int:
        """Append all or none: see `monitor.ports.EventLog`."""
        if not 1 <= len(events) <= MOST_AT_ONCE:
            raise InputError(
                "an append holds 1 to 1,000 events", code="bad_append", limit=MOST_AT_ONCE
            )
        async with self._grown:
            last = 0 if scope is None else self._scopes.get(scope, 0)
            if scope is not None and expect is not None and last != expect:
                raise Conflict(last)
            for event in events:
                self._last += 1
                self._events.append(replace(event, sequence=self._last))
            while len(self._events) > self._most_events:
                self._events.popleft()
            if scope is not None:
                self._scopes[scope] = self._last
            self._grown.notify_all()
        return self._last

    async def read(
        self, after: int, topics: frozenset[str] | None, limit: int
    ) -> tuple[list[Event], int, int]:
        """Events after a position: see `monitor.ports.EventLog`."""
        floor = self._floor
        if after < floor or after > self._last:
            raise Gap(floor)
        found: list[Event] = []
        position = after
        for event in self._after(after):
            if topics is None or not topics.isdisjoint(event.topics):
                if len(found) == limit:
                    return found, position, floor
                found.append(event)
            position = event.sequence
        return found, self._last, floor

    def _after(self, position: int) -> list[Event]:
        skip = position - self._floor
        return list(self._events)[skip:]

    async def last(self, scope: str | None = None) -> int:
        """The last position, of all or of one scope."""
        return self._last if scope is None else self._scopes.get(scope, 0)

    async def tail(self, after: int) -> AsyncIterator[Event]:
        """Every event after a position, then each as it is appended."""
        while True:
            async with self._grown:
                while self._last <= after and not self._closed:
                    await self._grown.wait()
            if self._closed:
                return
            events, after, _ = await self.read(after, None, PAGE_EVENTS)
            for event in events:
                yield event

    async def close(self) -> None:
        """End the tails."""
        async with self._grown:
            self._closed = True
            self._grown.notify_all()
