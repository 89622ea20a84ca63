"""Entries and groups: one alert as one channel knows it, and those that are told together.

Values of the ledger (`monitor.notify.folding`), which alone changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STORM_NOTIFICATIONS = 5
STORM_SECONDS = 300.0
"""A group that sent so many notifications in so long gathers before the next, for"""

GATHERING_SECONDS = 60.0

NEVER_TOLD = -1


@dataclass(slots=True)
class Entry:
    """One alert on this channel.

    `first` and `newest` are positions in the log, of its firing and of what is to be told; `rank`
    is how bad it is, `told` how bad it was told to be; `came_at` is when it became so bad.
    """

    id: str
    first: int
    newest: int
    fired_at: float
    rank: int
    came_at: float
    group: str
    told: int = NEVER_TOLD
    ended_at: float = 0.0
    """When it ended, which is still to be told; 0 while it fires."""
    is_flapping: bool = False
    is_flapping_told: bool = False
    is_blocked: bool = False
    """Whether it was held back, silenced or acknowledged when it was looked at last."""
    is_quiet: bool = False
    """Whether it is routed elsewhere now: only its end is told here."""

    @property
    def is_news(self) -> bool:
        """Whether there is something to be told of it."""
        if self.ended_at:
            return True
        if self.is_quiet:
            return False
        return self.told < self.rank or (self.is_flapping and not self.is_flapping_told)

    @property
    def waits_since(self) -> float:
        """Since when there is."""
        return self.ended_at or self.came_at


@dataclass(slots=True)
class Group:
    """Alerts that are told together.

    `sent` are the instants of its latest notifications, without those that told again, and
    `told_at` is that of the latest of all.
    """

    labels: Mapping[str, str]
    is_drill: bool
    wait_seconds: float
    repeat_seconds: float
    sent: list[float] = field(default_factory=list)
    told_at: float = 0.0
    entries: dict[str, Entry] = field(default_factory=dict)
    candidates: dict[str, Entry] = field(default_factory=dict)
    """Those of which something is to be told, now or once nothing stands in the way."""
    look_at: float = 0.0
    """There is nothing to be seen here before this instant."""

    def not_before(self) -> float:
        """When its next notification may go, by those that went."""
        if len(self.sent) < STORM_NOTIFICATIONS:
            return 0.0
        if self.sent[-1] - self.sent[-STORM_NOTIFICATIONS] > STORM_SECONDS:
            return 0.0
        return self.sent[-1] + GATHERING_SECONDS

    def count(self, now: float, *, is_repeat: bool) -> None:
        """A notification of it goes."""
        self.told_at = now
        if not is_repeat:
            self.sent = [*self.sent[1 - STORM_NOTIFICATIONS :], now]


@dataclass(frozen=True, slots=True)
class Member:
    """One alert of a notification, by its positions in the log."""

    id: str
    first: int
    newest: int
    fired_at: float
    resolved_at: float
    held: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A notification before it has a key: its members, the worst first, and how many more."""

    members: tuple[Member, ...]
    left_out: int
    labels: Mapping[str, str]
    is_repeat: bool
    is_drill: bool
    groups: tuple[str, ...]


def worst_first(entry: Entry) -> tuple[bool, int, float, int]:
    """The order in which alerts are told: what fires before what ended, the worst first."""
    return bool(entry.ended_at), -entry.rank, entry.fired_at, entry.first
