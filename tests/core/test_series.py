"""Rates and buckets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.series import LOOKBACK_SECONDS, bucket_plan, bucketed, rates, unrounded

NAN = math.nan


@pytest.mark.parametrize(
    ("at", "counts", "expected"),
    [
        ([0, 1, 2], [10, 11, 15], [NAN, 1, 4]),
        ([0, 2, 4], [10, 20, 40], [NAN, 5, 10]),
        # A reset: what is counted since is the increase.
        ([0, 1, 2], [1000, 7, 9], [NAN, 7, 2]),
        # A silence longer than the look-back has no rate across it.
        ([0, LOOKBACK_SECONDS + 1, LOOKBACK_SECONDS + 2], [0, 9, 10], [NAN, NAN, 1]),
        ([5], [3], [NAN]),
        ([], [], []),
    ],
)
def test_a_rate_is_the_increase_by_the_time_it_took(
    at: list[float], counts: list[float], expected: list[float]
) -> None:
    found = rates(np.array(at, float), np.array(counts, float))
    np.testing.assert_array_equal(found, np.array(expected, float))


def test_a_count_below_zero_has_no_rate_and_a_huge_one_warns_of_nothing() -> None:
    largest = 1.7976931348623157e308
    found = rates(np.arange(5.0), np.array([1.0, -5.0, 3.0, largest, -largest]))
    assert np.isnan(found[[0, 1, 2, 4]]).all()
    assert found[3] == largest


def test_buckets_keep_minimum_average_and_maximum_and_leave_gaps_empty() -> None:
    at = np.array([100.0, 101, 102, 106])
    values = np.array([1.0, 3, NAN, 8])
    low, mean, high = bucketed(at, values, first=50, step=2, count=4)
    np.testing.assert_array_equal(low, [1, NAN, NAN, 8])
    np.testing.assert_array_equal(mean, [2, NAN, NAN, 8])
    np.testing.assert_array_equal(high, [3, NAN, NAN, 8])


def test_what_lies_outside_the_buckets_does_not_count() -> None:
    low, _, _ = bucketed(np.array([0.0, 10, 30]), np.array([1.0, 2, 3]), 1, 10, 1)
    np.testing.assert_array_equal(low, [2])


def test_a_sample_a_little_early_leaves_no_gap() -> None:
    at = np.array([99.999, 100.9995, 102.001, 102.998, 103.995])
    _, mean, _ = bucketed(at, np.arange(5.0), 100, 1, 4)
    np.testing.assert_array_equal(mean, [0, 1, 2, 3.5])


def test_no_bucket_is_narrower_than_the_time_between_two_observations() -> None:
    assert bucket_plan(0, 20, 400)[1] == 0.1
    assert bucket_plan(0, 20, 400, 0.8)[1] == 1


@given(
    start=st.floats(0, 4e9),
    width=st.floats(0.05, 3.2e9),
    points=st.integers(1, 11_000),
)
def test_a_plan_never_has_more_buckets_than_asked_and_covers_the_range(
    start: float, width: float, points: int
) -> None:
    end = start + width
    first, step, count = bucket_plan(start, end, points)
    assert 1 <= count <= points
    assert first * step <= start
    assert (first + count) * step >= end - 1e-6 * step


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200), st.integers(1, 50))
def test_buckets_lose_and_invent_nothing(values: list[float], width: int) -> None:
    at = np.arange(len(values), dtype=float)
    numbers = np.array(values)
    count = math.ceil(len(values) / width)
    low, mean, high = bucketed(at, numbers, 0, width, count)
    for bucket in range(count):
        inside = numbers[bucket * width : (bucket + 1) * width]
        assert low[bucket] == inside.min()
        assert high[bucket] == inside.max()
        assert mean[bucket] == pytest.approx(inside.mean(), abs=1e-3)


def test_an_average_is_not_outside_of_what_it_is_of_by_a_rounding() -> None:
    """It must be that what is exactly at a limit stays there, and all else as it is."""
    low = np.array([0.1, 0.1, 5.0, np.nan, -0.1])
    average = np.array([0.10000000000000002, 0.2, 5.01, np.nan, -0.10000000000000002])
    high = np.array([0.1, 0.3, 5.0, np.nan, -0.1])
    found = unrounded(low, average, high)
    assert np.array_equal(found, [0.1, 0.2, 5.01, np.nan, -0.1], equal_nan=True)
