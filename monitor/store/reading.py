"""Reading ranges: which tier answers, and its buckets.  It runs beside the event loop.

A range is read from the coarsest tier whose step divides the buckets'; what no tier has yet,
or not any more rightly, is read from rows: the newest hours, and hours that frames came to
late.  A chunk that is not what was written is read around, from the next finer level, and what
then is missing is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import apsw
import numpy as np
from numpy.typing import NDArray

from monitor.core.rollups import EARLY_SECONDS, TIERS, Rollup, counts, cut, observed
from monitor.core.series import EARLY_SHARE, LOOKBACK_SECONDS, bucket_plan
from monitor.ports import Buckets, Loss, SeriesBuckets
from monitor.store import chunks
from monitor.store.chunks import Cache, StoredChunk
from monitor.store.codec import ChunkDamaged
from monitor.store.hosts import LEVELS, HostView
from monitor.store.merging import Piece, merged
from monitor.store.shapes import Shapes, counting

ROW_KEEPS = (0, 1, 2)
"""What rows may be kept as: nothing coarser than minutes stands in for a tier."""

SECONDS = (0.0, *(tier.seconds for tier in TIERS))
"""By level, how far apart its buckets are."""


ROUNDING = 1e-6
"""Of a bucket: what an instant of this century is rounded by is less."""


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


@dataclass(slots=True)
class Reader:
    """One reading over one unchanging view of the file.

    `damaged` collects the ids of chunks that are not what was written, with why.
    """

    connection: apsw.Connection
    shapes: Shapes
    is_cancelled: Callable[[], bool] = lambda: False
    damaged: dict[int, str] = field(default_factory=dict)
    cache: Cache = field(default_factory=Cache)
    with_last: bool = True
    """Whether the last values of buckets are wanted; most readings do without."""
    losses: list[Loss] = field(default_factory=list)

    def rows(
        self,
        view: HostView,
        keys: tuple[str, ...] | None,
        start: float,
        end: float,
        keeps: Sequence[int] = ROW_KEEPS,
    ) -> Piece:
        """Rows in [start, end) of these KEYs, or of all there are; one an instant."""
        closed: list[tuple[int, Piece]] = []
        opened: list[tuple[int, Piece]] = []
        # The floors do not tell which of these there are: the file may be ahead of the view.
        for chunk in chunks.select(self.connection, view.id, 0, keeps, start, end):
            piece = self._piece(view, chunk, keys)
            if piece is not None:
                (opened if chunk.open else closed).append((chunk.id, piece))
        # Of two rows of one instant that which was stored first stands.
        opened.sort(key=lambda found: found[0])
        pieces = [piece for _, piece in (*closed, *opened)]
        if 0 in keeps:
            pieces += self._heads(view, keys, start, end)
        whole = merged(pieces) if pieces else Piece(np.empty(0), keys or (), np.empty((0, 0)))
        begin, stop = np.searchsorted(whole.at, (start, end))
        return Piece(whole.at[begin:stop], whole.keys, whole.values[begin:stop])

    def _piece(
        self, view: HostView, chunk: StoredChunk, keys: tuple[str, ...] | None
    ) -> Piece | None:
        if self.is_cancelled():
            raise Cancelled
        try:
            shape = self.shapes.shape(self.connection, chunk.schema)
            if keys is None:
                found = chunk.opened(self.connection, self.cache)
                return Piece(found.at(), shape.keys, found.values(range(found.columns)))
            places, columns = _places(keys, shape.index)
            if not columns:
                chunk.require_whole()
                return None
            found = chunk.opened(self.connection, self.cache)
            if len(columns) == len(keys):
                return Piece(found.at(), keys, found.values(columns))
            values = np.full((found.rows, len(keys)), np.nan)
            values[:, places] = found.values(columns)
            return Piece(found.at(), keys, values)
        except ChunkDamaged as error:
            self.damaged[chunk.id] = str(error)
            self.losses.append(Loss(view.name, chunk.first, chunk.last, str(error)))
            return None

    def _heads(
        self, view: HostView, keys: tuple[str, ...] | None, start: float, end: float
    ) -> Iterator[Piece]:
        for schema, at, values in view.heads:
            if keys is not None and not ((at >= start) & (at < end)).any():
                continue
            shape = self.shapes.shape(self.connection, schema)
            if keys is None:
                yield Piece(at, shape.keys, values)
                continue
            places, columns = _places(keys, shape.index)
            if columns:
                found = np.full((len(at), len(keys)), np.nan)
                found[:, places] = values[:, columns]
                yield Piece(at, keys, found)

    def seen(
        self,
        view: HostView,
        keys: tuple[str, ...],
        counters: NDArray[np.bool_],
        start: float,
        end: float,
        keeps: Sequence[int] = ROW_KEEPS,
    ) -> Rollup:
        """Rows in [start, end) as a roll-up; counters are compared with what came before."""
        lookback = LOOKBACK_SECONDS if counters.any() else 0.0
        piece = self.rows(view, keys, start - lookback, end, keeps)
        if not len(piece.at):
            return Rollup(np.empty(0), np.empty((5, 0, len(keys))))
        others = tuple(keep for keep in ROW_KEEPS if keep not in keeps)
        before = self._before(view, keys, start, end, keeps, others) if lookback and others else []
        if not before:
            return observed(piece.at, piece.values, counters, start)
        whole = merged([piece, *before])
        found = observed(whole.at, whole.values, counters, start)
        own = np.isin(found.starts, piece.at)
        return Rollup(found.starts[own], found.fields[:, own])

    def _before(
        self,
        view: HostView,
        keys: tuple[str, ...],
        start: float,
        end: float,
        keeps: Sequence[int],
        others: Sequence[int],
    ) -> list[Piece]:
        """What counters of each chunk of `keeps` go on from, where that is kept as `others` are.

        One stretch may have a row in each bucket, and the next two in some.
        """
        found: list[Piece] = []
        for chunk in chunks.select(self.connection, view.id, 0, keeps, start, end):
            first = chunk.first
            if first >= start and any(view.floors[keep] < first for keep in others):
                piece = self.rows(view, keys, first - LOOKBACK_SECONDS, first, others)
                found += [piece] if len(piece.at) else []
        return found

    def tier(
        self,
        view: HostView,
        keys: tuple[str, ...],
        counters: NDArray[np.bool_],
        level: int,
        start: float,
        end: float,
    ) -> list[Rollup]:
        """What a level has of [start, end): its buckets, and rows that stand in for them."""
        if level == 0:
            return [self.seen(view, keys, counters, start, end)]
        found: list[Rollup] = []
        around = [
            (lost.first - EARLY_SECONDS, lost.last + SECONDS[level] - EARLY_SECONDS)
            for lost in view.lost
            if lost.level == level and lost.last >= start and lost.first < end
        ]
        for chunk in chunks.select(
            self.connection, view.id, level, (level,), start - SECONDS[level], end
        ):
            if self.is_cancelled():
                raise Cancelled
            try:
                part = self._buckets(chunk, keys)
            except ChunkDamaged as error:
                self.damaged[chunk.id] = str(error)
                until = chunk.last + SECONDS[level]
                around.append((chunk.first - EARLY_SECONDS, until - EARLY_SECONDS))
            else:
                if part is not None:
                    found.append(_between(part, start, end, SECONDS[level]))
        for first, last in around:
            begin, stop = max(first, start), min(last, end)
            if begin < stop:
                found += self.tier(view, keys, counters, level - 1, begin, stop)
        standing_in = tuple(keep for keep in ROW_KEEPS if keep >= level)
        if standing_in and any(view.floors[keep] < end for keep in standing_in):
            found.append(self.seen(view, keys, counters, start, end, standing_in))
        return found

    def _buckets(self, chunk: StoredChunk, keys: tuple[str, ...]) -> Rollup | None:
        shape = self.shapes.shape(self.connection, chunk.schema)
        places, columns = _places(keys, shape.index)
        if not columns:
            chunk.require_whole()
            return None
        opened = chunk.opened(self.connection, self.cache)
        found = opened.rollup(columns, with_last=self.with_last)
        if len(columns) == len(keys):
            return found
        fields = np.full((5, len(found.starts), len(keys)), np.nan)
        fields[2:4] = 0.0
        fields[:, :, places] = found.fields
        return Rollup(found.starts, fields)


def _places(keys: tuple[str, ...], index: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Where the KEYs that a chunk has stand among those wanted, and which columns they are."""
    found = [
        (place, column) for place, key in enumerate(keys) if (column := index.get(key, -1)) >= 0
    ]
    return [place for place, _ in found], [column for _, column in found]


