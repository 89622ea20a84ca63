"""Roll-ups, against a model that goes row by row and column by column."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.core.rollups import (
    FIELDS,
    LAST,
    MAXIMUM,
    MINIMUM,
    RATE_BITS,
    TIERS,
    TOTAL,
    WEIGHT,
    Rollup,
    counts,
    cut,
    early_seconds,
    joined,
    observed,
    rolled,
    shortened,
)
from monitor.core.series import EARLY_SHARE, LOOKBACK_SECONDS, Floats, bucket_plan, bucketed, rates

START = 1_795_347_600.0
GAUGE = np.array([False])
COUNTER = np.array([True])


def _same(one: Rollup, other: Rollup) -> None:
    np.testing.assert_array_equal(one.starts, other.starts)
    np.testing.assert_array_equal(one.fields, other.fields)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Jittered rows with silences, holes and resets; every value is whole."""
    rows = draw(st.integers(1, 60))
    step = draw(st.sampled_from((0.1, 1.0, 7.0, 10.0, 60.0)))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    steps = step + np.round(random.uniform(-0.05, 0.05, rows) * step, 3)
    steps[random.random(rows) < 0.05] += random.choice((300.0, 301.0, 5_000.0))
    at = START + np.cumsum(steps)
    columns = 5
    values = random.integers(0, 50, (rows, columns)).astype(float)
    values[:, :3] = np.cumsum(values[:, :3], axis=0)
    resets = random.random((rows, columns)) < 0.05
    values[resets] = random.integers(0, 9, int(resets.sum()))
    for column, share in ((1, 0.1), (2, 0.9), (4, 0.3)):
        values[random.random(rows) < share, column] = np.nan
    if draw(st.booleans()):
        values[random.random((rows, columns)) < 0.05] = math.inf
    return at, values, np.array([True, True, True, False, False])


def _naive(at: Floats, values: Floats, counters: NDArray[np.bool_], step: float) -> Rollup:
    """What `rolled(observed(…), step)` says, one number at a time."""
    buckets: dict[float, list[list[float]]] = {}
    for column in range(values.shape[1]):
        before: tuple[float, float] | None = None
        for instant, value in zip(at.tolist(), values[:, column].tolist(), strict=True):
            number = math.floor((instant + early_seconds(step)) / step)
            empty = [math.nan, math.nan, 0.0, 0.0, math.nan]
            fields = buckets.setdefault(number, [list(empty) for _ in counters])[column]
            if math.isnan(value):
                continue
            fields[LAST] = value
            low, total, weight = value, value, 1.0
            if counters[column]:
                low, total, weight = math.nan, 0.0, 0.0
                if before is not None and 0 < instant - before[0] <= LOOKBACK_SECONDS:
                    weight = instant - before[0]
                    total = value - before[1]
                    total = value if total < 0 else total
                    low = total / weight
                before = instant, value
            if not math.isfinite(total):
                total = weight = 0.0
            fields[TOTAL] += total
            fields[WEIGHT] += weight
            fields[MINIMUM] = float(np.fmin(fields[MINIMUM], low))
            fields[MAXIMUM] = float(np.fmax(fields[MAXIMUM], low))
    numbers = sorted(buckets)
    fields_ = np.array([buckets[number] for number in numbers]).transpose(2, 0, 1)
    return Rollup(np.array(numbers) * step, fields_)


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from((10.0, 60.0, 900.0)))
def test_vectors_say_what_one_number_at_a_time_says(
    table: tuple[Floats, Floats, NDArray[np.bool_]], step: float
) -> None:
    """It must be that holes, resets, silences and infinities are handled per column."""
    _same(rolled(observed(*table), step), _naive(*table, step))


@settings(max_examples=60, deadline=None)
@given(tables())
def test_tiers_nest(table: tuple[Floats, Floats, NDArray[np.bool_]]) -> None:
    """It must be that a roll-up of roll-ups is the roll-up of the rows, at every tier."""
    rows = observed(*table)
    finer = rows
    for tier in TIERS:
        finer = rolled(finer, tier.seconds)
        _same(finer, rolled(rows, tier.seconds))


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(0, 60), st.sampled_from((10.0, 60.0)))
def test_a_window_goes_on_where_the_one_before_it_ended(
    table: tuple[Floats, Floats, NDArray[np.bool_]], split: int, step: float
) -> None:
    """It must be that rows rolled up in two windows are those rolled up at once."""
    at, values, counters = table
    since = at[split] if split < len(at) else math.inf
    parts = [
        rolled(observed(at[:split], values[:split], counters), step),
        rolled(observed(at, values, counters, since), step),
    ]
    if len(np.intersect1d(parts[0].starts, parts[1].starts)):
        parts = [joined(parts)]
    _same(joined(parts), rolled(observed(at, values, counters), step))


