"""The board: places, growth, and which values still count.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.board import LEAST_CELLS, LEAST_HOSTS, NOWHERE, Board, Place

NOW = 1_700_000_000.0
NAN = float("nan")


def _read(board: Board, place: Place, column: int, now: float) -> float:
    cells = np.array([place.start + column], np.intp)
    return float(board.read(cells, np.array([place.number], np.intp), now)[0])


def _put(board: Board, place: Place, value: float, at: float, period: float) -> None:
    board.put(place, np.array([value]), np.array([at]), np.array([period]))


@pytest.mark.parametrize(
    ("period", "last", "over"),
    [(NAN, 150.0, 150.1), (1.0, 5.0, 5.1), (2.0, 5.0, 5.1), (10.0, 25.0, 25.1), (60.0, 150, 151)],
    ids=["once", "1s", "2s", "10s", "60s"],
)
def test_a_value_counts_for_two_periods_and_a_half_or_as_long_as_is_usual(
    period: float, last: float, over: float
) -> None:
    board = Board()
    place = board.place("a", 1)
    _put(board, place, 7.0, NOW, period)
    board.clock(place, NOW, NOW)
    assert _read(board, place, 0, NOW + last) == 7.0
    assert np.isnan(_read(board, place, 0, NOW + over))


def test_a_clock_that_is_wrong_does_not_age_what_it_stamps() -> None:
    board = Board()
    place = board.place("a", 1)
    _put(board, place, 7.0, NOW - 9_000, 1.0)
    board.clock(place, NOW - 9_000, NOW)
    assert _read(board, place, 0, NOW + 4) == 7.0
    assert np.isnan(_read(board, place, 0, NOW + 6))


def test_one_series_ages_while_its_host_goes_on() -> None:
    board = Board()
    place = board.place("a", 1)
    _put(board, place, 7.0, NOW, 1.0)
    board.clock(place, NOW + 5, NOW + 5)
    assert _read(board, place, 0, NOW + 5) == 7.0
    board.clock(place, NOW + 6, NOW + 6)
    assert np.isnan(_read(board, place, 0, NOW + 6))


@pytest.mark.parametrize("seen_at", [0.0, NOW - 3_600], ids=["never heard", "its agent is gone"])
def test_what_others_say_of_a_host_counts_though_it_is_silent_itself(seen_at: float) -> None:
    board = Board()
    place = board.place("a", 1)
    _put(board, place, 1.0, NOW, 15.0)
    board.clock(place, seen_at, seen_at)
    assert _read(board, place, 0, NOW + 30) == 1.0
    assert np.isnan(_read(board, place, 0, NOW + 40))


def test_what_was_set_counts_until_it_is_set_anew() -> None:
    board = Board()
    place = board.place("a", 2)
    board.set(np.array([place.start, place.start + 1], np.intp), np.array([1.0, 2.0]))
    assert _read(board, place, 1, NOW + 1e6) == 2.0
    board.set(place.start + 1, NAN)
    assert np.isnan(_read(board, place, 1, NOW))
    assert _read(board, place, 0, NOW) == 1.0


def test_cell_0_is_nobodys_and_never_known() -> None:
    board = Board()
    place = board.place("a", 3)
    assert place.start > NOWHERE
    board.set(np.arange(place.start, place.start + 3), np.ones(3))
    assert np.isnan(board.values[NOWHERE])


def test_a_place_is_used_again_and_carries_nothing_over() -> None:
    board = Board()
    first = board.place("a", 10)
    start, number = first.start, first.number
    board.put(first, np.arange(10.0), np.full(10, NOW), np.full(10, 1.0))
    board.clock(first, NOW, NOW)
    board.drop("a")
    assert board.find("a") is None
    assert len(board) == 0
    again = board.place("b", 10)
    assert (again.start, again.number) == (start, number)
    assert all(np.isnan(_read(board, again, column, NOW)) for column in range(10))
    board.drop("nobody")


def test_a_host_that_grows_moves_and_keeps_its_number() -> None:
    board = Board()
    place = board.place("a", 8)
    other = board.place("b", 8)
    board.put(other, np.full(8, 5.0), np.full(8, NOW), np.full(8, 1.0))
    board.clock(other, NOW, NOW)
    number, start = place.number, place.start
    assert board.place("a", 10).start == start, "it has room for an eighth and one more"
    grown = board.place("a", 100)
    assert (grown.number, grown.size) == (number, 100)
    assert grown.start != start
    board.put(grown, np.full(100, 9.0), np.full(100, NOW), np.full(100, 1.0))
    board.clock(grown, NOW, NOW)
    assert [_read(board, other, column, NOW) for column in range(8)] == [5.0] * 8
    third = board.place("c", 8)
    assert third.start == start, "what it left is another's"
    assert third.number not in {number, other.number}


def test_a_place_that_is_laid_out_anew_knows_nothing_of_before() -> None:
    board = Board()
    place = board.place("a", 8)
    board.put(place, np.full(8, 5.0), np.full(8, NOW), np.full(8, 1.0))
    board.clock(place, NOW, NOW)
    board.place("a", 4)
    assert all(np.isnan(_read(board, place, column, NOW)) for column in range(8))


def test_hosts_and_cells_have_no_end_and_nobody_stands_on_anothers_foot() -> None:
    board = Board()
    hosts = {f"h{number}": board.place(f"h{number}", 90) for number in range(3 * LEAST_HOSTS)}
    assert len(board.values) > LEAST_CELLS
    assert len(board.at) > LEAST_HOSTS
    for number, place in enumerate(hosts.values()):
        board.put(place, np.full(90, number), np.full(90, NOW), np.full(90, 1.0))
        board.clock(place, NOW, NOW)
    for number, place in enumerate(hosts.values()):
        found = {_read(board, place, column, NOW) for column in (0, 45, 89)}
        assert found == {float(number)}
    assert sorted(place.number for place in hosts.values()) == list(range(3 * LEAST_HOSTS))
    big = board.place("big", 5_000)
    assert len(board.values) >= big.start + big.room


def test_numbers_of_hosts_are_used_again() -> None:
    board = Board()
    for turn in range(100):
        board.place(f"h{turn}", 5)
        board.drop(f"h{turn}")
    assert len(board.at) == LEAST_HOSTS
    assert len(board.values) == LEAST_CELLS


def test_a_part_is_put_where_it_belongs() -> None:
    board = Board()
    place = board.place("a", 4)
    board.put(place, np.array([1.0, 2.0]), np.full(2, NOW), np.full(2, 1.0), first=2)
    board.clock(place, NOW, NOW)
    found = [_read(board, place, column, NOW) for column in range(4)]
    assert np.isnan(found[:2]).all()
    assert found[2:] == [1.0, 2.0]
