"""Where pushes enter: decoded, told from repeats, and handed to the pipeline before the answer.

It knows no HTTP.  What a push says is `push`'s business, what is remembered of its sender that
of `senders`; here stands only the order.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from monitor.core.access import OPEN, Caller
from monitor.core.load import Load, Shed
from monitor.errors import InputError, MonitorError, excerpt
from monitor.ingest import push
from monitor.ingest.push import Columns, PushDocument
from monitor.ingest.senders import Sender, Senders
from monitor.model import Frame, Snapshot

Accept: TypeAlias = Callable[[Sequence[Frame], Sequence[Snapshot], float | None], Awaitable[None]]
"""Stores frames and tables, durably on return, and folds what is present.  The last is when they
were sent, by their sender's clock."""

Label: TypeAlias = Callable[[str, Mapping[str, str]], Awaitable[None]]
"""Sets a host's labels, durably on return."""

LARGE_BYTES = 32 * 1024
"""A larger body is decoded in a worker thread: 0.1 ms of the event loop for each 25 kB of
values, and five times that for KEYs that are seen for the first time."""

MANY_SERIES = 300
"""So many columns are put together in a worker thread."""

MOST_REFUSED = 100
"""Hosts that are remembered for having brought too many series."""

ENDLESS_BYTES = 2**62
"""A bound of memory that is none."""

MOST_AT_ONCE = 2
"""Worker threads for large bodies; more would only wait for each other."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a push; `accepted` counts frames, `seq` is none for the simple form."""

    accepted: int
    duplicate: bool
    seq: int | None


class Intake:
    """Takes pushes.  `own_host` is the host that nobody else may push for.

    `oldest` says, of an instant, before which one frames would be let go of at once.
    """

    def __init__(
        self,
        accept: Accept,
        label: Label,
        own_host: str,
        clock: Callable[[], float],
        oldest: Callable[[float], float] = lambda _: -math.inf,
        load: Load | None = None,
    ) -> None:
        self.senders = Senders(own_host)
        self.outcomes: Counter[str] = Counter()
        """How many pushes ended how: ``accepted``, ``duplicate``, or the code of an error."""
        self._accept = accept
        self._label = label
        self._clock = clock
        self._oldest = oldest
        self._load = load or Load(ENDLESS_BYTES)
        self.refused_series: OrderedDict[str, int] = OrderedDict()
        """How often hosts wanted more series than there may be, the latest last."""
        self._decoding = asyncio.Semaphore(MOST_AT_ONCE)

    async def push(self, body: bytes, caller: Caller = OPEN) -> Receipt:
        """Take one push document in JSON.  On return it is as durable as the store is.

        Raises `MonitorError`, and then nothing of it is stored: 403 where the caller may not
        write that host, else see `monitor.ingest.push`.  Of
        two pushes with one number that come at once, the second waits and is a repeat.
        """
        document = await self._apart(
            len(body) > LARGE_BYTES, push.parse, body, self.senders.known, self._clock()
        )
        if not caller.writes(document.host):
            detail = f"this token does not write the host {excerpt(document.host)}"
            raise MonitorError(detail, code="host_mismatch", field="host", status=403)
        if self.senders.known(document.host, document.columns.schema.texts) is None:
            self._load.require(Shed.NEW_SERIES)
        sender = self.senders.of(document)
        async with sender.lock:
            number = document.number
            if number is not None and sender.is_repeat(number):
                self.outcomes["duplicate"] += 1
                return Receipt(0, True, number.seq)
            self._require_kept(document)
            columns = self._agreed(sender, document)
            many = len(columns.schema) > MANY_SERIES
            frames = await self._apart(many, sender.schemas.frames, document, columns)
            await self._accept(frames, document.snapshots, document.sent)
            if document.labels is not None or caller.labels:
                await self._label(document.host, {**(document.labels or {}), **caller.labels})
            if number is not None:
                sender.accepted(number)
        self.outcomes["accepted"] += 1
        return Receipt(len(frames), False, None if number is None else number.seq)

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
        for frame in frames:
            self.senders.require_foreign(frame.host)
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

    async def _apart(
        self, large: bool, work: Callable[..., _Result], *arguments: object
    ) -> _Result:
        """Do a piece of work here, or in one of a few worker threads where it is large."""
        if not large:
            return work(*arguments)
        async with self._decoding:
            return await asyncio.to_thread(work, *arguments)
