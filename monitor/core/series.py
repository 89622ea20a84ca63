"""Arithmetic on series: rates of counters, and buckets of ranges.  The one place for both.

Arrays are numpy float64; instants are unix seconds; NaN is "nothing observed".
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ENDED_BITS = 0x7FF0000000000002
"""The NaN that says that a series has ended (Prometheus' staleness marker), kept bit for bit."""

LOOKBACK_SECONDS = 300.0
"""A counter that was silent for longer has no rate across the silence (Prometheus' lookback)."""

NICE_STEPS_SECONDS = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400),
)
"""Bucket widths that people can read; above a day, whole days."""


EARLY_SHARE = 0.01
"""A sample that is early by so much of a bucket belongs to the next: clocks are slewed, and two
samples in one bucket leave the other one looking like a gap."""


def rates(at: Floats, counts: Floats) -> Floats:
    """The rate per second of a counter at each of its observations.

    `at` ascends and `counts` holds no NaN; both have one length.  The first rate is NaN, as is
    one across a silence longer than `LOOKBACK_SECONDS`.  A count that went down was reset, and
    what it counts now is its increase since (Prometheus' rule).
    """
    found = np.full(len(at), np.nan)
    if len(at) > 1:
        found[1:] = rate_between(at[:-1], counts[:-1], at[1:], counts[1:])
    return found


def rate_between(earlier: Floats, before: Floats, later: Floats, after: Floats) -> Floats:
    """The rate per second between two observations of each counter, element by element.

    A count below zero is none, whoever says it, and nothing follows from it.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        increase = after - before
        increase = np.where(increase < 0, after, increase)
        elapsed = later - earlier
        usable = (elapsed > 0) & (elapsed <= LOOKBACK_SECONDS) & (before >= 0) & (after >= 0)
        return np.where(usable, increase / elapsed, np.nan)


def bucket_plan(
    start: float,
    end: float,
    points: int,
    least_seconds: float = 0.0,
    multiple_seconds: float = 0.0,
) -> tuple[int, float, int]:
    """How [start, end) is cut into at most `points` buckets of a readable width.

    No bucket is narrower than `least_seconds`, the time between two observations: one that
    nothing could fall into would look like a gap.  Where `multiple_seconds` is given, a width is
    a multiple of it, so that stored buckets nest in these; it divides a day.
    Returns the first bucket's number, the width in seconds and how many there are; bucket n
    begins at n × width, so that the same instant falls into the same bucket at every reload.
    """
    wanted = max((end - start) / points, least_seconds)
    for step in NICE_STEPS_SECONDS:
        nests = not multiple_seconds or step % multiple_seconds == 0
        if step >= wanted and nests:
            first, count = _numbered(start, end, step)
            if count <= points:
                return first, step, count
    days = max(1, math.ceil(wanted / 86_400))
    while True:
        first, count = _numbered(start, end, days * 86_400.0)
        if count <= points:
            return first, days * 86_400.0, count
        days = math.ceil(days * 1.25)  # a straddled edge; points == 1 may take a few rounds


def _numbered(start: float, end: float, step: float) -> tuple[int, int]:
    first = math.floor(start / step)
    return first, max(1, math.ceil(end / step) - first)


def bucketed(
    at: Floats, values: Floats, first: int, step: float, count: int
) -> tuple[Floats, Floats, Floats]:
    """Minimum, average and maximum of a series in each of `count` buckets.

    `at` ascends and ends with the buckets; values that are NaN do not count; an empty bucket
    is NaN in all three.
    """
    minimum, average, maximum = (np.full(count, np.nan) for _ in range(3))
    number = np.floor(at / step + EARLY_SHARE).astype(np.int64) - first
    usable = np.isfinite(values) & (number >= 0) & (number <= count)
    number = np.minimum(number, count - 1)
    number, values = number[usable], values[usable]
    if not len(values):
        return minimum, average, maximum
    edges = np.flatnonzero(np.diff(number, prepend=-1))
    filled = number[edges]
    sizes = np.diff(edges, append=len(values))
    minimum[filled] = np.minimum.reduceat(values, edges)
    maximum[filled] = np.maximum.reduceat(values, edges)
    average[filled] = np.add.reduceat(values, edges) / sizes
    return minimum, average, maximum


ROUNDED_SHARE = 1e-9
"""An average that is outside of what it is of by less of itself was only rounded."""


def unrounded(minimum: Floats, average: Floats, maximum: Floats) -> Floats:
    """Averages of buckets, without what adding up has rounded: of 0.1 alone it is 0.1.

    So what stays exactly at a limit is not above it.
    """
    inside = np.clip(average, minimum, maximum)
    with np.errstate(invalid="ignore"):
        near = np.abs(inside - average) <= ROUNDED_SHARE * np.abs(average)
    return np.where(near, inside, average)
