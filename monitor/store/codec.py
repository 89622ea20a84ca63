"""One column of numbers as bytes, and back, bit for bit.

What a host measures are decimals, binary fractions and whole numbers that move by small steps.
So a column becomes whole numbers where that gives every bit back, those become differences
without their common divisor, in the narrowest integers, and pcodec packs them.  Per sample of
the shared recording that takes three quarters of what pcodec takes of the floats themselves.
Columns that are no such numbers go to pcodec as they are; where it is not installed, to zlib.

Every piece names its codec by an id, so that one can be replaced without rewriting what is
stored.  It knows nothing of columns' names, of files, or of checksums.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.core.series import Floats

try:
    import pcodec  # type: ignore[import-untyped]  # it brings no stubs
    from pcodec import standalone, wrapped
except ImportError:  # what zlib wrote stays readable, and new chunks are zlib's
    pcodec = None

RAW, CONSTANT, ZLIB, PCO, STEPS = range(5)
"""Ids of codecs.  STEPS are whole numbers by their differences, packed by pcodec."""

LEVEL = 8
"""Of pcodec: 4 takes 6 % more bytes, 10 takes 0.3 % less and a third more time."""

LEAD = struct.Struct("<2sBBqd")
"""Before the body of STEPS: pcodec's file header, scale, shape, common divisor, first value."""

_WIDTHS = (np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.int64))
_NAMES = ("i8", "i16", "i32", "i64")
_LIMITS = (2**7, 2**15, 2**31, 2**63)
_LENGTH = struct.Struct("<I")
_BITS = struct.Struct("<q")
_FLOAT = struct.Struct("<d")

_DIVISORS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 2048.0, 2.0**22)
"""A value times one of these is whole: decimals, load averages, differences of clocks."""

_FACTORS = (0.1, 0.01, 0.001)
"""The same for those that were multiplied by a unit, which is not the same double."""

_SHIFTED = 32
"""Scales from here on: the value's bits, without so many low ones that are always zero, less
this number."""

_LEAST_SHIFT = 20
"""Fewer low bits that are zero would make numbers no narrower than the floats."""

_LARGEST = float(2**52)
"""Whole numbers up to here have differences that a float64 holds exactly."""

_HOLES = 0x80
"""In the shape: the body begins with where the NaNs are."""

_PLAIN, _ONCE, _TWICE = 0, 1, 2
"""In the shape: how often differences were taken; then the width, times `_WIDTH_UNIT`."""

_WIDTH_UNIT = 4
_NAN_BITS = np.array(np.nan).view(np.uint64)


class ChunkDamaged(ValueError):
    """Stored bytes are not what was written."""


def encode(values: Floats, known: Container[bytes] = ()) -> tuple[int, bytes]:
    """The codec's id, and a column as it wrote it.

    `values` is (n,), n at least 1.  Of several bodies (what follows `LEAD` in STEPS) one that
    is `known` is taken, since its like is stored already.
    """
    values = np.ascontiguousarray(values)
    bits = values.view(np.uint64)
    if (bits == bits[0]).all():
        return CONSTANT, values[:1].tobytes()
    if pcodec is None:
        return ZLIB, _deflated(bits)
    return _stepped(values, known) or (PCO, _packed_floats(values))


def decode(codec: int, data: bytes | memoryview, rows: int) -> Floats:
    """The column again.  Raises `ChunkDamaged` where it cannot be, or has not `rows` values."""
    values = np.empty(rows)
    decode_into(codec, data, values)
    return values


def decode_into(codec: int, data: bytes | memoryview, values: Floats) -> None:
    """The same into an array, contiguous and as long as the column was."""
    if codec == CONSTANT and len(data) == 8:
        values.view(np.uint64)[:] = np.frombuffer(data, np.uint64)
    elif codec == RAW and len(data) == values.nbytes:
        values[:] = np.frombuffer(data, np.float64)
    elif codec == ZLIB:
        _inflate(data, values)
    elif codec == PCO and pcodec is not None:
        _unpack_floats(bytes(data), values)
    elif codec == STEPS and pcodec is not None and len(data) >= LEAD.size:
        unstep(LEAD.unpack_from(data), bytes(data[LEAD.size :]), values)
    else:
        raise ChunkDamaged(f"a piece of codec {codec} and {len(data)} bytes is none of ours")


# Floats, by pcodec


def _packed_floats(values: Floats) -> bytes:
    packed: bytes = standalone.simple_compress(values, pcodec.ChunkConfig(LEVEL))
    return packed


