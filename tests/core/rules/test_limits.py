"""Limits: each kind, with its way back, and what it makes of what is not known.

Every name finishes the sentence "it must be that …".  Values are one row's, a second apart; what
comes of each is `x` where it holds, `.` where it does not and `?` where that was not seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from monitor.core.rules.limits import Derived, Holding, Peers, every, holding, some
from monitor.core.rules.model import (
    Above,
    AbsentFor,
    Below,
    Changed,
    Clause,
    Condition,
    DiffersFromPeers,
    Equals,
    FillsWithin,
    Limit,
    Outside,
    RateAbove,
)

NAN = float("nan")
START = 1_000_000.0


def _clause(limit: Limit, metric: str = "some.metric", over: float = 0.0) -> Clause:
    return Clause(Condition(metric, over_seconds=over), limit)


def _words(held: Holding, values: Sequence[float], first: int = 0) -> str:
    found = ""
    for second, value in enumerate(values, first):
        holds, known = held.judge(np.array([value]), START + second, 1.0 if second else 0.0)
        found += "?" if not known[0] else "x" if holds[0] else "."
    return found


def _played(clause: Clause, values: Sequence[float]) -> str:
    return _words(holding(clause, 1, 1.0), values)


ABOVE, ABOVE_BACK = Above(90, 90), Above(90, 80)
BELOW, BELOW_BACK = Below(10, 10), Below(10, 20)
OUTSIDE = Outside(10, 90, 20, 80)
NARROW = Outside(10, 90, 10, 90)

CASES: list[tuple[str, Limit, list[float], str]] = [
    ("above at the limit", ABOVE, [89, 90, 90.1, 90, 89], "..x.."),
    ("above with a way back", ABOVE_BACK, [85, 91, 90, 80, 79.9, 85], ".xxx.."),
    ("above unknown", ABOVE_BACK, [91, NAN, 85, NAN, 79, NAN, 85], "x?x?.?."),
    ("above without a first value", ABOVE, [NAN, NAN, 91], "??x"),
    ("above the first value", ABOVE_BACK, [91], "x"),
    ("above at once unknown", ABOVE, [91, NAN, 90], "x?."),
    ("below at the limit", BELOW, [11, 10, 9.9, 10, 11], "..x.."),
    ("below with a way back", BELOW_BACK, [15, 9, 10, 20, 20.1, 15], ".xxx.."),
    ("below unknown", BELOW_BACK, [9, NAN, 15, 21, NAN, 15], "x?x.?."),
    ("below at once unknown", BELOW, [9, NAN, 10], "x?."),
    ("outside at the limits", NARROW, [10, 90, 9.9, 10, 90.1, 90], "..x.x."),
    ("outside with a way back", OUTSIDE, [50, 91, 85, 80, 85, 9, 15, 20, 15], ".xx..xx.."),
    ("outside across", OUTSIDE, [91, 9, 15, 85, 50], "xxxx."),
    ("outside unknown", OUTSIDE, [91, NAN, 85, 50, NAN, 85], "x?x.?."),
    ("equals", Equals(3), [2, 3, 4, NAN, 3, NAN, 3], ".x.?x?x"),
    ("equals nothing", Equals(0), [0, 1e-12, -0.0], "x.x"),
    ("equals a decimal", Equals(0.3), [0.1 + 0.2, 0.300001], "x."),
    ("equals a large one", Equals(1e15), [1e15 + 1, 1.1e15], "x."),
    # Of absence the values are instants of observations: the same one is nothing new.
    ("absent", AbsentFor(3), [1, 1, 1, 1, 1, 6, 6], "...xx.."),
    ("absent, gone altogether", AbsentFor(3), [1, NAN, NAN, NAN, NAN, 6, NAN], "...xx.."),
    ("absent, known for as long as it stands there", AbsentFor(3), [math.inf] * 5, "....."),
    ("absent and never seen", AbsentFor(3), [NAN] * 6, "??????"),
    ("changed", Changed(), [1, 1, 2, 2, 3, 4, 4], "..x.xx."),
    ("changed from nothing", Changed(), [NAN, 1, NAN, 1, NAN, 2], "?.?.?x"),
    ("changed and unknown", Changed(), [1, 2, NAN, 2], ".x?."),
    ("changed by next to nothing", Changed(), [0.3, 0.1 + 0.2, 0.0, -0.0], "..x."),
    ("changed to what has no end", Changed(), [1, float("inf"), float("inf"), 1], ".x.x"),
]


@pytest.mark.parametrize(
    ("limit", "values", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_limit_holds_where_it_says(limit: Limit, values: list[float], expected: str) -> None:
    assert _played(_clause(limit), values) == expected


def test_a_change_holds_for_as_long_as_it_says() -> None:
    assert _played(_clause(Changed(), over=3), [1, 2, 2, 2, 2, 2]) == ".xxxx."
    assert _played(_clause(Changed(), over=3), [1, 2, 2, 3, 3, 3, 3, 3]) == ".xxxxxx."


class TestRateAbove:
    """Growth."""

    def test_it_is_of_the_whole_time(self) -> None:
        values = [float(2 * second) for second in range(20)]
        assert _played(_clause(RateAbove(1.9, 1.9), over=10), values) == "?" * 10 + "x" * 10
        assert _played(_clause(RateAbove(2.0, 2.0), over=10), values) == "?" * 10 + "." * 10

    def test_it_has_a_way_back(self) -> None:
        values = [float(2 * second) for second in range(11)] + [
            20.0 + second for second in range(1, 20)
        ]
        assert _played(_clause(RateAbove(1.9, 0.5), over=10), values) == "?" * 10 + "x" * 20
        assert _played(_clause(RateAbove(1.9, 1.5), over=10), values)[-1] == "."

    def test_it_is_not_known_where_either_end_is_not(self) -> None:
        values = [float(2 * second) for second in range(30)]
        values[15] = NAN
        found = _played(_clause(RateAbove(1.0, 1.0), over=10), values)
        assert found == "?" * 10 + "xxxxx?" + "x" * 9 + "?" + "x" * 4

    def test_it_is_a_minute_where_nothing_is_said(self) -> None:
        values = [float(second) for second in range(70)]
        found = _played(_clause(RateAbove(0.5, 0.5)), values)
        assert found.index("x") == 60

    def test_one_step_is_spread_over_the_time(self) -> None:
        values = [0.0] * 100 + [60.0] * 100
        assert "x" not in _played(_clause(RateAbove(1.0, 1.0)), values)
        assert "x" in _played(_clause(RateAbove(0.9, 0.9)), values)

    def test_of_a_counter_it_is_the_rate_of_the_count(self) -> None:
        """A counter's values are rates already: that these are steady is not that it stands."""
        clause = _clause(RateAbove(100.0, 50.0), "system.network.io", over=10)
        assert _played(clause, [200.0] * 20).endswith("x" * 10)
        assert "x" not in _played(clause, [90.0] * 20)
        found = _played(clause, [200.0] * 20 + [NAN] + [70.0] * 15 + [20.0] * 20)
        assert found[20] == "?"
        assert found[35] == "x"
        assert found[-1] == "."

    def test_another_row_may_come_and_go(self) -> None:
        for metric in ("some.metric", "system.network.io"):
            held = holding(_clause(RateAbove(0.5, 0.5), metric, over=4), 1, 1.0)
            _words(held, [100.0 * second for second in range(10)])
            held.clear(np.array([0], np.intp))
            assert _words(held, [0.2], first=10) == "?"
            held.grow(3)
            holds, known = held.judge(np.array([0.1, 5.0, NAN]), START + 11, 1.0)
            assert not (holds & known).any()
            assert len(holds) == len(known) == 3


