"""OTLP metrics: what a request says becomes frames of lanes, and is stored.

A resource is one host's, or a program's on it; `host.name` says whose.  A point that cannot be kept
is counted and said why, and the others are stored, as OTLP wants it.  It knows no HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from monitor.core.access import OPEN, Caller
from monitor.errors import InputError, MonitorError, excerpt
from monitor.ingest import names, otlp_wire
from monitor.ingest.lanes import Lane, Lanes
from monitor.ingest.otel_names import told
from monitor.ingest.otlp_points import (
    Outcome,
    Resource,
    instant_of,
    points_of,
    resource_of,
    text_of,
    values_of,
)
from monitor.ingest.push import EARLIEST_SECONDS
from monitor.ingest.remote_write import Hosts, Take
from monitor.model import Frame, Introduction, SeriesKey

MOST_BYTES = 8 * 1024 * 1024
"""Of a request, compressed or not: the Collector sends 8,192 points at once, some 1.5 MB."""

MOST_RESOURCES = 1_000
"""Of a request: a gateway gathers those of many hosts."""

MOST_POINTS = 50_000
"""Of a request: as in a push."""

MOST_PARTS = 50_000
"""Scopes and metrics of a request, which may be empty and cost something all the same."""

MOST_AT_ONCE = 4
"""Requests that are parsed and looked at at a time: objects take several times their bytes."""

MOST_KNOWN = 100_000
"""Series whose KEY is remembered, before they are looked at anew."""

MOST_KNOWN_CHARACTERS = 24 * 1024 * 1024
"""Of what those are remembered by: 240 for each of so many."""

TOGETHER_SECONDS = 1.0
"""Points of a request that are no further apart are one instant's, the newest: the receiver reads
processors, memory and disks a few milliseconds apart, and they are one look at a host."""

WORKING_SECONDS = 0.003
"""How long points are looked at without giving way."""

_Rows: TypeAlias = dict[float, dict[str, float]]
"""Values by KEY by instant."""


class Otlp:
    """Takes requests.  `oldest` says before which instant nothing is kept."""

    def __init__(
        self,
        lanes: Lanes,
        take: Take,
        hosts: Hosts,
        clock: Callable[[], float],
        oldest: Callable[[float], float],
    ) -> None:
        self._lanes = lanes
        self._take = take
        self._hosts = hosts
        self._clock = clock
        self._oldest = oldest
        self._keys: dict[tuple[object, ...], tuple[str, float] | InputError | None] = {}
        self._known_characters = 0
        self._decoding = asyncio.Semaphore(MOST_AT_ONCE)
        self.points = lanes.samples.setdefault("otlp", Counter())
        """Points by what became of them: ``written``, or an error's code."""

    async def export(self, body: bytes, caller: Caller = OPEN, *, is_json: bool) -> Outcome:
        """Take a request.  On return what was taken of it is as durable as the store is.

        Raises `InputError` where all of it is refused, and as the store does: then the whole may
        be sent again.
        """
        outcome = Outcome()
        heard: dict[tuple[str, str], _Rows] = {}
        met: dict[str, Introduction] = {}
        async with self._decoding:
            request = otlp_wire.parsed(body, is_json=is_json)
            _require_few(request)
            for resource_metrics in request.resource_metrics:
                await self._hear(resource_metrics, caller, heard, met, outcome)
            del request
        # From here to the frames nothing else runs, so that columns stay what they are.
        frames = [
            frame
            for (host, source), rows in heard.items()
            for frame in self._frames(host, source, rows, outcome)
        ]
        if frames:
            frames.sort(key=lambda frame: frame.at)
            await self._take(frames)
        hosts = {frame.host for frame in frames}
        for host, said in met.items():
            if host in hosts:
                await self._hosts.met(said)
        self.points["written"] += outcome.accepted
        self.points.update(outcome.codes)
        return outcome

    async def _hear(
        self,
        resource_metrics: Any,
        caller: Caller,
        heard: dict[tuple[str, str], _Rows],
        met: dict[str, Introduction],
        outcome: Outcome,
    ) -> None:
        """Note what a resource says, below its host and lane, and who it is."""
        metrics = [each for scope in resource_metrics.scope_metrics for each in scope.metrics]
        try:
            resource = resource_of(resource_metrics.resource.attributes)
            said = self._admitted(resource, caller)
        except MonitorError as error:
            outcome.reject(error, sum(map(points_of, metrics)))
            return
        rows = heard.setdefault((resource.host, resource.source), {})
        await self._read(resource, metrics, rows, outcome)
        if resource.info or said.host not in met:
            met[said.host] = said

    def _admitted(self, resource: Resource, caller: Caller) -> Introduction:
        """Whom a resource speaks for; raises where it may not."""
        said = Introduction(resource.host, info=resource.info or None, given_labels=caller.labels)
        _require_writes(caller, resource.host)
        try:
            self._hosts.require(said)
        except MonitorError as error:
            self._hosts.refused(said, error)
            raise
        return said

    async def _read(
        self, resource: Resource, metrics: list[Any], rows: _Rows, outcome: Outcome
    ) -> None:
        """Note the values of a resource, the first of each KEY and instant."""
        now = self._clock()
        oldest = max(EARLIEST_SECONDS, self._oldest(now))
        until = time.perf_counter() + WORKING_SECONDS
        wrong_clock: InputError | None = None
        for metric in metrics:
            for name, point, value in values_of(metric, outcome):
                if time.perf_counter() > until:
                    await asyncio.sleep(0)
                    until = time.perf_counter() + WORKING_SECONDS
                try:
                    at = instant_of(point.time_unix_nano, now, oldest)
                    found = self._key(resource, name, point.attributes)
                except InputError as error:
                    outcome.reject(error)
                    wrong_clock = error if error.code == "bad_time" else wrong_clock
                    continue
                outcome.accepted += 1
                if found is None:
                    continue  # known, and left out on purpose
                text, factor = found
                row = rows.setdefault(at, {})
                row.setdefault(text, value if factor == 1 else value * factor)
        if wrong_clock is not None:
            self._hosts.refused(Introduction(resource.host), wrong_clock)

    def _frames(self, host: str, source: str, rows: _Rows, outcome: Outcome) -> Iterator[Frame]:
        if not rows:
            return
        now = self._clock()
        try:
            lane = self._lanes.of(host, source)
        except MonitorError as error:
            outcome.reject(error, count := sum(map(len, rows.values())))
            outcome.accepted -= count
            return
        lane.look(now)
        for at, row in together(rows):
            frame = _frame(lane, at, row, now, outcome)
            if frame is not None:
                yield frame

    def _key(self, resource: Resource, name: str, attributes: Any) -> tuple[str, float] | None:
        """The KEY of a series and its factor, none where it is left out; raises `InputError`."""
        pairs = [(each.key, text_of(each.value)) for each in attributes]
        known = (resource.program, name, *pairs)
        if known in self._keys:
            found = self._keys[known]
        else:
            try:
                found = _found(resource, name, pairs)
            except InputError as error:
                found = error
            if len(self._keys) >= MOST_KNOWN or self._known_characters >= MOST_KNOWN_CHARACTERS:
                self._keys.clear()
                self._known_characters = 0
            self._keys[known] = found
            self._known_characters += len(name) + sum(len(a) + len(b) for a, b in pairs)
        if isinstance(found, InputError):
            raise found.with_traceback(None)  # it is kept, and would grow each time
        return found


