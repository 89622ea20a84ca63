"""Windows: what a condition's ``reduce`` makes of the last ``over`` of many series at once.

Rows are series, and the newest value of each is pushed at every tick, as long as it is not late:
so a host that sends once a minute has a value at every tick, and what is pushed weighs by the
time for which it was the newest.  A window is cut into at most `MOST_BUCKETS` buckets that begin
at multiples of their width; the one that is being filled counts as far as it goes, so a window
reaches back for `over` less at most one bucket, and never further.

A row is judged once half of its buckets know something: an average over ten minutes is not told
of three seconds, and a short gap takes nothing away.  It knows numbers; whose they are is for
its caller.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitor.core.aggregate import Aggregate
from monitor.core.rules.model import Reduce
from monitor.core.series import Floats, unrounded

MOST_BUCKETS = 60
"""A window of ten minutes moves in steps of ten seconds.  A row costs at most 12 bytes a bucket
(averages, sums, percentiles) or 8 (extremes), so 720 or 480, and 16 more."""

TICK_SECONDS = 1.0
"""How far apart pushes are, where nothing else is said."""

KNOWN_SHARE = 0.5
"""How much of its buckets must know something before a row has a value."""

HELD_PERIODS = 2.5
"""For how many of its own steps a value from the store still counts where none follows: as long
as one is not late (`monitor.core.state`)."""

Rows = NDArray[np.intp]

F = TypeVar("F", bound=np.floating[Any])

_P95 = Aggregate.parse("p95")
_HAS_MEANS = frozenset({Reduce.AVG, Reduce.SUM, Reduce.P95})


class Window:
    """One reduction over one window, of every row.

    - ``avg`` weighs each value by how long it was the newest one.
    - ``min`` and ``max`` are of all values that were pushed.
    - ``sum`` is of one value a second: of a rate it is what the counter grew by in the window.
    - ``p95`` is of the averages of the buckets that are full, anew whenever one is.
    - ``last`` is the newest that is known, for as long as the window; it needs no half.

    What is not finite is not known.  `tick_seconds` is how far apart pushes are, and the least
    width of a bucket.
    """

    def __init__(
        self, over_seconds: float, reduce: Reduce, rows: int, tick_seconds: float = TICK_SECONDS
    ) -> None:
        self._reduce = reduce
        self._step = max(over_seconds / MOST_BUCKETS, tick_seconds)
        self._count = max(1, math.ceil(over_seconds / self._step - 1e-9))
        self._full = max(1.0, round(self._step / tick_seconds))
        self._tick = tick_seconds
        self._number: int | None = None
        self._sums = self._empty(rows, _HAS_MEANS, 0.0)
        self._sizes: NDArray[np.float32] = self._sums.astype(np.float32)
        """Of the differences from `_base` in each bucket, and how many there are."""
        worst = -math.inf if reduce is Reduce.MAX else math.inf
        self._worst = self._empty(rows, frozenset({Reduce.MIN, Reduce.MAX}), worst)
        self._base = np.full(rows, np.nan)
        """Each row's first value, so that the average of what never changes is exactly that."""
        self._last = np.full(rows, np.nan)
        self._last_at = np.full(rows, -math.inf)
        self._over = over_seconds
        self._closed: tuple[Floats, Floats, Floats] | None = None

    def _empty(self, rows: int, needed: frozenset[Reduce], value: float) -> Floats:
        """Buckets by rows, so that one bucket lies together; none where nobody asks for them."""
        return np.full((self._count if self._reduce in needed else 0, rows), value)

    @property
    def rows(self) -> int:
        """How many series there are."""
        return len(self._base)

    @property
    def step_seconds(self) -> float:
        """How wide a bucket is."""
        return self._step

    @property
    def buckets(self) -> int:
        """How many there are, with the one that is being filled."""
        return self._count

    def push(self, now: float, values: Floats) -> Floats:
        """Take each row's newest value, NaN where it is not known; what the window comes to.

        `now` does not go back.  NaN where too little is known.
        """
        known = np.isfinite(values)
        if self._reduce is Reduce.LAST:
            np.copyto(self._last, values, where=known)
            self._last_at[known] = now
            return np.where(self._last_at > now - max(self._over, self._tick), self._last, np.nan)
        self._turn(math.floor(now / self._step))
        slot = (self._number or 0) % self._count
        if self._reduce is Reduce.MAX:
            np.fmax(self._worst[slot], values, out=self._worst[slot], where=known)
        elif self._reduce is Reduce.MIN:
            np.fmin(self._worst[slot], values, out=self._worst[slot], where=known)
        else:
            np.copyto(self._base, values, where=known & np.isnan(self._base))
            np.add(self._sums[slot], values - self._base, out=self._sums[slot], where=known)
            self._sizes[slot] += known
        return self._value(now, slot)

    def _turn(self, number: int) -> None:
        """Begin the bucket of this number: those that are older than the window go."""
        if self._number is None:
            self._number = number
        if number <= self._number:
            return
        for gone in range(max(self._number, number - self._count) + 1, number + 1):
            slot = gone % self._count
            if self._reduce in _HAS_MEANS:
                self._sums[slot], self._sizes[slot] = 0.0, 0.0
            else:
                self._worst[slot] = self._nothing
        self._number, self._closed = number, None

    @property
    def _nothing(self) -> float:
        return -math.inf if self._reduce is Reduce.MAX else math.inf

    def _value(self, now: float, slot: int) -> Floats:
        """Of what the full buckets come to, reckoned once each, and of the one being filled."""
        if self._closed is None:
            self._closed = self._reckoned(slot)
        first, sizes, filled = self._closed
        needed = math.ceil(self._count * KNOWN_SHARE)
        if self._reduce in {Reduce.MIN, Reduce.MAX}:
            newest = self._worst[slot]
            known = filled + np.isfinite(newest) >= needed
            better = np.fmax if self._reduce is Reduce.MAX else np.fmin
            return np.where(known, better(first, newest), np.nan)
        known = filled + (self._sizes[slot] > 0) >= needed
        with np.errstate(invalid="ignore", divide="ignore"):
            if self._reduce is Reduce.SUM:
                width = min(self._step, now - (self._number or 0) * self._step + self._tick)
                newest = np.where(
                    self._sizes[slot] > 0,
                    (self._base + self._sums[slot] / self._sizes[slot]) * width,
                    0.0,
                )
                return np.where(known, first + newest, np.nan)
            if self._reduce is Reduce.P95 and self._count > 1:
                return np.where(known, first, np.nan)
            total = (first if self._reduce is Reduce.AVG else 0.0) + self._sums[slot]
            average: Floats = self._base + total / (sizes + self._sizes[slot])
        return np.where(known, average, np.nan)

    def _reckoned(self, slot: int) -> tuple[Floats, Floats, Floats]:
        """Of the full buckets: what they come to, how many values they have, how many have any."""
        parts = (slice(0, slot), slice(slot + 1, None))
        none = np.zeros(self.rows)
        if self._reduce in {Reduce.MIN, Reduce.MAX}:
            better = np.fmax if self._reduce is Reduce.MAX else np.fmin
            ends = [better.reduce(self._worst[part], initial=self._nothing) for part in parts]
            filled = sum(np.count_nonzero(np.isfinite(self._worst[part]), 0) for part in parts)
            return better(*ends), none, np.asarray(filled, np.float64)
        filled = sum(np.count_nonzero(self._sizes[part], 0) for part in parts)
        total = sum(self._sizes[part].sum(axis=0, dtype=np.float64) for part in parts)
        known = np.asarray(filled, np.float64), np.asarray(total, np.float64)
        if self._reduce is Reduce.AVG:
            return sum((self._sums[part].sum(axis=0) for part in parts), none), known[1], known[0]
        means = np.full((self._count, self.rows), np.nan)
        np.divide(self._sums, self._sizes, out=means, where=self._sizes > 0)
        means[slot] = np.nan
        if self._reduce is Reduce.SUM:
            full = np.nansum(means, axis=0) + np.where(known[0] > 0, self._base * known[0], 0.0)
            return full * self._step, known[1], known[0]
        return self._base + _P95.over(list(means)), none, known[0]

    def arrange(self, source: Rows) -> None:
        """Lay the rows out anew: row i goes on where row ``source[i]`` was; −1 begins empty."""
        kept = source >= 0
        self._sums = arranged(self._sums, source, kept, 0.0)
        self._sizes = arranged(self._sizes, source, kept, 0.0)
        self._worst = arranged(self._worst, source, kept, self._nothing)
        self._base = arranged(self._base, source, kept, math.nan)
        self._last = arranged(self._last, source, kept, math.nan)
        self._last_at = arranged(self._last_at, source, kept, -math.inf)
        self._closed = None

    def clear(self, rows: Rows) -> None:
        """Begin these rows anew, which costs nothing of the others."""
        self._sums[:, rows] = self._sizes[:, rows] = 0.0
        self._worst[:, rows] = self._nothing
        self._base[rows] = self._last[rows] = math.nan
        self._last_at[rows] = -math.inf
        self._closed = None

    def fill(self, row: int, at: Floats, minimum: Floats, average: Floats, maximum: Floats) -> None:
        """Give a row its history from the store: values from `at` on, ascending, NaN for gaps.

        Each counts until the next one, or for as long as a value is not late.  Buckets that know
        something already stay as they are, and so does the one that is being filled.
        """
        usable = np.isfinite(average)
        if not usable.any():
            return
        held = HELD_PERIODS * float(np.median(np.diff(at))) if len(at) > 1 else self._step
        at, minimum, average, maximum = (found[usable] for found in (at, minimum, average, maximum))
        average = unrounded(minimum, average, maximum)
        if self._reduce is Reduce.LAST:
            if self._last_at[row] < at[-1]:
                self._last[row], self._last_at[row] = average[-1], at[-1]
            return
        if self._number is None:
            self._number = math.floor(at[-1] / self._step)
        if math.isnan(self._base[row]):
            self._base[row] = average[-1]
        numbers = np.arange(self._number - self._count + 1, self._number)
        begins = numbers * self._step
        ends = np.searchsorted(at, begins + self._step)
        # Where nothing began in a bucket, what was before goes on.
        firsts = np.minimum(np.searchsorted(at, begins), ends - 1)
        told = (ends > 0) & (begins < at[firsts] + held)
        extremes = maximum if self._reduce is Reduce.MAX else minimum
        numbers, firsts, ends = numbers[told], firsts[told], ends[told]
        slots = numbers % self._count
        if self._reduce in _HAS_MEANS:
            empty = self._sizes[slots, row] == 0
            totals = np.concatenate(([0.0], np.cumsum(average - self._base[row])))
            means = (totals[ends] - totals[firsts]) / (ends - firsts)
            self._sums[slots[empty], row] = means[empty] * self._full
            self._sizes[slots[empty], row] = self._full
        elif len(slots):
            # One more at the end, since a part may end with the last value.
            padded = np.append(extremes, self._nothing)
            edges = np.column_stack((firsts, ends)).ravel()
            worst = np.fmax if self._reduce is Reduce.MAX else np.fmin
            empty = ~np.isfinite(self._worst[slots, row])
            self._worst[slots[empty], row] = worst.reduceat(padded, edges)[::2][empty]
        self._closed = None


def arranged(
    table: NDArray[F], source: Rows, kept: NDArray[np.bool_], nothing: float
) -> NDArray[F]:
    """A table whose last axis is rows, laid out anew; rows that are not kept are `nothing`."""
    made = np.full((*table.shape[:-1], len(source)), nothing, table.dtype)
    made[..., kept] = table[..., source[kept]]
    return made
