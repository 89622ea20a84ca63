"""Compaction: open chunks into closed ones and tiers.  Values in, chunks out.

It reads one unchanging view of the file beside everything else, and says which chunks are to
go and which are to come; who writes that does so in one transaction, or not at all.  What it
makes follows from the rows alone, so that a crash before that transaction costs only the work.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.core.rollups import (
    EARLY_SECONDS,
    FIELDS,
    TOTAL,
    WEIGHT,
    Rollup,
    joined,
    observed,
    rolled,
    shortened,
)
from monitor.core.series import LOOKBACK_SECONDS, Floats
from monitor.ports import Loss
from monitor.store import chunks
from monitor.store.chunk import MOST_COLUMNS, from_rollup, from_rows
from monitor.store.chunks import NewChunk, StoredChunk
from monitor.store.codec import ChunkDamaged
from monitor.store.hosts import HOUR_SECONDS, HostView, hour_of
from monitor.store.merging import Piece, merged
from monitor.store.reading import ROW_KEEPS, SECONDS, Reader
from monitor.store.shapes import counting

MOST_ROWS = 4_096
"""In one chunk: longer ones are hardly smaller, and slower to read a minute of."""

BLOCK_SECONDS = 12 * HOUR_SECONDS
"""What tiers 2 to 4 are made of at a time: 720 minutes."""

MOST_KEYS = 4_096
"""Columns that are rolled up together, and that one chunk of a tier has: 110 MB of a week of
quarters of an hour.  A host may have more, and hosts whose containers come and go have."""

MOST_OBSERVED = 512
"""Columns whose rows are rolled up together: 75 MB of an hour of seconds."""

SPANS = (0.0, 0.0, 0.0, 7 * 86_400.0, 28 * 86_400.0)
"""By level, what one chunk of it holds where it is added to: 672 and 336 buckets."""


@dataclass(frozen=True, slots=True)
class Made:
    """A chunk to be written, its KEYs not yet a numbered schema."""

    level: int
    keep: int
    open: bool
    first: float
    last: float
    rows: int
    keys: tuple[str, ...]
    data: bytes
    id: int | None = None
    """That of the chunk which it is what is left of, so that who came first still does."""

    def numbered(self, host: int, schema: int) -> NewChunk:
        """The same with the numbers of its host and schema."""
        return NewChunk(
            host,
            self.level,
            self.keep,
            self.open,
            self.first,
            self.last,
            self.rows,
            schema,
            self.data,
            self.id,
        )


@dataclass(slots=True)
class Change:
    """What a compaction does to a host's chunks, and how far it brings the host."""

    gone: list[int] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    damaged: dict[int, str] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    spacing_of: Floats | None = None
    """Some instants of rows, by which the host's spacing is told."""


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A roll-up and the KEYs of its columns."""

    keys: tuple[str, ...]
    rollup: Rollup


def sealed(view: HostView, keys: Sequence[tuple[str, ...]]) -> list[Made]:
    """The rows of a host's heads as open chunks: those that came late apart from the others.

    `keys` are the KEYs of each head, in order.
    """
    made: list[Made] = []
    for (_, at, values), names in zip(view.heads, keys, strict=True):
        piece = merged([Piece(at, names, values)])
        for begin, end in itertools.pairwise(_partings(piece.at, view.compacted_to)):
            made += _row_chunks(piece, begin, end, keep=0, is_open=True)
    return made


def _partings(at: Floats, edge: float) -> list[int]:
    """Where rows are parted: at each hour before an instant, there, and at each block after it."""
    late = int(np.searchsorted(at, edge))
    hours = np.floor_divide(at + EARLY_SECONDS, HOUR_SECONDS)
    parts = hours.copy()
    parts[late:] = np.floor_divide(hours[late:] * HOUR_SECONDS, BLOCK_SECONDS)
    changes = np.flatnonzero(np.diff(parts)) + 1
    return sorted({0, *changes.tolist(), late, len(at)})


def _row_chunks(piece: Piece, begin: int, end: int, *, keep: int, is_open: bool) -> Iterator[Made]:
    """Rows [begin, end) of a piece as chunks of about the same length."""
    count = -(-(end - begin) // MOST_ROWS)
    edges = [begin + (end - begin) * part // max(count, 1) for part in range(count + 1)]
    for first, last in itertools.pairwise(edges):
        at, values = piece.at[first:last], piece.values[first:last]
        keys = piece.keys
        seen = ~np.isnan(values).all(axis=0)
        if not is_open and not seen.all() and seen.any():
            # A KEY that was there for another part of the window takes no room in this one.
            keys = tuple(keys[column] for column in np.flatnonzero(seen))
            values = values[:, seen]
        for few in _few(len(keys), MOST_COLUMNS):
            yield Made(
                0,
                keep,
                is_open,
                float(at[0]),
                float(at[-1]),
                len(at),
                keys[few],
                from_rows(at, values[:, few], quick=is_open),
            )


def compacted(reader: Reader, view: HostView, start: float, end: float, *, late: bool) -> Change:
    """Close a window [start, end) of whole hours: its rows in one chunk or few, and tier 1.

    Late, it had been closed before, and is made anew with what came since; where rows of it
    have gone by then, what came is added to the tier alone.
    """
    change = Change()
    first, last = start - EARLY_SECONDS, end - EARLY_SECONDS
    found = list(chunks.select(reader.connection, view.id, 0, ROW_KEEPS, first, last))
    if not late:
        found = [chunk for chunk in found if chunk.open and chunk.last >= first]
    change.gone += [chunk.id for chunk in found]
    inside = _read(reader, change, found, first, last)
    if not len(inside.at):
        return change
    change.spacing_of = inside.at[-256:]
    tier = _tier_one(reader, view, inside, first)
    old = _existing(reader, change, view, 1, start, end)
    for part in old:
        for outside in (part.rollup.starts < start, part.rollup.starts >= end):
            change.made += _tier_chunks([_part(part, outside)], 1)
    held = [chunk for chunk in found if not chunk.open and chunk.id not in change.damaged]
    alone = _aligned([_part(part, _rows_are_gone(part, held)) for part in old if late])
    gone = np.empty(0) if alone is None else alone.rollup.starts
    gone = gone[(gone >= start) & (gone < end)]
    if alone is not None:
        tier = _aligned([alone, tier]) or tier
    begin = start // view.window * view.window
    while begin < end:
        until = begin + view.window
        low, high = np.searchsorted(inside.at, (begin - EARLY_SECONDS, until - EARLY_SECONDS))
        keep = _keep(inside.at[low:high])
        for run, stop in _runs(inside.at, int(low), int(high), gone):
            change.made += _row_chunks(inside, run, stop, keep=keep, is_open=False)
        starts = tier.rollup.starts
        here = (starts >= max(begin, start)) & (starts < min(until, end))
        if keep:  # rows stand in for the tier, where there are any
            here &= np.isin(starts, gone)
        change.made += _tier_chunks([_part(tier, here)], 1)
        begin = until
    return change


def _rows_are_gone(part: _Keyed, held: Sequence[StoredChunk]) -> np.ndarray:
    """Which buckets of tier 1 were made from rows that no closed chunk has any more."""
    starts = part.rollup.starts - EARLY_SECONDS
    gone = np.ones(len(starts), bool)
    for chunk in held:
        gone &= (starts + SECONDS[1] <= chunk.first) | (starts > chunk.last)
    return gone


def _runs(at: Floats, low: int, high: int, gone: Floats) -> Iterator[tuple[int, int]]:
    """Rows [low, high) but those in the buckets `gone`, in runs that reach over none of these.

    So no chunk looks as if it had the rows that a bucket of tier 1 alone still knows of.
    """
    starts = np.floor_divide(at[low:high] + EARLY_SECONDS, SECONDS[1]) * SECONDS[1]
    passed = np.searchsorted(gone, starts, "right")
    kept = np.flatnonzero(~np.isin(starts, gone))
    for run in np.split(kept, np.flatnonzero(np.diff(passed[kept])) + 1):
        if len(run):
            yield low + int(run[0]), low + int(run[-1]) + 1


def _read(
    reader: Reader, change: Change, found: Sequence[StoredChunk], first: float, last: float
) -> Piece:
    """The rows of these chunks in [first, last); what is left of a chunk stays, open.

    A chunk that is not what was written is said, and left out.
    """
    pieces = []
    for chunk in sorted(found, key=lambda each: (each.open, each.id)):
        try:
            shape = reader.shapes.shape(reader.connection, chunk.schema)
            opened = chunk.opened(reader.connection, reader.cache)
            at, values = opened.at(), opened.values(range(opened.columns))
        except ChunkDamaged as error:
            change.damaged[chunk.id] = str(error)
            continue
        inside = (at >= first) & (at < last)
        if not inside.all():
            outside = Piece(at[~inside], shape.keys, values[~inside])
            left = _row_chunks(outside, 0, len(outside.at), keep=0, is_open=True)
            change.made += [replace(made, id=chunk.id) for made in left]
        pieces.append(Piece(at[inside], shape.keys, values[inside]))
    return merged(pieces) if pieces else Piece(np.empty(0), (), np.empty((0, 0)))


def _keep(at: Floats) -> int:
    """The coarsest tier whose buckets would hold one row each, so that rows stand in for it."""
    for level in (2, 1):
        numbers = np.floor_divide(at + EARLY_SECONDS, SECONDS[level])
        if (np.diff(numbers) > 0).all():
            return level
    return 0


def _tier_one(reader: Reader, view: HostView, inside: Piece, start: float) -> _Keyed:
    counters = counting(inside.keys)
    whole = inside
    if counters.any():
        before = reader.rows(view, inside.keys, start - LOOKBACK_SECONDS, start)
        if len(before.at):
            whole = merged([before, inside])
    parts = [
        rolled(observed(whole.at, whole.values[:, few], counters[few], start), SECONDS[1])
        for few in _few(len(inside.keys), MOST_OBSERVED)
    ]
    fields = np.concatenate([part.fields for part in parts], axis=2)
    return _Keyed(inside.keys, Rollup(parts[0].starts, fields))


def _few(columns: int, most: int) -> Iterator[slice]:
    """Columns by a few, so that what is made of them takes no more memory than it must."""
    for begin in range(0, max(columns, 1), most):
        yield slice(begin, min(begin + most, columns))


def block(reader: Reader, view: HostView, start: float) -> Change:
    """Make tiers 2 to 4 of a block of `BLOCK_SECONDS` from tier 1 and rows that stand in.

    Buckets of theirs for which there is nothing any more to make them from stay as they are.
    """
    end = start + BLOCK_SECONDS
    change = Change()
    minutes = _again(
        [*_stored(reader, change, view, 1, start, end), *_standing(reader, view, 1, start, end)],
        SECONDS[2],
    )
    old = _existing(reader, change, view, 2, start, end)
    whole = _aligned([*(_part(part, _alone(part, minutes)) for part in old), *minutes])
    minutes = [] if whole is None else [whole]
    change.made += _tier_chunks(minutes, 2)
    source = [*minutes, *_standing(reader, view, 2, start, end)]
    for level in (3, 4):
        source = _again(source, SECONDS[level])
        if source:
            change.made += _spliced(reader, change, view, level, source, (start, end))
    return change


def _alone(old: _Keyed, new: Sequence[_Keyed]) -> np.ndarray:
    """Which buckets are not made anew: frames that come late add some, and never take one away."""
    alone = np.ones(len(old.rollup.starts), bool)
    for part in new:
        alone &= ~np.isin(old.rollup.starts, part.rollup.starts)
    return alone


def _standing(reader: Reader, view: HostView, keep: int, start: float, end: float) -> list[_Keyed]:
    """Rows that are kept for a tier's sake, in the buckets of the next one."""
    start, end = start - EARLY_SECONDS, end - EARLY_SECONDS
    if not view.floors[keep] < end:
        return []
    found = chunks.select(reader.connection, view.id, 0, (keep,), start, end)
    keys = tuple(dict.fromkeys(_keys(reader, found)))
    parts = []
    for few in _few(len(keys), MOST_OBSERVED):
        counters = counting(keys[few])
        seen = reader.seen(view, keys[few], counters, start, end, (keep,))
        parts.append(_Keyed(keys[few], rolled(seen, SECONDS[keep + 1])))
    return [_beside(parts)]


