"""Tables over time: what was running then.  Each is a few kilobytes, and much like the one before.

A table is stored as it comes; those of a window are then packed together, so that what they
repeat is stored once.  It knows the table's rows as plain values.
"""

from __future__ import annotations

import contextlib
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import apsw
import msgspec

from monitor.model import Cell, Snapshot
from monitor.store.codec import ChunkDamaged

EVERY_SECONDS = 10.0
"""Tables of one host and kind that are stored are at least about so far apart."""

EARLY_SECONDS = 0.5
"""So much earlier is early enough: whoever sends every ten seconds is not always on time."""

MOST_PACKED = 60
"""Tables in one row: ten minutes of them, unpacked in about a millisecond."""

MOST_SPAN_SECONDS = 3_600.0
"""And no further apart: no earlier row reaches an instant than one that begins so long before."""

MOST_BYTES = 16 * 1024 * 1024
"""No row is larger when it is unpacked."""

_META = struct.Struct("<qddq")
_encoder = msgspec.msgpack.Encoder()

Tables = list[tuple[float, list[dict[str, Cell]]]]
"""Instants and rows, ascending."""

_decoder = msgspec.msgpack.Decoder(Tables)


class Stored(NamedTuple):
    """A row of the table of tables."""

    host: int
    kind: str
    first: float
    last: float
    tables: int
    crc: int
    data: bytes


def stored(host: int, kind: str, tables: Tables) -> Stored:
    """Tables of one host and kind, ascending and at least one, as a row."""
    data = zlib.compress(_encoder.encode(tables), 6)
    first, last = tables[0][0], tables[-1][0]
    return Stored(host, kind, first, last, len(tables), _crc(host, kind, first, last, data), data)


def _crc(host: int, kind: str, first: float, last: float, data: bytes) -> int:
    meta = _META.pack(host, first, last, len(data)) + kind.encode("utf-8", "surrogatepass")
    return zlib.crc32(data, zlib.crc32(meta))


def insert(connection: apsw.Connection, rows: Sequence[Stored]) -> None:
    """Write rows, within a transaction."""
    connection.executemany(
        "INSERT INTO snapshots (host, kind, first, last, tables, bytes, crc, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(r.host, r.kind, r.first, r.last, r.tables, len(r.data), r.crc, r.data) for r in rows],
    )


def found(
    connection: apsw.Connection, host: int, name: str, kind: str, at: float
) -> Snapshot | None:
    """The newest table of a kind not after an instant.  One that is damaged is passed over.

    Rows overlap where tables came late, so that the one which begins last need not have it.
    """
    newest = -math.inf
    best: Snapshot | None = None
    for number, first, last in connection.execute(
        "SELECT id, first, last FROM snapshots"
        " WHERE host = ? AND kind = ? AND first <= ? ORDER BY first DESC",
        (host, kind, at),
    ):
        if first <= newest - MOST_SPAN_SECONDS:
            break
        if last <= newest:
            continue
        tables = _tables(connection, number)
        for when, rows in tables:
            if newest < when <= at:
                newest, best = when, Snapshot(name, when, kind, tuple(rows))
    return best


def _tables(connection: apsw.Connection, number: int) -> Tables:
    """The tables of the row of this number; none where it is damaged."""
    for row in connection.execute(
        "SELECT host, kind, first, last, tables, crc, data FROM snapshots WHERE id = ?", (number,)
    ):
        with contextlib.suppress(ChunkDamaged):
            return opened(Stored(*row))
    return []


def opened(row: Stored) -> Tables:
    """The tables of a row.  Raises `ChunkDamaged` where it is not what was written."""
    try:
        said = _crc(row.host, row.kind, row.first, row.last, row.data)
    except (struct.error, TypeError, AttributeError):  # of other types: a page of another table
        said = None
    if said is None or said != row.crc:
        raise ChunkDamaged("a row of tables is not what was written")
    inflating = zlib.decompressobj()
    try:
        return _decoder.decode(inflating.decompress(row.data, MOST_BYTES))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ChunkDamaged(f"a row of tables does not unpack: {error}") from error


def damaged(connection: apsw.Connection) -> Iterator[str]:
    """Which rows are not what was written, in words."""
    for number, *row in connection.execute(
        "SELECT id, host, kind, first, last, tables, crc, data FROM snapshots"
    ):
        try:
            opened(Stored(*row))
        except ChunkDamaged as error:
            yield f"table {number}: {error}"


def packed(connection: apsw.Connection, host: int, end: float) -> tuple[list[int], list[Stored]]:
    """The single tables of a host from before an instant, as few rows: which go, and which come."""
    gone: list[int] = []
    made: list[Stored] = []
    for kind, group in _singles(connection, host, end):
        if len(group) < 2:
            continue
        gone += [number for number, _ in group]
        tables = sorted((table for _, table in group), key=lambda table: table[0])
        made += [stored(host, kind, part) for part in _parts(tables)]
    return gone, made


def _parts(tables: Tables) -> Iterator[Tables]:
    """Ascending tables in rows of at most `MOST_PACKED`, none over `MOST_SPAN_SECONDS`."""
    part: Tables = []
    for table in tables:
        if part and (len(part) == MOST_PACKED or table[0] - part[0][0] > MOST_SPAN_SECONDS):
            yield part
            part = []
        part.append(table)
    if part:
        yield part


def _singles(
    connection: apsw.Connection, host: int, end: float
) -> Iterator[tuple[str, list[tuple[int, tuple[float, list[dict[str, Cell]]]]]]]:
    groups: dict[str, list[tuple[int, tuple[float, list[dict[str, Cell]]]]]] = {}
    for number, *row in connection.execute(
        "SELECT id, host, kind, first, last, tables, crc, data FROM snapshots"
        " WHERE host = ? AND tables = 1 AND first < ? ORDER BY kind, first LIMIT 10000",
        (host, end),
    ):
        one = Stored(*row)
        try:
            groups.setdefault(one.kind, []).append((number, opened(one)[0]))
        except ChunkDamaged:
            continue
    return iter(groups.items())
