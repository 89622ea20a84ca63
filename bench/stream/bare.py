"""Nothing but uvloop: a head for whoever comes, and the same bytes to every transport.

What a Python process can do at best; it parses no request and drops nobody.
"""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop

from bench.stream import control
from bench.stream.payloads import Numbered, wire

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Reader(asyncio.Protocol):
    """One connection."""

    def __init__(self, transports: set[asyncio.Transport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is owed before the request."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """The request; what it says is not looked at."""
        if b"\r\n\r\n" in data:
            self._transport.write(HEAD + _chunk(wire("connected", {}, 0)))
            self._transports.add(self._transport)

    def connection_lost(self, _: Exception | None) -> None:
        """It is forgotten."""
        self._transports.discard(self._transport)


async def main() -> None:
    """Serve until killed."""
    transports: set[asyncio.Transport] = set()
    made = Numbered()

    def publish(command: str) -> None:
        data = _chunk(b"".join(wire(*event) for event in made.made(command)))
        for transport in transports:
            transport.write(data)

    listening = control.listener()
    port = listening.getsockname()[1]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Reader(transports), sock=listening, backlog=control.BACKLOG
    )
    control.announce(port, await control.listen(publish))
    await server.serve_forever()


if __name__ == "__main__":
    control.allow_many_descriptors()
    uvloop.run(main())
