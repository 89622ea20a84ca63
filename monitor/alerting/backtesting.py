"""Backtesting one rule against the store: how often it would have fired, where, and how long.

It reads what the rule looks at, host by host, at the finest resolution that its bounds allow, lets
`monitor.core.backtest` judge that beside the event loop, and says in a sentence what came of it.
What is judged of a bucket, which resolution that was and how much history there is, is told:
a peak of a second is not to be found in buckets of an hour.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.alerting.backtestwords import judged_words, summary
from monitor.core.backtest import (
    Firing,
    History,
    Stopped,
    closed,
    compares_peers,
    statistics,
    without_hysteresis,
)
from monitor.core.backtest import (
    backtest as judged,
)
from monitor.core.rules.matching import Columns, conditions_of, matches
from monitor.core.rules.model import Rule
from monitor.core.series import Floats
from monitor.core.state import LiveState
from monitor.model import Schema, SeriesKey
from monitor.ports import Buckets, SeriesBuckets, SeriesStore

MOST_STEPS = 20_160
"""Buckets of a range: two weeks by the minute."""

LEAST_STEPS = 2_016
"""What a range of very many series is still cut into: two weeks by ten minutes."""

MOST_CELLS = 40_000_000
"""Buckets of all series together; what is beyond is judged in wider ones, then left out."""

CELLS_AT_ONCE = 4_000_000
"""Judged in one go: 32 MB, and a hundred hosts' two weeks."""

MOST_KEYS = 500
"""Series that are read of one host."""

LONGEST_SECONDS = 30.0
"""After that, what has not been judged is left out."""

MOST_DRAWN = 20
DRAWN_POINTS = 300

MOST_FIRINGS = 5_000
"""Told one by one; more are counted."""

TOO_LONG = "there was no time left to judge it"

