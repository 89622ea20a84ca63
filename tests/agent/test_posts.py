"""Where no WebSocket passes.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http.client
import json
import time
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from monitor.agent import dialing, link, pacing, sender
from monitor.agent.config import AgentConfig, Settings
from monitor.agent.link import Cut, Link, Problem
from monitor.agent.place import Place
from monitor.agent.posting import Answer
from monitor.agent.posts import judged
from monitor.agent.running import Push
from monitor.agent.trust import Trust
from monitor.collect.config import CollectConfig
from monitor.model import Frame, Schema
from tests.agent.server import FakeServer

SCHEMA = Schema(("a",))


class _Proxy:
    """A proxy that forbids WebSockets (unless told otherwise) before a server that takes posts."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.asked: list[str] = []
        self.accepts = False
        """Whether it takes WebSockets, and passes nothing on."""
        self.accepted = b""
        """What it answers to them, where that is no acceptance."""
        self.status = 200
        self.headers = ""
        self.body: bytes | None = None
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ", 2)[1]
                self.asked.append(path)
                if path == "/api/v1/agent" and self.accepts:
                    writer.write(self.accepted or _accepted(head))
                    await reader.read()
                    break
                if path == "/api/v1/agent":
                    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
                    break
                length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                document = msgpack.unpackb(await reader.readexactly(length))
                content, kind = self._answer(document)
                writer.write(
                    f"HTTP/1.1 {self.status} x\r\nContent-Type: {kind}\r\n{self.headers}"
                    f"Content-Length: {len(content)}\r\n\r\n".encode()
                    + content
                )
        self.tasks.discard(task)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def _answer(self, document: dict[str, Any]) -> tuple[bytes, str]:
        if self.status != 200:
            return self.body or b"{}", "application/problem+json" if self.body else "text/html"
        said = self.server.taken(document)
        if said is not None and "refused" in said:
            self.status, problem = 200, said["refused"][0][2]
            return json.dumps(problem).encode(), "application/problem+json"
        return json.dumps(
            {"accepted": 1, "watched": self.server.watched}
        ).encode(), "application/json"


def _accepted(head: str) -> bytes:
    key = head.lower().index("sec-websocket-key: ") + len("sec-websocket-key: ")
    said = (
        head[key:].split("\r\n", maxsplit=1)[0].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    )
    proof = base64.b64encode(hashlib.sha1(said, usedforsecurity=False).digest()).decode()
    lines = ("HTTP/1.1 101 x", "Upgrade: websocket", "Connection: Upgrade")
    return "\r\n".join((*lines, f"Sec-WebSocket-Accept: {proof}", "", "")).encode()


@contextlib.asynccontextmanager
async def _proxy() -> AsyncIterator[_Proxy]:
    proxy = _Proxy()
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield proxy
        # The agent's ends are closed by now, or will be by their threads.
        await asyncio.wait_for(asyncio.gather(*proxy.tasks), 15)


@contextlib.asynccontextmanager
async def _push(proxy: _Proxy, spool: Path, batch: float = 0.0) -> AsyncIterator[Push]:
    agent = AgentConfig(
        server=f"http://127.0.0.1:{proxy.port}", spool=spool, name="web-1", batch=batch
    )
    push = Push(Settings(agent, CollectConfig()))
    sending = asyncio.create_task(push.sender.run())
    try:
        yield push
        assert not sending.done()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await push.spool.close()


async def _until(holds: Any) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - of anything at all
            await asyncio.sleep(0.005)


async def _collect(push: Push, *instants: float) -> None:
    for at in instants:
        frame = Frame("web-1", time.time() + at, SCHEMA, array("d", [at]))
        await push.take(frame, [])


async def test_what_no_websocket_carries_is_posted(tmp_path: Path) -> None:
    async with _proxy() as proxy, _push(proxy, tmp_path) as push:
        await _collect(push, 1, 2, 3)
        await _until(lambda: len(proxy.server.frames) == 3 and push.sender.waiting == 0)
        assert proxy.asked.count("/api/v1/agent") == 1, "it does not ask again and again"
        lists = [each["schema"] for each in proxy.server.documents]
        assert lists.count(["a"]) == 1
        await push.sender.finish(5.0)
        assert proxy.server.goodbyes == 1


