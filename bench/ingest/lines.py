"""Connections of agents that are not there: a WebSocket, or a request after the other.

Both tell of each document what became of it: acknowledged, or refused and why.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

import msgspec

from bench.door.wire import bearer, whole
from bench.ingest.packing import control, message

Told = Callable[[int, int, str], None]
"""Is told a host's number, a document's number, and why it was refused; empty where it was not."""

TEXT, CLOSE, PING = 0x1, 0x8, 0x9

LOST = "connection lost"


class Line(Protocol):
    """One agent's connection."""

    async def open(self) -> None:
        """Connect.  Raises `RuntimeError` where the server will not have it."""

    def send(self, seq: int, document: bytes, framed: bytes) -> None:
        """Send a document, which `framed` holds as a message of a WebSocket; never waits."""

    def close(self) -> None:
        """End it."""


class WebSocketLine(asyncio.Protocol):
    """The way of agents that stay."""

    def __init__(self, port: int, host: int, token: str | None, told: Told) -> None:
        self._port, self._host, self._token, self._told = port, host, token, told
        self._found = bytearray()
        self._transport: asyncio.Transport | None = None
        self._opened: asyncio.Future[None] | None = None
        self._is_open = False

    async def open(self) -> None:
        """Connect, and wait until the server has taken the connection."""
        loop = asyncio.get_running_loop()
        self._opened = loop.create_future()
        transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        head = [
            "GET /api/v1/agent HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Protocol: awoooi.v1",
            *([bearer(self._token)] if self._token else []),
        ]
        transport.write(("\r\n".join(head) + "\r\n\r\n").encode())
        async with asyncio.timeout(30):
            await self._opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is written to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what came apart: the handshake's answer, then messages."""
        self._found += data
        if not self._is_open and not self._hear_head():
            return
        while (found := self._message()) is not None:
            self._hear(*found)

    def _hear_head(self) -> bool:
        end = self._found.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._found[:end])
        del self._found[: end + 4]
        self._is_open = True
        assert self._opened is not None
        if head.split(b" ", 2)[1] == b"101":
            self._opened.set_result(None)
        else:
            said = (head + b" " + bytes(self._found))[:500].decode(errors="replace")
            self._opened.set_exception(RuntimeError(f"no WebSocket: {said}"))
        return True

    def _message(self) -> tuple[int, bytes] | None:
        found = self._found
        if len(found) < 2:
            return None
        size, start = found[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(found[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(found[2:10], "big"), 10
        if len(found) < start + size:
            return None
        kind, body = found[0] & 0x0F, bytes(found[start : start + size])
        del found[: start + size]
        return kind, body

    def _hear(self, kind: int, body: bytes) -> None:
        if kind == PING:
            self._write(control(0xA, body))
            return
        if kind == CLOSE:
            code = int.from_bytes(body[:2], "big")
            self._told(self._host, -1, f"closed {code}")
            return
        said: dict[str, Any] = json.loads(body) if kind == TEXT else msgspec.msgpack.decode(body)
        for _, seq in said.get("ack", ()):
            self._told(self._host, seq, "")
        for _, seq, problem in said.get("refused", ()):
            self._told(self._host, seq, str(problem.get("code", "?")))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def send(self, seq: int, document: bytes, framed: bytes) -> None:
        """Send a document; `framed` may be empty."""
        del seq
        self._write(framed or message(document))

    def connection_lost(self, error: Exception | None) -> None:
        """Say so."""
        del error
        self._told(self._host, -1, LOST)
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(RuntimeError(LOST))

    def close(self) -> None:
        """End it without a word."""
        if self._transport is not None:
            self._transport.abort()


class PostLine(asyncio.Protocol):
    """A request after the other over a connection that stays."""

    def __init__(self, port: int, host: int, token: str | None, told: Told) -> None:
        self._port, self._host, self._told = port, host, told
        self._head = (
            "POST /api/v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Content-Type: application/msgpack\r\n" + (f"{bearer(token)}\r\n" if token else "")
        )
        self._found = b""
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._asked: int | None = None
        self._transport: asyncio.Transport | None = None

    async def open(self) -> None:
        """Connect."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self._port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Go on with what waits."""
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def send(self, seq: int, document: bytes, framed: bytes) -> None:
        """Send a document once those before it have been answered."""
        del framed
        self._waiting.append((seq, document))
        self._next()

    def _next(self) -> None:
        if self._asked is None and self._waiting and self._transport is not None:
            seq, document = self._waiting.popleft()
            self._asked = seq
            self._transport.write(
                f"{self._head}Content-Length: {len(document)}\r\n\r\n".encode() + document
            )

    def data_received(self, data: bytes) -> None:
        """Take the answer."""
        self._found += data
        size = whole(self._found)
        if size is None or len(self._found) < size or self._asked is None:
            return
        answer, self._found = self._found[:size], self._found[size:]
        status, seq = answer[9:12].decode(), self._asked
        self._asked = None
        self._told(self._host, seq, "" if status == "200" else status)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        """Say so, and open another one for what waits."""
        del error
        if self._asked is not None:
            self._told(self._host, self._asked, LOST)
        self._asked, self._found, self._transport = None, b"", None
        self._again = asyncio.ensure_future(self._open_again())

    async def _open_again(self) -> None:
        try:
            await self.open()
        except OSError:
            self._told(self._host, -1, LOST)

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            transport, self._waiting = self._transport, deque()
            transport.set_protocol(asyncio.Protocol())
            transport.abort()
