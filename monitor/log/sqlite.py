"""The event log and the registry in SQLite: one file in the data directory, and its marker.

`open_log` opens both.  They give what `monitor.ports` promises of them, and what is in other
modules of this room stays there: tables, transactions, the writer's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from monitor.errors import Unavailable
from monitor.log import checkpoints, event_table, registry_table
from monitor.log.event_table import BATCH_EVENTS
from monitor.log.leases import Leases
from monitor.log.records import key_text, records, text, topic_texts, value_bytes
from monitor.log.shared import SharedFile
from monitor.log.watching import Changes, watch
from monitor.model import Event, RetentionClass
from monitor.ports import Checkpoint, Deleted, Entry, Synced

PAGE_EVENTS = 256
"""What a tail reads, or is handed, at a time."""

RETRY_SECONDS = 0.1
"""How long a tail waits while the log is busy: half of what another's event may take anyway."""


async def open_log(
    folder: Path, *, monotonic: Callable[[], float] = time.monotonic
) -> tuple[SqliteLog, SqliteRegistry]:
    """Open the store of a data directory, which exists; both must be closed.

    `monotonic` is the clock in seconds by which others' leases lapse.  Raises
    `monitor.errors.StartError` where the store is not to be used.
    """
    file = await SharedFile.open(folder)
    return SqliteLog(file), SqliteRegistry(file, monotonic)


class SqliteLog:
    """A `monitor.ports.EventLog`."""

    def __init__(self, file: SharedFile) -> None:
        self._file = file
        self._closed = False

    @property
    def epoch(self) -> str:
        """16 hex digits, kept in the store."""
        return self._file.epoch

    @property
    def commits(self) -> int:
        """Transactions that were committed since the start, each holding whatever waited."""
        return self._file.writer.commits

    async def append(
        self, events: Sequence[Event], scope: str | None = None, expect: int | None = None
    ) -> int:
        """Append all or none, durable on return: see `monitor.ports.EventLog`."""
        kept = records(events)
        if scope is not None:
            text(scope, "scope")
        size = sum(record.size for record in kept)
        done = await self._file.writer.submit(
            lambda connection: event_table.append(connection, kept, scope, expect), size
        )
        return done.last

    async def read(
        self, after: int, of: frozenset[str] | RetentionClass | None, limit: int
    ) -> tuple[list[Event], int, int]:
        """Events after a position: see `monitor.ports.EventLog`."""
        if not isinstance(of, RetentionClass):
            topic_texts(of)
        return await self._file.read(
            lambda connection: event_table.read(connection, after, of, limit, self._file.complain)
        )

    async def last(self, scope: str | None = None) -> int:
        """The last position, of all or of one scope."""
        if scope is not None:
            text(scope, "scope")
        return await self._file.read(
            lambda connection: event_table.last_position(connection, scope)
        )

    async def tail(self, after: int) -> AsyncIterator[Sequence[Event]]:
        """Every event after a position, then more as they are appended, in pages."""
        with self._file.followed(tail=True):
            # The first page is read: whether the position is in the log is the file's to say.
            page: Sequence[Event] = ()
            while True:
                if page:
                    after = page[-1].sequence
                else:
                    found = await self._next_page(after)
                    if found is None:
                        return
                    page, after = found
                if page:
                    yield page
                if not await self._file.grown(after, lambda: self._closed):
                    return
                page = self._file.recent(after, PAGE_EVENTS)

    async def _next_page(self, after: int) -> tuple[Sequence[Event], int] | None:
        """A tail's page, once the log is not busy; none when it was closed meanwhile."""
        while not self._closed:
            try:
                page, searched, _ = await self.read(after, None, PAGE_EVENTS)
            except Unavailable as error:
                if error.code != "log_busy":
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return page, searched
        return None

    async def trim(
        self, class_: RetentionClass, before: float, max_bytes: int | None = None
    ) -> int:
        """Let go of a class's oldest events: see `monitor.ports.EventLog`."""
        gone = 0
        while True:
            batch = await self._file.writer.submit(
                lambda connection: event_table.trim(connection, class_, before, max_bytes)
            )
            gone += batch
            if batch < BATCH_EVENTS:
                return gone

    async def erase(self, topic: str) -> int:
        """Remove every event on a topic: see `monitor.ports.EventLog`."""
        text(topic, "topic")
        gone = 0
        while True:
            batch = await self._file.writer.submit(
                lambda connection: event_table.erase(connection, topic)
            )
            self._file.forget_recent()
            gone += batch
            if batch < BATCH_EVENTS:
                return gone

    async def check(self) -> list[str]:
        """What is damaged in the file, in words; empty where all is well.

        It reads the whole file, beside everything else, so it is for after the start; it ends
        early, finding nothing, when the log is closed.
        """
        return await self._file.check()

    async def close(self) -> None:
        """End the tails; the file is closed when the registry is closed too."""
        if not self._closed:
            self._closed = True
            await self._file.leave()


