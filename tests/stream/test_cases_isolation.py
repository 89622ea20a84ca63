"""Who hears what, and who is let in (STREAM section 5, cases 27 to 33)."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.errors import Unavailable
from monitor.stream.reader import SSEClient
from monitor.web.config import Limits
from tests.browser.rig import Rig
from tests.conftest import StartServer
from tests.stream.making import alert, at_once, eventually, happen, host_update, notice
from tests.stream.reading import PATH, Block, Reader, Stream, close_all, stream
from tests.web import raw

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

UPGRADE = (
    f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
).encode()


async def exchanged(rig: Rig, sent: bytes) -> bytes:
    """What comes back first."""
    reader, writer = await asyncio.open_connection(*rig.url.removeprefix("http://").split(":"))
    try:
        writer.write(sent)
        return await asyncio.wait_for(reader.read(65_536), 5)
    finally:
        writer.transport.abort()


async def test_case_27_h2c_is_refused_by_prior_knowledge_and_by_upgrade(rig: Rig) -> None:
    answer = await exchanged(rig, PREFACE)
    assert answer.startswith((b"HTTP/1.1 505 ", b"HTTP/1.1 400 ")), answer
    answer = await exchanged(rig, UPGRADE)
    assert answer.startswith(b"HTTP/1.1 200 "), answer  # an upgrade may be ignored (RFC 9110)
    assert b"upgrade:" not in answer.lower()
    assert b"text/event-stream" in answer
    await eventually(lambda: rig.hub.client_count == 0)


async def test_case_28_what_nobody_listens_to_is_delivered_to_nobody(rig: Rig) -> None:
    reader = await Reader.open(rig.url, stream("approvals", "host:web-2"))
    await reader.messages(2)  # connected, and the host's state
    came = await rig.log.last()
    await eventually(lambda: rig.hub.counters.events_total == came)
    writes = rig.hub.counters.writes_total
    await happen(rig, *(alert() for _ in range(50)), *(notice("x") for _ in range(50)))
    await happen(rig, *(host_update("web-1") for _ in range(50)))
    await rig.send({"metric": 1.0}, host="web-1")
    assert await rig.hub.publish(alert(), topic="terminal:nobody") == came + 151
    await eventually(lambda: rig.hub.counters.events_total == came + 151)
    await asyncio.sleep(0.2)
    assert rig.hub.counters.writes_total == writes
    with pytest.raises(TimeoutError):
        await reader.block(0.1)


@pytest.mark.parametrize(
    ("topics", "status", "code"),
    [
        ("host:web-3", 404, "unknown_host"),
        ("fleet,host:web-3", 404, "unknown_host"),
        ("terminal:abc", 404, "unknown_session"),
        ("nonsense", 400, "unknown_topic"),
        ("host", 400, "unknown_topic"),
        ("host:", 400, "unknown_topic"),
        ("host:a/b", 400, "unknown_topic"),
        ("host:%0d%0a", 400, "unknown_topic"),
        ("terminal:%00", 400, "unknown_topic"),
        ("Fleet", 400, "unknown_topic"),
        ("*", 400, "unknown_topic"),
        ("fleet,", 400, "unknown_topic"),
        ("", 400, "unknown_topic"),
    ],
)
async def test_case_29_a_topic_that_is_not_to_be_had_is_refused_before_the_stream_opens(
    rig: Rig, topics: str, status: int, code: str
) -> None:
    """It must be 404 for a host that one does not see, and 400 for no topic at all.

    403, for a kind of topic that one may not read, comes with accounts.
    """
    for query in ({}, {"follow": "0"}, {"last_event_id": "x"}):
        reader = await Reader.open(rig.url, stream(topics, **query))
        assert reader.status == status
        assert reader.headers["content-type"] == "application/problem+json"
        problem = json.loads(await reader.body())
        assert (problem["code"], problem["field"]) == (code, "topics")
        assert len(json.dumps(problem)) < 500
    assert rig.hub.client_count == 0


async def test_case_31_nothing_leaks_but_the_logs_position(rig: Rig) -> None:
    """It must be that neither counts nor a reader's id within the server can be read."""
    readers = await at_once(
        *(Reader.open(rig.url, stream("alerts", heartbeat="event")) for _ in range(7))
    )
    clients: tuple[SSEClient, ...] = rig.hub._delivery.crowd.clients()
    for reader in readers:
        found = await reader.message()
        assert set(found.data) == {"topics", "position", "timestamp", "event_id"}
        assert {name for name, _ in found.fields} == {"event", "id", "data"}
        assert not {client.id for client in clients} & {found.data["event_id"]}
        assert set(reader.headers) <= {
            "content-type",
            "cache-control",
            "x-accel-buffering",
            "vary",
            "connection",
            "transfer-encoding",
            "date",
            "content-security-policy",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
            "permissions-policy",
        }
    gap = await Reader.open(rig.url, stream("alerts"), last_event_id="x")
    assert set((await gap.message()).data["gap"]) == {"from", "to"}
    await rig.hub.stop()
    for reader in readers:
        (farewell,) = await reader.rest()
        assert set(farewell.data) == {"reason", "timestamp", "event_id"}


