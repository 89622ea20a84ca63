"""Limits, held against many values at once: whether each holds, with its way back.

Every limit is one object for all rows of a rule, with what it must remember of each row: on which
side of the limit it is, what was seen last, how long nothing was.  Values that are NaN are not
known: they leave the side as it is, and whoever asks is told that it was not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from monitor.core.board import Indexes
from monitor.core.catalog import is_counter
from monitor.core.forecast import Slope
from monitor.core.rules import peers
from monitor.core.rules.model import (
    Above,
    AbsentFor,
    Below,
    Changed,
    Clause,
    DiffersFromPeers,
    Equals,
    FillsWithin,
    Outside,
    RateAbove,
    Reduce,
)
from monitor.core.rules.windows import Window
from monitor.core.series import Floats

Flags: TypeAlias = NDArray[np.bool_]

EQUAL_SHARE = 1e-9
"""Numbers that differ by less of themselves are equal: they were decimal once."""

GROWTH_SECONDS = 60.0
"""Over how long growth is measured where the rule does not say."""

GROWTH_POINTS = 12
FORECAST_SECONDS = 6 * 3_600.0
"""The history of a forecast where the rule does not say."""


class Holding(Protocol):
    """One clause's limit over rows."""

    def judge(self, values: Floats, now: float, elapsed: float) -> tuple[Flags, Flags]:
        """Whether it holds for each row, and whether that was seen now.

        `elapsed` are the seconds since the last time, 0 where time is not to count.
        """

    def grow(self, rows: int) -> None:
        """Have room for so many rows."""

    def clear(self, rows: Indexes) -> None:
        """Remember nothing of these rows."""

    def kept(self, row: int) -> float | None:
        """What a restart must know of a row beside its value; none where there is nothing."""

    def busy(self) -> Indexes:
        """The rows of which something is kept."""

    def restore(self, row: int, kept: float) -> None:
        """Go on with a row as it was kept."""

    def hold(self, row: int) -> None:
        """Go on with a row of which only is known that it held."""


def holding(clause: Clause, rows: int, tick_seconds: float) -> Holding:
    """The object for a clause that is judged so often."""
    limit, condition = clause.limit, clause.condition
    match limit:
        case Above(value, clear):
            return _Side(_above(value, clear), rows)
        case Below(value, clear):
            return _Side(_below(value, clear), rows)
        case Outside():
            return _Side(_outside(limit), rows)
        case Equals(value):
            return _Side(_equals(value), rows)
        case AbsentFor(seconds):
            return Absent(seconds, rows)
        case Changed():
            return _Changed(condition.over_seconds, rows)
        case RateAbove(value, clear):
            over = condition.over_seconds or GROWTH_SECONDS
            # A counter's value is its rate already.
            kind = _Average if is_counter(condition.metric) else _Growth
            return Derived(kind(over, rows, tick_seconds), _Side(_above(value, clear), rows))
        case FillsWithin(seconds, clear):
            filling = Filling(
                condition.over_seconds or FORECAST_SECONDS, condition.full, rows, tick_seconds
            )
            return Derived(filling, _Side(_below(seconds, clear), rows))
        case DiffersFromPeers(deviations, clear):
            return Derived(Peers(rows), _Side(_above(deviations, clear), rows))
        case _:
            assert_never(limit)


class _Decide(Protocol):
    def __call__(self, values: Floats, side: Flags, /) -> Flags:
        """The new side of each row; where the value is NaN, the old one."""


def _above(value: float, clear: float) -> _Decide:
    if clear == value:
        return lambda values, side: (values > value) | (side & ~(values <= value))
    return lambda values, side: (values > value) | (side & ~(values < clear))


def _below(value: float, clear: float) -> _Decide:
    if clear == value:
        return lambda values, side: (values < value) | (side & ~(values >= value))
    return lambda values, side: (values < value) | (side & ~(values > clear))


def _outside(limit: Outside) -> _Decide:
    low, high = limit.low, limit.high
    back_low, back_high = limit.clear_low, limit.clear_high
    return lambda values, side: (
        (values < low) | (values > high) | (side & ~((values >= back_low) & (values <= back_high)))
    )