@settings(max_examples=40, deadline=None)
@given(tables(), st.sampled_from((10.0, 60.0)))
def test_shortening_keeps_what_lies_between_and_nests(
    table: tuple[Floats, Floats, NDArray[np.bool_]], step: float
) -> None:
    """It must be that shortening widens the extremes by little, and nests like the rest."""
    counters = table[2]
    whole = rolled(observed(*table), step)
    short = shortened(whole, counters)
    exact, near = whole.fields, short.fields
    seen = np.isfinite(exact[MINIMUM])
    assert (near[MINIMUM][seen] <= exact[MINIMUM][seen]).all()
    assert (near[MAXIMUM][seen] >= exact[MAXIMUM][seen]).all()
    for field in (MINIMUM, MAXIMUM):
        np.testing.assert_allclose(near[field], exact[field], rtol=2.0**-RATE_BITS)
    np.testing.assert_array_equal(near[:, :, ~counters], exact[:, :, ~counters])
    for field in (TOTAL, WEIGHT, LAST):
        np.testing.assert_array_equal(near[field], exact[field])
    _same(shortened(short, counters), short)
    _same(shortened(rolled(short, 900.0), counters), shortened(rolled(whole, 900.0), counters))


def test_a_total_loses_the_dust_of_addition_and_nothing_else() -> None:
    """It must be that sums of decimals are decimals again, and small numbers stay."""
    totals = np.array([[0.1 + 0.2, 1e-9, 1234.5 + 2**-11, 1e11 + 3, -(0.1 + 0.7), math.pi]])
    fields = np.zeros((FIELDS, 1, 6))
    fields[TOTAL] = totals
    short = shortened(Rollup(np.array([0.0]), fields), np.zeros(6, bool)).fields[TOTAL]
    wanted = [[0.3, 1e-9, 1234.5 + 2**-11, 1e11 + 3, -0.8, math.pi]]
    assert short.tolist() == wanted


def test_an_infinite_last_value_takes_nothing_from_the_total() -> None:
    """It must be that an infinity beside it is no licence to round."""
    fields = np.zeros((FIELDS, 1, 1))
    fields[TOTAL], fields[LAST] = math.pi, math.inf
    assert shortened(Rollup(np.array([0.0]), fields), GAUGE).fields[TOTAL, 0, 0] == math.pi


def test_a_negative_rate_is_rounded_outwards_too() -> None:
    """It must be that a count below zero does not turn the band inside out."""
    third = -1 / 3
    fields = np.full((FIELDS, 1, 1), third)
    short = shortened(Rollup(np.array([0.0]), fields), COUNTER).fields
    assert third - 1e-3 < short[MINIMUM, 0, 0] < third < short[MAXIMUM, 0, 0] < third + 1e-3


def test_rates_are_those_of_the_series() -> None:
    """It must be that there is one rule for rates."""
    at = START + np.array([0.0, 10.0, 20.0, 400.0, 410.0, 420.0])
    count = np.array([5.0, 25.0, 10.0, 20.0, 20.0, 50.0])
    fields = observed(at, count[:, None], COUNTER).fields[:, :, 0]
    np.testing.assert_array_equal(fields[MINIMUM], rates(at, count))
    np.testing.assert_array_equal(fields[MAXIMUM], rates(at, count))
    assert fields[TOTAL].tolist() == [0, 20, 10, 0, 0, 30]
    assert fields[WEIGHT].tolist() == [0, 10, 10, 0, 10, 10]
    assert fields[LAST].tolist() == count.tolist()


def test_rows_before_since_are_predecessors_only() -> None:
    """It must be that they give a rate to the first row after, across a hole, and no bucket."""
    at = START + np.array([0.0, 10.0, 20.0])
    values = np.array([[4.0], [math.nan], [10.0]])
    found = observed(at, values, COUNTER, since=START + 15.0)
    assert found.starts.tolist() == [START + 20.0]
    assert found.fields[:, 0, 0].tolist() == [0.3, 0.3, 6.0, 20.0, 10.0]


def test_infinities_are_extremes_and_weigh_nothing() -> None:
    """It must be that an average stays finite where something finite was seen."""
    at = START + np.arange(3.0)
    found = rolled(observed(at, np.array([[1.0], [math.inf], [3.0]]), GAUGE), 10.0)
    assert found.fields[:, 0, 0].tolist() == [1.0, math.inf, 4.0, 2.0, 3.0]


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.name)
def test_a_row_a_little_early_opens_the_next_bucket(tier: object) -> None:
    """It must be that clocks may be slewed by a tenth of a second, and no more."""
    step = getattr(tier, "seconds", 0.0)
    edge = math.ceil(START / step) * step
    at = edge + np.array([-0.2, -0.0999, 0.0])
    assert rolled(observed(at, np.ones((3, 1)), GAUGE), step).starts.tolist() == [edge - step, edge]
    assert early_seconds(step) == 0.1
    assert early_seconds(1.0) == EARLY_SHARE


