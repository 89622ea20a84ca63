"""The table of series that remote write knows, and how samples of it become frames.

A series has a number; of each is kept where it goes.  Nearly all go straight to a column of a
lane; a few are summed with others, or only something follows from them (`node_exporter.Part`).
All of it is the event loop's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.core.series import ENDED_BITS
from monitor.errors import InputError, MonitorError
from monitor.ingest.deriving import Sums
from monitor.ingest.lanes import Lane, Lanes
from monitor.ingest.node_exporter import Part, Shape
from monitor.ingest.remote_write_series import place
from monitor.model import Frame

_APART = -1
"""In place of a column: the series' parts are looked at one by one."""

_FIRST = 1_024
"""Series that a new table has room for."""

Refuse = Callable[[MonitorError, int], None]


class _Numbers(dict[bytes, int]):
    """Numbers by head; -1 for one that is not known, and it stays so."""

    def __missing__(self, head: bytes) -> int:
        return -1


class Samples:
    """Samples with their series' numbers in a table."""

    __slots__ = ("milliseconds", "numbers", "table", "values")

    def __init__(
        self,
        table: Table,
        numbers: NDArray[np.intp],
        milliseconds: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> None:
        self.table = table
        self.numbers = numbers
        self.milliseconds = milliseconds
        self.values = values

    def __len__(self) -> int:
        return len(self.numbers)

    def only(self, wanted: NDArray[np.bool_]) -> Samples:
        """Those that are wanted."""
        if wanted.all():
            return self
        return Samples(
            self.table, self.numbers[wanted], self.milliseconds[wanted], self.values[wanted]
        )

    @classmethod
    def joined(cls, table: Table, pieces: Sequence[Samples]) -> Samples:
        """All of several, in order."""
        if len(pieces) == 1:
            return pieces[0]
        if not pieces:
            none = np.empty(0)
            return cls(table, none.astype(np.intp), none.astype(np.int64), none)
        return cls(
            table,
            np.concatenate([piece.numbers for piece in pieces]),
            np.concatenate([piece.milliseconds for piece in pieces]),
            np.concatenate([piece.values for piece in pieces]),
        )

    def groups(self) -> Iterator[tuple[int, float, Group]]:
        """Target, instant and samples of each frame to be; instants of a target ascend."""
        if not len(self):
            return
        targets = self.table.target[self.numbers]
        order = np.lexsort((self.milliseconds, targets))
        targets, instants = targets[order], self.milliseconds[order]
        numbers, values = self.numbers[order], self.values[order]
        turns = (np.diff(targets) != 0) | (np.diff(instants) != 0)
        edges = [0, *(np.flatnonzero(turns) + 1).tolist(), len(order)]
        for start, end in itertools.pairwise(edges):
            group = Group(self.table, numbers[start:end], values[start:end])
            yield int(targets[start]), int(instants[start]) / 1000, group


class Group(NamedTuple):
    """Samples of one target and instant."""

    table: Table
    numbers: NDArray[np.intp]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.numbers)


class Taken(NamedTuple):
    """How many samples were taken, and of them how many came twice."""

    samples: int
    duplicates: int


class Table:
    """Every series, by the bytes of its labels."""

    MOST_SERIES = 500_000
    """Before it begins anew; as many as all hosts may have, and some 0.5 kB each."""

    MOST_BYTES = 160 * 1024 * 1024
    """Of labels, before it begins anew: 300 bytes for each of so many series."""

    def __init__(self) -> None:
        self.size_bytes = 0
        """Of all labels that it knows."""
        self.target = np.empty(_FIRST, np.int32)
        """Where each goes, in `targets`; -1 where it is refused."""
        self.column = np.empty(_FIRST, np.int32)
        self.epoch = np.empty(_FIRST, np.int32)
        """The target's epoch that `column` holds in."""
        self.factor = np.empty(_FIRST)
        self.parts: list[tuple[Part, ...]] = []
        self.refusals: dict[int, InputError] = {}
        self.targets: list[Target] = []
        self._numbers = _Numbers()
        self._by_name: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def is_full(self) -> bool:
        """Whether its labels are as much as it may remember."""
        return self.size_bytes >= self.MOST_BYTES

    def numbers(self, heads: Sequence[bytes]) -> NDArray[np.intp]:
        """The number of each series, -1 where it is not known."""
        return np.fromiter(map(self._numbers.__getitem__, heads), np.intp, len(heads))

    def number(self, head: bytes, labels: Sequence[tuple[str, str]]) -> int:
        """The number of a series, which may be new."""
        number = self._numbers[head]
        if number >= 0:
            return number
        self.size_bytes += len(head)
        try:
            found = place(labels)
        except InputError as error:
            number = self._numbers[head] = self._new()
            self.refusals[number] = error.with_traceback(None)
            return number
        number = self._numbers[head] = self._new()
        where = self._by_name.setdefault((found.host, found.source), len(self.targets))
        if where == len(self.targets):
            self.targets.append(Target(found.host, found.source))
        self.target[number] = where
        self.parts[number] = found.parts
        self._settle(number, self.targets[where])
        return number

    def _new(self) -> int:
        number = len(self.parts)
        if number == len(self.target):
            for name in ("target", "column", "epoch", "factor"):
                kept = getattr(self, name)
                setattr(self, name, np.concatenate([kept, np.empty_like(kept)]))
        self.target[number], self.column[number], self.epoch[number] = -1, _APART, -1
        self.factor[number] = 1.0
        self.parts.append(())
        return number

    def _settle(self, number: int, target: Target) -> None:
        """Whether it goes straight to a column; what shares a KEY with another does not."""
        parts = self.parts[number]
        for part in parts:
            first = target.firsts.setdefault(part.key, number)
            if first != number:
                target.apart.update((first, number))
                self.epoch[first] = -1
        if len(parts) != 1 or parts[0].shape is not Shape.AS_IS:
            target.apart.add(number)
        else:
            self.factor[number] = parts[0].factor