def _equals(value: float) -> _Decide:
    near = abs(value) * EQUAL_SHARE
    return lambda values, side: (np.abs(values - value) <= near) | (side & np.isnan(values))


class _Side:
    """A limit with a side and a way back."""

    def __init__(self, decide: _Decide, rows: int) -> None:
        self._decide = decide
        self._side: Flags = np.zeros(rows, np.bool_)

    def judge(self, values: Floats, now: float, elapsed: float) -> tuple[Flags, Flags]:  # noqa: ARG002 - a side knows no time
        """As `Holding` says."""
        self._side = self._decide(values, self._side)
        return self._side, ~np.isnan(values)

    def grow(self, rows: int) -> None:
        """As `Holding` says."""
        self._side = _grown(self._side, rows, fill=False)

    def clear(self, rows: Indexes) -> None:
        """As `Holding` says."""
        self._side[rows] = False

    def kept(self, row: int) -> float | None:
        """As `Holding` says."""
        return 1.0 if self._side[row] else None

    def busy(self) -> Indexes:
        """As `Holding` says."""
        return np.flatnonzero(self._side)

    def restore(self, row: int, kept: float) -> None:
        """As `Holding` says."""
        self._side[row] = kept > 0

    def hold(self, row: int) -> None:
        """As `Holding` says."""
        self._side[row] = True


class Absent:
    """Nothing was observed for so long of a series that was once.

    Its values are instants of observations (`Board.observed`): another one is a new observation.
    Whoever sends at a known pace is not absent before it missed a send; `least` says how long that
    is for each row, NaN where no pace is known.
    """

    def __init__(self, seconds: float, rows: int) -> None:
        self._seconds = seconds
        self._silent: Floats = np.full(rows, np.nan)
        self._before: Floats = np.full(rows, np.nan)
        self.least: Floats | float = np.nan

    def judge(self, values: Floats, now: float, elapsed: float) -> tuple[Flags, Flags]:  # noqa: ARG002 - it counts
        """As `Holding` says; that nothing is seen is what it sees."""
        seen = ~np.isnan(values)
        fresh = seen & ((values != self._before) | np.isinf(values))
        self._before = np.where(seen, values, self._before)
        self._silent = np.where(fresh, 0.0, self._silent + elapsed)
        # A maximum takes the number where the other is NaN.
        return self._silent >= np.fmax(self._seconds, self.least), ~np.isnan(self._silent)

    def grow(self, rows: int) -> None:
        """As `Holding` says."""
        self._silent = _grown(self._silent, rows, fill=np.nan)
        self._before = _grown(self._before, rows, fill=np.nan)

    def clear(self, rows: Indexes) -> None:
        """As `Holding` says."""
        self._silent[rows] = self._before[rows] = np.nan

    def kept(self, row: int) -> float | None:
        """As `Holding` says: of one that is there too, as it may end while nobody looks."""
        silent = float(self._silent[row])
        return None if np.isnan(silent) else silent

    def busy(self) -> Indexes:
        """As `Holding` says."""
        return np.flatnonzero(~np.isnan(self._silent))

    def restore(self, row: int, kept: float) -> None:
        """As `Holding` says."""
        self._silent[row] = kept

    def hold(self, row: int) -> None:
        """As `Holding` says."""
        self._silent[row] = self._seconds


