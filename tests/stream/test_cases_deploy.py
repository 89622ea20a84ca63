"""Time and deployment (STREAM section 5, cases 34 to 36 and 39), and case 12 with the real clock.

What asks for ten minutes there is shorter here, by as much as still fails for the same reason;
all that must simply wait does so at the same time, in one test.
"""

from __future__ import annotations

import asyncio
import re
import signal
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import hypercorn.config
import pytest
import quart

from monitor.stream import hub as hub_module
from tests import nginx
from tests.browser.rig import Rig
from tests.conftest import StartServer
from tests.stream.making import CPU, eventually, notices
from tests.stream.process import connections_of
from tests.stream.reading import Reader, connected_socket, request, stream

NGINX = """
server {
  listen 127.0.0.1:PORT;
  location / { proxy_pass UPSTREAM; }
}
server {
  listen 127.0.0.1:PORT;
  server_name modern;
  location / { proxy_pass UPSTREAM; proxy_http_version 1.1; proxy_set_header Connection ""; }
}
"""
"""As it comes: buffering on, reads cut after 60 s, HTTP/1.0 to what is behind it; and with 1.1."""

LONG_SECONDS = 36.0
"""Longer than two heartbeats, and than a keep-alive, a request and a response may usually take."""


async def test_case_34_a_short_response_timeout_does_not_cut_or_silence_a_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It must be that it still delivers after thrice every timeout that the platform has.

    They are 2 s here rather than 60, and the stream's 6 s stand for the ten minutes.
    """
    made: list[quart.Quart] = []
    original = quart.Quart.__init__

    def quick(self: quart.Quart, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self.config["RESPONSE_TIMEOUT"] = 2
        self.config["BODY_TIMEOUT"] = 2
        made.append(self)

    monkeypatch.setattr(quart.Quart, "__init__", quick)
    monkeypatch.setattr(hypercorn.config.Config, "keep_alive_timeout", 2)
    async with Rig("web-1").serving() as rig:
        await rig.send({CPU: 0.5})
        assert [app.config["RESPONSE_TIMEOUT"] for app in made] == [2]
        readers = [
            await Reader.open(rig.url, stream("log", "fleet"), version=version)
            for version in ("1.0", "1.1")
        ]
        for number in range(6):
            await asyncio.sleep(1)
            await notices(rig, [f"{number}"])
            await rig.send({CPU: number / 10})
        for reader in readers:
            found = await reader.messages(6, "notice")
            assert [block.data["text"] for block in found] == [f"{n}" for n in range(6)]
            reader.close()


def behind(upstream: str) -> str:
    """What nginx is told."""
    return NGINX.replace("UPSTREAM", upstream)


async def test_cases_12_34_and_36_a_stream_lives_on_directly_and_behind_nginx(
    tmp_path: Path, start_server: StartServer
) -> None:
    """It must be that nothing which a deployment has by default ends or withholds a stream.

    All of it at once: 36 s of an idle stream with the real heartbeats of 15 s, which nginx's
    limit of 60 s between two reads needs; of a busy one; and of both directly.  A stream that
    lives through two heartbeats lives through ten minutes of them: nothing else counts time.
    """
    nginx.require()
    server = start_server()
    with nginx.running(tmp_path / "nginx", behind(server.url)) as proxy:
        await asyncio.gather(
            *(
                lives(url, host, version, encoding)
                for url, host in (
                    (server.url, "localhost"),
                    (proxy.url, "localhost"),
                    (proxy.url, "modern"),
                )
                for version in ("1.0", "1.1")
                for encoding in ("identity", "gzip")
                if host != "modern" or version == "1.1"
            )
        )
        first = [await until_connected(proxy.url) for _ in range(5)]
        assert statistics.median(first) < 0.3
    await eventually(lambda: connections_of(server) <= 0)


async def until_connected(url: str) -> float:
    """How long the first event takes, in seconds."""
    began = time.monotonic()
    reader = await Reader.open(url, stream("alerts"))
    await reader.message("connected")
    reader.close()
    return time.monotonic() - began


async def lives(url: str, host: str, version: str, encoding: str) -> None:
    """A stream must be whole for a while: an idle one with heartbeats, a busy one with frames."""
    headers = {"accept_encoding": encoding, "host": host, "connection": "keep-alive"}
    idle = await Reader.open(url, stream("approvals"), version=version, **headers)  # type: ignore[arg-type]
    busy = await Reader.open(url, stream("fleet"), version=version, **headers)  # type: ignore[arg-type]
    began = time.monotonic()
    assert (await idle.message("connected")).data["topics"] == ["approvals"]
    comments: list[float] = []
    ages: list[float] = []

    async def hear_idle() -> None:
        while True:
            block = await idle.block(60)
            assert block is not None, "the stream ended"
            if not block.type:
                comments.append(time.monotonic() - began)

    async def hear_busy() -> None:
        while True:
            block = await busy.block(60)
            assert block is not None, "the stream ended"
            assert not block.is_comment
            if block.type == "metric_update":
                ages.append(time.time() - block.data["at"])

    hearing = [asyncio.create_task(hear_idle()), asyncio.create_task(hear_busy())]
    done, _ = await asyncio.wait(hearing, timeout=LONG_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
    for task in hearing:
        task.cancel()
    for task in done:
        task.result()
    waits = [after - before for before, after in zip([0.0, *comments], comments, strict=False)]
    assert len(comments) == 2, comments
    assert all(12 <= wait <= 18 for wait in waits), waits
    assert len(ages) > LONG_SECONDS / 2
    assert statistics.median(ages) < 1.5
    for reader in (idle, busy):
        reader.close()


async def test_case_35_sigterm_lets_500_say_goodbye_and_does_not_wait_for_the_stuck(
    start_server: StartServer,
) -> None:
    """It must be that healthy readers read what was queued, a ``retry:`` and a clean end.

    Three of them have not read for a while, so that what is queued is more than the kernel
    takes; they read again as soon as the server is told to stop.
    """
    server = start_server()
    target = stream("fleet", "log")
    readers = []
    for _ in range(10):
        readers += await asyncio.gather(*(Reader.open(server.url, target) for _ in range(50)))
    stuck = [connected_socket(server.url, 2_048) for _ in range(5)]
    name = (await readers[0].message("metric_update")).data["hosts"]
    everything = stream(f"host:{next(iter(name))}")
    for connection in stuck:
        connection.sendall(request(everything))
    late = [await Reader.open(server.url, everything, receive_buffer=2_048) for _ in range(3)]
    for reader in readers[1:]:
        await reader.message("metric_update")
    await asyncio.sleep(3)  # until nothing more fits between the server and who is stuck
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    endings = await asyncio.gather(*(reader.rest() for reader in [*late, *readers]))
    assert server.process.wait(5) == 0
    assert time.monotonic() - began < 5
    for blocks in endings:
        farewell = blocks[-1]
        assert (farewell.type, farewell.data["reason"]) == ("disconnected", "shutdown")
        assert farewell.retry > 0
        assert Counter(block.type for block in blocks)["disconnected"] == 1
    assert len({blocks[-1].retry for blocks in endings}) > 100
    assert all(reader.decoder.ended for reader in [*late, *readers])
    assert "Traceback" not in server.said()
    for connection in stuck:
        connection.close()
    for reader in readers:
        reader.close()


async def test_case_35_who_is_a_little_behind_reads_what_was_queued(rig: Rig) -> None:
    """It must be that a reader which reads again at once has all that was written for it."""
    came = await rig.log.last()
    reader = await Reader.open(rig.url, stream("log", "host:web-1"), receive_buffer=4_096)
    await reader.message("connected")
    await notices(rig, [f"{number}{'x' * 20_000}" for number in range(20)])
    await eventually(lambda: rig.hub._delivery.crowd.clients()[0].is_slow)
    (client,) = rig.hub._delivery.crowd.clients()
    rig._ending.set()  # as SIGTERM does
    found = await reader.rest()
    assert found[-1].type == "disconnected"
    numbers = [block.sequence for block in found if block.type == "notice"]
    assert numbers == list(range(came + 1, came + len(numbers) + 1))
    assert len(numbers) >= 3
    assert client.id


def numbers_in(text: str) -> dict[str, float]:
    """Every sample of an exposition, by its name and labels."""
    return {
        name: float(value)
        for name, value in re.findall(r"^([a-z_]+(?:\{[^}]*\})?) ([0-9.e+-]+)$", text, re.MULTILINE)
    }


async def scraped(rig: Rig) -> dict[str, float]:
    """The server's own counters, as a scraper has them."""
    async with httpx.AsyncClient(timeout=10) as client:
        answer = await client.get(f"{rig.url}/metrics")
    assert answer.status_code == 200
    return {
        name.removeprefix("monitor_stream_").removesuffix("_total"): value
        for name, value in numbers_in(answer.text).items()
        if name.startswith("monitor_stream_")
    }