def _keys(reader: Reader, found: Iterable[StoredChunk]) -> Iterator[str]:
    """The KEYs of some chunks, as far as they can be told."""
    for chunk in found:
        with contextlib.suppress(ChunkDamaged):
            yield from reader.shapes.shape(reader.connection, chunk.schema).keys


def _beside(parts: Sequence[_Keyed]) -> _Keyed:
    """Several of different KEYs as one."""
    if len(parts) == 1:
        return parts[0]
    starts = np.unique(np.concatenate([part.rollup.starts for part in parts]))
    keys = tuple(key for part in parts for key in part.keys)
    fields = np.full((FIELDS, len(starts), len(keys)), np.nan)
    fields[TOTAL] = fields[WEIGHT] = 0.0
    column = 0
    for part in parts:
        rows, until = np.searchsorted(starts, part.rollup.starts), column + len(part.keys)
        fields[:, rows, column:until] = part.rollup.fields
        column = until
    return _Keyed(keys, Rollup(starts, fields))


def _stored(
    reader: Reader, change: Change, view: HostView, level: int, start: float, end: float
) -> list[_Keyed]:
    """What a level has in [start, end), in the buckets of the next one, to be built on."""
    parts = []
    for chunk in chunks.select(reader.connection, view.id, level, (level,), start, end):
        if (found := _keyed(reader, change, chunk)) is not None:
            starts = found.rollup.starts
            here = _part(found, (starts >= start) & (starts < end))
            parts += _again([here], SECONDS[level + 1])
    return parts


