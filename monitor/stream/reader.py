"""One reader of the stream: what it asked for, where it stands, and its connection.

A reader is the protocol of its connection: the transport says when it takes no more, when it
does again and when it is gone.  It decides nothing; the hub does.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from monitor.core.access import EVERYTHING, View
from monitor.stream.ring import Hearing
from monitor.stream.wire import PLAIN, Wire

MOST_UNREAD_BYTES = 64 * 1024
"""What this process holds written for one reader before it waits for it."""

MOST_SENT_BYTES = 64 * 1024
"""What a reader may send after its request, which is nothing, before it is cut."""

NO_METADATA: Mapping[str, str] = {}


class Sink(Protocol):
    """Where a reader's bytes go: an `asyncio.WriteTransport`, or anything that is like one."""

    def write(self, data: bytes | memoryview) -> None:
        """Take these bytes; never blocks."""

    def get_write_buffer_size(self) -> int:
        """Bytes taken and not yet passed on."""

    def close(self) -> None:
        """Pass on what was taken, then end."""

    def abort(self) -> None:
        """End at once."""


class Keeper(Protocol):
    """Who is told of what happens to a reader: the hub."""

    def went_slow(self, client: SSEClient) -> None:
        """It takes no more for now."""

    def caught_up(self, client: SSEClient) -> None:
        """It takes more again."""

    def stalled(self, client: SSEClient) -> None:
        """It took nothing for too long."""

    def talked(self, client: SSEClient) -> None:
        """It sent more than a reader has to say."""

    def unsubscribe(self, client: SSEClient) -> None:
        """It is gone."""


@dataclass(frozen=True, slots=True)
class Audience:
    """What makes readers alike: those of one audience who are up to date get the same bytes."""

    topics: frozenset[str]
    wire: Wire = PLAIN
    heartbeat_events: bool = False
    view: View = EVERYTHING
    """What they may see, of what is on their topics."""

    @property
    def hearing(self) -> Hearing:
        """What they get, in whatever form."""
        return Hearing(self.topics, self.view)


class SSEClient(asyncio.Protocol):
    """One reader."""

    __slots__ = (
        "audience",
        "expires_at",
        "gap_from",
        "has_gap",
        "id",
        "is_here",
        "is_live",
        "is_slow",
        "keeper",
        "let_go",
        "metadata",
        "pending",
        "position",
        "seen",
        "sent_bytes",
        "sink",
        "spoke_at",
        "told",
        "told_at",
        "unread",
        "unread_since",
    )

    def __init__(
        self, audience: Audience, position: int, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.id = secrets.token_hex(8)
        self.audience = audience
        self.metadata = metadata or NO_METADATA
        self.position = position
        """Up to where it has the log; while it is live, the hub's position is its own."""
        self.seen = -1
        """The version of the state that it has, -1 before any; likewise."""
        self.told = position
        """A position that it was told, or has passed since: it would come back from there."""
        self.told_at = 0.0
        self.has_gap = False
        self.gap_from: str | None = None
        self.pending: deque[bytes | memoryview] = deque()
        """Bytes that are due before anything else, shared with other readers."""
        self.is_here = False
        """Whether its stream is open."""
        self.is_live = False
        self.is_slow = False
        self.unread = 0
        self.unread_since = 0.0
        self.spoke_at = 0.0
        self.expires_at = 0.0
        self.sent_bytes = 0
        self.let_go: Callable[[], None] | None = None
        """Called once its connection is gone, by whoever held that before."""
        self.sink: Sink | None = None
        self.keeper: Keeper | None = None

    @property
    def topics(self) -> frozenset[str]:
        """What it listens to."""
        return self.audience.topics

    def pause_writing(self) -> None:
        """The transport holds as much as it may."""
        self.is_slow = True
        if self.keeper is not None:
            self.keeper.went_slow(self)

    def resume_writing(self) -> None:
        """The transport has passed most of it on."""
        self.is_slow = False
        # Not from within: a write that fails in here has asyncio end the transport twice.
        asyncio.get_running_loop().call_soon(self._caught_up)

    def _caught_up(self) -> None:
        if self.keeper is not None:
            self.keeper.caught_up(self)

    def data_received(self, data: bytes) -> None:
        """A reader has nothing to say after its request."""
        self.sent_bytes += len(data)
        if self.sent_bytes > MOST_SENT_BYTES:
            if self.keeper is not None:
                self.keeper.talked(self)
            self.cut()

    def cut(self) -> None:
        """End its connection at once, where that is still open."""
        if self.sink is not None:
            self.sink.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, however that came; where the kernel gave it up, it did not read."""
        if self.keeper is not None:
            if isinstance(exc, TimeoutError):
                self.keeper.stalled(self)
            self.keeper.unsubscribe(self)
        self.keeper = self.sink = None
        if self.let_go is not None:
            self.let_go()


class Pipe:
    """A sink inside this process: `EventPublisher.stream` reads what is written to it."""

    def __init__(self, client: SSEClient) -> None:
        self._client = client
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._ended = False
        self._changed = asyncio.Event()

    def write(self, data: bytes | memoryview) -> None:
        """Take these bytes."""
        self._parts.append(data)
        self._size += len(data)
        self._changed.set()
        if self._size > MOST_UNREAD_BYTES and not self._client.is_slow:
            self._client.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Bytes nobody has read yet."""
        return self._size

    def close(self) -> None:
        """End once everything is read."""
        self._ended = True
        self._changed.set()

    def abort(self) -> None:
        """End at once."""
        self._parts, self._size = [], 0
        self.close()

    async def read(self) -> AsyncIterator[bytes]:
        """What is written, joined, until the end."""
        while self._parts or not self._ended:
            if self._parts:
                joined = b"".join(self._parts)
                self._parts, self._size = [], 0
                yield joined
                if self._client.is_slow and self._size == 0:
                    self._client.resume_writing()
            else:
                self._changed.clear()
                await self._changed.wait()
