"""The last ten minutes of every host, in memory."""

from __future__ import annotations

import math
from array import array

import numpy as np
import pytest

from monitor.core.recent import LOOK_SECONDS, POINTS, RECENT_KEY, Recent
from monitor.core.state import LiveState
from monitor.model import Frame, Schema

NOW = 1_700_000_000.0
CPU = Schema((RECENT_KEY,))


def looked(state: LiveState, recent: Recent, at: float, ratio: float, host: str = "a") -> None:
    """A host says something, and it is taken."""
    state.fold(Frame(host, at, CPU, array("d", [ratio])), (), at)
    recent.look(state.hosts, at)


def test_a_point_is_the_mean_of_what_was_seen_in_its_ten_seconds() -> None:
    state, recent = LiveState(), Recent()
    for second, ratio in ((0, 0.2), (2, 0.4), (3, 0.9), (4, 0.6), (10, 1.0)):
        looked(state, recent, NOW + second, ratio)
    points = recent.of(["a"])["a"]
    assert len(points) == POINTS
    assert points[-2:].tolist() == pytest.approx([0.4, 1.0])
    assert np.isnan(points[:-2]).all()


def test_a_silence_is_a_gap() -> None:
    """It must be that a value is not taken again, and that a long silence leaves nothing."""
    state, recent = LiveState(), Recent()
    looked(state, recent, NOW, 0.5)
    for second in range(2, 42, 2):
        recent.look(state.hosts, NOW + second)
    looked(state, recent, NOW + 42, 0.7)
    points = recent.of(["a"])["a"][-5:].tolist()
    assert points == pytest.approx([0.5, math.nan, math.nan, math.nan, 0.7], nan_ok=True)
    recent.look(state.hosts, NOW + 10_000)
    assert np.isnan(recent.of(["a"])["a"]).all()


def test_what_was_before_is_filled_in_once_and_changes_nothing_known() -> None:
    state, recent = LiveState(), Recent()
    assert recent.lacking(["a"]) == []
    looked(state, recent, NOW, 0.5)
    assert recent.lacking(["a", "b"]) == ["a"]
    recent.fill("a", NOW + 10 * np.arange(-100.0, 5.0), np.full(105, 0.1))
    recent.fill("b", np.array([NOW]), np.array([0.1]))
    assert recent.lacking(["a"]) == []
    points = recent.of(["a", "b"])
    assert list(points) == ["a"]
    assert points["a"].tolist() == [0.1] * (POINTS - 1) + [0.5]


def test_a_host_that_was_deleted_leaves_nothing_to_its_successor() -> None:
    state, recent = LiveState(), Recent()
    looked(state, recent, NOW, 0.5)
    state.forget("a")
    looked(state, recent, NOW + LOOK_SECONDS, 0.9)
    assert recent.of(["a"])["a"][-1] == 0.9
    state.forget("a")
    recent.look(state.hosts, NOW + 20)
    assert recent.of(["a"]) == {}