class _Changed:
    """The value became another a little while ago."""

    def __init__(self, seconds: float, rows: int) -> None:
        self._seconds = seconds
        self._before: Floats = np.full(rows, np.nan)
        self._since: Floats = np.full(rows, np.inf)

    def judge(self, values: Floats, now: float, elapsed: float) -> tuple[Flags, Flags]:  # noqa: ARG002 - it counts
        """As `Holding` says."""
        known = ~np.isnan(values)
        with np.errstate(invalid="ignore"):  # what is infinite may stay so
            size = np.fmin(np.abs(values), np.abs(self._before))
            changed = known & ~(np.abs(values - self._before) <= size * EQUAL_SHARE)
        changed &= ~np.isnan(self._before) & (values != self._before)
        self._since = np.where(changed, 0.0, self._since + elapsed)
        self._before = np.where(known, values, self._before)
        return self._since <= self._seconds, known

    def grow(self, rows: int) -> None:
        """As `Holding` says."""
        self._before = _grown(self._before, rows, fill=np.nan)
        self._since = _grown(self._since, rows, fill=np.inf)

    def clear(self, rows: Indexes) -> None:
        """As `Holding` says."""
        self._before[rows], self._since[rows] = np.nan, np.inf

    def kept(self, row: int) -> float | None:
        """As `Holding` says: what it was, so that a change while nobody looked is seen."""
        before = float(self._before[row])
        return None if np.isnan(before) else before

    def busy(self) -> Indexes:
        """As `Holding` says."""
        return np.flatnonzero(~np.isnan(self._before))

    def restore(self, row: int, kept: float) -> None:
        """As `Holding` says."""
        self._before[row] = kept

    def hold(self, row: int) -> None:
        """As `Holding` says: when it changed is not known, so it is as if it just had."""
        self._since[row] = 0.0


class _Derive(Protocol):
    """What is made of values before they are held against a limit."""

    def derive(self, values: Floats, now: float) -> Floats:
        """One number a row, NaN where it is not known."""

    def grow(self, rows: int) -> None:
        """Have room for so many rows."""

    def clear(self, rows: Indexes) -> None:
        """Remember nothing of these rows."""


class Derived:
    """A limit on what is derived."""

    def __init__(self, derive: _Derive, side: _Side) -> None:
        self.derive = derive
        self._side = side

    def judge(self, values: Floats, now: float, elapsed: float) -> tuple[Flags, Flags]:
        """As `Holding` says."""
        return self._side.judge(self.derive.derive(values, now), now, elapsed)

    def grow(self, rows: int) -> None:
        """As `Holding` says."""
        self.derive.grow(rows)
        self._side.grow(rows)

    def clear(self, rows: Indexes) -> None:
        """As `Holding` says."""
        self.derive.clear(rows)
        self._side.clear(rows)

    def kept(self, row: int) -> float | None:
        """As `Holding` says."""
        return self._side.kept(row)

    def busy(self) -> Indexes:
        """As `Holding` says."""
        return self._side.busy()

    def restore(self, row: int, kept: float) -> None:
        """As `Holding` says."""
        self._side.restore(row, kept)

    def hold(self, row: int) -> None:
        """As `Holding` says."""
        self._side.hold(row)


class _Growth:
    """By how much a value grew a second, from the oldest of so many points to the newest."""

    def __init__(self, over_seconds: float, rows: int, tick_seconds: float) -> None:
        self._apart = max(over_seconds / GROWTH_POINTS, tick_seconds)
        count = max(1, round(over_seconds / self._apart)) + 1
        self._points: Floats = np.full((count, rows), np.nan)
        self._at: Floats = np.full(count, np.nan)
        self._next = 0
        self._early = tick_seconds / 2
        self._due = -np.inf

    def derive(self, values: Floats, now: float) -> Floats:
        """As `_Derive` says."""
        if now >= self._due or now < self._due - 2 * self._apart:
            self._points[self._next] = values
            self._at[self._next] = now
            self._next = (self._next + 1) % len(self._at)
            # Ticks are not quite even, and one that is a little early is the one that is due.
            self._due = now + self._apart - self._early
        oldest = self._points[self._next]
        elapsed = now - self._at[self._next]
        if not elapsed > 0:
            return np.full(len(values), np.nan)
        with np.errstate(invalid="ignore"):
            grown: Floats = (values - oldest) / elapsed
        return grown

    def grow(self, rows: int) -> None:
        """As `_Derive` says."""
        more = rows - self._points.shape[1]
        if more > 0:
            empty = np.full((len(self._points), more), np.nan)
            self._points = np.concatenate((self._points, empty), axis=1)

    def clear(self, rows: Indexes) -> None:
        """As `_Derive` says."""
        self._points[:, rows] = np.nan


