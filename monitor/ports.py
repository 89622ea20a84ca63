"""The shapes that can be swapped: stores, logs, registries, collectors.

Small enough that memory, SQLite, VictoriaMetrics and NATS can all implement them honestly;
each has one contract test that runs over every implementation.  What stands here is what
the program uses today; later issues widen a port together with all its implementations.

Not in the ports, on purpose: acknowledgement of single messages, redelivery, deduplication as
a guarantee, keys that expire by themselves, transactions across ports.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from monitor.model import Event, Frame, Reading, RetentionClass, Snapshot


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
    nothing was observed.  `source_seconds` is the resolution of what was read, 0 where every
    frame itself was; `losses` are the gaps that are no silence of a host.
    """

    starts: NDArray[np.float64]
    step_seconds: float
    series: tuple[SeriesBuckets, ...]
    source_seconds: float = 0.0
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesBuckets:
    """One series of a range: see `Buckets`."""

    host: str
    key: str
    minimum: NDArray[np.float64]
    average: NDArray[np.float64]
    maximum: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Loss:
    """A stretch of a host's history, [start, end), that the store had and cannot give."""

    host: str
    start: float
    end: float
    reason: str


@dataclass(frozen=True, slots=True)
class StoreWarning:
    """Something about a store that its operator should know, under a stable code."""

    code: str
    text: str


class SeriesStore(Protocol):
    """Frames in, ranges out.  A frame is identified by (host, at)."""

    async def append(self, frames: Sequence[Frame], snapshots: Sequence[Snapshot] = ()) -> None:
        """Keep these frames and tables, all or none, in whatever order they come.

        On return they are as durable as this store can make them.  A frame that is stored
        twice is stored once; a second one of the same instant adds the keys that the first
        lacked.  Raises `monitor.errors.Unavailable` where nothing was stored.
        """

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
        absent throughout.  It is read beside the event loop, and cancelling it ends the work.
        """

    async def snapshot_at(self, host: str, kind: str, at: float) -> Snapshot | None:
        """The newest table of this kind not after `at`, or none."""

    async def series(self, host: str) -> tuple[str, ...]:
        """Every KEY that this host has in the store, sorted."""

    async def forget(self, host: str) -> None:
        """Erase a host: every frame, table and KEY of it, as durably as this store can.

        A host that comes under its name afterwards begins anew.  What is on its way in while
        this is done may be erased or be the new one's first.  A host that is not there is none
        on return either.  Raises `monitor.errors.Unavailable` where it could not be done.
        """

    async def trim(self, now: float) -> int:
        """Let go of what has been kept long enough at `now`, gently; how many bytes went."""

    def oldest_accepted(self, now: float) -> float:
        """Frames from before this instant would be let go of at once."""

    def warnings(self) -> tuple[StoreWarning, ...]:
        """What its operator should know of it now; empty where all is well."""

    async def close(self) -> None:
        """Give back what is held; appends that were begun are finished."""


MOST_EVENTS_AT_ONCE = 1_000
"""Events in one append."""

LONGEST_VALUE_BYTES = 256 * 1024
"""One value of the registry."""


class Conflict(Exception):
    """Somebody else was there before: `last` is where they are.

    Of a scoped append it is the scope's last position, of the registry the key's revision,
    0 where there is none.
    """

    def __init__(self, last: int) -> None:
        super().__init__(f"somebody else was there before, at {last}")
        self.last = last


class Gap(Exception):
    """A position cannot be resumed from: `floor` is the lowest that can."""

    def __init__(self, floor: int) -> None:
        super().__init__(f"the log begins after position {floor}")
        self.floor = floor


class Unknown(Exception):
    """Perhaps it was stored and perhaps not: look before trying again."""


class EventLog(Protocol):
    """One durable, ordered log.  Positions are ascending integers from 1.

    Every event belongs to one retention class (`monitor.model.retention_class`), and each
    class has a floor: the highest position that may be missing because it was trimmed.
    """

    @property
    def epoch(self) -> str:
        """16 hex digits that change whenever positions could be used again."""

    async def append(
        self, events: Sequence[Event], scope: str | None = None, expect: int | None = None
    ) -> int:
        """Append 1 to 1,000 events, all or none, contiguous; the last one's position.

        They are durable on return.  With `scope` and `expect` it raises `Conflict` unless the
        scope's last position is `expect`; `Unknown` where it cannot be told whether they were
        stored; `InputError` where one cannot be encoded or is larger than 256 KiB.
        """

    async def read(
        self, after: int, of: frozenset[str] | RetentionClass | None, limit: int
    ) -> tuple[list[Event], int, int]:
        """Events after a position, ascending: on any of these topics, of a class, or all.

        Returns them with the position searched up to and the floor of what was asked for.
        Raises `Gap` where `after` is below that floor or beyond the last position.  A class
        has its own floor alone: what of it was erased with a topic is not missed.
        """

    async def last(self, scope: str | None = None) -> int:
        """The last position by the authority's word, of all or of one scope; 0 if none."""

    def tail(self, after: int) -> AsyncIterator[Sequence[Event]]:
        """All events after a position, then more as they are appended; no hole, no repeat.

        Whoever appended them: another process's come within 500 ms.  One tail a process.
        Raises `Gap` where the position is not in the log; ends when the log is closed.
        """

    async def trim(
        self, class_: RetentionClass, before: float, max_bytes: int | None = None
    ) -> int:
        """Let go of a class's oldest events: those from before an instant, and above a size.

        What goes is always the oldest part of the class.  Its floor is raised before anything
        is removed, and nothing after the oldest checkpoint's position goes.  Returns how many
        went.
        """

    async def erase(self, topic: str) -> int:
        """Remove every event on a topic, raising the floor of each topic that it stood on.

        Returns how many went.
        """

    async def close(self) -> None:
        """End the tails and give back what is held; appends that were begun are finished."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of the registry: its value, and the revision at which it got it."""

    key: str
    value: bytes
    revision: int


