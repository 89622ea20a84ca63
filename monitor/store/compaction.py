"""Compaction: open chunks into closed ones and tiers.  Values in, chunks out.

It reads one unchanging view of the file beside everything else, and says which chunks are to
go and which are to come; who writes that does so in one transaction, or not at all.  What it
makes follows from the rows alone, so that a crash before that transaction costs only the work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from monitor.core.rollups import (
    EARLY_SECONDS,
    Rollup,
    observed,
    rolled,
)
from monitor.core.series import LOOKBACK_SECONDS, Floats
from monitor.store import chunks
from monitor.store.changes import Change, Made
from monitor.store.chunk import MOST_COLUMNS, from_rows
from monitor.store.chunks import StoredChunk
from monitor.store.codec import ChunkDamaged
from monitor.store.hosts import HOUR_SECONDS, HostView, hour_of
from monitor.store.keyed import MOST_OBSERVED, Keyed, aligned, part_of, slices, tier_chunks
from monitor.store.merging import Piece, is_missing, merged
from monitor.store.reading import ROW_KEEPS, SECONDS, Reader
from monitor.store.shapes import counting
from monitor.store.tiers import BLOCK_SECONDS, existing

MOST_ROWS = 4_096
"""In one chunk: longer ones are hardly smaller, and slower to read a minute of."""


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
        seen = ~is_missing(values).all(axis=0)
        if not is_open and not seen.all() and seen.any():
            # A KEY that was there for another part of the window takes no room in this one.
            keys = tuple(keys[column] for column in np.flatnonzero(seen))
            values = values[:, seen]
        for few in slices(len(keys), MOST_COLUMNS):
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
    old = existing(reader, change, view, 1, start, end)
    for part in old:
        for outside in (part.rollup.starts < start, part.rollup.starts >= end):
            change.made += tier_chunks([part_of(part, outside)], 1)
    held = [chunk for chunk in found if not chunk.open and chunk.id not in change.damaged]
    alone = aligned([part_of(part, _rows_are_gone(part, held)) for part in old if late])
    gone = np.empty(0) if alone is None else alone.rollup.starts
    gone = gone[(gone >= start) & (gone < end)]
    if alone is not None:
        tier = aligned([alone, tier]) or tier
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
        change.made += tier_chunks([part_of(tier, here)], 1)
        begin = until
    return change


def _rows_are_gone(part: Keyed, held: Sequence[StoredChunk]) -> np.ndarray:
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


def _tier_one(reader: Reader, view: HostView, inside: Piece, start: float) -> Keyed:
    counters = counting(inside.keys)
    whole = inside
    if counters.any():
        before = reader.rows(view, inside.keys, start - LOOKBACK_SECONDS, start)
        if len(before.at):
            whole = merged([before, inside])
    parts = [
        rolled(observed(whole.at, whole.values[:, few], counters[few], start), SECONDS[1])
        for few in slices(len(inside.keys), MOST_OBSERVED)
    ]
    fields = np.concatenate([part.fields for part in parts], axis=2)
    return Keyed(inside.keys, Rollup(parts[0].starts, fields))


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
