"""It must be that every accepted number is remembered, in a bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.ingest.seqs import MOST_CONTENTS, MOST_INTERVALS, Seqs


@given(st.lists(st.integers(0, 60), unique=True))
def test_numbers_in_any_order_are_held_and_their_gaps_counted(numbers: list[int]) -> None:
    seqs = Seqs()
    for number in numbers:
        assert number not in seqs
        seqs.add(number, b"%d" % number)
    for number in range(-1, 62):
        assert (number in seqs) is (number in numbers)
        assert seqs.content(number) == (b"%d" % number if number in numbers else None)
    expected = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    assert seqs.missing == expected


def test_the_lowest_numbers_and_the_first_contents_are_forgotten_first() -> None:
    seqs = Seqs()
    numbers = range(0, 4 * MOST_INTERVALS, 2)
    for number in numbers:
        seqs.add(number, b"x")
    held = [number for number in numbers if number in seqs]
    assert held == list(numbers)[-MOST_INTERVALS:]
    known = [number for number in numbers if seqs.content(number)]
    assert known == list(numbers)[-MOST_CONTENTS:]


def test_the_largest_number_is_held_too() -> None:
    seqs = Seqs()
    seqs.add(2**63 - 1, b"x")
    seqs.add(0, b"y")
    assert 2**63 - 1 in seqs
    assert seqs.missing == 0, "who jumps so far has not left these out"
    seqs.add(3, b"z")
    assert seqs.missing == 2


def test_a_million_numbers_in_a_row_take_no_more_room_than_one() -> None:
    seqs = Seqs()
    for number in range(10_000):
        seqs.add(number, b"x")
    assert len(seqs._firsts) == 1
    assert len(seqs._contents) == MOST_CONTENTS
