"""The book: alerts as the log tells them, those that are open and the latest that are over.

A view of the log: whoever folds the same events has the same book.  Evidence is large and stays in
the log, at the alert's first position.  It knows no rules and no time but the events' own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from monitor.core import messages
from monitor.model import Event, EventType

MOST_RESOLVED = 2_000
"""Alerts that are over and remembered, the latest last; older ones are in the log alone."""

OPEN_STATES = frozenset({"firing"})


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: the newest thing that was said of it, without evidence.

    `fired_at` and `resolved_at` are unix seconds, the latter 0 while it is open;
    `first_sequence` is the position of the event that says that it fired, with the evidence, and
    `sequence` that of the newest.
    """

    said: messages.Alert
    fired_at: float
    resolved_at: float
    first_sequence: int
    sequence: int

    @property
    def id(self) -> str:
        """Of all of its events."""
        return self.said.alert

    @property
    def rule(self) -> str:
        """The rule's name."""
        return self.said.rule

    @property
    def host(self) -> str:
        """The host's name."""
        return self.said.host

    @property
    def attributes(self) -> Mapping[str, str]:
        """The series' attributes."""
        return self.said.attributes

    @property
    def is_open(self) -> bool:
        """Whether it fires."""
        return self.said.state in OPEN_STATES

    @property
    def labels(self) -> dict[str, str]:
        """What selectors of routes and silences match: labels, attributes, reserved names."""
        return matched_labels(self.said)


def matched_labels(said: messages.Alert) -> dict[str, str]:
    """What selectors of routes and silences match: labels, attributes, reserved names."""
    return {
        **said.labels,
        **said.attributes,
        "host": said.host,
        "rule": said.rule,
        "severity": said.severity,
    }


class Book:
    """Every alert that is open, and the latest that are over."""

    def __init__(self) -> None:
        self._open: dict[str, Alert] = {}
        self._over: OrderedDict[str, Alert] = OrderedDict()

    def fold(self, event: Event) -> Alert | None:
        """Take an event in: the alert that it is about; none where it is about none."""
        if event.type is not EventType.ALERT:
            return None
        try:
            said = msgspec.convert(event.data, messages.Alert)
        except msgspec.ValidationError:
            return None  # an event of another version, or damaged: its place in the log says so
        before = self._open.get(said.alert)
        bare = msgspec.structs.replace(said, evidence=None)
        alert = Alert(
            bare,
            before.fired_at if before else (said.fired or event.at),
            0.0 if said.state in OPEN_STATES else event.at,
            before.first_sequence if before else event.sequence,
            event.sequence,
        )
        if alert.is_open:
            self._open[alert.id] = alert
        else:
            self._open.pop(alert.id, None)
            self._over[alert.id] = alert
            while len(self._over) > MOST_RESOLVED:
                self._over.popitem(last=False)
        return alert

    def drop(self, id_: str) -> None:
        """Know an open alert no more."""
        self._open.pop(id_, None)

    def put(self, alerts: Iterable[Alert]) -> None:
        """Know these open alerts, as a checkpoint has them."""
        self._open.update((alert.id, alert) for alert in alerts)

    def get(self, id_: str) -> Alert | None:
        """An alert that is remembered."""
        return self._open.get(id_) or self._over.get(id_)

    @property
    def open(self) -> Mapping[str, Alert]:
        """The open ones by id, in the order in which they fired."""
        return self._open

    def resolved(self) -> Iterator[Alert]:
        """Those that are over, the latest first."""
        return reversed(self._over.values())

    def forget(self, host: str) -> None:
        """Know no alert of a host any more: it was deleted."""
        for kept in (self._open, self._over):
            for id_ in [id_ for id_, alert in kept.items() if alert.host == host]:
                del kept[id_]
