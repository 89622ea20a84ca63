"""The journal: frames as they came, packed, until they stand in chunks.

A frame is acknowledged once its journal row is committed.  Rows are only ever appended and,
when nothing in them is needed any more, deleted from the front; after a crash the heads are
made from them again.  Here stands only how frames are packed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from monitor.core.series import Floats
from monitor.model import Frame
from monitor.store.codec import ChunkDamaged

_HEAD = struct.Struct("<IIId")
"""Before each frame's values: host, schema, how many values, and the instant in unix seconds."""

ROW_BYTES = 1024 * 1024
"""About what one row of the journal holds: a commit of many frames has several."""


class Entry(NamedTuple):
    """A frame on its way in, with the numbers of its host and schema."""

    host: int
    schema: int
    frame: Frame


class Record(NamedTuple):
    """A frame as the journal gives it back; `values` is (columns,)."""

    host: int
    schema: int
    at: float
    values: Floats


def packed(entries: Iterable[Entry]) -> Iterator[tuple[int, bytes]]:
    """These frames as rows of the journal: each with its CRC-32."""
    parts: list[bytes | memoryview] = []
    size = 0
    for host, schema, frame in entries:
        values = memoryview(frame.values).cast("B")
        parts.append(_HEAD.pack(host, schema, len(frame.values), frame.at))
        parts.append(values)
        size += _HEAD.size + len(values)
        if size >= ROW_BYTES:
            row = b"".join(parts)
            yield zlib.crc32(row), row
            parts.clear()
            size = 0
    if parts:
        row = b"".join(parts)
        yield zlib.crc32(row), row


def unpacked(crc: int, row: bytes) -> Iterator[Record]:
    """The frames of a row of the journal.  Raises `ChunkDamaged` before the first of them."""
    if zlib.crc32(row) != crc:
        raise ChunkDamaged("a row of the journal is not what was written")
    offset = 0
    while offset < len(row):
        host, schema, columns, at = _HEAD.unpack_from(row, offset)
        offset += _HEAD.size
        yield Record(host, schema, at, np.frombuffer(row, np.float64, columns, offset))
        offset += 8 * columns


def without(crc: int, row: bytes, host: int) -> bytes:
    """A row of the journal without the frames of one host.  Raises `ChunkDamaged`."""
    if zlib.crc32(row) != crc:
        raise ChunkDamaged("a row of the journal is not what was written")
    parts: list[bytes] = []
    offset = 0
    while offset < len(row):
        of, _, columns, _ = _HEAD.unpack_from(row, offset)
        end = offset + _HEAD.size + 8 * columns
        if of != host:
            parts.append(row[offset:end])
        offset = end
    return b"".join(parts)
