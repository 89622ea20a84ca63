"""The way in: frames and tables to the journal, many at a time, and then to the heads.

What came while a commit was on its way goes into the next one, so that its `fsync` is shared.
All of it is the event loop's, but for the transaction itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import apsw

from monitor.errors import MonitorError
from monitor.model import Frame, Snapshot
from monitor.ports import Unknown
from monitor.sqlite.writer import Writer
from monitor.store import journal, shapes, snapshots
from monitor.store.hosts import Host
from monitor.store.journal import Entry
from monitor.store.shapes import Shapes
from monitor.store.voice import VOICE

PACE_SECONDS = 0.01
"""Commits are at least so far apart: a hundred a second is all that acknowledgements need."""

MOST_WAITING_BYTES = 64 * 1024 * 1024
"""Frames that wait for a commit; more are refused, so that a stuck disk fills no memory."""

MOST_JOURNAL_BYTES = 320 * 1024 * 1024
"""A journal that is longer is first worked off: until then nobody's frames are acknowledged."""

RELIEF_SECONDS = 10.0
"""So long they wait for that; then they are refused, and whoever sent them tries again."""

MOST_BATCH_BYTES = 4 * 1024 * 1024
"""Frames in one commit, beyond the first who waits: about ten milliseconds' work."""


@dataclass(slots=True)
class _Waiting:
    frames: Sequence[Frame]
    tables: Sequence[Snapshot]
    size: int
    answer: asyncio.Future[None]


@dataclass(slots=True)
class _Batch:
    """What one commit writes."""

    entries: list[Entry] = field(default_factory=list)
    tables: list[tuple[int, Snapshot]] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    schemas: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    pairs: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Journaled:
    """What a commit did to the journal: its first and last row, 0 where it had none, and bytes."""

    first: int
    last: int
    size: int


class Hosts:
    """Every host of the store by name, each with its number."""

    def __init__(self) -> None:
        self.by_name: dict[str, Host] = {}
        self._next = 1

    def put(self, host: Host) -> None:
        """A host that the file has."""
        self.by_name[host.name] = host
        self.reserve(host.id)

    def reserve(self, number: int) -> None:
        """A number that is taken."""
        self._next = max(self._next, number + 1)

    def of(self, name: str) -> Host:
        """The host of this name, which may be new."""
        found = self.by_name.get(name)
        if found is None:
            found = self.by_name[name] = Host(self._next, name)
            self._next += 1
        return found


