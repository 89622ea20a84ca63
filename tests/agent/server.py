"""A small server that speaks the push protocol as it is documented, for tests of the agent.

It keeps what it was sent, and answers as it is told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import msgpack  # type: ignore[import-untyped]
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response

Judge = Callable[[dict[str, Any]], dict[str, Any] | None]
"""The problem with which a document is refused, none where it is taken."""


@dataclass
class FakeServer:
    """What came: documents in their order, those taken, and the frames by instant."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    frames: dict[float, list[float | None]] = field(default_factory=dict)
    repeats: int = 0
    goodbyes: int = 0
    requests: list[Request] = field(default_factory=list)
    judge: Judge = lambda document: None
    watched: bool = False
    is_silent: bool = False
    """Whether documents are taken without a word."""
    port: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    connections: set[ServerConnection] = field(default_factory=set)
    schemas: dict[str, list[str]] = field(default_factory=dict)
    _server: Server | None = None
    _seen: dict[tuple[str, int], Any] = field(default_factory=dict)
    answer: Callable[[ServerConnection, Request], Response | None] = lambda connection, request: (
        None
    )

    async def open(self, context: ssl.SSLContext | None = None) -> None:
        """Listen, on the port of the last time if there was one."""
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            process_request=self._request,
            ssl=context,
            compression=None,
            subprotocols=["awoooi.v1"],  # type: ignore[list-item]
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        """Be gone."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def until(self, holds: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until this holds."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(holds)

    async def say(self, message: dict[str, Any]) -> None:
        """Say this to everybody who is connected."""
        for each in tuple(self.connections):
            await each.send(msgpack.packb(message))

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return self.answer(connection, request)

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.add(connection)
        try:
            hello = {"server": {"version": "0", "protocol": [1, 1], "time": 0.0}}
            await connection.send(msgpack.packb({**hello, "watched": self.watched}))
            with contextlib.suppress(ConnectionClosedError):  # an agent that was killed
                async for message in connection:
                    assert isinstance(message, bytes)
                    await self._take(connection, msgpack.unpackb(message))
        finally:
            self.connections.discard(connection)
            async with self.changed:
                self.changed.notify_all()

    async def _take(self, connection: ServerConnection, document: dict[str, Any]) -> None:
        said = self.taken(document)
        if said is not None and not self.is_silent:
            await connection.send(msgpack.packb(said))
        async with self.changed:
            self.changed.notify_all()

    def taken(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """Take a document, or refuse it: what is said of it."""
        self.documents.append(document)
        if document.get("bye"):
            self.goodbyes += 1
            return None
        name = (document["boot_id"], document["seq"])
        problem = self.judge(document)
        schema = document["schema"]
        if problem is None and isinstance(schema, str) and schema not in self.schemas:
            problem = {"code": "unknown_schema", "status": 409}
        if problem is not None:
            return {"refused": [[*name, problem]]}
        if isinstance(schema, list):
            import hashlib  # noqa: PLC0415

            digest = hashlib.sha256("\n".join(schema).encode()).hexdigest()
            self.schemas[f"sha256:{digest}"] = schema
        content = {key: document.get(key) for key in ("frames", "snapshots")}
        if name in self._seen:
            self.repeats += 1
            assert self._seen[name] == content, "a retry says something else"
        self._seen[name] = content
        for frame in document["frames"]:
            self.frames.setdefault(frame["at"], frame["values"])
        return {"ack": [list(name)]}


@contextlib.asynccontextmanager
async def fake_server(context: ssl.SSLContext | None = None) -> AsyncIterator[FakeServer]:
    """A server that listens while this lasts."""
    server = FakeServer()
    await server.open(context)
    try:
        yield server
    finally:
        await server.close()