def _between(part: Rollup, start: float, end: float, step: float) -> Rollup:
    """The buckets of rows in [start, end), whose ends are buckets' ends."""
    # Halfway between two starts nothing is lost to rounding.
    begin, stop = np.searchsorted(part.starts, (start - step / 2, end - step / 2))
    if begin == 0 and stop == len(part.starts):
        return part
    return Rollup(part.starts[begin:stop], part.fields[:, begin:stop])


def widened(start: float, end: float, level: int) -> tuple[float, float]:
    """A range of rows by whole buckets of a level, so that it has the same answer from any level.

    A bucket has the rows from `EARLY_SECONDS` before its start on.
    """
    if not level:
        return start, end
    step = SECONDS[level]
    first = math.floor((start + EARLY_SECONDS) / step + ROUNDING) * step
    last = math.ceil((end + EARLY_SECONDS) / step - ROUNDING) * step
    return first - EARLY_SECONDS, last - EARLY_SECONDS


def resolution(view: HostView, start: float) -> int:
    """The finest level that has everything of a host from `start` on."""
    floors = view.floors
    for level in range(LEVELS):
        if math.isinf(floors[level]):
            continue
        for coarser in range(level + 1, LEVELS):
            step = SECONDS[coarser]
            wanted = max(floors[coarser], math.floor(start / step) * step)
            if math.floor(floors[level] / step) * step > wanted:
                break
        else:
            return level
    return 0