class TestFillsWithin:
    """Forecasts."""

    FILLING = (0.5 + np.arange(400) / 4_000).tolist()
    """Full after 2,000 s, of which 400 are told."""

    def _clause(self, seconds: float, back: float, full: float = 1.0) -> Clause:
        condition = Condition("some.metric", over_seconds=100, full=full)
        return Clause(condition, FillsWithin(seconds, back))

    def test_it_holds_where_it_is_full_so_soon(self) -> None:
        found = _played(self._clause(1_800, 1_800), self.FILLING)
        assert found[0] == "?", "nobody knows yet how fast it grows"
        assert found[150] == "."
        assert found[190:211].count("x") in {9, 10, 11}, "after 200 seconds it is 1,800 away"
        assert found[-1] == "x"

    def test_what_stands_is_never_full_and_what_is_full_is(self) -> None:
        assert "x" not in _played(self._clause(1e6, 1e6), [0.9] * 300)
        assert _played(self._clause(60, 60), [1.0] * 300)[-1] == "x"

    def test_it_has_a_way_back(self) -> None:
        still = self.FILLING + [self.FILLING[-1]] * 300
        assert _played(self._clause(1_800, 1_900), still)[-1] == "."
        slower = self.FILLING + [self.FILLING[-1] + second / 40_000 for second in range(1, 300)]
        assert _played(self._clause(1_800, 20_000), slower)[-1] == "x"
        assert _played(self._clause(1_800, 10_000), slower)[-1] == "."

    def test_what_runs_out_fills_too(self) -> None:
        emptying = [1.0 - value for value in self.FILLING]
        assert _played(self._clause(1_800, 1_800, 0.0), emptying)[-1] == "x"
        assert "x" not in _played(self._clause(1_800, 1_800, 0.0), self.FILLING)

    def test_what_is_not_known_is_not_known(self) -> None:
        assert _played(self._clause(1_800, 1_800), [*self.FILLING, NAN])[-1] == "?"

    def test_it_grows_and_is_cleared(self) -> None:
        held = holding(self._clause(1_800, 1_800), 1, 1.0)
        _words(held, self.FILLING)
        held.grow(2)
        holds, known = held.judge(np.array([self.FILLING[-1], 0.9]), START + 400, 1.0)
        assert (holds[0], known[0], known[1]) == (True, True, False)
        held.clear(np.array([0], np.intp))
        _, known = held.judge(np.array([self.FILLING[-1], 0.9]), START + 401, 1.0)
        assert not known.any()


