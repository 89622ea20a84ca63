"""What the store knows of its hosts while it runs: their open heads, and how far each has come.

All of it belongs to the event loop: nothing here is changed by another thread, and what a
reader is given are views of rows that do not change any more.  It knows no file.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monitor.core.rollups import EARLY_SECONDS, TIERS
from monitor.core.series import Floats

LEVELS = 1 + len(TIERS)
"""Rows, and the tiers above them."""

FIRST_ROWS = 32
"""Room in a new head; it doubles as it fills."""

HOUR_SECONDS = 3_600.0
"""What windows and late stretches are whole multiples of."""

WINDOWS = ((60.0, 24 * HOUR_SECONDS), (10.0, 6 * HOUR_SECONDS), (0.0, HOUR_SECONDS))
"""By the seconds between a host's frames, how much of it is compacted together: 1,440 to 3,600
rows, which is where longer chunks stop being smaller ones."""

SPACING_SHARE = 0.9
"""A host that is a little early still has the spacing that it means to have."""

FEW_ROWS = 8
"""Fewer rows do not tell how often their host sends."""

MOST_SPACING_ROWS = 65
"""More need not be looked at to tell."""


def hour_of(at: float) -> float:
    """The hour that a row belongs to, by where it begins."""
    return (at + EARLY_SECONDS) // HOUR_SECONDS * HOUR_SECONDS


class Head:
    """Rows of one host and schema that stand in no chunk yet, in the order in which they came.

    It only grows: a row is written before it is counted, and a growing head takes new arrays,
    so a view of it stays what it was.
    """

    __slots__ = ("_at", "_came", "_values", "rows")

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self._at = np.empty(FIRST_ROWS)
        self._came = np.empty(FIRST_ROWS, np.int64)
        self._values = np.empty((FIRST_ROWS, columns))

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        return self._at.nbytes + self._came.nbytes + self._values.nbytes

    @property
    def last(self) -> float:
        """The instant of the row that came last."""
        return float(self._at[self.rows - 1]) if self.rows else -math.inf

    def add(self, at: float, values: Sequence[float] | Floats, came: int) -> None:
        """Add a row; `came` tells which of the host's rows came before which."""
        rows = self.rows
        if rows == len(self._at):
            self._at = np.concatenate([self._at, np.empty(rows)])
            self._came = np.concatenate([self._came, np.empty(rows, np.int64)])
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._at[rows] = at
        self._came[rows] = came
        self._values[rows] = values
        self.rows = rows + 1

    def has(self, at: float, values: Sequence[float] | Floats) -> bool:
        """Whether the very same row is here already: a sender's second try."""
        same = np.flatnonzero(self._at[: self.rows] == at)
        # By their bits: one NaN says that nothing came, another that a series has ended.
        given = np.asarray(values, np.float64).view(np.uint64)
        return any(np.array_equal(self._values[row].view(np.uint64), given) for row in same)

    def view(self) -> tuple[Floats, Floats]:
        """Instants and values of the rows there are now."""
        return self._at[: self.rows], self._values[: self.rows]

    @property
    def came(self) -> NDArray[np.int64]:
        """When each row came, by the host's count."""
        return self._came[: self.rows]

    def drop(self, rows: int) -> None:
        """Let go of the first rows, which stand in a chunk now."""
        kept = self.rows - rows
        room = max(FIRST_ROWS, kept)
        at, values = np.empty(room), np.empty((room, self._values.shape[1]))
        came = np.empty(room, np.int64)
        at[:kept] = self._at[rows : self.rows]
        came[:kept] = self._came[rows : self.rows]
        values[:kept] = self._values[rows : self.rows]
        self._at, self._came, self._values, self.rows = at, came, values, kept


HeadView = tuple[int, Floats, Floats]
"""Schema, instants and values of some rows."""


def in_order(heads: Sequence[tuple[int, Head]]) -> tuple[HeadView, ...]:
    """The rows of these heads, so that of two of one instant the first to come stands first.

    Within a head they stand so anyway; rows that share an instant across heads are parted.
    """
    whole = tuple((schema, *head.view()) for schema, head in heads)
    if len(whole) < 2:
        return whole
    instants, times = np.unique(np.concatenate([at for _, at, _ in whole]), return_counts=True)
    shared = instants[times > 1]
    if not len(shared):
        return whole
    pieces: list[HeadView] = []
    single: list[tuple[int, HeadView]] = []
    for schema, head in heads:
        at, values = head.view()
        parted = np.isin(at, shared)
        if not parted.all():
            pieces.append((schema, at[~parted], values[~parted]))
        single += [
            (int(head.came[row]), (schema, at[row : row + 1], values[row : row + 1]))
            for row in np.flatnonzero(parted)
        ]
    single.sort(key=lambda piece: piece[0])
    return (*pieces, *(piece for _, piece in single))


@dataclass(frozen=True, slots=True)
class Lost:
    """A chunk that was not what was written: what it was, its stretch, and why."""

    level: int
    keep: int
    first: float
    last: float
    reason: str


