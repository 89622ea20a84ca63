"""Windows against a plain, slow reading of what they say they are."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.rules.model import Reduce
from monitor.core.rules.windows import MOST_BUCKETS, Window
from monitor.core.series import Floats

NAN = math.nan

REDUCTIONS = [Reduce.AVG, Reduce.MIN, Reduce.MAX, Reduce.SUM, Reduce.P95, Reduce.LAST]


class Plain:
    """One row, every value kept, everything reckoned anew each time."""

    def __init__(self, over: float, reduce: Reduce, tick: float) -> None:
        self.over, self.reduce, self.tick = over, reduce, tick
        self.step = max(over / MOST_BUCKETS, tick)
        self.count = max(1, math.ceil(over / self.step - 1e-9))
        self.seen: list[tuple[float, float]] = []

    def push(self, now: float, value: float) -> float:
        if math.isfinite(value):
            self.seen.append((now, value))
        if self.reduce is Reduce.LAST:
            found = [v for at, v in self.seen if at > now - max(self.over, self.tick)]
            return found[-1] if found else NAN
        newest = math.floor(now / self.step)
        buckets: dict[int, list[float]] = {}
        for at, v in self.seen:
            number = math.floor(at / self.step)
            if number > newest - self.count:
                buckets.setdefault(number, []).append(v)
        if len(buckets) * 2 < self.count:
            return NAN
        values = [v for found in buckets.values() for v in found]
        means = {number: sum(found) / len(found) for number, found in buckets.items()}
        match self.reduce:
            case Reduce.AVG:
                return sum(values) / len(values)
            case Reduce.MIN:
                return min(values)
            case Reduce.MAX:
                return max(values)
            case Reduce.SUM:
                going = min(self.step, now - newest * self.step + self.tick)
                return sum(
                    mean * (going if number == newest else self.step)
                    for number, mean in means.items()
                )
            case _:
                full = [
                    mean for number, mean in means.items() if number != newest or self.count == 1
                ]
                return float(np.percentile(full, 95)) if full else NAN


VALUES = st.one_of(st.just(NAN), st.just(math.inf), st.floats(-1e6, 1e6, width=32))


@pytest.mark.parametrize("reduce", REDUCTIONS)
@settings(max_examples=40, deadline=None)
@given(
    over=st.sampled_from([1.0, 5.0, 60.0, 90.0, 600.0]),
    tick=st.sampled_from([1.0, 10.0]),
    start=st.integers(0, 5_000),
    pushes=st.lists(
        st.tuples(st.sampled_from([1, 1, 1, 1, 1, 1, 2, 7, 40, 700]), st.tuples(VALUES, VALUES)),
        min_size=20,
        max_size=90,
    ),
)
def test_a_window_is_what_it_says(
    reduce: Reduce,
    over: float,
    tick: float,
    start: int,
    pushes: list[tuple[int, tuple[float, float]]],
) -> None:
    """It must be that every push says what all values so far come to, reckoned anew."""
    window = Window(over, reduce, 2, tick)
    plain = [Plain(over, reduce, tick) for _ in range(2)]
    now = float(start)
    for ticks, values in pushes:
        now += ticks * tick
        expected = [row.push(now, value) for row, value in zip(plain, values, strict=True)]
        assert window.push(now, np.array(values)) == pytest.approx(
            expected, nan_ok=True, rel=1e-6, abs=1e-3
        )


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_rows_keep_what_they_know_when_they_are_laid_out_anew(reduce: Reduce) -> None:
    """It must be that a row that moves goes on, and that a new one begins with nothing."""
    moved, kept = Window(20, reduce, 3), Window(20, reduce, 3)
    for now in range(20):
        values = np.array([now, 10.0 * now, -now])
        moved.push(now, values)
        kept.push(now, values)
    moved.arrange(np.array([2, -1, 0, 0], np.intp))
    there = kept.push(20, np.array([1.0, 2.0, 3.0]))
    here = moved.push(20, np.array([3.0, NAN, 1.0, 1.0]))
    assert here.tolist() == pytest.approx([there[2], NAN, there[0], there[0]], nan_ok=True)


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_a_row_begins_anew_and_the_others_go_on(reduce: Reduce) -> None:
    """It must be that a row that is another's now knows nothing of whom it was before."""
    cleared, kept = Window(20, reduce, 2), Window(20, reduce, 2)
    for now in range(20):
        for window in (cleared, kept):
            window.push(now, np.array([now, 10.0 * now]))
    cleared.clear(np.array([0], np.intp))
    there = kept.push(20, np.array([1.0, 2.0]))
    here = cleared.push(20, np.array([NAN, 2.0]))
    assert here.tolist() == pytest.approx([NAN, there[1]], nan_ok=True)
    for now in range(21, 32):
        here = cleared.push(now, np.array([5.0, 2.0]))
    assert here[0] == pytest.approx(5.0 * 11 if reduce is Reduce.SUM else 5.0)


