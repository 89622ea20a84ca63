"""What the log and the registry share of their file: a writer, a reader, and who is told.

Reads go through one thread with a connection of its own.  Whatever this process commits is
known here at once; what other processes commit is looked for while somebody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from monitor.errors import Unavailable
from monitor.log import event_table, registry_table
from monitor.log.database import Database
from monitor.log.event_table import Appended
from monitor.log.opening import reading
from monitor.log.voice import VOICE
from monitor.log.writer import LogWriter
from monitor.model import Event
from monitor.sqlite.transactions import viewed

POLL_SECONDS = 0.2
"""How often other processes' commits are looked for: well within the promised 500 ms."""

MOST_READS = 1_000
"""Reads that wait for the reader's thread; each is bounded to a page."""

MOST_RECENT_EVENTS = 2_048
"""Events of our own that are kept for the tail, which then need not read them back."""

MOST_RECENT_BYTES = 8 * 1024 * 1024
"""Their documents together."""

MOST_COMPLAINTS = 10
"""Damaged places that a check names; one would be enough."""

MOST_NAMED = 1_000
"""Damaged events that are named in our log, each once; there is nothing new in one more."""

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


class SharedFile:
    """The open file, from `open` until each of its two faces has been closed."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        reader: apsw.Connection,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._folder = folder
        self.epoch = database.epoch
        self.closed = False
        self.writer = LogWriter(database, self._committed)
        self._database = database
        self._reader = reader
        self._threads = threads
        self._checking: set[apsw.Connection] = set()
        self._reads = 0
        self._faces = 2
        self._last = 0
        self._revision = 0
        self._moved = asyncio.Event()
        self._followers = 0
        self._tails = 0
        self._poll: asyncio.Task[None] | None = None
        self._seen_version = -1
        self._named: set[int] = set()
        self._recent: deque[Appended] = deque()
        self._recent_events = 0
        self._recent_bytes = 0

    @classmethod
    async def open(cls, folder: Path) -> SharedFile:
        """Open the store of a data directory.  Raises `monitor.errors.StartError`."""
        threads = ThreadPoolExecutor(1, "log-reader")
        loop = asyncio.get_running_loop()
        try:
            database, reader = await loop.run_in_executor(threads, _opened, folder)
        except BaseException:
            threads.shutdown(wait=False)
            raise
        return cls(folder, database, reader, threads)

    async def read(self, work: Callable[[apsw.Connection], _T]) -> _T:
        """Look at one unchanging view of the file.  Raises `Unavailable`."""
        if self._faces == 0:
            raise VOICE.closed()
        if self._reads >= MOST_READS:
            raise Unavailable("too many wait for the log; try again", code="log_busy")
        self._reads += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, viewed, self._reader, work, VOICE)
        finally:
            self._reads -= 1

    async def check(self) -> list[str]:
        """What is damaged in the whole file, on a connection and in a thread of its own."""
        connection = await asyncio.to_thread(reading, self._folder)
        self._checking.add(connection)
        try:
            return await asyncio.to_thread(_damage, connection)
        finally:
            self._checking.discard(connection)

    def complain(self, sequence: int, why: str) -> None:
        """In the reader's thread: say once that an event is damaged."""
        if sequence not in self._named and len(self._named) < MOST_NAMED:
            self._named.add(sequence)
            logger.error("the event at position %d is damaged: %s", sequence, why)

    # Waiting for what comes

    async def grown(self, after: int, ended: Callable[[], bool]) -> bool:
        """Wait until there are events after a position; false when it has ended."""
        while self._last <= after and not ended():
            await self._moved.wait()
        return not ended()

    async def changed(self, since: int, ended: Callable[[], bool]) -> bool:
        """Wait until the registry has changed since a revision; false when it has ended."""
        while self._revision <= since and not ended():
            await self._moved.wait()
        return not ended()

    def wake(self) -> None:
        """Let all who wait look again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    @contextlib.contextmanager
    def followed(self, tail: bool = False) -> Iterator[None]:
        """While it lasts, other processes' commits are looked for."""
        self._followers += 1
        self._tails += tail
        if self._poll is None:
            self._poll = asyncio.create_task(self._look(), name="log-poll")
        try:
            yield
        finally:
            self._followers -= 1
            self._tails -= tail
            if not self._tails:
                self.forget_recent()
            if not self._followers and self._poll is not None:
                self._poll.cancel()
                self._poll = None

    async def _look(self) -> None:
        while True:
            # A look that fails is its own concern: who reads next hears of it.
            with contextlib.suppress(Unavailable):
                if news := await self.read(self._news):
                    self._notice(*news)
            await asyncio.sleep(POLL_SECONDS)

    def _news(self, connection: apsw.Connection) -> tuple[int, int] | None:
        """In the reader's thread: where log and registry are, if anything was committed."""
        version = int(connection.pragma("data_version"))
        if version == self._seen_version:
            return None
        self._seen_version = version
        return event_table.last_position(connection), registry_table.newest_revision(connection)

    def _notice(self, last: int, revision: int) -> None:
        if last > self._last or revision > self._revision:
            self._last = max(self._last, last)
            self._revision = max(self._revision, revision)
            self.wake()

    def _committed(self, outcomes: Sequence[object]) -> None:
        last, revision = 0, 0
        for outcome in outcomes:
            if isinstance(outcome, Appended):
                last = max(last, outcome.last)
                self._keep(outcome)
            elif isinstance(outcome, registry_table.Revised):
                revision = max(revision, outcome.revision)
        self._notice(last, revision)

    # Our own events, on their way to the tail

    def _keep(self, appended: Appended) -> None:
        if not self._tails:
            return
        self._recent.append(appended)
        self._recent_events += len(appended.records)
        self._recent_bytes += appended.size
        while self._recent_events > MOST_RECENT_EVENTS or self._recent_bytes > MOST_RECENT_BYTES:
            gone = self._recent.popleft()
            self._recent_events -= len(gone.records)
            self._recent_bytes -= gone.size

    def recent(self, after: int, most: int) -> list[Event]:
        """Events that follow a position without a hole and are still in memory, if any."""
        found: list[Event] = []
        for appended in self._recent:
            while appended.first <= after + 1 <= appended.last and len(found) < most:
                after += 1
                found.append(appended.records[after - appended.first].event(after))
        return found

    def forget_recent(self) -> None:
        """Let go of them: nobody tails, or some of them are to be erased."""
        self._recent.clear()
        self._recent_events = self._recent_bytes = 0

    async def leave(self) -> None:
        """One face is closed; with the last, what was begun is finished and the file closed."""
        self.wake()
        self._faces -= 1
        if self._faces:
            return
        if self._poll is not None:
            self._poll.cancel()
        for checking in self._checking:
            with contextlib.suppress(apsw.ConnectionClosedError):  # it has just ended by itself
                checking.interrupt()
        await self.writer.close()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, _closed, self._reader, self._database)
        self._threads.shutdown(wait=False)


def _opened(folder: Path) -> tuple[Database, apsw.Connection]:
    database = Database.open(folder)
    try:
        return database, reading(folder)
    except BaseException:
        database.close()
        raise


def _closed(reader: apsw.Connection, database: Database) -> None:
    reader.close()
    database.close()


def _damage(connection: apsw.Connection) -> list[str]:
    try:
        rows = [str(row[0]) for row in connection.execute(f"PRAGMA quick_check({MOST_COMPLAINTS})")]
    except apsw.InterruptError:
        return []
    except apsw.Error as error:
        return [str(error)]
    finally:
        connection.close()
    return [] if rows == ["ok"] else rows
