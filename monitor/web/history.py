"""``GET /api/v1/history`` and the markers that go with it: what was, of series a query chooses.

A request becomes a frozen `Asked`, that becomes `Line`s (what is drawn, and which series of the
store each is made from), and those are read, aggregated and written a slice at a time beside the
event loop, within `turns`' bounds; a client that leaves ends the work.  How series are kept, and
how fine they still are, is the store's affair.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left

import msgspec
import numpy as np
from quart import Response, request

from monitor.core.markers import beginnings
from monitor.core.series import bucket_plan
from monitor.errors import InputError, excerpt
from monitor.model import key
from monitor.ports import Buckets
from monitor.web import spreadsheet
from monitor.web.answers import Marker
from monitor.web.asked import DEFAULT_RANGE_SECONDS, RANGE, Asked, file_name, judged
from monitor.web.lines import Line, as_csv, as_json, drawn
from monitor.web.query import Query
from monitor.web.routes import asking
from monitor.web.services import Services
from monitor.web.turns import Turns

MOST_SERIES = 500
"""Series of one answer; a page asks for a few dozen."""

MOST_CELLS = 100_000
"""Series times points of one answer: some 2 MB, and at the very most 6."""

MOST_READ_SERIES = 5_000
"""Series that one aggregated answer may be made from: a metric of a large fleet."""

MOST_READ_CELLS = 1_000_000
"""The same times points: 24 MB while they are read, and as much again while they are sorted."""

HOSTS_AT_ONCE = 50
"""Hosts asked for their series after which others may run."""

MARKER_POINTS = 1_000
"""Buckets in which markers are looked for: finer than those of a chart."""

_UPTIME = "system.uptime"
_OWN_UPTIME = key("process.uptime", process="monitor")
_encoder = msgspec.json.Encoder()


async def markers_of(services: Services, host: str, start: float, end: float) -> list[Marker]:
    """When a host booted, and when this server started, within [start, end), ascending."""
    wanted = [(host, _UPTIME), (services.host, _OWN_UPTIME)]
    found = await services.store.range(wanted, start, end, MARKER_POINTS)
    markers: list[Marker] = []
    for series in found.series:
        instants = beginnings(
            found.starts, found.step_seconds, series.minimum, series.maximum, start, end
        )
        if series.key == _UPTIME:
            markers += [Marker(at, "reboot", f"{series.host} booted") for at in instants]
        else:
            markers += [Marker(at, "server_start", "this server started") for at in instants]
    return sorted(markers, key=lambda marker: marker.at)


class Histories:
    """The handlers."""

    def __init__(self, services: Services, turns: Turns) -> None:
        self._services = services
        self._turns = turns

    async def history(self) -> Response:
        """Series over a range of time."""
        asked = judged(request.args, self._services.clock())
        async with self._turns.deadline():
            async with self._turns.taken():
                series = await self._series(asked, self._hosts(asked))
            lines = self._lines(asked, series)
            cells = len(series) * asked.points
            async with self._turns.taken(large=cells > MOST_CELLS):
                found = await self._read(asked, series)
                made = await drawn(found, lines, asked.aggregate)
                body = await as_json(found, made) if asked.format == "json" else b""
        name = file_name(asked)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'} if name else {}
        if asked.format == "json":
            return Response(body, headers=headers, content_type="application/json")
        rows = as_csv(found.starts, made, asked.by)
        return Response(rows, headers=headers, content_type=spreadsheet.CONTENT_TYPE)

    async def markers(self, host: str) -> Response:
        """When a host booted, and when this server started, within a range of time."""
        query = Query(request.args, [parameter.name for parameter in RANGE])
        start, end = query.span(self._services.clock(), DEFAULT_RANGE_SECONDS)
        self._services.objects.host(asking(), host)
        async with self._turns.deadline(), self._turns.taken():
            markers = await markers_of(self._services, host, start, end)
        return Response(_encoder.encode(markers), content_type="application/json")

    def _hosts(self, asked: Asked) -> list[str]:
        """The hosts that a query is about: those named, those that match, or those that do both."""
        caller, objects = asking(), self._services.objects
        for host in asked.hosts:
            objects.asked_host(caller, host)
        known = {host.name: host for host in objects.hosts(caller)}
        hosts = asked.hosts or sorted(known)
        if asked.match is None:
            return hosts
        return [host for host in hosts if asked.match.matches({**known[host].labels, "host": host})]

    async def _series(self, asked: Asked, hosts: list[str]) -> list[tuple[str, str]]:
        """The series that a query names: pairs of host and KEY, in the order it names them."""
        most = MOST_SERIES if asked.aggregate is None else MOST_READ_SERIES
        wanted: dict[tuple[str, str], None] = {}
        unknown = set(asked.metrics) if hosts else set()
        for number, host in enumerate(hosts, 1):
            known = await self._services.store.series(host)
            for metric in asked.metrics:
                keys = _keys(known, metric)
                if keys:
                    unknown.discard(metric)
                    wanted |= dict.fromkeys((host, text) for text in keys)
            if len(wanted) > most:
                detail = f"the query is about more than {most} series"
                raise InputError(detail, code="too_many_series", field="metric", limit=most)
            if number % HOSTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        if unknown:
            detail = f"no host asked for has the metric {excerpt(min(unknown))}"
            raise InputError(detail, code="unknown_metric", field="metric")
        most = MOST_CELLS if asked.aggregate is None else MOST_READ_CELLS
        _require_cells(len(wanted) * asked.points, most)
        return list(wanted)

    def _lines(self, asked: Asked, series: list[tuple[str, str]]) -> list[Line]:
        """What is drawn of these series: each one, or one for each KEY and group of hosts."""
        if asked.aggregate is None:
            return [Line(host, text, (place,)) for place, (host, text) in enumerate(series)]
        groups: dict[tuple[str, str], list[int]] = {}
        known = self._services.state.hosts
        for place, (host, text) in enumerate(series):
            labels = {**known[host].labels, "host": host} if asked.by else {}
            groups.setdefault((text, labels.get(asked.by or "", "")), []).append(place)
        if len(groups) > MOST_SERIES:
            detail = f"the answer would have {len(groups)} series"
            raise InputError(detail, code="too_many_series", field="by", limit=MOST_SERIES)
        _require_cells(len(groups) * asked.points, MOST_CELLS)
        return [
            Line("", text, tuple(groups[text, group]), {asked.by: group} if asked.by else {})
            for text, group in sorted(groups)
        ]

    async def _read(self, asked: Asked, series: list[tuple[str, str]]) -> Buckets:
        if series:
            return await self._services.store.range(
                series, asked.start, asked.end, asked.points, asked.raw
            )
        first, step, count = bucket_plan(asked.start, asked.end, asked.points)
        return Buckets((first + np.arange(count)) * np.float64(step), step, ())


def _keys(known: tuple[str, ...], metric: str) -> tuple[str, ...]:
    """Those of a host's KEYs, sorted, that `metric` names: by itself, or as the name of many."""
    first = bisect_left(known, metric)
    own = known[first : first + 1] if known[first : first + 1] == (metric,) else ()
    if "{" in metric:
        return own
    # A KEY with attributes goes on with a brace, and the sign after a brace is a bar.
    return own + known[bisect_left(known, metric + "{") : bisect_left(known, metric + "|")]


def _require_cells(cells: int, most: int) -> None:
    if cells > most:
        detail = f"the query asks for {cells} values: fewer series or fewer points"
        raise InputError(detail, code="too_many_values", field="points", limit=most)
