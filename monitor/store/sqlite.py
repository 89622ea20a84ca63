"""The series store in SQLite: one file in the data directory, and its marker.

`open_store` opens it.  What it gives is what `monitor.ports.SeriesStore` promises; how, stands
in the other modules of this room: the way in (`appending`), what is made of it (`keeper`,
`compaction`), the way out (`reading`), and what goes (`retention`).
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

import apsw

from monitor.errors import StartError, Unavailable
from monitor.model import Frame, Snapshot
from monitor.ports import Buckets, StoreWarning, Unknown
from monitor.sqlite.transactions import DAMAGE, viewed
from monitor.sqlite.writer import Writer
from monitor.store import checking, opening, snapshots
from monitor.store.appending import Appender
from monitor.store.chunks import Cache
from monitor.store.codec import ChunkDamaged
from monitor.store.config import RetentionConfig
from monitor.store.keeper import Keeper
from monitor.store.loading import Loaded, loaded
from monitor.store.reading import Cancelled, Reader, ranged
from monitor.store.retention import Retention
from monitor.store.space import Space
from monitor.store.voice import VOICE, file_damaged

READERS = 2
"""Connections, and threads, for readers: a long reading does not keep out a short one."""

LATEST_SECONDS = 86_400.0
"""Whatever raw frames are kept for, those of the last day are taken: senders try again so long."""

FULL = "store_full"
"""The code of an error that says that the disk is full."""

CLOCK_SECONDS = 3_600.0
"""How far this machine's clock may run ahead of time that has gone and still be believed."""

PAUSE_SECONDS = 0.02
"""Between two steps of trimming, so that commits come in between."""

_T = TypeVar("_T")


async def open_store(
    folder: Path,
    config: RetentionConfig | None = None,
    *,
    clock: Callable[[], float] = time.time,
    accept_retention: bool = False,
) -> SqliteStore:
    """Open the store of a data directory, which exists; it must be closed.

    `clock` gives unix seconds.  With `accept_retention` what the brake of retention would hold
    is carried out.  Raises `monitor.errors.StartError` where the store is not to be used.
    """
    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(READERS, "series-reader")
    try:
        opened = await loop.run_in_executor(threads, _opened, folder, clock())
    except BaseException:
        threads.shutdown(wait=False)
        raise
    config = config or RetentionConfig()
    retention = Retention(config, accept_retention)
    connection, others, _, held = opened
    try:
        await loop.run_in_executor(
            None, viewed, connection, lambda c: retention.plan(c, clock()), VOICE
        )
    except BaseException:
        threads.shutdown(wait=False)
        for each in (connection, *others):
            each.close()
        held.close()
        raise
    store = SqliteStore(folder, opened, threads, config, retention, clock)
    if accept_retention:
        await store.write_down()
    return store


_Opened = tuple[apsw.Connection, list[apsw.Connection], Loaded, IO[bytes]]
"""The writer's connection, further ones, what they found, and what holds the store."""


def _opened(folder: Path, now: float) -> _Opened:
    connection = opening.opened(folder)
    others: list[apsw.Connection] = []
    held: IO[bytes] | None = None
    try:
        held = opening.held(folder)
        found = loaded(connection, now)
        others += [opening.reading(folder) for _ in range(READERS + 1)]
    except BaseException as error:
        for each in (connection, *others):
            each.close()
        if held is not None:
            held.close()
        if isinstance(error, DAMAGE):
            raise file_damaged(error) from error
        if isinstance(error, apsw.Error):
            raise StartError(f"{folder / opening.NAME} cannot be used: {error}") from error
        raise
    return connection, others, found, held


