"""The table of chunks: rows in and out of it, and whether a row is what was written.

It knows nothing of why a chunk is written or read.  `monitor.store.schema` says what the
columns mean.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import apsw

from monitor.store.chunk import Chunk
from monitor.store.codec import ChunkDamaged

_META = struct.Struct("<qqqqddqq")

_COLUMNS = "id, host, level, keep, open, first, last, rows, schema, crc, data"

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
    """A chunk as the table has it."""

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
    data: bytes

    def opened(self) -> Chunk:
        """Its columns.  Raises `ChunkDamaged` where it is not what was written."""
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
        if said != self.crc:
            raise ChunkDamaged("a chunk's row is not what was written")
        return Chunk(self.data, self.rows)


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
