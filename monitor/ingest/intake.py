"""Where frames enter: decoded, told from repeats, and handed to the pipeline before the answer.

It knows no HTTP.  What a push says is `push`'s business, what is remembered of its sender that
of `senders`, who speaks for a host that of the fleet; here stands only the order.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from monitor.core.access import OPEN, Caller
from monitor.core.load import Load, Shed
from monitor.core.rates import Rates
from monitor.errors import InputError, MonitorError, excerpt
from monitor.ingest import push
from monitor.ingest.introducing import TurnedAway
from monitor.ingest.lanes import Lanes
from monitor.ingest.push import Columns, Number, PushDocument
from monitor.ingest.senders import MOST_HOSTS, Sender, Senders
from monitor.model import Frame, Introduction, Snapshot

Accept: TypeAlias = Callable[[Sequence[Frame], Sequence[Snapshot], float | None], Awaitable[None]]
"""Stores frames and tables, durably on return, and folds what is present.  The last is when they
were sent, by their sender's clock."""

LARGE_BYTES = 32 * 1024
"""A larger body is decoded in a worker thread: 0.1 ms of the event loop for each 25 kB of
values, and five times that for KEYs that are seen for the first time."""

MOST_REFUSED = 100
"""Hosts that are remembered for having brought too many series."""

ENDLESS_BYTES = 2**62
"""A bound of memory that is none."""

MOST_AT_ONCE = 2
"""Worker threads for large bodies; more would only wait for each other."""

PUSHES_A_SECOND, PUSH_BURST = 100.0, 1_000.0
"""Of one host, whoever sends them.  Far above an honest agent that brings back a day, some ten a
second."""

SIMPLE = "simple"
"""The source of what scripts send in the simple form."""

_Result = TypeVar("_Result")


class Fleet(Protocol):
    """Who speaks for which host: see `monitor.fleet.fleet`."""

    def require(self, said: Introduction) -> None:
        """Raise ``host_taken`` (409) where somebody else speaks for this host."""

    async def met(self, said: Introduction) -> None:
        """Keep and show what somebody says of themselves whose frames were accepted."""

    async def goodbye(self, host: str) -> None:
        """A host's agent has ended in good order."""

    def refused(self, said: Introduction, error: MonitorError, address: str = "") -> None:
        """Remember who was turned away."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a push; `accepted` counts frames.

    `boot_id` and `seq` are none for the simple form and for a goodbye.
    """

    host: str
    accepted: int = 0
    duplicate: bool = False
    boot_id: str | None = None
    seq: int | None = None


