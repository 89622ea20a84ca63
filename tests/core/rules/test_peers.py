"""Deviations from peers, against the same said slowly."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.rules.peers import LEAST_PEERS, SCALE, deviations


def _plainly(values: list[float], group: list[int]) -> list[float]:
    found = []
    for value, mine in zip(values, group, strict=True):
        known = [
            v for v, g in zip(values, group, strict=True) if g == mine >= 0 and math.isfinite(v)
        ]
        if not math.isfinite(value) or mine < 0 or len(known) < LEAST_PEERS:
            found.append(math.nan)
            continue
        centre = statistics.median(known)
        spread = statistics.median(abs(v - centre) for v in known) * SCALE
        found.append(abs(value - centre) / max(spread, abs(centre) * 0.05, 0.01))
    return found


VALUES = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6, width=32), st.floats(99, 103, width=32))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(VALUES, st.integers(-1, 2)), min_size=15, max_size=40))
def test_deviations_are_what_they_say(pairs: list[tuple[float, int]]) -> None:
    """It must be that each group has its own median, and unknown values none at all."""
    values, group = [v for v, _ in pairs], [g for _, g in pairs]
    found = deviations(np.array(values, float), np.array(group, np.intp), 3)
    assert found.tolist() == pytest.approx(_plainly(values, group), nan_ok=True, rel=1e-9)


def test_the_odd_one_is_found() -> None:
    """It must be that one busy host among idle ones stands out, and they do not."""
    values = np.array([0.10, 0.11, 0.12, 0.10, 0.13, 0.95])
    found = deviations(values, np.zeros(6, np.intp), 1)
    assert found[5] > 20
    assert found[:5].max() < 2


def test_peers_that_are_all_but_equal_do_not_shout() -> None:
    """It must be that the smallest difference among equals is not a large deviation."""
    values = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.005])
    assert deviations(values, np.zeros(6, np.intp), 1).max() < 1


def test_what_is_unusual_is_so_beside_how_large_it_is() -> None:
    """It must be that one gigabyte more of a hundred is not what ten more are."""
    values = np.array([100.0, 100, 100, 100, 101, 110])
    assert deviations(values, np.zeros(6, np.intp), 1).tolist() == [0, 0, 0, 0, 0.2, 2]


def test_the_median_of_an_even_group_lies_in_the_middle() -> None:
    """It must be that neither half of a group is the usual one."""
    values = np.array([10.0, 20, 30, 50, 60, 70])
    found = deviations(values, np.zeros(6, np.intp), 1)
    assert found.tolist() == pytest.approx(list(found[::-1]))


def test_four_are_no_group() -> None:
    """It must be that few peers say nothing."""
    assert np.isnan(deviations(np.array([1.0, 1, 1, 9]), np.zeros(4, np.intp), 1)).all()
    assert len(deviations(np.empty(0), np.empty(0, np.intp), 0)) == 0