class Synced(enum.Enum):
    """Said once by `Registry.watch`, after the values that were there when it began."""

    SYNCED = "synced"


@dataclass(frozen=True, slots=True)
class Deleted:
    """Said by `Registry.watch`: a key is gone."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a consumer stands: its state, and its positions by the name of what they are in.

    ``positions["log"]`` is one in the event log; trimming stops there.  `revision` is what the
    next save must name, 0 where there was no checkpoint.
    """

    state: bytes
    positions: Mapping[str, int]
    revision: int


class Registry(Protocol):
    """Keys and values with compare-and-set.

    Revisions ascend over the whole registry and are never used again.  Values are at most
    256 KiB (`InputError`).  What another process writes is seen within 500 ms.
    """

    async def get(self, key: str) -> Entry | None:
        """The newest value of a key, or none."""

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins so, sorted."""

    async def create(self, key: str, value: bytes) -> int:
        """Set a key that is not there; its revision.  Raises `Conflict` where it is."""

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Set a key that is still at this revision; the new one.  Raises `Conflict`."""

    async def put(self, key: str, value: bytes) -> int:
        """Set a key, whatever it was; its revision.  Never for decisions."""

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Remove a key; with a revision only if it is still there at it, else `Conflict`."""

    def watch(self, prefix: str) -> AsyncIterator[Entry | Synced | Deleted]:
        """The values of every key that begins so, `Synced`, and then their changes.

        The newest value of a key always comes; steps between may be missed.  A value that must
        expire carries its own expiry.  Ends when the registry is closed.
        """

    async def lease(self, name: str, holder: str, ttl_seconds: float) -> bool:
        """Take or renew a lease; whether `holder` has it now.  A ttl of 0 gives it up.

        One holder by local monotonic time: who wants another's lease must have watched it go
        unrenewed for the other's ttl.  It saves work and protects nothing: a scoped append does.
        """

    async def checkpoint(self, name: str) -> Checkpoint:
        """A consumer's checkpoint; of revision 0, empty, where there is none."""

    async def save(
        self, name: str, state: bytes, positions: Mapping[str, int], revision: int
    ) -> int:
        """Write a checkpoint, state and positions together; its revision.

        Raises `Conflict` unless the one that it replaces is at `revision`.
        """

    async def close(self) -> None:
        """End the watches and give back what is held."""
