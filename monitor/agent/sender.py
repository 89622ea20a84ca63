"""Sends what is collected: live frames at once, what was kept beside them, oldest first.

Every frame has a number, and every document has its own.  A document that is not answered is sent
again as it was, over whichever connection there is; a frame is let go of when the server keeps it
or will never take it.  It knows no network and no disk: carriers carry and the spool keeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from monitor.agent.backlog import Backlog
from monitor.agent.carriers import Carrier, Ears, TimeIsUp
from monitor.agent.encoding import Document, Encoder
from monitor.agent.link import Cut, Problem, Refused
from monitor.agent.pacing import MOST_FRAMES, Backoff, Pace
from monitor.agent.spoolfile import Kept
from monitor.agent.tables import kinds, newest, without
from monitor.agent.verdicts import (
    Drop,
    Halve,
    HangUp,
    Later,
    Renumber,
    SendList,
    WithoutFrame,
    WithoutTables,
    judge,
)

MOST_LIVE = 12
MOST_LATE = 2
"""Documents under way at once, live and late: a server takes sixteen of a connection."""

ANSWER_SECONDS = 10.0
"""A document without an answer for so long means that nobody is there any more."""

INTRODUCED_EVERY = 600
"""Documents after which we introduce ourselves again: a server may have forgotten."""

MOST_LISTED = 64
"""Schemas that we remember having sent as lists over this connection."""

DISK_SECONDS = 5.0
"""How long we wait before a disk that cannot be read is asked again."""

TOLD_EVERY_SECONDS = 600.0
"""How often at most one kind of refusal is spoken of."""

MOST_TOLD = 64
"""Kinds of refusals, and reasons of one outage, that we remember having spoken of."""

_TABLE = re.compile(r"snapshots\.(\w{1,64})")
"""The field of a problem that lies in one table."""

logger = logging.getLogger("monitor.agent")


class Store(Protocol):
    """What the sender needs of the spool."""

    async def read(self, first: int, last: int, most: int) -> list[Kept]:
        """The oldest kept frames of this range, of one schema.  Raises `OSError`."""

    def acknowledged(self, numbers: Sequence[int]) -> None:
        """These need not be kept any longer."""


Dial = Callable[[Ears], Awaitable[Carrier]]
"""Makes a connection.  Raises `Cut` or `Refused`."""


@dataclass(slots=True)
class _Sending:
    """A document on its way."""

    document: Document
    frames: list[Kept]
    tables: bytes | None
    is_live: bool
    sent_at: float | None = None
    """When it was sent over this connection, none while it waits."""
    is_listed: bool = False
    """Whether it went with the list of KEYs, so that asking for the list is no answer."""


class Sender:
    """One sender to one server.  `batch_seconds` 0 sends each frame at once."""

    def __init__(
        self,
        dial: Dial,
        encoder: Encoder,
        store: Store,
        backlog: Backlog,
        batch_seconds: float = 0.0,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.backlog = backlog
        self.is_watched = False
        self.connections = 0
        """How many there have been."""
        self._dial = dial
        self._encoder = encoder
        self._store = store
        self._batch = batch_seconds
        self._clock = clock
        self._backoff = Backoff(chance)
        self._chance = chance
        self._pace = Pace()
        self._carrier: Carrier | None = None
        self._ended: asyncio.Future[Cut | Refused]
        self._seq = 0
        self._sent_documents = 0
        self._under_way: dict[int, _Sending] = {}
        self._queue: deque[int] = deque()
        self._held: list[Kept] = []
        self._flushed_at = float("-inf")
        self._listed: set[str] = set()
        self._unknown: frozenset[str] = frozenset()
        """Kinds of tables that this connection's server does not know."""
        self._resume_at = 0.0
        self._wake = asyncio.Event()
        self._look: asyncio.TimerHandle | None = None
        self._said = ""
        self._reasons: set[str] = set()
        self._told: dict[str, float] = {}
        self._last_carrier = ""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._carrier is not None

    @property
    def waiting(self) -> int:
        """How many frames have not been acknowledged."""
        under_way = sum(len(each.frames) for each in self._under_way.values())
        return self.backlog.count() + under_way + len(self._held)

    def offer(self, frame: Kept) -> None:
        """Send a frame that has just been collected, and is kept."""
        now = time.monotonic()
        self._held.append(frame)
        # A little early is in time: a batch must not grow by a frame each time.
        if (
            self._batch <= 0
            or self.is_watched
            or now - self._flushed_at >= self._batch * 0.95
            or len(self._held) >= MOST_FRAMES
        ):
            self._flush()

    async def run(self) -> None:
        """Keep a connection, until cancelled."""
        while True:
            self._ended = asyncio.get_running_loop().create_future()
            try:
                carrier = await self._dial(self)
                self._begin(carrier)
                try:
                    why = await self._carried()
                finally:
                    self._carrier = None
                    self._set_aside()
                    await carrier.close()
            except Cut as cut:
                why = cut
            except Refused as refused:
                why = refused
            await asyncio.sleep(self._wait(why))

    async def finish(self, seconds: float) -> None:
        """Send what can be sent in so long, and say goodbye.  `run` is still running."""
        self._flush()
        until = time.monotonic() + seconds
        while self._carrier is not None and time.monotonic() < until:
            if not self._under_way and not self.backlog:
                break
            await asyncio.sleep(0.02)
        carrier, self._carrier = self._carrier, None
        if carrier is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await carrier.close(self._encoder.goodbye())

    # What the carrier tells.

    def acknowledged(self, seq: int) -> None:
        """The server keeps this document now."""
        sending = self._under_way.pop(seq, None)
        if sending is None:
            return
        self._backoff.reset()
        self._say("connected", logging.INFO, f"connected to the server by {self._last_carrier}")
        self._store.acknowledged([frame.number for frame in sending.frames])
        if not sending.is_live and sending.sent_at is not None:
            self._pace.answered(time.monotonic() - sending.sent_at)
        self._pump()

    def refused(self, seq: int, problem: Problem) -> None:
        """The server did not take this document."""
        sending = self._under_way.get(seq)
        if sending is None:
            return
        self._sent_documents = 0  # what was said of us in it was not taken either
        verdict = judge(problem, len(sending.frames), has_tables=sending.tables is not None)
        frames = sending.frames
        match verdict:
            case HangUp():
                self.ended(Refused(problem))
                return
            case SendList() if not sending.is_listed:
                self._listed.discard(sending.document.schema.digest)
                self._again(seq, sending)
            case Later(seconds):
                self._pause(seconds)
                self._again(seq, sending)
                self._tell("the server asks us to wait", problem)
            case Renumber():
                self._replace(seq, frames, tables=sending.tables)
            case WithoutTables():
                self._replace(seq, frames, tables=self._fewer(sending.tables, problem))
            case WithoutFrame(position):
                self._let_go([frames[position]], problem)
                rest = [*frames[:position], *frames[position + 1 :]]
                is_last = position == len(frames) - 1
                self._replace(seq, rest, tables=None if is_last else sending.tables)
            case Halve():
                middle = len(frames) // 2
                self._replace(seq, frames[:middle], frames[middle:], tables=sending.tables)
            case Drop() | SendList():
                self._let_go(frames, problem)
                self._replace(seq, tables=None)
        self._pump()

    def watched(self, watched: bool) -> None:
        """Whether somebody looks at this host: then nothing is held back."""
        self.is_watched = watched
        if watched:
            self._flush()

    def ended(self, why: Cut | Refused) -> None:
        """The connection is over."""
        if not self._ended.done():
            self._ended.set_result(why)

    # How a connection goes.

    def _begin(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._last_carrier = carrier.name
        self._listed.clear()
        self._unknown = frozenset()
        self.connections += 1
        self._sent_documents = 0
        # What the last connection left unanswered goes first, as it was; live before late.
        order = sorted(self._under_way, key=lambda seq: (not self._under_way[seq].is_live, seq))
        self._queue = deque(order)
        self._wake.set()

    async def _carried(self) -> Cut | Refused:
        """Until the connection ends: why it did."""
        ended = self._ended
        self._pump()
        late = asyncio.create_task(self._send_late())
        try:
            await asyncio.wait((ended, late), return_when=asyncio.FIRST_COMPLETED)
            if late.done():
                late.result()  # a fault of our own is not hidden
            return ended.result()
        finally:
            late.cancel()
            await asyncio.gather(late, return_exceptions=True)

    def _set_aside(self) -> None:
        """Nothing is under way any more; what was is sent again over the next connection."""
        self.is_watched = False
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for sending in self._under_way.values():
            sending.sent_at = None
            sending.is_listed = False

    def _wait(self, why: Cut | Refused) -> float:
        """Say why there is no connection; seconds until the next try."""
        if isinstance(why, TimeIsUp):
            return 0.0
        if isinstance(why, Cut):
            self._say_cut(str(why))
            return self._backoff.wait()
        problem = why.problem
        if problem.code == "auth_required" and self._said == "connected":
            self._say("renewing", logging.INFO, "the token holds no more; its file is read again")
            return self._backoff.wait()
        detail = f"{problem.detail or problem.code} ({problem.code})"
        self._say(
            f"refused {problem.code}",
            logging.ERROR,
            f"the server refuses us: {detail}; frames are kept, and we try again",
        )
        if problem.status in {429, 503, 507}:
            return self._backoff.wait(problem.retry_after or 0.0)
        return self._backoff.slow()

    def _say_cut(self, why: str) -> None:
        """One line for each reason since there was a connection: the first may not be the last."""
        if self._said != "cut":
            self._reasons.clear()
            self._said = "cut"
        if why not in self._reasons and len(self._reasons) < MOST_TOLD:
            self._reasons.add(why)
            logger.warning("not connected: %s; frames are kept", why)

    def _say(self, state: str, level: int, sentence: str) -> None:
        """One line for each change of state."""
        if self._said != state:
            self._said = state
            logger.log(level, "%s", sentence)

    def _tell(self, sentence: str, problem: Problem) -> None:
        """One line for each kind of problem, now and then."""
        now = time.monotonic()
        if now >= self._told.get(problem.code, 0.0) + TOLD_EVERY_SECONDS:
            if len(self._told) >= MOST_TOLD:
                self._told.clear()
            self._told[problem.code] = now
            logger.warning("%s: %s (%s)", sentence, problem.detail, problem.code)

    # Documents.

    def _flush(self) -> None:
        """Send the held frames, or leave them to be sent late."""
        held, self._held = self._held, []
        self._flushed_at = time.monotonic()
        while held:
            same = [held[0]]
            while len(same) < len(held) and held[len(same)].schema is same[0].schema:
                same.append(held[len(same)])
            held = held[len(same) :]
            live = sum(each.is_live for each in self._under_way.values())
            if self._carrier is None or live >= MOST_LIVE or self._is_paused():
                for frame in same:
                    self.backlog.add(frame.number)
                self._wake.set()
                continue
            tables = newest([each.tables for each in same])
            self._queue.appendleft(self._add(same, tables, is_live=True))
        self._pump()

    def _add(self, frames: list[Kept], tables: bytes | None, *, is_live: bool) -> int:
        self._seq += 1
        tables = without(tables, self._unknown)
        document = self._encoder.document(self._seq, frames, tables)
        self._under_way[self._seq] = _Sending(document, frames, tables, is_live)
        return self._seq

    def _replace(self, seq: int, *parts: list[Kept], tables: bytes | None) -> None:
        """Send these instead of a document, under numbers of their own; tables go with the last."""
        was = self._under_way.pop(seq)
        for part in parts:
            last = tables if part is parts[-1] else None
            self._queue.append(self._add(part, last, is_live=was.is_live))

    def _fewer(self, tables: bytes | None, problem: Problem) -> bytes | None:
        """Tables without the one that was refused, which an older server may not know."""
        named = _TABLE.match(problem.field)
        refused = kinds(tables) & {named[1] if named else ""}
        if not refused:
            return None
        if problem.code == "unknown_snapshot":
            self._unknown |= refused
        return without(tables, refused)

    def _again(self, seq: int, sending: _Sending) -> None:
        self._under_way[seq] = replace(sending, sent_at=None)
        self._queue.append(seq)

    def _let_go(self, frames: Sequence[Kept], problem: Problem) -> None:
        """These frames will never be taken."""
        self.dropped[problem.code] += len(frames)
        self._store.acknowledged([frame.number for frame in frames])
        self._tell("the server will never take some frames, which are let go of", problem)

    def _pump(self) -> None:
        """Send what waits, as far as there is room."""
        now = time.monotonic()
        under_way = sum(each.sent_at is not None for each in self._under_way.values())
        while self._queue and self._carrier is not None and not self._is_paused():
            if under_way >= MOST_LIVE + MOST_LATE:
                break
            seq = self._queue.popleft()
            sending = self._under_way.get(seq)
            if sending is None or sending.sent_at is not None:
                continue
            sending.sent_at = now
            under_way += 1
            self._transmit(self._carrier, seq, sending)
        if self.backlog:
            self._wake.set()

    def _transmit(self, carrier: Carrier, seq: int, sending: _Sending) -> None:
        digest = sending.document.schema.digest
        sending.is_listed = digest not in self._listed
        if sending.is_listed:
            if len(self._listed) >= MOST_LISTED:
                self._listed.clear()
            self._listed.add(digest)
        message = self._encoder.message(
            sending.document,
            self._clock(),
            whole_schema=sending.is_listed,
            introduce=self._sent_documents % INTRODUCED_EVERY == 0,
        )
        self._sent_documents += 1
        carrier.send(seq, message, is_live=sending.is_live)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._look_back)

    def _look_back(self) -> None:
        """End a connection on which the oldest document has had no answer for too long."""
        self._look = None
        sent = [each.sent_at for each in self._under_way.values() if each.sent_at is not None]
        if not sent:
            return
        left = min(sent) + ANSWER_SECONDS - time.monotonic()
        if left <= 0:
            self.ended(Cut(f"the server has not answered for {ANSWER_SECONDS:.0f} s"))
        else:
            self._look = asyncio.get_running_loop().call_later(left, self._look_back)

    def _is_paused(self) -> bool:
        return time.monotonic() < self._resume_at

    def _pause(self, seconds: float) -> None:
        """Send nothing for so long, and a little longer by chance."""
        seconds *= 1 + self._chance() / 4
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
        asyncio.get_running_loop().call_later(seconds + 0.01, self._pump)

    # What was kept.

    async def _send_late(self) -> None:
        """Send the backlog beside the live frames, oldest first."""
        while True:
            await self._wake.wait()
            waiting = self.backlog.oldest()
            late = sum(not each.is_live for each in self._under_way.values())
            if waiting is None or late >= MOST_LATE or self._is_paused():
                self._wake.clear()
                continue
            seconds = self._pace.wait(time.monotonic(), self._live_since())
            if seconds > 0:
                await asyncio.sleep(seconds)
                continue
            first, last = waiting
            try:
                frames = await self._store.read(first, last, self._pace.frames(1))
            except OSError:
                await asyncio.sleep(DISK_SECONDS)
                continue
            if not frames:
                self.backlog.taken(last)  # dropped for want of room, or damaged
                continue
            frames = _portion(frames[: self._pace.frames(len(frames[0].schema))])
            self.backlog.taken(frames[-1].number)
            self._pace.sent(time.monotonic(), len(frames))
            # The server holds tables for those of the last frame's instant.
            has_last = frames[-1].tables is not None
            tables = newest([each.tables for each in frames]) if has_last else None
            self._queue.append(self._add(frames, tables, is_live=False))
            self._pump()

    def _live_since(self) -> float | None:
        return min(
            (
                each.sent_at
                for each in self._under_way.values()
                if each.is_live and each.sent_at is not None
            ),
            default=None,
        )


def _portion(frames: list[Kept]) -> list[Kept]:
    """As many of these as end with a table, if that is half of them at least."""
    for count in range(len(frames), len(frames) // 2, -1):
        if frames[count - 1].tables is not None:
            return frames[:count]
    return frames