class TestPeers:
    """Differing from peers."""

    def _held(self, rows: int, groups: Sequence[object]) -> tuple[Holding, Peers]:
        held = holding(_clause(DiffersFromPeers(5, 2)), rows, 1.0)
        assert isinstance(held, Derived)
        assert isinstance(held.derive, Peers)
        for row, group in enumerate(groups):
            held.derive.join(row, group)
        return held, held.derive

    def _found(self, held: Holding, values: Sequence[float]) -> str:
        holds, known = held.judge(np.array(values), START, 1.0)
        return "".join(
            "?" if not seen else "x" if one else "." for one, seen in zip(holds, known, strict=True)
        )

    def test_the_odd_one_holds_and_comes_back_later(self) -> None:
        held, _ = self._held(6, ["web"] * 6)
        usual = [100.0, 101, 99, 100, 100]
        assert self._found(held, [*usual, 150]) == ".....x"
        assert self._found(held, [*usual, 115]) == ".....x", "it is three from the others"
        assert self._found(held, [*usual, NAN]) == ".....?"
        assert self._found(held, [*usual, 101]) == "......"
        assert self._found(held, [*usual, 115]) == "......"

    def test_few_are_no_peers_and_who_has_no_group_has_none(self) -> None:
        held, _ = self._held(7, ["web"] * 4 + ["db"] * 2)
        assert self._found(held, [1, 1, 1, 900, 1, 900, 5]) == "???????"

    def test_who_changes_its_group_is_a_peer_of_others(self) -> None:
        held, peers = self._held(11, ["web"] * 6 + ["db"] * 5)
        values = [1.0, 1, 1, 1, 1, 900, 900, 900, 900, 900, 900]
        assert self._found(held, values) == ".....x....."
        peers.join(5, "db")
        held.clear(np.array([], np.intp))
        assert self._found(held, values)[5] == "."

    def test_groups_that_nobody_is_in_are_forgotten(self) -> None:
        held, peers = self._held(5, ["web"] * 5)
        for turn in range(50):
            for row in range(5):
                peers.join(row, f"group {turn}")
        assert len(peers._numbers) == 1
        assert int(peers.group.max()) <= 2
        assert self._found(held, [1, 1, 1, 1, 900]) == "....x"
        held.clear(np.arange(5, dtype=np.intp))
        assert self._found(held, [1, 1, 1, 1, 900]) == "?????"
        assert not peers._numbers
        held.grow(6)
        assert self._found(held, [1, 1, 1, 1, 900, 1]) == "??????"


