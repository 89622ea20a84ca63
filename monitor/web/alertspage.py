"""``/alerts``: everything that fires, pends, is held back, and is over; and the same as rows.

The page is whole without a script; with one, `static/js/alerts.js` asks for its rows again
whenever the log says that something has changed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import urlencode

import msgspec
from quart import Response, request

from monitor.core.access import Policy, Right
from monitor.core.events import position_text
from monitor.core.selectors import Selector
from monitor.errors import InputError
from monitor.web.alertnotices import alert_notices
from monitor.web.alertrows import BLANK, Now
from monitor.web.alertstanding import Gathered, gather
from monitor.web.alertview import MOST_ALONE, SHOWN, AlertsPage, alerts_page, alerts_text
from monitor.web.pages import Around, wants_text
from monitor.web.printing import Printer, answered
from monitor.web.query import Query
from monitor.web.ranges import LIVE
from monitor.web.routes import Route, asking
from monitor.web.services import Services

MOST_RESOLVED = MOST_ALONE
"""Of those that are over, read for a page."""

MOST_VALUES = 1_000
"""Alerts whose newest value is looked up."""

MOST_FOLLOWED = 4
"""Hosts whose values the page follows second by second: those of the worst alerts."""


class AlertsPages:
    """The page and its rows; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer) -> None:
        self._services = services
        self._printer = printer
        self._alarms = printer.alarms
        self.routes = (
            Route("/alerts", "page_alerts", self.show, Policy.READ),
            Route("/alerts/rows", "alert_rows", self.rows, Policy.READ),
            Route("/alerts/count", "alert_count", self.count, Policy.READ),
        )

    async def show(self) -> Response:
        """The page."""
        query = Query(request.args, ("state", "match"))
        shown, wanted = query.choice("state", SHOWN), (query.text("match") or "").strip()
        as_text = wants_text(dict(request.headers))
        match, trouble = _selector(wanted, as_text=as_text)
        log = self._services.log
        position = position_text(log.epoch, await log.last())
        page, gathered = await self._page(shown, match)
        if as_text:
            return answered(alerts_text(page), as_text=True)
        if trouble:
            page = replace(page, trouble=trouble)
        visitor = self._printer.visitor()
        around = Around(position, gathered.now, LIVE, (), visitor)
        html = await asyncio.to_thread(
            self._printer.text,
            "alerts.html",
            visitor,
            view=page,
            around=around,
            wanted=wanted,
            links=_links(shown, wanted),
            back=f"/alerts{_query(shown, wanted)}",
            topics=",".join(("log", "alerts", *_followed(gathered))),
            blank=BLANK,
        )
        return answered(html, status=400 if trouble else 200)

    async def rows(self) -> Response:
        """The page's rows, for the page itself."""
        query = Query(request.args, ("state", "match"))
        shown = query.choice("state", SHOWN)
        match, _ = _selector((query.text("match") or "").strip(), as_text=True)
        page, _ = await self._page(shown, match)
        return _json(page)

    async def count(self) -> Response:
        """How many alerts want somebody, for the head of every page; with ``hosts``, of each."""
        with_hosts = Query(request.args, ("hosts",)).flag("hosts")
        found = self._alarms.of if with_hosts else self._alarms.total
        return _json(found(asking().view))

    async def _page(self, shown: str, match: Selector | None) -> tuple[AlertsPage, Gathered]:
        caller = asking()
        gathered = gather(self._services, caller.view, resolved=MOST_RESOLVED)
        values = self._values(gathered)
        notices = alert_notices(self._services, gathered, sees_why=Right.OPERATE in caller.rights)
        return (
            await asyncio.to_thread(alerts_page, gathered, shown, match, values, notices),
            gathered,
        )

    def _values(self, gathered: Gathered) -> Now:
        """The newest value of everything that is shown, as far as it is known."""
        hosts = self._services.state.hosts
        wanted = [(alert.host, alert.said.metric) for alert in gathered.open[:MOST_VALUES]]
        wanted += [(each.host, each.metric) for each in gathered.pending[:MOST_VALUES]]
        found = {}
        for name, text in wanted:
            host = hosts.get(name)
            column = host.schema.index.get(text) if host is not None else None
            if host is not None and column is not None:
                found[name, text] = float(host.shown[column])
        return Now(found)


def _selector(text: str, *, as_text: bool) -> tuple[Selector | None, str]:
    """The selector of an address, and for a page what is wrong with it.  Programs get an error."""
    if not text:
        return None, ""
    try:
        return Selector.parse(text), ""
    except InputError as error:
        if as_text:
            raise
        return None, error.detail


def _query(shown: str, wanted: str) -> str:
    said = {"state": shown} if shown != "open" else {}
    if wanted:
        said["match"] = wanted
    return f"?{urlencode(said)}" if said else ""


def _links(shown: str, wanted: str) -> dict[str, str]:
    """The address of each state, with the selector kept; and that of the present rows."""
    return {name: _query(name, wanted) for name in SHOWN} | {"rows": _query(shown, wanted)}


def _followed(gathered: Gathered) -> tuple[str, ...]:
    names = dict.fromkeys(alert.host for alert in gathered.open)
    known = [name for name in names if name in gathered.labels]
    return tuple(f"host:{name}" for name in known[:MOST_FOLLOWED])


def _json(found: object) -> Response:
    response = Response(msgspec.json.encode(found), content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
