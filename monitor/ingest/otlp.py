"""OTLP metrics: what a request says becomes frames of lanes, and is stored.

A resource is one host's, or a program's on it; `host.name` says whose.  A point that cannot be kept
is counted and said why, and the others are stored, as OTLP wants it.  It knows no HTTP.
"""

from __future__ import annotations

import asyncio
import math
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np

from monitor.core.access import OPEN, Caller
from monitor.core.series import ENDED_BITS
from monitor.errors import InputError, MonitorError, excerpt
from monitor.ingest import names, otlp_wire
from monitor.ingest.lanes import Lane, Lanes
from monitor.ingest.otel_names import told
from monitor.ingest.push import EARLIEST_SECONDS, MOST_AHEAD_SECONDS
from monitor.ingest.remote_write import Hosts, Take
from monitor.model import Frame, Introduction, SeriesKey

MOST_BYTES = 8 * 1024 * 1024
"""Of a request, compressed or not: the Collector sends 8,192 points at once, some 1.5 MB."""

MOST_RESOURCES = 1_000
"""Of a request: a gateway gathers those of many hosts."""

MOST_POINTS = 50_000
"""Of a request: as in a push."""

MOST_KNOWN = 100_000
"""Series whose KEY is remembered, before they are looked at anew."""

SOURCE = "otlp"
"""How the lane of host metrics is called; a program's has its name behind it."""

TOGETHER_SECONDS = 1.0
"""Points of a request that are no further apart are one instant's, the newest: the receiver reads
processors, memory and disks a few milliseconds apart, and they are one look at a host."""

WORKING_SECONDS = 0.003
"""How long points are looked at without giving way."""

PROGRAM = (
    "service.namespace",
    "service.name",
    "service.instance.id",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.id",
    "container.name",
    "process.executable.name",
    "process.pid",
)
"""What tells a host's resources apart: attributes of every series that is not the host's own."""

MOST_REASONS = 5
"""Of an answer, each with its number of points."""

CUMULATIVE: Final = (2, "AGGREGATION_TEMPORALITY_CUMULATIVE")
DELTA: Final = (1, "AGGREGATION_TEMPORALITY_DELTA")
_NOT_RECORDED = 1
"""In a point's flags: the series had no value."""

_ENDED: float = struct.unpack("<d", struct.pack("<Q", ENDED_BITS))[0]
_NANO = 1_000_000
_KEPT_INFO = {"os.type": "os", "os.version": "kernel", "host.arch": "arch", "host.id": "machine_id"}
"""What a resource says of its machine, by our names."""


_Rows: TypeAlias = dict[float, dict[str, float]]
"""Values by KEY by instant."""


@dataclass(slots=True)
class Outcome:
    """What became of a request: points stored, and refused by reason."""

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    """What was let go of without refusing a point."""
    passing: MonitorError | None = None
    """Ours, for which everything may be sent again."""
    foreign: MonitorError | None = None
    """That a host is not this token's."""

    def reject(self, error: MonitorError, points: int = 1) -> None:
        """Note that so many points were not taken, and why."""
        if error.status == 403:
            self.foreign = error
        elif not isinstance(error, InputError):
            self.passing = self.passing or error
        self.rejected[error.detail] += points
        self.codes[error.code] += points

    @property
    def message(self) -> str:
        """In words, empty where there is nothing to be said."""
        reasons = [*self.rejected.most_common(MOST_REASONS), *self.notes.most_common(MOST_REASONS)]
        return "; ".join(f"{reason} ({count})" for reason, count in reasons)