def together(rows: _Rows) -> Iterator[tuple[float, dict[str, float]]]:
    """Instants ascending, those of one look as one: they are near, and have no KEY in common."""
    kept: list[tuple[float, dict[str, float]]] = []
    for at in sorted(rows, reverse=True):
        row = rows[at]
        if kept:
            newest, found = kept[-1]
            if newest - at <= TOGETHER_SECONDS and found.keys().isdisjoint(row):
                found.update(row)
                continue
        kept.append((at, dict(row)))
    yield from reversed(kept)


def _frame(
    lane: Lane, at: float, row: dict[str, float], now: float, outcome: Outcome
) -> Frame | None:
    columns: list[int] = []
    values: list[float] = []
    for text, value in row.items():
        try:
            columns.append(lane.column(text))
        except MonitorError as error:
            outcome.reject(error)
            outcome.accepted -= 1
        else:
            values.append(value)
    if not columns:
        return None
    return lane.whole(at, np.array(columns, np.intp), np.array(values, np.float64), now)


def _require_few(request: Any) -> None:
    if len(request.resource_metrics) > MOST_RESOURCES:
        detail = f"a request has at most {MOST_RESOURCES} resources"
        code = "too_many_resources"
        raise InputError(detail, code=code, limit=MOST_RESOURCES, status=413)
    count = parts = 0
    for resource_metrics in request.resource_metrics:
        parts += len(resource_metrics.scope_metrics)
        for scope in resource_metrics.scope_metrics:
            parts += len(scope.metrics)
            if parts > MOST_PARTS:
                detail = f"a request has at most {MOST_PARTS} scopes and metrics"
                code = "too_many_samples"
                raise InputError(detail, code=code, limit=MOST_PARTS, status=413)
            count += sum(map(points_of, scope.metrics))
            if count > MOST_POINTS:
                detail = f"a request has at most {MOST_POINTS} points"
                code = "too_many_samples"
                raise InputError(detail, code=code, limit=MOST_POINTS, status=413)


def _found(resource: Resource, name: str, pairs: list[tuple[str, str]]) -> tuple[str, float] | None:
    if len(pairs) > names.MOST_ATTRIBUTES:
        detail = f"a point has at most {names.MOST_ATTRIBUTES} attributes"
        raise InputError(detail, code="limit_labels", limit=names.MOST_ATTRIBUTES)
    attributes = {attribute: value for attribute, value in pairs if value}
    if len({attribute for attribute, _ in pairs}) < len(pairs):
        raise InputError("an attribute stands twice", code="bad_labels")
    found = told(name, attributes)
    if found is None:
        return None
    key = found.key
    if resource.program and not name.startswith("system."):
        # A program's: two of them on one host may call their numbers the same.
        whole = dict(resource.program) | dict(key.attributes)
        key = SeriesKey(key.name, tuple(sorted(whole.items())))
    text = str(key)
    names.key(text, "metrics")
    return text, found.factor


def _require_writes(caller: Caller, host: str) -> None:
    if not caller.writes(host):
        detail = f"this token does not write the host {excerpt(host)}"
        raise MonitorError(detail, code="host_mismatch", field="host.name", status=403)
