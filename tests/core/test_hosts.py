"""A host's status is a function of its silence and its period."""

from __future__ import annotations

import pytest

from monitor.core.hosts import learnt_period, status
from monitor.model import HostStatus


@pytest.mark.parametrize(
    ("silent", "period", "expected"),
    [
        (0, 1, HostStatus.UP),
        (9.9, 1, HostStatus.UP),
        (10, 1, HostStatus.STALE),  # two sends of at least five seconds each
        (59.9, 1, HostStatus.STALE),
        (60, 1, HostStatus.DOWN),
        (119, 60, HostStatus.UP),
        (120, 60, HostStatus.STALE),
        (179, 60, HostStatus.STALE),
        (180, 60, HostStatus.DOWN),
        (10, 0, HostStatus.STALE),  # a period that is not known yet
    ],
)
def test_two_missed_sends_are_stale_and_three_are_down(
    silent: float, period: float, expected: HostStatus
) -> None:
    assert status(silent, period) is expected


def test_a_period_is_learnt_and_an_absence_teaches_nothing() -> None:
    period = 0.0
    for gap in (10.0, 10.0, 10.0, 600.0, 10.0):
        period = learnt_period(period, gap)
    assert period == 10


def test_a_period_follows_a_sender_that_changes_its_pace() -> None:
    period = learnt_period(0.0, 10.0)
    for _ in range(30):
        period = learnt_period(period, 15.0)
    assert period == pytest.approx(15, rel=0.01)
