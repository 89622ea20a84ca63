"""The series store in memory: bounded, forgetful, and what a first start runs on.

Frames are kept in blocks, one block a host, schema and stretch of time; the oldest blocks go
when the store is full.  It knows no file and no clock: the newest frame is its "now".
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

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
from monitor.ports import Buckets, SeriesBuckets

MOST_BYTES = 24 * 1024 * 1024
"""All blocks together; 370 series at 1 s last more than two hours."""

LONGEST_SECONDS = 3_600.0
"""Nothing older is kept, however little there is."""

BLOCK_ROWS = 128
"""Frames in one block: about two minutes at 1 s."""

FEW_ROWS = 8
"""Fewer frames do not tell how often their host sends."""

MOST_SNAPSHOTS = 120
"""Tables kept of each host and kind."""


def lasts(series: int, interval_seconds: float) -> float:
    """How many seconds of history this store keeps of so many series at such an interval."""
    row_bytes = 8 * (max(series, 1) + 1)
    return min(LONGEST_SECONDS, MOST_BYTES / row_bytes * interval_seconds)


class _Block:
    """Up to `BLOCK_ROWS` frames of one host and schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows = 0
        self._at = np.empty(BLOCK_ROWS)
        self._values = np.empty((BLOCK_ROWS, len(schema)))
        self.size_bytes = self._at.nbytes + self._values.nbytes

    @property
    def at(self) -> Floats:
        return self._at[: self.rows]

    def column(self, column: int) -> Floats:
        return self._values[: self.rows, column]

    def add(self, frame: Frame) -> None:
        self._at[self.rows] = frame.at
        self._values[self.rows] = frame.values
        self.rows += 1


def _cut(
    blocks: Sequence[_Block],
    host: str,
    keys: Sequence[str],
    start: float,
    end: float,
    points: int,
    raw: bool,
) -> Buckets:
    """A range of these blocks, in buckets."""
    first, step, count = bucket_plan(start, end, points, _resolution(blocks))
    series = []
    for key in keys:
        counter = not raw and is_counter(SeriesKey.parse(key).name)
        at, values = _series(blocks, key, start - LOOKBACK_SECONDS * counter, end)
        if counter:
            values = rates(at, values)
        inside = at >= start
        cut = bucketed(at[inside], values[inside], first, step, count)
        series.append(SeriesBuckets(host, key, *cut))
    starts = (first + np.arange(count)) * np.float64(step)
    return Buckets(starts, step, tuple(series))


def _resolution(blocks: Sequence[_Block]) -> float:
    """The usual time between two frames in seconds, less what it jitters; 0 where unknown."""
    at = blocks[-1].at if blocks else np.empty(0)
    if len(at) < FEW_ROWS and len(blocks) > 1:
        at = blocks[-2].at
    return float(np.median(np.diff(at))) * (1 - EARLY_SHARE) if len(at) >= FEW_ROWS else 0.0


def _series(blocks: Sequence[_Block], key: str, start: float, end: float) -> tuple[Floats, Floats]:
    """Every observation of a series in [start, end)."""
    instants, values = [], []
    for block in blocks:
        column = block.schema.index.get(key)
        at = block.at
        if column is None or not len(at) or at[-1] < start or at[0] >= end:
            continue
        inside = (at >= start) & (at < end)
        found = block.column(column)[: len(at)][inside]
        seen = ~np.isnan(found)
        instants.append(at[inside][seen])
        values.append(found[seen])
    if not instants:
        return np.empty(0), np.empty(0)
    return np.concatenate(instants), np.concatenate(values)


class MemoryStore:
    """A `monitor.ports.SeriesStore` that forgets when the program ends."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._blocks: dict[str, deque[_Block]] = {}
        self._snapshots: dict[tuple[str, str], deque[Snapshot]] = {}

    async def append(self, frames: Sequence[Frame]) -> None:
        """Keep these frames; one that is not newer than its host's last is left out."""
        for frame in frames:
            blocks = self._blocks.setdefault(frame.host, deque())
            newest = blocks[-1] if blocks else None
            if newest is not None and newest.rows and frame.at <= newest.at[-1]:
                continue
            if newest is None or newest.schema is not frame.schema or newest.rows == BLOCK_ROWS:
                newest = _Block(frame.schema)
                blocks.append(newest)
                self._bytes += newest.size_bytes
            newest.add(frame)
            self._forget(frame.host, frame.at - LONGEST_SECONDS)

    def _forget(self, host: str, before: float) -> None:
        blocks = self._blocks[host]
        while len(blocks) > 1 and blocks[0].at[-1] < before:
            self._bytes -= blocks.popleft().size_bytes
        while self._bytes > self._most_bytes:
            full = [blocks for blocks in self._blocks.values() if len(blocks) > 1]
            if not full:
                break
            oldest = min(full, key=lambda blocks: float(blocks[0].at[-1]))
            self._bytes -= oldest.popleft().size_bytes

    async def range(
        self,
        host: str,
        keys: Sequence[str],
        start: float,
        end: float,
        points: int,
        raw: bool = False,
    ) -> Buckets:
        """At most `points` buckets over [start, end): see `monitor.ports.SeriesStore`.

        Blocks only grow, so a worker thread reads them while frames are appended.
        """
        blocks = tuple(self._blocks.get(host, ()))
        return await asyncio.to_thread(_cut, blocks, host, tuple(keys), start, end, points, raw)

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """Keep this table; the oldest of its kind goes when there are too many."""
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
        blocks = self._blocks.get(host, ())
        return tuple(sorted({text for block in blocks for text in block.schema.texts}))

    async def close(self) -> None:
        """Nothing is held."""
