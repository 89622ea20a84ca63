"""Bytes to readers: the same to all that are live, and to each that is behind what it lacks.

A live reader has everything up to this delivery's own position in the log and version of the
state.  One that is behind has a position and a version of its own, and is brought up as fast
as it reads; only then is it live.  State that it missed meanwhile is never sent, events are.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from monitor.core.access import View
from monitor.core.messages import Problem
from monitor.model import Event, EventType
from monitor.ports import EventLog
from monitor.stream.counters import Counters
from monitor.stream.crowd import Crowd, Group, Write
from monitor.stream.reader import Sink, SSEClient
from monitor.stream.replay import Replay
from monitor.stream.ring import Hearing, Ring, Ringed
from monitor.stream.speech import Speech
from monitor.stream.state import StateView
from monitor.stream.wire import Block, Squeezer

PIECE_BYTES = 64 * 1024
"""What is written to one connection at once; larger events and states go in parts of it."""

WRITES_AT_ONCE = 1_000
"""Readers written to before the event loop is given to others: some 4 ms."""

MOST_SHARED = 256
"""What was made for readers that are behind is kept until the next flush, so much of it."""

ENDED_SECONDS = 10.0
"""How long a reader that was said goodbye may take to read what is left; then it is cut."""

LEASE_SECONDS = (24 * 60.0, 30 * 60.0)
"""A stream ends after so long, random, and its reader comes back: behind a proxy nothing else
tells that a reader has gone."""


Readers = tuple[tuple[SSEClient, Write], ...]


class Delivery:
    """Every reader and what it has.  It is the keeper of its readers."""

    def __init__(self, log: EventLog, state: StateView, speech: Speech) -> None:
        self._state = state
        self._speech = speech
        self._squeezer = Squeezer()
        self._owed: dict[tuple[str, int, View], tuple[int, list[Block]]] = {}
        self._shared: dict[tuple[int, Hearing], tuple[Block, int]] = {}
        self.replay = Replay(log, self._page, self._arrived, self.lose, self._failed)
        self.ring = Ring()
        self.crowd = Crowd()
        self.counters = Counters()
        self.position = 0
        self.version = 0
        self.gone: list[Callable[[SSEClient], None]] = []

    def begin_at(self, position: int) -> None:
        """Go on from another position in the log: whoever is live is behind from now on."""
        before, self.position = self.position, position
        self.ring.begin(position)
        self._shared.clear()
        for group in self.crowd.groups():
            for client in tuple(group.writes):
                self.crowd.fall_behind(client, before, self.version)
        self._bring_up(flush=False)

    def forget(self, topic: str) -> None:
        """What was made of a topic's state for newcomers holds no longer."""
        for known in [each for each in self._owed if each[0] == topic]:
            del self._owed[known]

    # To those that are live

    async def deliver(self, events: Sequence[Ringed], *, flush: bool) -> None:
        """Bring new events, and with `flush` what changed of the state, to everybody."""
        position, since = self.position, self.version
        self._shared.clear()
        if events:
            self.ring.extend(events)
            self.position = events[-1].sequence
            self.counters.events_total += len(events)
        if flush:
            self.version = self._state.version
            self._owed.clear()
        plan = self._planned(events, position, since if flush else None)
        # Whoever is live from now on has what is planned already.  This comes before anything
        # is awaited, so that no reader is left behind by state that changes all the time.
        self._bring_up(flush=flush)
        for group, block, readers in plan:
            await self._write_all(group, block, readers)

    def _planned(
        self, events: Sequence[Ringed], position: int, since: int | None
    ) -> list[tuple[Group, Block, Readers]]:
        """What is to be written to whom; readers of something large are behind from now on."""
        plan: list[tuple[Group, Block, Readers]] = []
        due: dict[Hearing, Block | None] = {}
        seen = self.version if since is None else since
        for group in self.crowd.groups():
            hearing = group.audience.hearing
            if hearing not in due:
                due[hearing] = self._due(hearing, events, since)
            block = due[hearing]
            if block is None:
                continue
            if len(block.plain) > PIECE_BYTES:
                for client in tuple(group.writes):
                    self.crowd.fall_behind(client, position, seen)
                continue
            if any(hearing.hears(event) for event in events):
                group.told, group.told_at = self.position, self._now()
            plan.append((group, block, tuple(group.writes.items())))
        return plan

    def _due(self, hearing: Hearing, events: Sequence[Ringed], since: int | None) -> Block | None:
        """What readers of a hearing get now, or none."""
        blocks: list[Block] = []
        if said := b"".join([event.encoded for event in events if hearing.hears(event)]):
            blocks.append(self.block(said))
        if since is not None:
            for topic in sorted(hearing.topics):
                blocks += self._changes(topic, since, hearing.view)[1]
        return Block.joined(blocks, self._squeezer) if blocks else None

    async def _write_all(self, group: Group, block: Block, readers: Readers) -> None:
        piece = block.on(group.audience.wire)
        group.spoke_at = self._now()
        self.counters.writes_total += len(readers)
        self.counters.sent_bytes_total += len(readers) * len(piece)
        for start in range(0, len(readers), WRITES_AT_ONCE):
            batch = readers[start : start + WRITES_AT_ONCE]
            if start:
                await asyncio.sleep(0)
            for client, write in batch:
                if client.is_here:  # others ran since this was planned
                    write(piece)

    def say_to_all(self, group: Group, said: bytes, idle_since: float | None = None) -> None:
        """Write something to every reader of a group: a position, a heartbeat.

        With `idle_since` only to those that nothing was written to after that time.
        """
        piece = self.block(said).on(group.audience.wire)
        for client in tuple(group.writes):
            if idle_since is None or client.spoke_at <= idle_since:
                self._write(client, piece)

    # To those that are behind

    def _bring_up(self, *, flush: bool) -> None:
        for client in self.crowd.behind():
            if not client.is_slow:
                self.advance(client)
            elif flush and any(self._state.has_changed(t, client.seen) for t in client.topics):
                self.counters.conflations_total += 1

    def advance(self, client: SSEClient) -> None:
        """Write what a reader is owed while it takes it; with nothing left it is live."""
        while not client.is_slow and not client.is_live and client.is_here:
            if client.sink is None:
                return
            if client.pending:
                self._write_part(client)
            elif client.position < self.ring.begins_after:
                self.replay.ask(client)
                return
            elif client.position > self.position:
                return  # where it has been, this server has not yet
            elif client.position < self.position:
                hearing = client.audience.hearing
                block, client.position = self._events_after(client.position, hearing)
                self._queue(client, block)
            elif client.seen < self.version:
                self._queue_state(client)
            elif client.seen > self.version:
                return  # what it has seen of the state is newer than the last flush
            else:
                self.crowd.go_live(client, client.sink.write, self._now(), self.position)

    def _events_after(self, position: int, hearing: Hearing) -> tuple[Block, int]:
        """What the ring has for readers at a position: one block for all that stand there."""
        known = self._shared.get((position, hearing))
        if known is None:
            events, at = self.ring.after(position, hearing, PIECE_BYTES)
            known = self.block(b"".join([event.encoded for event in events])), at
            if len(self._shared) < MOST_SHARED:
                self._shared[position, hearing] = known
        return known

    def _queue_state(self, client: SSEClient) -> None:
        reached = self._state.version
        for topic in sorted(client.topics):
            version, blocks = self._changes(topic, max(client.seen, 0), client.audience.view)
            reached = min(reached, version)
            for block in blocks:
                self._queue(client, block)
        client.seen = reached

    def _changes(self, topic: str, seen: int, view: View) -> tuple[int, list[Block]]:
        """What changed on a topic since a version; made once for all that saw the same."""
        known = self._owed.get((topic, seen, view))
        if known is None:
            blocks = [
                self.block(encoded)
                for type_, data in self._state.changes(topic, seen, view)
                if (encoded := self._speech.state(type_, data))
            ]
            known = self._state.version, blocks
            if len(self._owed) < MOST_SHARED:
                self._owed[topic, seen, view] = known
        return known

    def _queue(self, client: SSEClient, block: Block) -> None:
        if block.plain:
            client.pending.append(block.on(client.audience.wire))

    def _write_part(self, client: SSEClient) -> None:
        """Write the first of what is pending, or as much of it as goes at once."""
        piece = client.pending.popleft()
        if len(piece) > PIECE_BYTES:
            whole = memoryview(piece)
            client.pending.appendleft(whole[PIECE_BYTES:])
            piece = whole[:PIECE_BYTES]
        self._write(client, piece)

    def _page(self, events: Sequence[Event], hearing: Hearing) -> Block:
        """A page of the log as readers of a hearing get it."""
        return self.block(self.said(events, hearing))

    def said(self, events: Sequence[Event], hearing: Hearing) -> bytes:
        """Events of the log as readers of a hearing get them."""
        found = (self._speech.logged(event) for event in events)
        return b"".join([event.encoded for event in found if hearing.hears(event)])

    def newest(self, topic: str, view: View) -> list[Block]:
        """A topic's whole state as it is now, shared by all who ask before it changes."""
        known = self._owed.get((topic, 0, view))
        if known is not None and self._state.has_changed(topic, known[0]):
            del self._owed[topic, 0, view]
        return self._changes(topic, 0, view)[1]

    def _arrived(self, client: SSEClient, page: Block, position: int) -> None:
        """A page of the log came for a reader that is further behind than the ring."""
        if not client.is_here:
            return
        client.position = position
        self._queue(client, page)
        self.advance(client)

    def lose(self, client: SSEClient) -> None:
        """The log has let go of what a reader was owed: it is told so, and begins anew."""
        if not client.is_here:
            return
        client.has_gap, client.gap_from = True, self._speech.position(client.position)
        client.position, client.seen = self.position, -1
        self._greet(client)
        self.advance(client)

    def _failed(self, client: SSEClient) -> None:
        problem = Problem(code="unavailable", detail="the log cannot be read now")
        self.say(client, self._speech.message(EventType.ERROR, problem))
        self.end(client, "unavailable")

    # One reader's life

    def attach(self, client: SSEClient, sink: Sink) -> None:
        """Begin a reader's stream: from now on its bytes go to this sink."""
        client.sink, client.keeper = sink, self
        client.expires_at = self._now() + random.uniform(*LEASE_SECONDS)  # noqa: S311
        client.told_at = self._now()
        self.crowd.join(client)
        if opening := client.audience.wire.opening():
            self._write(client, opening)
        self._greet(client)
        self.advance(client)

    def greeting(self, client: SSEClient) -> bytes:
        """A reader's ``connected``, with its gap, which is then told."""
        if client.has_gap:
            self.counters.gaps_total += 1
        client.told = client.position
        said = self._speech.greeting(
            client.topics, client.position, client.gap_from, has_gap=client.has_gap
        )
        client.has_gap, client.gap_from = False, None
        return said

    def _greet(self, client: SSEClient) -> None:
        self.say(client, self.greeting(client))

    def say(self, client: SSEClient, said: bytes) -> None:
        """Write something to one reader, or have it wait behind what is pending."""
        self._queue(client, self.block(said))
        while client.pending and not client.is_slow and client.sink is not None:
            self._write_part(client)

    def end(self, client: SSEClient, reason: str) -> None:
        """Say goodbye to a reader and end its stream; what it was owed comes before."""
        if not client.is_here:
            return
        self.advance(client)
        sink = client.sink
        if sink is None or not client.is_here:
            return
        wire = client.audience.wire
        farewell = self.block(self._speech.goodbye(reason)).on(wire)
        rest = b"".join([*client.pending, farewell, wire.ending()])
        self.counters.evictions_total[reason] += 1
        self.unsubscribe(client)
        sink.write(rest)
        sink.close()
        if sink.get_write_buffer_size():
            asyncio.get_running_loop().call_later(ENDED_SECONDS, client.cut)

    def unsubscribe(self, client: SSEClient) -> None:
        """Forget a reader; twice is as good as once."""
        if not self.crowd.leave(client):
            return
        client.pending.clear()
        for callback in self.gone:
            callback(client)

    def stalled(self, client: SSEClient) -> None:
        """A reader took nothing for too long, by our clock or the kernel's: count it, once."""
        if client.is_here:
            self.counters.stalls_total += 1
            self.counters.evictions_total["stalled"] += 1

    def talked(self, client: SSEClient) -> None:
        """It sent much, where a reader has nothing to say."""
        if client.is_here:
            self.counters.evictions_total["talked"] += 1
            self.unsubscribe(client)

    def went_slow(self, client: SSEClient) -> None:
        """Its transport holds as much as it may: from here on it is behind."""
        self.crowd.fall_behind(client, self.position, self.version)
        client.unread = client.sink.get_write_buffer_size() if client.sink else 0
        client.unread_since = self._now()

    def caught_up(self, client: SSEClient) -> None:
        """Its transport takes more."""
        self.advance(client)

    def block(self, said: bytes) -> Block:
        """Messages as a block."""
        return Block(said, self._squeezer)

    def _write(self, client: SSEClient, piece: bytes | memoryview) -> None:
        if client.sink is None:
            return
        client.spoke_at = self._now()
        self.counters.writes_total += 1
        self.counters.sent_bytes_total += len(piece)
        client.sink.write(piece)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
