"""Columns as bytes: every bit back, nothing believed."""

from __future__ import annotations

import contextlib
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.series import Floats
from monitor.store import packing
from monitor.store.codec import (
    CONSTANT,
    PCO,
    RAW,
    STEPS,
    ZLIB,
    ChunkDamaged,
    decode,
    encode,
)
from monitor.store.steps import LEAD

ODD = (0x7FF0000000000002, 0x7FF8000000000000, 0xFFF8000000000001, 1, 1 << 63, 0x7FF << 52)
"""Bits of StaleNaN, of NaN, of another one, a denormal, -0.0 and infinity."""


def _floats(bits: object) -> Floats:
    return np.array(bits, np.uint64).view(np.float64)


def _measured(seed: int, rows: int, kind: int, holes: float) -> Floats:
    """Columns as hosts send them: counts, decimals, fractions, rates, pages, ticks."""
    random = np.random.default_rng(seed)
    walk = np.cumsum(random.integers(-50, 300, rows))
    kinds: tuple[Any, ...] = (
        walk * 1.0,
        walk / 100,
        walk * 0.01,
        walk / 2048,
        2e10 + 4096.0 * random.integers(-9, 9, rows),
        np.round(random.random(rows), 3),
        np.round(1.7e9 + 10.0 * np.arange(rows) + random.random(rows) * 0.01, 3),
        random.random(rows),
        (random.random(rows).view(np.int64) & (-1 << 42)).view(np.float64),
        7.0 + np.arange(rows),
        np.cumsum(walk) * 1e6,
    )
    values: Floats = kinds[kind]
    values[random.random(rows) < holes] = np.nan
    return values


def _assert_back(values: Floats) -> tuple[int, bytes]:
    number, data = encode(values)
    back = decode(number, data, len(values))
    assert back.dtype == np.float64
    assert back.tobytes() == values.tobytes()
    assert decode(number, memoryview(data), len(values)).tobytes() == values.tobytes()
    return number, data


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from(ODD), min_size=1, max_size=40))
def test_any_bits_come_back(bits: list[int]) -> None:
    """It must be that every float64 there is survives, payloads included."""
    _assert_back(_floats(bits))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-(2**56), 2**56) | st.integers(-9, 9), min_size=1, max_size=40),
    st.sampled_from((1.0, 0.01, 0.1, 1 / 2048, 2.0**-22, 1e-6, 4096.0)),
    st.booleans(),
)
def test_numbers_near_every_limit_come_back(
    whole: list[int], unit: float, negative_zero: bool
) -> None:
    """It must be that no width, scale or order of differences loses a bit."""
    values = np.array(whole, float) * unit
    if negative_zero:
        values[-1] = -0.0
    _assert_back(values)
    _assert_back(np.array(whole, float) / (1 / unit))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 400),
    st.integers(0, 10),
    st.sampled_from((0.0, 0.01, 0.9)),
)
def test_what_hosts_send_comes_back(seed: int, rows: int, kind: int, holes: float) -> None:
    """It must be that the columns we are made for survive, with and without holes."""
    _assert_back(_measured(seed, rows, kind, holes))


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, 5, 6, 8, 9, 10])
@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_measured_columns_become_whole_numbers(kind: int, holes: float) -> None:
    """It must be that counts, decimals, fractions and short rates are kept as steps, smaller."""
    values = _measured(3, 700, kind, holes)
    number, data = _assert_back(values)
    assert number == STEPS
    allowed = LEAD.size + 900 * holes  # where they are: a bit each, at the worst
    assert len(data) < len(packing.packed_floats(values)) * 1.05 + allowed


def test_evenly_growing_numbers_take_no_body() -> None:
    """It must be that regular instants cost their first and their step."""
    assert len(_assert_back(np.linspace(1.7e9, 1.7e9 + 7190.0, 720))[1]) == LEAD.size


def test_one_body_serves_columns_that_move_alike() -> None:
    """It must be that bytes and pages read, and space used and free, have one body."""
    pages = np.cumsum(np.random.default_rng(1).integers(0, 9, 200)).astype(float)
    bodies = {encode(column)[1][LEAD.size :] for column in (pages, 512 * pages, 1e9 - pages)}
    assert len(bodies) == 1
    increases = np.diff(pages, prepend=pages[0] - 3)
    assert encode(increases, bodies)[1][LEAD.size :] in bodies


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(ODD), min_size=1, max_size=1), st.integers(1, 30))
def test_a_constant_is_eight_bytes(bits: list[int], rows: int) -> None:
    """It must be that a column that never changes keeps its one value, whatever its bits."""
    values = _floats(bits * rows)
    assert _assert_back(values) == (CONSTANT, values[:1].tobytes())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from(ODD), min_size=2, max_size=40))
def test_the_fallback_keeps_every_bit(bits: list[int]) -> None:
    """It must be that without pcodec nothing is lost, and that it is read with it."""
    values = _floats([*bits, bits[0] ^ 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "pcodec", None)
        number, data = encode(values)
        assert number == ZLIB
        assert decode(number, data, len(values)).tobytes() == values.tobytes()
    assert decode(number, data, len(values)).tobytes() == values.tobytes()


def test_without_pcodec_its_pieces_are_refused() -> None:
    """It must be that a missing library is said, and nothing made up."""
    pieces = [encode(_measured(1, 50, kind, 0.0)) for kind in (0, 7)]
    assert [number for number, _ in pieces] == [STEPS, PCO]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "pcodec", None)
        for number, data in pieces:
            with pytest.raises(ChunkDamaged):
                decode(number, data, 50)


def test_raw_is_read() -> None:
    """It must be that the plainest codec needs no library."""
    values = _measured(1, 5, 7, 0.0)
    assert decode(RAW, values.tobytes(), 5).tobytes() == values.tobytes()


@pytest.mark.parametrize("kind", [0, 5, 7, 8])
@pytest.mark.parametrize("rows", [1, 2, 50, 99, 5_000])
def test_another_length_is_refused(kind: int, rows: int) -> None:
    """It must be that a piece is not read as one of fewer rows, nor of many more."""
    number, data = encode(_measured(1, 100, kind, 0.0))
    with pytest.raises(ChunkDamaged):
        decode(number, data, rows)


@pytest.mark.parametrize("number", [RAW, CONSTANT, ZLIB, PCO, STEPS, 5, 255])
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(number: int, data: bytes) -> None:
    """It must be that rubbish ends in `ChunkDamaged` or in as many values as rows."""
    with contextlib.suppress(ChunkDamaged):
        assert len(decode(number, data, 50)) == 50


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([encode(_measured(7, 60, kind, 0.0)) for kind in range(11)]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_a_damaged_piece_is_decoded_or_refused(
    piece: tuple[int, bytes], changes: list[tuple[int, int]]
) -> None:
    """It must be that what a checksum would have caught crashes nothing without one."""
    number, data = piece[0], bytearray(piece[1])
    for place, byte in changes:
        data[place % len(data)] = byte
    with contextlib.suppress(ChunkDamaged):
        assert len(decode(number, bytes(data), 60)) == 60


def test_a_small_piece_cannot_ask_for_much_memory() -> None:
    """It must be that a piece which would inflate to far more than its rows is refused."""
    bomb = zlib.compress(bytes(100_000_000), 9)
    with pytest.raises(ChunkDamaged):
        decode(ZLIB, bomb, 720)
