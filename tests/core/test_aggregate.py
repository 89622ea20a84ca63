"""Aggregates: it must be that many rows become the one that their name says, gaps left out."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from monitor.core.aggregate import Aggregate
from monitor.core.series import Floats
from monitor.errors import InputError

NAN = math.nan
INF = math.inf
ROWS = [
    np.array([1.0, 5.0, NAN, NAN]),
    np.array([2.0, NAN, 7.0, NAN]),
    np.array([6.0, -1.0, NAN, NAN]),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("avg", [3, 2, 7, NAN]),
        ("max", [6, 5, 7, NAN]),
        ("min", [1, -1, 7, NAN]),
        ("sum", [9, 4, 7, NAN]),
        ("p0", [1, -1, 7, NAN]),
        ("p50", [2, 2, 7, NAN]),
        ("p75", [4, 3.5, 7, NAN]),
        ("p100", [6, 5, 7, NAN]),
        ("p100.0", [6, 5, 7, NAN]),
        ("p99.9", [5.992, 4.994, 7, NAN]),
    ],
)
def test_hosts_with_a_gap_do_not_count(text: str, expected: list[float]) -> None:
    found = Aggregate.parse(text).over(ROWS)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    "text",
    ["", "AVG", "mean", "median", "p", "p101", "p100.1", "p-1", "p1e1", "p٣", "p 5", "avg ", "p.5"],
)
def test_what_is_no_aggregate_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Aggregate.parse(text)
    assert (caught.value.code, caught.value.field) == ("bad_aggregate", "aggregate")


def test_the_rows_are_left_as_they_were() -> None:
    before = [row.copy() for row in ROWS]
    for text in ("avg", "max", "min", "sum", "p50"):
        Aggregate.parse(text).over(ROWS)
    np.testing.assert_array_equal(ROWS, before)


def test_infinities_count_and_make_no_noise() -> None:
    rows = [np.array([INF, -INF, INF, 1e308]), np.array([1.0, 2.0, -INF, 1e308])]
    assert Aggregate.parse("max").over(rows).tolist() == [INF, 2, INF, 1e308]
    assert Aggregate.parse("sum").over(rows).tolist()[:2] == [INF, -INF]
    assert np.isnan(Aggregate.parse("sum").over(rows)[2])
    assert Aggregate.parse("p50").over(rows).tolist()[:2] == [INF, -INF]
    assert Aggregate.parse("p0").over(rows).tolist() == [1, -INF, -INF, 1e308]


_TABLE = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.integers(1, 6)),
    elements=st.floats(-1e6, 1e6) | st.just(NAN),
)


@settings(deadline=None)
@given(_TABLE, st.floats(0, 100))
def test_percentiles_are_those_of_numpy(table: Floats, percent: float) -> None:
    percent = round(percent, 2)
    found = Aggregate.parse(f"p{percent:.2f}").over(list(table))
    for column, value in zip(table.T, found, strict=True):
        seen = column[~np.isnan(column)]
        if len(seen):
            assert value == pytest.approx(np.percentile(seen, percent), abs=1e-6)
        else:
            assert math.isnan(value)


@settings(deadline=None)
@given(_TABLE, st.sampled_from(["avg", "max", "min", "sum", "p0", "p50", "p95", "p100"]))
def test_of_smaller_numbers_the_aggregate_is_not_larger(table: Floats, text: str) -> None:
    """It must be that a minimum stays below its average, and that below its maximum."""
    low = Aggregate.parse(text).over(list(table - 1.0))
    high = Aggregate.parse(text).over(list(table))
    assert ((low <= high) | np.isnan(high)).all()


def test_a_thousand_hosts_take_a_moment() -> None:
    rows = list(np.random.default_rng(1).random((1_000, 300)))
    began = time.thread_time()
    Aggregate.parse("p95").over(rows)
    assert time.thread_time() - began < 0.1