class _Average:
    """The average of what is a rate already."""

    def __init__(self, over_seconds: float, rows: int, tick_seconds: float) -> None:
        self._window = Window(over_seconds, Reduce.AVG, rows, tick_seconds)

    def derive(self, values: Floats, now: float) -> Floats:
        """As `_Derive` says."""
        average = self._window.push(now, values)
        return np.where(np.isnan(values), np.nan, average)

    def grow(self, rows: int) -> None:
        """As `_Derive` says."""
        source = np.arange(rows, dtype=np.intp)
        source[self._window.rows :] = -1
        self._window.arrange(source)

    def clear(self, rows: Indexes) -> None:
        """As `_Derive` says."""
        self._window.clear(rows)


class Filling:
    """In how many seconds something is full."""

    def __init__(self, over_seconds: float, full: float, rows: int, tick_seconds: float) -> None:
        self.over_seconds = over_seconds
        self._full = full
        self._rows = rows
        self.slope = Slope(over_seconds, rows, tick_seconds)

    def derive(self, values: Floats, now: float) -> Floats:
        """As `_Derive` says."""
        return self.slope.seconds_to(now, values, self._full)

    def grow(self, rows: int) -> None:
        """As `_Derive` says."""
        source = np.arange(rows, dtype=np.intp)
        source[self._rows :] = -1
        self._rows = rows
        self.slope.arrange(source)

    def clear(self, rows: Indexes) -> None:
        """As `_Derive` says."""
        self.slope.clear(rows)


class Peers:
    """How far each is from the median of its peers; `group` says who they are, by number."""

    def __init__(self, rows: int) -> None:
        self.group: Indexes = np.full(rows, -1, np.intp)
        self._numbers: dict[object, int] = {}
        self._names: list[object] = []
        self._sizes: list[int] = []
        self._spare: list[int] = []

    def join(self, row: int, group: object) -> None:
        """Put a row into a group."""
        self._leave(row)
        number = self._numbers.get(group)
        if number is None:
            if self._spare:
                number = self._spare.pop()
            else:
                number = len(self._names)
                self._names.append(None)
                self._sizes.append(0)
            self._numbers[group], self._names[number] = number, group
        self._sizes[number] += 1
        self.group[row] = number

    def _leave(self, row: int) -> None:
        """Take a row out of its group, and forget that where it was the last."""
        number = int(self.group[row])
        if number < 0:
            return
        self.group[row] = -1
        self._sizes[number] -= 1
        if not self._sizes[number]:
            del self._numbers[self._names[number]]
            self._spare.append(number)

    def derive(self, values: Floats, now: float) -> Floats:  # noqa: ARG002 - peers are compared now
        """As `_Derive` says."""
        found: Floats = np.full(len(values), np.nan)
        placed = np.flatnonzero(self.group >= 0)
        if len(placed):
            found[placed] = peers.deviations(values[placed], self.group[placed], len(self._names))
        return found

    def grow(self, rows: int) -> None:
        """As `_Derive` says."""
        self.group = _grown(self.group, rows, fill=-1)

    def clear(self, rows: Indexes) -> None:
        """As `_Derive` says."""
        for row in rows.tolist():
            self._leave(row)


def _grown(known: NDArray, rows: int, fill: float) -> NDArray:  # type: ignore[type-arg]
    more = rows - len(known)
    return np.concatenate((known, np.full(more, fill, known.dtype))) if more > 0 else known


def every(clauses: Sequence[tuple[Flags, Flags]]) -> tuple[Flags, Flags]:
    """Whether all hold, and whether that was seen: one that was seen not to hold is enough."""
    holds, known = clauses[0]
    refuted = known & ~holds
    for other, seen in clauses[1:]:
        refuted = refuted | (seen & ~other)
        holds = holds & other
        known = known & seen
    return holds & ~refuted, known | refuted


def some(clauses: Sequence[tuple[Flags, Flags]]) -> tuple[Flags, Flags]:
    """Whether any holds, and whether that was seen: one that was seen to hold is enough."""
    holds, known = clauses[0]
    proved = holds & known
    for other, seen in clauses[1:]:
        proved = proved | (other & seen)
        holds = holds | other
        known = known & seen
    return holds, known | proved
