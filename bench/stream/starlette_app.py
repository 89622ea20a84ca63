"""sse-starlette on uvicorn, broadcasting through a queue a reader, as its examples do.

An event is made once, and the library formats it for each reader.  uvicorn runs on uvloop and
httptools, which is how it is installed to be quick.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import uvicorn
import uvloop
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from bench.stream import control
from bench.stream.payloads import Numbered, encoded, stamped


class Broadcast:
    """A queue a reader."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[ServerSentEvent]] = set()
        self._made = Numbered()

    def command(self, command: str) -> None:
        """Publish what a command asks for."""
        for kind, data, number in self._made.made(command):
            event = ServerSentEvent(
                data=encoded(stamped(data, number)),
                event=kind,
                id=f"00000000deadbeef-{number}",
                sep="\n",
            )
            for queue in self._queues:
                queue.put_nowait(event)

    async def open(self, _: Request) -> EventSourceResponse:
        """One reader's stream."""
        return EventSourceResponse(self._events(), sep="\n")

    async def _events(self) -> AsyncIterator[ServerSentEvent]:
        queue: asyncio.Queue[ServerSentEvent] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield ServerSentEvent(data="{}", event="connected", sep="\n")
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)


async def main() -> None:
    """Serve until killed."""
    broadcast = Broadcast()
    app = Starlette(routes=[Route("/stream", broadcast.open)])
    listening = control.listener()
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", http="httptools"))
    control.announce(port, await control.listen(broadcast.command))
    await server.serve(sockets=[listening])


if __name__ == "__main__":
    control.allow_many_descriptors()
    uvloop.run(main())
