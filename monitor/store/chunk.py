"""A table of columns as one blob: a checked directory, then a piece for each column.

Reading a few columns touches the directory and their pieces only.  What the directory says is
under one checksum, each piece's body under its own; a column that never changed is in the
directory alone, and a body that is like an earlier one is stored once.  A chunk knows rows and
columns by number; keys, hosts and files are others' matter.

The layout, little-endian: `_HEAD`; crc32 of all before the bodies but itself; the directory,
deflated; a crc32 for each body; the bodies.  The directory is the planes of `_PLANES`, each a
byte of every piece: equal bytes stand together, which is what deflate is good at.  The pieces
are the instants and the columns, of a roll-up its fields' columns in the order of `_ORDER`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.core.rollups import FIELDS, LAST, MAXIMUM, MINIMUM, TOTAL, WEIGHT, Rollup
from monitor.core.series import Floats
from monitor.store.codec import CONSTANT, STEPS, ChunkDamaged, decode_into, encode
from monitor.store.steps import LEAD, unstep

__all__ = ["Chunk", "ChunkDamaged", "from_rollup", "from_rows"]

VERSION = 1

MOST_COLUMNS = 1 << 16
"""More would be a mistake; and no damaged blob makes us reserve memory for more."""

_ROWS, _ROLLUP = 0, 1

_HEAD = struct.Struct("<BBII2sI")
"""Version, form, rows, columns, pcodec's file header, bytes of the deflated directory."""

_CRC = struct.Struct("<I")

_PLANES = np.dtype(
    [
        ("codec", "<u1"),
        ("scale", "<u1"),
        ("shape", "<u1"),
        ("length", "<u4"),  # of the body; 0 where there is none, or an earlier one
        ("like", "<u4"),  # 1 + the number of the piece whose body it shares; or 0
        ("divisor", "<i8"),
        ("first", "<u8"),  # the bits of the first value, of a constant the only one
    ]
)
_LENGTH_AT = 3
_ENTRY = struct.Struct("<BBBIIqQ")
_ENTRY_BYTES = _ENTRY.size
"""The same as one piece's entry."""

_ORDER = (LAST, TOTAL, WEIGHT, MINIMUM, MAXIMUM)
"""Of fields in a roll-up.  A counter's total is the difference of its last values, so that the
body of one is that of the other; maximum is often minimum."""

_FLOAT = struct.Struct("<d")
_BITS = struct.Struct("<Q")


def from_rows(at: Floats, values: Floats, *, quick: bool = False) -> bytes:
    """Rows as a blob: `at` is (n,), `values` (n, columns), n at least 1.

    A `quick` one is half as large again and takes a quarter of the work: for what is not kept.
    """
    return _packed(_ROWS, at, values.T, quick=quick)


def from_rollup(rollup: Rollup) -> bytes:
    """A roll-up as a blob; it has at least one bucket."""
    fields = rollup.fields.transpose(0, 2, 1)[list(_ORDER)]
    return _packed(_ROLLUP, rollup.starts, fields.reshape(-1, len(rollup.starts)))


def _packed(form: int, at: Floats, columns: Floats, *, quick: bool = False) -> bytes:
    count = len(columns) // (FIELDS if form == _ROLLUP else 1)
    if not len(at) or count > MOST_COLUMNS:
        raise ValueError(f"a chunk of {len(at)} rows and {count} columns")
    columns = np.ascontiguousarray(columns)
    entries = np.zeros(1 + len(columns), _PLANES)
    header = b"\0\0"
    bodies: dict[bytes, int] = {}
    known: Collection[bytes]  # to totals, which come second and may be like the last values
    bits = columns.view(np.uint64)
    entries["codec"] = CONSTANT
    entries["first"][1:] = bits[:, 0]
    changing = (bits != bits[:, :1]).any(axis=1)
    for number in (0, *(np.flatnonzero(changing) + 1).tolist()):
        known = bodies if form == _ROLLUP and count < number <= 2 * count else ()
        codec, body = encode(at if number == 0 else columns[number - 1], known, quick=quick)
        scale = shape = divisor = first = 0
        if codec == CONSTANT:
            (first,), body = _BITS.unpack(body), b""
        elif codec == STEPS:
            header, scale, shape, divisor, start = LEAD.unpack_from(body)
            (first,), body = _BITS.unpack(_FLOAT.pack(start)), body[LEAD.size :]
        length, like = len(body), bodies.get(body, 0)
        if body and like:
            length = 0
        elif body:
            bodies[body] = number + 1
        entries[number] = (codec, scale, shape, length, like, divisor, first)
    planes = entries.view(np.uint8).reshape(-1, _ENTRY_BYTES).T.tobytes()
    directory = zlib.compress(planes, 9)
    head = _HEAD.pack(VERSION, form, len(at), count, header, len(directory))
    sums = np.array([zlib.crc32(body) for body in bodies], "<u4").tobytes()
    crc = zlib.crc32(sums, zlib.crc32(directory, zlib.crc32(head)))
    return b"".join((head, _CRC.pack(crc), directory, sums, *bodies))