async def test_case_32_head_is_answered_at_once_and_makes_no_reader(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection(*rig.url.removeprefix("http://").split(":"))
    writer.write(f"HEAD {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 2)  # to the end of the connection
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-type: text/event-stream" in head.lower()
    assert b"cache-control: no-cache, no-transform" in head.lower()
    assert body == b""
    assert rig.hub.client_count == 0
    assert rig.hub.counters.writes_total == 0
    writer.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_case_32_other_methods_are_not_allowed(rig: Rig, method: str) -> None:
    request = f"{method} {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    answer = (await exchanged(rig, request.encode())).lower()
    assert answer.startswith(b"http/1.1 405 ")
    assert b"\r\nallow: get, head\r\n" in answer
    assert b"application/problem+json" in answer
    assert rig.hub.client_count == 0


def test_case_33_an_address_has_only_so_many_streams(
    start_server: StartServer, tmp_path: Path
) -> None:
    """It must be 429 to a script, and to a browser a 200 that ends and says when to come back.

    A browser's EventSource gives up for ever on anything else.
    """
    config = tmp_path / "config.toml"
    config.write_text("[server]\nmax_connections_per_address = 3\n")
    server = start_server("--config", str(config))
    streams = [Stream(server.url, stream("alerts")) for _ in range(3)]
    assert [next(each.messages())[0] for each in streams] == ["connected"] * 3
    answer = raw.get(server.url, stream("alerts"))
    assert answer.status == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    problem = answer.json()
    assert (problem["code"], problem["limit"]) == ("too_many_streams", 3)
    require_busy(raw.get(server.url, stream("alerts"), sec_fetch_mode="cors"))
    require_busy(raw.get(server.url, stream("alerts"), user_agent="Mozilla/5.0"))
    assert raw.get(server.url, "/healthz").status == 200
    assert raw.get(server.url, stream("alerts", follow="0")).status == 200
    streams.pop().close()
    again = until_open(server.url)
    for each in [*streams, again]:
        each.close()


def until_open(url: str) -> Stream:
    """A stream, as soon as there is room for one."""
    for _ in range(100):
        opened = Stream(url, stream("alerts"))
        if opened.status == 200:
            return opened
        opened.close()
        time.sleep(0.05)  # what was refused is a connection too, until it is closed
    raise AssertionError("there was never room again")


def require_busy(answer: raw.Answer) -> None:
    """It must be a whole event stream that says nothing but when to come back."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert len(answer.body) == int(answer.headers["content-length"])
    (block,) = [Block.parsed(each) for each in answer.body.decode().split("\n\n") if each]
    assert 5_000 <= block.retry <= 30_000
    assert len(block.fields) == 1


async def test_case_33_so_has_the_server_altogether() -> None:
    rig = Rig("web-1")
    rig.services = replace(rig.services, limits=Limits(most_connections=4))
    async with rig.serving():
        readers = await at_once(*(Reader.open(rig.url, stream("alerts")) for _ in range(4)))
        for reader in readers:
            assert (await reader.message()).type == "connected"
        refused = await Reader.open(rig.url, stream("alerts"))
        assert refused.status in {429, 503}
        assert int(refused.headers["retry-after"]) > 0
        assert json.loads(await refused.body())["limit"] == 4
        refused.close()
        browser = await Reader.open(rig.url, stream("alerts"), sec_fetch_mode="cors")
        assert browser.status == 200
        assert 5_000 <= Block.parsed((await browser.body()).decode().strip()).retry <= 30_000
        assert rig.hub.counters.refusals_total == 2
        assert rig.hub.client_count == 4
        await close_all()


async def test_case_33_a_crowd_that_comes_at_once_finds_no_more_places_than_there_are() -> None:
    rig = Rig("web-1")
    rig.services = replace(rig.services, limits=Limits(most_connections=100, most_per_address=5))
    async with rig.serving():
        here = f"{rig.log.epoch}-0"
        readers = await at_once(
            *(Reader.open(rig.url, stream("alerts"), last_event_id=here) for _ in range(40))
        )
        statuses = [reader.status for reader in readers]
        assert (statuses.count(200), statuses.count(429)) == (5, 35)
        for reader in readers:
            reader.close()
        await eventually(lambda: rig.hub.client_count == 0)
        again = await Reader.open(rig.url, stream("alerts"))
        assert (await again.message()).type == "connected"
        await close_all()


async def test_while_the_log_is_busy_a_browser_is_told_to_come_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> None:
        raise Unavailable("too many wait for the log", code="log_busy")

    monkeypatch.setattr(rig.log, "read", busy)
    here = f"{rig.log.epoch}-0"
    script = await Reader.open(rig.url, stream("alerts"), last_event_id=here)
    assert script.status == 503
    assert int(script.headers["retry-after"]) > 0
    browser = await Reader.open(
        rig.url, stream("alerts"), last_event_id=here, sec_fetch_mode="cors"
    )
    assert browser.status == 200
    assert 5_000 <= Block.parsed((await browser.body()).decode().strip()).retry <= 30_000
    polled = await Reader.open(
        rig.url, stream("alerts", follow="0"), last_event_id=here, sec_fetch_mode="cors"
    )
    assert polled.status == 503
    monkeypatch.undo()
    reader = await Reader.open(rig.url, stream("alerts"), last_event_id=here)
    assert (await reader.message()).type == "connected"


@pytest.mark.parametrize("target", ["/healthz", stream("alerts", follow="0"), stream("nonsense")])
async def test_case_33_a_connection_that_its_peer_has_closed_counts_no_longer(
    rig: Rig, target: str
) -> None:
    """It must be so at once, though the server would have taken another request on it."""
    readers = await at_once(*(Reader.open(rig.url, target) for _ in range(10)))
    for reader in readers:
        await reader.body()
        reader.writer.close()
    await eventually(lambda: len(rig.services.connections) == 0, 1.0)
