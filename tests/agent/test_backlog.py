"""The backlog's ranges.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import random
from itertools import pairwise

from monitor.agent.backlog import MOST_RANGES, Backlog, ranges


def _numbers(backlog: Backlog) -> list[int]:
    found: list[int] = []
    while (oldest := backlog.oldest()) is not None:
        found += range(oldest[0], oldest[1] + 1)
        backlog.taken(oldest[1])
    return found


def test_what_was_kept_before_comes_first() -> None:
    backlog = Backlog(3, 5)
    backlog.add(6)
    backlog.add(9)
    assert backlog.count() == 5
    assert backlog.oldest() == (3, 6)
    backlog.taken(4)
    assert backlog.oldest() == (5, 6)
    assert _numbers(backlog) == [5, 6, 9]
    assert not backlog


def test_an_empty_spool_has_none() -> None:
    assert not Backlog(0, 0)
    assert Backlog(0, 0).oldest() is None


def test_it_is_bounded_and_loses_nothing() -> None:
    backlog = Backlog()
    added = range(1, 4 * MOST_RANGES, 2)
    for number in added:
        backlog.add(number)
    assert len(backlog._ranges) == MOST_RANGES
    assert set(added) <= set(_numbers(backlog))


def test_ranges_hold_exactly_the_numbers() -> None:
    chance = random.Random(7)
    numbers = chance.sample(range(1000), 400)
    found = ranges(numbers)
    assert sorted(numbers) == [n for first, last in found for n in range(first, last + 1)]
    assert all(b[0] > a[1] + 1 for a, b in pairwise(found))


def test_ranges_are_joined_with_those_that_were_there() -> None:
    assert ranges([4, 9, 5], [(1, 3), (11, 12), (2, 2)]) == [(1, 5), (9, 9), (11, 12)]
    assert ranges((), [(7, 9), (1, 2)]) == [(1, 2), (7, 9)]
