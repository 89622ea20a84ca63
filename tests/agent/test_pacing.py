"""Waits and speeds.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

from monitor.agent.pacing import (
    FIRST_FRAMES,
    LONGEST_SECONDS,
    MOST_FRAMES,
    QUICK_SECONDS,
    SLOW_SECONDS,
    Backoff,
    Pace,
)


def test_waits_double_up_to_the_longest_and_begin_again() -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.wait() for _ in range(8)] == [0.5, 1, 2, 4, 8, 15, 15, 15]
    backoff.reset()
    assert backoff.wait() == 0.5


def test_chance_shortens_a_wait_by_half_at_most() -> None:
    lowest, highest = Backoff(lambda: 0.0), Backoff(lambda: 1.0)
    for _ in range(8):
        low, high = lowest.wait(), highest.wait()
        assert 0 < low == high / 2 <= high <= LONGEST_SECONDS


def test_what_somebody_must_mend_is_tried_slowly_and_the_server_may_ask_for_more() -> None:
    assert Backoff(lambda: 1.0).slow() == LONGEST_SECONDS
    assert Backoff(lambda: 1.0).wait(at_least=60.0) == 60.0


def test_a_quick_link_gets_larger_documents_and_a_slow_one_smaller() -> None:
    pace = Pace()
    assert pace.frames(10) == FIRST_FRAMES
    for _ in range(10):
        pace.answered(QUICK_SECONDS)
    assert pace.frames(10) == MOST_FRAMES
    pace.answered((QUICK_SECONDS + SLOW_SECONDS) / 2)
    assert pace.frames(10) == MOST_FRAMES
    for _ in range(10):
        pace.answered(SLOW_SECONDS)
    assert pace.frames(10) == 1


def test_wide_frames_go_fewer_at_once() -> None:
    pace = Pace()
    for _ in range(10):
        pace.answered(0.0)
    assert pace.frames(10_000) == 4
    assert pace.frames(1_000_000) == 1


def test_a_day_is_replayed_within_seven_minutes_and_not_at_once() -> None:
    pace, now, sent = Pace(), 0.0, 0
    for _ in range(10):
        pace.answered(0.0)
    while sent < 86_400:
        now += pace.wait(now, None)
        pace.sent(now, pace.frames(300))
        sent += pace.frames(300)
    assert 60 < now < 420


def test_live_frames_that_wait_hold_late_ones_back() -> None:
    pace = Pace()
    assert pace.wait(10.0, 9.9) == 0.0
    assert pace.wait(10.0, 9.0) > 0.0
    assert pace.wait(10.0, None) == 0.0
