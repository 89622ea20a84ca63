"""One agent's open connection: documents come up, acknowledgements and wishes go down.

It is the protocol of its connection, as a reader of the stream is of its.  Documents are taken in
the order in which they came, one at a time; what was stored is acknowledged, several at once where
several wait.  While too many wait nothing more is read, so that a sender that is ahead waits in its
own memory.  Whoever does not read its acknowledgements is cut.

What is asked of it from outside: `end`, when its credential holds no more, and `stop`, when the
server does.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import structlog

from monitor.core.load import Load, Shed
from monitor.errors import MonitorError, Unavailable
from monitor.ingest.intake import Receipt
from monitor.web.bodies import BODY_SECONDS, LONGEST_BODY_BYTES, RETRY_AFTER_SECONDS, Bodies
from monitor.web.problems import of_error
from monitor.web.wsframes import Message, Misuse, Opcode, Reader, close, frame

MOST_UNDER_WAY = 16
"""Documents of one connection that have come and are not stored; beyond nothing is read."""

READ_AGAIN = 8
"""So few of them have it read on."""

LOOK_SECONDS = 10.0
"""How often a connection is looked at for what time does to it."""

QUIET_SECONDS = 20.0
"""Who has said nothing for so long is asked whether he is there."""

GONE_SECONDS = 50.0
"""Who has said nothing for so long, although he was asked, is not."""

LINGER_SECONDS = 1.0
"""How long the peer has to read why the connection ends, before it does."""

MOST_HOSTS = 64
"""Of one connection, whose readers are looked at on its behalf: an agent's has one."""

NORMAL, MISUSE, RESTART, AGAIN = 1000, 1008, 1012, 1013
REVOKED, HOST_TAKEN = 4401, 4409
"""Codes that a connection ends with."""


class Wire(Protocol):
    """The connection's way out, and how its way in is held."""

    def write(self, data: bytes) -> None:
        """Take these bytes; never blocks."""

    def close(self) -> None:
        """Pass on what was taken, then end."""

    def abort(self) -> None:
        """End at once."""

    def pause_reading(self) -> None:
        """Let nothing more in."""

    def resume_reading(self) -> None:
        """Let more in again."""


class Keeper(Protocol):
    """Who is told of what happens to a connection, and knows who reads."""

    def gone(self, link: AgentLink) -> None:
        """It is gone."""

    def watched(self, hosts: frozenset[str]) -> bool:
        """Whether somebody looks at one of these."""

    def speaks_for(self, link: AgentLink, host: str) -> None:
        """It brings this host's frames."""

    def count(self, code: str) -> None:
        """A document was refused."""


Push = Callable[[bytes, bool], Awaitable[Receipt]]
"""Stores a document, which is MessagePack where the second is true."""


