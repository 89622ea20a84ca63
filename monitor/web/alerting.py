"""What the web room is given of alerting and of telling people: what it reads, and what it asks.

Shapes only, each as small as its use here; the judge, the notifier and what reloads the rules have
them.  A server without them has none (`Services.alerting`, `Services.notify`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.alerting.standing import Pending, RuleState
from monitor.core.book import Alert, Book
from monitor.core.rules.diff import Diff
from monitor.core.rules.ruleset import RuleSet
from monitor.notify.acks import Acks
from monitor.notify.channel import ChannelStatus, Outcome
from monitor.notify.silences import Silences


class Judge(Protocol):
    """What is read of the judge."""

    @property
    def book(self) -> Book:
        """Alerts that are open, and the latest that are over."""

    @property
    def rules(self) -> RuleSet:
        """The rules that hold."""

    @property
    def judged_at(self) -> float:
        """When all rules were judged, in unix seconds; 0 before that."""

    @property
    def transitions_total(self) -> int:
        """Alerts that began, changed or were over."""

    def pending(self) -> Sequence[Pending]:
        """Conditions that hold, and have not held long enough."""

    def states(self) -> Sequence[RuleState]:
        """Every rule, and what becomes of it."""

    def held(self, alert: Alert, /) -> str:
        """The rule that holds an alert back; empty where none does."""


class Reloaded(Protocol):
    """What came of reading the configuration anew."""

    @property
    def ok(self) -> bool:
        """Whether it holds now."""

    @property
    def complaints(self) -> Sequence[str]:
        """Why not, a line each."""

    @property
    def diff(self) -> Diff:
        """What is different: rules added, removed and changed, and alerts that would change."""

    @property
    def at(self) -> float:
        """When, in unix seconds."""

    @property
    def needs_restart(self) -> Sequence[str]:
        """Sections that changed, and hold when the server starts the next time."""


class Reloads(Protocol):
    """Who reads the configuration anew."""

    async def reload(self, reason: str, by: str) -> Reloaded:
        """All or nothing: the rules that held go on where there is a complaint."""


class Alerting(Protocol):
    """The judge, and who gives it other rules."""

    @property
    def judge(self) -> Judge:
        """Who judges."""

    @property
    def reloads(self) -> Reloads:
        """Who reloads."""


class Notifier(Protocol):
    """What is read of the notifier, and whom people ask for silence."""

    @property
    def silences(self) -> Silences:
        """Of which alerts nobody is told."""

    @property
    def acks(self) -> Acks:
        """Which alerts somebody has seen."""

    def status(self) -> Sequence[ChannelStatus]:
        """How it stands with each channel."""

    async def test(self, channel: str, by: str) -> Outcome:
        """Send a marked message through a channel: a 429 where that is asked too often."""