@dataclass(frozen=True, slots=True)
class _Resource:
    """Whose a resource is."""

    host: str
    program: tuple[tuple[str, str], ...]
    info: dict[str, str]

    @property
    def source(self) -> str:
        name = dict(self.program).get("service.name", "")
        return f"{SOURCE}:{name}" if name else SOURCE


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
        self.points = lanes.samples.setdefault("otlp", Counter())
        """Points by what became of them: ``written``, or an error's code."""

    async def export(self, body: bytes, caller: Caller = OPEN, *, is_json: bool) -> Outcome:
        """Take a request.  On return what was taken of it is as durable as the store is.

        Raises `InputError` where all of it is refused, and as the store does: then the whole may
        be sent again.
        """
        request = otlp_wire.parsed(body, is_json=is_json)
        _require_few(request)
        outcome = Outcome()
        heard: dict[tuple[str, str], _Rows] = {}
        met: dict[str, Introduction] = {}
        for resource_metrics in request.resource_metrics:
            metrics = [each for scope in resource_metrics.scope_metrics for each in scope.metrics]
            try:
                resource = _resource(resource_metrics.resource.attributes)
                said = self._admitted(resource, caller)
            except MonitorError as error:
                outcome.reject(error, sum(map(_points_of, metrics)))
                continue
            rows = heard.setdefault((resource.host, resource.source), {})
            await self._read(resource, metrics, rows, outcome)
            if resource.info or said.host not in met:
                met[said.host] = said
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

    def _admitted(self, resource: _Resource, caller: Caller) -> Introduction:
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
        self, resource: _Resource, metrics: list[Any], rows: _Rows, outcome: Outcome
    ) -> None:
        """Note the values of a resource, the first of each KEY and instant."""
        now = self._clock()
        oldest = max(EARLIEST_SECONDS, self._oldest(now))
        until = time.perf_counter() + WORKING_SECONDS
        for metric in metrics:
            for name, point, value in _values(metric, outcome):
                if time.perf_counter() > until:
                    await asyncio.sleep(0)
                    until = time.perf_counter() + WORKING_SECONDS
                try:
                    at = _instant(point.time_unix_nano, now, oldest)
                    found = self._key(resource, name, point.attributes)
                except InputError as error:
                    outcome.reject(error)
                    continue
                outcome.accepted += 1
                if found is None:
                    continue  # known, and left out on purpose
                text, factor = found
                row = rows.setdefault(at, {})
                row.setdefault(text, value if factor == 1 else value * factor)

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

    def _key(self, resource: _Resource, name: str, attributes: Any) -> tuple[str, float] | None:
        """The KEY of a series and its factor, none where it is left out; raises `InputError`."""
        pairs = [(each.key, _text(each.value)) for each in attributes]
        known = (resource.program, name, *pairs)
        if known in self._keys:
            found = self._keys[known]
        else:
            try:
                found = _found(resource, name, pairs)
            except InputError as error:
                found = error
            if len(self._keys) >= MOST_KNOWN:
                self._keys.clear()
            self._keys[known] = found
        if isinstance(found, InputError):
            raise found
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
    count = 0
    for resource_metrics in request.resource_metrics:
        for scope in resource_metrics.scope_metrics:
            count += sum(map(_points_of, scope.metrics))
            if count > MOST_POINTS:
                detail = f"a request has at most {MOST_POINTS} points"
                code = "too_many_samples"
                raise InputError(detail, code=code, limit=MOST_POINTS, status=413)


def _points_of(metric: Any) -> int:
    kind = metric.WhichOneof("data")
    return len(getattr(metric, kind).data_points) if kind else 0


def _resource(attributes: Any) -> _Resource:
    """Raises `InputError`: ``no_host``, ``bad_host_name``, ``limit_labels``."""
    found = {each.key: each.value for each in attributes}
    if "host.name" not in found:
        detail = "a resource has the attribute host.name: the Collector's resourcedetection adds it"
        raise InputError(detail, code="no_host", field="resource")
    host = names.host(_text(found["host.name"]), "host.name")
    program = tuple((name, _text(found[name])) for name in PROGRAM if name in found)
    info = {}
    for attribute, name in _KEPT_INFO.items():
        if attribute in found and 0 < len(said := _text(found[attribute])) <= 256:
            info[name] = said
    return _Resource(host, tuple(pair for pair in program if pair[1]), info)


