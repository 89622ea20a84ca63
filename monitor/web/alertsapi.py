"""``/api/v1/alerts``: alerts as they stand, one of them with its evidence, acknowledging it.

What is listed is what the book and the judge have now; each alert is of a host that whoever asks
may see.  An open alert stands in one place: held back, else silenced, else acknowledged, else it
fires and somebody is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
from quart import Response, request

from monitor.access.audit import Actor
from monitor.alerting.standing import Pending
from monitor.core.access import Policy
from monitor.core.book import Alert
from monitor.core.messages import Alert as Said
from monitor.core.rules.model import Severity
from monitor.core.selectors import Selector
from monitor.notify.acks import Ack
from monitor.web import alertlog
from monitor.web.alertanswers import AckDone, Acknowledged, AckWish, AlertDetail, ListedAlert
from monitor.web.jsonbody import body
from monitor.web.openapi import Operation, Parameter
from monitor.web.query import Query
from monitor.web.routes import address, asking
from monitor.web.services import Services

STATES = ("firing", "pending", "held", "silenced", "acknowledged", "resolved", "all")
"""What may be asked for: all that fire, what pends, those of one place, those that are over."""

DEFAULT_LISTED, MOST_LISTED = 1_000, 10_000
"""Alerts in one answer; `TOTAL` says how many there are."""

TOTAL = "X-Total-Count"

HIDDEN = "hidden"
"""In the place of a silence's id that may not be seen."""

_encoder = msgspec.json.Encoder()


class AlertsApi:
    """The handlers, and their rows of the table of operations."""

    def __init__(self, services: Services) -> None:
        self._services = services
        alert = Parameter("alert", "An alert's id.", place="path")
        self.operations = (
            Operation(
                "GET",
                "/api/v1/alerts",
                "alerts",
                "Alerts that fire, the worst first; with state, others",
                self.alerts,
                list[ListedAlert],
                (
                    Parameter("state", "Which ones; firing are all that do.", choices=STATES),
                    Parameter("match", "A selector over labels, attributes, rule and severity."),
                    Parameter("host", "A host's name."),
                    Parameter("limit", "At most so many.", schema="integer"),
                ),
                (400, 503),
                policy=Policy.READ,
            ),
            Operation(
                "GET",
                "/api/v1/alerts/<alert>",
                "alert",
                "One alert with its evidence and its history",
                self.alert,
                AlertDetail,
                (alert,),
                (400, 404, 503),
                policy=Policy.READ,
            ),
            Operation(
                "POST",
                "/api/v1/alerts/<alert>/ack",
                "acknowledge",
                "Say that somebody has seen it: it is not told again unless it gets worse",
                self.acknowledge,
                AckDone,
                (alert,),
                (400, 404, 408, 409, 413, 415, 503),
                (AckWish,),
                policy=Policy.OPERATE,
            ),
            Operation(
                "DELETE",
                "/api/v1/alerts/<alert>/ack",
                "take_back",
                "Take an acknowledgement back: it is told again",
                self.take_back,
                AckDone,
                (alert,),
                (400, 404, 409, 503),
                policy=Policy.OPERATE,
            ),
        )

    async def alerts(self) -> Response:
        """Those that were asked for."""
        query = Query(request.args, ("state", "match", "host", "limit"))
        state = query.choice("state", STATES)
        match = query.text("match")
        selector = Selector.parse(match) if match is not None else None
        most = query.whole("limit", DEFAULT_LISTED, MOST_LISTED)
        host = query.text("host")
        if host is not None:
            self._services.objects.asked_host(asking(), host)
        listing = Listing(self._services)
        found = [
            each
            for each in listing.of(state, host)
            if selector is None or selector.matches(listing.labels(each))
        ]
        listed = [listing.shown(each) for each in found[:most]]
        return _answer(listed, {TOTAL: str(len(found))})

    async def alert(self, alert: str) -> Response:
        """One of them, all of it."""
        Query(request.args, ())
        found = self._found(alert)
        log, view = self._services.log, asking().view
        frozen = await alertlog.evidence(log, found)
        history = await alertlog.history(log, found, view)
        shown = msgspec.structs.asdict(Listing(self._services).alert(found))
        return _answer(AlertDetail(**(shown | {"evidence": frozen}), history=history))

    async def acknowledge(self, alert: str) -> Response:
        """Acknowledge an alert."""
        Query(request.args, ())
        found, acks = self._found(alert), self._services.require_notify().acks
        wish = await body(AckWish, '{"note": "…"}')
        ack = await acks.acknowledge(actor(), found, wish.note)
        return _answer(AckDone(found.id, _acknowledged(ack, found.said)))

    async def take_back(self, alert: str) -> Response:
        """Have it told again."""
        Query(request.args, ())
        found, acks = self._found(alert), self._services.require_notify().acks
        await acks.take_back(actor(), found)
        return _answer(AckDone(found.id, None))

    def _found(self, id_: str) -> Alert:
        book = self._services.require_alerting().judge.book
        return self._services.objects.alert(asking(), book, id_)


