"""A table of columns as one blob with a checked directory.

It knows rows and columns by number; keys, hosts and files are others' matter.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from monitor.core.rollups import FIELDS, Rollup
from monitor.core.series import Floats
from monitor.store.codec import ChunkDamaged, decode, encode

VERSION = 1
ROWS, ROLLUP = 0, 1
_HEAD = struct.Struct("<BBII")
_ENTRY = struct.Struct("<BIII")
_CRC = struct.Struct("<I")


def from_rows(at: Floats, values: Floats) -> bytes:
    """Rows as a blob: `at` is (n,), `values` (n, columns), n at least 1."""
    return _packed(ROWS, at, values, values.shape[1])


def from_rollup(rollup: Rollup) -> bytes:
    """A roll-up as a blob; it has at least one bucket."""
    fields = rollup.fields
    flat = fields.transpose(1, 0, 2).reshape(fields.shape[1], -1)
    return _packed(ROLLUP, rollup.starts, flat, fields.shape[2])


def _packed(form: int, at: Floats, values: Floats, columns: int) -> bytes:
    entries, pieces, known, offset = [], [], {}, 0
    for column in (at, *values.T):
        codec, data = encode(column)
        if (codec, data) not in known:
            known[codec, data] = offset
            pieces.append(data)
            offset += len(data)
        entries.append(_ENTRY.pack(codec, known[codec, data], len(data), zlib.crc32(data)))
    head = _HEAD.pack(VERSION, form, len(at), columns) + b"".join(entries)
    return head + _CRC.pack(zlib.crc32(head)) + b"".join(pieces)


class Chunk:
    """A blob again.  Raises `ChunkDamaged` where its directory is not what was written."""

    def __init__(self, data: bytes | memoryview, rows: int) -> None:
        self._data = memoryview(data)
        try:
            version, form, found, self.columns = _HEAD.unpack_from(self._data)
        except struct.error as error:
            raise ChunkDamaged("a chunk is cut short") from error
        if version != VERSION or form not in (ROWS, ROLLUP) or found != rows:
            raise ChunkDamaged("a chunk's header is not what was written")
        self.rows = rows
        self.is_rollup = form == ROLLUP
        pieces = 1 + self.columns * (FIELDS if self.is_rollup else 1)
        self._begin = _HEAD.size + pieces * _ENTRY.size + _CRC.size
        head = self._data[: self._begin - _CRC.size]
        if len(self._data) < self._begin or _CRC.unpack_from(
            self._data, self._begin - _CRC.size
        ) != (zlib.crc32(head),):
            raise ChunkDamaged("a chunk's directory is not what was written")
        self._entries = list(_ENTRY.iter_unpack(head[_HEAD.size :]))

    def _piece(self, number: int) -> Floats:
        codec, offset, length, crc = self._entries[number]
        data = self._data[self._begin + offset : self._begin + offset + length]
        if len(data) != length or zlib.crc32(data) != crc:
            raise ChunkDamaged("a piece is not what was written")
        return decode(codec, data, self.rows)

    def at(self) -> Floats:
        """The rows' instants, or the buckets' starts, in unix seconds."""
        return self._piece(0)

    def values(self, columns: Sequence[int]) -> Floats:
        """These columns of the rows: (rows, len(columns))."""
        found = np.empty((self.rows, len(columns)))
        for place, column in enumerate(columns):
            found[:, place] = self._piece(1 + column)
        return found

    def rollup(self, columns: Sequence[int]) -> Rollup:
        """These columns of a roll-up."""
        fields = np.empty((FIELDS, self.rows, len(columns)))
        for field in range(FIELDS):
            for place, column in enumerate(columns):
                fields[field, :, place] = self._piece(1 + field * self.columns + column)
        return Rollup(self.at(), fields)

    def check(self) -> None:
        """Decode every piece.  Raises `ChunkDamaged` at the first that is not whole."""
        for number in range(len(self._entries)):
            self._piece(number)
