"""What it costs to make frames of bytes, in every form that is taken, with nothing behind it.

Each is measured in this process, where what takes the frames lets go of them: the form's own
parser, the checks, and the arrays that a store would be given.  Beside it stand readers of the same
bytes that only read.  Every body is another one, with other values; series are known already.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from prometheus_client.parser import text_string_to_metric_families

from bench.door.house import host as named
from bench.ingest import hosts
from bench.ingest.packing import Documents
from bench.ingest.written import SERIES_A_REQUEST, Requests, node_exporters
from monitor.core.catalog import is_counter
from monitor.core.load import Load
from monitor.ingest import push
from monitor.ingest.exposition import Exposition, Format
from monitor.ingest.intake import ENDLESS_BYTES, Intake
from monitor.ingest.lanes import Lanes
from monitor.ingest.otlp import Otlp
from monitor.ingest.push import Columns
from monitor.ingest.remote_write import RemoteWrite
from monitor.model import Frame, Introduction, Schema, SeriesKey, Snapshot

SERIES = 150
FLEET = 100
"""Hosts whose documents take turns."""

BATCH = 60
"""Frames of a document of an agent that catches up."""

BATCHES = 20
OTLP_FLEET = 14
"""Hosts of a request of OTLP: about as many points as a request of remote write has."""

CUMULATIVE = 2
"""`AggregationTemporality` of a count that only grows."""

LEAST_SECONDS = 0.2
"""How long a run takes at least, of as many passes as that needs."""


@dataclass(frozen=True)
class Decoded:
    """What a form costs."""

    form: str
    how: str
    millions: float
    """Samples for each second of processor time."""
    microseconds: float
    """Of one body."""
    samples: int
    """Of one body."""
    bytes: int
    """Of one body."""


class _Nobody:
    """Takes whatever comes, and lets go of it; nobody is turned away."""

    def __init__(self) -> None:
        self.frames = 0
        """How many came."""

    async def accept(
        self, frames: Sequence[Frame], tables: Sequence[Snapshot] = (), sent: float | None = None
    ) -> None:
        """Let go of frames."""
        self.frames += len(frames)
        del tables, sent

    async def take(self, frames: Sequence[Frame]) -> None:
        """Let go of frames."""
        self.frames += len(frames)

    def require(self, said: Introduction) -> None:
        """Nothing stands against anybody."""

    async def met(self, said: Introduction) -> None:
        """Remember nobody."""

    async def goodbye(self, host: str) -> None:
        """Miss nobody."""

    def refused(self, *said: object) -> None:
        """Be sorry."""
        raise AssertionError(said)


@dataclass(frozen=True)
class Reading:
    """A way to read bodies."""

    form: str
    how: str
    bodies: Sequence[bytes]
    samples: int
    read: Callable[[bytes], object]
    """Reads one; what it returns is awaited where it can be."""
    taker: _Nobody | None = None
    """Who is given the frames, where what reads returns none."""


def decoded(runs: int) -> list[Decoded]:
    """Every form, median of so many runs in turns."""
    return asyncio.run(_decoded(runs))


async def _decoded(runs: int) -> list[Decoded]:
    readings = [*_pushes(), *_written(), *_otlp(), *_text()]
    found: list[list[float]] = [[] for _ in readings]
    for number in range(runs + 1):
        for reading, rates in zip(readings, found, strict=True):
            seconds = await _pass(reading)
            if number:  # in the first one series are met
                rates.append(seconds)
            elif reading.taker is not None and not reading.taker.frames:
                raise RuntimeError(f"{reading.form}: nothing was taken")
    return [
        Decoded(
            reading.form,
            reading.how,
            reading.samples / statistics.median(seconds) / 1e6,
            statistics.median(seconds) * 1e6,
            reading.samples,
            len(reading.bodies[0]),
        )
        for reading, seconds in zip(readings, found, strict=True)
    ]


async def _pass(reading: Reading) -> float:
    """Processor seconds of a body."""
    read, count = reading.read, 0
    began = time.process_time()
    while (spent := time.process_time() - began) < LEAST_SECONDS or not count:
        for body in reading.bodies:
            made = read(body)
            if isinstance(made, Awaitable):
                await made
        count += len(reading.bodies)
    return spent / count


def _documents(frames: int) -> tuple[list[bytes], Columns]:
    texts = hosts.keys(SERIES)
    count = FLEET if frames == 1 else BATCHES
    values = hosts.Values(count, texts)
    names, everybody = [named(number) for number in range(count)], np.arange(count)
    now = time.time()
    if frames == 1:
        documents = Documents(names, ["boot"] * count, texts)
        rows = values.next(everybody)
        packed = documents.packed(everybody, everybody, np.full(count, now), now, rows)
        return [row.tobytes() for row in packed], Columns.of(texts)
    rows_of = [values.next(everybody) for _ in range(frames)]
    digest = Schema(texts).digest
    return [
        msgspec.msgpack.encode(
            {
                "host": name,
                "agent": f"bench-{name}",
                "boot_id": "boot",
                "seq": number,
                "sent": now,
                "schema": digest,
                "frames": [
                    {"at": now - frames + place, "values": rows[number].tolist()}
                    for place, rows in enumerate(rows_of)
                ],
            }
        )
        for number, name in enumerate(names)
    ], Columns.of(texts)


def _pushes() -> Iterator[Reading]:
    for frames in (1, BATCH):
        packed, columns = _documents(frames)
        spelled = [json.dumps(msgspec.msgpack.decode(body)).encode() for body in packed]
        samples = frames * SERIES
        what = "a frame" if frames == 1 else f"{frames} frames"

        def parse(body: bytes, columns: Columns = columns) -> object:
            return push.parse(body, lambda _, __: columns, time.time(), is_packed=True)

        def parse_spelled(body: bytes, columns: Columns = columns) -> object:
            return push.parse(body, lambda _, __: columns, time.time())

        def bare(body: bytes) -> object:
            found = msgspec.msgpack.decode(body)["frames"]
            return [array("d", each["values"]) for each in found]

        def bare_spelled(body: bytes) -> object:
            return [array("d", each["values"]) for each in json.loads(body)["frames"]]

        form = f"native MessagePack, {what}"
        yield Reading(form, "ours", packed, samples, parse)
        if frames == 1:
            nobody = _Nobody()
            take = _intake(packed, nobody)
            yield Reading(form, "ours, and through the intake", packed, samples, take, nobody)
        yield Reading(form, "msgspec and array", packed, samples, bare)
        form = f"native JSON, {what}"
        yield Reading(form, "ours", spelled, samples, parse_spelled)
        yield Reading(form, "json and array", spelled, samples, bare_spelled)


def _intake(bodies: Sequence[bytes], nobody: _Nobody) -> Callable[[bytes], object]:
    """Takes documents as the server does, each as a new one of a sender that is known."""
    clock = [time.time()]
    intake = Intake(nobody.accept, nobody, lambda: clock[0])
    documents = {body: _numbered(body) for body in bodies}
    number = [1]

    async def take(body: bytes) -> None:
        head, tail, first = documents[body]
        if first is not None:
            documents[body] = head, tail, None
            await intake.push(first, is_packed=True)
        number[0] += 1
        numbered = head + number[0].to_bytes(8, "big") + tail
        await intake.push(numbered, is_packed=True)

    return take


def _numbered(body: bytes) -> tuple[bytes, bytes, bytes | None]:
    """A document before and after its number, and one that brings the KEYs."""
    head, mark, tail = body.partition(b"\xa3seq\xcf")
    told = msgspec.msgpack.decode(body)
    first = {**told, "schema": list(hosts.keys(SERIES)), "seq": 1}
    return head + mark, tail[8:], msgspec.msgpack.encode(first)


def _lanes() -> Lanes:
    return Lanes(Load(ENDLESS_BYTES))


def _written() -> Iterator[Reading]:
    nobody, start = _Nobody(), int(time.time()) - 10
    for form, labels in (
        ("remote write, 6 labels", None),
        ("remote write, node_exporter's names", node_exporters),
    ):
        requests = Requests(SERIES_A_REQUEST, labels)
        bodies = [requests.made(float(start + second))[0] for second in range(20)]
        ours = RemoteWrite(_lanes(), nobody.take, nobody, time.time, lambda _: 0.0)
        yield Reading(form, "ours", bodies, SERIES_A_REQUEST, ours.write, nobody)


def _otlp() -> Iterator[Reading]:
    nobody = _Nobody()
    bodies = [_export(second) for second in range(5)]
    ours = Otlp(_lanes(), nobody.take, nobody, time.time, lambda _: 0.0)
    samples = OTLP_FLEET * SERIES

    def export(body: bytes) -> object:
        return ours.export(body, is_json=False)

    yield Reading("OTLP protobuf", "ours", bodies, samples, export, nobody)
    only = ExportMetricsServiceRequest.FromString
    yield Reading("OTLP protobuf", "protobuf, message alone", bodies, samples, only)


def _export(second: int) -> bytes:
    """A request as the Collector's hostmetrics receiver would send it, of some hosts."""
    texts = hosts.keys(SERIES)
    values = hosts.Values(OTLP_FLEET, texts, second).next(np.arange(OTLP_FLEET))
    request = ExportMetricsServiceRequest()
    at = (int(time.time()) - 10 + second) * 10**9
    for number in range(OTLP_FLEET):
        found = request.resource_metrics.add()
        name = found.resource.attributes.add(key="host.name")
        name.value.string_value = named(number)
        scope = found.scope_metrics.add()
        metrics: dict[str, Any] = {}
        for text, value in zip(texts, values[number].tolist(), strict=True):
            series = SeriesKey.parse(text)
            metric = metrics.get(series.name) or scope.metrics.add(name=series.name)
            metrics[series.name] = metric
            if is_counter(series.name):
                metric.sum.is_monotonic = True
                metric.sum.aggregation_temporality = CUMULATIVE
                points = metric.sum.data_points
            else:
                points = metric.gauge.data_points
            point = points.add(time_unix_nano=at, as_double=value)
            for attribute, said in series.attributes:
                point.attributes.add(key=attribute).value.string_value = said
    encoded: bytes = request.SerializeToString()
    return encoded