@pytest.mark.parametrize(
    ("limit", "values", "after", "expected"),
    [
        (ABOVE_BACK, [91, 85], [85, 79], "x."),
        (ABOVE_BACK, [70, 85], [85], "."),
        (BELOW_BACK, [9], [NAN, 15, 21], "?x."),
        (OUTSIDE, [95], [85, 50], "x."),
        (Equals(3), [3], [NAN, 3, 4], "?x."),
        (AbsentFor(5), [1, NAN, NAN], [NAN, NAN, NAN], "..x"),
        (AbsentFor(3), [1], [NAN, NAN, NAN], "..x"),
        (Changed(), [1], [2, 2], "x."),
        (Changed(), [1], [1], "."),
    ],
    ids=[
        "above",
        "not above",
        "below",
        "outside",
        "equals",
        "absent",
        "then absent",
        "changed meanwhile",
        "not changed",
    ],
)
def test_a_restart_is_not_seen(
    limit: Limit, values: list[float], after: list[float], expected: str
) -> None:
    held = holding(_clause(limit), 1, 1.0)
    _words(held, values)
    other = holding(_clause(limit), 1, 1.0)
    kept = held.kept(0)
    assert held.busy().tolist() == ([] if kept is None else [0])
    if kept is not None:
        other.restore(0, kept)
    assert _words(other, after, first=len(values)) == expected


@pytest.mark.parametrize(
    ("clause", "value"),
    [
        (_clause(ABOVE_BACK), 85.0),
        (_clause(BELOW_BACK), 15.0),
        (_clause(OUTSIDE), 85.0),
        (_clause(AbsentFor(60)), NAN),
        (_clause(Changed(), over=60), 7.0),
    ],
    ids=["above", "below", "outside", "absent", "changed"],
)
def test_what_only_is_known_to_have_held_holds_on(clause: Clause, value: float) -> None:
    held = holding(clause, 1, 1.0)
    held.hold(0)
    assert _words(held, [value] * 3) == "xxx"


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_a_row_that_is_cleared_or_new_knows_nothing(
    case: tuple[str, Limit, list[float], str],
) -> None:
    _, limit, values, expected = case
    held = holding(_clause(limit), 1, 1.0)
    _words(held, [*values, 1e9, 0.0, 1e9, -1e9])
    held.clear(np.array([0], np.intp))
    assert held.kept(0) is None
    assert held.busy().tolist() == []
    assert _words(held, values) == expected
    held.grow(2)
    held.grow(1)
    holds, known = held.judge(np.array([1.0, NAN]), START, 0.0)
    assert (len(holds), len(known)) == (2, 2)
    assert held.kept(1) is None
    assert not (holds[1] and known[1])


X, N, U, S = (True, True), (False, True), (False, False), (True, False)


@pytest.mark.parametrize(
    ("seen", "all_", "any_"),
    [
        ([X, X], "x", "x"),
        ([X, N], ".", "x"),
        ([N, N], ".", "."),
        ([X, U], "?", "x"),
        ([X, S], "?", "x"),
        ([N, U], ".", "?"),
        ([N, S], ".", "?"),
        ([U, N], ".", "?"),
        ([S, S], "?", "?"),
        ([S, N, X], ".", "x"),
        ([X, X, U], "?", "x"),
        ([X], "x", "x"),
        ([N], ".", "."),
        ([S], "?", "?"),
    ],
)
def test_one_is_enough_to_refute_all_and_to_prove_any(
    seen: list[tuple[bool, bool]], all_: str, any_: str
) -> None:
    clauses = [(np.array([holds]), np.array([known])) for holds, known in seen]
    for join, expected in ((every, all_), (some, any_)):
        holds, known = join(clauses)
        assert ("?" if not known[0] else "x" if holds[0] else ".") == expected
