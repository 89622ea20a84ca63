"""``/api/v1``: the table of operations, hosts, series and processes, and probes for machines."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from quart import Response, request

import monitor
from monitor.core.access import Policy, Right
from monitor.core.catalog import metric
from monitor.core.state import HostState
from monitor.errors import NotFound, Unavailable
from monitor.fleet.fleet import Refusal
from monitor.model import Cell, SeriesKey
from monitor.web.alertsapi import AlertsApi
from monitor.web.answers import (
    Enrolled,
    Enrolment,
    GoodbyePush,
    Health,
    History,
    HostAction,
    HostDetail,
    HostSummary,
    Marker,
    NumberedPush,
    ProcessTable,
    PushAnswer,
    RefusedSender,
    SeriesInfo,
    SimplePush,
)
from monitor.web.asked import PARAMETERS, RANGE
from monitor.web.channelsapi import ChannelsApi
from monitor.web.enrolment import Enrolments
from monitor.web.history import Histories
from monitor.web.hostactions import HostActions
from monitor.web.metricspage import METRICS_PARAMETERS, MetricsPage
from monitor.web.openapi import Operation, Parameter, document
from monitor.web.query import Query
from monitor.web.routes import asking
from monitor.web.rulesapi import RulesApi
from monitor.web.services import Services
from monitor.web.silencesapi import SilencesApi
from monitor.web.sources import source_name
from monitor.web.turns import Turns

_encoder = msgspec.json.Encoder()


def answer(value: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(_encoder.encode(value), status=status, content_type="application/json")


class Api:
    """The handlers, and the table of operations that says where they stand."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._metrics = MetricsPage(services)
        self._histories = Histories(services, Turns(services.load))
        self._actions = HostActions(services)
        rooms = (AlertsApi, SilencesApi, RulesApi, ChannelsApi)
        alerting = (operation for room in rooms for operation in room(services).operations)
        self.operations = (*self._table(), *alerting)
        self._document = _encoder.encode(document(self.operations, monitor.__version__))

    def _table(self) -> tuple[Operation, ...]:
        host = Parameter("host", "A host's name.", place="path")
        return (
            Operation(
                "GET",
                "/healthz",
                "health",
                "Whether the server runs",
                self.health,
                Health,
                policy=Policy.PUBLIC,
            ),
            Operation(
                "GET",
                "/readyz",
                "readiness",
                "Whether this host's first frame has come",
                self.readiness,
                Health,
                problems=(503,),
                policy=Policy.PUBLIC,
            ),
            Operation(
                "GET",
                "/api/v1/openapi.json",
                "openapi",
                "This document",
                self.openapi,
                dict[str, Any],
                policy=Policy.READ,
            ),
            Operation(
                "GET",
                "/api/v1/hosts",
                "hosts",
                "Every host",
                self.hosts,
                list[HostSummary],
                policy=Policy.READ,
            ),
            Operation(
                "GET",
                "/api/v1/hosts/<host>",
                "host",
                "One host with its newest values",
                self.host,
                HostDetail,
                (host,),
                (404,),
                policy=Policy.READ,
            ),
            Operation(
                "POST",
                "/api/v1/hosts/<host>/retire",
                "retire_host",
                "Wait for a host no more, until it sends again",
                self._actions.retire,
                HostAction,
                (host,),
                (400, 404, 409, 503),
                policy=Policy.OPERATE,
            ),
            Operation(
                "POST",
                "/api/v1/hosts/<host>/adopt",
                "adopt_host",
                "Accept the machine that was turned away under a host's name",
                self._actions.adopt,
                HostAction,
                (host,),
                (400, 404, 409, 503),
                policy=Policy.ADMIN,
            ),
            Operation(
                "DELETE",
                "/api/v1/hosts/<host>",
                "delete_host",
                "Forget a host with all of its history",
                self._actions.delete,
                HostAction,
                (host,),
                (400, 404, 409, 503),
                policy=Policy.ADMIN,
            ),
            Operation(
                "GET",
                "/api/v1/fleet/refused",
                "refused",
                "Who was turned away lately, the latest first",
                self.refused,
                list[RefusedSender],
                policy=Policy.READ,
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
                policy=Policy.READ,
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
                policy=Policy.READ,
            ),
            Operation(
                "GET",
                "/api/v1/history",
                "history",
                "Series over a range of time",
                self._histories.history,
                History,
                PARAMETERS,
                (400, 503),
                also=("text/csv",),
                policy=Policy.READ,
            ),
            Operation(
                "GET",
                "/api/v1/hosts/<host>/markers",
                "markers",
                "When a host booted and this server started, over a range of time",
                self._histories.markers,
                list[Marker],
                (host, *RANGE),
                (400, 404, 503),
                policy=Policy.READ,
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
                policy=Policy.READ,
            ),
            Operation(
                "POST",
                "/api/v1/push",
                "push",
                "Send frames of a host, numbered or one by hand, as JSON or MessagePack",
                None,
                PushAnswer,
                problems=(400, 403, 408, 409, 413, 415, 503),
                body=(NumberedPush, SimplePush, GoodbyePush),
                policy=Policy.PUSH,
            ),
            Operation(
                "POST",
                "/api/v1/write",
                "write",
                "Prometheus remote write 1.0: a snappy block of prometheus.WriteRequest",
                None,
                "",
                problems=(400, 403, 405, 413, 415, 503),
                raw_body=("application/x-protobuf",),
                status=204,
                policy=Policy.PUSH,
            ),
            Operation(
                "POST",
                "/v1/metrics",
                "otlp_metrics",
                "OTLP metrics: an ExportMetricsServiceRequest, in protobuf or JSON",
                None,
                "application/x-protobuf",
                problems=(400, 403, 405, 413, 415, 503),
                also=("application/json",),
                raw_body=("application/x-protobuf", "application/json"),
                policy=Policy.PUSH,
            ),
            Operation(
                "POST",
                "/api/v1/enroll",
                "enroll",
                "Exchange an enrolment token for a host's own",
                Enrolments(self._services).enroll,
                Enrolled,
                problems=(400, 403, 409, 413, 415, 503),
                body=(Enrolment,),
                status=201,
                policy=Policy.ENROLL,
            ),
            Operation(
                "GET",
                "/metrics",
                "metrics",
                "What the server counts of itself, and the fleet's newest values, for Prometheus",
                self.metrics,
                "text/plain",
                METRICS_PARAMETERS,
                problems=(400, 503),
                policy=Policy.METRICS,
            ),
        )

    async def health(self) -> Response:
        """200 while the program runs."""
        return answer(Health("ok", _version()))

    async def readiness(self) -> Response:
        """200 once this host's first frame has been accepted, while the log can be written."""
        if not self._services.ready():
            detail = "this host's first frame has not come yet, or the log cannot be written"
            raise Unavailable(detail, code="not_ready")
        return answer(Health("ready", _version()))

    async def openapi(self) -> Response:
        """The document of this table."""
        return Response(self._document, content_type="application/json")

    async def metrics(self) -> Response:
        """The server's own counters, and every host's newest values."""
        return await self._metrics.answer()

    async def hosts(self) -> Response:
        """Every host, by name."""
        Query(request.args, ())
        known = self._services.objects.hosts(asking())
        return answer([_summary(host) for host in sorted(known, key=lambda host: host.name)])

    async def host(self, host: str) -> Response:
        """One host with its newest values."""
        Query(request.args, ())
        found = self._found(host)
        summary = msgspec.structs.asdict(_summary(found))
        shown = HostDetail(
            **summary, info=dict(found.info), metrics=found.metrics(), late=found.late()
        )
        return answer(shown)

    async def refused(self) -> Response:
        """Who was turned away lately."""
        Query(request.args, ())
        return answer([_refused(each) for each in self._services.objects.refusals(asking())])

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

    def _found(self, host: str) -> HostState:
        return self._services.objects.host(asking(), host)


def _version() -> str | None:
    return monitor.__version__ if Right.READ in asking().rights else None


def _summary(host: HostState) -> HostSummary:
    skew = host.skew_seconds
    return HostSummary(
        host=host.name,
        status=host.status.value if host.status else "up",
        since=host.since or host.seen_at,
        at=host.at,
        labels=host.labels,
        version=host.info.get("version"),
        skew_seconds=round(skew, 3) if math.isfinite(skew) else None,
        sources=[source_name(name) for name, lane in host.lanes.items() if lane.heard_at],
        ephemeral=host.is_ephemeral,
    )


def _refused(found: Refusal) -> RefusedSender:
    return RefusedSender(
        host=found.host,
        code=found.code,
        detail=found.detail,
        since=found.since,
        last=found.last,
        count=found.count,
        address=found.address,
        version=found.info.get("version"),
    )


def _described(key: str) -> SeriesInfo:
    known = metric(SeriesKey.parse(key).name)
    return SeriesInfo(key, known.kind.value, known.unit)
