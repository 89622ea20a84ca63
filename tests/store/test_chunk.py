"""Tables as blobs: all back, and no flipped bit believed."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.rollups import Rollup, observed, rolled
from monitor.core.series import Floats
from monitor.store import chunk as chunks
from monitor.store import packing
from monitor.store.chunk import Chunk, ChunkDamaged, from_rollup, from_rows

START = 1_795_347_600.0
ODD = (0x7FF0000000000002, 0x7FF8000000000000, 1, 1 << 63, 0x7FF << 52, 0x3FF << 52)


def _table(seed: int, rows: int, columns: int) -> tuple[Floats, Floats]:
    """Instants to the millisecond, and columns of every codec: some constant, some alike."""
    random = np.random.default_rng(seed)
    at = np.round(START + 10.0 * np.arange(rows) + random.random(rows) * 0.01, 3)
    kinds = random.integers(0, 8, columns)
    walk = np.cumsum(random.integers(0, 30, rows))
    table = np.empty((rows, columns))
    for column, kind in enumerate(kinds.tolist()):
        table[:, column] = (
            np.full(rows, np.array(random.choice(ODD), np.uint64).view(np.float64)),
            walk,
            walk * 4096,
            1e9 - walk,
            random.random(rows),
            np.round(random.random(rows), 2),
            np.where(random.random(rows) < 0.3, np.nan, walk),
            np.array(random.choice(ODD, rows), np.uint64).view(np.float64),
        )[kind]
    return at, table


def _rollup(seed: int, rows: int, columns: int) -> Rollup:
    at, values = _table(seed, rows, columns)
    counters = np.random.default_rng(seed).random(columns) < 0.5
    return rolled(observed(at, values, counters), 60.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(0, 12), st.data())
def test_rows_come_back(seed: int, rows: int, columns: int, data: st.DataObject) -> None:
    """It must be that any columns asked for, in any order and again, are bit for bit there."""
    at, values = _table(seed, rows, columns)
    chunk = Chunk(memoryview(from_rows(at, values)), rows)
    assert (chunk.rows, chunk.columns, chunk.is_rollup) == (rows, columns, False)
    assert chunk.at().tobytes() == at.tobytes()
    chunk.check()
    wanted = data.draw(st.lists(st.integers(0, columns - 1), max_size=5)) if columns else []
    found = chunk.values(wanted)
    assert found.shape == (rows, len(wanted))
    assert found.tobytes() == values[:, wanted].tobytes()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(0, 8), st.data())
def test_rollups_come_back(seed: int, rows: int, columns: int, data: st.DataObject) -> None:
    """It must be that each field of any columns asked for is bit for bit there."""
    rollup = _rollup(seed, rows, columns)
    chunk = Chunk(from_rollup(rollup), len(rollup.starts))
    assert (chunk.columns, chunk.is_rollup) == (columns, True)
    chunk.check()
    wanted = data.draw(st.lists(st.integers(0, columns - 1), max_size=5)) if columns else []
    found = chunk.rollup(wanted)
    assert found.starts.tobytes() == rollup.starts.tobytes()
    assert found.fields.tobytes() == rollup.fields[:, :, wanted].tobytes()


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("is_rollup", [False, True])
def test_no_flipped_bit_is_believed(is_rollup: bool, fallback: bool) -> None:
    """It must be that every single flipped bit is refused, or changes no value."""
    rollup = _rollup(3, 9, 6)
    at, values = _table(5, 9, 8)
    with pytest.MonkeyPatch.context() as patch:
        if fallback:
            patch.setattr(packing, "pcodec", None)
        whole = from_rollup(rollup) if is_rollup else from_rows(at, values)
        rows = len(rollup.starts) if is_rollup else 9
        refused = 0
        for bit in range(8 * len(whole)):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            try:
                chunk = Chunk(bytes(flipped), rows)
                chunk.check()
            except ChunkDamaged:
                refused += 1
                continue
            assert _bits(chunk) == _bits(Chunk(whole, rows))
    assert refused == 8 * len(whole)


def _bits(chunk: Chunk) -> tuple[bytes, ...]:
    columns = range(chunk.columns)
    if chunk.is_rollup:
        return chunk.at().tobytes(), chunk.rollup(columns).fields.tobytes()
    return chunk.at().tobytes(), chunk.values(columns).tobytes()


def test_a_cut_or_longer_blob_is_refused() -> None:
    """It must be that a blob of any other length is none of ours."""
    whole = from_rows(*_table(5, 9, 8))
    for length in range(len(whole)):
        with pytest.raises(ChunkDamaged):
            Chunk(whole[:length], 9)
    with pytest.raises(ChunkDamaged):
        Chunk(whole + b"\0", 9)


def test_another_count_of_rows_is_refused() -> None:
    """It must be that what the row of the database says and what the blob says agree."""
    whole = from_rows(*_table(5, 9, 8))
    for rows in (0, 8, 10):
        with pytest.raises(ChunkDamaged):
            Chunk(whole, rows)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_refused(data: bytes) -> None:
    """It must be that rubbish is `ChunkDamaged`, whatever it claims."""
    with pytest.raises(ChunkDamaged):
        Chunk(data, 9)
    with pytest.raises(ChunkDamaged):
        Chunk(b"\1\0\x09\0\0\0" + data, 9)


def test_a_damaged_column_does_not_touch_the_others() -> None:
    """It must be that a column is read without its neighbours' pieces."""
    at, values = _table(1, 60, 0)[0], np.random.default_rng(1).random((60, 3))
    data = bytearray(from_rows(at, values))
    data[-1] ^= 1
    chunk = Chunk(bytes(data), 60)
    assert chunk.values([1, 0]).tobytes() == values[:, [1, 0]].tobytes()
    with pytest.raises(ChunkDamaged):
        chunk.values([2])
    with pytest.raises(ChunkDamaged):
        chunk.check()


