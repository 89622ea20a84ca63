"""The shape that this project began with: Quart on Hypercorn, a queue for each reader.

A bounded queue a reader, `wait_for` with a heartbeat's timeout around each take, JSON encoded
again for each reader, one lock held across a fan-out, the newest event dropped where a queue
is full: as STREAM section 4 tells it, written anew to be measured.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart, Response

from bench.stream import control
from bench.stream.payloads import Numbered, stamped

QUEUE_EVENTS = 100
HEARTBEAT_SECONDS = 30.0

Event = tuple[str, dict[str, object], int]


class Publisher:
    """A queue a reader."""

    def __init__(self) -> None:
        self._queues: list[asyncio.Queue[Event]] = []
        self._lock = asyncio.Lock()
        self._made = Numbered()
        self._commands: asyncio.Queue[str] = asyncio.Queue()

    def command(self, command: str) -> None:
        """Publish what it asks for, soon."""
        self._commands.put_nowait(command)

    async def run(self) -> None:
        """Carry out the commands."""
        while True:
            for kind, data, number in self._made.made(await self._commands.get()):
                await self._publish((kind, stamped(data, number), number))

    async def _publish(self, event: Event) -> None:
        async with self._lock:
            for queue in self._queues:
                if not queue.full():
                    queue.put_nowait(event)

    async def stream(self) -> AsyncIterator[bytes]:
        """One reader's bytes."""
        queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_EVENTS)
        self._queues.append(queue)
        try:
            yield _format(("connected", {}, 0))
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield _format(("heartbeat", {}, 0))
                else:
                    yield _format(event)
        finally:
            self._queues.remove(queue)


def _format(event: Event) -> bytes:
    kind, data, number = event
    text = json.dumps(data, separators=(",", ":"))
    return f"event: {kind}\nid: 00000000deadbeef-{number}\ndata: {text}\n\n".encode()


async def main() -> None:
    """Serve until killed."""
    publisher = Publisher()
    app = Quart("seed")

    async def stream() -> Response:
        response = Response(publisher.stream(), content_type="text/event-stream")
        response.timeout = None
        return response

    app.add_url_rule("/stream", "stream", stream)
    listening = control.listener()
    port = listening.getsockname()[1]
    config = Config()
    config.loglevel = "WARNING"
    config.backlog = control.BACKLOG  # with its own of 100 a storm would measure retransmission
    config.bind = [f"fd://{listening.detach()}"]
    control.announce(port, await control.listen(publisher.command))
    publishing = asyncio.create_task(publisher.run())
    await serve(app, config)
    publishing.cancel()


if __name__ == "__main__":
    control.allow_many_descriptors()
    asyncio.run(main())
