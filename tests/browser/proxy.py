"""Proxies as people have them in front of a server: good ones, and those that spoil a stream.

Plain TCP, one request a connection, on loopback.  It knows where a response's head ends, and
nothing of what an event stream is: a proxy that buffers does not know either.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Enum
from urllib.parse import unquote

LONGEST_HEAD_BYTES = 64 * 1024

BAD_GATEWAY = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class Mode(Enum):
    """What the proxy does to responses."""

    PASS = "pass"
    BUFFER = "buffer"
    """The head goes through at once, the body once it is complete: never, for a stream."""
    SILENT = "silent"
    """Nothing goes through any more, and nothing is closed."""
    DOWN = "down"
    """What is behind it cannot be reached."""


class Proxy:
    """One proxy in front of one server."""

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.removeprefix("http://").rpartition(":")
        self._upstream = host, int(port)
        self.mode = Mode.PASS
        self.url = ""
        self.asked: list[str] = []
        """The addresses of streams that were asked for, those apart that end by themselves."""
        self._relays: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        """Serve on a free port while the block runs."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", limit=LONGEST_HEAD_BYTES)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.cut()
            # Whatever has been closed is let go of before the loop ends.
            await asyncio.gather(*self._relays, return_exceptions=True)
            await asyncio.sleep(0)

    @property
    def streams(self) -> int:
        """How many streams were asked for so far."""
        return len(self.asked)

    def cut(self) -> None:
        """End every connection."""
        for relay in self._relays:
            relay.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)
        relay.add_done_callback(lambda _: writer.close())

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, _ = head.split(b" ", 2)
            if method == b"GET" and b"/stream?" in path and b"follow=0" not in path:
                self.asked.append(unquote(path.decode()))
            if self.mode is Mode.DOWN:
                writer.write(BAD_GATEWAY)
                await writer.drain()
                return
            from_server, to_server = await asyncio.open_connection(*self._upstream)
            with contextlib.closing(to_server):
                to_server.write(one_request(head))
                left = asyncio.create_task(reader.read())
                answer = asyncio.create_task(self._answer(from_server, writer))
                try:
                    await asyncio.wait([left, answer], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    left.cancel()
                    answer.cancel()
                    await asyncio.gather(left, answer, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        held = b""
        while some := await reader.read(65_536):
            if self.mode is Mode.SILENT:
                await asyncio.Event().wait()  # until the connection is cut
            held += some
            if self.mode is not Mode.BUFFER:
                writer.write(held)
                held = b""
                await writer.drain()
        writer.write(held)
        await writer.drain()


def one_request(head: bytes) -> bytes:
    """A request's head that asks for the connection to end with the response."""
    lines = [
        line for line in head.split(b"\r\n")[:-2] if not line.lower().startswith(b"connection:")
    ]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])
