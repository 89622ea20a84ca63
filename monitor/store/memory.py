"""The series store in memory: bounded, forgetful, and what a first start runs on.

Frames are kept in blocks, one block a host, schema and stretch of time; the oldest blocks go
when the store is full.  It knows no file and no clock: the newest frame is its "now".
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from monitor.core.catalog import is_counter
from monitor.core.series import (
    EARLY_SHARE,
    LOOKBACK_SECONDS,
    Floats,
    bucket_plan,
    bucketed,
    rates,
)
from monitor.model import Frame, Schema, SeriesKey, Snapshot
from monitor.ports import Buckets, SeriesBuckets, StoreWarning

MOST_BYTES = 24 * 1024 * 1024
"""All blocks together; 370 series at 1 s last more than two hours."""

LONGEST_SECONDS = 3_600.0
"""Nothing older is kept, however little there is."""

BLOCK_ROWS = 128
"""Frames in one block: about two minutes at 1 s."""

OPEN_BLOCKS = 2
"""Blocks of a host that frames may still be added to."""

FEW_ROWS = 8
"""Fewer frames do not tell how often their host sends."""

MOST_SNAPSHOTS = 120
"""Tables kept of each host and kind."""


def lasts(series: int, interval_seconds: float) -> float:
    """How many seconds of history this store keeps of so many series at such an interval."""
    row_bytes = 8 * (max(series, 1) + 1)
    return min(LONGEST_SECONDS, MOST_BYTES / row_bytes * interval_seconds)


class _Block:
    """Up to `BLOCK_ROWS` frames of one host and schema, their instants ascending.

    It only grows: rows are written before they are counted, so that a worker thread reads it
    while frames are added.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows = 0
        self._at = np.empty(BLOCK_ROWS)
        self._values = np.empty((BLOCK_ROWS, len(schema)))

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        return self._at.nbytes + self._values.nbytes

    @property
    def at(self) -> Floats:
        """The instants of its frames."""
        return self._at[: self.rows]

    def column(self, column: int, rows: int) -> Floats:
        """The first `rows` values of a column."""
        return self._values[:rows, column]

    def takes(self, frame: Frame) -> bool:
        """Whether a frame can be added to it."""
        room = self.rows < len(self._at) and frame.schema is self.schema
        return room and (not self.rows or frame.at > self._at[self.rows - 1])

    def add(self, frame: Frame) -> None:
        """Add a frame that it takes."""
        self._at[self.rows] = frame.at
        self._values[self.rows] = frame.values
        self.rows += 1

    def finish(self) -> None:
        """Give back the room that no frame has filled."""
        self._at, self._values = self._at[: self.rows].copy(), self._values[: self.rows].copy()


def _cut(
    blocks: Mapping[str, Sequence[_Block]],
    wanted: Sequence[tuple[str, str]],
    start: float,
    end: float,
    points: int,
    raw: bool,
) -> Buckets:
    """A range of these hosts' blocks, in buckets that all series share."""
    least = max(map(_resolution, blocks.values()), default=0.0)
    first, step, count = bucket_plan(start, end, points, least)
    series = []
    for host, key in wanted:
        counter = not raw and is_counter(SeriesKey.parse(key).name)
        at, values = _series(blocks[host], key, start - LOOKBACK_SECONDS * counter, end)
        if counter:
            values = rates(at, values)
        inside = at >= start
        cut = bucketed(at[inside], values[inside], first, step, count)
        series.append(SeriesBuckets(host, key, *cut))
    starts = (first + np.arange(count)) * np.float64(step)
    return Buckets(starts, step, tuple(series))


def _resolution(blocks: Sequence[_Block]) -> float:
    """The usual time between two frames in seconds, less what it jitters; 0 where unknown."""
    for block in blocks[:-3:-1]:
        at = block.at
        if len(at) >= FEW_ROWS:
            return float(np.median(np.diff(at))) * (1 - EARLY_SHARE)
    return 0.0


