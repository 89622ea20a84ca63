"""Forecasts: how fast many series grow, robustly, and when each of them is full.

The slope of a series is the median of the slopes between points that lie a quarter of a window
apart: the incomplete form of the estimator of Theil (1950) and Sen (1968).  A step lies between a
third of these pairs at most, wherever it is, so that one large file that was written, or deleted,
does not turn it (between points half a window apart it would, for much of the window).  It costs a
sort of a few dozen numbers where all pairs would cost thousands.  It knows numbers; what fills is
for its caller.
"""

from __future__ import annotations

import math

import numpy as np

from monitor.core.rules.windows import TICK_SECONDS, Rows, arranged
from monitor.core.series import Floats

MOST_POINTS = 72
"""Points of a window, each the average of its part of it: six hours move in steps of five
minutes.  A row costs 8 bytes a point and 24 more, so 600."""

APART_SHARE = 4
"""Points of a pair lie a fourth of the window apart."""

LEAST_PAIRS_SHARE = 1 / 2
"""How many of the pairs of points must be known; five eighths of a window, where it just began."""

ROWS_AT_ONCE = 4_096
"""Rows whose slope is reckoned in one push, about 5 ms: thirty thousand take eight ticks."""


class Slope:
    """How much every row grows in a second, over a window.

    `tick_seconds` is how far apart pushes are, and the least distance of two points.
    """

    def __init__(self, over_seconds: float, rows: int, tick_seconds: float = TICK_SECONDS) -> None:
        self._step = max(over_seconds / MOST_POINTS, tick_seconds)
        # Two points, however short the window: one has no slope.
        self._count = max(2, math.ceil(over_seconds / self._step - 1e-9))
        self._number: int | None = None
        self._points = np.full((self._count, rows), np.nan)
        """Averages of the last full parts of the window, each in its number's place."""
        self._sum = np.zeros(rows)
        self._size = np.zeros(rows)
        self._slopes = np.full(rows, np.nan)
        self._reckoned = rows
        """How many rows' slopes are of the newest points."""

    @property
    def rows(self) -> int:
        """How many series there are."""
        return len(self._slopes)

    @property
    def step_seconds(self) -> float:
        """How far apart points are."""
        return self._step

    def push(self, now: float, values: Floats) -> Floats:
        """Take each row's newest value, NaN where it is not known; the growth per second.

        `now` does not go back.  A slope is of the full parts of the window, and NaN where too
        little of it is known; that of the last rows of very many is a few pushes old.
        """
        number = math.floor(now / self._step)
        if self._number is None:
            self._number = number
        if number > self._number:
            self._close(number)
        known = np.isfinite(values)
        np.add(self._sum, values, out=self._sum, where=known)
        self._size += known
        if self._reckoned < self.rows:
            self._reckon(self._reckoned, min(self.rows, self._reckoned + ROWS_AT_ONCE))
        return self._slopes

    def _close(self, number: int) -> None:
        """The part that was being filled is full; those before the window go."""
        before = self._number or 0
        with np.errstate(invalid="ignore", divide="ignore"):
            self._points[before % self._count] = self._sum / self._size
        for gone in range(max(before, number - self._count - 1) + 1, number):
            self._points[gone % self._count] = np.nan
        self._sum, self._size = np.zeros(self.rows), np.zeros(self.rows)
        self._number, self._reckoned = number, 0

    def _reckon(self, first: int, end: int) -> None:
        """The median slope of rows, between points that lie so far apart."""
        # The oldest point is that in the place which the present part will take.
        begins = (self._number or 0) % self._count
        points = np.roll(self._points[:, first:end], -begins, axis=0)
        apart = max(1, self._count // APART_SHARE)
        rises = points[apart:] - points[:-apart]
        rises.sort(axis=0)  # those that are not known come last
        known = np.count_nonzero(~np.isnan(rises), axis=0)
        columns = np.arange(end - first)
        low = rises[np.maximum(known - 1, 0) // 2, columns]
        high = rises[np.minimum(known // 2, len(rises) - 1), columns]
        needed = max(1, math.ceil(len(rises) * LEAST_PAIRS_SHARE))
        slope = (low + high) / 2 / (apart * self._step)
        self._slopes[first:end] = np.where(known >= needed, slope, np.nan)
        self._reckoned = end

    def seconds_to(self, now: float, values: Floats, full: float) -> Floats:
        """Take the newest values, and in how many seconds each row reaches `full`.

        0 where it has, infinite where it does not grow, NaN where value or slope is not known.
        A `full` of 0 is where something runs out, and what falls towards it is what fills it.
        """
        slopes = self.push(now, values)
        if full == 0:
            values, slopes = -values, -slopes
        left = full - values
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found = np.where(slopes > 0, left / slopes, np.inf)
        found = np.where(left <= 0, 0.0, found)
        return np.where(np.isfinite(values) & ~np.isnan(slopes), found, np.nan)

    def arrange(self, source: Rows) -> None:
        """Lay the rows out anew: row i goes on where row ``source[i]`` was; −1 begins empty."""
        kept = source >= 0
        self._points = arranged(self._points, source, kept, math.nan)
        self._sum = arranged(self._sum, source, kept, 0.0)
        self._size = arranged(self._size, source, kept, 0.0)
        self._slopes = arranged(self._slopes, source, kept, math.nan)
        self._reckoned = 0

    def clear(self, rows: Rows) -> None:
        """Begin these rows anew, which costs nothing of the others."""
        self._points[:, rows] = self._slopes[rows] = math.nan
        self._sum[rows] = self._size[rows] = 0.0

    def fill(self, row: int, at: Floats, minimum: Floats, average: Floats, maximum: Floats) -> None:
        """Give a row its history from the store: values from `at` on, ascending, NaN for gaps.

        Only the averages count; parts that know something already stay as they are.
        """
        del minimum, maximum
        usable = np.isfinite(average)
        at, average = at[usable], average[usable]
        if not len(at):
            return
        if self._number is None:
            self._number = math.floor(at[-1] / self._step) + 1
        numbers = np.floor(at / self._step).astype(np.int64)
        inside = (numbers >= self._number - self._count) & (numbers < self._number)
        places = numbers[inside] % self._count
        sizes = np.bincount(places, minlength=self._count)
        sums = np.bincount(places, average[inside], self._count)
        mine = self._points[:, row]
        empty = (sizes > 0) & np.isnan(mine)
        mine[empty] = sums[empty] / sizes[empty]
        self._reckoned = 0
