"""``/rules/backtest``: a rule tried on the past, before it is saved.

The page takes TOML and hands TOML back; nothing is written anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from quart import Response, request

from monitor.alerting.backtesting import backtest
from monitor.alerting.drafts import draft
from monitor.core.access import Policy
from monitor.core.quantity import parse_seconds
from monitor.core.selectors import Selector
from monitor.errors import InputError, MonitorError
from monitor.web.backtestview import BacktestView, backtest_view
from monitor.web.forms import sent
from monitor.web.printing import Printer, wants_page
from monitor.web.query import Query
from monitor.web.routes import Route, asking
from monitor.web.services import Services

DEFAULT_SINCE = "14d"

LEAST_SECONDS = 60.0
LONGEST_SECONDS = 400 * 86_400.0
"""How far back a rule may be judged: as far as the log keeps alerts."""

WAIT_SECONDS = 20.0
"""How long one waits for the one before it."""

EXAMPLE = """\
[rules.queue_long]
metric = "app.queue.length"
warning = { above = 100, clear_below = 80 }
for = "5m"
"""
"""What the page begins with, where no rule is named."""


class BacktestPage:
    """The page; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer) -> None:
        self._services = services
        self._printer = printer
        self._turn = asyncio.Semaphore(1)
        at = "/rules/backtest"
        self.routes = (
            Route(at, "page_backtest", self.ask, Policy.READ),
            Route(at, "backtest_on_page", self.judge, Policy.READ, ("POST",)),
        )

    async def ask(self) -> Response:
        """The form, with the text of a rule where one is named."""
        query = Query(request.args, ("rule", "since", "toml"))
        rules = self._services.require_alerting().judge.rules
        rule = rules.get(query.text("rule") or "")
        text = rule.text if rule is not None and asking().view.sees_all_hosts else EXAMPLE
        since = query.text("since") or DEFAULT_SINCE
        return self._page(query.text("toml") or text, since, "")

    async def judge(self) -> Response:
        """What a rule would have done."""
        self._services.require_alerting()
        fields = await sent("toml", "since", "hosts")
        text = (fields.text("toml") or "").replace("\r\n", "\n")
        since, hosts = fields.text("since") or DEFAULT_SINCE, (fields.text("hosts") or "").strip()
        try:
            found = await self._judged(text, since, hosts)
        except MonitorError as error:
            if error.status >= 500 or not wants_page():
                raise
            return self._page(text, since, hosts, error=error)
        return self._page(text, since, hosts, found)

    async def _judged(self, text: str, since: str, hosts: str) -> BacktestView:
        services = self._services
        rule, now = draft(text), services.clock()
        selector = Selector.parse(hosts, "hosts") if hosts else None
        begin = now - _span(since)
        names = [
            host.name
            for host in services.objects.hosts(asking())
            if selector is None or selector.matches({**host.labels, "host": host.name})
        ]
        async with self._in_turn():
            found = await backtest(services.store, services.state, rule, begin, now, names)
        return await asyncio.to_thread(backtest_view, found, now)

    @contextlib.asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            detail = "others are judging the past just now; try again in a moment"
            raise MonitorError(detail, code="busy", status=503, retry_after=5) from None
        try:
            yield
        finally:
            self._turn.release()

    def _page(
        self,
        text: str,
        since: str,
        hosts: str,
        found: BacktestView | None = None,
        error: MonitorError | None = None,
    ) -> Response:
        return self._printer.page(
            "backtest.html",
            200 if error is None else error.status,
            text=text,
            since=since,
            hosts=hosts,
            found=found,
            trouble=error.detail.splitlines() if error else [],
            field=getattr(error, "field", None) or "",
        )


def _span(text: str) -> float:
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise InputError(str(error), code="bad_range", field="since") from None
    if not LEAST_SECONDS <= seconds <= LONGEST_SECONDS:
        detail = "since is from 1m to 400d"
        raise InputError(detail, code="bad_range", field="since", limit=LONGEST_SECONDS)
    return seconds