def _text() -> Iterator[Reading]:
    count = 1_000
    texts = hosts.keys(SERIES)
    names = [SeriesKey.parse(text) for text in texts]
    bodies = []
    values = hosts.Values(1, tuple(f'm{{n="{number}"}}' for number in range(count)))
    for _ in range(10):
        row = values.next(np.zeros(1, np.intp))[0].tolist()
        lines = []
        for number, value in enumerate(row):
            series = names[number % SERIES]
            name = f"{series.name.replace('.', '_')}_{number // SERIES}"
            labels = ",".join(f'{key}="{said}"' for key, said in series.attributes)
            if not series.attributes:
                lines.append(f"# HELP {name} What is counted here.\n# TYPE {name} gauge")
            lines.append(f"{name}{{{labels}}} {value!r}" if labels else f"{name} {value!r}")
        bodies.append(("\n".join(lines) + "\n").encode())
    warm = Exposition()

    def read(body: bytes) -> object:
        return warm.read(body, Format.TEXT)

    def cold(body: bytes) -> object:
        return Exposition().read(body, Format.TEXT)

    def peer(body: bytes) -> object:
        return list(text_string_to_metric_families(body.decode()))

    yield Reading("Prometheus text", "ours, series known", bodies, count, read)
    yield Reading("Prometheus text", "ours, series new", bodies, count, cold)
    yield Reading("Prometheus text", "prometheus-client", bodies, count, peer)
