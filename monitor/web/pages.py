"""The two pages: gathers what they show and renders it, as HTML or as text.

The event loop only reads the store and copies the hosts' states; view-models, pictures and
templates are a worker thread's.  The log's position is taken before any state, so that a
page's stream can start there and nothing falls between.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from quart import Response, request
from werkzeug.datastructures import Headers

from monitor.core.access import Policy
from monitor.core.events import position_text
from monitor.core.headline import Glances, glances
from monitor.core.recent import POINT_SECONDS, POINTS, RECENT_KEY, bucket_of
from monitor.core.series import Floats
from monitor.core.state import HostState
from monitor.fleet.fleet import Refusal
from monitor.model import HostStatus
from monitor.ports import StoreWarning
from monitor.web import charts
from monitor.web.alertrows import BLANK, literal
from monitor.web.alertstanding import Gathered, gather_open
from monitor.web.alertview import alerts_page
from monitor.web.chartplan import plans
from monitor.web.fleetrows import fleet_rows
from monitor.web.fleetview import SHAPES, fleet
from monitor.web.hosthistory import Past, past, remembered
from monitor.web.hostview import host_page
from monitor.web.printing import Printer, Visitor, answered
from monitor.web.problems import Problem
from monitor.web.rangebar import live_bar, range_bar
from monitor.web.rangecharts import draw_range
from monitor.web.ranges import Range, asked
from monitor.web.routes import Route, asking
from monitor.web.services import Services
from monitor.web.text import fleet_text, host_text
from monitor.web.turns import Turns
from monitor.web.views import Reader, frozen

MOST_SPARKS = 500
"""Hosts that get a picture at once: a page of a thousand stays small; the others' begins live."""

MOST_READ = 300
"""Hosts whose sparkline is read from the store for one page; of others it begins with us."""

LONGEST_SORT = 32


@dataclass(frozen=True, slots=True)
class Around:
    """What every page says beside its view: taken on the event loop, before the view is made.

    `position` is the log's, `span` the range that links to hosts keep, `warnings` the store's,
    `visitor` who looks at it.
    """

    position: str
    now: float
    span: Range
    warnings: tuple[StoreWarning, ...]
    visitor: Visitor