class Appender:
    """Takes frames and tables in.  `grown` is called after each commit with the hosts it grew."""

    def __init__(
        self,
        writer: Writer,
        hosts: Hosts,
        shapes_: Shapes,
        grown: Callable[[Sequence[Host]], None],
    ) -> None:
        self.frames_total = 0
        self.journal_bytes = 0
        """Held by the journal, about."""
        self.folded = 0
        """The last row of the journal whose frames are in the heads."""
        self.relieved = asyncio.Event()
        """Set whenever the journal has become shorter."""
        self.committing = asyncio.Lock()
        """Held from the moment at which frames get their hosts' numbers until they are in the
        heads; who holds it may let a host go."""
        self._writer = writer
        self._hosts = hosts
        self._shapes = shapes_
        self._grown = grown
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._flushing: asyncio.Task[None] | None = None
        self._is_finishing = False

    async def append(self, frames: Sequence[Frame], tables: Sequence[Snapshot]) -> None:
        """Keep these, all or none; they are durable on return.  Raises `Unavailable`."""
        for frame in frames:
            _require_frame(frame)
        size = sum(32 + 8 * len(frame.values) for frame in frames) + 4096 * len(tables)
        if self._waiting and self._waiting_bytes + size > MOST_WAITING_BYTES:
            raise VOICE.behind()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(frames, tables, size, answer))
        self._waiting_bytes += size
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="history-flush")
        await answer

    async def finish(self) -> None:
        """Wait until nothing waits any more; what was begun is stored, however long the journal."""
        self._is_finishing = True
        try:
            while self._flushing is not None:
                self.relieved.set()
                await asyncio.wait([self._flushing])
        finally:
            self._is_finishing = False

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if not await self._relief():
                    _refuse(self._all_taken(), VOICE.behind())
                    continue
                begun = loop.time()
                taken = self._taken()
                try:
                    async with self.committing:
                        await self._commit(taken)
                finally:
                    _refuse(taken, VOICE.closed())  # only where that was cut off
                rest = begun + PACE_SECONDS - loop.time()
                if rest > 0 and self._waiting:
                    await asyncio.sleep(rest)
        finally:
            self._flushing = None
            _refuse(self._all_taken(), VOICE.closed())  # only where this task itself was cut off

    async def _relief(self) -> bool:
        """Wait while the journal is too long, as appends must not outrun what is made of them.

        Whether there is room then: who works it off may not be able to.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELIEF_SECONDS):
                while self.journal_bytes > MOST_JOURNAL_BYTES and not self._is_finishing:
                    self.relieved.clear()
                    await self.relieved.wait()
        return self.journal_bytes <= MOST_JOURNAL_BYTES or self._is_finishing

    def _all_taken(self) -> list[_Waiting]:
        taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return taken

    def _taken(self) -> list[_Waiting]:
        """Who goes with the next commit."""
        size, count = 0, 0
        for one in self._waiting:
            size += one.size
            if count and size > MOST_BATCH_BYTES:
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_bytes -= sum(one.size for one in taken)
        return taken

    async def _commit(self, taken: list[_Waiting]) -> None:
        """Store what these wait for, and tell them; what cannot be stored is its own caller's."""
        try:
            batch = self._batch(taken)
            done = await self._writer.submit(
                lambda connection: _written(connection, batch), sum(one.size for one in taken)
            )
        except Exception as error:  # noqa: BLE001 - it is the callers that hear of it
            if len(taken) > 1 and not isinstance(error, MonitorError | Unknown):
                for one in taken:
                    await self._commit([one])
                return
            _refuse(taken, VOICE.failure(str(error)) if isinstance(error, Unknown) else error)
            return
        self._fold(batch, done)
        for one in taken:
            if not one.answer.done():
                one.answer.set_result(None)

    def _batch(self, taken: list[_Waiting]) -> _Batch:
        batch = _Batch()
        hosts: dict[int, Host] = {}
        for one in taken:
            for frame in one.frames:
                host = self._hosts.of(frame.host)
                hosts[host.id] = host
                schema = self._shapes.number_of(frame.schema)
                if schema not in host.schemas:
                    batch.pairs.append((host.id, schema))
                batch.entries.append(Entry(host.id, schema, frame))
            for table in one.tables:
                host = self._hosts.of(table.host)
                hosts[host.id] = host
                newest = host.tables_at.get(table.kind, 0.0)
                apart = table.at - newest
                if apart >= snapshots.EVERY_SECONDS - snapshots.EARLY_SECONDS or apart < 0:
                    batch.tables.append((host.id, table))
        batch.hosts = [host for host in hosts.values() if not host.saved]
        batch.schemas = dict(self._shapes.unsaved)
        return batch

    def _fold(self, batch: _Batch, done: Journaled) -> None:
        """The heads and all else in memory follow what was committed."""
        grown: dict[int, Host] = {}
        for host in batch.hosts:
            host.saved = True
        for number in batch.schemas:
            self._shapes.unsaved.pop(number, None)
        for entry in batch.entries:
            frame = entry.frame
            host = self._hosts.by_name[frame.host]
            if entry.schema not in host.schemas:
                host.schemas.add(entry.schema)
                host.keys = None
            host.add(entry.schema, frame.at, frame.values, done.first)
            grown[host.id] = host
        for _, table in batch.tables:
            host = self._hosts.by_name[table.host]
            host.tables_at[table.kind] = max(host.tables_at.get(table.kind, 0.0), table.at)
        self.folded = max(self.folded, done.last)
        self.journal_bytes += done.size
        self.frames_total += len(batch.entries)
        self._grown(list(grown.values()))


def _require_frame(frame: Frame) -> None:
    """Raise `ValueError` where no chunk could be made of a frame: the fault of whoever made it."""
    if len(frame.values) != len(frame.schema):
        raise ValueError("a frame has one value for each KEY of its schema")
    if not 0.0 <= frame.at < math.inf:
        raise ValueError(f"a frame's instant is in unix seconds, not {frame.at}")


def _refuse(taken: Sequence[_Waiting], error: Exception) -> None:
    """Tell those who have not heard yet that nothing of theirs was stored."""
    for one in taken:
        if not one.answer.done():
            one.answer.set_exception(error)


def _written(connection: apsw.Connection, batch: _Batch) -> Journaled:
    """In the writer's thread, within a transaction; it may be done more than once."""
    for host in batch.hosts:
        connection.execute(
            "INSERT OR IGNORE INTO hosts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                host.id,
                host.name,
                host.sealed,
                host.compacted_to,
                host.rolled_to,
                host.spacing,
                host.crc,
            ),
        )
    if batch.schemas:
        shapes.save(connection, batch.schemas)
    if batch.pairs:
        connection.executemany("INSERT OR IGNORE INTO host_schemas VALUES (?, ?)", batch.pairs)
    if batch.tables:
        rows = [
            snapshots.stored(host, table.kind, [(table.at, [dict(row) for row in table.rows])])
            for host, table in batch.tables
        ]
        snapshots.insert(connection, rows)
    first, last, size = 0, 0, 0
    for crc, row in journal.packed(batch.entries):
        connection.execute("INSERT INTO journal (crc, data) VALUES (?, ?)", (crc, row))
        last = connection.last_insert_rowid()
        first = first or last
        size += len(row)
    return Journaled(first, last, size)