def _existing(
    reader: Reader, change: Change, view: HostView, level: int, start: float, end: float
) -> list[_Keyed]:
    """The same, which goes: what is made stands in its place."""
    parts = []
    for chunk in chunks.select(reader.connection, view.id, level, (level,), start, end):
        change.gone.append(chunk.id)
        if (found := _keyed(reader, change, chunk)) is not None:
            parts.append(found)
    return parts


def _keyed(reader: Reader, change: Change, chunk: StoredChunk) -> _Keyed | None:
    try:
        shape = reader.shapes.shape(reader.connection, chunk.schema)
        opened = chunk.opened(reader.connection, reader.cache)
        return _Keyed(shape.keys, opened.rollup(range(opened.columns)))
    except ChunkDamaged as error:
        change.damaged[chunk.id] = str(error)
        return None


def _spliced(
    reader: Reader,
    change: Change,
    view: HostView,
    level: int,
    new: list[_Keyed],
    block_: tuple[float, float],
) -> list[Made]:
    """A block of a coarse tier in its place among what the tier's longer chunks hold."""
    span = SPANS[level]
    made: list[Made] = []
    start = math.floor(block_[0] / span) * span
    while start < block_[1]:
        inside = []
        for part in new:
            here = (part.rollup.starts >= start) & (part.rollup.starts < start + span)
            if here.any():
                inside.append(_part(part, here))
        stored = list(
            chunks.select(reader.connection, view.id, level, (level,), start, start + span)
        )
        change.gone += [chunk.id for chunk in stored]
        known = set(_keys(reader, stored))
        coming = {key for part in inside for key in part.keys}
        fresh = list(dict.fromkeys(k for part in inside for k in part.keys if k not in known))
        for chunk in stored:
            old = _keyed(reader, change, chunk)
            if old is None:
                continue
            outside = (old.rollup.starts < block_[0]) | (old.rollup.starts >= block_[1])
            stays = _part(old, outside | _alone(old, new))
            keys = [key for key in old.keys if key in coming]
            coming.difference_update(keys)
            room = max(0, MOST_KEYS - len(old.keys))
            keys, fresh = keys + fresh[:room], fresh[room:]
            made += _tier_chunks([stays, *(_only(part, keys) for part in inside)], level)
        for few in _few(len(fresh), MOST_KEYS):
            made += _tier_chunks([_only(part, fresh[few]) for part in inside], level)
        start += span
    return made


