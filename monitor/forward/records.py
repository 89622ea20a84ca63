"""The bytes of a queue's files: records with a checksum, each file readable by itself.

A file begins with `MAGIC`.  A stream record says whose the columns of frames are, frame records
bring the values, and a tally at the end of a file that is closed says how much it holds.  What is
torn at a file's end, as after a power cut, is found by its checksum and passed over.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from monitor.forward.encoding import Stream
from monitor.model import Schema

MAGIC = b"awoooi-forward-1\n"

STREAM, FRAME, TALLY = 1, 2, 3

MOST_RECORD_BYTES = 64 << 20
"""A longer record is none: a frame has at most some 100,000 columns."""

_HEAD = struct.Struct("<IIB")
"""Length of what follows, its checksum and the record's kind, which the checksum covers."""

_FRAME = struct.Struct("<Id")
_STREAM = struct.Struct("<IH")
_TALLY = struct.Struct("<QQ")

TALLY_BYTES = _HEAD.size + _TALLY.size


@dataclass(frozen=True, slots=True)
class Defined:
    """From here on in this file, a number stands for a stream."""

    number: int
    stream: Stream


@dataclass(frozen=True, slots=True)
class Stored:
    """A frame: the number of its stream, its instant, its values as float64."""

    number: int
    at: float
    values: bytes


@dataclass(frozen=True, slots=True)
class Tally:
    """How many frames and samples a file holds."""

    frames: int
    samples: int


Record: TypeAlias = Defined | Stored | Tally


def packed_texts(schema: Schema) -> bytes:
    """A schema's KEYs, packed: kept by who writes many streams of it."""
    return zlib.compress("\n".join(schema.texts).encode("utf-8", "surrogatepass"), 1)


def stream(number: int, host: str, texts: bytes) -> bytes:
    """The record of a stream, its KEYs as `packed_texts` gives them."""
    name = host.encode()
    return _record(STREAM, _STREAM.pack(number, len(name)) + name + texts)


def frame(number: int, at: float, values: bytes) -> bytes:
    """The record of a frame."""
    return _record(FRAME, _FRAME.pack(number, at) + values)


def tally(frames: int, samples: int) -> bytes:
    """The record that ends a file."""
    return _record(TALLY, _TALLY.pack(frames, samples))


def _record(kind: int, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), zlib.crc32(payload, kind), kind) + payload


def read(file: BinaryIO) -> Iterator[tuple[Record, int]]:
    """Each whole record from where a file stands, and where it ends; what is broken ends them."""
    while True:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        length, checksum, kind = _HEAD.unpack(head)
        if length > MOST_RECORD_BYTES:
            return
        payload = file.read(length)
        if len(payload) < length or zlib.crc32(payload, kind) != checksum:
            return
        found = _parsed(kind, payload)
        if found is None:
            return
        yield found, file.tell()


def _parsed(kind: int, payload: bytes) -> Record | None:
    try:
        if kind == FRAME:
            number, at = _FRAME.unpack_from(payload)
            return Stored(number, at, payload[_FRAME.size :])
        if kind == STREAM:
            number, length = _STREAM.unpack_from(payload)
            rest = payload[_STREAM.size :]
            texts = zlib.decompress(rest[length:]).decode("utf-8", "surrogatepass")
            return Defined(number, Stream(rest[:length].decode(), tuple(texts.split("\n"))))
        if kind == TALLY:
            frames, samples = _TALLY.unpack(payload)
            return Tally(frames, samples)
    except (struct.error, zlib.error, UnicodeDecodeError):
        pass
    return None


def tally_of(path: Path, size: int) -> Tally | None:
    """What a file that was closed in good order says of itself; none where it was not."""
    with path.open("rb") as file:
        file.seek(max(len(MAGIC), size - TALLY_BYTES))
        found = next(read(file), None)
    return found[0] if found is not None and isinstance(found[0], Tally) else None