def _found(
    resource: _Resource, name: str, pairs: list[tuple[str, str]]
) -> tuple[str, float] | None:
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


def _values(metric: Any, outcome: Outcome) -> Iterator[tuple[str, Any, float]]:
    """Every value of a metric that can be kept: its name, its point, the number."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    try:
        _require_kind(kind, data)
    except InputError as error:
        outcome.reject(error, len(data.data_points))
        return
    for point in data.data_points:
        if point.exemplars:
            outcome.notes["exemplars are not kept"] += len(point.exemplars)
        try:
            if kind == "histogram":
                if point.HasField("sum"):
                    yield f"{metric.name}_sum", point, otlp_wire.real(point.sum)
                    outcome.accepted -= 1  # both are of one point
                yield f"{metric.name}_count", point, float(otlp_wire.whole(point.count))
            else:
                yield metric.name, point, _number(point)
        except ValueError:
            outcome.reject(InputError("a number is none", code="bad_type"))


def _require_kind(kind: str, data: Any) -> None:
    if kind in {"exponential_histogram", "summary"}:
        said = "summaries" if kind == "summary" else "exponential histograms"
        raise InputError(f"{said} are not kept", code=f"unsupported_{kind}")
    if kind != "gauge" and data.aggregation_temporality not in CUMULATIVE:
        if data.aggregation_temporality in DELTA:
            detail = (
                "delta temporality is not kept: send cumulative (the Collector's deltatocumulative)"
            )
            raise InputError(detail, code="unsupported_delta")
        raise InputError("the aggregation temporality is not said", code="bad_temporality")


def _number(point: Any) -> float:
    if point.flags & _NOT_RECORDED:
        return _ENDED
    kind = point.WhichOneof("value")
    if kind == "as_int":
        return float(otlp_wire.whole(point.as_int))
    return otlp_wire.real(point.as_double) if kind else math.nan


def _instant(nanoseconds: Any, now: float, oldest: float) -> float:
    """An instant in unix seconds, to the millisecond."""
    try:
        at = round(otlp_wire.whole(nanoseconds) / _NANO) / 1000
    except ValueError:
        raise InputError("an instant is in nanoseconds", code="bad_time") from None
    if at < EARLIEST_SECONDS or at > now + MOST_AHEAD_SECONDS:
        detail = f"an instant is in nanoseconds, at most {MOST_AHEAD_SECONDS:.0f} s ahead"
        raise InputError(detail, code="bad_time")
    if at < oldest:
        raise InputError("a point is older than the history that is kept", code="too_old")
    return at


def _text(value: Any) -> str:
    """An attribute's value as text.  Raises `InputError` where it is more than a word."""
    kind = value.WhichOneof("value")
    match kind:
        case "string_value":
            found: str = value.string_value
            if len(found) > names.LONGEST_ATTRIBUTE_CHARACTERS:
                detail = f"a value has at most {names.LONGEST_ATTRIBUTE_CHARACTERS} characters"
                limit = names.LONGEST_ATTRIBUTE_CHARACTERS
                raise InputError(detail, code="limit_labels", limit=limit)
            return found
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "int_value":
            try:
                return str(otlp_wire.whole(value.int_value))
            except ValueError:
                raise InputError("a number is none", code="bad_type") from None
        case "double_value":
            return str(value.double_value)[:32]
        case None:
            return ""
        case _:
            detail = "attributes are words and numbers; lists, maps and bytes are not kept"
            raise InputError(detail, code="bad_attribute")


def _require_writes(caller: Caller, host: str) -> None:
    if not caller.writes(host):
        detail = f"this token does not write the host {excerpt(host)}"
        raise MonitorError(detail, code="host_mismatch", field="host.name", status=403)
