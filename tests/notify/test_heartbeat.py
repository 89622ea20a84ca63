"""The heartbeat out: it must be that it is heard while the judge judges, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import pytest

from monitor.core.secret import Secret
from monitor.notify import heartbeat
from monitor.notify.config import HeartbeatConfig
from monitor.notify.heartbeat import Beat, Heartbeat
from monitor.outbound.faults import UrlNotAllowed
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from tests.outbound.servers import serving

NOW = 1_000.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Listener:
    """Hears heartbeats; `answer` is given to each request, by its method."""

    def __init__(self, answer: Callable[[str], bytes] = lambda _: OK) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._answer = answer
        self._came = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request after another."""
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            method = head.split()[0].decode()
            self.heard.append((method, await reader.readexactly(length)))
            writer.write(self._answer(method))
            await writer.drain()
            self._came.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that is so after some request."""
        async with asyncio.timeout(20):
            while not holds():
                self._came.clear()
                await self._came.wait()


def made(
    port: int, *, interval: float = 10.0, alive: Callable[[], bool] = lambda: True
) -> Heartbeat:
    url = Secret(f"http://127.0.0.1:{port}/ping/s3cret")
    return Heartbeat(
        HeartbeatConfig(url=url, interval=interval),
        Guard(()),
        Resolver(),
        lambda: NOW,
        alive=alive,
        summary=lambda: Beat({"up": 3, "down": 1}, {"critical": 1}, NOW - 1),
    )


@contextlib.asynccontextmanager
async def beating(beats: Heartbeat) -> AsyncIterator[None]:
    task = asyncio.create_task(beats.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_says_how_things_stand_at_every_interval() -> None:
    listener = Listener()
    async with serving(listener) as port:
        beats = made(port, interval=0.01)
        async with beating(beats):
            await listener.until(lambda: len(listener.heard) >= 3)
    method, content = listener.heard[0]
    assert method == "POST"
    said = json.loads(content)
    assert said["hosts"] == {"up": 3, "down": 1}
    assert said["firing"] == {"critical": 1}
    assert said["judged_at"] == NOW - 1
    status = beats.status()
    assert status.sent >= 2
    assert status.sent_at == NOW
    assert status.place == f"127.0.0.1:{port}"
    assert not status.failure


async def test_it_is_silent_while_the_judge_does_not_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "LOOK_SECONDS", 0.0)
    listener = Listener()
    asked = 0

    def alive() -> bool:
        nonlocal asked
        asked += 1
        assert asked > 100 or not listener.heard, "it spoke while nobody judged"
        return asked > 100

    async with serving(listener) as port:
        beats = made(port, alive=alive)
        async with beating(beats):
            await listener.until(lambda: bool(listener.heard))
    assert asked > 100
    assert beats.status().withheld == 1


async def test_a_receiver_that_knows_only_get_is_asked_by_get() -> None:
    def answer(method: str) -> bytes:
        return OK if method == "GET" else OK.replace(b"200 OK", b"405 No")

    listener = Listener(answer)
    async with serving(listener) as port:
        beats = made(port, interval=0.01)
        async with beating(beats):
            await listener.until(lambda: len(listener.heard) >= 4)
    assert [method for method, _ in listener.heard[:4]] == ["POST", "GET", "GET", "GET"]
    assert not beats.status().failure


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", b"no HTTP at all\r\n\r\n"]
)
async def test_what_does_not_arrive_is_said_without_the_address(answer: bytes) -> None:
    listener = Listener(lambda _: answer)
    async with serving(listener) as port:
        beats = made(port, interval=0.01)
        async with beating(beats):
            await listener.until(lambda: bool(beats.status().failing_since))
    status = beats.status()
    assert status.failing_since == NOW
    assert "s3cret" not in status.failure
    assert f"127.0.0.1:{port}" in status.failure
    assert status.sent == 0


async def test_where_nobody_listens_it_goes_on_trying() -> None:
    listener = Listener()
    async with serving(listener) as port:
        pass
    beats = made(port, interval=0.01)
    async with beating(beats), asyncio.timeout(20):
        while True:
            if beats.status().failing_since:
                break
            await asyncio.sleep(0.01)
    assert "127.0.0.1" in beats.status().failure


async def test_without_an_address_nothing_is_sent() -> None:
    beats = Heartbeat(
        HeartbeatConfig(),
        Guard(()),
        Resolver(),
        lambda: NOW,
        alive=lambda: True,
        summary=Beat,
    )
    async with beating(beats):
        await asyncio.sleep(0)
    assert beats.status().place == ""


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "ftp://example.org/", "http://metadata.google.internal/"]
)
def test_what_may_never_be_told_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        Heartbeat(
            HeartbeatConfig(url=Secret(url)),
            Guard(()),
            Resolver(),
            lambda: NOW,
            alive=lambda: True,
            summary=Beat,
        )
