"""Of rates it must be that they grant what is promised, never more, and remember a bounded lot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.rates import Rates


def test_a_burst_is_granted_at_once_and_then_the_rate() -> None:
    rates = Rates(rate=2, burst=3, most_keys=10)
    assert [rates.take("a", 100.0) for _ in range(3)] == [0.0] * 3
    assert rates.take("a", 100.0) == pytest.approx(0.5)
    assert rates.take("a", 100.4) == pytest.approx(0.1)
    assert rates.take("a", 100.5) == 0.0
    assert rates.take("a", 100.5) == pytest.approx(0.5)


def test_who_has_rested_has_the_whole_burst_again_and_no_more() -> None:
    rates = Rates(rate=1, burst=5, most_keys=10)
    granted = [sum(rates.take("a", now) == 0.0 for _ in range(50)) for now in (0.0, 3.0, 1e6)]
    assert granted == [5, 3, 5]


def test_keys_do_not_pay_for_each_other() -> None:
    rates = Rates(rate=1, burst=1, most_keys=10)
    assert rates.take("a", 0.0) == 0.0
    assert rates.take("b", 0.0) == 0.0
    assert rates.take("a", 0.0) > 0


def test_asking_takes_nothing() -> None:
    rates = Rates(rate=1, burst=1, most_keys=10)
    assert [rates.wait("a", 0.0) for _ in range(5)] == [0.0] * 5
    assert len(rates) == 0
    rates.take("a", 0.0)
    assert rates.wait("a", 0.25) == pytest.approx(0.75)


def test_a_clock_that_goes_back_locks_nobody_out() -> None:
    rates = Rates(rate=1, burst=2, most_keys=10)
    for _ in range(2):
        rates.take("a", 1e9)
    assert rates.take("a", 0.0) <= 1.0


def test_the_number_of_keys_is_bounded() -> None:
    rates = Rates(rate=1, burst=10, most_keys=100)
    for number in range(10_000):
        assert rates.take(number, 0.0) == 0.0
        assert len(rates) <= 100


def test_spraying_keys_frees_nobody_who_is_held_back() -> None:
    rates = Rates(rate=1, burst=10, most_keys=100)
    while rates.take("held back", 0.0) == 0.0:
        pass
    for number in range(10_000):
        rates.take(number, 0.0)
    assert rates.take("held back", 0.0) > 0


def test_a_key_that_owes_nothing_is_forgotten_before_one_that_does() -> None:
    rates = Rates(rate=1, burst=1, most_keys=2)
    rates.take("old", 0.0)
    rates.take("new", 9.5)
    rates.take("newest", 10.0)
    assert rates.wait("new", 10.0) > 0


@pytest.mark.parametrize(("rate", "burst", "most"), [(0, 1, 1), (1, 0.5, 1), (1, 1, 0)])
def test_limits_that_would_grant_nothing_are_refused(rate: float, burst: float, most: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Rates(rate, burst, most)


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 0.5), max_size=100),
    start=st.floats(0, 1e7),
)
def test_no_span_grants_more_than_was_promised(
    rate: float, burst: int, steps: list[float], start: float
) -> None:
    rates = Rates(rate, burst, 10)
    now, granted = start, []
    for step in steps:
        now += step
        if rates.take("a", now) == 0.0:
            granted.append(now)
    for first, since in enumerate(granted):
        for last in range(first, len(granted)):
            allowed = burst + rate * (granted[last] - since + 1e-6)
            assert last - first + 1 <= allowed + 1e-6


@given(rate=st.floats(0.1, 1000), burst=st.integers(1, 20), now=st.floats(0, 1e7))
def test_who_waits_as_long_as_told_is_granted(rate: float, burst: int, now: float) -> None:
    rates = Rates(rate, burst, 10)
    for _ in range(burst * 3):
        if wait := rates.take("a", now):
            now += wait
            assert rates.take("a", now) == 0.0
