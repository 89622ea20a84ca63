"""What we fit into Hypercorn, and why: the connections themselves.

Hypercorn says neither which connections are open nor lets us choose how one ends, it speaks
HTTP/2 in cleartext whatever it is told, and refuses malformed requests with an empty answer.
So two of its classes are replaced by children of theirs, here and nowhere else:

1. `Connections` knows every open transport by its peer's address.  At shutdown those that do
   not end are aborted: a peer that does not read would keep the server otherwise, because the
   task that serves it survives being cancelled (STREAM 3.2).
2. A connection whose peer has gone ends without a word.  That it went is no fault of ours, and
   a peer could write as many tracebacks into our log as it likes.
3. HTTP/1.1 only.  An ``Upgrade: h2c`` is ignored, as RFC 9110 allows; the HTTP/2 preface arrives
   as a request of a version that the edge refuses (STREAM 3.3).
4. What is no HTTP at all is refused with a reason and the same headers as everything else.
"""

from __future__ import annotations

import asyncio
import socket

import h11
import hypercorn.asyncio.run
import hypercorn.protocol
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h11 import H11Protocol

from monitor.web.problems import CONTENT_TYPE, of_status
from monitor.web.security import SECURITY_HEADERS

STREAM_SEND_BUFFER_BYTES = 32 * 1024
"""What the kernel holds for a stream's reader that does not read: 229 KB in all, where its own
choice is 4 MB (STREAM 3.4).  Only streams have it: it makes large answers slow."""

STREAM_WRITE_BUFFER_BYTES = 64 * 1024
"""What this process holds for it before the stream has to wait."""


class Connections:
    """The open connections of one server."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.WriteTransport] = {}

    def __len__(self) -> int:
        return len(self._open)

    def fit(self) -> None:
        """Have Hypercorn use our connections from now on, and tell us of each."""
        connections = self._open

        class Connection(TCPServer):
            """One connection, known while it is open."""

            async def run(self) -> None:
                peer = self.writer.get_extra_info("peername")
                address = tuple(peer[:2]) if peer else ("", id(self))
                connections[address] = self.writer.transport
                try:
                    await super().run()
                except OSError:
                    self.writer.transport.abort()
                finally:
                    del connections[address]

        hypercorn.asyncio.run.TCPServer = Connection  # type: ignore[attr-defined]
        hypercorn.protocol.H11Protocol = _Http1  # type: ignore[attr-defined]

    def expect_little_reading(self, client: tuple[str, int] | None) -> None:
        """Bound what is held for a stream's reader; `client` is the peer's address."""
        transport = self._open.get(client) if client else None
        if transport is None:
            return
        transport.set_write_buffer_limits(STREAM_WRITE_BUFFER_BYTES)
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_SEND_BUFFER_BYTES)

    def cut(self, client: tuple[str, int] | None) -> None:
        """Abort the connection of a peer, where it is still open."""
        transport = self._open.get(client) if client else None
        if transport is not None:
            transport.abort()

    def abort(self) -> int:
        """Cut every connection that is still open; how many there were."""
        ending = list(self._open.values())
        for transport in ending:
            transport.abort()
        return len(ending)


class _Http1(H11Protocol):
    """HTTP/1.1, and nothing that pretends to become something else."""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Let every request be what it says it is."""

    async def _send_error_response(self, status_code: int) -> None:
        # h11 answers 501 to a transfer encoding it does not know; the caller is at fault.
        problem = of_status(
            status_code if 400 <= status_code < 500 else 400,
            "the request is not well-formed HTTP/1.1, or its head is too large",
        )
        body = problem.encoded()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"cache-control", b"no-store"),
            *SECURITY_HEADERS,
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=problem.status, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())