def plan(
    views: Sequence[HostView], start: float, end: float, points: int
) -> tuple[int, float, int, int]:
    """The buckets of a range, and the level that they are read from.

    Returns the first bucket's number, its width in seconds, how many there are, and the level.
    """
    finest = max((resolution(view, start) for view in views), default=0)
    spacing = max((view.spacing for view in views), default=0.0)
    least = max(SECONDS[finest], spacing * (1 - EARLY_SHARE))
    first, step, count = bucket_plan(start, end, points, least, SECONDS[finest])
    level = finest
    for coarser in range(finest + 1, LEVELS):
        if step % SECONDS[coarser] == 0:
            level = coarser
    return first, step, count, level


def segments(
    view: HostView, level: int, start: float, end: float
) -> Iterator[tuple[int, float, float]]:
    """Which level answers for which part of [start, end), ascending, without overlap."""
    if level == 0:
        yield 0, start, end
        return
    marks = [(level, view.rolled_to), (1, view.compacted_to), (0, math.inf)]
    if level == 1:
        del marks[0]
    at = start
    for part, until in marks:
        stop = min(until, end)
        if stop > at:
            yield from _around_late(view, part, at, stop)
            at = stop


def _around_late(
    view: HostView, level: int, start: float, end: float
) -> Iterator[tuple[int, float, float]]:
    at = start
    rows_from = min(view.floors[keep] for keep in ROW_KEEPS)
    for hour in view.late if level else ():
        first, last = widened(*hour, level)
        # Where an hour's rows have gone the tier knows more than what came late; where there
        # were none yet it knows nothing.
        gone = last <= rows_from and view.floors[level] < last
        if last <= at or first >= end or gone:
            continue
        if first > at:
            yield level, at, first
        begin, at = max(first, at), min(last, end)
        yield 0, begin, at
    if at < end:
        yield level, at, end


def ranged(
    reader: Reader,
    views: Mapping[str, HostView],
    wanted: Sequence[tuple[str, str]],
    start: float,
    end: float,
    points: int,
    raw: bool,
) -> Buckets:
    """A range of these series, in buckets that all of them share."""
    first, step, count, level = plan(list(views.values()), start, end, points)
    start, end = widened(start, end, level)
    reader.with_last = raw
    by_host: dict[str, dict[str, None]] = {}
    for host, key in wanted:
        by_host.setdefault(host, {})[key] = None
    columns: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for host, found in by_host.items():
        view = views.get(host)
        if view is not None:
            keys = tuple(found)
            cuts = _host(reader, view, keys, (start, end), level, raw, (first, step, count))
            columns |= {(host, key): [cut_[:, n] for cut_ in cuts] for n, key in enumerate(keys)}
            _say_lost(reader, view, level, start, end)
    absent = [np.full(count, np.nan)] * 3
    series = tuple(SeriesBuckets(h, key, *columns.get((h, key), absent)) for h, key in wanted)
    starts = (first + np.arange(count)) * np.float64(step)
    return Buckets(starts, step, series, SECONDS[level], tuple(dict.fromkeys(reader.losses)))


def _host(
    reader: Reader,
    view: HostView,
    keys: tuple[str, ...],
    span: tuple[float, float],
    level: int,
    raw: bool,
    buckets: tuple[int, float, int],
) -> tuple[NDArray[np.float64], ...]:
    """Minimum, average and maximum of one host's series, each (buckets, keys)."""
    counters = counting(keys)
    plain = np.zeros(len(keys), bool)
    parts: list[Rollup] = []
    for part, begin, stop in segments(view, level, *span):
        # Rows of counters are counts as they are; of roll-ups only the last counts are.
        found = reader.tier(view, keys, plain if raw and part == 0 else counters, part, begin, stop)
        if raw and part and counters.any():
            found = [_raw(each, counters) for each in found]
        parts += found
    parts = [part for part in parts if len(part.starts)]
    if not parts:
        absent = np.full((buckets[2], len(keys)), np.nan)
        return absent, absent, absent
    return cut(parts, *buckets)


def _raw(part: Rollup, counters: NDArray[np.bool_]) -> Rollup:
    """The same with counters' last counts instead of their rates."""
    if counters.all():
        return counts(part)
    fields = part.fields.copy()
    fields[:, :, counters] = counts(Rollup(part.starts, part.fields[:, :, counters])).fields
    return Rollup(part.starts, fields)


def _say_lost(reader: Reader, view: HostView, level: int, start: float, end: float) -> None:
    """Rows that were lost and that no tier of this reading stands in for."""
    for lost in view.lost:
        reaches = view.rolled_to if level > 1 else view.compacted_to
        stands_in = level > lost.keep and lost.last < reaches
        if not stands_in and lost.level == 0 and lost.last >= start and lost.first < end:
            reader.losses.append(Loss(view.name, lost.first, lost.last, lost.reason))
