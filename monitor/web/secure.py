"""TLS on one connection, made by ourselves once the connection is known and counted.

Hypercorn would have asyncio speak TLS before it hears of a connection: one that never shakes
hands would be in nobody's count, and its failures in the log.  Here the connection comes first.

It also knows what asyncio's transport over TLS leaves out: how much waits beneath it, that a
second `close` makes `abort` do nothing, and that it keeps 256 KiB for each connection to read
into.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from asyncio import sslproto
from dataclasses import dataclass

HANDSHAKE_SECONDS = 5.0
"""How long a handshake may take."""

SHUTDOWN_SECONDS = 10.0
"""How long a peer may take to read what is left and say goodbye, as long as without TLS."""

READ_BYTES = 16 * 1024
"""What is read at once: a record of TLS.  It is kept for each connection."""

BUFFER_BYTES = 64 * 1024
"""What a request's reader holds before the peer has to wait."""


@dataclass(frozen=True, slots=True)
class Secured:
    """A connection over TLS, as Hypercorn knows connections."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _Protocol(asyncio.StreamReaderProtocol):
    """Reports every end that is none of ours as one that the peer has made.

    Whoever writes to such a connection expects that, and no error of TLS.
    """

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if exc is not None and not isinstance(exc, ConnectionError):
            exc = ConnectionResetError("the connection ended")
        super().connection_lost(exc)

    def eof_received(self) -> bool:
        """The peer sends no more: over TLS that is the end."""
        super().eof_received()
        return False


def prepare() -> None:
    """Have asyncio keep little for each connection over TLS, and say nothing of peers that left.

    That would be a line for each answer to such a peer, and as many as it likes in our log.
    """
    sslproto.SSLProtocol.max_size = READ_BYTES
    logging.getLogger("asyncio").addFilter(_is_worth_saying)


def _is_worth_saying(record: logging.LogRecord) -> bool:
    return record.msg not in _IDLE


_IDLE = frozenset({"SSL connection is closed", "socket.send() raised exception."})


async def secured(wire: asyncio.Transport, context: ssl.SSLContext) -> Secured | None:
    """Shake hands on a connection from which nothing was read; none where it has ended.

    To be called before anything else is awaited for the connection.  Raises `OSError` where
    the peer speaks no TLS, or none that we accept, or takes longer than `HANDSHAKE_SECONDS`.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(BUFFER_BYTES, loop)
    protocol = _Protocol(reader, loop=loop)
    transport = await loop.start_tls(
        wire,
        protocol,
        context,
        server_side=True,
        ssl_handshake_timeout=HANDSHAKE_SECONDS,
        ssl_shutdown_timeout=SHUTDOWN_SECONDS,
    )
    if transport is None or transport.is_closing():
        return None
    protocol.connection_made(transport)
    return Secured(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


class SecureSink:
    """A stream's way out over TLS: what is written, and what waits above and beneath.

    The transport above is full as soon as the one beneath is, so that together they hold no
    more than one would.
    """

    __slots__ = ("_above", "_beneath", "pause_reading", "resume_reading", "write")

    def __init__(
        self, above: asyncio.Transport, beneath: asyncio.WriteTransport, most_bytes: int
    ) -> None:
        self._above, self._beneath = above, beneath
        self.write = above.write
        self.pause_reading, self.resume_reading = above.pause_reading, above.resume_reading
        beneath.set_write_buffer_limits(most_bytes)
        above.set_write_buffer_limits(high=1, low=0)

    def get_write_buffer_size(self) -> int:
        """Bytes taken that the kernel has not."""
        return self._above.get_write_buffer_size() + self._beneath.get_write_buffer_size()

    def close(self) -> None:
        """Pass on what was taken, say goodbye, then end."""
        self._above.close()

    def abort(self) -> None:
        """End at once."""
        self._beneath.abort()
