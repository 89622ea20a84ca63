"""``/alerts/ID``: one alert, and what is done with it: acknowledging it, silencing it.

What the page needs beside the book comes from the log, at the alert's own positions, and from the
store; each read has its bound.
"""

from __future__ import annotations

import asyncio

from quart import Response, request

from monitor.access.audit import Actor
from monitor.core.access import Policy
from monitor.core.book import Alert
from monitor.core.events import position_text
from monitor.core.quantity import parse_seconds
from monitor.core.rules.model import Rule
from monitor.core.selectors import Selector
from monitor.errors import InputError
from monitor.model import SeriesKey
from monitor.notify.silences import Wish
from monitor.web import alertlog
from monitor.web.alertchart import NOT_STORED, POINTS, AlertChart, alert_chart, span_of
from monitor.web.alertdetail import AlertPage, Read, alert_page, earlier_of, match_of
from monitor.web.alertstanding import Gathered, gather
from monitor.web.alertview import MOST_ALONE
from monitor.web.evidenceview import evidence_view
from monitor.web.forms import safe_next, sent
from monitor.web.login import onwards
from monitor.web.pages import Around
from monitor.web.printing import Printer, answered
from monitor.web.query import Query
from monitor.web.ranges import LIVE
from monitor.web.routes import Route, address, asking
from monitor.web.services import Services
from monitor.web.views import Reader, Value, frozen


class AlertPages:
    """The page of an alert, and its forms; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer) -> None:
        self._services = services
        self._printer = printer
        self._alarms = printer.alarms
        post, at = ("POST",), "/alerts/<id_>"
        self.routes = (
            Route(at, "page_alert", self.show, Policy.READ),
            Route(f"{at}/ack", "acknowledge_on_page", self.acknowledge, Policy.OPERATE, post),
            Route(f"{at}/unack", "take_back_on_page", self.take_back, Policy.OPERATE, post),
            Route(f"{at}/silence", "silence_on_page", self.silence, Policy.OPERATE, post),
        )

    async def show(self, id_: str) -> Response:
        """The page.  Raises `NotFound`."""
        Query(request.args, ("done",))
        log = self._services.log
        position = position_text(log.epoch, await log.last())
        caller = asking()
        alert = self._alert(id_)
        gathered = gather(self._services, caller.view, resolved=MOST_ALONE)
        rule = self._rule(alert.rule)
        evidence = await alertlog.evidence(log, alert)
        read = Read(
            evidence_view(evidence, gathered.now),
            await alertlog.history(log, alert, caller.view),
            await self._chart(alert, rule, gathered.now),
            earlier_of(alert, self._earlier(alert)),
        )
        value = self._value(alert, gathered.now)
        visitor = self._printer.visitor()
        around = Around(position, gathered.now, LIVE, (), visitor)
        html = await asyncio.to_thread(
            self._body,
            alert,
            gathered,
            rule,
            read,
            value,
            around,
            request.args.get("done", ""),
            sees_all=caller.view.sees_all_hosts,
        )
        return answered(html)

    # What is done with it

    async def acknowledge(self, id_: str) -> Response:
        """Say that somebody has seen it."""
        fields = await sent("note", "next")
        alert, notify = self._alert(id_), self._services.require_notify()
        await notify.acks.acknowledge(_actor(), alert, fields.text("note") or "")
        return self._onwards(fields, id_, "acknowledged")

    async def take_back(self, id_: str) -> Response:
        """Have it told again."""
        fields = await sent("next")
        await self._services.require_notify().acks.take_back(_actor(), self._alert(id_))
        return self._onwards(fields, id_, "taken_back")

    async def silence(self, id_: str) -> Response:
        """Silence this alert, and no other, for a while."""
        fields = await sent("for", "comment", "next")
        alert, notify = self._alert(id_), self._services.require_notify()
        try:
            seconds = parse_seconds(fields.text("for") or "1h")
        except ValueError as error:
            raise InputError(str(error), code="bad_param", field="for") from None
        wish = Wish(
            Selector.parse(match_of(alert)),
            until=self._services.clock() + seconds,
            comment=fields.text("comment") or "",
        )
        await notify.silences.create(_actor(), wish)
        return self._onwards(fields, id_, "silenced")

    def _onwards(self, fields: Query, id_: str, done: str) -> Response:
        self._alarms.forget()
        after = fields.text("next")
        return onwards(safe_next(after) if after else f"/alerts/{id_}?done={done}")

    def _alert(self, id_: str) -> Alert:
        """An alert in an address.  Raises `NotFound`, also for one of a host that is not seen."""
        book = self._services.require_alerting().judge.book
        return self._services.objects.alert(asking(), book, id_)

    # What the page is made of

    def _rule(self, name: str) -> Rule | None:
        return self._services.require_alerting().judge.rules.get(name)

    def _earlier(self, alert: Alert) -> list[Alert]:
        book = self._services.require_alerting().judge.book
        return [each for each in book.resolved() if each.host == alert.host]

    def _value(self, alert: Alert, now: float) -> Value | None:
        host = self._services.state.hosts.get(alert.host)
        if host is None or not alert.is_open or alert.said.metric not in host.schema.index:
            return None
        return Reader(frozen(host), now).value(alert.said.metric, alert.said.unit)

    async def _chart(self, alert: Alert, rule: Rule | None, now: float) -> AlertChart | None:
        said = alert.said
        if said.metric.startswith(NOT_STORED) or said.is_drill or not is_key(said.metric):
            return None
        start, end = span_of(alert, now)
        found = await self._services.store.range([(said.host, said.metric)], start, end, POINTS)
        host = self._services.state.hosts.get(said.host)
        column = host.schema.index.get(said.metric) if host is not None else None
        period = float(host.periods[column]) if host is not None and column is not None else 0.0
        chart = await asyncio.to_thread(
            alert_chart,
            alert,
            rule,
            found,
            now,
            period if period == period else 0.0,  # noqa: PLR0124
        )
        return None if chart.is_empty else chart

    def _body(
        self,
        alert: Alert,
        gathered: Gathered,
        rule: Rule | None,
        read: Read,
        value: Value | None,
        around: Around,
        done: str,
        *,
        sees_all: bool,
    ) -> str:
        view: AlertPage = alert_page(alert, gathered, rule, read, value)
        return self._printer.text(
            "alert.html",
            around.visitor,
            view=view,
            around=around,
            done=DONE.get(done, ""),
            nobody=NOBODY,
            sees_rules=sees_all,
            knows_host=alert.host in gathered.labels,
        )


def is_key(text: str) -> bool:
    """Whether a text is a KEY; an event of the log may be of another version."""
    try:
        return bool(SeriesKey.parse(text).name)
    except ValueError:
        return False


NOBODY = {"operates": False}
"""For whom rows of other alerts are printed: nothing is done with those here."""

DONE = {
    "acknowledged": "Acknowledged: it is not told again unless it gets worse.",
    "taken_back": "The acknowledgement is taken back: it is told again.",
    "silenced": "Silenced: nobody is told of it for that long.",
}
"""What a page says after a form."""


def _actor() -> Actor:
    return Actor(asking().said, address())
