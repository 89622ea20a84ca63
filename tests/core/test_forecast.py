"""Slopes and forecasts, against the same said slowly."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.forecast import APART_SHARE, LEAST_PAIRS_SHARE, MOST_POINTS, ROWS_AT_ONCE, Slope

NAN = math.nan


class Plain:
    """One row, every value kept."""

    def __init__(self, over: float, tick: float) -> None:
        self.step = max(over / MOST_POINTS, tick)
        self.count = max(2, math.ceil(over / self.step - 1e-9))
        self.parts: dict[int, list[float]] = {}

    def push(self, now: float, value: float) -> float:
        number = math.floor(now / self.step)
        if math.isfinite(value):
            self.parts.setdefault(number, []).append(value)
        means = {n: sum(v) / len(v) for n, v in self.parts.items()}
        apart = max(1, self.count // APART_SHARE)
        rises = [
            means[n + apart] - means[n]
            for n in range(number - self.count, number - apart)
            if n in means and n + apart in means
        ]
        if len(rises) < max(1, math.ceil((self.count - apart) * LEAST_PAIRS_SHARE)):
            return NAN
        return statistics.median(rises) / (apart * self.step)


VALUES = st.one_of(st.just(NAN), st.floats(-1e6, 1e6, width=32))


@settings(max_examples=60, deadline=None)
@given(
    over=st.sampled_from([1.0, 3.0, 10.0, 144.0]),
    tick=st.sampled_from([1.0, 5.0]),
    pushes=st.lists(
        st.tuples(st.sampled_from([1, 1, 1, 1, 1, 1, 1, 2, 40]), st.tuples(VALUES, VALUES)),
        min_size=30,
        max_size=200,
    ),
)
def test_a_slope_is_what_it_says(
    over: float, tick: float, pushes: list[tuple[int, tuple[float, float]]]
) -> None:
    """It must be that every push says the median of the slopes between known points."""
    slope = Slope(over, 2, tick)
    plain = [Plain(over, tick), Plain(over, tick)]
    now = 1_000.0
    for ticks, values in pushes:
        now += ticks * tick
        expected = [row.push(now, value) for row, value in zip(plain, values, strict=True)]
        assert slope.push(now, np.array(values)).tolist() == pytest.approx(
            expected, nan_ok=True, rel=1e-6, abs=1e-3
        )


def _told(slope: Slope, values: list[float], full: float = 1.0) -> float:
    """What a slope says at the end of these values, one a second."""
    for now, value in enumerate(values):
        found = slope.seconds_to(float(now), np.array([value]), full)
    return float(found[0])


def test_a_disk_that_fills_evenly_is_told_when() -> None:
    """It must be that one percent a minute at 40 % leaves an hour."""
    told = _told(Slope(720, 1), [0.20 + now / 6_000 for now in range(1_200)])
    assert told == pytest.approx(3_600, rel=0.01)


@pytest.mark.parametrize(
    ("values", "full", "told"),
    [
        ([0.5] * 200, 1.0, math.inf),
        ([0.9 - now / 1_000 for now in range(200)], 1.0, math.inf),
        ([1.0] * 200, 1.0, 0.0),
        ([1.2] * 200, 1.0, 0.0),
        ([500.0 - now for now in range(200)], 0.0, 301.0),
        ([0.0] * 200, 0.0, 0.0),
        ([0.5] * 10, 1.0, NAN),
    ],
)
def test_what_does_not_fill_is_never_full(values: list[float], full: float, told: float) -> None:
    """It must be that what is full is so now, what stays or falls never is, the rest unknown."""
    assert _told(Slope(144, 1), values, full) == pytest.approx(told, nan_ok=True)


def test_one_burst_does_not_turn_the_slope() -> None:
    """It must be that a backup that comes and goes is no forecast."""
    calm = [0.5 + (0.3 if 60 <= now < 90 else 0.0) for now in range(180)]
    assert _told(Slope(144, 1), calm) == math.inf


@pytest.mark.parametrize("age", range(1, 144, 7))
def test_one_large_file_does_not_turn_the_slope(age: int) -> None:
    """It must be that a file that was written and stays is no forecast, however long ago."""
    stepped = [0.45 if now < 300 - age else 0.7 for now in range(300)]
    assert _told(Slope(144, 1), stepped) == math.inf


def test_rows_move_and_begin_anew() -> None:
    """It must be that a row that moves keeps its points, and that a new one has none."""
    slope = Slope(72, 2)
    for now in range(80):
        slope.push(now, np.array([1.0 * now, 2.0 * now]))
    slope.arrange(np.array([1, -1], np.intp))
    assert slope.push(80, np.array([160.0, 0.0])).tolist() == pytest.approx([2.0, NAN], nan_ok=True)


def test_a_row_begins_anew_and_the_others_go_on() -> None:
    """It must be that a row that is another's now has no slope of whom it was before."""
    slope = Slope(72, 2)
    for now in range(80):
        slope.push(now, np.array([1.0 * now, 2.0 * now]))
    slope.clear(np.array([0], np.intp))
    found = slope.push(80, np.array([7.0, 160.0]))
    assert found.tolist() == pytest.approx([NAN, 2.0], nan_ok=True)


def test_history_from_the_store_gives_a_slope_at_once() -> None:
    """It must be that a restart forgets no forecast."""
    slope = Slope(7_200, 1)
    at = np.arange(0.0, 7_200.0, 60.0)
    values = 0.2 + at / 72_000
    slope.push(7_190, np.array([0.3]))
    slope.fill(0, at, values, values, values)
    assert slope.seconds_to(7_201, np.array([0.3]), 1.0)[0] == pytest.approx(50_400, rel=0.02)


def test_very_many_rows_are_reckoned_in_turns() -> None:
    """It must be that all have a slope after a few pushes, and no push has to reckon all."""
    rows = 2 * ROWS_AT_ONCE + 1
    slope = Slope(144, rows)
    for now in range(0, 146, 2):
        found = slope.push(now, np.full(rows, 3.0 * now))
    assert np.isfinite(found[:ROWS_AT_ONCE]).all()
    for _ in range(2):
        found = slope.push(145.5, np.full(rows, 3.0 * 145.5))
    assert found == pytest.approx(np.full(rows, 3.0))