class Chunk:
    """A blob again.  Raises `ChunkDamaged` where its directory is not what was written."""

    __slots__ = (
        *("_bodies", "_data", "_ends", "_header", "_lengths", "_pieces", "_planes", "_sums"),
        *("columns", "is_rollup", "rows"),
    )

    def __init__(self, data: bytes | memoryview, rows: int) -> None:
        self._data = bytes(data)
        try:
            version, form, found, self.columns, self._header, size = _HEAD.unpack_from(data)
            (crc,) = _CRC.unpack_from(data, _HEAD.size)
        except struct.error as error:
            raise ChunkDamaged("a chunk is cut short") from error
        begin = _HEAD.size + _CRC.size
        if (
            (version, found) != (VERSION, rows)
            or form not in (_ROWS, _ROLLUP)
            or self.columns > MOST_COLUMNS
        ):
            raise ChunkDamaged("a chunk's header is not what was written")
        self.rows: int = rows
        self.is_rollup: bool = form == _ROLLUP
        self._pieces: int = 1 + self.columns * (FIELDS if self.is_rollup else 1)
        self._planes = self._inflated(begin, begin + size)
        self._lengths = self._plane(_LENGTH_AT)
        self._ends: NDArray[np.int64] = np.add.accumulate(self._lengths, dtype=np.int64)
        self._sums: int = begin + size
        self._bodies: int = self._sums + _CRC.size * int(np.count_nonzero(self._lengths))
        seen = zlib.crc32(self._data[: _HEAD.size])
        if crc != zlib.crc32(self._data[begin : self._bodies], seen):
            raise ChunkDamaged("a chunk's directory is not what was written")
        if len(self._data) != self._bodies + int(self._ends[-1]):
            raise ChunkDamaged("a chunk is not as long as what was written")

    def _inflated(self, begin: int, end: int) -> bytes:
        """The planes; of no more memory than they take, since they are not checked yet."""
        inflating = zlib.decompressobj()
        try:
            planes = inflating.decompress(self._data[begin:end], self._pieces * _ENTRY_BYTES + 1)
        except zlib.error as error:
            raise ChunkDamaged(f"a chunk's directory does not inflate: {error}") from error
        if len(planes) != self._pieces * _ENTRY_BYTES or not inflating.eof:
            raise ChunkDamaged("a chunk's directory has not as many entries as columns")
        return planes

    def _plane(self, at: int) -> NDArray[np.uint32]:
        """A field of four bytes, of every piece."""
        planes = np.frombuffer(self._planes, np.uint8, 4 * self._pieces, at * self._pieces)
        return planes.reshape(4, -1).T.copy().view("<u4")[:, 0]

    def _read(self, numbers: Iterable[int], found: Floats) -> None:
        """Decode pieces into the rows of `found`, those that are alike once."""
        bits = found.view(np.uint64)
        read: dict[tuple[int, ...], int] = {}
        for place, number in enumerate(numbers):
            entry = _ENTRY.unpack(self._planes[number :: self._pieces])
            codec, scale, shape, _, like, divisor, first = entry
            if codec == CONSTANT:
                bits[place] = first
                continue
            owner = like - 1 if like else number
            if owner > number:
                raise ChunkDamaged("a piece is like none before it")
            key = (owner, codec, scale, shape, divisor, first)
            if key in read:
                bits[place] = bits[read[key]]
                continue
            read[key] = place
            body = self._body(owner)
            if codec == STEPS:
                lead = (self._header, scale, shape, divisor, *_FLOAT.unpack(_BITS.pack(first)))
                unstep(lead, body, found[place])
            else:
                decode_into(codec, body, found[place])

    def _body(self, number: int) -> bytes:
        length = int(self._lengths[number])
        if not length:
            return b""
        end = self._bodies + int(self._ends[number])
        body = self._data[end - length : end]
        ordinal = int(np.count_nonzero(self._lengths[:number]))
        if _CRC.unpack_from(self._data, self._sums + _CRC.size * ordinal) != (zlib.crc32(body),):
            raise ChunkDamaged("a piece is not what was written")
        return body

    def at(self) -> Floats:
        """The rows' instants, or the buckets' starts, in unix seconds."""
        found = np.empty((1, self.rows))
        self._read((0,), found)
        (instants,) = found
        return instants

    def values(self, columns: Sequence[int]) -> Floats:
        """These columns of the rows: (rows, len(columns)), each contiguous in memory."""
        found = np.empty((len(columns), self.rows))
        self._read([self._number(column) for column in columns], found)
        return found.T

    def rollup(self, columns: Sequence[int], *, with_last: bool = True) -> Rollup:
        """These columns of a roll-up; where the last values are not wanted they are 0."""
        fields = np.empty((FIELDS, len(columns), self.rows))
        skipped = 0 if with_last else 1  # they come first
        ordered = np.empty(((FIELDS - skipped) * len(columns), self.rows))
        numbers = [self._number(column) for column in columns]
        self._read(
            [
                number + place * self.columns
                for place in range(skipped, FIELDS)
                for number in numbers
            ],
            ordered,
        )
        fields[LAST] = 0.0
        fields[list(_ORDER[skipped:])] = ordered.reshape(FIELDS - skipped, len(columns), self.rows)
        return Rollup(self.at(), fields.transpose(0, 2, 1))

    def _number(self, column: int) -> int:
        if not 0 <= column < self.columns:
            raise IndexError(f"column {column} of {self.columns}")
        return 1 + int(column)

    def check(self) -> None:
        """Decode every piece.  Raises `ChunkDamaged` at the first that is not whole."""
        found = np.empty((1, self.rows))
        for number in range(self._pieces):
            self._read((number,), found)
