"""How long the log keeps what, and letting go of the rest: the same for every log.

It knows no clock: whoever calls it says what time it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.model import RetentionClass
from monitor.ports import EventLog

DAY_SECONDS = 86_400.0
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """How long a class is kept, and how much of it at most."""

    age_seconds: float
    most_bytes: int


KEPT: Mapping[RetentionClass, Kept] = {
    # A year and the month in which it is looked back upon: "was it like this last Christmas?"
    RetentionClass.ALERTS: Kept(400 * DAY_SECONDS, 1024 * MIB),
    # A quarter: host changes are many, and a flapping host says little after that.
    RetentionClass.HOSTS: Kept(90 * DAY_SECONDS, 512 * MIB),
    # As long as alerts: who did what is asked together with what happened.
    RetentionClass.AUDIT: Kept(400 * DAY_SECONDS, 1024 * MIB),
    # A quarter: transcripts are long, and what was learnt from them stands in the alert.
    RetentionClass.TERMINAL: Kept(90 * DAY_SECONDS, 1024 * MIB),
}
"""Age and size of each class; whichever is reached first."""


async def prune(log: EventLog, now: float) -> int:
    """Let go of what is older or more than is kept; how many events went.

    `now` is unix seconds.  Raises `monitor.errors.Unavailable` where the log cannot be written.
    """
    gone = 0
    for class_, kept in KEPT.items():
        gone += await log.trim(class_, now - kept.age_seconds, kept.most_bytes)
    return gone