def test_columns_that_move_alike_are_stored_once() -> None:
    """It must be that the second of two alike costs an entry, not a piece."""
    at, _ = _table(1, 200, 0)
    column = np.cumsum(np.random.default_rng(1).integers(0, 9, 200)).astype(float)
    one = len(from_rows(at, column[:, None]))
    assert len(from_rows(at, np.stack([column, column, 4096 * column], axis=1))) < one + 30


def test_a_counters_total_is_in_its_last_values() -> None:
    """It must be that what a counter grew by is not stored a second time."""
    at = np.linspace(START, START + 5_990.0, 600)
    count = np.cumsum(np.random.default_rng(1).integers(0, 900, 600)).astype(float)
    rollup = rolled(observed(at, count[:, None], np.array([True])), 60.0)
    chunk = Chunk(from_rollup(rollup), len(rollup.starts))
    last, total = 1, 2  # of one column, in the order in which fields are stored
    assert chunk._lengths[last] > 0
    assert chunk._lengths[total] == 0


def test_the_directory_is_small() -> None:
    """It must be that 150 columns of 720 rows spend little on what is no value."""
    random = np.random.default_rng(1)
    at, _ = _table(1, 720, 0)
    steps = random.integers(0, 200, (720, 75)) * (random.random((720, 75)) < 0.5)
    counts = np.cumsum(steps, axis=0)
    values = np.concatenate([counts, np.ones((720, 75))], axis=1)
    data = from_rows(at, values)
    chunk = Chunk(data, 720)
    firsts = 8 * np.count_nonzero(values[0] != 0)
    assert chunk._bodies - firsts < 0.03 * len(data)


def test_columns_that_are_not_there_are_the_callers_mistake() -> None:
    """It must be that a number beyond the columns is no other piece."""
    chunk = Chunk(from_rollup(_rollup(1, 30, 2)), len(_rollup(1, 30, 2).starts))
    for column in (-1, 2):
        with pytest.raises(IndexError):
            chunk.rollup([column])


def test_nothing_is_no_chunk() -> None:
    """It must be that empty tables, and absurdly wide ones, are refused before they are kept."""
    with pytest.raises(ValueError, match="0 rows"):
        from_rows(np.empty(0), np.empty((0, 3)))
    with pytest.raises(ValueError, match="columns"):
        from_rows(np.zeros(1), np.zeros((1, chunks.MOST_COLUMNS + 1)))


def test_a_blob_cannot_ask_for_more_memory_than_a_chunk_takes() -> None:
    """It must be that a directory that claims or inflates to too much is refused, crc or not."""
    for columns, size in ((chunks.MOST_COLUMNS + 1, 27), (3, 50_000_000)):
        directory = zlib.compress(bytes(size), 9)
        head = chunks._HEAD.pack(chunks.VERSION, 0, 9, columns, b"\0\0", len(directory))
        crc = zlib.crc32(directory, zlib.crc32(head))
        with pytest.raises(ChunkDamaged):
            Chunk(head + chunks._CRC.pack(crc) + directory, 9)