MADE = tuple(
    f"monitor.{room}." for room in ("host", "fleet", "channel", "config", "data", "store", "stream")
)
"""How series begin that are made while judging, and are not kept."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One series to be drawn: instants, averages and maxima, NaN for gaps."""

    host: str
    key: str
    t: Floats
    average: Floats
    maximum: Floats


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A host that was not judged, and why."""

    host: str
    reason: str


@dataclass(frozen=True)
class Backtest:
    """What came of it.

    `start` and `end` are unix seconds; `resolution_seconds` is the widest bucket that was judged,
    `history_seconds` how far back anything reaches.  `firings` are by start, at most
    `MOST_FIRINGS` of `count`.  `without_hysteresis` is how many there would have been with each
    limit as its own way back.  `judged` says what of each bucket was judged.
    """

    rule: Rule
    start: float
    end: float
    resolution_seconds: float
    history_seconds: float
    hosts: int
    series: int
    count: int
    firings: tuple[Firing, ...]
    without_hysteresis: int
    drawn: tuple[Drawn, ...]
    judged: str
    left_out: tuple[LeftOut, ...]
    summary: str


@dataclass
class _Found:
    """What has come of it so far."""

    firings: list[Firing] = field(default_factory=list)
    without: int = 0
    resolution: float = 0.0
    earliest: float = math.inf
    hosts: int = 0
    series: int = 0
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass
class _Group:
    """Histories in the same buckets."""

    start: float
    step: float
    histories: list[History] = field(default_factory=list)
    cells: int = 0

    def add(self, history: History) -> None:
        self.histories.append(history)
        self.cells += history.values.size


async def backtest(
    store: SeriesStore,
    state: LiveState,
    rule: Rule,
    since: float,
    now: float,
    hosts: Collection[str],
) -> Backtest:
    """What a rule would have done from the instant `since` to `now`, of these hosts.

    Labels are those that hosts have now.  Cancelling it ends the work within a moment.
    """
    run = _Run(store, state, rule, since, now)
    try:
        return await run.all(sorted(hosts))
    finally:
        run.stopped.set()


class _Run:
    """One backtest on its way."""

    def __init__(
        self, store: SeriesStore, state: LiveState, rule: Rule, since: float, now: float
    ) -> None:
        self._store = store
        self._state = state
        self._rule = rule
        self._since = since
        self._now = now
        self._statistics = statistics(rule)
        self._metrics = frozenset(
            condition.metric
            for each in (rule, *(override.rule for override in rule.overrides))
            for condition in conditions_of(each)
        )
        self._found = _Found()
        self._groups: dict[tuple[float, float, int], _Group] = {}
        self._last: dict[tuple[str, str], float] = {}
        self.stopped = threading.Event()
        self._deadline = time.monotonic() + LONGEST_SECONDS

    def _is_stopped(self) -> bool:
        return self.stopped.is_set() or time.monotonic() > self._deadline

    async def all(self, hosts: Sequence[str]) -> Backtest:
        """Read, judge, and say what came of it."""
        wanted = {host: keys for host in hosts if (keys := await self._keys(host))}
        points = self._points(sum(map(len, wanted.values())))
        room = MOST_CELLS // points
        together = compares_peers(self._rule)
        for host, keys in wanted.items():
            room -= len(keys)
            if room < 0 or self._is_stopped():
                self._leave([host], "there is too much to judge" if room < 0 else TOO_LONG)
                continue
            group = self._take(host, await self._range(host, keys, points), keys)
            if group is not None and group.cells >= CELLS_AT_ONCE and not together:
                await self._judge(group)
        if together:
            await self._level(wanted)
        for group in tuple(self._groups.values()):
            await self._judge(group)
        return await self._told()

    async def _keys(self, host: str) -> tuple[str, ...]:
        """The KEYs that the rule judges; none of a host that it is not about."""
        named = {**self._labels(host), "host": host}
        if self._rule.hosts is not None and not self._rule.hosts.matches(named):
            return ()
        keys = await self._store.series(host)
        found = tuple(key for key in keys if key.partition("{")[0] in self._metrics)[:MOST_KEYS]
        columns = Columns(Schema(()), Schema(found))
        rows = matches(self._rule, conditions_of(self._rule), columns)
        used = {key for row in rows for key in row.keys}
        return tuple(key for key in found if key in used)

    def _labels(self, host: str) -> dict[str, str]:
        known = self._state.hosts.get(host)
        return known.labels if known is not None else {}

    @staticmethod
    def _points(series: int) -> int:
        fit = MOST_CELLS // max(series, 1)
        return min(MOST_STEPS, max(LEAST_STEPS, fit))

    async def _range(self, host: str, keys: tuple[str, ...], points: int) -> Buckets:
        series = [(host, key) for key in keys]
        return await self._store.range(series, self._since, self._now, points)

    def _take(self, host: str, buckets: Buckets, keys: tuple[str, ...]) -> _Group | None:
        """Put a host's history beside those in the same buckets; none where it has none."""
        values = np.column_stack([self._picked(series) for series in buckets.series])
        known = np.isfinite(values)
        if not known.any():
            return None
        first = int(known.any(axis=1).argmax())
        self._found.earliest = min(self._found.earliest, float(buckets.starts[first]))
        for number, key in enumerate(keys):
            if known[:, number].any():
                newest = len(known) - 1 - int(known[::-1, number].argmax())
                end = float(buckets.starts[newest]) + buckets.step_seconds
                self._last[host, key] = min(end, self._now)
        start = float(buckets.starts[0])
        place = start, buckets.step_seconds, len(values)
        group = self._groups.setdefault(place, _Group(start, buckets.step_seconds))
        group.add(History(host, self._labels(host), Schema(keys), values))
        self._found.hosts += 1
        self._found.series += int(known.any(axis=0).sum())
        return group

    def _picked(self, series: SeriesBuckets) -> Floats:
        picked = self._statistics[SeriesKey.parse(series.key).name]
        return picked.of(series.minimum, series.average, series.maximum)

    async def _level(self, wanted: dict[str, tuple[str, ...]]) -> None:
        """Have all histories in the widest buckets of any: peers are judged together."""
        if len(self._groups) < 2:
            return
        widest = max(self._groups.values(), key=lambda group: group.step)
        points = max(1, math.ceil((self._now - self._since) / widest.step))
        for place, group in tuple(self._groups.items()):
            if group is widest:
                continue
            del self._groups[place]
            for history in group.histories:
                self._found.hosts -= 1
                self._found.series -= int(np.isfinite(history.values).any(axis=0).sum())
                buckets = await self._range(history.host, wanted[history.host], points)
                self._take(history.host, buckets, wanted[history.host])

    async def _judge(self, group: _Group) -> None:
        """Judge what has come together in a worker thread, and let go of it."""
        self._groups = {place: other for place, other in self._groups.items() if other is not group}
        self._found.resolution = max(self._found.resolution, group.step)
        try:
            firings, without = await asyncio.to_thread(self._both, group)
        except Stopped:
            self._leave([history.host for history in group.histories], TOO_LONG)
            return
        self._found.firings += firings
        self._found.without += without

    def _both(self, group: _Group) -> tuple[list[Firing], int]:
        """The firings, and how many there would be without hysteresis."""
        firings = judged(self._rule, group.histories, group.start, group.step, self._is_stopped)
        plain = without_hysteresis(self._rule)
        if plain == self._rule or not firings:
            return self._closed(firings), len(firings)
        # What never fired with a way back never holds for long enough without one.
        fired = {firing.host for firing in firings}
        histories = group.histories
        if not compares_peers(self._rule):
            histories = [history for history in histories if history.host in fired]
        without = judged(plain, histories, group.start, group.step, self._is_stopped)
        return self._closed(firings), len(without)

    def _closed(self, firings: list[Firing]) -> list[Firing]:
        gone = {
            host: {key for other, key in self._last if other == host} - set(known.schema.texts)
            for host in {firing.host for firing in firings}
            if (known := self._state.hosts.get(host)) is not None and len(known.schema)
        }
        found = closed(firings, gone, lambda host, key: self._last.get((host, key), self._now))
        return [
            replace(
                each,
                start=min(each.start, self._now),
                end=None if each.end is None else min(each.end, self._now),
            )
            for each in found
        ]

    def _leave(self, hosts: Iterable[str], reason: str) -> None:
        self._found.left_out += [LeftOut(host, reason) for host in hosts]

    async def _told(self) -> Backtest:
        found = self._found
        found.firings.sort(key=lambda firing: (firing.start, firing.host, firing.attributes))
        history = self._now - found.earliest if math.isfinite(found.earliest) else 0.0
        return Backtest(
            rule=self._rule,
            start=self._since,
            end=self._now,
            resolution_seconds=found.resolution,
            history_seconds=min(history, self._now - self._since),
            hosts=found.hosts,
            series=found.series,
            count=len(found.firings),
            firings=tuple(found.firings[:MOST_FIRINGS]),
            without_hysteresis=found.without,
            drawn=await self._drawn(),
            judged=judged_words(self._statistics, found.resolution),
            left_out=tuple(found.left_out),
            summary=summary(
                found.hosts,
                found.firings,
                found.without,
                self._now,
                left_out=len(found.left_out),
                not_kept=self._not_kept(),
            ),
        )

    def _not_kept(self) -> str:
        """A metric of which there is never any history, where the rule looks at one."""
        return next((name for name in sorted(self._metrics) if name.startswith(MADE)), "")

    async def _drawn(self) -> tuple[Drawn, ...]:
        """The series that would have fired longest, as they were."""
        seconds: Counter[tuple[str, str]] = Counter()
        for each in self._found.firings:
            seconds[each.host, each.key] += int((each.end or self._now) - each.start) + 1
        worst = [series for series, _ in seconds.most_common(MOST_DRAWN)]
        if not worst:
            return ()
        cut = await self._store.range(worst, self._since, self._now, DRAWN_POINTS)
        return tuple(
            Drawn(each.host, each.key, cut.starts, each.average, each.maximum)
            for each in cut.series
        )
