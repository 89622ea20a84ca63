"""The keeper: seals heads, closes windows, rolls up blocks, puts damaged chunks aside.

One task of the event loop decides what is due; the work is done in one worker thread over a
connection of its own, and written by the writer in one transaction.  It never hurries: what
readers and commits wait for comes first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

import apsw
import numpy as np

from monitor.core.rollups import EARLY_SECONDS
from monitor.errors import MonitorError
from monitor.ports import Unknown
from monitor.sqlite.transactions import viewed
from monitor.sqlite.writer import Writer
from monitor.store import chunks, erasing, shapes, snapshots
from monitor.store.appending import Appender, Hosts
from monitor.store.aside import Aside, put_aside, quarantined
from monitor.store.changes import Change, Made
from monitor.store.codec import ChunkDamaged
from monitor.store.compaction import compacted, sealed, window_around
from monitor.store.due import Due
from monitor.store.hosts import HOUR_SECONDS, LEVELS, Host, HostView, hour_of
from monitor.store.reading import Reader
from monitor.store.shapes import Shapes
from monitor.store.space import Level, Space
from monitor.store.tiers import BLOCK_SECONDS, block
from monitor.store.voice import VOICE

logger = logging.getLogger(__name__)

SEAL_ROWS = 240
"""Rows of a head that make an open chunk: four minutes at 1 s, and 2 kB a series in memory."""

STAGGER_ROWS = 120
"""By up to so many rows hosts are sealed before that, so that they are not all due at once."""

MOST_JOURNAL_BYTES = 160 * 1024 * 1024
"""Of a journal that is longer, those who hold back its oldest rows are sealed early."""

MOST_HEAD_BYTES = 512 * 1024 * 1024
"""Of heads that hold more together, the largest are sealed early."""

LOOK_SECONDS = 1.0
"""How often it is looked for what is due when nothing calls."""

MOST_HOURS = 24
"""Late hours that are made anew together."""

REST_SHARE = 1.0
"""After a compaction it rests for so many times as long as that took."""

MOST_FREE_PAGES = 2_000
"""So many free pages are kept for what comes next: 32 MB, as the journal comes and goes."""

FREE_SHARE = 4
"""More are given back to the file system when they are more than one in so many."""

FREED_PAGES = 500
"""At a time: some milliseconds of the writer's."""

TROUBLED_SECONDS = 60.0
"""A host whose work failed is left alone for so long, so that it holds up nobody else's."""

YIELD_EVERY = 256
"""Hosts that are looked at before others may run: about a millisecond."""

SCHEMAS_SECONDS = 3_600.0
"""How often schemas that no chunk has any more are let go of."""

RECOUNT_SECONDS = 600.0
"""How often the journal is measured whole: 160 MB take the writer a while, and each seal knows what
it removed.  Only a host that is forgotten makes rows shorter meanwhile."""

_UPDATE_HOST = """
UPDATE hosts SET sealed = ?, compacted_to = ?, rolled_to = ?, spacing = ?, crc = ? WHERE id = ?
"""

STEP_PAUSE_SECONDS = 0.005
"""Between two steps of erasing a host, so that commits come in between."""

EVERYBODYS = (MonitorError, Unknown, apsw.Error, MemoryError)
"""Errors that are no single host's: the file, the disk, the machine."""

_T = TypeVar("_T")


class Moved(MonitorError):
    """A chunk that was to be replaced is no longer there: what was made is made again."""

    code = "store_moved"