@dataclass(slots=True)
class Target:
    """A lane that samples go to."""

    host: str
    source: str
    error: MonitorError | None = None
    """Why nothing of it was taken, when last asked."""
    firsts: dict[str, int] = field(default_factory=dict)
    """Of each KEY the first series that goes there."""
    apart: set[int] = field(default_factory=set)
    epoch: int = 0
    """Rises when columns mean something else than before."""
    _lane: Lane | None = None
    _generation: int = -1
    _sums: Sums = field(default_factory=Sums)

    def open(self, lanes: Lanes, now: float) -> Lane:
        """Its lane now; raises as `Lanes.of`."""
        lane = lanes.of(self.host, self.source)
        lane.look(now)
        if lane is not self._lane or lane.generation != self._generation:
            self._lane, self._generation = lane, lane.generation
            self.epoch += 1
        return lane

    def frame(
        self, lane: Lane, at: float, group: Group, now: float, refuse: Refuse
    ) -> tuple[Frame | None, Taken]:
        """The frame of samples of one instant, and how many were taken; the lane is `open`'s."""
        table, numbers, values = group
        if (table.epoch[numbers] != self.epoch).any():
            missing = self._resolve(lane, table, numbers, refuse)
            if missing.any():
                numbers, values = numbers[~missing], values[~missing]
        count = len(numbers)
        columns = table.column[numbers].astype(np.intp)
        straight = columns != _APART
        extra: dict[str, float] = {}
        hidden: dict[str, float] = {}
        if not straight.all():
            extra, hidden = self._summed(table, at, numbers[~straight], values[~straight])
            numbers, values, columns = numbers[straight], values[straight], columns[straight]
        factors = table.factor[numbers]
        if (factors != 1).any():
            # What is not multiplied keeps its bits: they tell one NaN from another.
            plain = (factors == 1) | (values.view(np.uint64) == ENDED_BITS)
            values = np.where(plain, values, values * np.where(plain, 1.0, factors))
        duplicates = 0
        if len(columns) > 1 and (duplicates := len(columns) - _different(columns)):
            columns, values = columns[::-1], values[::-1]  # the first one is written last
        if extra:
            columns, values = _joined(lane, columns, values, extra, refuse)
        if not len(columns) and not hidden:
            return None, Taken(count, duplicates)
        return lane.whole(at, columns, values, now, hidden), Taken(count, duplicates)

    def _resolve(
        self, lane: Lane, table: Table, numbers: NDArray[np.intp], refuse: Refuse
    ) -> NDArray[np.bool_]:
        """Find the columns of those series whose are not known; which ones have none."""
        missing = np.zeros(len(numbers), np.bool_)
        for row in np.flatnonzero(table.epoch[numbers] != self.epoch).tolist():
            number = int(numbers[row])
            column = _APART
            if number not in self.apart:
                try:
                    column = lane.column(table.parts[number][0].key)
                except MonitorError as error:
                    refuse(error, 1)
                    missing[row] = True
                    continue
            table.column[number], table.epoch[number] = column, self.epoch
        return missing

    def _summed(
        self,
        table: Table,
        at: float,
        numbers: NDArray[np.intp],
        values: NDArray[np.float64],
    ) -> tuple[dict[str, float], dict[str, float]]:
        """KEYs to store, and those that are only derived from."""
        shapes: dict[str, Shape] = {}
        parts: list[tuple[str, str, float]] = []
        for number, value in zip(numbers.tolist(), values.tolist(), strict=True):
            for part in table.parts[number]:
                shapes[part.key] = part.shape
                parts.append((part.key, str(number), value * part.factor))
        stored: dict[str, float] = {}
        hidden: dict[str, float] = {}
        for text, value in self._sums.add(at, parts).items():
            match shapes[text]:
                case Shape.HIDDEN:
                    hidden[text] = value
                case Shape.FLAG:
                    stored[text] = float(value > 0)
                case Shape.POSITIVE:
                    stored[text] = value if value > 0 else math.nan
                case Shape.AS_IS:
                    stored[text] = value
        return stored, hidden


def _joined(
    lane: Lane,
    columns: NDArray[np.intp],
    values: NDArray[np.float64],
    extra: dict[str, float],
    refuse: Refuse,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """With the columns of some KEYs more, as far as there is room for them."""
    more: dict[int, float] = {}
    for text, value in extra.items():
        try:
            more[lane.column(text)] = value
        except MonitorError as error:
            refuse(error, 1)
    return (
        np.concatenate([columns, np.fromiter(more, np.intp, len(more))]),
        np.concatenate([values, np.fromiter(more.values(), np.float64, len(more))]),
    )


def _different(columns: NDArray[np.intp]) -> int:
    """How many columns these are, each counted once."""
    return int(np.count_nonzero(np.bincount(columns)))
