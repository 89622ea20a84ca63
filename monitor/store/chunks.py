"""The table of chunks: rows in and out of it, and whether a row is what was written.

It knows nothing of why a chunk is written or read.  `monitor.store.schema` says what the
columns mean.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apsw

from monitor.store.chunk import Chunk
from monitor.store.codec import ChunkDamaged

_META = struct.Struct("<qqqqddqq")

_COLUMNS = "id, host, level, keep, open, first, last, rows, schema, crc"

MOST_CACHED_BYTES = 32 * 1024 * 1024
"""Chunks that are kept open: a page's charts, and its next look, are of the same few."""

CACHED_BYTES = 44
"""What a column of an open chunk takes beside its data: its entry, and where it ends."""

DAY_SECONDS = 86_400.0

LONGEST_SECONDS = (DAY_SECONDS, DAY_SECONDS, DAY_SECONDS, 8 * DAY_SECONDS, 29 * DAY_SECONDS)
"""By level, what no chunk spans: where to stop looking for one that begins before a range ends."""


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk to be written."""

    host: int
    level: int
    keep: int
    open: bool
    first: float
    last: float
    rows: int
    schema: int
    data: bytes
    id: int | None = None
    """Its number, where that is not the next one."""

    @property
    def crc(self) -> int:
        """Of everything but the data, which bring their own."""
        return _crc(
            self.host,
            self.level,
            self.keep,
            int(self.open),
            self.first,
            self.last,
            self.rows,
            self.schema,
        )


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as the table has it, without its data."""

    id: int
    host: int
    level: int
    keep: int
    open: int
    first: float
    last: float
    rows: int
    schema: int
    crc: int

    def require_whole(self) -> None:
        """Raise `ChunkDamaged` where the row is not what was written."""
        try:
            said = _crc(
                self.host,
                self.level,
                self.keep,
                self.open,
                self.first,
                self.last,
                self.rows,
                self.schema,
            )
        except struct.error:  # of other types: a page of another table in the place of ours
            said = None
        if said is None or said != self.crc:
            raise ChunkDamaged("a chunk's row is not what was written")

    def opened(self, connection: apsw.Connection, cache: Cache) -> Chunk:
        """Its columns.  Raises `ChunkDamaged` where it is not what was written."""
        self.require_whole()
        found = cache.get(self.id, self.crc)
        if found is None:
            data = connection.execute("SELECT data FROM chunks WHERE id = ?", (self.id,)).get
            if not isinstance(data, bytes):
                raise ChunkDamaged("a chunk's row has gone from under its index")
            found = Chunk(data, self.rows)
            cache.put(self.id, self.crc, found, len(data))
        return found


class Cache:
    """Chunks that were opened lately, for all threads; what they hold never changes.

    What is left of a chunk keeps its number, so each is known by its row's sum as well.
    """

    def __init__(self, most_bytes: int = MOST_CACHED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: OrderedDict[tuple[int, int], tuple[Chunk, int]] = OrderedDict()
        self._changing = threading.Lock()

    def get(self, number: int, crc: int) -> Chunk | None:
        """The chunk of this number and sum, if it is here."""
        with self._changing:
            found = self._held.get((number, crc))
            if found is None:
                return None
            self._held.move_to_end((number, crc))
            return found[0]

    def put(self, number: int, crc: int, chunk: Chunk, data_bytes: int) -> None:
        """Keep a chunk; those that were not asked for longest go."""
        size = data_bytes + CACHED_BYTES * chunk.columns * (5 if chunk.is_rollup else 1)
        with self._changing:
            if (number, crc) in self._held or size > self._most_bytes:
                return
            self._held[number, crc] = chunk, size
            self._bytes += size
            while self._bytes > self._most_bytes:
                _, (_, gone) = self._held.popitem(last=False)
                self._bytes -= gone


def _crc(*meta: float) -> int:
    return zlib.crc32(_META.pack(*meta))


def insert(connection: apsw.Connection, new: Sequence[NewChunk]) -> None:
    """Write chunks, within a transaction."""
    connection.executemany(
        "INSERT INTO chunks"
        " (id, host, level, keep, open, first, last, rows, schema, bytes, crc, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                chunk.id,
                chunk.host,
                chunk.level,
                chunk.keep,
                int(chunk.open),
                chunk.first,
                chunk.last,
                chunk.rows,
                chunk.schema,
                len(chunk.data),
                chunk.crc,
                chunk.data,
            )
            for chunk in new
        ],
    )


def all_there(connection: apsw.Connection, ids: Sequence[int]) -> bool:
    """Whether each of these chunks is still there."""
    found = sum(
        1
        for number in ids
        if connection.execute("SELECT 1 FROM chunks WHERE id = ?", (number,)).get
    )
    return found == len(ids)


def delete(connection: apsw.Connection, ids: Sequence[int]) -> None:
    """Remove chunks, within a transaction."""
    connection.executemany("DELETE FROM chunks WHERE id = ?", [(number,) for number in ids])


def select(
    connection: apsw.Connection,
    host: int,
    level: int,
    keeps: Sequence[int],
    start: float,
    end: float,
) -> Iterator[StoredChunk]:
    """The chunks of a level and some retentions with a row in [start, end), by their last row.

    Those of one retention come together.
    """
    for keep in keeps:
        for row in connection.execute(
            # _COLUMNS is a constant of this file.
            f"SELECT {_COLUMNS} FROM chunks WHERE host = ? AND level = ? AND keep = ?"  # noqa: S608
            " AND last >= ? AND first < ? AND last < ? ORDER BY last, first",
            (host, level, keep, start, end, end + LONGEST_SECONDS[level]),
        ):
            yield StoredChunk(*row)


def floors(connection: apsw.Connection, host: int, levels: int) -> list[float]:
    """By what is kept how long, the first instant of a host's closed chunks, or infinity."""
    found = [float("inf")] * levels
    for keep in range(levels):
        for level in {0, keep}:
            row = connection.execute(
                "SELECT first FROM chunks WHERE host = ? AND level = ? AND keep = ?"
                " AND open = 0 ORDER BY last LIMIT 1",
                (host, level, keep),
            ).fetchone()
            if row is not None:
                found[keep] = min(found[keep], row[0])
    return found


def newest(connection: apsw.Connection, host: int) -> float:
    """The last instant of a host's rows, or minus infinity."""
    found = [
        connection.execute(
            "SELECT last FROM chunks WHERE host = ? AND level = 0 AND keep = ?"
            " ORDER BY last DESC LIMIT 1",
            (host, keep),
        ).get
        for keep in (0, 1, 2)
    ]
    return max((float(last) for last in found if last is not None), default=float("-inf"))


def every(connection: apsw.Connection) -> Iterator[StoredChunk]:
    """Every chunk there is, by the table itself and no index."""
    # _COLUMNS is a constant of this file.
    for row in connection.execute(f"SELECT {_COLUMNS} FROM chunks NOT INDEXED"):  # noqa: S608
        yield StoredChunk(*row)
