"""``POST /v1/metrics`` on a running server: what it takes, what it refuses, what it leaves."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import cramjam
import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from monitor.access.tokens import Wish
from monitor.core.access import Role, TokenKind
from monitor.core.load import Seen
from monitor.errors import Unavailable
from monitor.ingest.otlp import MOST_BYTES, MOST_RESOURCES
from monitor.web.app import create_app
from tests.ingest.hostmetrics import DELTA, Request, machine
from tests.serving import Server
from tests.web import raw
from tests.web.calling import Answer, Caller
from tests.web.house import ROOT, PeopledRig

PATH = "/v1/metrics"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


def send(
    running: Server, body: bytes, *lines: str, media: str = PROTOBUF, path: str = PATH
) -> raw.Answer:
    """Send a body as it is, on a connection of its own."""
    sent = "".join(f"{line}\r\n" for line in (f"Content-Type: {media}", *lines))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{sent}\r\n"
    return raw.send(running.url, head.encode() + body)


def refused(answer: raw.Answer, status: int, code: str) -> None:
    """An answer must be this problem, and no fault of ours."""
    assert (answer.status, answer.json()["code"]) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"Traceback" not in answer.body


def one(host: str, at: float, **values: float) -> Request:
    made = Request(at, host__name=host)
    for name, value in values.items():
        made.add(name, value, gauge=True)
    return made


def metrics_of(running: Server, host: str) -> dict[str, float]:
    found: dict[str, float] = raw.get(running.url, f"/api/v1/hosts/{host}").json()["metrics"]
    return found


def test_the_collector_has_a_page_like_an_agents_host(running: Server) -> None:
    now = time.time()
    for step in (0, 1):
        request = machine(now - 10 + 10 * step, 2.5 * step, 7.5 * step)
        answer = send(running, request.encoded())
        assert (answer.status, answer.headers["content-type"]) == (200, PROTOBUF)
        assert answer.body == b""
    metrics = metrics_of(running, "otel-1")
    assert metrics["system.cpu.utilization"] == pytest.approx(0.25)
    assert metrics['system.network.io{direction="receive",interface="eth0"}'] == pytest.approx(
        1000, rel=0.01
    )
    page = raw.get(running.url, "/hosts/otel-1").body.decode()
    for word in ("37.5", "/data", "eth0", "sda", "25"):
        assert word in page
    assert "/run" not in page
    assert raw.get(running.url, "/api/v1/hosts/otel-1").json()["info"]["os"] == "linux"


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("media", [PROTOBUF, JSON, "application/json; charset=utf-8"])
def test_both_forms_are_taken_and_answered_in_their_own(
    running: Server, media: str, coding: str
) -> None:
    is_json = media.startswith(JSON)
    request = one(f"{'json' if is_json else 'packed'}-{coding}", time.time(), n=5)
    request.add("rejected", 1, temporality=DELTA)
    body = request.encoded()
    if is_json:
        body = json_format.MessageToJson(request.message).encode()
    if coding == "gzip":
        body = gzip.compress(body, mtime=0)
    elif coding == "zstd":
        body = bytes(memoryview(cramjam.zstd.compress(body)))
    lines = () if coding == "identity" else (f"Content-Encoding: {coding}",)
    answer = send(running, body, *lines, media=media)
    assert answer.status == 200
    if is_json:
        assert answer.headers["content-type"] == JSON
        said = json.loads(answer.body)["partialSuccess"]
        assert said["rejectedDataPoints"] == "1"
        message = said["errorMessage"]
    else:
        assert answer.headers["content-type"] == PROTOBUF
        found = ExportMetricsServiceResponse.FromString(answer.body)
        assert found.partial_success.rejected_data_points == 1
        message = found.partial_success.error_message
    assert "delta temporality" in message
    assert metrics_of(running, f"{'json' if is_json else 'packed'}-{coding}") == {"n": 5}


@pytest.mark.parametrize(
    ("body", "lines", "media", "status", "code"),
    [
        (b"", (), "text/plain", 415, "unsupported_media_type"),
        (b"", (), "application/grpc", 415, "unsupported_media_type"),
        (b"", ("Content-Encoding: br",), PROTOBUF, 415, "unsupported_encoding"),
        (b"\x0a\x05abc", (), PROTOBUF, 400, "bad_protobuf"),
        (b"{", (), JSON, 400, "bad_json"),
        (b"\x1f\x8b no", ("Content-Encoding: gzip",), PROTOBUF, 400, "bad_gzip"),
        (
            gzip.compress(b"\0" * (MOST_BYTES + 1), mtime=0),
            ("Content-Encoding: gzip",),
            PROTOBUF,
            413,
            "inflated_too_large",
        ),
        (b"\x0a\x00" * (MOST_RESOURCES + 1), (), PROTOBUF, 413, "too_many_resources"),
    ],
    ids=range(8),
)
def test_what_is_no_request_leaves_nothing_and_the_server_well(
    running: Server, body: bytes, lines: tuple[str, ...], media: str, status: int, code: str
) -> None:
    refused(send(running, body, *lines, media=media), status, code)
    assert send(running, one("well", time.time(), n=1).encoded()).status == 200


def test_nested_values_are_refused(running: Server) -> None:
    nested = b""
    for _ in range(1_000):
        inner = b"\x0a" + _length(nested) + nested  # an array's value
        nested = b"\x2a" + _length(inner) + inner  # a value that is an array
    pair = b"\x0a\x01a\x12" + _length(nested) + nested
    resource = b"\x0a" + _length(pair) + pair
    metrics = b"\x0a" + _length(resource) + resource
    refused(send(running, b"\x0a" + _length(metrics) + metrics), 400, "bad_protobuf")


def _length(content: bytes) -> bytes:
    number, found = len(content), bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_other_signals_are_not_here(running: Server, signal: str) -> None:
    refused(send(running, b"{}", media=JSON, path=f"/v1/{signal}"), 404, "signal_not_supported")


def test_the_same_again_changes_nothing(running: Server) -> None:
    at = time.time()
    for _ in range(2):
        assert send(running, one("again", at, n=3).encoded()).status == 200
    target = "/api/v1/history?host=again&metric=n&start=-1m&points=300"
    (series,) = raw.get(running.url, target).json()["series"]
    assert [value for value in series["avg"] if value is not None] == [3]


# Rights, and a server in trouble


@pytest.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    made = PeopledRig("main")
    await made.hub.start()
    yield made
    await made.hub.stop()


async def ask(rig: PeopledRig, body: bytes, token: str = "") -> Answer:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return await Caller(create_app(rig.services), headers)(
        "POST", PATH, body, content_type=PROTOBUF
    )


async def test_tokens_write_their_own_hosts(rig: PeopledRig) -> None:
    await rig.person("ann", Role.ADMIN)
    ingest, _ = await rig.office.tokens.create(ROOT, Wish(TokenKind.INGEST, ("web-*",)))
    now = rig.services.clock()
    web, db = one("web-1", now, n=1), one("db-1", now, n=1)
    assert (await ask(rig, web.encoded())).status == 401
    assert (await ask(rig, web.encoded(), ingest)).status == 200
    assert (await ask(rig, db.encoded(), ingest)).status == 403
    web.message.MergeFrom(db.message)
    mixed = await ask(rig, web.encoded(), ingest)
    found = ExportMetricsServiceResponse.FromString(mixed.body)
    assert (mixed.status, found.partial_success.rejected_data_points) == (200, 1)
    assert "db-1" not in rig.services.state.hosts


async def test_a_busy_server_is_asked_again(rig: PeopledRig) -> None:
    load = rig.services.load
    for share in (0.99, 0.82):
        load.update(Seen(int(load.most_memory_bytes * share), 0.0), 1e9)
        answer = await ask(rig, one("web-1", rig.services.clock(), n=1).encoded())
        assert (answer.status, answer.json()["code"]) == (429, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        load.level = load.level.NOTHING


@pytest.mark.parametrize(
    "error", [Unavailable("full", code="disk_full", status=507), OSError("broken")]
)
async def test_a_store_in_trouble_is_a_503(
    rig: PeopledRig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(rig.services.intake, "_accept", fail)
    answer = await ask(rig, one("web-1", rig.services.clock(), n=1).encoded())
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
