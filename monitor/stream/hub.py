"""The hub: one tail of the log and one live state, read by many at their own pace.

It is the seed's `EventPublisher` by name: who produces and who reads meet here.  There is no
queue, timer or task per reader and none per event; `Delivery` says how bytes reach readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import replace

from monitor.core import messages
from monitor.core.events import document
from monitor.core.state import LiveState
from monitor.errors import InputError, Unavailable, excerpt
from monitor.model import Event, EventType
from monitor.ports import EventLog, Gap
from monitor.stream import topics as topic_names
from monitor.stream.counters import Counters
from monitor.stream.delivery import Delivery
from monitor.stream.reader import Audience, Pipe, Sink, SSEClient
from monitor.stream.replay import asked
from monitor.stream.ring import MOST_EVENTS
from monitor.stream.speech import COMMENT, Speech, logger
from monitor.stream.state import StateView

FLUSH_SECONDS = 0.05
"""State that changes within this time leaves together."""

LONGEST_FLUSH_SECONDS = 1.0
FLUSH_SHARE = 0.1
"""Where bringing state to everybody takes long the next flush waits, so that it takes at most
this share of the time."""

HEARTBEAT_SECONDS = 15.0
"""A connection that has been idle for so long gets a comment, or a heartbeat where it asked."""

SWEEP_SECONDS = 1.0
"""How often readers are looked at for what time does to them."""

STALL_SECONDS = 10.0
"""A reader that takes nothing of what waits for it for so long does not read, and is cut."""

BUSY_SECONDS = 0.5
"""How long a log that is busy is left alone."""

AHEAD_SECONDS = 2.0
"""How long a position is waited for that the log has and our tail has not read yet (STREAM 1)."""

MOST_ONCE_EVENTS = 1_000
"""Events in one answer to a client that does not stay; it comes back for more."""


class EventPublisher:
    """Carries the log and the live state to whoever subscribed."""

    def __init__(self, log: EventLog, state: LiveState, clock: Callable[[], float]) -> None:
        self._log = log
        self._state = StateView(state)
        self._speech = Speech(lambda: log.epoch, clock)
        self._delivery = Delivery(log, self._state, self._speech)
        self._delivering = asyncio.Lock()
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = ""
        self._asking: dict[tuple[int, frozenset[str]], asyncio.Future[bool]] = {}

    # Life

    async def start(self) -> None:
        """Begin to follow the log and to flush state."""
        await self._fill()
        self._delivery.version = self._state.version
        self._tasks = [
            asyncio.create_task(self._follow(), name="hub-tail"),
            asyncio.create_task(self._flush(), name="hub-flush"),
            asyncio.create_task(self._sweep(), name="hub-sweep"),
            asyncio.create_task(self._delivery.replay.run(), name="hub-replay"),
        ]

    async def stop(self, reason: str = "shutdown") -> None:
        """Say goodbye to every reader and end their streams; a second call does nothing."""
        if self._ending:
            return
        self._ending = reason
        ending, self._tasks = self._tasks, []
        for task in ending:
            task.cancel()
        # Whoever watches the tasks hears how they ended; stopping goes on whatever that was.
        await asyncio.gather(*ending, return_exceptions=True)
        try:
            await self._delivery.deliver([], flush=True)
        except Exception:  # noqa: BLE001 - what failed may fail again; all are owed a goodbye
            logger.exception("the newest state was not sent at the end")
        for client in self._delivery.crowd.clients():
            self._delivery.end(client, reason)

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
        return len(self._delivery.crowd)

    @property
    def counters(self) -> Counters:
        """What it did since it started."""
        return self._delivery.counters

    def on_disconnect(self, callback: Callable[[SSEClient], None]) -> None:
        """Have a function called with every reader that is gone, whoever ended it."""
        self._delivery.gone.append(callback)

    def watched(self, host: str) -> bool:
        """Whether somebody looks at one host now, and not at the fleet alone."""
        return self._delivery.crowd.hears(f"host:{host}")

    def on_watched(self, callback: Callable[[str, bool], None]) -> None:
        """Have a function called with a host that somebody begins to look at, or nobody does."""

        def hear(topic: str, is_heard: bool) -> None:
            kind, _, host = topic.partition(":")
            if kind == "host":
                callback(host, is_heard)

        self._delivery.crowd.watching.append(hear)

    # Producers

    async def publish(
        self,
        event: Event,
        topic: str | None = None,
        client_ids: Collection[str] | None = None,
    ) -> int:
        """Append an event to the log, from which every reader of its topics gets it.

        `topic` replaces the event's own topics.  Returns the position.  With `client_ids` the
        event is not logged but said to these readers alone, to nobody where there are none,
        and the number that it was said to is returned; types that are logged cannot be.
        Raises `InputError` where the event is not what its type says, or cannot be encoded.
        """
        if client_ids is not None:
            return self._say(event, client_ids)
        if topic is not None:
            event = replace(event, topics=(topic,))
        messages.check(event)
        for name in event.topics:
            if not topic_names.is_topic(name):
                raise InputError(f"there is no topic {excerpt(name)}", code="unknown_topic")
        return await self._log.append([event])

    def _say(self, event: Event, client_ids: Collection[str]) -> int:
        shape = messages.PASSING.get(event.type)
        if shape is None:
            detail = f"an event of type {event.type.value} is for the log, not for some readers"
            raise InputError(detail, code="not_for_clients", field="type")
        messages.check_data(shape, event.data)
        said = self._speech.passing(event)
        crowd = self._delivery.crowd
        found = [client for each in client_ids if (client := crowd.find(each)) is not None]
        for client in found:
            self._delivery.say(client, said)
        return len(found)

    def show(self, topic: str, key: str, type_: EventType, data: Mapping[str, object]) -> None:
        """Show something on a topic until its newer self replaces it: state, without an id.

        A pending alert, text that is still being produced.  It is conflated as the hosts'
        numbers are, and newcomers get what is shown.  Raises `InputError` as `publish` does.
        """
        shape = messages.LOGGED.get(type_)
        if shape is None or not topic_names.is_topic(topic):
            raise InputError("it cannot be shown there", code="unknown_topic", field="topic")
        messages.check_data(shape, data)
        document(data, "")
        self._state.show(topic, key, type_, data)
        self.offer()

    def hide(self, topic: str, key: str) -> None:
        """Show it no longer: whoever comes now is not told of it."""
        self._state.hide(topic, key)
        self._delivery.forget(topic)

    def offer(self) -> None:
        """State changed; its versions say what.  Readers get it with the next flush."""
        self._changed.set()

    # Readers

    async def subscribe(
        self,
        topics: frozenset[str],
        metadata: Mapping[str, str] | None = None,
        last_event_id: str | None = None,
        audience: Audience | None = None,
    ) -> SSEClient:
        """A reader of these topics, from a position or from now.

        It costs nothing until it is attached, so a response that never starts leaks nothing.
        `audience` says more of how it reads than its topics alone.
        """
        audience = audience or Audience(topics)
        if last_event_id is None:
            return SSEClient(audience, self._delivery.position, metadata)
        position = self._speech.parse(last_event_id)
        if position is not None and await self._holds(position, topics):
            return SSEClient(audience, position, metadata)
        client = SSEClient(audience, await self._log.last(), metadata)
        client.has_gap = True
        client.gap_from = None if position is None else last_event_id
        return client

    async def _holds(self, position: int, topics: frozenset[str]) -> bool:
        """Whether the log has everything after a position; by its word, not by our tail.

        All who come back from the same place at the same time are answered by one look.
        """
        asking = self._asking.get((position, topics))
        if asking is None:
            asking = asyncio.ensure_future(self._has_all_after(position, topics))
            self._asking[position, topics] = asking
            asking.add_done_callback(lambda _: self._asking.pop((position, topics), None))
        return await asyncio.shield(asking)

    async def _has_all_after(self, position: int, topics: frozenset[str]) -> bool:
        try:
            await self._log.read(position, asked(topics), 1)
        except Gap:
            return False
        return True

    def attach(self, client: SSEClient, sink: Sink) -> None:
        """Begin a reader's stream: from now on its bytes go to this sink."""
        self._delivery.attach(client, sink)
        if self._ending:
            self._delivery.end(client, self._ending)

    async def stream(self, client: SSEClient) -> AsyncIterator[bytes]:
        """The bytes of one reader's stream, for whoever has no connection to attach."""
        pipe = Pipe(client)
        self.attach(client, pipe)
        try:
            async for piece in pipe.read():
                yield piece
        finally:
            self.unsubscribe(client)

    async def once(self, client: SSEClient) -> bytes:
        """What a reader is owed now, whole, for a client that cannot stay.

        It ends with the position to come back from.  The reader is never attached.
        """
        position = client.position
        try:
            events, position, _ = await self._log.read(
                client.position, asked(client.topics), MOST_ONCE_EVENTS
            )
        except Gap:
            client.has_gap, client.gap_from = True, self._speech.position(client.position)
            client.position = position = self._delivery.position
            events = []
        hearing = client.audience.hearing
        state = [
            block.plain
            for topic in sorted(client.topics)
            for block in self._delivery.newest(topic, hearing.view)
        ]
        said = self._delivery.said(events, hearing)
        greeting = self._delivery.greeting(client)
        return b"".join([greeting, said, *state, self._speech.advance(position)])

    def end(self, client: SSEClient, reason: str) -> None:
        """Say goodbye to a reader and end its stream: it was revoked, or replaced."""
        self._delivery.end(client, reason)

    def unsubscribe(self, client: SSEClient) -> None:
        """Forget a reader; twice is as good as once."""
        self._delivery.unsubscribe(client)

    # What runs

    async def _fill(self) -> None:
        """Take the newest part of the log into the ring, for readers who come back."""
        last = await self._log.last()
        after = max(0, last - MOST_EVENTS)
        try:
            events, position, _ = await self._log.read(after, None, MOST_EVENTS)
        except Gap as gap:
            after = gap.floor
            events, position, _ = await self._log.read(after, None, MOST_EVENTS)
        ring = self._delivery.ring
        ring.begin(after)
        ring.extend(self._speech.logged(event) for event in events)
        self._delivery.position = position

    async def _follow(self) -> None:
        while True:
            try:
                async for page in self._log.tail(self._delivery.position):
                    events = [self._speech.logged(event) for event in page]
                    async with self._delivering:
                        await self._delivery.deliver(events, flush=False)
            except Gap:
                # The log let go of events before we read them.  Whoever reads is now behind
                # the ring, looks into the log and is told of the gap.
                last = await self._last_of_a_busy_log()
                async with self._delivering:
                    self._delivery.begin_at(last)
            else:
                return

    async def _last_of_a_busy_log(self) -> int:
        while True:
            try:
                return await self._log.last()
            except Unavailable as error:
                logger.warning("the log cannot be read: %s", error.detail)
                await asyncio.sleep(BUSY_SECONDS)

    async def _flush(self) -> None:
        """Bring state to everybody, a little after it changed, and not all the time."""
        loop = asyncio.get_running_loop()
        not_before = 0.0
        while True:
            await self._changed.wait()
            await asyncio.sleep(max(FLUSH_SECONDS, not_before - loop.time()))
            self._changed.clear()
            async with self._delivering:
                began = loop.time()
                await self._delivery.deliver([], flush=True)
                ended = loop.time()
            rest = (ended - began) / FLUSH_SHARE
            not_before = ended + min(LONGEST_FLUSH_SECONDS, rest)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            # Not in the middle of a delivery: a position must not overtake its event.
            async with self._delivering:
                self._look_after_all(loop.time())

    def _look_after_all(self, now: float) -> None:
        self._keep_alive(now)
        for client in self._delivery.crowd.clients():
            if now >= client.expires_at:
                self._delivery.end(client, "lease")
            elif client.is_slow:
                self._watch(client, now)
        for client in self._delivery.crowd.behind():
            ahead = client.position > self._delivery.position
            if ahead and now - client.spoke_at >= AHEAD_SECONDS:
                self._delivery.lose(client)

    def _keep_alive(self, now: float) -> None:
        """Advance the positions of quiet readers, and let idle ones hear something."""
        position = self._delivery.position
        long_ago = now - HEARTBEAT_SECONDS
        for group in self._delivery.crowd.groups():
            audible = group.audience.heartbeat_events
            if position > group.told and group.told_at <= long_ago:
                group.told, group.told_at = position, now
                speech = self._speech
                said = speech.heartbeat(position) if audible else speech.advance(position)
                self._delivery.say_to_all(group, said)
            elif group.spoke_at <= long_ago:
                said = self._speech.heartbeat(position) if audible else COMMENT
                self._delivery.say_to_all(group, said, long_ago)

    def _watch(self, client: SSEClient, now: float) -> None:
        """Cut a slow reader that takes nothing any more."""
        if client.sink is None:
            return
        unread = client.sink.get_write_buffer_size()
        if unread < client.unread:
            client.unread, client.unread_since = unread, now
        elif now - client.unread_since > STALL_SECONDS:
            self._delivery.stalled(client)
            self._delivery.unsubscribe(client)
            client.cut()
