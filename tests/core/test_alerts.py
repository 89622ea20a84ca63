"""The state of alerts: each of the machine's numbered rules.

Every name finishes the sentence "it must be that …".  A script is one character a second of one
row: what was seen of each level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from monitor.core.alerts import (
    CALM_SECONDS,
    GONE_SECONDS,
    MOST_TRANSITIONS,
    WINDOW_SECONDS,
    Kept,
    Machine,
    Step,
)
from monitor.core.rules.model import Severity

INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
START = 1_000_000.0

Seen = tuple[bool, bool]
ON, OFF, UNSEEN, STUCK = (True, True), (False, True), (False, False), (True, False)
_SEEN = {"x": ON, ".": OFF, "?": UNSEEN, "!": STUCK}
"""`!`: it was on the side that holds when it was seen last, and is not seen now."""


class Run:
    """One machine of few rows, a second at a time; `log` has (second, was, severity) of row 0."""

    def __init__(
        self,
        severities: Sequence[Severity] = (WARNING,),
        for_seconds: Sequence[float] = (0.0,),
        keep: float = 0.0,
        rows: int = 1,
    ) -> None:
        self.machine = Machine(severities, for_seconds, keep, rows)
        self.rows = rows
        self.second = 0
        self.log: list[tuple[int, Severity | None, Severity | None]] = []
        self.steps: list[Step] = []

    def step(
        self,
        *seen: Seen,
        elapsed: float = 1.0,
        may_fire: bool | None = None,
        gone: bool | None = None,
        row: int = 0,
    ) -> list[Step]:
        """One step, in which only `row` is seen."""
        verdicts = []
        for holds, known in seen:
            flags = np.zeros((2, self.rows), np.bool_)
            flags[0, row], flags[1, row] = holds, known
            verdicts.append((flags[0], flags[1]))
        steps = self.machine.step(
            verdicts,
            START + self.second,
            elapsed if self.second else 0.0,
            None if may_fire is None else np.full(self.rows, may_fire),
            None if gone is None else np.full(self.rows, gone),
        )
        self.steps += steps
        self.log += [(self.second, each.was, each.severity) for each in steps]
        self.second += 1
        return steps

    def play(self, *scripts: str, **more: bool) -> Run:
        """One script a level."""
        for characters in zip(*scripts, strict=True):
            self.step(*(_SEEN[each] for each in characters), **more)
        return self

    @property
    def held(self) -> float:
        return float(self.machine.held[0, 0])


@pytest.mark.parametrize(
    ("script", "for_seconds", "keep", "expected"),
    [
        ("..xx..", 0, 0, [(2, True), (4, False)]),
        ("xxxx", 3, 0, [(3, True)]),
        ("xxx.", 3, 0, []),
        ("xx.xxxx", 3, 0, [(6, True)]),
        ("xx??xx", 3, 0, [(5, True)]),
        ("xx!!xx", 3, 0, [(5, True)]),
        ("?????", 0, 0, []),
        ("!!!!!", 0, 0, []),
        ("x????", 3, 0, []),
        ("x.?x", 0, 0, [(0, True), (1, False), (3, True)]),
        ("x???.", 0, 0, [(0, True), (4, False)]),
        ("x....", 0, 3, [(0, True), (3, False)]),
        ("x..x...", 0, 3, [(0, True), (6, False)]),
        ("x..??.", 0, 3, [(0, True), (5, False)]),
        ("x..!!.", 0, 3, [(0, True), (5, False)]),
        ("xx.xxx...", 2, 2, [(5, True), (7, False)]),
    ],
)
def test_a_level_is_reached_and_let_go_by_what_was_seen(
    script: str, for_seconds: float, keep: float, expected: list[tuple[int, bool]]
) -> None:
    run = Run((WARNING,), (for_seconds,), keep).play(script)
    assert [(second, severity is WARNING) for second, _, severity in run.log] == expected


def test_pending_is_state_and_no_transition() -> None:
    run = Run((WARNING,), (10.0,)).play("xxx")
    assert run.log == []
    assert run.machine.pending() == [(0, 0)]
    assert run.held == 2.0
    assert run.machine.began[0] == START
    run.play("?")
    assert run.machine.pending() == [(0, 0)], "what is not seen goes on pending"
    run.play(".")
    assert run.machine.pending() == []
    assert np.isnan(run.machine.began[0])
    assert run.machine.is_idle(0)


def test_what_fires_does_not_pend() -> None:
    run = Run((WARNING, CRITICAL), (0.0, 60.0)).play("xx", "xx")
    assert run.machine.pending() == []
    assert run.machine.severity(0) is WARNING


def test_what_pends_is_told_by_its_worst_level() -> None:
    run = Run((WARNING, CRITICAL), (60.0, 60.0)).play("xx", ".x")
    assert run.machine.pending() == [(0, 1)]


def test_it_is_as_bad_as_the_worst_level_there_and_back() -> None:
    run = Run((WARNING, CRITICAL), (0.0, 0.0)).play(".xxx..", "..x...")
    assert run.log == [
        (1, None, WARNING),
        (2, WARNING, CRITICAL),
        (3, CRITICAL, WARNING),
        (4, WARNING, None),
    ]


def test_the_worst_may_be_reached_first_and_last() -> None:
    run = Run((WARNING, CRITICAL), (5.0, 1.0)).play("xxxxxxx.", "xxxx....")
    assert run.log == [
        (1, None, CRITICAL),
        (4, CRITICAL, None),
        (5, None, WARNING),
        (7, WARNING, None),
    ]


def test_time_that_does_not_count_adds_nothing() -> None:
    run = Run((WARNING,), (2.0,), 2.0)
    run.step(ON)
    for _ in range(10):
        run.step(ON, elapsed=0.0)
    assert run.log == []
    run.play("xx")
    assert run.machine.severity(0) is WARNING
    for _ in range(10):
        run.step(OFF, elapsed=0.0)
    assert run.machine.severity(0) is WARNING


def test_what_has_just_come_pends_for_as_long_and_what_fires_is_not_stopped() -> None:
    run = Run((WARNING, CRITICAL), (1.0, 1.0)).play("xxxx", "....", may_fire=False)
    assert run.log == []
    assert run.machine.pending() == [(0, 0)]
    run.play("x", ".", may_fire=True)
    assert run.log == [(4, None, WARNING)]
    run.play("xx", "xx", may_fire=False)
    assert run.machine.severity(0) is CRITICAL, "it fires already, and may become worse"
    run.play(".", ".", may_fire=False)
    assert run.machine.severity(0) is None


class TestFlapping:
    """Rule 6."""

    def flap(self, run: Run, seconds: int) -> Run:
        return run.play(("x." * seconds)[:seconds])

    def test_twelve_are_logged_the_last_of_which_says_so(self) -> None:
        run = self.flap(Run(), 600)
        assert len(run.log) == MOST_TRANSITIONS == 12
        assert [each.is_flapping for each in run.steps] == [False] * 11 + [True]
        assert run.steps[-1].severity is WARNING
        assert run.machine.severity(0) is WARNING

    def test_never_more_are_logged_in_any_hour_and_it_ends_once_calm(self) -> None:
        run = self.flap(Run(), 3 * 3_600 + 1)
        run.play("." * 5_000)
        at = [second for second, _, _ in run.log]
        for first in at:
            within = [each for each in at if first <= each < first + WINDOW_SECONDS]
            assert len(within) <= MOST_TRANSITIONS
        assert run.log[-1][1:] == (WARNING, None)
        assert run.log[-1][0] == 3 * 3_600 + CALM_SECONDS
        assert run.machine.severity(0) is None

    def test_calm_is_seen_and_not_guessed(self) -> None:
        run = self.flap(Run(), 20)
        run.play("?" * 5_000)
        assert run.machine.severity(0) is WARNING, "nobody saw it calm"
        run.play("." * int(CALM_SECONDS - 20))
        assert run.machine.severity(0) is WARNING
        run.play("x" + "." * int(CALM_SECONDS - 1))
        assert run.machine.severity(0) is WARNING, "it must be calm without a break"
        run.play(".")
        assert run.machine.severity(0) is None

    def test_its_end_waits_until_there_may_be_another(self) -> None:
        run = self.flap(Run(), 20)
        run.play("." * int(2 * CALM_SECONDS))
        assert len(run.log) == MOST_TRANSITIONS
        assert run.machine.severity(0) is WARNING

    def test_the_last_fires_as_badly_as_it_did(self) -> None:
        run = Run((WARNING, CRITICAL), (0.0, 0.0))
        run.play("x" * 60, "x." * 30)
        assert run.steps[-1].severity is CRITICAL
        assert run.steps[-1].is_flapping

    def test_worse_is_told_all_the_same_once_there_may_be_another(self) -> None:
        run = Run((WARNING, CRITICAL), (0.0, 0.0))
        run.play("x." * 10, "." * 20)
        run.play("x" * 4_000, "x" * 4_000)
        assert run.machine.severity(0) is CRITICAL
        assert (run.steps[-1].was, run.steps[-1].severity) == (WARNING, CRITICAL)
        assert run.steps[-1].is_flapping
        run.play("x" * 5_000, "." * 5_000)
        assert run.machine.severity(0) is CRITICAL, "milder is not calm"

    def test_it_begins_anew_after_a_quiet_hour(self) -> None:
        run = self.flap(Run(), 10)
        run.play("." * 3_700)
        assert run.machine.is_idle(0)
        assert run.machine.busy().tolist() == []
        assert self.flap(run, 10).steps[-1].is_flapping is False

    def test_it_goes_on_over_a_restart_while_it_is_quiet(self) -> None:
        """What flaps fires though nothing is reached, and a restart must not lose that."""
        run = self.flap(Run(), 20)
        run.play("." * 100)
        kept = run.machine.kept(0)
        assert (kept.severity, kept.is_flapping, kept.reached) == (WARNING, True, {})
        other = Run()
        other.second = run.second
        other.machine.restore(0, kept)
        assert other.machine.severity(0) is WARNING
        other.play("." * 4_000)
        assert [each[1:] for each in other.log] == [(WARNING, None)]
        assert other.log[0][0] == WINDOW_SECONDS, "by then the first of the twelve is an hour old"


class TestGone:
    """Rule 8."""

    def test_a_row_whose_series_is_gone_ends(self) -> None:
        run = Run().play("x")
        for _ in range(int(GONE_SECONDS) - 1):
            assert run.step(UNSEEN, gone=True) == []
        (step,) = run.step(UNSEEN, gone=True)
        assert (step.was, step.severity, step.is_gone) == (WARNING, None, True)
        assert run.machine.severity(0) is None

    def test_what_only_pends_ends_too_and_says_nothing(self) -> None:
        run = Run((WARNING,), (600.0,)).play("xx")
        for _ in range(int(GONE_SECONDS)):
            assert run.step(UNSEEN, gone=True) == []
        assert run.machine.is_idle(0)

    def test_time_in_which_its_host_is_away_neither_adds_nor_ends(self) -> None:
        """A host that sends once a minute is there for a part of each."""
        run = Run().play("x")
        for second in range(2 * int(GONE_SECONDS) - 2):
            assert run.step(UNSEEN, gone=second % 2 == 0) == []
        run.step(UNSEEN, gone=True)
        assert run.machine.severity(0) is None

    def test_once_found_again_it_counts_from_nothing(self) -> None:
        run = Run().play("x")
        for _ in range(200):
            run.step(UNSEEN, gone=True)
        run.machine.found(0)
        run.play("x")
        for _ in range(200):
            run.step(UNSEEN, gone=True)
        assert run.machine.severity(0) is WARNING

    def test_what_flaps_and_is_gone_ends_once_and_flaps_no_more(self) -> None:
        run = Run().play("x." * 10)
        for _ in range(2 * int(WINDOW_SECONDS)):
            run.step(UNSEEN, gone=True)
        run.step(UNSEEN, gone=True)
        assert run.log[-1][1:] == (WARNING, None)
        assert len(run.log) == MOST_TRANSITIONS + 1
        assert run.log[-1][0] == WINDOW_SECONDS, "there were twelve in that hour"
        assert run.machine.is_idle(0)


class TestOverARestart:
    """Keeping and restoring."""

    @pytest.mark.parametrize(
        ("before", "after"),
        [("xx", "xx."), ("xxxx", "..."), ("xxxx.", "...x"), ("xx", "?xx."), ("xxxx..", ".xxx")],
    )
    def test_it_goes_on_as_if_there_had_been_none(self, before: str, after: str) -> None:
        whole = Run((WARNING,), (3.0,), 3.0).play(before + after)
        first = Run((WARNING,), (3.0,), 3.0).play(before)
        second = Run((WARNING,), (3.0,), 3.0)
        second.machine.restore(0, first.machine.kept(0))
        second.second = first.second
        second.play(after)
        assert first.log + second.log == whole.log
        assert second.machine.kept(0) == whole.machine.kept(0)

    def test_a_severity_that_there_is_no_more_becomes_another(self) -> None:
        kept = Run((WARNING, CRITICAL), (0.0, 0.0)).play("x", "x").machine.kept(0)
        other = Run((WARNING,), (0.0,))
        other.machine.restore(0, kept)
        assert not other.machine.is_idle(0)
        assert other.machine.busy().tolist() == [0]
        assert other.machine.kept(0).severity is CRITICAL
        other.play("?xx.")
        assert [each[1:] for each in other.log] == [(CRITICAL, WARNING), (WARNING, None)]

    def test_or_it_ends(self) -> None:
        kept = Run((CRITICAL,), (0.0,)).play("x").machine.kept(0)
        other = Run((WARNING,), (0.0,))
        other.machine.restore(0, kept)
        other.play("...")
        assert [each[1:] for each in other.log] == [(CRITICAL, None)]

    def test_what_is_not_said_is_the_worst_that_is_reached(self) -> None:
        run = Run((INFO, WARNING, CRITICAL), (0.0, 0.0, 0.0))
        run.machine.restore(0, Kept(reached={WARNING: 0.0, INFO: 0.0}))
        assert run.machine.severity(0) is WARNING
        assert Kept().fires is None

    def test_what_flaps_and_does_not_fire_breaks_nothing(self) -> None:
        run = Run()
        run.machine.restore(0, Kept(is_flapping=True, logged=(START,)))
        run.play("." * 2_000)
        assert run.log == []


def test_rows_know_nothing_of_each_other_and_a_cleared_one_nothing_at_all() -> None:
    run = Run((WARNING,), (1.0,), 5.0, rows=3)
    for _ in range(30):
        run.step(ON, row=1)
        run.step(OFF, row=1)
    for _ in range(3):
        run.step(ON, row=1)
    assert run.machine.severity(1) is WARNING
    assert run.machine.is_idle(0)
    assert run.machine.is_idle(2)
    run.machine.gone[1] = 7.0
    run.machine.clear(1)
    fresh = Machine((WARNING,), (1.0,), 5.0, 3)
    assert replace(run.machine.kept(1), peak=0.0) == replace(fresh.kept(1), peak=0.0)
    assert run.machine.gone[1] == 0.0
    assert run.machine.is_idle(1)


def test_there_is_room_for_more_rows_and_nothing_is_lost() -> None:
    run = Run((WARNING,), (1.0,), 5.0).play("xxx.")
    before = run.machine.kept(0)
    run.machine.grow(4)
    run.machine.grow(2)
    run.rows = 4
    assert run.machine.kept(0) == before
    assert len(run.machine.level) == 4
    assert all(run.machine.is_idle(row) for row in (1, 2, 3))
    run.step(ON, row=3)
    run.step(ON, row=3)
    assert run.machine.severity(3) is WARNING
    assert run.machine.began[3] == START + 4