class Keeper:
    """Everything that turns what came in into what is kept."""

    def __init__(
        self,
        writer: Writer,
        hosts: Hosts,
        shapes_: Shapes,
        appender: Appender,
        connection: apsw.Connection,
        space: Space,
        watch: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.compactions_total = 0
        self.fault: str | None = None
        """Why the newest work could not be done; none where it could."""
        self._writer = writer
        self._hosts = hosts
        self._shapes = shapes_
        self._appender = appender
        self._connection = connection
        self._space = space
        self._watch = watch
        self._clock = clock
        self._worker = ThreadPoolExecutor(1, "series-worker")
        self._full: dict[int, Host] = {}
        self._troubled: dict[int, tuple[float, str]] = {}
        self._called = asyncio.Event()
        self._working = asyncio.Lock()
        self._due = Due(clock)
        self._bad: dict[int, str] = {}
        self._named: set[int] = set()
        self._heads_at = 0.0
        self._schemas_at = self._recounted_at = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._erasing: set[int] = set()
        self._erasure = asyncio.Lock()

    def start(self) -> None:
        """Begin to look after the store."""
        self._task = asyncio.create_task(self._run(), name="history-keeper")

    async def stop(self) -> None:
        """End; what was begun is finished or given up whole."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        async with self._working:
            self._is_stopped = True
            await asyncio.to_thread(self._worker.shutdown)
        self._connection.close()

    def grown(self, hosts: Sequence[Host]) -> None:
        """These hosts have new rows in their heads."""
        now = time.monotonic()
        for host in hosts:
            host.grown_at = now
            if is_full(host):
                self._full[host.id] = host
                self._called.set()

    def damaged(self, bad: Mapping[int, str]) -> None:
        """A reading met chunks that are not what was written."""
        self._bad.update(bad)
        if bad:
            self._called.set()

    async def settle(self) -> None:
        """Seal and compact everything that is over, at once; for tests, benches, and care."""
        await self._appender.finish()
        async with self._working:
            for host in list(self._hosts.by_name.values()):
                await self._seal(host)
                while await self._advance(host, patient=False):
                    pass

    async def floors(self, touched: set[int]) -> None:
        """Chunks of these hosts have gone: where each begins is looked up again."""
        for host in list(self._hosts.by_name.values()):
            if host.id in touched:
                host.floors = await self._read(partial(_floors, host.id))
                host.floors[0] = min(host.floors[0], host.open_from)

    async def forget(self, name: str) -> None:
        """Let go of a host and of all that there is of it; it is gone on return, durably."""
        # Who is no longer waited for still has to bring memory and file to the same.
        await asyncio.shield(asyncio.create_task(self._bury(name), name="history-bury"))
        await self.erase()

    async def _bury(self, name: str) -> None:
        async with self._working, self._appender.committing:
            host = self._hosts.by_name.get(name)
            if host is None:
                return
            await self._writer.submit(partial(_buried, host))
            del self._hosts.by_name[name]
            self._full.pop(host.id, None)
            self._troubled.pop(host.id, None)
            self._due.remade(host)
            self._erasing.add(host.id)

    def go_on_erasing(self, numbers: Iterable[int]) -> None:
        """These hosts were let go of before, and not all of them has gone."""
        self._erasing.update(numbers)

    async def erase(self) -> None:
        """Take from the file what is left of hosts that are no more."""
        async with self._erasure:
            while self._erasing:
                number, after = next(iter(self._erasing)), 0
                while True:
                    left = await self._writer.submit(partial(_erased, number, after))
                    if left is None:
                        break
                    after = left
                    await asyncio.sleep(STEP_PAUSE_SECONDS)
                self._erasing.discard(number)

    # What is due

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._called.wait()
            self._called.clear()
            await self._apart(self._look)
            if self._space.level is Level.LOW:
                # What is free is for letting go of the old: a compaction needs room first.
                continue
            try:
                await self._round()
            except Exception as error:  # noqa: BLE001 - without this task nothing is sealed
                self._complain(error)
                if getattr(error, "code", "") == "store_full":
                    await self._apart(self._space.release)
                await asyncio.sleep(LOOK_SECONDS)
            else:
                self.fault = next((why for _, why in self._troubled.values()), None)

    def _look(self) -> None:
        """How much room there is, and whether the file is still there."""
        self._space.look()
        self._watch()

    def _complain(self, error: Exception) -> None:
        why = str(error) or repr(error)
        if self.fault is None:
            expected = isinstance(error, (*EVERYBODYS, ChunkDamaged))
            logger.error(
                "the history is not looked after: %s", why, exc_info=None if expected else error
            )
        self.fault = why

    async def _round(self) -> None:
        async with self._working:
            await self._quarantine()
            await self._seal_due()
        for number, host in enumerate(list(self._hosts.by_name.values()), 1):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if self._is_resting(host):
                continue
            if not self._due.is_due(host):
                self._troubled.pop(host.id, None)
                continue
            begun = time.monotonic()
            async with self._working:
                if self._hosts.by_name.get(host.name) is not host:
                    continue  # it was let go of meanwhile
                await self._tried(host, partial(self._advance, patient=True))
                await self._seal_due()
            await asyncio.sleep((time.monotonic() - begun) * REST_SHARE)
        await self.erase()
        await self._writer.submit(give_back)
        if time.monotonic() - self._schemas_at > SCHEMAS_SECONDS:
            self._schemas_at = time.monotonic()
            await self._forget_schemas()

    async def _tried(self, host: Host, work: Callable[[Host], Awaitable[object]]) -> None:
        """Do a host's work; what fails of its own making is said, and it rests for a while."""
        try:
            await work(host)
        except EVERYBODYS:
            raise
        except Exception as error:  # one host's must not be everybody's
            why = f"{host.name}: {str(error) or repr(error)}"
            if host.id not in self._troubled:
                logger.exception("the history of a host is not looked after: %s", why)
            self._troubled[host.id] = time.monotonic() + TROUBLED_SECONDS, why
        else:
            self._troubled.pop(host.id, None)

    def _is_resting(self, host: Host) -> bool:
        rests_until, _ = self._troubled.get(host.id, (0.0, ""))
        return time.monotonic() < rests_until

    async def _seal_due(self) -> None:
        while self._full:
            _, host = self._full.popitem()
            if is_full(host):  # it was called again while it was being sealed
                await self._seal(host)
        while self._appender.journal_bytes > MOST_JOURNAL_BYTES:
            holding = [host for host in self._hosts.by_name.values() if host.journal_from]
            if not holding:
                self._appender.journal_bytes = 0
                self._appender.relieved.set()
                break
            await self._seal(min(holding, key=lambda host: host.journal_from))
        heads = await self._head_bytes()
        more = sum(heads.values()) - MOST_HEAD_BYTES
        for name in sorted(heads, key=lambda each: heads[each], reverse=True) if more > 0 else ():
            if more <= 0:
                break
            await self._seal(self._hosts.by_name[name])
            more -= heads[name]

    async def _head_bytes(self) -> dict[str, int]:
        """What the heads of each host hold, where that may be much: looked at once a while."""
        if time.monotonic() - self._heads_at < LOOK_SECONDS:
            return {}
        self._heads_at = time.monotonic()
        found = {}
        for number, host in enumerate(list(self._hosts.by_name.values()), 1):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            if host.heads:
                found[host.name] = host.size_bytes
        return found

    # The work

    async def _advance(self, host: Host, *, patient: bool) -> bool:
        """Do the next thing that is due for a host: whether there was one."""
        try:
            return await self._advanced(host, patient=patient)
        except Moved:  # retention was faster; what is left of it is looked at anew
            return True

    async def _advanced(self, host: Host, *, patient: bool) -> bool:
        if host.late and (not patient or self._due.late_is_due(host)):
            await self._remake(host)
            return True
        end = self._due.window_end(host)
        if end is not None and self._due.window_is_over(host, end, patient=patient):
            await self._close(host, end)
            return True
        if self._due.block_is_over(host, patient=patient):
            await self._roll(host, host.rolled_to)
            return True
        return False

    async def _seal(self, host: Host) -> None:
        """Write a host's heads as open chunks, and let the journal go that was theirs."""
        self._full.pop(host.id, None)
        counts = {schema: head.rows for schema, head in host.heads.items()}
        view = host.view()
        if not view.heads:
            host.heads.clear()
            host.journal_from = 0
            return
        upto = self._appender.folded
        made, aside = await self._apart(self._sealed, view)
        new = [each.numbered(host.id, self._shapes.number(each.keys)) for each in made]
        before, host.sealed = host.sealed, max(host.sealed, upto)
        row = _row(host)
        others = [
            each.journal_from
            for each in self._hosts.by_name.values()
            if each.journal_from and each is not host
        ]
        free_to = min([*others, upto + 1])
        unsaved = dict(self._shapes.unsaved)

        def write(connection: apsw.Connection) -> int:
            shapes.save(connection, unsaved)
            chunks.insert(connection, new)
            put_aside(connection, host, aside, self._clock())
            connection.execute(*row)
            held = "SELECT coalesce(sum(length(data)), 0) FROM journal"
            if is_recount:
                connection.execute("DELETE FROM journal WHERE id < ?", (free_to,))
                return int(connection.execute(held).get)
            freed = int(connection.execute(f"{held} WHERE id < ?", (free_to,)).get)
            connection.execute("DELETE FROM journal WHERE id < ?", (free_to,))
            return freed

        begun = time.monotonic()
        is_recount = begun - self._recounted_at > RECOUNT_SECONDS
        try:
            size = await self._writer.submit(write, sum(len(each.data) for each in new))
        except BaseException:
            host.sealed = before
            raise
        self._saved(unsaved)
        if is_recount:
            self._recounted_at = begun
            self._appender.journal_bytes = size
        else:
            self._appender.journal_bytes = max(0, self._appender.journal_bytes - size)
        self._appender.relieved.set()
        for schema, rows in counts.items():
            head = host.heads[schema]
            head.drop(rows)
            if not head.rows:
                del host.heads[schema]
        host.lost += [each.lost for each in aside]
        host.journal_from = upto + 1 if host.heads else 0

    def _sealed(self, view: HostView) -> tuple[list[Made], list[Aside]]:
        """Open chunks of the heads, and those heads that none can be made of."""
        made: list[Made] = []
        aside: list[Aside] = []
        for head in view.heads:
            try:
                keys = self._shapes.shape(self._connection, head[0]).keys
                made += sealed(replace(view, heads=(head,)), [keys])
            except EVERYBODYS:
                raise
            except Exception as error:  # else the journal would grow for ever
                why = str(error) or repr(error)
                logger.exception("frames of %s are put aside: %s", view.name, why)
                aside.append(Aside(head, why))
        return made, aside

    async def _close(self, host: Host, end: float) -> None:
        """Close a host's oldest window."""
        await self._seal(host)
        start = max(host.compacted_to, hour_of(host.open_from))
        view = host.view()
        change = await self._compact(view, start, end, late=False)
        await self._apply(host, change, compacted_to=end)
        await self._pack_tables(host, end)

    async def _remake(self, host: Host) -> None:
        """Make a stretch of hours anew that rows came late to."""
        host.late_again.clear()
        await self._seal(host)
        hours = sorted(host.late)
        run = [hours[0]]
        for hour in hours[1:]:
            if hour != run[-1] + HOUR_SECONDS or len(run) >= MOST_HOURS:
                break
            run.append(hour)
        view = host.view()
        start, end = await self._read(lambda reader: window_around(reader, view, run))
        change = await self._compact(view, start, end, late=True)
        begin, rolled_to = start // BLOCK_SECONDS * BLOCK_SECONDS, host.rolled_to
        # What is rolled up of it no longer stands, from the same moment on: who is killed before
        # it is made anew goes on from there.
        await self._apply(host, change, rolled_to=min(begin, rolled_to))
        host.late.difference_update(hour for hour in run if hour not in host.late_again)
        self._due.remade(host)
        while begin < min(end, rolled_to):
            begin += BLOCK_SECONDS
            to = rolled_to if begin >= min(end, rolled_to) else begin
            await self._roll(host, begin - BLOCK_SECONDS, to)

    async def _roll(self, host: Host, start: float, to: float = 0.0) -> None:
        """Make tiers 2 to 4 of a block; they are made up to `to` then, or to its end."""
        view = host.view()
        change = await self._read(lambda reader: block(reader, view, start))
        to = max(host.rolled_to, start + BLOCK_SECONDS, to)
        if start == host.rolled_to and not change.made:
            to = await self._next_block(host, to)
        # Past a silent host's last rows too: what comes for that time from now on comes late.
        await self._apply(host, change, compacted_to=max(host.compacted_to, to), rolled_to=to)

    async def _next_block(self, host: Host, start: float) -> float:
        """After an empty block: the one with the next rows, at most the newest that is over."""
        last = host.compacted_to // BLOCK_SECONDS * BLOCK_SECONDS

        def first(reader: Reader) -> float:
            found = [last]
            for level in (0, 1):
                for keep in {level, 1, 2} if level == 0 else {1}:
                    row = reader.connection.execute(
                        "SELECT first FROM chunks WHERE host = ? AND level = ? AND keep = ?"
                        " AND last >= ? ORDER BY last LIMIT 1",
                        (host.id, level, keep, start),
                    ).fetchone()
                    if row is not None:
                        found.append(row[0] // BLOCK_SECONDS * BLOCK_SECONDS)
            return max(start, min(found))

        return await self._read(first)

    async def _compact(self, view: HostView, start: float, end: float, *, late: bool) -> Change:
        return await self._read(lambda reader: compacted(reader, view, start, end, late=late))

    async def _apply(
        self,
        host: Host,
        change: Change,
        *,
        compacted_to: float | None = None,
        rolled_to: float | None = None,
    ) -> None:
        """Write a change, all of it or nothing, and let the memory follow."""
        if change.damaged:
            self._bad.update(change.damaged)
            await self._quarantine()
        new = [each.numbered(host.id, self._shapes.number(each.keys)) for each in change.made]
        gone = [number for number in change.gone if number not in change.damaged]
        pairs = [(host.id, schema) for schema in {each.schema for each in new} - host.schemas]
        before = host.compacted_to, host.rolled_to
        if compacted_to is not None:
            host.compacted_to = compacted_to
            if host.rolled_to < 0 and change.made:
                first = min(each.first for each in change.made)
                host.rolled_to = hour_of(first) // BLOCK_SECONDS * BLOCK_SECONDS
        if rolled_to is not None:
            host.rolled_to = rolled_to
        if change.spacing_of is not None:
            host.measure(change.spacing_of)
        row, unsaved = _row(host), dict(self._shapes.unsaved)
        after = host.compacted_to, host.rolled_to
        host.compacted_to, host.rolled_to = before

        def write(connection: apsw.Connection) -> None:
            if not chunks.all_there(connection, gone):
                raise Moved("a chunk has gone meanwhile")
            shapes.save(connection, unsaved)
            connection.executemany("INSERT OR IGNORE INTO host_schemas VALUES (?, ?)", pairs)
            chunks.delete(connection, gone)
            chunks.insert(connection, new)
            connection.execute(*row)

        await self._writer.submit(write, sum(len(each.data) for each in new))
        # Between here and the next await nobody reads: what follows belongs together.
        host.compacted_to, host.rolled_to = after
        for each in change.made:
            if not each.open:
                host.floors[each.keep] = min(host.floors[each.keep], each.first)
        host.open_from = math.inf
        _note_heads(host)
        self._saved(unsaved)
        self.compactions_total += 1
        if pairs:
            host.schemas.update(schema for _, schema in pairs)
            host.keys = None
        await self._measure_open(host)

    def _saved(self, unsaved: Mapping[int, object]) -> None:
        for number in unsaved:
            self._shapes.unsaved.pop(number, None)

    async def _measure_open(self, host: Host) -> None:
        """Where what is not compacted begins, and what is kept, after something changed."""
        first = await self._read(lambda reader: open_from(reader.connection, host.id, host.edge))
        host.open_from = first
        _note_heads(host)
        await self.floors({host.id})

    async def _pack_tables(self, host: Host, end: float) -> None:
        gone, made = await self._read(
            lambda reader: snapshots.packed(reader.connection, host.id, end)
        )
        if not gone:
            return

        def write(connection: apsw.Connection) -> None:
            connection.executemany(
                "DELETE FROM snapshots WHERE id = ?", [(number,) for number in gone]
            )
            snapshots.insert(connection, made)

        await self._writer.submit(write, sum(len(each.data) for each in made))

    async def _quarantine(self) -> None:
        """Put chunks aside that are not what was written; they are shown as gaps from now on."""
        while self._bad:
            number, why = self._bad.popitem()
            lost = await self._writer.submit(partial(quarantined, number, why, self._clock()))
            if lost is None:
                continue
            name, found = lost
            if number not in self._named:
                self._named.add(number)
                logger.error(
                    "a chunk of %s (level %d, %.0f to %.0f) is damaged and put aside: %s",
                    name,
                    found.level,
                    found.first,
                    found.last,
                    why,
                )
            host = self._hosts.by_name.get(name)
            if host is not None:
                host.lost.append(found)

    async def _forget_schemas(self) -> None:
        """Let schemas go that no chunk, head or journal row has any more.

        First nobody is given their numbers any more; when what was on its way with one has
        arrived in the heads, those that are still in no use go.
        """
        unused = await self._read(lambda reader: shapes.unused(reader.connection))
        self._shapes.forget(unused)
        await self._appender.append((), ())
        held = {schema for host in self._hosts.by_name.values() for schema in host.heads}
        going = [number for number in unused if number not in held]
        if not going:
            return
        async with self._working:
            gone = set(
                await self._writer.submit(lambda connection: shapes.delete(connection, going))
            )
        for host in self._hosts.by_name.values():
            if host.schemas & gone:
                host.schemas -= gone
                host.keys = None

    # The worker's thread

    async def _apart(self, work: Callable[..., _T], *arguments: object) -> _T:
        if self._is_stopped:
            raise VOICE.closed()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, work, *arguments)

    async def _read(self, work: Callable[[Reader], _T]) -> _T:
        """Do something over one unchanging view of the file, in the worker's thread."""
        return await self._apart(
            viewed, self._connection, lambda held: work(Reader(held, self._shapes)), VOICE
        )


def _note_heads(host: Host) -> None:
    """What is in a host's heads is open, or late, by how far it is compacted now."""
    for _, at, _ in host.view().heads:
        open_ = at[at >= host.edge]
        if len(open_):
            host.noted(float(open_.min()), float(open_.max()))
        late = at[at < host.edge]
        # An hour at a time: between two of them nothing came.
        _, first = np.unique(np.floor_divide(late + EARLY_SECONDS, HOUR_SECONDS), return_index=True)
        for row in first:
            host.noted(float(late[row]), float(late[row]))


def _buried(host: Host, connection: apsw.Connection) -> None:
    erasing.bury(connection, host)


def _erased(number: int, after: int, connection: apsw.Connection) -> int | None:
    return erasing.step(connection, number, after)


def give_back(connection: apsw.Connection) -> None:
    """Within a transaction: some free pages to the file system, where there are many."""
    free, pages = connection.pragma("freelist_count"), connection.pragma("page_count")
    if free > MOST_FREE_PAGES and free * FREE_SHARE > pages:
        connection.execute(f"PRAGMA incremental_vacuum({FREED_PAGES})").fetchall()


def is_full(host: Host) -> bool:
    """Whether a head of a host has as many rows as make an open chunk."""
    return host.rows >= SEAL_ROWS - host.id * 37 % STAGGER_ROWS


def _floors(host: int, reader: Reader) -> list[float]:
    return chunks.floors(reader.connection, host, LEVELS)


def open_from(connection: apsw.Connection, host: int, edge: float) -> float:
    """The first row from an instant on that is in an open chunk; infinity where there is none."""
    row = connection.execute(
        "SELECT min(max(first, ?)) FROM chunks WHERE host = ? AND open = 1 AND last >= ?",
        (edge if math.isfinite(edge) else -1e300, host, edge if math.isfinite(edge) else -1e300),
    ).get
    return math.inf if row is None else float(row)


def _row(host: Host) -> tuple[str, tuple[float, ...]]:
    """The statement that writes what is known of a host."""
    return (
        _UPDATE_HOST,
        (host.sealed, host.compacted_to, host.rolled_to, host.spacing, host.crc, host.id),
    )