def test_a_window_of_no_rows_takes_its_first() -> None:
    """It must be that rules may come before hosts."""
    window = Window(10, Reduce.AVG, 0)
    assert len(window.push(1, np.empty(0))) == 0
    window.arrange(np.full(2, -1, np.intp))
    assert np.isnan(window.push(2, np.array([1.0, 2.0]))).all()
    for now in range(3, 8):
        found = window.push(now, np.array([1.0, 2.0]))
    assert found.tolist() == [1.0, 2.0]


def test_an_average_over_ten_minutes_is_not_told_of_three_seconds() -> None:
    """It must be that half of a window is known before it says anything."""
    window = Window(600, Reduce.AVG, 1)
    said = [window.push(now, np.array([0.99]))[0] for now in range(601)]
    assert np.isnan(said[:290]).all()
    assert np.isfinite(said[290:]).all()


def test_the_average_of_what_never_changes_is_exactly_that() -> None:
    """It must be that 0.9 for ten minutes is not above 0.9 by a rounding."""
    window = Window(600, Reduce.AVG, 1)
    for now in range(900):
        found = window.push(now, np.array([0.9]))
    assert found[0] == 0.9


def test_a_host_that_sends_once_a_minute_is_judged() -> None:
    """It must be that its newest value, pushed at each tick, fills the window."""
    window = Window(300, Reduce.AVG, 1)
    for now in range(600):
        found = window.push(now, np.array([float(now // 60)]))
    assert found[0] == pytest.approx(7, abs=0.2)


def test_what_is_older_than_the_window_is_gone() -> None:
    """It must be that a peak leaves after at most the window."""
    window = Window(60, Reduce.MAX, 1)
    window.push(0, np.array([99.0]))
    said = [window.push(now, np.array([1.0]))[0] for now in range(1, 62)]
    assert np.nanmax(said[30:59]) == 99.0
    assert said[59] == 1.0


@pytest.mark.parametrize("reduce", [Reduce.AVG, Reduce.MIN, Reduce.MAX, Reduce.SUM, Reduce.P95])
@pytest.mark.parametrize("spacing", [1.0, 10.0, 60.0])
def test_history_from_the_store_fills_a_window(reduce: Reduce, spacing: float) -> None:
    """It must be that a restart with history says at once what no restart would have said."""
    at = np.arange(0.0, 600.0, spacing)
    values = np.where(at < 300, 10.0, 20.0)
    lived, filled = Window(600, reduce, 1), Window(600, reduce, 1)
    for second in range(600):
        lived.push(second, np.array([10.0 if second < 300 else 20.0]))
    filled.push(599, np.array([20.0]))
    filled.fill(0, at, values, values, values)
    now = 600.0
    assert filled.push(now, np.array([20.0]))[0] == pytest.approx(
        lived.push(now, np.array([20.0]))[0], rel=0.02
    )


def test_history_fills_no_gap_and_overwrites_nothing() -> None:
    """It must be that a silence in the store is one in the window, and live values stay."""
    window = Window(60, Reduce.MAX, 1)
    for second in range(40, 60):
        window.push(second, np.array([5.0]))
    at = np.arange(0.0, 60.0)
    values = np.where(at < 5, 7.0, np.where(at < 40, NAN, 99.0))
    window.fill(0, at, values, values, values)
    # Five seconds and what of them still counted, and twenty live ones, are no half of sixty.
    assert math.isnan(window.push(59.0, np.array([5.0]))[0])
    for second in range(60, 63):
        found = window.push(second, np.array([5.0]))
    assert math.isnan(found[0]) or found[0] == 5.0


def test_history_of_a_row_without_any_changes_nothing() -> None:
    """It must be that a store that knows nothing of a series says nothing of it."""
    window = Window(60, Reduce.AVG, 1)
    nothing: Floats = np.full(60, NAN)
    window.fill(0, np.arange(60.0), nothing, nothing, nothing)
    window.fill(0, np.empty(0), np.empty(0), np.empty(0), np.empty(0))
    assert math.isnan(window.push(60, np.array([1.0]))[0])


@pytest.mark.parametrize("reduce", [Reduce.AVG, Reduce.MIN, Reduce.MAX, Reduce.SUM, Reduce.P95])
def test_history_of_every_second_is_as_good_as_having_been_there(reduce: Reduce) -> None:
    """It must be that the buckets of the store's seconds are those of live ones."""
    at = np.arange(0.0, 610.0)
    values = (at * 7919) % 101
    lived, filled = Window(600, reduce, 1), Window(600, reduce, 1)
    for second in range(610):
        lived.push(second, values[second : second + 1])
    for window in (lived, filled):
        window.push(610, np.array([3.0]))
    filled.fill(0, at, values, values, values)
    now = 620.0
    assert filled.push(now, np.array([3.0]))[0] == pytest.approx(
        lived.push(now, np.array([3.0]))[0], rel=1e-3
    )
