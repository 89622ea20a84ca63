"""Late data: what was breached while nobody could know, told once it is known, and never fired.

A host that was cut off sends what it has kept, and the live judge never sees those frames.  They
are noted here by their instants; once no more come for a while, the host's rules are backtested
over that time from the store, and what would have fired in it, and was over, is told: "breached
02:10–02:31, reported late".  What was firing before is the live judge's, as is what goes on after:
it sees that itself.

What is noted is in memory only: a server that ends within moments of a back-fill says nothing of
it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from monitor.core.backtest import Firing, History, Stopped, backtest, statistics
from monitor.core.book import Alert, Book
from monitor.core.rules.matching import Attributes, conditions_of
from monitor.core.rules.model import (
    Changed,
    Condition,
    DiffersFromPeers,
    FillsWithin,
    Rule,
    Severity,
)
from monitor.core.rules.ruleset import RuleSet
from monitor.core.state import LiveState
from monitor.errors import Unavailable
from monitor.model import Frame, Schema, SeriesKey
from monitor.ports import Buckets, SeriesStore

QUIET_SECONDS = 10.0
"""A back-fill of which nothing more came for so long is taken to be whole."""

LONGEST_WAIT_SECONDS = 300.0
"""One that does not end is looked at as far as it has come."""

JOINED_SECONDS = 300.0
"""Late frames that lie no further apart are of one range."""

AFTER_SECONDS = 900.0
"""How much of what followed is looked at, to see whether and when a breach was over."""

MOST_BEFORE_SECONDS = 7_200.0
BEFORE_SECONDS = 300.0
"""How much of what went before is looked at, at most, and beyond windows and `for`: what was on
already shall be seen to have been."""

MOST_HOSTS = 10_000
MOST_RANGES = 8
"""Of one host; beyond that the two that are nearest to each other become one."""

HOSTS_AT_ONCE = 50
"""Looked at together: those whose ranges overlap, as after an outage of a network."""

STEPS = 720
"""Buckets that a range is cut into, about: two seconds of all shipped rules."""

MOST_KEYS = 200
"""Series that are read of one host."""

LONGEST_RANGE_SECONDS = 14 * 86_400.0
"""What lies further back than this before the end of a range is not looked at."""

MOST_BREACHES = 200
"""Told of one look; more would say nothing new."""


@dataclass(frozen=True, slots=True)
class Breach:
    """What would have fired, and was over; instants in unix seconds."""

    rule: Rule
    host: str
    attributes: Attributes
    key: str
    severity: Severity
    start: float
    end: float
    peak: float


@dataclass(slots=True)
class _Noted:
    """A host's late frames: ranges of their instants, and when they came."""

    began_at: float
    heard_at: float
    ranges: list[tuple[float, float]] = field(default_factory=list)

    def add(self, first: float, last: float) -> None:
        """Take a range in; those that come near each other become one."""
        found = []
        for begin, end in self.ranges:
            if first <= end + JOINED_SECONDS and begin <= last + JOINED_SECONDS:
                first, last = min(first, begin), max(last, end)
            else:
                found.append((begin, end))
        found.append((first, last))
        if len(found) > MOST_RANGES:
            found.sort()
            gaps = [after[0] - before[1] for before, after in pairwise(found)]
            place = gaps.index(min(gaps))
            found[place : place + 2] = [(found[place][0], found[place + 1][1])]
        self.ranges = found

    def is_due(self, now: float) -> bool:
        """Whether it is to be looked at."""
        quiet = now - self.heard_at >= QUIET_SECONDS
        return quiet or now - self.began_at >= LONGEST_WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class _Range:
    """A host's late time that is looked at; `is_whole` where no more of it is on its way."""

    host: str
    first: float
    last: float
    is_whole: bool


