"""What we may say of a host, from when it was last heard: up, stale or down.

A function of its arguments; whoever asks brings the time.
"""

from __future__ import annotations

from monitor.model import HostStatus

LEAST_PERIOD_SECONDS = 5.0
"""A sender that sends more often is given at least this long before a send counts as missed."""

STALE_AFTER_SENDS = 2
DOWN_AFTER_SENDS = 3
DOWN_AFTER_SECONDS = 60.0

LATE_AFTER_INTERVALS = 3
LATE_AFTER_SECONDS = 30.0

LONGEST_PERIOD_SECONDS = 3_600.0
"""A learnt period never grows past this, so that a host that was away an hour is not excused."""

LEARNING_SHARE = 0.2
"""How much of each new gap goes into the learnt period (an exponential mean)."""


def learnt_period(period_seconds: float, gap_seconds: float) -> float:
    """The sender's period after one more gap between frames.

    A gap that is longer than a missed send says that it was away, and teaches nothing.
    """
    if period_seconds <= 0:
        return min(gap_seconds, LONGEST_PERIOD_SECONDS)
    if gap_seconds > STALE_AFTER_SENDS * max(period_seconds, LEAST_PERIOD_SECONDS):
        return period_seconds
    return period_seconds + LEARNING_SHARE * (gap_seconds - period_seconds)


def status(silent_seconds: float, period_seconds: float) -> HostStatus:
    """What a host is that has been silent for so long and sends at such a period.

    Stale after two missed sends, at the period announced or learnt but at least 5 s; down
    after three of them, and at least 60 s.
    """
    period = max(period_seconds, LEAST_PERIOD_SECONDS)
    if silent_seconds >= max(DOWN_AFTER_SENDS * period, DOWN_AFTER_SECONDS):
        return HostStatus.DOWN
    if silent_seconds >= STALE_AFTER_SENDS * period:
        return HostStatus.STALE
    return HostStatus.UP


def is_worse(one: HostStatus, other: HostStatus) -> bool:
    """Whether the first status says of longer silence than the second."""
    return _ORDER.index(one) > _ORDER.index(other)


def is_late(late_seconds: float, period_seconds: float) -> bool:
    """Whether a frame that was sent so long after its instant is no part of the present.

    `late_seconds` is by the sender's own clock; a frame is late by more than three intervals, and
    at least 30 s (DESIGN section 2).
    """
    return late_seconds > max(LATE_AFTER_INTERVALS * period_seconds, LATE_AFTER_SECONDS)


_ORDER = (HostStatus.UP, HostStatus.STALE, HostStatus.DOWN, HostStatus.RETIRED)