async def test_case_39_the_counters_are_what_happened(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that readers, bytes, conflations, gaps, evictions and stalls are counted."""
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "STALL_SECONDS", 1.5)
    came = await rig.log.last()
    await eventually(lambda: rig.hub.counters.events_total == came)
    before = await scraped(rig)
    assert before["readers"] == before["gaps"] == before["sent_bytes"] == 0
    readers = [
        await Reader.open(rig.url, stream("log"), version="1.0", accept_encoding=encoding)
        for encoding in ("identity", "gzip", "gzip")
    ]
    bad = [await Reader.open(rig.url, stream("log"), last_event_id="x") for _ in range(4)]
    await notices(rig, [f"{number}" for number in range(10)])
    for reader in (*readers, *bad):
        await reader.messages(10, "notice")
    found = await scraped(rig)
    assert found["readers"] == 7
    assert found["events"] == came + 10
    assert found["gaps"] == 4
    assert found["stalls"] == found["conflations"] == 0
    for reader in bad:
        reader.close()
    await eventually(lambda: rig.hub.client_count == 3)
    clients = rig.hub._delivery.crowd.clients()
    rig.hub.end(clients[0], "revoked")
    clients[1].expires_at = 0.0
    for reader in readers[:2]:
        await reader.rest()
    stuck = await Reader.open(
        rig.url, stream("host:web-1", "log"), version="1.0", receive_buffer=4_096
    )
    await notices(rig, [f"{number}{'x' * 5_000}" for number in range(100)])
    await eventually(lambda: any(c.is_slow for c in rig.hub._delivery.crowd.clients()))
    (slow,) = [client for client in rig.hub._delivery.crowd.clients() if client.is_slow]
    for number in range(5):
        await rig.send({CPU: number / 5})
        await asyncio.sleep(0.1)
    assert slow.is_slow
    await eventually(lambda: rig.hub.client_count == 1)
    await readers[2].messages(100, "notice")
    found = await scraped(rig)
    assert found["readers"] == 1
    assert found["events"] == came + 110
    assert found["gaps"] == 4
    assert found["stalls"] == 1
    assert 1 <= found["conflations"] <= 5
    evictions = {name: value for name, value in found.items() if name.startswith("evictions")}
    assert sorted(evictions.values()) == [1, 1, 1]
    assert {re.findall(r'"(.*)"', name)[0] for name in evictions} == {"revoked", "lease", "stalled"}
    stuck.close()


async def test_case_39_the_bytes_are_those_that_left(rig: Rig) -> None:
    """It must be that each reader's bytes are counted as they leave, compressed and framed."""
    readers = [
        await Reader.open(rig.url, stream("log"), version="1.0", accept_encoding=encoding)
        for encoding in ("identity", "gzip")
    ]
    for reader in readers:
        await reader.message("connected")
    await notices(rig, [f"{number}" * 50 for number in range(100)])
    for reader in readers:
        await reader.messages(100, "notice")
    received = sum(reader.decoder.sent for reader in readers)
    assert (await scraped(rig))["sent_bytes"] == received