async def test_a_websocket_is_tried_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialing, "POST_SECONDS", 0.1)
    async with _proxy() as proxy, _push(proxy, tmp_path) as push:
        await _until(lambda: proxy.asked.count("/api/v1/agent") >= 3)
        await _collect(push, 1)
        await _until(lambda: push.sender.waiting == 0)
        assert len(proxy.server.frames) == 1


@pytest.mark.parametrize("is_slow", [False, True])
async def test_what_a_websocket_takes_and_does_not_pass_on_is_posted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    monkeypatch.setattr(sender, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(link, "OPEN_SECONDS", 0.05 if is_slow else 10.0)
    monkeypatch.setattr(pacing, "FIRST_SECONDS", 0.01)
    async with _proxy() as proxy:
        proxy.accepts = True
        if is_slow:
            proxy.accepted = b"HTTP/1.1 "
        async with _push(proxy, tmp_path) as push:
            await _collect(push, 1, 2, 3)
            await _until(lambda: len(proxy.server.frames) == 3 and push.sender.waiting == 0)
            assert proxy.asked.count("/api/v1/agent") == dialing.SILENT_TRIES


async def test_somebody_who_looks_ends_batching_over_posts_too(tmp_path: Path) -> None:
    async with _proxy() as proxy, _push(proxy, tmp_path, batch=60.0) as push:
        await _until(lambda: push.sender.is_connected)
        await _collect(push, 1)
        await _until(lambda: len(proxy.server.frames) == 1)
        await _collect(push, 2)
        await asyncio.sleep(0.05)
        assert len(proxy.server.frames) == 1
        proxy.server.watched = True
        push.sender._flush()
        await _until(lambda: push.sender.is_watched)
        await _collect(push, 3)
        await _until(lambda: len(proxy.server.frames) == 3)


async def test_a_server_that_is_away_costs_nothing(tmp_path: Path) -> None:
    async with _proxy() as proxy:
        proxy.status = 502
        async with _push(proxy, tmp_path) as push:
            await _collect(push, *range(1, 10))
            await _until(lambda: "/api/v1/push" in proxy.asked)
        proxy.status = 200
        async with _push(proxy, tmp_path) as push:
            await _until(lambda: len(proxy.server.frames) == 9)


def _answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, body)


def test_answers_to_a_post_are_told_apart() -> None:
    assert judged(_answer(200, b'{"watched": true}')) is True
    assert judged(_answer(200, b'{"accepted": 1}')) is None
    assert judged(_answer(204)) is None
    assert judged(_answer(503, b"<html>", retry_after="9")) == Problem(
        "unavailable", "it answers with status 503", 503, "", 9.0
    )
    problem = judged(
        _answer(409, b'{"code":"host_taken"}', content_type="application/problem+json")
    )
    assert isinstance(problem, Problem)
    assert problem.code == "host_taken"
    for status in (301, 308):
        with pytest.raises(Cut, match="redirects"):
            judged(_answer(status, location="http://elsewhere"))
    for status in (404, 405, 418):
        with pytest.raises(Cut, match=str(status)):
            judged(_answer(status, b"<html>"))


async def test_a_kept_connection_that_was_closed_is_made_anew(tmp_path: Path) -> None:
    async with _proxy() as proxy:
        place = Place.parse(f"http://127.0.0.1:{proxy.port}")
        link = Link(place, Trust(place), lambda: "agt_x")
        posting = await link.posting()
        encoded = msgpack.packb({"bye": True})

        def post() -> int:
            return posting.post("/api/v1/push", "application/msgpack", encoded).status

        assert await asyncio.to_thread(post) == 200
        connection = posting._connection
        assert isinstance(connection, http.client.HTTPConnection)
        assert connection.sock is not None
        connection.sock.shutdown(2)
        assert await asyncio.to_thread(post) == 200
        assert proxy.server.goodbyes == 2
        posting.close()