def _unpack_floats(data: bytes, values: Floats) -> None:
    try:
        progress = standalone.simple_decompress_into(data, values)
    except (RuntimeError, TypeError) as error:
        raise ChunkDamaged(f"a piece does not decode: {error}") from error
    if progress.n_processed != len(values) or not progress.finished:
        raise ChunkDamaged("a piece has not as many values as rows")


# Whole numbers by their differences


def _stepped(values: Floats, known: Container[bytes]) -> tuple[int, bytes] | None:
    """STEPS of a column that is whole numbers at some scale, else none."""
    holes = np.isnan(values)
    edges = b""
    if holes.any():
        if not (values[holes].view(np.uint64) == _NAN_BITS).all():
            return None
        edges = _edges(holes)
        values = _filled(values, holes)
    found = _whole(values)
    if found is None:
        return None
    scale, whole = found
    best: tuple[int, bytes] | None = None
    for order, body in _bodies(whole):
        divisor = int(np.gcd.reduce(body)) or 1
        if body[np.flatnonzero(body)[:1]].sum() < 0:
            divisor = -divisor  # what fills a disk empties its free space: one body for both
        units = body // divisor
        width = _width(units)
        packed = edges + (
            b"" if (units == 1).all() else _packed_integers(units.astype(_WIDTHS[width]))
        )
        shape = order + _WIDTH_UNIT * width + (_HOLES if edges else 0)
        lead = LEAD.pack(_header(), scale, shape, divisor, values[0])
        if packed in known:
            return STEPS, lead + packed
        if best is None or len(packed) + len(lead) < len(best[1]):
            best = STEPS, lead + packed
    return best