class Late:
    """Late frames, from their arrival to what they tell."""

    def __init__(
        self, store: SeriesStore, state: LiveState, rules: Callable[[], RuleSet], book: Book
    ) -> None:
        self._store = store
        self._state = state
        self._rules = rules
        self._book = book
        self._noted: dict[str, _Noted] = {}
        self._waiting: list[_Range] = []
        self.unlooked = 0
        """Ranges that were never looked at, since there were too many or the store had none."""

    def note(self, frames: Iterable[Frame], now: float) -> None:
        """Take note of frames that came too late for the live state, and are stored."""
        for frame in frames:
            if not frame.heard:
                continue
            noted = self._noted.get(frame.host)
            if noted is None:
                if len(self._noted) >= MOST_HOSTS:
                    self.unlooked += 1
                    continue
                noted = self._noted[frame.host] = _Noted(now, now)
            noted.heard_at = now
            if noted.ranges and noted.ranges[-1][0] <= frame.at <= noted.ranges[-1][1]:
                continue
            noted.add(frame.at, frame.at)

    def forget(self, host: str) -> None:
        """Know nothing of a host any more."""
        self._noted.pop(host, None)
        self._waiting = [each for each in self._waiting if each.host != host]

    async def look(self, now: float) -> list[Breach]:
        """What back-fills that are over tell, some hosts at a time; to be called now and then.

        Cancelling it ends the work within a moment.
        """
        for host, noted in tuple(self._noted.items()):
            if noted.is_due(now):
                del self._noted[host]
                whole = now - noted.heard_at >= QUIET_SECONDS
                self._waiting += [_Range(host, *each, whole) for each in sorted(noted.ranges)]
        if not self._waiting:
            return []
        first, *others = self._waiting
        near = [each for each in others if each.first <= first.last and each.last >= first.first]
        ranges, hosts = [first], {first.host}
        for each in near:
            if each.host not in hosts and len(ranges) < HOSTS_AT_ONCE:
                ranges.append(each)
                hosts.add(each.host)
        taken = set(ranges)
        self._waiting = [each for each in self._waiting if each not in taken]
        try:
            return await self._breaches(ranges, now)
        except Unavailable:
            self.unlooked += len(ranges)
            return []

    async def _breaches(self, ranges: Sequence[_Range], now: float) -> list[Breach]:
        rules = [rule for rule in self._rules() if _can_be_late(rule)]
        last = max(each.last for each in ranges)
        end = min(now, last + AFTER_SECONDS)
        start = max(min(each.first for each in ranges), last - LONGEST_RANGE_SECONDS)
        longest = max(map(_looks_back, rules), default=0.0)
        start -= min(MOST_BEFORE_SECONDS, longest + BEFORE_SECONDS)
        read = await self._read(ranges, rules, start, end)
        stopped = threading.Event()
        by_host = {each.host: each for each in ranges}
        found: list[Breach] = []
        try:
            for buckets in _alike(read):
                for rule in rules:
                    firings = await asyncio.to_thread(
                        _judged, rule, buckets, self._labels(), stopped.is_set
                    )
                    step = buckets[0].step_seconds
                    found += self._told(rule, firings, by_host, step, now)
        finally:
            stopped.set()
        found.sort(key=lambda each: (each.start, each.host))
        return found[:MOST_BREACHES]

    def _labels(self) -> dict[str, Mapping[str, str]]:
        return {name: host.labels for name, host in self._state.hosts.items()}

    async def _read(
        self, ranges: Sequence[_Range], rules: Sequence[Rule], start: float, end: float
    ) -> list[Buckets]:
        """Each host's series of which a rule is."""
        metrics = {condition.metric for rule in rules for condition in _conditions(rule)}
        found = []
        for each in ranges:
            keys = await self._store.series(each.host)
            mine = [(each.host, key) for key in keys if key.partition("{")[0] in metrics]
            if mine:
                found.append(await self._store.range(mine[:MOST_KEYS], start, end, STEPS))
        return found

    def _told(
        self,
        rule: Rule,
        firings: Iterable[Firing],
        by_host: Mapping[str, _Range],
        step: float,
        now: float,
    ) -> list[Breach]:
        """Those of what would have fired that began in late time, were over and are not known."""
        found = []
        for firing in firings:
            late = by_host[firing.host]
            if not late.first <= firing.start <= late.last + step:
                continue
            if firing.end is None:
                if not late.is_whole and firing.start < late.last:
                    self._again(firing, late, now)
                    continue
                host = self._state.hosts.get(firing.host)
                if host is not None and host.at > late.last:
                    continue  # the live judge sees it
            until = min(firing.end or late.last + step, now)
            breach = Breach(
                rule,
                firing.host,
                firing.attributes,
                firing.key,
                firing.severity,
                firing.start,
                max(until, firing.start),
                firing.peak,
            )
            if not self._is_known(breach):
                found.append(breach)
        return found

    def _again(self, firing: Firing, late: _Range, now: float) -> None:
        """Look at what was going on once more, when the rest of its back-fill is there."""
        noted = self._noted.setdefault(firing.host, _Noted(now, now))
        noted.add(firing.start, late.last)

    def _is_known(self, breach: Breach) -> bool:
        """Whether an alert of the same was told of in that time."""
        attributes = dict(breach.attributes)

        def is_same(alert: Alert) -> bool:
            same = (alert.rule, alert.host) == (breach.rule.name, breach.host)
            begins = min(alert.said.began or alert.fired_at, alert.fired_at)
            overlaps = begins <= breach.end and (alert.is_open or alert.resolved_at >= breach.start)
            return same and overlaps and dict(alert.attributes) == attributes

        return any(map(is_same, self._book.open.values())) or any(
            map(is_same, self._book.resolved())
        )


