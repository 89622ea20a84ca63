"""The hub: one tail of the log and one live state, read by many at their own pace.

It is the seed's `EventPublisher` by name.  There is no queue, timer or task per reader and
none per event: logged events stand in one shared ring and every reader has a cursor into it;
state is conflated, every reader has the version it last saw, and what changed since is
encoded once for all readers that saw the same.  A reader that falls behind skips state and
never events.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from monitor.core.events import (
    LONGEST_EVENT_BYTES,
    SSEEvent,
    parse_position,
    payload,
    position_text,
)
from monitor.core.state import LiveState
from monitor.errors import InputError
from monitor.model import Event, EventType
from monitor.ports import EventLog, Gap
from monitor.stream import frames

FLUSH_SECONDS = 0.05
"""State that changes within this time leaves together."""

HEARTBEAT_SECONDS = 15.0
"""A connection that has been idle for so long gets a comment."""

STALL_SECONDS = 10.0
"""A reader that has not taken a write for so long does not read, and is cut."""

RING_EVENTS = 2_048
"""Logged events kept encoded for readers that are not quite up to date."""

REPLAY_PAGE_EVENTS = 256
"""What one read of the log brings while a reader catches up."""

RETRY_MILLISECONDS = (1_000, 4_000)
"""How long a browser waits before it comes back; random, so that all do not come at once."""

LARGEST_STATE_BYTES = 4 * 1024 * 1024
"""One message of state; the values and rows that may stand in one are bounded before."""

COMMENT = b":\n\n"

logger = logging.getLogger("monitor.stream")


def timestamp(at: float) -> str:
    """Unix seconds as ISO 8601 UTC with milliseconds."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@dataclass(eq=False)
