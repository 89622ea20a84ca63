"""``/rules``: the rules that hold, one of them, and reading the files anew.

Rules are written in files only; the pages read them, and hand out TOML.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from quart import Response, request

from monitor.alerting.noise import NoiseReports, Report
from monitor.core.access import Caller, Policy, Right
from monitor.core.rules.ruleset import NO_RULES, RuleSet
from monitor.errors import NotFound, excerpt
from monitor.web.alertnotices import alert_notices
from monitor.web.alertrows import cut, since_words
from monitor.web.alertstanding import Gathered, gather
from monitor.web.forms import sent
from monitor.web.login import onwards
from monitor.web.printing import Printer
from monitor.web.query import Query
from monitor.web.routes import Route, asking
from monitor.web.ruleview import (
    ReloadWords,
    last_fired,
    partly,
    rule_page,
    rule_row,
    rules_page,
)
from monitor.web.services import Services

MOST_LINES = 30
"""Lines of a difference."""

NOBODY = {"operates": False}
"""For whom rows of alerts are printed here: nothing is done with them."""


class RulesPages:
    """The handlers; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer) -> None:
        self._services = services
        self._printer = printer
        self._noise = NoiseReports(services.log, self._rules)
        self.routes = (
            Route("/rules", "page_rules", self.show, Policy.READ),
            Route("/rules/<name>", "page_rule", self.rule, Policy.READ),
            Route("/rules", "reload_on_page", self.reload, Policy.OPERATE, ("POST",)),
        )

    def _rules(self) -> RuleSet:
        alerting = self._services.alerting
        return NO_RULES if alerting is None else alerting.judge.rules

    async def show(self) -> Response:
        """All of them."""
        Query(request.args, ())
        caller = asking()
        gathered, sees_all = self._gathered(caller), caller.view.sees_all_hosts
        report = await self._report(gathered.now) if sees_all else None
        rules = self._rules()
        sees_why = sees_all and Right.OPERATE in caller.rights
        page = await asyncio.to_thread(
            rules_page,
            gathered.states,
            last_fired(gathered.open, gathered.resolved),
            report,
            gathered.now,
            rules.shipped,
            {name: rule.origin for name, rule in rules.off.items()},
            alert_notices(self._services, gathered, sees_why=sees_why),
            self._reloaded(gathered.now) if sees_why else None,
            sees_all=sees_all,
        )
        return self._printer.page("rules.html", view=page)

    async def rule(self, name: str) -> Response:
        """One of them.  Raises `NotFound`."""
        Query(request.args, ())
        caller = asking()
        gathered, sees_all = self._gathered(caller), caller.view.sees_all_hosts
        state = next((each for each in gathered.states if each.rule.name == name), None)
        if state is None:
            detail = f"there is no rule {excerpt(name)}"
            raise NotFound(detail, code="unknown_rule", field="name")
        report = await self._report(gathered.now) if sees_all else None
        opened = [alert for alert in gathered.open if alert.rule == name]
        over = [alert for alert in gathered.resolved if alert.rule == name]
        fired = last_fired(opened, over)
        row = rule_row(state, fired, report, gathered.now, self._rules().shipped, sees_all=sees_all)
        page = rule_page(state, row, (opened, over), gathered.now, sees_all=sees_all)
        address = quote(name, safe="")
        return self._printer.page("rule.html", view=page, nobody=NOBODY, address=address)

    async def reload(self) -> Response:
        """Read the files anew; the page says what came of it."""
        await sent()
        await self._services.require_alerting().reloads.reload("asked for", asking().said)
        return onwards("/rules#reload")

    def _gathered(self, caller: Caller) -> Gathered:
        """What is known of rules; of alerts, and so of how rules stand, what is seen."""
        self._services.require_alerting()
        found = gather(self._services, caller.view, resolved=10_000)
        if caller.view.sees_all_hosts:
            return found
        firing = Counter(alert.rule for alert in found.open)
        pending = Counter(each.rule for each in found.pending)
        return replace(found, states=tuple(partly(found.states, firing, pending)))

    async def _report(self, now: float) -> Report:
        return await self._noise.report(now)

    def _reloaded(self, now: float) -> ReloadWords | None:
        """What the latest reload that was taken over came to."""
        alerting = self._services.alerting
        state: Any = getattr(alerting.reloads, "state", None) if alerting else None
        last = getattr(state, "last", None)
        if last is None:
            return None
        diff = last.diff
        lines = [f"+ {name}" for name in diff.added] + [f"− {name}" for name in diff.removed]
        lines += [
            f"{name}: {each.key} {each.before or 'not set'} → {each.after or 'not set'}"
            for name, changes in diff.changed.items()
            for each in changes
        ]
        lines += [
            f"alert of {each.rule} on {each.host}: {each.before} → {each.after or 'over'}"
            for each in diff.affected
        ]
        more = len(lines) - MOST_LINES
        shown = [cut(line) for line in lines[:MOST_LINES]] + (
            [f"and {more} more"] if more > 0 else []
        )
        if last.needs_restart:
            shown.append(f"after a restart: {', '.join(last.needs_restart)}")
        text = f"Read anew at {since_words(last.at, now)} by {last.by}: {diff.text}."
        return ReloadWords("ok", "●", cut(text), tuple(shown))