def _conditions(rule: Rule) -> Iterator[Condition]:
    for each in (rule, *(override.rule for override in rule.overrides)):
        yield from conditions_of(each)


def _can_be_late(rule: Rule) -> bool:
    """Whether what was says anything: no forecast, no peers who are elsewhere, no mere change.

    The live judge sees by itself that a value became another, once the host is back.
    """
    return not any(
        isinstance(clause.limit, FillsWithin | DiffersFromPeers | Changed)
        for each in (rule, *(override.rule for override in rule.overrides))
        for level in each.levels
        for clause in level.clauses
    )


def _looks_back(rule: Rule) -> float:
    """How long before an instant decides about it."""
    return max(
        level.for_seconds + max(clause.condition.over_seconds for clause in level.clauses)
        for each in (rule, *(override.rule for override in rule.overrides))
        for level in each.levels
    )


def _alike(read: Sequence[Buckets]) -> Iterable[list[Buckets]]:
    """Those in the same buckets together."""
    groups: dict[tuple[float, float, int], list[Buckets]] = {}
    for each in read:
        place = float(each.starts[0]), each.step_seconds, len(each.starts)
        groups.setdefault(place, []).append(each)
    return groups.values()


def _judged(
    rule: Rule,
    read: Sequence[Buckets],
    labels: Mapping[str, Mapping[str, str]],
    is_stopped: Callable[[], bool],
) -> list[Firing]:
    """What a rule would have done of these hosts; in a worker thread."""
    picked = statistics(rule)
    histories = []
    for buckets in read:
        mine = [series for series in buckets.series if SeriesKey.parse(series.key).name in picked]
        if not mine:
            continue
        columns = [
            picked[SeriesKey.parse(each.key).name].of(each.minimum, each.average, each.maximum)
            for each in mine
        ]
        host = mine[0].host
        schema = Schema(tuple(series.key for series in mine))
        histories.append(History(host, labels.get(host, {}), schema, np.column_stack(columns)))
    if not histories:
        return []
    try:
        return backtest(rule, histories, float(read[0].starts[0]), read[0].step_seconds, is_stopped)
    except Stopped:
        return []
