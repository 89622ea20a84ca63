"""``/api/v1``: hosts, series, processes and history as JSON, and the probes for machines."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from quart import Response, request

import monitor
from monitor.core.catalog import metric
from monitor.core.state import HostState
from monitor.errors import InputError, NotFound, Unavailable, excerpt
from monitor.model import Cell, SeriesKey
from monitor.ports import Buckets
from monitor.web import exposition
from monitor.web.answers import (
    Health,
    History,
    HistorySeries,
    HostDetail,
    HostSummary,
    NumberedPush,
    ProcessTable,
    PushAnswer,
    SeriesInfo,
    SimplePush,
)
from monitor.web.openapi import Operation, Parameter, document
from monitor.web.own_metrics import gathered
from monitor.web.query import Query
from monitor.web.services import Services

MOST_POINTS = 11_000
"""Buckets of one answer."""

DEFAULT_POINTS = 300
DEFAULT_RANGE_SECONDS = 3_600.0

MOST_SERIES = 500
"""Series of one answer; a page asks for a few dozen."""

MOST_NAMED = 100
"""Hosts, and metrics, that one query may name."""

MOST_CELLS = 100_000
"""Series times points of one answer: some 2 MB, and at the very most 6."""

MOST_AT_ONCE = 4
"""Answers of history that are built at the same time; the others wait."""


_encoder = msgspec.json.Encoder()


def answer(value: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(_encoder.encode(value), status=status, content_type="application/json")


class Api:
    """The handlers, and the table of operations that says where they stand."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._building = asyncio.Semaphore(MOST_AT_ONCE)
        self.operations = self._table()
        self._document = _encoder.encode(document(self.operations, monitor.__version__))

    def _table(self) -> tuple[Operation, ...]:
        host = Parameter("host", "A host's name.", place="path")
        return (
            Operation("GET", "/healthz", "health", "Whether the server runs", self.health, Health),
            Operation(
                "GET",
                "/readyz",
                "readiness",
                "Whether this host's first frame has come",
                self.readiness,
                Health,
                problems=(503,),
            ),
            Operation(
                "GET",
                "/api/v1/openapi.json",
                "openapi",
                "This document",
                self.openapi,
                dict[str, Any],
            ),
            Operation("GET", "/api/v1/hosts", "hosts", "Every host", self.hosts, list[HostSummary]),
            Operation(
                "GET",
                "/api/v1/hosts/<host>",
                "host",
                "One host with its newest values",
                self.host,
                HostDetail,
                (host,),
                (404,),
            ),
            Operation(
                "GET",
                "/api/v1/hosts/<host>/series",
                "series",
                "Every series of a host",
                self.series,
                list[SeriesInfo],
                (host,),
                (404,),
            ),
            Operation(
                "GET",
                "/api/v1/hosts/<host>/processes",
                "processes",
                "The top processes now, or at an instant",
                self.processes,
                ProcessTable,
                (host, Parameter("at", "Unix seconds, ISO 8601, or a time ago such as -10m.")),
                (400, 404),
            ),
            Operation(
                "GET",
                "/api/v1/history",
                "history",
                "Series over a range of time",
                self.history,
                History,
                (
                    Parameter("host", "A host's name.", required=True, repeated=True),
                    Parameter("metric", "A name or a KEY.", required=True, repeated=True),
                    Parameter("start", "The first instant; an hour ago where absent."),
                    Parameter("end", "The instant after the last; now where absent."),
                    Parameter("points", "The most buckets wanted.", schema="integer"),
                    Parameter("raw", "1 for counts instead of rates.", schema="integer"),
                ),
                (400,),
            ),
            Operation(
                "GET",
                "/api/v1/stream",
                "stream",
                "The event stream",
                None,
                "text/event-stream",
                (
                    Parameter("topics", "fleet, host:HOST, alerts, approvals, log; comma between."),
                    Parameter("last_event_id", "Resume after this position."),
                    Parameter("heartbeat", "comment or event."),
                    Parameter("follow", "0 for what is owed now, and an end.", schema="integer"),
                ),
                (400, 404, 406, 429, 503),
            ),
            Operation(
                "POST",
                "/api/v1/push",
                "push",
                "Send frames of a host, numbered or one by hand",
                None,
                PushAnswer,
                problems=(400, 403, 408, 409, 413, 415, 503),
                body=(NumberedPush, SimplePush),
            ),
            Operation(
                "GET",
                "/metrics",
                "metrics",
                "What the server counts of itself, as Prometheus text",
                self.metrics,
                "text/plain",
            ),
        )

    async def health(self) -> Response:
        """200 while the program runs."""
        return answer(Health("ok", monitor.__version__))

    async def readiness(self) -> Response:
        """200 once this host's first frame has been accepted, while the log can be written."""
        if not self._services.ready():
            detail = "this host's first frame has not come yet, or the log cannot be written"
            raise Unavailable(detail, code="not_ready")
        return answer(Health("ready", monitor.__version__))

    async def openapi(self) -> Response:
        """The document of this table."""
        return Response(self._document, content_type="application/json")

    async def metrics(self) -> Response:
        """The server's own counters."""
        Query(request.args, ())
        found = exposition.text(await gathered(self._services))
        return Response(found, content_type=exposition.CONTENT_TYPE)

    async def hosts(self) -> Response:
        """Every host, by name."""
        Query(request.args, ())
        known = self._services.state.hosts
        return answer([_summary(known[name]) for name in sorted(known)])

    async def host(self, host: str) -> Response:
        """One host with its newest values."""
        Query(request.args, ())
        found = self._found(host)
        summary = msgspec.structs.asdict(_summary(found))
        return answer(HostDetail(**summary, metrics=found.metrics(), late=found.late()))

    async def series(self, host: str) -> Response:
        """Every series of a host."""
        Query(request.args, ())
        keys = await self._services.store.series(self._found(host).name)
        return answer([_described(key) for key in keys])

    async def processes(self, host: str) -> Response:
        """The top processes now, or as they were at an instant."""
        query = Query(request.args, ("at",))
        now = self._services.clock()
        at = query.instant("at", now, now)
        found = await self._services.store.snapshot_at(self._found(host).name, "processes", at)
        if found is None:
            raise NotFound("there is no table of processes from that time", code="no_snapshot")
        rows: list[dict[str, Cell]] = [dict(row) for row in found.rows]
        return answer(ProcessTable(host, found.at, rows))

    async def history(self) -> Response:
        """Series over a range of time."""
        query = Query(request.args, ("start", "end", "points", "raw"), repeated=("host", "metric"))
        now = self._services.clock()
        end = query.instant("end", now, now)
        start = query.instant("start", end - DEFAULT_RANGE_SECONDS, now)
        if start >= end:
            raise InputError("the range ends before it starts", code="bad_range", field="start")
        points = query.whole("points", DEFAULT_POINTS, MOST_POINTS)
        raw = query.flag("raw")
        wanted = await self._wanted(query.texts("host"), query.texts("metric"))
        cells = points * len(wanted)
        if cells > MOST_CELLS:
            detail = f"the query asks for {cells} values: fewer series or fewer points"
            raise InputError(detail, code="too_many_values", field="points", limit=MOST_CELLS)
        async with self._building:
            found = await self._services.store.range(wanted, start, end, points, raw)
            body = await asyncio.to_thread(_history, found)
        return Response(body, content_type="application/json")

    async def _wanted(self, hosts: list[str], metrics: list[str]) -> list[tuple[str, str]]:
        """The series that a query names: pairs of host and KEY, in the order it names them."""
        for name, given in (("host", hosts), ("metric", metrics)):
            if not 1 <= len(given) <= MOST_NAMED:
                detail = f"name 1 to {MOST_NAMED} of the parameter {name}"
                code = "missing_param" if not given else "too_many_params"
                raise InputError(detail, code=code, field=name, limit=MOST_NAMED)
        wanted: list[tuple[str, str]] = []
        unknown = set(metrics)
        for host in hosts:
            if host not in self._services.state.hosts:
                detail = f"there is no host {excerpt(host)}"
                raise InputError(detail, code="unknown_host", field="host")
            known = await self._services.store.series(host)
            by_name: dict[str, list[str]] = {}
            for key in known:
                by_name.setdefault(key.partition("{")[0], []).append(key)
            for metric_ in metrics:
                keys = [metric_] if metric_ in known else []
                keys = by_name.get(metric_, keys)
                unknown -= {metric_} if keys else set()
                wanted += [(host, key) for key in keys]
        if unknown:
            detail = f"no host named here has the metric {excerpt(min(unknown))}"
            raise InputError(detail, code="unknown_metric", field="metric")
        wanted = list(dict.fromkeys(wanted))
        if len(wanted) > MOST_SERIES:
            detail = f"the query names {len(wanted)} series"
            raise InputError(detail, code="too_many_series", limit=MOST_SERIES)
        return wanted

    def _found(self, host: str) -> HostState:
        found = self._services.state.hosts.get(host)
        if found is None:
            raise NotFound(f"there is no host {excerpt(host)}", code="unknown_host", field="host")
        return found


def _history(found: Buckets) -> bytes:
    """A `History` of this range as JSON, a series at a time so that nobody waits long."""
    series = [
        _encoder.encode(
            HistorySeries(
                one.host, one.key, one.minimum.tolist(), one.average.tolist(), one.maximum.tolist()
            )
        )
        for one in found.series
    ]
    head = _encoder.encode(History(found.starts.tolist(), found.step_seconds, []))
    return head.removesuffix(b"]}") + b",".join(series) + b"]}"


def _summary(host: HostState) -> HostSummary:
    status = host.status.value if host.status else "up"
    return HostSummary(host.name, status, host.since or host.seen_at, host.at, host.labels)


def _described(key: str) -> SeriesInfo:
    known = metric(SeriesKey.parse(key).name)
    return SeriesInfo(key, known.kind.value, known.unit)
