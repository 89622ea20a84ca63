"""The shapes that can be swapped: stores, logs, collectors.

Small enough that memory, SQLite, VictoriaMetrics and NATS can all implement them honestly;
each has one contract test that runs over every implementation.  What stands here is what
the program uses today; later issues widen a port together with all its implementations.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from monitor.model import Event, Frame, Reading, Snapshot


class Collector(Protocol):
    """One subject of this machine, read on demand.

    `collect` runs in a worker thread, may block, and is never called twice at once.  It
    raises `monitor.errors.Absent` where the machine has not got the subject; anything else
    it raises is a failure that costs only itself.
    """

    name: str
    interval_seconds: float
    """How often it is read, at most: 0 is every tick."""
    budget_seconds: float
    """How long one run may take before it is read less often."""

    def collect(self, now: float) -> Reading:
        """Read the subject.  `now` is unix seconds."""

    def close(self) -> None:
        """Give back descriptors."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """A range of one or more series, cut into equal buckets.

    `starts` are the buckets' first instants in unix seconds, ascending and `step_seconds`
    apart.  Each series has `minimum`, `average` and `maximum`, one value a bucket, NaN where
    nothing was observed.
    """

    starts: NDArray[np.float64]
    step_seconds: float
    series: tuple[SeriesBuckets, ...]


@dataclass(frozen=True, slots=True)
class SeriesBuckets:
    """One series of a range: see `Buckets`."""

    host: str
    key: str
    minimum: NDArray[np.float64]
    average: NDArray[np.float64]
    maximum: NDArray[np.float64]


class SeriesStore(Protocol):
    """Frames in, ranges out.  A frame is identified by (host, at)."""

    async def append(self, frames: Sequence[Frame]) -> None:
        """Keep these frames.  On return they are as durable as this store can make them."""

    async def range(
        self,
        series: Sequence[tuple[str, str]],
        start: float,
        end: float,
        points: int,
        raw: bool = False,
    ) -> Buckets:
        """At most `points` buckets over [start, end) of these series: pairs of host and KEY.

        Counters come as rates per second unless `raw`.  A KEY that a host never had comes as
        absent throughout.
        """

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """Keep this table."""

    async def snapshot_at(self, host: str, kind: str, at: float) -> Snapshot | None:
        """The newest table of this kind not after `at`, or none."""

    async def series(self, host: str) -> tuple[str, ...]:
        """Every KEY that this host has in the store, sorted."""

    async def close(self) -> None:
        """Give back what is held."""


class Conflict(Exception):
    """A scoped append found that somebody else had appended: `last` is where they are."""

    def __init__(self, last: int) -> None:
        super().__init__(f"the scope's last position is {last}")
        self.last = last


class Gap(Exception):
    """A position cannot be resumed from: `floor` is the lowest that can."""

    def __init__(self, floor: int) -> None:
        super().__init__(f"the log begins after position {floor}")
        self.floor = floor


class EventLog(Protocol):
    """One durable, ordered log.  Positions are ascending integers from 1."""

    @property
    def epoch(self) -> str:
        """16 hex digits that change whenever positions could be used again."""

    async def append(
        self, events: Sequence[Event], scope: str | None = None, expect: int | None = None
    ) -> int:
        """Append 1–1,000 events, all or none, contiguous; the last one's position.

        With `scope` and `expect` it raises `Conflict` unless the scope's last position is
        `expect`.
        """

    async def read(
        self, after: int, topics: frozenset[str] | None, limit: int
    ) -> tuple[list[Event], int, int]:
        """Events after a position on any of `topics` (all, where none is given), ascending.

        Returns them with the position searched up to and the floor.  Raises `Gap` where
        `after` is below the floor or beyond the last.
        """

    async def last(self, scope: str | None = None) -> int:
        """The last position, of all or of one scope; 0 where there is none."""

    def tail(self, after: int) -> AsyncIterator[Event]:
        """Every event after a position, then each as it is appended; no hole, no repeat."""

    async def close(self) -> None:
        """End the tails."""