class AgentLink(asyncio.Protocol):
    """One connection."""

    def __init__(self, push: Push, load: Load, bodies: Bodies, keeper: Keeper) -> None:
        self.let_go: Callable[[], None] | None = None
        """Called once its connection is gone, by whoever held that before."""
        self.hosts: frozenset[str] = frozenset()
        """Whose frames it brings."""
        self._push = push
        self._load = load
        self._bodies = bodies
        self._keeper = keeper
        self._wire: Wire | None = None
        self._reader = Reader(LONGEST_BODY_BYTES)
        self._documents: deque[Message] = deque()
        self._waiting_bytes = 0
        self._held_bytes = 0
        self._acks: list[tuple[str, int]] = []
        self._refused: list[tuple[str | None, int | None, dict[str, Any]]] = []
        self._was_watched = False
        self._is_text = False
        """Whether it speaks JSON, and is answered so."""
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = self._whole_at = 0.0
        self._is_paused = self._is_ending = self._is_stopping = False
        self._last = (RESTART, "")

    # Life

    def begin(self, wire: Wire, hello: dict[str, Any] | None) -> None:
        """The connection is open: say who we are, to who asked by the protocol's name.

        Anybody else, a script, hears first what became of its first document.
        """
        self._wire = wire
        self._heard_at = self._whole_at = time.monotonic()
        self._was_watched = self._keeper.watched(self.hosts)
        if hello is not None:
            self.say(hello | {"watched": self._was_watched})
        self._look_later()

    def say(self, what: dict[str, Any]) -> None:
        """Send something down, where it is open still."""
        if self._wire is not None and not self._is_ending:
            if self._is_text:
                self._wire.write(frame(Opcode.TEXT, msgspec.json.encode(what)))
            else:
                self._wire.write(frame(Opcode.BINARY, msgspec.msgpack.encode(what)))

    def tell_watched(self) -> None:
        """Somebody begins or ends to look at a host: say so, where it is news."""
        watched = self._keeper.watched(self.hosts)
        if watched is not self._was_watched:
            self._was_watched = watched
            self.say({"watched": watched})

    def end(self, code: int, reason: str) -> None:
        """End it, telling why; documents that are not being stored yet are let go of."""
        if self._is_ending or self._wire is None:
            return
        self._wire.write(close(code, reason))
        self._is_ending = True
        self._drop()
        self._resume()  # to hear that the peer has read it
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._finish)

    def stop(self) -> None:
        """End it as the server does: what has come is stored and acknowledged before."""
        self._wind_up(RESTART, "the server stops")

    def _wind_up(self, code: int, reason: str) -> None:
        """Take nothing more, and end once what has come is stored."""
        self._is_stopping = True
        self._last = code, reason
        if self._task is None and not self._documents:
            self._end_well()

    def _end_well(self) -> None:
        code, reason = self._last
        self.end(code, reason)
        if code == NORMAL:
            self._finish()  # the peer has said that it ends, and waits for this alone

    def _finish(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def _cut(self) -> None:
        if self._wire is not None:
            self._wire.abort()

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """See what time has done."""
        now = time.monotonic()
        if now - self._heard_at >= GONE_SECONDS and not self._is_paused:
            self._cut()
            return
        if self._reader.is_within and not self._is_paused and now - self._whole_at > BODY_SECONDS:
            self.end(MISUSE, "a message does not come, or comes too slowly")
            return
        if now - self._heard_at >= QUIET_SECONDS and self._wire is not None:
            self._wire.write(frame(Opcode.PING, b""))
        self._look_later()

    # What the transport says

    def data_received(self, data: bytes) -> None:
        """Take what came, message by message."""
        now = time.monotonic()
        if not self._reader.is_within:
            self._whole_at = now
        self._heard_at = now
        if self._is_ending:
            if len(data) and data[0] & 0x0F == Opcode.CLOSE:
                self._finish()
            return
        self._reader.feed(data)
        self._account()
        if self._bodies.held_bytes > self._bodies.limits.most_held_bytes:
            self.end(AGAIN, "too many large pushes come at once")
            return
        self._read()

    def eof_received(self) -> None:
        """The peer says no more; the transport ends by itself then."""

    def pause_writing(self) -> None:
        """It does not read what it is told: it is cut."""
        self._cut()

    def connection_lost(self, _exc: Exception | None) -> None:
        """It is gone; what is being stored is stored to its end."""
        self._wire = None
        self._is_ending = True
        self._drop()
        if self._timer is not None:
            self._timer.cancel()
        self._keeper.gone(self)
        if self.let_go is not None:
            self.let_go()

    # Documents

    def _read(self) -> None:
        """Take whole messages out of what came, as far as there is room."""
        try:
            while len(self._documents) < MOST_UNDER_WAY and not self._is_over:
                message = self._reader.next()
                if message is None:
                    break
                self._whole_at = self._heard_at
                self._take(message)
        except Misuse as misuse:
            self.end(misuse.code, misuse.reason)
            return
        self._account()
        if len(self._documents) >= MOST_UNDER_WAY and not self._is_paused and self._wire:
            self._is_paused = True
            self._wire.pause_reading()
        if self._documents and self._task is None and not self._is_ending:
            self._task = asyncio.create_task(self._work(), name="agent")

    def _take(self, message: Message) -> None:
        if message.opcode in {Opcode.BINARY, Opcode.TEXT}:
            self._is_text = message.opcode is Opcode.TEXT
            self._documents.append(message)
            self._waiting_bytes += len(message.data)
        elif message.opcode is Opcode.CLOSE:
            self._wind_up(NORMAL, "")
        elif message.opcode is Opcode.PING and self._wire is not None:
            self._wire.write(frame(Opcode.PONG, message.data))

    async def _work(self) -> None:
        """Store what waits, one by one, and say what became of it."""
        while self._documents and not self._is_ending:
            message = self._documents[0]
            await self._store(message)
            if not self._documents or self._documents[0] is not message:
                break  # it was ended meanwhile
            self._documents.popleft()
            self._waiting_bytes -= len(message.data)
            self._account()
            if not self._documents or len(self._acks) + len(self._refused) >= MOST_UNDER_WAY:
                self._flush()
            if self._is_paused and len(self._documents) <= READ_AGAIN and not self._is_over:
                self._resume()
                self._read()
        self._task = None
        self._flush()
        if self._is_stopping:
            self._end_well()

    async def _store(self, message: Message) -> None:
        try:
            self._load.require(Shed.PUSHES)
            receipt = await self._push(message.data, message.opcode is Opcode.BINARY)
        except MonitorError as error:
            self._refuse(error)
        except Exception as error:  # noqa: BLE001 - a store that fails is something that passes
            structlog.stdlib.get_logger("monitor.web").error(
                "a push was not stored", exc_info=error
            )
            detail = "the push was not stored; the server's log says why"
            self._refuse(Unavailable(detail, code="not_stored"))
        else:
            if receipt.boot_id is not None and receipt.seq is not None:
                self._acks.append((receipt.boot_id, receipt.seq))
            if receipt.host not in self.hosts and len(self.hosts) < MOST_HOSTS:
                self.hosts |= {receipt.host}
                self._keeper.speaks_for(self, receipt.host)
                self.tell_watched()

    def _refuse(self, error: MonitorError) -> None:
        self._keeper.count(error.code)
        problem = msgspec.to_builtins(of_error(error))
        if error.status == 503 or error.retry_after is not None:
            problem["retry_after"] = error.retry_after or RETRY_AFTER_SECONDS
        self._refused.append((*(error.about or (None, None)), problem))
        if error.code == "host_taken":
            self._flush()
            self.end(HOST_TAKEN, "another agent speaks for this host")

    def _flush(self) -> None:
        said: dict[str, Any] = {}
        if self._acks:
            said["ack"], self._acks = self._acks, []
        if self._refused:
            said["refused"], self._refused = self._refused, []
        if said:
            self.say(said)

    def _account(self) -> None:
        """Count what it holds among all that is held."""
        held = self._reader.held_bytes + self._waiting_bytes
        self._bodies.held_bytes += held - self._held_bytes
        self._held_bytes = held

    def _drop(self) -> None:
        self._documents.clear()
        self._waiting_bytes = 0
        self._reader = Reader(LONGEST_BODY_BYTES)
        self._account()

    @property
    def _is_over(self) -> bool:
        """Whether nothing more is taken."""
        return self._is_ending or self._is_stopping

    def _resume(self) -> None:
        if self._is_paused and self._wire is not None:
            self._is_paused = False
            self._wire.resume_reading()