def _only(part: _Keyed, keys: Sequence[str]) -> _Keyed:
    """The columns of a roll-up that are among some keys."""
    places = {key: place for place, key in enumerate(part.keys)}
    found = tuple(key for key in keys if key in places)
    fields = part.rollup.fields[:, :, [places[key] for key in found]]
    return _Keyed(found, Rollup(part.rollup.starts if found else np.empty(0), fields))


def _part(keyed: _Keyed, rows: np.ndarray) -> _Keyed:
    return _Keyed(keyed.keys, Rollup(keyed.rollup.starts[rows], keyed.rollup.fields[:, rows]))


def _again(parts: list[_Keyed], step: float) -> list[_Keyed]:
    """These as one, in buckets of `step` seconds; nothing where there is nothing."""
    whole = _aligned(parts)
    return [_Keyed(whole.keys, rolled(whole.rollup, step))] if whole is not None else []


def _aligned(parts: Sequence[_Keyed]) -> _Keyed | None:
    """Several as one with the KEYs of all, ascending; buckets of one start are combined."""
    parts = [part for part in parts if len(part.rollup.starts)]
    if not parts:
        return None
    keys = tuple(dict.fromkeys(key for part in parts for key in part.keys))
    places = {key: place for place, key in enumerate(keys)}
    wide = []
    for part in parts:
        if part.keys == keys:
            wide.append(part.rollup)
            continue
        fields = np.full((FIELDS, len(part.rollup.starts), len(keys)), np.nan)
        fields[TOTAL] = fields[WEIGHT] = 0.0
        fields[:, :, [places[key] for key in part.keys]] = part.rollup.fields
        wide.append(Rollup(part.rollup.starts, fields))
    return _Keyed(keys, joined(wide))