def _series(blocks: Sequence[_Block], key: str, start: float, end: float) -> tuple[Floats, Floats]:
    """Every observation of a series in [start, end), one an instant, ascending."""
    instants, values = [], []
    for block in blocks:
        column = block.schema.index.get(key)
        at = block.at
        if column is None or not len(at) or at[-1] < start or at[0] >= end:
            continue
        found = block.column(column, len(at))
        if at[0] < start or at[-1] >= end:
            inside = (at >= start) & (at < end)
            at, found = at[inside], found[inside]
        instants.append(at)
        values.append(found)
    if not instants:
        return np.empty(0), np.empty(0)
    found_at, found_values = np.concatenate(instants), np.concatenate(values)
    seen = ~np.isnan(found_values)
    found_at, found_values = found_at[seen], found_values[seen]
    if (np.diff(found_at) <= 0).any():  # something came late
        found_at, first = np.unique(found_at, return_index=True)
        found_values = found_values[first]
    return found_at, found_values


class MemoryStore:
    """A `monitor.ports.SeriesStore` that forgets when the program ends."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._blocks: dict[str, deque[_Block]] = {}
        self._snapshots: dict[tuple[str, str], deque[Snapshot]] = {}

    async def append(self, frames: Sequence[Frame], snapshots: Sequence[Snapshot] = ()) -> None:
        """Keep these frames and tables, in whatever order they come."""
        for frame in frames:
            blocks = self._blocks.setdefault(frame.host, deque())
            self._block_for(blocks, frame).add(frame)
            self._forget(blocks, frame.at - LONGEST_SECONDS)
        for snapshot in snapshots:
            self._put(snapshot)

    def _block_for(self, blocks: deque[_Block], frame: Frame) -> _Block:
        # What comes late has a block of its own beside the one that what comes in time goes on in.
        for block in islice(reversed(blocks), OPEN_BLOCKS):
            if block.takes(frame):
                return block
        if len(blocks) >= OPEN_BLOCKS:
            closing = blocks[-OPEN_BLOCKS]
            self._bytes -= closing.size_bytes
            closing.finish()
            self._bytes += closing.size_bytes
        block = _Block(frame.schema)
        blocks.append(block)
        self._bytes += block.size_bytes
        return block

    def _forget(self, blocks: deque[_Block], before: float) -> None:
        while len(blocks) > OPEN_BLOCKS and blocks[0].at[-1] < before:
            self._bytes -= blocks.popleft().size_bytes
        while self._bytes > self._most_bytes:
            full = [each for each in self._blocks.values() if len(each) > OPEN_BLOCKS]
            if not full:
                break
            oldest = min(full, key=lambda each: float(each[0].at[-1]))
            self._bytes -= oldest.popleft().size_bytes

    async def range(
        self,
        series: Sequence[tuple[str, str]],
        start: float,
        end: float,
        points: int,
        raw: bool = False,
    ) -> Buckets:
        """At most `points` buckets over [start, end): see `monitor.ports.SeriesStore`."""
        blocks = {host: tuple(self._blocks.get(host, ())) for host, _ in series}
        return await asyncio.to_thread(_cut, blocks, tuple(series), start, end, points, raw)

    def _put(self, snapshot: Snapshot) -> None:
        kept = self._snapshots.setdefault(
            (snapshot.host, snapshot.kind), deque(maxlen=MOST_SNAPSHOTS)
        )
        if not kept or snapshot.at > kept[-1].at:
            kept.append(snapshot)

    async def snapshot_at(self, host: str, kind: str, at: float) -> Snapshot | None:
        """The newest table of this kind not after `at`, or none."""
        kept = list(self._snapshots.get((host, kind), ()))
        index = bisect_right(kept, at, key=lambda snapshot: snapshot.at)
        return kept[index - 1] if index else None

    async def series(self, host: str) -> tuple[str, ...]:
        """Every KEY that this host has, sorted."""
        schemas = {id(block.schema): block.schema for block in self._blocks.get(host, ())}
        return tuple(sorted({text for schema in schemas.values() for text in schema.texts}))

    async def forget(self, host: str) -> None:
        """Erase a host: see `monitor.ports.SeriesStore`."""
        self._bytes -= sum(block.size_bytes for block in self._blocks.pop(host, ()))
        for place in [place for place in self._snapshots if place[0] == host]:
            del self._snapshots[place]

    async def trim(self, now: float) -> int:
        """Nothing goes then: it goes as frames come."""
        del now
        return 0

    def oldest_accepted(self, now: float) -> float:
        """Frames from before this instant would be let go of at once."""
        return now - LONGEST_SECONDS

    def warnings(self) -> tuple[StoreWarning, ...]:
        """There is nothing to say of it."""
        return ()

    async def close(self) -> None:
        """Nothing is held."""