class Listing:
    """Alerts as whoever asks sees them, at one instant."""

    def __init__(self, services: Services) -> None:
        self._judge = services.require_alerting().judge
        self._notify = services.notify
        self._objects = services.objects
        self._state = services.state
        self._caller = asking()
        self._now = services.clock()
        self._rules = {each.rule.name: each.rule for each in self._judge.states()}

    def of(self, state: str, host: str | None = None) -> list[Alert | Pending]:
        """Those in a state, of one host or of all that are seen."""
        found: list[Alert | Pending] = []
        if state == "all":
            found += [*self._opened(), *self._pending(), *self._over()]
        elif state == "pending":
            found += self._pending()
        elif state == "resolved":
            found += self._over()
        else:
            found += [
                each for each in self._opened() if state == "firing" or self._place(each) == state
            ]
        return [each for each in found if host is None or each.host == host]

    def taken(self, selector: Selector) -> list[Alert | Pending]:
        """Those that fire or pend, and that a selector takes."""
        found: list[Alert | Pending] = [*self._opened(), *self._pending()]
        return [each for each in found if selector.matches(self.labels(each))]

    def labels(self, found: Alert | Pending) -> dict[str, str]:
        """What selectors match."""
        if isinstance(found, Alert):
            return found.labels
        return {
            **self._labels(found),
            **found.attributes,
            "host": found.host,
            "rule": found.rule,
            "severity": found.severity,
        }

    def shown(self, found: Alert | Pending) -> ListedAlert:
        """One of them as it is listed."""
        return self.alert(found) if isinstance(found, Alert) else self._pends(found)

    def alert(self, alert: Alert) -> ListedAlert:
        """An alert as it is listed."""
        ack = self._notify.acks.get(alert.id) if self._notify else None
        said = msgspec.structs.asdict(alert.said)
        return ListedAlert(
            **said,
            fired_at=alert.fired_at,
            resolved_at=alert.resolved_at or None,
            sequence=alert.sequence,
            acknowledged=_acknowledged(ack, alert.said) if ack else None,
            silenced_by=self._silenced_by(alert),
            held_back_by=(self._judge.held(alert) or None) if alert.is_open else None,
        )

    def _pends(self, found: Pending) -> ListedAlert:
        rule = self._rules.get(found.rule)
        return ListedAlert(
            alert=None,
            rule=found.rule,
            host=found.host,
            attributes=dict(found.attributes),
            state="pending",
            was="inactive",
            severity=found.severity.value,
            value=found.value if math.isfinite(found.value) else None,
            since=found.began,
            limit=found.limit,
            metric=found.metric,
            labels=self._labels(found),
            runbook_url=rule.runbook_url if rule else "",
            began=found.began,
            held_seconds=round(found.held_seconds, 3),
            for_seconds=found.for_seconds,
            waits_for=found.waits_for or None,
        )

    def _labels(self, found: Pending) -> dict[str, str]:
        host, rule = self._state.hosts.get(found.host), self._rules.get(found.rule)
        return {**(host.labels if host else {}), **(rule.labels if rule else {})}

    def _opened(self) -> list[Alert]:
        """The worst first, of equals the newest."""
        found = self._objects.of_hosts(self._caller, self._judge.book.open.values())
        return sorted(found, key=lambda each: (-Severity(each.said.severity).rank, -each.fired_at))

    def _over(self) -> Iterable[Alert]:
        return self._objects.of_hosts(self._caller, self._judge.book.resolved())

    def _pending(self) -> Iterable[Pending]:
        found = self._objects.of_hosts(self._caller, self._judge.pending())
        return sorted(found, key=lambda each: (-each.severity.rank, -each.began))

    def _place(self, alert: Alert) -> str:
        """Where an open alert stands."""
        if self._judge.held(alert):
            return "held"
        if self._silenced_by(alert):
            return "silenced"
        ack = self._notify.acks.get(alert.id) if self._notify else None
        return "acknowledged" if ack and ack.covers(alert.said.severity) else "wanted"

    def _silenced_by(self, alert: Alert) -> str | None:
        if self._notify is None or not alert.is_open:
            return None
        found = self._notify.silences.silenced(alert.labels, self._now)
        if found is None:
            return None
        return found.id if self._objects.sees_silence(self._caller, found) else HIDDEN


def actor() -> Actor:
    """Who makes the request that is being answered, for the log and the audit trail."""
    return Actor(asking().said, address())


def _acknowledged(ack: Ack, said: Said) -> Acknowledged:
    return Acknowledged(ack.by, ack.at, ack.note, ack.covers(said.severity))


def _answer(value: object, headers: dict[str, str] | None = None) -> Response:
    return Response(_encoder.encode(value), headers=headers, content_type="application/json")
