"""Gives windows and forecasts their history, after a start and for hosts that come back.

A rule on the average of ten minutes need not wait for them again where the store has them.  It is
done beside judging, some series at a time; a row that is another's by then takes nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from monitor.core.rules.judging import Lacking
from monitor.errors import MonitorError
from monitor.ports import SeriesStore

MOST_WAITING = 50_000
"""Rows that wait for their history; others begin empty, as they would without a store."""

SERIES_AT_ONCE = 64
POINTS = 240

REST_SECONDS = 0.02
"""Between two readings, so that a large fleet's start does not take the store for itself."""


class Histories:
    """Rows that wait for what the store has of them."""

    def __init__(self, store: SeriesStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._waiting: deque[Lacking] = deque()
        self._rung = asyncio.Event()

    def want(self, rows: Iterable[Lacking]) -> None:
        """Have these rows filled, by and by."""
        for each in rows:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(each)
        if self._waiting:
            self._rung.set()

    async def run(self) -> None:
        """Fill, until cancelled."""
        while True:
            await self._rung.wait()
            while self._waiting:
                await self._fill(self._next())
                await asyncio.sleep(REST_SECONDS)
            self._rung.clear()

    def _next(self) -> list[Lacking]:
        """The next rows that want one length of time."""
        first = self._waiting.popleft()
        found: list[Lacking] = [first]
        others: list[Lacking] = []
        while self._waiting and len(found) < SERIES_AT_ONCE and len(others) < SERIES_AT_ONCE:
            each = self._waiting.popleft()
            (found if each.seconds == first.seconds else others).append(each)
        self._waiting.extendleft(reversed(others))
        return found

    async def _fill(self, rows: list[Lacking]) -> None:
        now = self._clock()
        series = list(dict.fromkeys((each.host, each.key) for each in rows))
        try:
            found = await self._store.range(series, now - rows[0].seconds, now, POINTS)
        except MonitorError:
            return  # they begin empty, and fill as time goes on
        by_series = {(each.host, each.key): each for each in found.series}
        for row in rows:
            buckets = by_series.get((row.host, row.key))
            if buckets is not None:
                row.fill(found.starts, buckets.minimum, buckets.average, buckets.maximum)