def _tier_chunks(parts: Sequence[_Keyed], level: int) -> Iterator[Made]:
    """A tier's buckets as one chunk, or as few of some keys each; none where there are none."""
    whole = _aligned(parts)
    if whole is None:
        return
    starts = whole.rollup.starts
    first, last = float(starts[0]), float(starts[-1])
    for few in _few(len(whole.keys), MOST_KEYS):
        keys = whole.keys[few]
        rollup = Rollup(starts, whole.rollup.fields[:, :, few])
        data = from_rollup(shortened(rollup, counting(keys)))
        yield Made(level, level, False, first, last, len(starts), keys, data)


def window_around(reader: Reader, view: HostView, hours: Sequence[float]) -> tuple[float, float]:
    """The stretch of whole hours that must be made anew for rows that came late in `hours`.

    `hours` follow on one another.  No closed chunk reaches over its ends, and it holds what
    their counters' next rates depend on.
    """
    start, end = hours[0], hours[-1] + HOUR_SECONDS
    edge = view.compacted_to + EARLY_SECONDS
    reach = LOOKBACK_SECONDS
    while True:
        reached = (start, end)
        first, last = start - EARLY_SECONDS, min(end + reach, edge) - EARLY_SECONDS
        for chunk in chunks.select(reader.connection, view.id, 0, ROW_KEEPS, first, last):
            if not chunk.open:
                start = min(start, hour_of(chunk.first))
                end = max(end, hour_of(chunk.last) + HOUR_SECONDS)
        end = min(end, edge)
        reach = 0.0
        if (start, end) == reached:
            return reached
