"""Merging pieces, against a dictionary."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.series import ENDED_BITS
from monitor.store import opening
from monitor.store.loading import loaded
from monitor.store.merging import Piece, merged
from monitor.store.reading import Reader
from monitor.store.sqlite import open_store
from tests.frames import frame

START = 1_800_000_000.0

KEYS = ("a", "b", "c", "d")


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    keys = tuple(draw(st.permutations(KEYS)))[: draw(st.integers(0, 4))]
    rows = draw(st.integers(0, 6))
    at = draw(st.lists(st.integers(0, 5).map(float), min_size=rows, max_size=rows))
    if draw(st.booleans()):
        at.sort()
    number = st.sampled_from((math.nan, 0.0, -0.0, 1.0, 2.0, math.inf))
    size = rows * len(keys)
    values = draw(st.lists(number, min_size=size, max_size=size))
    return Piece(np.array(at), keys, np.array(values, float).reshape(rows, len(keys)))


def _model(parts: list[Piece]) -> tuple[list[str], dict[float, dict[str, float]]]:
    keys: list[str] = []
    rows: dict[float, dict[str, float]] = {}
    for piece in parts:
        keys += [key for key in piece.keys if key not in keys]
        for instant, values in zip(piece.at.tolist(), piece.values.tolist(), strict=True):
            row = rows.setdefault(instant, {})
            for key, value in zip(piece.keys, values, strict=True):
                if not math.isnan(value):
                    row.setdefault(key, value)
    return keys, rows


def _assert_same(one: Piece, other: Piece) -> None:
    assert one.keys == other.keys
    np.testing.assert_array_equal(one.at, other.at)
    np.testing.assert_array_equal(one.values, other.values)


@settings(max_examples=200, deadline=None)
@given(st.lists(pieces(), max_size=4))
def test_first_come_first_kept(parts: list[Piece]) -> None:
    """It must be that each instant has one row, and each key its first value that is one."""
    found = merged(parts)
    keys, rows = _model(parts)
    assert list(found.keys) == keys
    assert found.at.tolist() == sorted(rows)
    wanted = [[rows[at].get(key, math.nan) for key in keys] for at in sorted(rows)]
    shape = (len(rows), len(keys))
    np.testing.assert_array_equal(found.values, np.array(wanted, float).reshape(shape))


@settings(max_examples=100, deadline=None)
@given(st.lists(pieces(), min_size=1, max_size=4))
def test_merging_again_changes_nothing(parts: list[Piece]) -> None:
    """It must be that what is merged, with itself or with what went into it, stays."""
    found = merged(parts)
    _assert_same(merged([found]), found)
    _assert_same(merged([found, found]), found)
    _assert_same(merged([found, *parts]), found)


@settings(max_examples=100, deadline=None)
@given(st.lists(pieces(), min_size=2, max_size=4), st.integers(1, 3))
def test_it_does_not_matter_how_it_is_split(parts: list[Piece], split: int) -> None:
    """It must be that pieces merged in two steps are those merged in one."""
    _assert_same(merged([merged(parts[:split]), *parts[split:]]), merged(parts))


def test_pieces_that_follow_one_another_are_put_end_to_end() -> None:
    """It must be that the usual case gives every row as it was, to the bit."""
    at = np.arange(6.0)
    stale = np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0]
    values = np.array([[1.0, -0.0], [stale, 2.0]] * 3)
    found = merged([Piece(at[:4], ("a", "b"), values[:4]), Piece(at[4:], ("a", "b"), values[4:])])
    assert found.at.tolist() == at.tolist()
    assert found.values.tobytes() == values.tobytes()


def test_what_comes_out_is_not_what_went_in() -> None:
    """It must be that changing the result leaves a piece as it was."""
    piece = Piece(np.arange(2.0), ("a",), np.zeros((2, 1)))
    found = merged([piece])
    found.values[:] = 1.0
    found.at[:] = 9.0
    assert piece.values.tolist() == [[0.0], [0.0]]
    assert piece.at.tolist() == [0.0, 1.0]


def test_no_pieces_are_no_rows() -> None:
    """It must be that nothing merges to nothing."""
    found = merged([])
    assert (found.keys, found.values.shape) == ((), (0, 0))


def test_that_a_series_has_ended_is_a_value() -> None:
    """It must be that the NaN which says so stands, bit for bit, beside those that say nothing."""
    ended = np.array([ENDED_BITS], np.uint64).view(np.float64)[0]
    here = Piece(np.array([1.0, 2.0]), ("a",), np.array([[5.0], [math.nan]]))
    there = Piece(np.array([1.0, 2.0]), ("b", "a"), np.array([[ended, ended], [7.0, ended]]))
    found = merged([here, there])
    assert found.values[0, 0] == 5
    bits = found.values.view(np.uint64)
    assert bits[0, 1] == ENDED_BITS
    assert bits[1, 0] == ENDED_BITS


async def test_that_a_series_has_ended_is_kept_bit_for_bit(tmp_path: Path) -> None:
    """It must be that it is read as it was written: from memory, from the journal, compacted."""
    ended = np.array([ENDED_BITS], np.uint64).view(np.float64)[0]
    store = await open_store(tmp_path, clock=lambda: START + 86_400)
    for number in range(20):
        values = {"a": ended if number == 7 else float(number), "b": math.nan, "c": 1.0}
        if number == 9:
            values["b"] = ended
        await store.append([frame(START + number, values)])
    await store.append([frame(START + 9, {"a": 5.0, "b": math.nan, "c": 1.0})])
    for settled in (False, True):
        if settled:
            await store.settle()
        await store.close()
        with contextlib.closing(opening.opened(tmp_path)) as connection:
            found = loaded(connection, START)
            reader = Reader(connection, found.shapes)
            view = found.hosts.by_name["web-1"].view()
            rows = reader.rows(view, ("a", "b"), START, START + 100)
        bits = rows.values.view(np.uint64) == ENDED_BITS
        assert np.argwhere(bits).tolist() == [[7, 0], [9, 1]]
        store = await open_store(tmp_path, clock=lambda: START + 86_400)
    await store.close()
