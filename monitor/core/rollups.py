"""Roll-ups: what is kept of a stretch of rows when the rows themselves go.

A roll-up holds, for each bucket of time and each column, the minimum, maximum, total, weight
and last value.  Rolling up rows and rolling up finer roll-ups give the same, so that tiers can
be built from one another.  It knows arrays only: which columns are counters is an argument.

A gauge's total is the sum of its finite values and its weight their number.  A counter's
minimum and maximum are of its rates per second, its total is its increase and its weight the
seconds in which it increased, so that total over weight is the rate as time saw it.  A NaN was
not observed: it weighs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.core.series import EARLY_SHARE, LOOKBACK_SECONDS, Floats

MINIMUM, MAXIMUM, TOTAL, WEIGHT, LAST = range(5)
FIELDS = 5

EARLY_SECONDS = 0.1
"""A row so early belongs to the next bucket: clocks are slewed.  It is absolute, so that the
buckets of one tier nest exactly in those of the next."""

RATE_BITS = 10
"""Of a rate that is kept: less than 0.1 % away from what was observed."""

FINEST_A_UNIT = 1e6
SAME_SHARE = 1e-12
MOST_UNITS = float(2**52)
"""A total so near to a multiple of 1e-6, by its own and the last value's size, is that multiple;
beyond so many of them floats cannot tell."""


@dataclass(frozen=True, slots=True)
class Tier:
    """One resolution at which history is kept."""

    name: str
    seconds: float


TIERS = (Tier("10s", 10.0), Tier("1m", 60.0), Tier("15m", 900.0), Tier("2h", 7200.0))
"""Levels 1 to 4; each step divides the next."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """`starts`, (n,), ascend: of buckets in unix seconds, or the instants of single rows.

    `fields` is (5, n, columns): minimum, maximum, total, weight and last.
    """

    starts: Floats
    fields: Floats


def early_seconds(step: float) -> float:
    """How early a row may be and still belong to the next bucket of `step` seconds."""
    return min(EARLY_SECONDS, EARLY_SHARE * step)


def observed(
    at: Floats, values: Floats, counters: NDArray[np.bool_], since: float = -math.inf
) -> Rollup:
    """Rows as a roll-up, each a bucket of its own.

    `at`, (n,), ascends; `values` is (n, columns); `counters`, (columns,), says which columns
    count.  Rows from before `since` are only what later counts are compared with.  A counter's
    rate follows `core.series.rates`: its first row, and one after a longer silence than
    `LOOKBACK_SECONDS`, have a last value and no rate.  Infinities are minimum, maximum and last,
    and weigh nothing, so that an average stays finite where something finite was seen.
    """
    begin = int(np.searchsorted(at, since))
    fields = np.empty((FIELDS, len(at) - begin, values.shape[1]))
    kept = values[begin:]
    fields[:] = kept
    finite = np.isfinite(kept)
    fields[WEIGHT] = finite
    if not finite.all():
        fields[TOTAL][~finite] = 0.0
    columns = np.flatnonzero(counters)
    if len(columns) and len(kept):
        _fill_counters(fields, at, values, columns, begin)
    return Rollup(at[begin:].copy(), fields)


def _fill_counters(
    fields: Floats, at: Floats, values: Floats, columns: NDArray[np.intp], begin: int
) -> None:
    """Overwrite what `observed` says of counters; their last value stays."""
    counts = values[:, columns]
    unseen = np.isnan(counts)
    gappy = unseen.any(axis=0)
    plain = columns[~gappy]
    if len(plain):
        elapsed = np.diff(at, prepend=np.nan)[:, None]
        before = np.empty((len(at), len(plain)))
        before[0] = np.nan
        whole = counts[:, ~gappy]
        before[1:] = whole[:-1]
        _fill_rates(fields, plain, whole[begin:], before[begin:], elapsed[begin:])
    rest = columns[gappy]
    if len(rest):
        holey = counts[:, gappy]
        rows = np.where(unseen[:, gappy], -1, np.arange(len(at))[:, None])
        seen = np.maximum.accumulate(rows, axis=0)
        previous = np.full_like(seen, -1)
        previous[1:] = seen[:-1]
        before = np.take_along_axis(holey, np.maximum(previous, 0), axis=0)
        elapsed = np.where(previous < 0, np.nan, at[:, None] - at[np.maximum(previous, 0)])
        _fill_rates(fields, rest, holey[begin:], before[begin:], elapsed[begin:])


def _fill_rates(
    fields: Floats, columns: NDArray[np.intp], after: Floats, before: Floats, elapsed: Floats
) -> None:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        increase = after - before
        increase = np.where(increase < 0, after, increase)
        usable = (elapsed > 0) & (elapsed <= LOOKBACK_SECONDS)
        rate = np.where(usable, increase / elapsed, np.nan)
        weighty = usable & np.isfinite(increase)
    fields[MINIMUM][:, columns] = rate
    fields[MAXIMUM][:, columns] = rate
    fields[TOTAL][:, columns] = np.where(weighty, increase, 0.0)
    fields[WEIGHT][:, columns] = np.where(weighty, elapsed, 0.0)


def rolled(rollup: Rollup, step: float) -> Rollup:
    """The same in buckets of `step` seconds, those that are not empty; from rows or buckets."""
    numbers = np.floor_divide(rollup.starts + early_seconds(step), step)
    edges = np.flatnonzero(np.diff(numbers, prepend=np.nan) != 0)
    return Rollup(numbers[edges] * step, _combined(rollup.fields, edges))


def _combined(fields: Floats, edges: NDArray[np.intp]) -> Floats:
    """Runs of buckets as one each; a run begins at each of `edges`."""
    if len(edges) == fields.shape[1]:
        return fields.copy()
    found = np.empty((FIELDS, len(edges), fields.shape[2]))
    with np.errstate(invalid="ignore", over="ignore"):
        np.fmin.reduceat(fields[MINIMUM], edges, axis=0, out=found[MINIMUM])
        np.fmax.reduceat(fields[MAXIMUM], edges, axis=0, out=found[MAXIMUM])
        np.add.reduceat(fields[TOTAL], edges, axis=0, out=found[TOTAL])
        np.add.reduceat(fields[WEIGHT], edges, axis=0, out=found[WEIGHT])
    found[LAST] = _lasts(fields[LAST], edges)
    return found


def _lasts(values: Floats, edges: NDArray[np.intp]) -> Floats:
    """The last value of each run that is not NaN."""
    ends = np.append(edges[1:], len(values)) - 1
    last: Floats = values[ends]
    if np.isnan(last).any():
        rows = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
        newest = np.maximum.reduceat(rows, edges, axis=0)
        last = np.take_along_axis(values, np.maximum(newest, 0), axis=0)
        last[newest < 0] = np.nan
    return last


def joined(parts: Sequence[Rollup]) -> Rollup:
    """Several as one, ascending; what shares a start is combined, the later part the later."""
    if not parts:
        return Rollup(np.empty(0), np.empty((FIELDS, 0, 0)))
    if len(parts) == 1:
        starts, fields = parts[0].starts, parts[0].fields
    else:
        starts = np.concatenate([part.starts for part in parts])
        fields = np.concatenate([part.fields for part in parts], axis=1)
    steps = np.diff(starts)
    if (steps > 0).all():
        return Rollup(starts, fields)
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    edges = np.flatnonzero(np.diff(starts, prepend=np.nan) != 0)
    return Rollup(starts[edges], _combined(fields[:, order], edges))


def counts(rollup: Rollup) -> Rollup:
    """The last values as if each had been a gauge's only one: counters raw, not as rates."""
    last = rollup.fields[LAST]
    fields = np.empty_like(rollup.fields)
    fields[:] = last
    finite = np.isfinite(last)
    fields[TOTAL][~finite] = 0.0
    fields[WEIGHT] = finite
    return Rollup(rollup.starts, fields)


