"""Markers: it must be that each beginning is found once, within a bucket, and nothing else is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.markers import MOST_MARKERS, TOLERANCE_SECONDS, beginnings
from monitor.core.series import bucketed

DAY = 86_400.0


def found(
    observed: Sequence[tuple[float, float]], step: float, first: float, end: float
) -> list[float]:
    """The beginnings told by observations (instant, seconds up), cut into buckets as stores do."""
    at = np.array([instant for instant, _ in observed])
    up = np.array([seconds for _, seconds in observed])
    number, count = int(first // step), math.ceil(end / step) - int(first // step)
    least, _, most = bucketed(at, up, number, step, count)
    starts = (number + np.arange(count)) * np.float64(step)
    return beginnings(starts, step, least, most, first, end)


def life(began: float, first: float, end: float, every: float = 1.0) -> list[tuple[float, float]]:
    """Observations of one life from `first` to `end`."""
    return [(float(at), float(at - began)) for at in np.arange(first, end, every)]


def test_a_host_that_stays_up_has_none() -> None:
    assert found(life(-5 * DAY, 0, 3_600), 10, 0, 3_600) == []


@pytest.mark.parametrize("step", [1, 10, 60, 300])
def test_a_reboot_is_found_where_it_was(step: float) -> None:
    observed = life(-5 * DAY, 0, 1_000) + life(1_060, 1_090, 3_600)
    (instant,) = found(observed, step, 0, 3_600)
    assert instant == pytest.approx(1_060, abs=step)


def test_a_reboot_within_one_wide_bucket_is_found_in_it() -> None:
    observed = life(-5 * DAY, 0, 10 * DAY, 600) + life(10.4 * DAY, 10.5 * DAY, 20 * DAY, 600)
    (instant,) = found(observed, DAY, 0, 20 * DAY)
    assert instant == pytest.approx(10.4 * DAY, abs=DAY)


def test_several_in_one_bucket_are_one_and_several_buckets_have_their_own() -> None:
    observed = life(-5 * DAY, 0, 1_000)
    for began in (1_010, 1_030, 1_050, 4_000, 9_000):
        ends = {1_010: 1_025, 1_030: 1_045, 1_050: 3_900, 4_000: 8_000, 9_000: 10_000}[began]
        observed += life(began, began + 5, ends)
    assert found(observed, 300, 0, 10_000) == [
        pytest.approx(1_050, abs=300),
        pytest.approx(4_000, abs=300),
        pytest.approx(9_000, abs=300),
    ]


def test_a_silence_alone_is_none() -> None:
    observed = life(-5 * DAY, 0, 1_000) + life(-5 * DAY, 3_000, 3_600)
    assert found(observed, 10, 0, 3_600) == []


def test_a_host_that_booted_in_the_range_and_was_not_seen_before_is_found() -> None:
    (instant,) = found(life(1_000, 1_030, 3_600), 10, 0, 3_600)
    assert instant == pytest.approx(1_000, abs=10)


def test_what_began_before_the_range_is_not_in_it() -> None:
    observed = life(-5 * DAY, 0, 1_000) + life(1_060, 1_090, 3_600)
    assert found(observed, 10, 2_000, 3_600) == []
    assert found(observed, 10, 0, 1_000) == []


def test_jitter_and_a_clock_set_right_are_none() -> None:
    jitter = np.random.default_rng(1).uniform(-3, 3, 3_600)
    began = -DAY
    observed = [(float(at), at - began + jitter[at]) for at in range(3_600)]
    observed = [(at + TOLERANCE_SECONDS * 0.8 * (at > 1_800), up) for at, up in observed]
    for step in (1, 10, 300):
        assert found(observed, step, 0, 3_700) == []


def test_a_clock_set_back_is_none() -> None:
    observed = life(-DAY, 5_000, 6_000)
    observed += [(at, at + 3_600 + DAY) for at in range(6_000, 7_000)]
    assert found(observed, 10, 0, 7_000) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_what_is_no_time_is_passed_over(bad: float) -> None:
    starts = np.arange(3) * np.float64(10)
    up = np.array([1_000.0, bad, 1_020.0])
    assert beginnings(starts, 10.0, up, up + 9, 0.0, 30.0) == []


def test_two_senders_under_one_name_are_no_reboots() -> None:
    both = life(-5 * DAY, 0, 1_000, 2) + life(-DAY, 1, 1_000, 2)
    assert found(sorted(both), 10, 0, 1_000) == []


def test_there_are_never_more_than_the_bound_and_the_newest_stay() -> None:
    observed: list[tuple[float, float]] = []
    for number in range(MOST_MARKERS + 50):
        observed += life(number * 1_000 + 10, number * 1_000 + 20, number * 1_000 + 900, 30)
    end = (MOST_MARKERS + 50) * 1_000.0
    instants = found(observed, 100, 0, end)
    assert len(instants) == MOST_MARKERS
    assert instants[-1] == pytest.approx(end - 990, abs=100)


@settings(deadline=None)
@given(
    st.lists(st.floats(200, 5_000), min_size=1, max_size=6),
    st.lists(st.floats(0, 600), min_size=6, max_size=6),
    st.sampled_from([1.0, 10.0, 60.0]),
)
def test_each_beginning_is_found_once_and_near(
    lasting: list[float], away: list[float], step: float
) -> None:
    observed, began = life(-DAY, 0, 300, 5), []
    now = 300.0
    for seconds, silent in zip(lasting, away, strict=False):
        began.append(now + silent)
        observed += life(now + silent, now + silent + 5, now + silent + seconds, 5)
        now += silent + seconds
    instants = found(observed, step, 0, now + 1)
    assert instants == [pytest.approx(each, abs=step + 1) for each in began]
