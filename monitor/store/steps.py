"""Columns that are whole numbers at some scale, by their differences.

What hosts measure are decimals, binary fractions and counts that move by small steps.  So a
column becomes whole numbers where that gives every bit back; those become differences without
their common divisor, in the narrowest integers, for pcodec to pack.  At the scale of bits,
rates that were rounded to a few of them are whole too.  Where NaNs stand is kept beside it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from monitor.core.series import Floats
from monitor.store.packing import (
    WIDTHS,
    ChunkDamaged,
    header,
    inflated,
    packed_integers,
    unpack_integers,
)

LEAD = struct.Struct("<2sBBqd")
"""Before the body: pcodec's file header, scale, shape, common divisor, first value."""

_LIMITS = tuple(2 ** (8 * width.itemsize - 1) for width in WIDTHS)
_LENGTH = struct.Struct("<I")
_BITS = struct.Struct("<q")
_FLOAT = struct.Struct("<d")

_DIVISORS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 2048.0)
"""A value times one of these is whole: decimals, and load averages."""

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


def stepped(values: Floats, known: Collection[bytes]) -> bytes | None:
    """Lead and body of a column that is whole numbers at some scale, else none.

    Of several bodies, one that is `known` is taken: its like is stored already.
    """
    holes = np.isnan(values)
    edges = b""
    if holes.any():
        if not (values[holes].view(np.uint64) == _NAN_BITS).all():
            return None
        edges = _edges(holes)
        values = _filled(values, holes)
    best: bytes | None = None
    for scale, whole in _scales(values):
        for order, body in _bodies(whole, bool(known)):
            shape, divisor, packed = _packed_steps(body, order)
            shape, packed = shape + (_HOLES if edges else 0), edges + packed
            lead = LEAD.pack(header(), scale, shape, divisor, values[0])
            if packed in known:
                return lead + packed
            if best is None or len(lead) + len(packed) < len(best):
                best = lead + packed
    return best


def _packed_steps(body: NDArray[np.int64], order: int) -> tuple[int, int, bytes]:
    """Shape, divisor and bytes; no bytes where every step is the divisor."""
    divisor = _divisor(body)
    if order != _PLAIN and body[np.flatnonzero(body)[:1]].sum() < 0:
        divisor = -divisor  # what fills a disk empties its free space: one body for both
    units = body // divisor
    if (units == 1).all():
        return order, divisor, b""
    most = max(int(units.max()), -1 - int(units.min()))
    width = next(place for place, limit in enumerate(_LIMITS) if most < limit)
    return order + _WIDTH_UNIT * width, divisor, packed_integers(units.astype(WIDTHS[width]))


def _divisor(whole: NDArray[np.int64]) -> int:
    return int(np.gcd.reduce(whole)) or 1


def _bodies(whole: NDArray[np.int64], every: bool) -> list[tuple[int, NDArray[np.int64]]]:
    """The differences that may be worth packing, without the first value, by their order."""
    steps = np.diff(whole)
    bodies = [(_ONCE, steps)]
    size = np.abs(steps).sum()
    plain = whole[1:]
    if every or np.abs(plain - plain[len(plain) // 2]).sum() < 2 * size:
        bodies.append((_PLAIN, plain))
    twice = np.diff(steps, prepend=0)
    if np.abs(twice[1:]).sum() < 0.8 * size and np.abs(twice).max() < _LARGEST:
        bodies.append((_TWICE, twice))
    return bodies


def _scales(values: Floats) -> list[tuple[int, NDArray[np.int64]]]:
    """The scales that may be worth it, with the whole numbers that give every bit back.

    Numbers that were rounded to a few bits are whole too if they are large, but narrower as
    these bits: where that may be so, both are given.
    """
    found = _whole(values)
    low = int(np.bitwise_or.reduce(values.view(np.uint64)))
    shift = (low & -low).bit_length() - 1
    if shift >= _LEAST_SHIFT:
        bits = values.view(np.int64) >> shift
        if not found or _breadth(bits) < _breadth(found[0][1]):
            found.append((_SHIFTED + shift, bits))
    return found


def _breadth(whole: NDArray[np.int64]) -> int:
    return int(whole.max() - whole.min()) // _divisor(np.diff(whole))


def _whole(values: Floats) -> list[tuple[int, NDArray[np.int64]]]:
    """The first scale that makes whole numbers of them, if one does."""
    bits = values.view(np.uint64)
    probe = slice(None, None, max(1, len(values) // 8))
    with np.errstate(over="ignore", invalid="ignore"):
        for scale in range(len(_DIVISORS) + len(_FACTORS)):
            for part in (probe, slice(None)):
                whole = _times(values[part], scale)
                back = whole.copy()
                _scaled(whole, scale, back)
                if not np.array_equal(back.view(np.uint64), bits[part]):
                    break
            else:
                if np.abs(whole).max() < _LARGEST:
                    return [(scale, whole.astype(np.int64))]
    return []


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
        with np.errstate(invalid="ignore"):  # of damaged bytes; nothing of ours is so large
            values.view(np.int64)[:] = whole.astype(np.int64) << (scale - _SHIFTED)
    else:
        raise ChunkDamaged(f"a piece's scale is {scale}")


def unstep(lead: tuple[bytes, int, int, int, float], body: bytes, values: Floats) -> None:
    """A column again, its lead unpacked already, into `values`.  Raises `ChunkDamaged`."""
    packer, scale, shape, divisor, first = lead
    holes = None
    if shape & _HOLES:
        holes, body = _holes(body, len(values))
    steps, order = values[1:], shape % _WIDTH_UNIT
    if not body:
        steps[:] = float(divisor)
    else:
        width = shape // _WIDTH_UNIT % len(WIDTHS)
        steps[:] = unpack_integers(packer, body, width, len(steps))
        if divisor != 1:
            np.multiply(steps, float(divisor), out=steps)
    if order == _TWICE:
        np.add.accumulate(steps, out=steps)
    # Where it is not one of the whole numbers it must still be some number, to be scaled.
    values[0] = 0.0
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
    packed = inflated(body[_LENGTH.size : end], (rows + 7) // 8)
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=rows).view(np.bool_), body[end:]


def _filled(values: Floats, holes: NDArray[np.bool_]) -> Floats:
    """Each hole with the value before it, those at the front with the first one."""
    rows = np.maximum.accumulate(np.where(holes, 0, np.arange(len(values))))
    rows[rows == 0] = np.flatnonzero(~holes)[0] if holes[0] else 0
    return values[rows]