def _bodies(whole: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
    """The differences that may be worth packing, without the first value, by their order."""
    steps = np.diff(whole)
    bodies = [(_ONCE, steps)]
    size = np.abs(steps).sum()
    plain = whole[1:]
    if np.abs(plain - plain[len(plain) // 2]).sum() < 2 * size:
        bodies.append((_PLAIN, plain))
    twice = np.diff(steps, prepend=0)
    if np.abs(twice[1:]).sum() < 0.8 * size and np.abs(twice).max() < _LARGEST:
        bodies.append((_TWICE, twice))
    return bodies


def _whole(values: Floats) -> tuple[int, NDArray[np.int64]] | None:
    """The scale's number and the whole numbers that give every bit back, if there are any."""
    bits = values.view(np.uint64)
    probe = slice(None, None, max(1, len(values) // 8))
    with np.errstate(over="ignore", invalid="ignore"):
        for scale in range(len(_DIVISORS) + len(_FACTORS)):
            for part in (probe, slice(None)):
                some = values[part]
                whole = _times(some, scale)
                _scaled(whole, scale, back := whole.copy())
                if not np.array_equal(back.view(np.uint64), bits[part]):
                    break
            else:
                if np.abs(whole).max() < _LARGEST:
                    return scale, whole.astype(np.int64)
    low = int(np.bitwise_or.reduce(bits))
    shift = (low & -low).bit_length() - 1
    if shift >= _LEAST_SHIFT:
        return _SHIFTED + shift, values.view(np.int64) >> shift
    return None


def _times(values: Floats, scale: int) -> Floats:
    """To the nearest whole numbers; what is none by its nature fails to come back."""
    if scale < len(_DIVISORS):
        return np.rint(values * _DIVISORS[scale]) + 0.0
    return np.rint(values / _FACTORS[scale - len(_DIVISORS)]) + 0.0


def _scaled(whole: Floats, scale: int, values: Floats) -> None:
    """Whole numbers back to `values`, which may be the same array."""
    if scale < len(_DIVISORS):
        np.divide(whole, _DIVISORS[scale], out=values)
    elif scale < len(_DIVISORS) + len(_FACTORS):
        np.multiply(whole, _FACTORS[scale - len(_DIVISORS)], out=values)
    elif _SHIFTED <= scale < _SHIFTED + 64:
        values.view(np.int64)[:] = whole.astype(np.int64) << (scale - _SHIFTED)
    else:
        raise ChunkDamaged(f"a piece's scale is {scale}")


def _width(body: NDArray[np.int64]) -> int:
    """The place in `_WIDTHS` of the narrowest integers that hold it."""
    most = max(int(body.max()), -1 - int(body.min()))
    return next(place for place, limit in enumerate(_LIMITS) if most < limit)


def _packed_integers(body: NDArray[Any]) -> bytes:
    packer = wrapped.FileCompressor().chunk_compressor(body, _plain_config())
    packed: bytes = packer.write_meta() + packer.write_page(0)
    return packed


@functools.cache
def _plain_config() -> Any:
    """No differences and no modes of pcodec's: ours are better here, and it need not search."""
    return pcodec.ChunkConfig(
        LEVEL,
        mode_spec=pcodec.ModeSpec.classic(),
        delta_spec=pcodec.DeltaSpec.no_op(),
        enable_8_bit=True,
    )


@functools.cache
def _header() -> bytes:
    header: bytes = wrapped.FileCompressor().write_header()
    return header


@functools.lru_cache(maxsize=8)
def _unpacker(header: bytes) -> Any:
    return wrapped.FileDecompressor.new(header)[0]


def unstep(lead: tuple[bytes, int, int, int, float], body: bytes, values: Floats) -> None:
    """The column of a STEPS piece, whose lead is unpacked already, into `values`."""
    header, scale, shape, divisor, first = lead
    holes = None
    if shape & _HOLES:
        holes, body = _holes(body, len(values))
    steps, order = values[1:], shape % _WIDTH_UNIT
    if not body:
        steps[:] = float(divisor)
    else:
        width = shape // _WIDTH_UNIT % len(_WIDTHS)
        packed = np.empty(len(steps), _WIDTHS[width])
        try:
            unpacker, begin = _unpacker(header).chunk_decompressor(body, _NAMES[width])
            progress, _ = unpacker.read_page_into(body[begin:], len(steps), packed)
        except (RuntimeError, TypeError) as error:
            raise ChunkDamaged(f"a piece does not decode: {error}") from error
        if progress.n_processed != len(steps) or not progress.finished:
            raise ChunkDamaged("a piece has not as many values as rows")
        steps[:] = packed
        if divisor != 1:
            np.multiply(steps, float(divisor), out=steps)
    if order == _TWICE:
        np.add.accumulate(steps, out=steps)
    if order != _PLAIN:
        values[0] = _number(first, scale)
        np.add.accumulate(values, out=values)
    if scale:
        _scaled(values, scale, values)
    values[0] = first
    if holes is not None:
        values[holes] = np.nan


def _number(first: float, scale: int) -> float:
    """The first value as the whole number that the others follow."""
    try:
        if scale < len(_DIVISORS):
            return float(round(first * _DIVISORS[scale]))
        if scale < len(_DIVISORS) + len(_FACTORS):
            return float(round(first / _FACTORS[scale - len(_DIVISORS)]))
        return float(_BITS.unpack(_FLOAT.pack(first))[0] >> (scale - _SHIFTED))
    except (ValueError, OverflowError) as error:
        raise ChunkDamaged(f"a piece of scale {scale} begins with {first}") from error


# Holes: where NaN stands in a column of whole numbers


def _edges(holes: NDArray[np.bool_]) -> bytes:
    packed = zlib.compress(np.packbits(holes).tobytes(), 9)
    return _LENGTH.pack(len(packed)) + packed


def _holes(body: bytes, rows: int) -> tuple[NDArray[np.bool_], bytes]:
    """Which rows are NaN, and the rest of the body."""
    if len(body) < _LENGTH.size:
        raise ChunkDamaged("a piece is cut short")
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    packed = _inflated(body[_LENGTH.size : end], (rows + 7) // 8)
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=rows).view(np.bool_), body[end:]


def _filled(values: Floats, holes: NDArray[np.bool_]) -> Floats:
    """Each hole with the value before it, those at the front with the first one."""
    rows = np.maximum.accumulate(np.where(holes, 0, np.arange(len(values))))
    rows[rows == 0] = np.flatnonzero(~holes)[0] if holes[0] else 0
    return values[rows]


# The fallback, of the standard library


def _deflated(bits: NDArray[np.uint64]) -> bytes:
    changed = bits.copy()
    changed[1:] ^= bits[:-1]
    shuffled = changed.astype("<u8").view(np.uint8).reshape(-1, 8).T
    return zlib.compress(shuffled.tobytes(), 6)


def _inflate(data: bytes | memoryview, values: Floats) -> None:
    shuffled = np.frombuffer(_inflated(data, values.nbytes), np.uint8)
    changed = shuffled.reshape(8, len(values)).T.copy().view("<u8")[:, 0]
    np.bitwise_xor.accumulate(changed, out=values.view(np.uint64))


def _inflated(data: bytes | memoryview, size: int) -> bytes:
    """Exactly `size` bytes; never more memory than that, whatever the data says."""
    inflating = zlib.decompressobj()
    try:
        found = inflating.decompress(data, size + 1)
    except zlib.error as error:
        raise ChunkDamaged(f"a piece does not inflate: {error}") from error
    if len(found) != size or not inflating.eof:
        raise ChunkDamaged("a piece has not as many values as rows")
    return found
