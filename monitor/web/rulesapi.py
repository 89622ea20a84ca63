"""``/api/v1/rules``: the rules that hold, reading them anew, and judging one against the past.

Rules are written in files only; here they are read.  What they say of hosts that whoever asks may
not see, they do not say: counts are of what is seen, and texts, which may name any host, are for
those who see all.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
from quart import Response, request

from monitor.alerting.backtesting import Backtest, backtest
from monitor.alerting.drafts import draft
from monitor.alerting.standing import RuleState
from monitor.core.access import Policy
from monitor.core.quantity import parse_seconds
from monitor.core.rules.diff import Diff
from monitor.core.rules.explaining import rule_words
from monitor.core.selectors import Selector
from monitor.errors import InputError, MonitorError
from monitor.web.alertanswers import (
    BacktestDone,
    BacktestFiring,
    BacktestLeftOut,
    BacktestWish,
    Reloaded,
    RuleShown,
)
from monitor.web.jsonbody import body
from monitor.web.openapi import Operation
from monitor.web.problems import CONTENT_TYPE, of_error
from monitor.web.query import Query
from monitor.web.routes import asking
from monitor.web.services import Services

LONGEST_SECONDS = 400 * 86_400.0
"""How far back a rule may be judged: as far as the log keeps alerts."""

LEAST_SECONDS = 60.0

WAIT_SECONDS = 20.0
"""How long a backtest waits for the one before it: they run one at a time."""

MOST_LEFT_OUT = 100
"""Hosts that are named because they were not judged."""

_encoder = msgspec.json.Encoder()


class RulesApi:
    """The handlers, and their rows of the table of operations."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = asyncio.Semaphore(1)
        self.operations = (
            Operation(
                "GET",
                "/api/v1/rules",
                "rules",
                "The rules that hold, with their place in a file and what becomes of them",
                self.rules,
                list[RuleShown],
                problems=(400, 503),
                policy=Policy.READ,
            ),
            Operation(
                "POST",
                "/api/v1/rules/reload",
                "reload",
                "Read the configuration anew, all or nothing",
                self.reload,
                Reloaded,
                problems=(400, 503),
                policy=Policy.OPERATE,
            ),
            Operation(
                "POST",
                "/api/v1/rules/backtest",
                "backtest",
                "Judge a rule against the past, as it would have been judged",
                self.backtest,
                BacktestDone,
                problems=(400, 408, 413, 415, 503),
                body=(BacktestWish,),
                policy=Policy.READ,
            ),
        )

    async def rules(self) -> Response:
        """All of them."""
        Query(request.args, ())
        judge, caller = self._services.require_alerting().judge, asking()
        states = judge.states()
        if caller.view.sees_all_hosts:
            return _answer([_shown(each, each.firing, each.pending) for each in states])
        of_hosts = self._services.objects.of_hosts
        firing = Counter(each.rule for each in of_hosts(caller, judge.book.open.values()))
        pending = Counter(each.rule for each in of_hosts(caller, judge.pending()))
        return _answer(
            [_partly(each, firing[each.rule.name], pending[each.rule.name]) for each in states]
        )

    async def reload(self) -> Response:
        """Read the configuration anew."""
        Query(request.args, ())
        done = await self._services.require_alerting().reloads.reload("asked for", asking().said)
        if done.ok:
            return _answer(Reloaded(done.at, self._seen(done.diff), list(done.needs_restart)))
        detail = "the files have faults, and what held before still holds"
        problem = of_error(InputError(detail, code="bad_config"))
        said = msgspec.json.decode(problem.encoded()) | {"complaints": list(done.complaints)}
        return Response(_encoder.encode(said), status=400, content_type=CONTENT_TYPE)

    def _seen(self, diff: Diff) -> Diff:
        """A difference as whoever asks may see it: values, as texts, may name any host."""
        caller = asking()
        if caller.view.sees_all_hosts:
            return diff
        affected = self._services.objects.of_hosts(caller, diff.affected)
        return replace(diff, changed=dict.fromkeys(diff.changed, ()), affected=tuple(affected))

    async def backtest(self) -> Response:
        """Judge one rule against the past."""
        Query(request.args, ())
        services = self._services
        services.require_alerting()
        wish = await body(BacktestWish, '{"toml": "[rules.x] …", "since": "14d"}')
        rule, now = draft(wish.toml), services.clock()
        since = now - _span(wish.since)
        selector = Selector.parse(wish.hosts, "hosts") if wish.hosts else None
        hosts = [
            host.name
            for host in services.objects.hosts(asking())
            if selector is None or selector.matches({**host.labels, "host": host.name})
        ]
        async with self._in_turn():
            found = await backtest(services.store, services.state, rule, since, now, hosts)
        return _answer(_done(found))

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


def _shown(state: RuleState, firing: int, pending: int) -> RuleShown:
    rule = state.rule
    file, _, line = rule.origin.rpartition(":")
    has_line = bool(file) and line.isdecimal()
    return RuleShown(
        name=rule.name,
        severity=rule.severity.value,
        file=file if has_line else rule.origin,
        line=int(line) if has_line else None,
        state=state.state,
        firing=firing,
        pending=pending,
        series=state.series,
        hosts=state.hosts,
        condition=rule_words(rule),
        metric=rule.condition.metric,
        default=rule.is_default,
        labels=dict(rule.labels),
        held_by=list(rule.held_by),
        notify_resolved=rule.notify_resolved,
        runbook_url=rule.runbook_url,
        toml=rule.text,
    )


def _partly(state: RuleState, firing: int, pending: int) -> RuleShown:
    """What somebody is told of a rule who does not see every host."""
    word = "firing" if firing else "pending" if pending else "inactive"
    shown = msgspec.structs.asdict(_shown(state, firing, pending))
    return RuleShown(**(shown | {"state": word, "series": None, "hosts": None, "toml": None}))


def _span(text: str) -> float:
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise InputError(str(error), code="bad_range", field="since") from None
    if not LEAST_SECONDS <= seconds <= LONGEST_SECONDS:
        detail = "since is from 1m to 400d"
        raise InputError(detail, code="bad_range", field="since", limit=LONGEST_SECONDS)
    return seconds


def _done(found: Backtest) -> BacktestDone:
    return BacktestDone(
        resolution=found.resolution_seconds,
        history=found.history_seconds,
        judged=found.judged,
        summary=found.summary,
        count=found.count,
        without_hysteresis=found.without_hysteresis,
        firings=[
            BacktestFiring(
                host=each.host,
                attributes=dict(each.attributes),
                severity=each.severity.value,
                start=each.start,
                end=each.end,
                peak=each.peak if math.isfinite(each.peak) else None,
            )
            for each in found.firings
        ],
        left_out=[BacktestLeftOut(each.host, each.reason) for each in found.left_out][
            :MOST_LEFT_OUT
        ],
    )


def _answer(value: object) -> Response:
    return Response(_encoder.encode(value), content_type="application/json")
