"""Which frames are still to be sent, as few ranges of numbers; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

MOST_RANGES = 1_000
"""Ranges remembered; beyond, the two oldest become one, and what lies between is sent again,
which harms nothing."""


class Backlog:
    """The numbers of frames that wait, oldest first."""

    def __init__(self, first: int = 0, last: int = 0) -> None:
        self._ranges: deque[tuple[int, int]] = deque()
        if last:
            self._ranges.append((first, last))

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def count(self) -> int:
        """How many numbers there are, those of dropped frames included."""
        return sum(last - first + 1 for first, last in self._ranges)

    def add(self, number: int) -> None:
        """A frame is not being sent; frames come in the order of their numbers."""
        if self._ranges and number <= self._ranges[-1][1] + 1:
            first, last = self._ranges.pop()
            self._ranges.append((min(first, number), max(last, number)))
            return
        self._ranges.append((number, number))
        if len(self._ranges) > MOST_RANGES:
            (first, _), (_, last) = self._ranges.popleft(), self._ranges.popleft()
            self._ranges.appendleft((first, last))

    def oldest(self) -> tuple[int, int] | None:
        """The oldest range, none where nothing waits."""
        return self._ranges[0] if self._ranges else None

    def taken(self, last: int) -> None:
        """Everything up to this number is being sent, or is no more."""
        while self._ranges and self._ranges[0][0] <= last:
            first, end = self._ranges.popleft()
            if end > last:
                self._ranges.appendleft((max(first, last + 1), end))
                return


def ranges(numbers: Iterable[int], known: Iterable[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """These numbers and these ranges as ranges from first to last, ascending."""
    found: list[tuple[int, int]] = []
    for first, last in sorted([*known, *((number, number) for number in numbers)]):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found
