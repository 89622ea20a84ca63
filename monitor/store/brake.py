"""The brake of retention: what would delete much at once is not done until somebody says so.

Two things can make retention ask for much at once.  A *policy* (ages and a size) that asks for
less than the one in force is judged by what it would cost of the time × hosts that any tier
covers: fewer raw days are nothing while a coarser tier keeps them.  A *clock* that is further
ahead than time can have gone is judged more strictly, tier by tier, because a wrong clock is
soon right again and what it cost is not; a clock that keeps its word for a day is believed that
far, and then only what no tier would keep is still held.

The ordinary progress of time is never judged, whatever goes with it.  How far time has gone is
known from the time since the machine started while we run, and is taken from the clock, up to
`OFF_SECONDS`, for while we did not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import apsw

from monitor.store import coverage
from monitor.store.config import LONGEST_SECONDS, MOST_BYTES, RetentionConfig
from monitor.store.coverage import LEVELS, Coverage
from monitor.store.shares import levelled

MOST_LOST = 0.05
"""The share of what is covered that may go without asking."""

OFF_SECONDS = 4 * 86_400.0
"""How long a server may have been off: over a long weekend."""

SLACK_SECONDS = 5_400.0
"""What a clock may be put forward while we run: by an hour for summer, and some for slewing."""

BELIEF_SECONDS = 86_400.0
"""A clock that has gone ahead and then kept its word for so long is taken to be right."""

NAME = "retention"
"""The row of the table meta."""


def since_start() -> float:
    """Seconds since the machine started, those in which it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Applied:
    """The policy in force, and how far it has been carried out.

    `seen` is the instant at which it was last, `ages` the seconds that each tier is kept,
    `cutoffs` the instants before which each has been let go of.
    """

    seen: float
    ages: tuple[float, ...]
    size: int
    cutoffs: tuple[float, ...]

    @classmethod
    def of(cls, now: float, ages: tuple[float, ...], size: int) -> Applied:
        """A policy carried out at `now`."""
        return cls(now, ages, size, tuple(now - age for age in ages))

    def encoded(self) -> str:
        """As the table meta keeps it."""
        fields = {"seen": self.seen, "ages": self.ages, "size": self.size, "cutoffs": self.cutoffs}
        return json.dumps(fields)


@dataclass(frozen=True, slots=True)
class Held:
    """What is not carried out: the cutoffs it would have, what it costs, and why."""

    cutoffs: tuple[float, ...]
    lost: float
    clock_ahead_seconds: float = 0.0
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What is carried out now, and what is held."""

    applied: Applied
    held: tuple[Held, ...] = ()


def applied(connection: apsw.Connection) -> Applied | None:
    """What the store says was carried out last; none where it says nothing that can be right."""
    said = connection.execute("SELECT value FROM meta WHERE name = ?", (NAME,)).get
    try:
        found = json.loads(said) if isinstance(said, str) else None
        if not isinstance(found, dict):
            return None
        seen, size = float(found["seen"]), int(found["size"])
        ages = tuple(float(age) for age in found["ages"])
        cutoffs = tuple(float(cutoff) for cutoff in found["cutoffs"])
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    whole = len(ages) == len(cutoffs) == LEVELS and size > 0
    if not (whole and all(map(math.isfinite, (seen, *ages, *cutoffs))) and min(ages) > 0):
        return None
    return Applied(seen, ages, size, cutoffs)


def record(connection: apsw.Connection, carried_out: Applied) -> None:
    """Write down what is carried out, within the transaction that does so."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (NAME, carried_out.encoded()))


class _Time:
    """Whether the clock is further than time can have gone since it was last believed."""

    def __init__(self, since_start: Callable[[], float]) -> None:
        self._since_start = since_start
        self._believed: tuple[float, float, float] | None = None
        self._doubted: tuple[float, float] | None = None

    def ahead_seconds(self, seen: float, now: float) -> float:
        """By how much the clock is ahead, at least; 0 where it may be right."""
        at = self._since_start()
        if self._believed is None:
            self._believed = (seen, at, OFF_SECONDS)
        then, then_at, slack = self._believed
        if now <= then + (at - then_at) + slack:
            self._doubted = None
            return 0.0
        offset = now - at
        if self._doubted is None or abs(offset - self._doubted[1]) > SLACK_SECONDS:
            self._doubted = (at, offset)
        return now - then - (at - then_at)

    def has_kept_its_word(self) -> bool:
        """Whether a clock that is ahead has gone evenly for long enough since."""
        return self._doubted is not None and (
            self._since_start() - self._doubted[0] >= BELIEF_SECONDS
        )

    def believe(self, now: float) -> None:
        """Take the clock to be right; one that went back may come back."""
        at = self._since_start()
        if self._believed is not None:
            then, then_at, _ = self._believed
            now = max(now, then + (at - then_at))
        self._believed = (now, at, SLACK_SECONDS)
        self._doubted = None


