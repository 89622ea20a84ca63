"""What a channel is: it carries one notification, and says what came of it.

A channel tries once.  Whether and when it is tried again is decided in one place, the dispatch
(`monitor.notify.dispatch`); routes, groups, silences and who is held back are none of its business.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitor.core.messages import Alert


@dataclass(frozen=True, slots=True)
class Told:
    """One alert of a notification: as it was when the notification was made.

    `alert` has the evidence of its firing; `fired_at` and `resolved_at` are unix seconds, the
    latter 0 while it fires; `held` is how many others it holds back.
    """

    alert: Alert
    fired_at: float
    resolved_at: float = 0.0
    held: int = 0

    @property
    def is_resolved(self) -> bool:
        """Whether it is told that it is over."""
        return bool(self.resolved_at)


@dataclass(frozen=True, slots=True)
class Notification:
    """Alerts of one group to tell somebody about, together, once.

    `key` is the same in every attempt, over restarts too; `at` is when it was made, unix seconds.
    `told` are the alerts, the worst first, at most `MOST_TOLD`; `left_out` is how many more there
    are.  `group` are the labels that they share, by the route's `group_by`.
    """

    key: str
    channel: str
    at: float
    told: tuple[Told, ...]
    left_out: int = 0
    group: Mapping[str, str] = field(default_factory=dict)
    is_repeat: bool = False
    is_drill: bool = False
    attempt: int = 1


MOST_TOLD = 50
"""Alerts in one notification; of the rest their number is told."""


class Result(enum.Enum):
    """What came of one attempt."""

    DELIVERED = "delivered"
    """The receiver has it."""
    RETRY = "retry"
    """It may work later."""
    GIVEN_UP = "given_up"
    """It will never work as it is: the receiver refuses it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result, why, and when to come again where the receiver says so.

    `reason` is a sentence for operators; it holds no secret and nothing raw of a reply.
    """

    result: Result
    reason: str = ""
    retry_after_seconds: float = 0.0


DELIVERED = Outcome(Result.DELIVERED)


class Channel(Protocol):
    """Carries notifications to one receiver.  `deliver` never raises but for cancellation."""

    name: str
    kind: str
    """``webhook``, ``mail``, ``alertmanager``, or the service's name."""
    target: str
    """Where it leads, without secrets."""

    async def deliver(self, notification: Notification) -> Outcome:
        """Try once, within ten seconds or so."""

    async def close(self) -> None:
        """Give back connections."""


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """How it stands with a channel, for pages and metrics; instants in unix seconds, 0 for never.

    `waiting` are notifications that were not delivered yet, `given_up` those that never will be.
    """

    name: str
    kind: str
    target: str
    delivered_at: float = 0.0
    failing_since: float = 0.0
    failure: str = ""
    waiting: int = 0
    delivered: int = 0
    given_up: int = 0
    next_try_at: float = 0.0