class Pages:
    """Answers the pages; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer) -> None:
        self._services = services
        self._printer = printer
        self._turns = Turns(services.load)
        self.routes = (
            Route("/", "page_fleet", self.fleet, Policy.READ),
            Route("/hosts/<name>", "page_host", self.host, Policy.READ),
        )
        """Every page and where it stands."""

    async def fleet(self) -> Response:
        """Every host on one page; a range in its address is what its links lead to."""
        around = await self._around()
        seen = self._services.objects.hosts(asking())
        hosts = glances(seen)
        as_text = wants_text(dict(request.headers))
        sparks = {} if as_text else await self._sparks(hosts, around.now)
        refusals = self._services.objects.refusals(asking())
        body = await asyncio.to_thread(self._fleet_body, hosts, sparks, refusals, around, as_text)
        return answered(body, as_text=as_text)

    async def host(self, name: str) -> Response:
        """One host's page.  Raises `NotFound` for a host that nobody knows."""
        around = await self._around()
        now = around.now
        state = self._services.objects.host(asking(), name)
        as_text = wants_text(dict(request.headers))
        wanted = asked(request.args, now)
        sort = request.args.get("sort", "")[:LONGEST_SORT]
        host = frozen(state)
        known = host if host.schema.texts else await self._remembered(host)
        chosen = () if as_text else plans(Reader(known, now))
        async with contextlib.AsyncExitStack() as held:
            if not wanted.live:  # a range may be large; the first paint of a live page is not
                await held.enter_async_context(self._turns.deadline())
                await held.enter_async_context(self._turns.taken())
            found = await past(self._services, host, chosen, wanted, now)
        alerts = self._alerts(name)
        body = await asyncio.to_thread(
            self._host_body, host, chosen, wanted, found, around, sort, as_text, alerts
        )
        return answered(body, as_text=as_text)

    def problem(self, problem: Problem) -> Response:
        """The page that tells somebody at a browser what went wrong."""
        return self._printer.page("error.html", problem.status, problem=problem)

    async def _around(self) -> Around:
        """What stands around a view; the position is taken first, so nothing falls between."""
        log = self._services.log
        position = position_text(log.epoch, await log.last())
        now = self._services.clock()
        span = asked(request.args, now).span
        warnings = self._services.warnings()
        return Around(position, now, span, warnings, self._printer.visitor())

    def _alerts(self, name: str) -> Gathered:
        """The open alerts of a host."""
        found = gather_open(self._services, asking().view)
        return replace(found, open=tuple(each for each in found.open if each.host == name))

    async def _remembered(self, host: HostState) -> HostState:
        return remembered(host, await self._services.store.series(host.name))

    async def _sparks(self, hosts: Glances, now: float) -> dict[str, Floats]:
        """What every processor did lately; what is not in memory yet is read, some at a time."""
        recent = self._services.recent
        names = [host.name for host in hosts.hosts if host.status is not HostStatus.RETIRED]
        recent.look(self._services.state.hosts, now)
        if lacking := recent.lacking(names)[:MOST_READ]:
            start = (bucket_of(now) - POINTS + 1) * POINT_SECONDS
            series = [(name, RECENT_KEY) for name in lacking]
            end = start + POINTS * POINT_SECONDS
            cut = await self._services.store.range(series, start, end, POINTS)
            for found in cut.series:
                recent.fill(found.host, cut.starts, found.average)
        return recent.of(names[:MOST_SPARKS])

    # In a worker thread

    def _fleet_body(
        self,
        hosts: Glances,
        sparks: Mapping[str, Floats],
        refusals: list[Refusal],
        around: Around,
        as_text: bool,
    ) -> str:
        view = fleet(hosts, sparks, around.now, refusals, self._services.host)
        if as_text:
            return fleet_text(view)
        query = around.span.query()
        rows = fleet_rows(view.rows, query, around.visitor.alarm.hosts)
        blank = fleet_rows((view.blank,), query)
        return self._printer.text(
            "fleet.html",
            around.visitor,
            view=view,
            around=around,
            rows=rows,
            blank=blank,
            shapes=SHAPES,
        )

    def _host_body(
        self,
        host: HostState,
        chosen: tuple[charts.Plan, ...],
        wanted: Range,
        found: Past,
        around: Around,
        sort: str,
        as_text: bool,
        alerts: Gathered,
    ) -> str:
        cut = found.cut
        if wanted.live:
            bar = live_bar(host.name, wanted, cut.now)
            drawings = [_drawn(plan, found) for plan in chosen]
        else:
            drawings = [draw_range(plan, cut) for plan in chosen]
            bar = range_bar(
                host.name, wanted, cut, chosen, first=found.first, markers=found.markers
            )
        own, agent = self._services.host, self._services.fleet.agent_of(host.name)
        view = host_page(host, drawings, cut.now, sort, bar, found.processes, own, agent)
        if as_text:
            return host_text(view)
        query = "?" + urlencode({"state": "firing", "match": f"host={literal(host.name)}"})
        return self._printer.text(
            "host.html",
            around.visitor,
            view=view,
            around=around,
            alerts=alerts_page(alerts, "firing").section("firing"),
            alerts_query=query,
            blank_alert=BLANK,
        )


def _drawn(plan: charts.Plan, found: Past) -> charts.Drawing:
    cut = found.cut
    columns = {series.key: series.average for series in cut.found.series}
    return charts.draw(plan, cut.found.starts, cut.found.step_seconds, cut.now, columns)


def is_browser(headers: Mapping[str, str] | Headers) -> bool:
    """Whether a request comes from a browser: it sends Sec-Fetch-Mode, or says Mozilla."""
    return "Sec-Fetch-Mode" in headers or "Mozilla" in headers.get("User-Agent", "")


def wants_text(headers: Mapping[str, str]) -> bool:
    """Whether a request is better answered with text: it asks for it, or is no browser's.

    A browser says ``text/html``, or what `is_browser` looks for.
    """
    accept = headers.get("Accept", "").lower()
    qualities = {}
    for offer in accept.split(",")[:16]:
        media, _, parameters = offer.partition(";")
        qualities[media.strip()] = _quality(parameters)
    html, plain = qualities.get("text/html", 0.0), qualities.get("text/plain", 0.0)
    if html or plain:
        return plain > html
    if is_browser(headers):
        return False
    anything = max(qualities.get("*/*", 0.0), qualities.get("text/*", 0.0))
    return not accept.strip() or anything > 0


def _quality(parameters: str) -> float:
    """The weight of one media type in an Accept header; what cannot be read counts as 1."""
    for parameter in parameters.split(";"):
        name, _, number = parameter.partition("=")
        if name.strip() == "q":
            try:
                found = float(number.strip()[:8])
            except ValueError:
                return 1.0
            return min(1.0, max(0.0, found)) if math.isfinite(found) else 1.0
    return 1.0