class SSEClient:
    """One reader: its topics, its position in the log, and the state it has seen."""

    topics: frozenset[str]
    metadata: dict[str, str]
    position: int = 0
    resume_gap: tuple[str, int] | None = None
    seen: dict[str, int] = field(default_factory=dict)
    heartbeat_events: bool = False
    written_at: float = 0.0
    writing_since: float = 0.0
    """When the write began that the reader has not taken yet; 0 where there is none."""
    cut: Callable[[], None] = lambda: None
    """Ends the reader's connection, whatever it does."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _Ringed:
    """A logged event and its bytes, encoded once."""

    sequence: int
    topics: tuple[str, ...]
    encoded: bytes


def encode_event(event: Event, epoch: str) -> bytes:
    """A logged event as every reader gets it."""
    data = payload(event.data, timestamp(event.at), event.event_id)
    position = position_text(epoch, event.sequence)
    return SSEEvent(event.type, data, id=position).to_sse_format()


class EventPublisher:
    """Carries the log and the live state to whoever subscribed."""

    def __init__(self, log: EventLog, state: LiveState, clock: Callable[[], float]) -> None:
        self._log = log
        self._state = state
        self._clock = clock
        self._clients: set[SSEClient] = set()
        self._ring: deque[_Ringed] = deque(maxlen=RING_EVENTS)
        self._tailed = 0
        self._dirty = asyncio.Event()
        self._encoded: dict[tuple[str, int], bytes] = {}
        self._encoded_version = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = ""

    # Life

    async def start(self) -> None:
        """Begin to follow the log and to flush state."""
        self._tailed = await self._log.last()
        self._tasks = [
            asyncio.create_task(self._follow(), name="hub-tail"),
            asyncio.create_task(self._flush(), name="hub-flush"),
            asyncio.create_task(self._keep_alive(), name="hub-heartbeat"),
        ]

    async def stop(self, reason: str = "shutdown") -> None:
        """Say goodbye to every reader and end their streams; a second call does nothing."""
        self._ending = self._ending or reason
        for client in self._clients:
            client.wake.set()
        ending, self._tasks = self._tasks, []
        for task in ending:
            task.cancel()
        # Whoever watches the tasks hears how they ended; stopping goes on whatever that was.
        await asyncio.gather(*ending, return_exceptions=True)

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """What runs in the background; one that ends by itself is a fault."""
        return tuple(self._tasks)

    @property
    def is_running(self) -> bool:
        """Whether it started and has not been stopped."""
        return bool(self._tasks) and not self._ending

    @property
    def client_count(self) -> int:
        """Readers with an open stream."""
        return len(self._clients)

    # Producers

    def offer(self) -> None:
        """State changed; its versions say what.  Readers get it with the next flush."""
        self._dirty.set()

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_from_here()
            except Gap:
                # The log let go of events before we read them: readers that are behind find
                # the gap themselves when they look into the log.
                self._ring.clear()
                self._tailed = await self._log.last()
                for client in self._clients:
                    client.wake.set()
            else:
                return

    async def _follow_from_here(self) -> None:
        async for event in self._log.tail(self._tailed):
            self._ring.append(_Ringed(event.sequence, event.topics, self._encode(event)))
            self._tailed = event.sequence
            for client in self._clients:
                if _hears(client, event.topics):
                    client.wake.set()

    def _encode(self, event: Event) -> bytes:
        """A logged event; one that cannot be encoded must not end the tail for everybody."""
        try:
            return encode_event(event, self._log.epoch)
        except InputError as error:
            logger.error("event %d was not sent: %s", event.sequence, error.detail)  # noqa: TRY400
            return b""

    async def _flush(self) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._dirty.clear()
            for client in self._clients:
                if self._has_state(client):
                    client.wake.set()

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS / 15)
            now = loop.time()
            for client in tuple(self._clients):
                if client.writing_since and now - client.writing_since > STALL_SECONDS:
                    client.cut()
                elif client.written_at <= now - HEARTBEAT_SECONDS:
                    client.wake.set()

    # Readers

    async def subscribe(
        self,
        topics: frozenset[str],
        metadata: dict[str, str] | None = None,
        last_event_id: str | None = None,
    ) -> SSEClient:
        """A reader of these topics, from a position or from now.

        It costs nothing until `stream` runs, so a response that never starts leaks nothing.
        """
        client = SSEClient(topics, metadata or {})
        last = await self._log.last()
        if last_event_id is None:
            client.position = last
            return client
        position = parse_position(last_event_id, self._log.epoch)
        if position is not None and await self._can_resume(position, topics):
            client.position = position
        else:
            client.position = last
            client.resume_gap = (last_event_id, last)
        return client

    async def _can_resume(self, position: int, topics: frozenset[str]) -> bool:
        try:
            await self._log.read(position, topics, 1)
        except Gap:
            return False
        return True

    def unsubscribe(self, client: SSEClient) -> None:
        """Forget a reader; twice is as good as once."""
        self._clients.discard(client)

    async def stream(self, client: SSEClient) -> AsyncIterator[bytes]:
        """The bytes of one reader's stream, until it leaves or the hub stops."""
        loop = asyncio.get_running_loop()
        self._clients.add(client)
        try:
            client.written_at = client.writing_since = loop.time()
            yield self._opening(client)
            while not self._ending:
                # Cleared before looking, so that nothing that comes while we look is missed.
                client.wake.clear()
                client.writing_since = 0.0
                chunk = await self._due(client)
                if not chunk and loop.time() - client.written_at >= HEARTBEAT_SECONDS:
                    chunk = self._heartbeat(client)
                if chunk:
                    client.written_at = client.writing_since = loop.time()
                    yield chunk
                else:
                    await client.wake.wait()
            yield await self._due(client) + self._goodbye()
        finally:
            self.unsubscribe(client)

    def _opening(self, client: SSEClient) -> bytes:
        data: dict[str, object] = {
            "topics": sorted(client.topics),
            "position": position_text(self._log.epoch, client.position),
        }
        if client.resume_gap:
            was, last = client.resume_gap
            position = parse_position(was, self._log.epoch)
            data["gap"] = {
                "from": None if position is None else was,
                "to": position_text(self._log.epoch, last),
            }
        retry = b"retry: %d\n\n" % random.randint(*RETRY_MILLISECONDS)  # noqa: S311 - spread
        identity = position_text(self._log.epoch, client.position)
        return retry + self._message(EventType.CONNECTED, data, identity)

    def _goodbye(self) -> bytes:
        data = {"reason": self._ending}
        retry = random.randint(*RETRY_MILLISECONDS)  # noqa: S311 - only spreads load
        return self._message(EventType.DISCONNECTED, data, retry=retry)

    def _heartbeat(self, client: SSEClient) -> bytes:
        if not client.heartbeat_events:
            return COMMENT
        return self._message(EventType.HEARTBEAT, {})

    def _message(
        self,
        type_: EventType,
        data: Mapping[str, object],
        id_: str = "",
        retry: int | None = None,
        limit: int = LONGEST_EVENT_BYTES,
    ) -> bytes:
        encoded = payload(data, timestamp(self._clock()), secrets.token_hex(8), limit)
        return SSEEvent(type_, encoded, id_, retry).to_sse_format()

    # What a reader is owed

    async def _due(self, client: SSEClient) -> bytes:
        """Every event and the newest state that the reader has not seen, as one write."""
        parts = await self._events_for(client)
        parts += [
            self._state_for(topic, client.seen.get(topic, 0))
            for topic in sorted(client.topics)
            if frames.is_state(topic)
        ]
        for topic in client.topics:
            if frames.is_state(topic):
                client.seen[topic] = self._state.version
        return b"".join(parts)

    async def _events_for(self, client: SSEClient) -> list[bytes]:
        if client.position >= self._tailed:
            return []
        if self._ring and self._ring[0].sequence <= client.position + 1:
            due = [
                ringed.encoded
                for ringed in self._ring
                if ringed.sequence > client.position and _hears(client, ringed.topics)
            ]
            client.position = self._tailed
            return due
        return await self._replayed(client)

    async def _replayed(self, client: SSEClient) -> list[bytes]:
        """One page of the log; the reader comes back for the next."""
        topics = None if "log" in client.topics else client.topics
        try:
            events, searched, _ = await self._log.read(client.position, topics, REPLAY_PAGE_EVENTS)
        except Gap:
            last = self._tailed
            was = position_text(self._log.epoch, client.position)
            client.position = last
            client.seen.clear()
            client.resume_gap = (was, last)
            return [self._opening(client)]
        client.position = searched
        if searched < self._tailed:
            client.wake.set()
        return [self._encode(event) for event in events]

    def _has_state(self, client: SSEClient) -> bool:
        return any(
            frames.version(self._state, topic) > client.seen.get(topic, 0)
            for topic in client.topics
            if frames.is_state(topic)
        )

    def _state_for(self, topic: str, seen: int) -> bytes:
        """What changed on a topic since a version, encoded once for all who saw the same."""
        if self._encoded_version != self._state.version:
            self._encoded.clear()
            self._encoded_version = self._state.version
        known = self._encoded.get((topic, seen))
        if known is None:
            known = b"".join(map(self._update, frames.changes(self._state, topic, seen)))
            self._encoded[topic, seen] = known
        return known

    def _update(self, data: Mapping[str, object]) -> bytes:
        """One message of state; one that cannot be encoded costs nobody their stream."""
        try:
            return self._message(EventType.METRIC_UPDATE, data, limit=LARGEST_STATE_BYTES)
        except InputError as error:
            logger.warning("state was not sent: %s", error.detail)
            return b""


def _hears(client: SSEClient, topics: tuple[str, ...]) -> bool:
    return "log" in client.topics or not client.topics.isdisjoint(topics)
