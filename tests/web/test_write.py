"""``POST /api/v1/write`` on a running server: what it takes, what it refuses, what it leaves."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from monitor.access.tokens import Wish
from monitor.core.access import Role, TokenKind
from monitor.core.load import Seen
from monitor.errors import Unavailable
from monitor.model import key
from monitor.web.app import create_app
from tests.ingest import requests_written as made
from tests.ingest.test_remote_write import NO_REQUESTS
from tests.serving import Server
from tests.web import raw
from tests.web.calling import Answer, Caller
from tests.web.house import ROOT, PeopledRig

PATH = "/api/v1/write"
TYPE, CODING = "Content-Type: application/x-protobuf", "Content-Encoding: snappy"
WRITTEN = "x-prometheus-remote-write-samples-written"
OWN = socket.gethostname()


def write(running: Server, body: bytes, *lines: str, method: str = "POST") -> raw.Answer:
    """Send a body as it is, on a connection of its own."""
    sent = "".join(f"{line}\r\n" for line in (lines or (TYPE, CODING)))
    head = (
        f"{method} {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{sent}\r\n"
    )
    return raw.send(running.url, head.encode() + body)


def series(running: Server, *found: bytes) -> raw.Answer:
    return write(running, made.snappy(made.request(*found)))


def refused(answer: raw.Answer, status: int, code: str) -> dict[str, Any]:
    """An answer must be this problem, and no fault of ours."""
    assert (answer.status, answer.json()["code"]) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"Traceback" not in answer.body
    found: dict[str, Any] = answer.json()
    return found


def history(running: Server, host: str, text: str) -> list[float]:
    """Every value of a series that is kept, by instant."""
    target = f"/api/v1/history?host={host}&metric={text}&start=-1m&points=300"
    (found,) = raw.get(running.url, target).json()["series"]
    return [value for value in found["avg"] if value is not None]


def metrics_of(running: Server, host: str) -> dict[str, float]:
    found: dict[str, float] = raw.get(running.url, f"/api/v1/hosts/{host}").json()["metrics"]
    return found


def test_samples_are_there_when_it_is_answered(running: Server) -> None:
    now = time.time()
    answer = series(running, *made.of_host("written-1", {"queue_length": 7}, now))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers[WRITTEN] == "1"
    assert metrics_of(running, "written-1") == {key("queue_length", job="app"): 7}
    assert history(running, "written-1", "queue_length") == [7]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((CODING,), "unsupported_media_type"),
        (("Content-Type: application/json", CODING), "unsupported_media_type"),
        (
            (f"{TYPE};proto=io.prometheus.write.v2.Request", CODING),
            "unsupported_media_type",
        ),
        ((TYPE, TYPE, CODING), "unsupported_media_type"),
        ((TYPE,), "unsupported_encoding"),
        ((TYPE, "Content-Encoding: gzip"), "unsupported_encoding"),
        ((TYPE, "Content-Encoding: snappy, snappy"), "unsupported_encoding"),
    ],
)
def test_the_first_version_is_taken_and_no_other(
    running: Server, lines: tuple[str, ...], code: str
) -> None:
    body = made.snappy(made.request(*made.of_host("refused-1", {"n": 1}, time.time())))
    answer = write(running, body, *lines)
    refused(answer, 415, code)
    assert answer.headers["accept-encoding"] == "snappy"
    assert raw.get(running.url, "/api/v1/hosts/refused-1").status == 404


def test_the_first_version_may_be_named(running: Server) -> None:
    body = made.snappy(made.request(*made.of_host("named", {"n": 1}, time.time())))
    named = 'Content-Type: application/x-protobuf; proto="prometheus.WriteRequest"'
    assert write(running, body, named, CODING).status == 204


@pytest.mark.parametrize(
    ("body", "code", "status"),
    NO_REQUESTS,
    ids=[f"{code}-{number}" for number, (_, code, _) in enumerate(NO_REQUESTS)],
)
def test_what_is_no_request_leaves_nothing_and_the_server_well(
    running: Server, body: bytes, code: str, status: int
) -> None:
    answer = write(running, body)
    refused(answer, status, code)
    assert answer.headers[WRITTEN] == "0"
    assert series(running, *made.of_host("well", {"n": 1}, time.time())).status == 204


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_is_taken(running: Server, method: str) -> None:
    answer = write(running, b"", method=method)
    assert (answer.status, answer.headers.get("allow")) == (405, "POST")


def test_what_is_wrong_is_said_and_the_others_are_stored_again_and_again(running: Server) -> None:
    now = time.time()
    found = [
        *made.of_host("partial", {"good": 1, "fine": 2}, now),
        made.series({"__name__": "nobodys"}, (1, now)),
        *made.of_host("partial", {"old": 1}, now - 10 * 365 * 86_400),
        *made.of_host("partial", {"ahead": 1}, now + 3_600),
        *made.of_host(OWN, {"n": 1}, now),
    ]
    for _ in range(2):
        answer = series(running, *found)
        problem = refused(answer, 400, "no_host")
        assert answer.headers[WRITTEN] == "2"
        for code in ("no_host 1", "too_old 1", "bad_time 1", "host_taken 1"):
            assert code in problem["detail"]
    assert history(running, "partial", "good") == [1]
    assert metrics_of(running, "partial").keys() == {
        key("good", job="app"),
        key("fine", job="app"),
    }
    assert "n" not in str(metrics_of(running, OWN).keys() & {key("n", job="app")})


def test_out_of_order_is_merged_and_the_first_value_stands(running: Server) -> None:
    now = math.floor(time.time())
    for value, at in ((3, now), (1, now - 20), (2, now - 10), (9, now - 10)):
        assert series(running, *made.of_host("merged", {"n": value}, at)).status == 204
    assert history(running, "merged", "n") == [1, 2, 3]


def test_a_series_that_has_ended_is_shown_no_longer(running: Server) -> None:
    now = time.time()
    series(running, *made.of_host("ending", {"n": 1, "m": 1}, now - 5))
    assert metrics_of(running, "ending").keys() == {key("n", job="app"), key("m", job="app")}
    series(running, *made.of_host("ending", {"n": made.STALE, "m": 2}, now))
    assert metrics_of(running, "ending") == {key("m", job="app"): 2}
    assert history(running, "ending", "n") == [1]


def test_many_at_once_lose_nothing(running: Server) -> None:
    now = math.floor(time.time())

    def shard(number: int) -> list[int]:
        return [
            series(
                running, *made.of_host(f"shard-{number % 3}", {f"n{number}": step}, now - 10 + step)
            ).status
            for step in range(10)
        ]

    with ThreadPoolExecutor(12) as threads:
        assert all(status == 204 for shard in threads.map(shard, range(12)) for status in shard)
    for number in range(12):
        assert history(running, f"shard-{number % 3}", f"n{number}") == list(range(10))


def test_a_node_exporter_has_a_page_like_an_agents_host(running: Server) -> None:
    now = math.floor(time.time())
    for step in (0, 1):
        at = now - 15 + 15 * step
        found = {"instance": "node-1:9100", "job": "node"}
        sent = [
            made.series({"__name__": name, **more, **found}, (value, at))
            for name, more, value in (
                ("node_cpu_seconds_total", {"cpu": "0", "mode": "user"}, 5.0 * step),
                ("node_cpu_seconds_total", {"cpu": "0", "mode": "idle"}, 10.0 * step),
                ("node_memory_MemTotal_bytes", {}, 8e9),
                ("node_memory_MemAvailable_bytes", {}, 2e9),
            )
        ]
        assert series(running, *sent).status == 204
    metrics = metrics_of(running, "node-1")
    assert metrics["system.cpu.utilization"] == pytest.approx(1 / 3)
    assert metrics["system.memory.utilization"] == pytest.approx(0.75)
    assert "33.3" in raw.get(running.url, "/hosts/node-1").body.decode()


def test_what_became_of_samples_is_counted(running: Server) -> None:
    series(
        running,
        *made.of_host("counted", {"n": 1}, time.time()),
        made.series({"__name__": "n"}, (1, 1)),
    )
    text = raw.get(running.url, "/metrics").body.decode()
    assert 'monitor_gathered_samples_total{protocol="remote_write",outcome="no_host"}' in text
    assert 'monitor_gathered_samples_total{protocol="remote_write",outcome="written"}' in text


# Rights, and a server in trouble


@pytest.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    made_rig = PeopledRig("main")
    await made_rig.hub.start()
    yield made_rig
    await made_rig.hub.stop()


HEADERS = {"content-encoding": "snappy"}


async def ask(rig: PeopledRig, *found: bytes, token: str = "") -> Answer:
    headers = HEADERS | ({"authorization": f"Bearer {token}"} if token else {})
    caller = Caller(create_app(rig.services), headers)
    body = made.snappy(made.request(*found))
    return await caller("POST", PATH, body, content_type="application/x-protobuf")


async def test_tokens_write_their_own_hosts(rig: PeopledRig) -> None:
    await rig.person("ann", Role.ADMIN)
    ingest, _ = await rig.office.tokens.create(ROOT, Wish(TokenKind.INGEST, ("web-*",)))
    agent, _ = await rig.office.tokens.create(ROOT, Wish(TokenKind.AGENT, ("web-7",)))
    now = rig.services.clock()
    web, db = (list(made.of_host(host, {"n": 1}, now)) for host in ("web-1", "db-1"))
    assert (await ask(rig, *web)).status == 401
    assert (await ask(rig, *web, token=ingest)).status == 204
    assert (await ask(rig, *web, token=agent)).status == 403
    assert (await ask(rig, *db, token=ingest)).status == 403
    mixed = await ask(rig, *web, *db, token=ingest)
    assert (mixed.status, mixed.headers[WRITTEN]) == (400, "1")
    assert "db-1" not in rig.services.state.hosts


async def test_a_busy_server_is_asked_again(rig: PeopledRig) -> None:
    now = rig.services.clock()
    load = rig.services.load
    for share in (0.99, 0.82):
        load.update(Seen(int(load.most_memory_bytes * share), 0.0), 1e9)
        answer = await ask(rig, *made.of_host("web-1", {"n": 1}, now))
        assert (answer.status, answer.json()["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        load.level = load.level.NOTHING
    assert (await ask(rig, *made.of_host("web-1", {"n": 1}, now))).status == 204


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("full", code="disk_full", status=507),
        Unavailable("slow", code="busy"),
        OSError("broken"),
    ],
)
async def test_a_store_in_trouble_is_a_503(
    rig: PeopledRig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(rig.services.intake, "_accept", fail)
    answer = await ask(rig, *made.of_host("web-1", {"n": 1}, rig.services.clock()))
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert b"broken" not in answer.body