def cut(
    parts: Sequence[Rollup], first: int, step: float, count: int
) -> tuple[Floats, Floats, Floats]:
    """Minimum, average and maximum in the buckets of `core.series.bucket_plan`.

    Each is (count, columns), NaN where nothing was observed.  What lies outside the buckets
    does not count; a row so early that it would open the bucket after the last counts for the
    last, as in `core.series.bucketed`.
    """
    whole = joined([_within(part, first, step, count) for part in parts])
    columns = whole.fields.shape[2]
    minimum, average, maximum = (np.full((count, columns), np.nan) for _ in range(3))
    if len(whole.starts):
        numbers = np.floor_divide(whole.starts + early_seconds(step), step) - first
        numbers = np.minimum(numbers, count - 1)
        edges = np.flatnonzero(np.diff(numbers, prepend=np.nan) != 0)
        found = _combined(whole.fields, edges)
        filled = numbers[edges].astype(np.intp)
        minimum[filled] = found[MINIMUM]
        maximum[filled] = found[MAXIMUM]
        with np.errstate(invalid="ignore", divide="ignore"):
            average[filled] = found[TOTAL] / found[WEIGHT]
    return minimum, average, maximum


def _within(part: Rollup, first: int, step: float, count: int) -> Rollup:
    begin, end = np.searchsorted(
        part.starts, (first * step - early_seconds(step), (first + count) * step)
    )
    return Rollup(part.starts[begin:end], part.fields[:, begin:end])


def shortened(rollup: Rollup, counters: NDArray[np.bool_]) -> Rollup:
    """The same without digits that say nothing, for keeping: a third fewer bytes.

    Rates are quotients and fill all 53 bits.  A counter's minimum is rounded down and its
    maximum up to 1 + `RATE_BITS` bits, so that what was observed still lies between them.  A
    total that misses a multiple of 1e-6 by no more than adding floats would is that multiple.
    Last values, gauges' extremes and weights stay as they are.  Doing it twice is doing it
    once, and it does not matter to the extremes whether it is done before or after `rolled`.
    """
    fields = rollup.fields.copy()
    columns = np.flatnonzero(counters)
    fields[MINIMUM][:, columns] = _rounded(fields[MINIMUM][:, columns], up=False)
    fields[MAXIMUM][:, columns] = _rounded(fields[MAXIMUM][:, columns], up=True)
    total, last = fields[TOTAL], fields[LAST]
    with np.errstate(over="ignore", invalid="ignore"):
        units = np.rint(total * FINEST_A_UNIT)
        snapped = units / FINEST_A_UNIT
        size = np.where(np.isfinite(last), np.abs(last), 0.0)
        noise = np.maximum(np.abs(total), size) * SAME_SHARE
        near = (np.abs(units) < MOST_UNITS) & (np.abs(snapped - total) <= noise)
    np.copyto(total, snapped, where=near)
    return Rollup(rollup.starts, fields)


def _rounded(rates: Floats, *, up: bool) -> Floats:
    """To fewer bits, never in the other direction."""
    unit = np.int64(1) << (52 - RATE_BITS)
    bits = rates.view(np.int64)
    cut_off = bits & -unit
    away = (bits != cut_off) & ((rates > 0) == up) & np.isfinite(rates)
    rounded = np.where(np.isfinite(rates), cut_off + np.where(away, unit, 0), bits)
    return rounded.view(np.float64)