def test_an_instant_just_before_an_edge_is_not_rounded_across_it() -> None:
    """It must be that a quotient's rounding does not put a row where its tier's parent is not."""
    edge = math.ceil(START / 7200.0) * 7200.0
    at = np.nextafter([edge - 0.1], 0.0)
    rows = observed(at, np.ones((1, 1)), GAUGE)
    for tier in TIERS:
        assert rolled(rows, tier.seconds).starts.tolist() == [edge - tier.seconds]


def test_joining_combines_what_shares_a_start() -> None:
    """It must be that the later part has the last word, and that the rest is added up."""
    at = START + np.arange(0.0, 40.0, 2.0)
    values = np.arange(20.0)[:, None]
    whole = rolled(observed(at, values, GAUGE), 10.0)
    parts = [
        rolled(observed(at[part], values[part], GAUGE), 10.0)
        for part in np.split(range(20), [7, 12])
    ]
    _same(joined(parts), whole)
    backwards = joined(parts[::-1])
    np.testing.assert_array_equal(backwards.fields[:LAST], whole.fields[:LAST])
    assert joined(parts[:1]).starts.tolist() == parts[0].starts.tolist()
    assert joined([]).fields.shape == (FIELDS, 0, 0)


def test_nothing_rolls_up_to_nothing() -> None:
    """It must be that no rows make no bucket, at every step on the way."""
    none = observed(np.empty(0), np.empty((0, 2)), np.array([True, False]))
    for rollup in (none, rolled(none, 10.0), joined([none, none]), counts(none)):
        assert rollup.fields.shape == (FIELDS, 0, 2)
    for part in cut([none], 0, 10.0, 3):
        assert np.isnan(part).all()
        assert part.shape == (3, 2)


@settings(max_examples=40, deadline=None)
@given(tables(), st.integers(1, 300), st.sampled_from((0.0, 60.0)))
def test_buckets_are_those_of_the_series(
    table: tuple[Floats, Floats, NDArray[np.bool_]], points: int, tier: float
) -> None:
    """It must be that a gauge's buckets are `bucketed`'s, from rows and from roll-ups."""
    at, values, _ = table
    at = at + 0.0004  # never exactly as early as may be: either bucket would be right
    values = np.where(np.isinf(values), np.nan, values)
    gauges = np.zeros(values.shape[1], bool)
    first, step, count = bucket_plan(at[0], at[-1] + 1.0, points)
    rows = observed(at, values, gauges)
    parts = [rolled(rows, tier)] if tier and step % tier == 0 else [rows]
    found = cut(parts, first, step, count)
    if early_seconds(step) == EARLY_SHARE * step:
        columns = np.array([bucketed(at, column, first, step, count) for column in values.T])
        wanted = columns.transpose(1, 2, 0)
    else:
        wanted = _buckets(at, values, first, step, count)
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def _buckets(at: Floats, values: Floats, first: int, step: float, count: int) -> Floats:
    """`bucketed` with this module's idea of early, which for long steps is another."""
    found = np.full((3, count, values.shape[1]), np.nan)
    numbers = np.floor((at + early_seconds(step)) / step).astype(int) - first
    numbers = np.minimum(numbers, count - 1)
    for number in set(numbers.tolist()):
        for column in range(values.shape[1]):
            seen = values[numbers == number, column]
            seen = seen[~np.isnan(seen)]
            if len(seen):
                found[:, number, column] = seen.min(), seen.sum() / len(seen), seen.max()
    return found


def test_what_lies_outside_the_buckets_does_not_count() -> None:
    """It must be that only a row early for the bucket after the last is let in."""
    at = np.array([99.8, 99.95, 110.0, 119.95, 120.0, 130.0])
    rows = observed(at, np.arange(6.0)[:, None], GAUGE)
    minimum, average, maximum = cut([rows], 10, 10.0, 2)
    assert minimum[:, 0].tolist() == [1.0, 2.0]
    assert average[:, 0].tolist() == [1.0, 2.5]
    assert maximum[:, 0].tolist() == [1.0, 3.0]


def test_parts_of_several_resolutions_make_one_range() -> None:
    """It must be that roll-ups and the rows that are not yet in them fit together."""
    at = START + np.arange(0.0, 240.0)
    values = np.arange(240.0)[:, None]
    rows = observed(at, values, COUNTER)
    old = rolled(observed(at[:120], values[:120], COUNTER), 60.0)
    new = observed(at, values, COUNTER, since=START + 120.0)
    number = int(START // 60)
    for got, want in zip(
        cut([old, new], number, 60.0, 4), cut([rows], number, 60.0, 4), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    assert cut([old, new], number, 60.0, 4)[1].tolist() == [[1.0]] * 4


def test_counts_are_the_last_values_as_a_gauges() -> None:
    """It must be that a caller who wants counts gets counts, not increases."""
    at = START + np.arange(4.0)
    values = np.array([[5.0], [9.0], [math.nan], [math.inf]])
    found = counts(observed(at, values, COUNTER))
    _same(found, observed(at, values, GAUGE))
