"""The scene: which alerts are open and which hosts are away, by the log, for all channels together.

It says why nobody is told of an alert for now: it is held back by another, silenced, or somebody
has acknowledged it.  Pure but for the two questions that it was given; it knows no channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from monitor.core.book import Alert, Book
from monitor.core.holding import AWAY, FLEET_UNREACHABLE, HOST_UNREACHABLE, holder
from monitor.model import Event, EventType, HostStatus


class Acknowledged(Protocol):
    """As much of an acknowledgement as matters here."""

    def covers(self, severity: str) -> bool:
        """Whether it holds for an alert that is now this bad: no worse than it was."""


Silenced = Callable[[Mapping[str, str], float], object]
"""Given what selectors match and an instant: what silences it then, or something false."""

AcknowledgedBy = Callable[[str], Acknowledged | None]
"""Given an alert's id: its acknowledgement, where there is one."""

_STATUSES = {status.value: status for status in HostStatus}


class Scene:
    """A view of the log's alerts and hosts.  Whoever folds the same events sees the same one."""

    def __init__(self, silenced: Silenced, acknowledged: AcknowledgedBy) -> None:
        self.book = Book()
        self._silenced = silenced
        self._acknowledged = acknowledged
        self._by_host: dict[str, dict[str, dict[str, Alert]]] = {}
        """By host, rule and id: who holds whom is asked by rule, and a host may have thousands."""
        self._away: dict[str, HostStatus] = {}
        self._fleet: set[str] = set()
        """Alerts that say that much of the fleet is away."""
        self._unreachable: set[str] = set()
        """Alerts that say that a host is away."""

    def put(self, alerts: Iterable[Alert]) -> None:
        """Know these open alerts, from before what will be folded."""
        for alert in alerts:
            self.book.put((alert,))
            self._index(alert)

    def put_away(self, hosts: Iterable[str]) -> None:
        """Know that these hosts are away, from before what will be folded."""
        self._away.update((host, HostStatus.DOWN) for host in hosts)

    def fold(self, event: Event) -> Alert | None:
        """Take an event in: the alert that it is about; none where it is about none."""
        if event.type is EventType.HOST_UPDATE:
            host, status = str(event.data.get("host")), _STATUSES.get(str(event.data.get("status")))
            if status in AWAY:
                self._away[host] = status
            else:
                self._away.pop(host, None)
            return None
        alert = self.book.fold(event)
        if alert is not None:
            self._index(alert)
        return alert

    def _index(self, alert: Alert) -> None:
        for ids, rule in ((self._fleet, FLEET_UNREACHABLE), (self._unreachable, HOST_UNREACHABLE)):
            if alert.rule == rule and alert.is_open and not alert.said.is_drill:
                ids.add(alert.id)
            else:
                ids.discard(alert.id)
        rules = self._by_host.setdefault(alert.host, {})
        beside = rules.setdefault(alert.rule, {})
        if alert.is_open:
            beside[alert.id] = alert
            return
        beside.pop(alert.id, None)
        if not beside:
            del rules[alert.rule]
        if not rules:
            del self._by_host[alert.host]

    def forget(self, host: str) -> None:
        """A host was deleted, and its alerts with it."""
        for beside in self._by_host.pop(host, {}).values():
            self._fleet.difference_update(beside)
            self._unreachable.difference_update(beside)
        self._away.pop(host, None)
        self.book.forget(host)

    def blocked(self, alert: Alert, now: float) -> str:
        """Why nobody is told of an alert now: ``held``, ``silenced``, ``acknowledged``, or nothing.

        A drill shows the way, so nothing stands in its way.
        """
        if alert.said.is_drill:
            return ""
        if self.holder(alert):
            return "held"
        ack = self._acknowledged(alert.id)
        if ack is not None and ack.covers(alert.said.severity):
            return "acknowledged"
        return "silenced" if self._silenced(alert.labels, now) else ""

    def holder(self, alert: Alert) -> str:
        """The rule that holds an alert back, or nothing."""
        rules = self._by_host.get(alert.host, {})
        names = (HOST_UNREACHABLE, *alert.said.held_by)
        beside = (other for name in names for other in rules.get(name, {}).values())
        return holder(alert.said, self._away.get(alert.host), beside, bool(self._fleet))

    def held(self, alert: Alert) -> int:
        """How many others are held back because this one fires."""
        if alert.said.is_drill:
            return 0
        if alert.rule == FLEET_UNREACHABLE:
            return len(self._unreachable)
        is_host = alert.rule == HOST_UNREACHABLE
        return sum(
            (is_host or alert.rule in other.said.held_by) and self.holder(other) == alert.rule
            for rule, beside in self._by_host.get(alert.host, {}).items()
            if rule != alert.rule
            for other in beside.values()
        )