class Intake:
    """Takes pushes, and frames that were gathered otherwise.

    `oldest` says, of an instant, before which one frames would be let go of at once.
    """

    def __init__(
        self,
        accept: Accept,
        fleet: Fleet,
        clock: Callable[[], float],
        *,
        oldest: Callable[[float], float] = lambda _: -math.inf,
        load: Load | None = None,
        senders: Senders | None = None,
    ) -> None:
        self.load = load or Load(ENDLESS_BYTES)
        self.senders = Senders(clock) if senders is None else senders
        self.lanes = Lanes(self.load, self.senders.lists.room)
        """The lanes of everything that is no agent, in the same room as the agents' schemas."""
        self.outcomes: Counter[str] = Counter()
        """How many pushes ended how: ``accepted``, ``duplicate``, or the code of an error."""
        self.refused_series: OrderedDict[str, int] = OrderedDict()
        """How often hosts wanted more series than there may be, the latest last."""
        self._accept = accept
        self._fleet = fleet
        self._clock = clock
        self._oldest = oldest
        self._rates = Rates(PUSHES_A_SECOND, PUSH_BURST, MOST_HOSTS)
        self._decoding = asyncio.Semaphore(MOST_AT_ONCE)

    async def push(
        self, body: bytes, caller: Caller = OPEN, *, is_packed: bool = False, address: str = ""
    ) -> Receipt:
        """Take one push document, in JSON or MessagePack.  On return it is as durable as the store.

        `address` is where it came from, for the pages to say.  Raises `MonitorError`, and then
        nothing of it is stored: 403 where the caller may not write that host, 429 where it comes
        too often, 409 where another speaks for that host, else see `monitor.ingest.push`.  Of
        two pushes with one number that come at once, the second waits and is a repeat.
        """
        document = await self._read(body, caller, is_packed=is_packed, address=address)
        number = document.number
        try:
            return await self._take(document, caller, address)
        except MonitorError as error:
            if number is not None:
                error.about = (number.boot_id, number.seq)
            raise

    async def _read(
        self, body: bytes, caller: Caller, *, is_packed: bool, address: str
    ) -> PushDocument:
        def parse() -> PushDocument:
            return push.parse(body, self.senders.known, self._clock(), is_packed=is_packed)

        try:
            return await self._apart(len(body) > LARGE_BYTES, parse)
        except TurnedAway as error:
            _require_writes(caller, error.introduction.host)
            self._fleet.refused(error.introduction, error, address)
            raise

    async def _take(self, document: PushDocument, caller: Caller, address: str) -> Receipt:
        host = document.host
        _require_writes(caller, host)
        self._require_pace(host)
        said = replace(document.introduction, given_labels=caller.labels)
        try:
            self._fleet.require(said)
            if document.leaving is not None:
                return await self._take_leave(document)
            if document.number is None:
                return await self._take_simple(document, said)
            return await self._take_numbered(document, document.number, said)
        except MonitorError as error:
            is_off = abs(said.skew_seconds) > push.MOST_AHEAD_SECONDS
            if error.code == "host_taken" or (error.code == "too_old" and is_off):
                self._fleet.refused(said, error, address)
            raise

    def _require_pace(self, host: str) -> None:
        wait = self._rates.take(host, time.monotonic())
        if wait > 0:
            detail = "too many pushes of this host; come again a little later"
            raise MonitorError(detail, code="too_many_requests", status=429, retry_after=wait + 1)

    async def _take_numbered(
        self, document: PushDocument, number: Number, said: Introduction
    ) -> Receipt:
        host = document.host
        if not self.senders.has_agreed(host, document.columns):
            self.load.require(Shed.NEW_SERIES)
        sender = self.senders.of(document)
        async with sender.lock:
            if sender.is_repeat(number):
                self.outcomes["duplicate"] += 1
                return Receipt(host, 0, True, number.boot_id, number.seq)
            self._require_alone(sender, document, said)
            self._require_kept(document)
            frames = sender.schemas.frames(document, self._agreed(sender, document))
            await self._accept(frames, document.snapshots, document.sent)
            await self._fleet.met(said)
            self.senders.accepted(host, number)
            if said.agent is not None:
                sender.lives.heard(number.boot_id, self._clock())
        self.outcomes["accepted"] += 1
        return Receipt(host, len(frames), False, number.boot_id, number.seq)

    def _require_alone(self, sender: Sender, document: PushDocument, said: Introduction) -> None:
        """Raise ``host_taken`` (409) where an agent goes on under the same identity elsewhere."""
        number = document.number
        if said.agent is None or number is None:
            return
        if sender.lives.is_second(number.boot_id, self._clock()):
            detail = (
                f"two machines speak for {excerpt(said.host)} with one identity: one is a copy of"
                " the other? Remove agent-id from the spool of the copy, and give it another name"
            )
            raise InputError(detail, code="host_taken", field="boot_id", status=409)

    async def _take_simple(self, document: PushDocument, said: Introduction) -> Receipt:
        host, (frame,), now = document.host, document.frames, self._clock()
        try:
            lane = self.lanes.of(host, SIMPLE)
            lane.look(now)
            columns = lane.columns(document.columns.schema.texts)
        except MonitorError as error:
            if error.code == "series_limit":
                self._note_refused(host)
            raise
        placed = lane.frame(frame.at, columns, np.frombuffer(frame.values), now)
        await self._accept((placed,), (), document.sent)
        await self._fleet.met(said)
        self.outcomes["accepted"] += 1
        return Receipt(host, 1)

    async def _take_leave(self, document: PushDocument) -> Receipt:
        sender = self.senders.find(document.host)
        if sender is None:
            await self._fleet.goodbye(document.host)
        else:
            async with sender.lock:  # what it sent before is accepted first
                # A former life that says it late is not heard: another one is there.
                if sender.is_latest(document.leaving or ""):
                    await self._fleet.goodbye(document.host)
        self.outcomes["goodbye"] += 1
        return Receipt(document.host)

    async def take(
        self,
        frames: Sequence[Frame],
        snapshots: Sequence[Snapshot] = (),
        sent: float | None = None,
    ) -> None:
        """Take frames that were gathered from something that is no agent, of many hosts even.

        Each host's come by instant ascending.  On return they are as durable as the store is.
        `sent` is when they left, by their sender's clock.  Raises as the store does, and
        ``host_taken`` (409) where one is of the server's own host.
        """
        for host in {frame.host for frame in frames}:
            self._fleet.require(Introduction(host))
        await self._accept(frames, snapshots, sent)
        self.outcomes["gathered"] += 1

    def _agreed(self, sender: Sender, document: PushDocument) -> Columns:
        try:
            return sender.schemas.agree(document.columns)
        except InputError:
            self._note_refused(document.host)
            raise

    def _note_refused(self, host: str) -> None:
        """Remember who wanted more series than there may be, for the pages to say."""
        self.refused_series[host] = self.refused_series.pop(host, 0) + 1
        while len(self.refused_series) > MOST_REFUSED:
            self.refused_series.popitem(last=False)

    def _require_kept(self, document: PushDocument) -> None:
        """Raise `InputError` where a frame is older than what is kept: its sender drops it."""
        oldest = self._oldest(self._clock())
        for number, frame in enumerate(document.frames):
            if frame.at < oldest:
                detail = f"the frame of {frame.at:.3f} is older than the history that is kept"
                raise InputError(
                    detail, code="too_old", field=f"frames[{number}].at", limit=math.floor(oldest)
                )

    async def _apart(self, large: bool, work: Callable[[], _Result]) -> _Result:
        """Do a piece of work here, or in one of a few worker threads where it is large."""
        if not large:
            return work()
        async with self._decoding:
            return await asyncio.to_thread(work)


def _require_writes(caller: Caller, host: str) -> None:
    if not caller.writes(host):
        detail = f"this token does not write the host {excerpt(host)}"
        raise MonitorError(detail, code="host_mismatch", field="host", status=403)
