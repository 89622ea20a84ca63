"""The writer: one thread that owns the connection which writes, and commits in groups.

Whatever waits when the disk is ready again goes into one transaction, so that a commit's
`fsync`, which is what an append costs, is shared by all who came meanwhile.  Each request is
judged by itself: a conflict is its own caller's.  Where a group fails as a whole, its requests
are done one by one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw

from monitor.errors import MonitorError
from monitor.ports import Conflict, Unknown
from monitor.sqlite.transactions import Voice, begun, roll_back

logger = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Requests that wait; more are refused, so that a stuck disk does not fill the memory."""

MOST_WAITING_BYTES = 64 * 1024 * 1024
"""What they hold together."""

MOST_GROUPED = 1_024
"""Requests in one transaction: about ten milliseconds' work at one event each."""

MOST_GROUPED_BYTES = 4 * 1024 * 1024
"""What is written in one transaction, beyond the first request's."""

LOST = (
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.IOError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
)
"""Errors after which the file is not to be trusted by this process."""

Work = Callable[[apsw.Connection], Any]
Outcome = Any
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Request:
    work: Work
    size: int
    answer: asyncio.Future[Any]


class Writer:
    """The thread, and the requests that wait for it.

    `committed` is called in the event loop, once a group and before its callers go on, with
    what the requests of the group returned.  Who has more to do in the thread overrides
    `_after_commit` and `_rest`.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        voice: Voice,
        committed: Callable[[Sequence[Any]], None],
    ) -> None:
        self.commits = 0
        self._connection = connection
        self._voice = voice
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Request] = deque()
        self._waiting_bytes = 0
        self._came = threading.Condition()
        self._closing = False
        self._failed: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"{voice.code}-writer", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> str | None:
        """Why nothing is taken any more; none where all is well."""
        return self._failed

    async def submit(self, work: Callable[[apsw.Connection], _T], size: int = 0) -> _T:
        """Do something in a transaction; what it returned, once that is durable.

        `work` raises what it has to say before it writes anything.  It is done even where the
        caller does not wait for it.  Raises `Unavailable` where nothing was stored, `Unknown`
        where it cannot be told.
        """
        answer: asyncio.Future[_T] = self._loop.create_future()
        with self._came:
            self._require_room(size)
            self._waiting.append(_Request(work, size, answer))
            self._waiting_bytes += size
            self._came.notify()
        return await answer

    def _require_room(self, size: int) -> None:
        if self._failed is not None:
            raise self._voice.failure(self._failed)
        if self._closing:
            raise self._voice.closed()
        too_many = len(self._waiting) >= MOST_WAITING
        if too_many or (self._waiting and self._waiting_bytes + size > MOST_WAITING_BYTES):
            raise self._voice.behind()

    async def close(self) -> None:
        """Finish what was begun, and end the thread."""
        with self._came:
            self._closing = True
            self._came.notify()
        await asyncio.to_thread(self._thread.join)

    # In the thread

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                self._say(group, self._outcomes(group))
            self._rest()
        self._rest(at_the_end=True)

    def _after_commit(self, outcomes: Sequence[Outcome]) -> None:
        """In the thread, after each commit and before anybody is told."""

    def _rest(self, *, at_the_end: bool = False) -> None:
        """In the thread, after each group, when `_patience` is over, and once at the end."""

    def _patience(self) -> float | None:
        """How many seconds the thread may wait for requests before it rests."""
        return None

    def _next_group(self) -> list[_Request] | None:
        """What waits, up to the bounds; nothing when it is time to rest, none at the end."""
        with self._came:
            while not self._waiting:
                if self._closing:
                    return None
                if not self._came.wait(self._patience()):
                    return []
            group = [self._waiting.popleft()]
            size = 0
            while self._waiting and len(group) < MOST_GROUPED:
                size += self._waiting[0].size
                if size > MOST_GROUPED_BYTES:
                    break
                group.append(self._waiting.popleft())
            self._waiting_bytes -= sum(request.size for request in group)
            return group

    def _outcomes(self, group: list[_Request]) -> list[Outcome]:
        """What came of each request of a group: a result, or an error."""
        if self._failed is not None:
            return [self._voice.failure(self._failed)] * len(group)
        try:
            return self._together(group)
        except (apsw.BusyError, apsw.LockedError) as error:
            return [self._voice.refusal(error)] * len(group)
        except Unknown as error:
            # A commit that failed cannot be tried again: the disk may have lost what the
            # kernel says it has, and the next one would succeed over a hole.
            self.fail(str(error))
            return [error] * len(group)
        except Exception as error:  # noqa: BLE001 - it is the requests' callers that hear of it
            if isinstance(error, LOST):
                self.fail(str(error))
                return [self._voice.refusal(error)] * len(group)
            if len(group) > 1:
                return [outcome for request in group for outcome in self._outcomes([request])]
            ours = not isinstance(error, apsw.Error | UnicodeDecodeError)
            return [error if ours else self._voice.refusal(error)]

    def _together(self, group: list[_Request]) -> list[Outcome]:
        """Do a group in one transaction; raises what fails all of it."""
        connection = self._connection
        outcomes: list[Outcome] = []
        with begun(connection):
            for request in group:
                try:
                    outcomes.append(request.work(connection))
                except (Conflict, MonitorError) as error:
                    outcomes.append(error)
        try:
            connection.execute("COMMIT")
        except apsw.FullError:
            roll_back(connection)
            raise
        except apsw.Error as error:
            roll_back(connection)
            raise Unknown(str(error)) from error
        self.commits += 1
        self._after_commit(outcomes)
        return outcomes

    def fail(self, why: str) -> None:
        """From now on nothing is taken any more: the file is not to be trusted.  In any thread."""
        if self._failed is not None:
            return
        logger.critical(
            "%s has failed and takes nothing more until a restart: %s", self._voice.name, why
        )
        with self._came:
            self._failed = why

    def _say(self, group: list[_Request], outcomes: list[Outcome]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, group, outcomes)
        except RuntimeError:
            # The loop has ended without closing the log: nobody is there to hear.
            logger.warning("%d answers of %s found nobody", len(group), self._voice.name)

    # In the loop

    def _deliver(self, group: list[_Request], outcomes: list[Outcome]) -> None:
        self._committed(outcomes)
        for request, outcome in zip(group, outcomes, strict=True):
            if request.answer.done():
                continue
            if isinstance(outcome, BaseException):
                request.answer.set_exception(outcome)
            else:
                request.answer.set_result(outcome)