class SqliteRegistry:
    """A `monitor.ports.Registry`."""

    def __init__(self, file: SharedFile, monotonic: Callable[[], float]) -> None:
        self._file = file
        self._leases = Leases(self, monotonic)
        self._closed = False

    async def get(self, key: str) -> Entry | None:
        """The newest value of a key, or none."""
        key_text(key)
        return await self._file.read(lambda connection: registry_table.get(connection, key))

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins so, sorted."""
        if prefix:
            key_text(prefix)
        return await self._file.read(lambda connection: registry_table.keys(connection, prefix))

    async def create(self, key: str, value: bytes) -> int:
        """Set a key that is not there: see `monitor.ports.Registry`."""
        return await self._put(key, value, 0)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Set a key that is still at this revision: see `monitor.ports.Registry`."""
        return await self._put(key, value, registry_table.named(revision))

    async def put(self, key: str, value: bytes) -> int:
        """Set a key, whatever it was."""
        return await self._put(key, value, None)

    async def _put(self, key: str, value: bytes, expect: int | None) -> int:
        key_text(key)
        value = value_bytes(value)
        done = await self._file.writer.submit(
            lambda connection: registry_table.put(connection, key, value, expect), len(value)
        )
        return done.revision

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Remove a key: see `monitor.ports.Registry`."""
        key_text(key)
        await self._file.writer.submit(
            lambda connection: registry_table.delete(connection, key, revision)
        )

    async def watch(self, prefix: str) -> AsyncIterator[Entry | Synced | Deleted]:
        """The values, `Synced`, and then their changes: see `monitor.ports.Registry`."""
        with self._file.followed():
            async for change in watch(self, prefix):
                yield change

    async def changes(self, prefix: str, since: int) -> Changes:
        """What changed below a prefix since a revision: one page."""
        return await self._file.read(
            lambda connection: registry_table.changes(connection, prefix, since)
        )

    async def changed(self, since: int) -> bool:
        """Wait until there is something after a revision; false when the registry closes."""
        return await self._file.changed(since, lambda: self._closed)

    async def lease(self, name: str, holder: str, ttl_seconds: float) -> bool:
        """Take or renew a lease: see `monitor.ports.Registry`."""
        return await self._leases.take(name, holder, ttl_seconds)

    async def checkpoint(self, name: str) -> Checkpoint:
        """A consumer's checkpoint: see `monitor.ports.Registry`."""
        return await checkpoints.load(self, name)

    async def save(
        self, name: str, state: bytes, positions: Mapping[str, int], revision: int
    ) -> int:
        """Write a checkpoint: see `monitor.ports.Registry`."""
        return await checkpoints.save(self, name, state, positions, revision)

    async def close(self) -> None:
        """End the watches; the file is closed when the log is closed too."""
        if not self._closed:
            self._closed = True
            await self._file.leave()
