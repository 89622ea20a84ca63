"""Alerting for tests of pages and of the API: what a test says fires, pends, and is told.

The book, silences and acknowledgements are the real ones; nobody judges, and nobody is told.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from monitor.alerting.standing import Pending, RuleState
from monitor.core.book import Alert, Book
from monitor.core.messages import Alert as Said
from monitor.core.messages import event
from monitor.core.rules.diff import Diff
from monitor.core.rules.ruleset import NO_RULES, RuleSet
from monitor.errors import MonitorError, NotFound
from monitor.notify.acks import Acks
from monitor.notify.channel import DELIVERED, ChannelStatus, Outcome
from monitor.notify.silences import Silences
from monitor.ports import EventLog, Registry


@dataclass
class Result:
    """What came of a reload."""

    ok: bool = True
    complaints: tuple[str, ...] = ()
    diff: Diff = field(default_factory=Diff)
    at: float = 0.0
    needs_restart: tuple[str, ...] = ()


@dataclass
class Reloads:
    """Whoever is asked to reload answers what a test says."""

    result: Result = field(default_factory=Result)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def reload(self, reason: str, by: str) -> Result:
        self.asked.append((reason, by))
        return self.result


@dataclass
class Judge:
    """A judge whose verdicts are a test's."""

    log: EventLog
    clock: Callable[[], float] = time.time
    book: Book = field(default_factory=Book)
    rules: RuleSet = NO_RULES
    pends: list[Pending] = field(default_factory=list)
    stated: list[RuleState] = field(default_factory=list)
    holds: dict[str, str] = field(default_factory=dict)
    judged_at: float = 0.0
    transitions_total: int = 0

    def pending(self) -> list[Pending]:
        return self.pends

    def states(self) -> list[RuleState]:
        return self.stated

    def held(self, alert: Alert, /) -> str:
        return self.holds.get(alert.id, "")

    async def say(self, id_: str, host: str, **more: Any) -> Said:
        """An alert's event, logged and folded, as the judge does."""
        fields: dict[str, Any] = {
            "rule": "disk_space",
            "attributes": {"mountpoint": "/var"},
            "state": "firing",
            "was": "pending",
            "severity": "warning",
            "value": 0.93,
            "since": self.clock(),
            "labels": {"env": "prod"},
            "limit": "> 90 %",
            "unit": "ratio",
            "metric": 'system.filesystem.utilization{mountpoint="/var"}',
            "summary": f"/var of {host} is 93 % full",
        }
        fields |= {"alert": id_, "host": host} | more
        fields.setdefault("fired", fields["since"])
        said = Said(**fields)
        position = await self.log.append([event(said, self.clock(), secrets.token_hex(8))])
        (found,), _, _ = await self.log.read(position - 1, None, 1)
        assert self.book.fold(found)
        return said


@dataclass
class Notifier:
    """Nobody is told; what there is to be told is real."""

    silences: Silences
    acks: Acks
    channels: list[ChannelStatus] = field(default_factory=list)
    outcome: Outcome | MonitorError = DELIVERED
    tested: list[tuple[str, str]] = field(default_factory=list)

    def status(self) -> list[ChannelStatus]:
        return self.channels

    async def test(self, channel: str, by: str) -> Outcome:
        if channel not in {each.name for each in self.channels}:
            raise NotFound("there is no such channel", code="unknown_channel", field="channel")
        self.tested.append((channel, by))
        if isinstance(self.outcome, MonitorError):
            raise self.outcome
        return self.outcome


@dataclass
class Alerting:
    """The judge and who reloads."""

    judge: Judge
    reloads: Reloads = field(default_factory=Reloads)

    def renew(self, notify: Notifier, log: EventLog, registry: Registry) -> None:
        """Begin anew, with nothing that fires and nothing that is told, for another test."""
        made, other = alerting(log, registry)
        self.judge, self.reloads = made.judge, made.reloads
        notify.__dict__.update(other.__dict__)


def alerting(
    log: EventLog, registry: Registry, clock: Callable[[], float] = time.time
) -> tuple[Alerting, Notifier]:
    """Both, over a log and a registry."""
    judge = Judge(log, clock)
    acks = Acks(registry, log, clock, judge.book.get)
    return Alerting(judge), Notifier(Silences(registry, log, clock), acks)