@dataclass(frozen=True, slots=True)
class HostView:
    """A host at one moment, for who reads beside the event loop.

    Its instants are of rows: one that is `EARLY_SECONDS` before an hour belongs to that hour.
    Rows from `compacted_to` on stand in open chunks and heads, and before it in closed chunks
    and tier 1, save for the stretches `late`; tiers 2 to 4 go up to `rolled_to`.
    """

    id: int
    name: str
    compacted_to: float
    rolled_to: float
    floors: tuple[float, ...]
    """By what is kept how long, the instant it begins with; infinite where there is nothing."""
    spacing: float
    window: float
    """How many seconds of it are compacted together."""
    late: tuple[tuple[float, float], ...]
    lost: tuple[Lost, ...]
    heads: tuple[HeadView, ...]
    """Schema, instants and values of pieces of the heads: of two rows of one instant, that which
    came first stands first."""


@dataclass(slots=True)
class Host:
    """A host of the store, and what of it is in memory."""

    id: int
    name: str
    sealed: int = 0
    """The journal's row up to which nothing of this host is needed any more."""
    compacted_to: float = 0.0
    rolled_to: float = -1.0
    """Whole hours, up to which it is compacted, 0 where it is not; and blocks, up to which it is
    rolled up, -1 where it is not."""
    saved: bool = False
    """Whether its row is in the file."""
    floors: list[float] = field(default_factory=lambda: [math.inf] * LEVELS)
    spacing: float = 0.0
    """Seconds between its frames, usually; 0 where unknown."""
    newest: float = -math.inf
    open_from: float = math.inf
    """The first instant at or after `compacted_to` that is in no closed chunk."""
    late: set[float] = field(default_factory=set)
    """Hours before `compacted_to` that got rows since."""
    late_again: set[float] = field(default_factory=set)
    """Those among them that got more while they are being compacted."""
    late_rows: int = 0
    """How many rows came late, ever: it tells whether more are coming."""
    lost: list[Lost] = field(default_factory=list)
    heads: dict[int, Head] = field(default_factory=dict)
    schemas: set[int] = field(default_factory=set)
    keys: tuple[str, ...] | None = None
    """Every KEY it has, sorted; none where that must be looked up again."""
    journal_from: int = 0
    """The first journal row that is still needed for it; 0 where none is."""
    grown_at: float = 0.0
    """When rows of it came last, by this machine's monotonic seconds; 0 where none has yet."""
    came: int = 0
    """How many rows came, ever."""
    tables_at: dict[str, float] = field(default_factory=dict)
    """By kind, the instant of the newest table that was kept."""

    @property
    def crc(self) -> int:
        """Of what its row says."""
        said = f"{self.id} {self.name} {self.sealed} {self.compacted_to!r} {self.rolled_to!r}"
        said += f" {self.spacing!r}"
        return zlib.crc32(said.encode("utf-8", "surrogatepass"))

    @property
    def rows(self) -> int:
        """How many are in its heads: many schemas must not keep each of them small for ever."""
        return sum(head.rows for head in self.heads.values())

    @property
    def size_bytes(self) -> int:
        """What its heads hold in memory."""
        return sum(head.size_bytes for head in self.heads.values())

    @property
    def window(self) -> float:
        """How many seconds of it are compacted together."""
        return next(length for least, length in WINDOWS if self.spacing >= least * SPACING_SHARE)

    def add(self, schema: int, at: float, values: Sequence[float] | Floats, row: int) -> None:
        """A row that the journal has in `row`."""
        head = self.heads.get(schema)
        if head is None:
            head = self.heads[schema] = Head(len(values))
        elif at <= head.last and head.has(at, values):
            return
        self.came += 1
        head.add(at, values, self.came)
        if not self.journal_from:
            self.journal_from = row
        self.newest = max(self.newest, at)
        self.noted(at, at)
        if head.rows == FEW_ROWS and not self.spacing:
            self.measure(head.view()[0])

    @property
    def edge(self) -> float:
        """The instant from which on rows are not compacted yet."""
        return self.compacted_to - EARLY_SECONDS if self.compacted_to else -math.inf

    def noted(self, first: float, last: float) -> None:
        """There are rows from `first` to `last` that are in no closed chunk."""
        edge = self.edge
        if last >= edge:
            self.open_from = min(self.open_from, max(first, edge))
            self.floors[0] = min(self.floors[0], self.open_from)
        if first < edge:
            self.late_rows += 1
            hour = hour_of(first)
            while hour < self.compacted_to and hour - EARLY_SECONDS <= last:
                self.late.add(hour)
                self.late_again.add(hour)
                hour += HOUR_SECONDS

    def measure(self, at: Floats) -> None:
        """Learn how far apart its rows are, from some that ascend."""
        if len(at) >= FEW_ROWS:
            apart = np.diff(at[-MOST_SPACING_ROWS:])
            self.spacing = max(0.0, float(np.median(apart)))

    def view(self) -> HostView:
        """This host now, for who reads beside the event loop."""
        return HostView(
            self.id,
            self.name,
            self.edge,
            self.rolled_to - EARLY_SECONDS,
            tuple(self.floors),
            self.spacing,
            self.window,
            tuple(
                (hour - EARLY_SECONDS, hour + HOUR_SECONDS - EARLY_SECONDS)
                for hour in sorted(self.late)
            ),
            tuple(self.lost),
            in_order([(schema, head) for schema, head in self.heads.items() if head.rows]),
        )