class SqliteStore:
    """A `monitor.ports.SeriesStore`."""

    def __init__(
        self,
        folder: Path,
        opened: _Opened,
        threads: ThreadPoolExecutor,
        config: RetentionConfig,
        retention: Retention,
        clock: Callable[[], float],
    ) -> None:
        self._connection, others, found, self._held = opened
        self._threads = threads
        self._folder = folder
        self._opened = clock(), time.monotonic()
        self._config = config
        self._retention = retention
        self._clock = clock
        self._complaints = found.complaints
        self._hosts, self._shapes = found.hosts, found.shapes
        self._writer = Writer(self._connection, VOICE, _nothing)
        self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        for connection in others[:READERS]:
            self._readers.put(connection)
        self._reading = others
        self.space = Space(folder)
        self._cache = Cache()
        self._checking: set[apsw.Connection] = set()
        appender = Appender(self._writer, self._hosts, self._shapes, self._grown)
        appender.folded = found.journal_last
        appender.journal_bytes = found.journal_bytes
        self._appender = appender
        self.keeper = Keeper(
            self._writer,
            self._hosts,
            self._shapes,
            appender,
            others[READERS],
            self.space,
            self._watch,
            clock,
        )
        self._identity = opening.identity(folder)
        self.keeper.grown(list(self._hosts.by_name.values()))
        self.keeper.go_on_erasing(found.erasing)
        self.keeper.start()
        self._closed = False

    def _watch(self) -> None:
        """See whether the file is still where it was; in the worker's thread, and never raises."""
        with contextlib.suppress(OSError):
            if opening.identity(self._folder) != self._identity:
                self._writer.fail(
                    f"{opening.NAME} has vanished or was exchanged while it was in use; end the "
                    "server, put it back from a backup, and start it again"
                )

    def _grown(self, hosts: Sequence[Any]) -> None:
        self.keeper.grown(hosts)

    async def append(self, frames: Sequence[Frame], snapshots: Sequence[Snapshot] = ()) -> None:
        """Keep these, all or none, durable on return: see `monitor.ports.SeriesStore`."""
        if self._closed:
            raise VOICE.closed()
        self.space.require()
        try:
            await self._appender.append(frames, snapshots)
        except Unavailable as error:
            if error.code == FULL:
                self._make_room()
            raise

    def _make_room(self) -> None:
        """The disk is full: give up the ballast, and take nothing until there is room."""
        self.space.release()
        self.space.look()

    async def range(
        self,
        series: Sequence[tuple[str, str]],
        start: float,
        end: float,
        points: int,
        raw: bool = False,
    ) -> Buckets:
        """At most `points` buckets over [start, end): see `monitor.ports.SeriesStore`."""
        views = {
            name: host.view()
            for name in {host for host, _ in series}
            if (host := self._hosts.by_name.get(name)) is not None
        }
        cancelled = threading.Event()
        bad: dict[int, str] = {}

        def read(connection: apsw.Connection) -> Buckets:
            reader = Reader(connection, self._shapes, cancelled.is_set, bad, self._cache)
            return ranged(reader, views, tuple(series), start, end, points, raw)

        try:
            return await self._read(read)
        finally:
            cancelled.set()
            self.keeper.damaged(bad)

    async def snapshot_at(self, host: str, kind: str, at: float) -> Snapshot | None:
        """The newest table of this kind not after `at`, or none."""
        known = self._hosts.by_name.get(host)
        if known is None:
            return None
        return await self._read(
            lambda connection: snapshots.found(connection, known.id, host, kind, at)
        )

    async def series(self, host: str) -> tuple[str, ...]:
        """Every KEY that this host has, sorted."""
        known = self._hosts.by_name.get(host)
        if known is None:
            return ()
        if known.keys is None:
            numbers = sorted(known.schemas)

            def read(connection: apsw.Connection) -> tuple[str, ...]:
                keys: set[str] = set()
                for number in numbers:
                    # One that is damaged is told of by `check`, and by who reads its chunks.
                    with contextlib.suppress(ChunkDamaged):
                        keys.update(self._shapes.shape(connection, number).keys)
                return tuple(sorted(keys))

            found = await self._read(read)
            if len(numbers) == len(known.schemas):
                known.keys = found
            return found
        return known.keys

    async def forget(self, host: str) -> None:
        """Erase a host: see `monitor.ports.SeriesStore`."""
        if self._closed:
            raise VOICE.closed()
        await self.keeper.forget(host)

    async def trim(self, now: float) -> int:
        """Let go of what has been kept long enough at `now`, in small steps; how many bytes."""
        gone = 0
        touched: set[int] = set()
        while not self._closed:
            step = await self._writer.submit(
                lambda connection: (self._retention.step(connection, now), self._retention.touched)
            )
            touched |= step[1]
            if not step[0]:
                break
            gone += step[0]
            await asyncio.sleep(PAUSE_SECONDS)
        if touched:
            await self.keeper.floors(touched)
        return gone

    async def write_down(self) -> None:
        """What was accepted of retention holds from now on, however soon this run ends."""
        with contextlib.suppress(Unavailable, Unknown):  # a full disk: the next trim does it
            await self._writer.submit(self._retention.write_down)

    def oldest_accepted(self, now: float) -> float:
        """Frames from before this instant would be let go of at once."""
        # A clock that runs ahead of time must not turn away senders whose own is right.
        gone = time.monotonic() - self._opened[1]
        now = min(now, self._opened[0] + gone + CLOCK_SECONDS)
        if self._retention.held is not None:
            return self._retention.oldest_accepted(now)
        kept = now - max(self._config.raw, LATEST_SECONDS)
        return max(kept, self._retention.oldest_accepted(now))

    def warnings(self) -> tuple[StoreWarning, ...]:
        """What its operator should know of it now."""
        found = [self._retention.held, self.space.warning()]
        if self._writer.failed is not None:
            found.append(StoreWarning("store_failed", VOICE.failure(self._writer.failed).detail))
        elif self.keeper.fault is not None:
            found.append(
                StoreWarning(
                    "store_behind", f"The history cannot be looked after: {self.keeper.fault}"
                )
            )
        damaged = self._complaints[:3]
        lost = sum(len(host.lost) for host in self._hosts.by_name.values())
        if lost:
            damaged.append(f"{lost} stretches of history are damaged and shown as gaps")
        if damaged:
            text = "; ".join(damaged) + ".  monitor doctor says which"
            found.append(StoreWarning("store_damaged", text))
        return tuple(each for each in found if each is not None)

    async def check(self) -> list[str]:
        """What is damaged in the file, in words; empty where all is well.

        It reads the whole file beside everything else, so it is for after the start; it ends
        early, finding nothing, when the store is closed.
        """
        connection = await asyncio.to_thread(opening.reading, self._folder)
        self._checking.add(connection)
        try:
            said, bad = await asyncio.to_thread(checking.damage, connection, lambda: self._closed)
        finally:
            self._checking.discard(connection)
            connection.close()
        self.keeper.damaged(bad)
        self._complaints += said
        # These are put aside and then told of as gaps.
        return (
            said
            + [f"chunk {number}: {why}" for number, why in bad.items()][: checking.MOST_COMPLAINTS]
        )

    async def settle(self) -> None:
        """Compact everything that is over at once, as time would: for benches and tests."""
        await self.keeper.settle()

    async def close(self) -> None:
        """Give back what is held; appends that were begun are finished."""
        if self._closed:
            return
        self._closed = True
        for connection in self._checking:
            connection.interrupt()
        await self._appender.finish()
        await self.keeper.stop()
        await self._writer.close()
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._reading:
            connection.close()
        self._connection.close()
        self._held.close()

    async def _read(self, work: Callable[[apsw.Connection], _T]) -> _T:
        """Look at one unchanging view of the file, in a reader's thread."""
        if self._closed:
            raise VOICE.closed()

        def read() -> _T:
            connection = self._readers.get()
            try:
                return viewed(connection, work, VOICE)
            except Cancelled:
                raise VOICE.closed() from None
            except ChunkDamaged as error:
                raise file_damaged(error) from error
            finally:
                self._readers.put(connection)

        return await asyncio.get_running_loop().run_in_executor(self._threads, read)


def _nothing(outcomes: Sequence[Any]) -> None:
    del outcomes
