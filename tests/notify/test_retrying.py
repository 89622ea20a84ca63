"""When it is tried again: it must be soon at first, never too often, and not for ever."""

from __future__ import annotations

import pytest

from monitor.notify.retrying import GIVE_UP_SECONDS, is_given_up, wait_seconds


@pytest.mark.parametrize(
    ("failures", "asked", "chance", "expected"),
    [
        (1, 0.0, 0.5, 5.0),
        (2, 0.0, 0.5, 10.0),
        (1, 0.0, 0.0, 4.0),
        (3, 0.0, 1.0, 24.0),
        (8, 0.0, 0.5, 640.0),
        (9, 0.0, 0.5, 900.0),
        (100_000, 0.0, 0.5, 900.0),
        (1, 120.0, 0.0, 120.0),
        (9, 10.0, 0.5, 900.0),
        (1, 1e9, 0.5, 3_600.0),
        (1, -5.0, 0.5, 5.0),
    ],
)
def test_waits_double_within_bounds(
    failures: int, asked: float, chance: float, expected: float
) -> None:
    assert wait_seconds(failures, asked, chance) == pytest.approx(expected)


def test_a_day_is_long_enough() -> None:
    assert not is_given_up(1_000.0, 1_000.0 + GIVE_UP_SECONDS - 1)
    assert is_given_up(1_000.0, 1_000.0 + GIVE_UP_SECONDS)