class Brake:
    """Decides what of a policy is carried out.  With `accept` everything is, once."""

    def __init__(
        self,
        config: RetentionConfig,
        accept: bool = False,
        since_start: Callable[[], float] = since_start,
    ) -> None:
        self._config = config
        self._accept = accept
        self._time = _Time(since_start)

    def accepted(self) -> None:
        """What was accepted has been carried out: from now on everything is judged again."""
        self._accept = False

    def judge(self, connection: apsw.Connection, now: float) -> Judged:
        """What is carried out at `now`, in unix seconds.  It looks, and changes nothing."""
        wanted = Applied.of(now, self._config.ages, self._config.size)
        if self._accept:
            self._time.believe(now)
            return Judged(wanted)
        before = applied(connection) or _without_a_policy(connection, now)
        store = _Look(connection)
        if held := self._held_by_clock(store, before, now):
            return Judged(before, (held,))
        self._time.believe(now)
        before = replace(Applied.of(now, before.ages, before.size), cutoffs=before.cutoffs)
        in_force, held_age = _ages(store, before, wanted)
        size, held_size = _size(store, in_force, wanted.size)
        return Judged(
            replace(in_force, size=size), tuple(each for each in (held_age, held_size) if each)
        )

    def _held_by_clock(self, store: _Look, before: Applied, now: float) -> Held | None:
        ahead = self._time.ahead_seconds(before.seen, now)
        if not ahead:
            return None
        cutoffs = Applied.of(now, before.ages, before.size).cutoffs
        lost = store.lost(before.cutoffs, cutoffs)
        if not self._time.has_kept_its_word():
            each = (store.lost(before.cutoffs, cutoffs, keep) for keep in range(LEVELS))
            lost = max(lost, *each)
        return Held(cutoffs, lost, clock_ahead_seconds=ahead) if lost > MOST_LOST else None


class _Look:
    """The store's coverage, read at most once, and only where something must be judged."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    @cached_property
    def coverage(self) -> Coverage:
        return coverage.read(self._connection)

    @cached_property
    def totals(self) -> list[int]:
        return totals(self._connection)

    def lost(
        self, before: Sequence[float], after: Sequence[float], keep: int | None = None
    ) -> float:
        """The share of the time × hosts from `before` on that would go with what is older."""
        return _share(
            self.coverage.seconds(before, keep),
            self.coverage.seconds([max(pair) for pair in zip(before, after, strict=True)], keep),
        )


def totals(connection: apsw.Connection) -> list[int]:
    """The bytes of each tier, and at last of the tables."""
    found: dict[Any, Any] = dict(connection.execute("SELECT keep, bytes FROM totals"))
    return [max(0, int(found.get(keep, 0))) for keep in range(LEVELS + 1)]


def _share(before: float, after: float) -> float:
    return 1.0 - after / before if before > 0 else 0.0


def _without_a_policy(connection: apsw.Connection, now: float) -> Applied:
    """Where nothing says what was carried out: nothing was, and all that is there is kept."""
    newest = connection.execute("SELECT max(last) FROM chunks WHERE keep = 0").get
    seen = min(now, newest) if isinstance(newest, float) and math.isfinite(newest) else now
    kept_for_ever = Applied.of(seen, (LONGEST_SECONDS,) * LEVELS, MOST_BYTES)
    return replace(kept_for_ever, cutoffs=(-math.inf,) * LEVELS)


def _ages(store: _Look, before: Applied, wanted: Applied) -> tuple[Applied, Held | None]:
    """The policy in force with the ages that may be, and what is held.

    `before` has the time of `wanted`, and its own cutoffs still, which time has made old: what
    lies between them and its ages goes anyway.
    """
    aged = Applied.of(before.seen, before.ages, before.size)
    if all(new >= old for new, old in zip(wanted.ages, before.ages, strict=True)):
        return replace(wanted, size=before.size), None
    here = [max(pair) for pair in zip(aged.cutoffs, before.cutoffs, strict=True)]
    lost = store.lost(here, wanted.cutoffs)
    if lost <= MOST_LOST:
        return replace(wanted, size=before.size), None
    # What is to be kept longer is: nothing is lost by that.
    longer = tuple(max(pair) for pair in zip(wanted.ages, before.ages, strict=True))
    return Applied.of(before.seen, longer, before.size), Held(wanted.cutoffs, lost)


def _size(store: _Look, in_force: Applied, wanted: int) -> tuple[int, Held | None]:
    """The size in force, and what is held: judged by what the oldest chunks that would go cover.

    A tier's chunks are taken to be of one size, as no index knows theirs.
    """
    if wanted >= in_force.size or sum(store.totals) <= wanted:
        return wanted, None
    there = store.coverage
    gone = []
    for keep, need in enumerate(levelled(store.totals, wanted)[:LEVELS]):
        share = 1 - need / store.totals[keep] if store.totals[keep] else 0.0
        gone.append(math.ceil(share * there.closed(keep)))
    left = there.without_oldest(gone)
    lost = _share(there.seconds(in_force.cutoffs), left.seconds(in_force.cutoffs))
    if lost <= MOST_LOST:
        return wanted, None
    firsts = (left.starts[left.keeps == keep] for keep in range(LEVELS))
    cutoffs = tuple(float(first.min()) if len(first) else in_force.seen for first in firsts)
    return in_force.size, Held(cutoffs, lost, size=wanted)
