"""How often one may fail: see `monitor.access.logins`."""

from __future__ import annotations

import pytest

from monitor.access import logins
from monitor.access.logins import KEY_CHARACTERS, MOST_FAILURES, WINDOW_SECONDS, Failures


def test_ten_failures_in_a_minute_are_enough() -> None:
    """It must be that the eleventh try waits until the first of ten failures is a minute ago."""
    failures = Failures()
    for number in range(MOST_FAILURES):
        assert failures.wait_seconds(("ann", "::1"), number) == 0
        failures.add(("ann", "::1"), number)
    assert failures.wait_seconds(("ann", "::1"), 20) == WINDOW_SECONDS - 20
    assert failures.wait_seconds(("ann", "::2"), 20) == WINDOW_SECONDS - 20
    assert failures.wait_seconds(("ben", "::1"), 20) == WINDOW_SECONDS - 20
    assert failures.wait_seconds(("ben", "::2"), 20) == 0
    assert failures.wait_seconds(("ann",), WINDOW_SECONDS) == 0
    failures.add(("ann",), WINDOW_SECONDS)
    # The window slides: now it is the second failure's turn.
    assert failures.wait_seconds(("ann",), WINDOW_SECONDS) == 1


def test_who_came_in_begins_anew() -> None:
    """It must be that a success clears a name, and no other key."""
    failures = Failures()
    for _ in range(MOST_FAILURES):
        failures.add(("ann", "::1"), 0)
    failures.forget("ann")
    failures.forget("nobody")
    assert failures.wait_seconds(("ann",), 1) == 0
    assert failures.wait_seconds(("::1",), 1) > 0


def test_it_remembers_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that memory is bounded, and that who goes on failing is not forgotten."""
    monkeypatch.setattr(logins, "MOST_KEYS", 10)
    failures = Failures()
    for number in range(1_000):
        failures.add(("ann", f"address {number}"), 0)
    assert len(failures._failed) == 10
    assert failures.wait_seconds(("ann",), 0) > 0


def test_a_long_name_takes_no_more_memory() -> None:
    """It must be that a name of a megabyte is counted, and not kept."""
    failures = Failures()
    name = "x" * 1_000_000
    for _ in range(MOST_FAILURES):
        failures.add((name,), 0)
    assert failures.wait_seconds((name,), 0) > 0
    assert max(map(len, failures._failed)) == KEY_CHARACTERS
    failures.forget(name)
    assert failures.wait_seconds((name,), 0) == 0


def test_an_attempt_that_came_in_was_no_failure() -> None:
    """It must be that attempts count while they are looked at, and those that came in no more."""
    failures = Failures()
    for second in range(10):
        failures.add(("user:ann", "address:::1"), float(second))
    assert failures.wait_seconds(("user:ann",), 10.0) > 0
    failures.withdraw(("user:ann", "address:::1"), 9.0)
    assert failures.wait_seconds(("user:ann", "address:::1"), 10.0) == 0
    failures.withdraw(("user:nobody",), 9.0)
