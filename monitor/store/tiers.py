"""Tiers in the file: making a block of the coarser ones, and putting it among what they hold.

It reads one unchanging view of the file; what goes and what comes it says in a `Change`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from monitor.core.rollups import EARLY_SECONDS, rolled
from monitor.store import chunks
from monitor.store.changes import Change, Made
from monitor.store.chunks import StoredChunk
from monitor.store.codec import ChunkDamaged
from monitor.store.hosts import HOUR_SECONDS, HostView
from monitor.store.keyed import (
    MOST_KEYS,
    MOST_OBSERVED,
    Keyed,
    again,
    aligned,
    beside,
    only,
    part_of,
    slices,
    tier_chunks,
)
from monitor.store.reading import SECONDS, Reader
from monitor.store.shapes import counting

BLOCK_SECONDS = 12 * HOUR_SECONDS
"""What tiers 2 to 4 are made of at a time: 720 minutes."""

SPANS = (0.0, 0.0, 0.0, 7 * 86_400.0, 28 * 86_400.0)
"""By level, what one chunk of it holds where it is added to: 672 and 336 buckets."""


def block(reader: Reader, view: HostView, start: float) -> Change:
    """Make tiers 2 to 4 of a block of `BLOCK_SECONDS` from tier 1 and rows that stand in.

    Buckets of theirs for which there is nothing any more to make them from stay as they are.
    """
    end = start + BLOCK_SECONDS
    change = Change()
    minutes = again(
        [*_stored(reader, change, view, 1, start, end), *_standing(reader, view, 1, start, end)],
        SECONDS[2],
    )
    old = existing(reader, change, view, 2, start, end)
    whole = aligned([*(part_of(part, _alone(part, minutes)) for part in old), *minutes])
    minutes = [] if whole is None else [whole]
    change.made += tier_chunks(minutes, 2)
    source = [*minutes, *_standing(reader, view, 2, start, end)]
    for level in (3, 4):
        source = again(source, SECONDS[level])
        if source:
            change.made += _spliced(reader, change, view, level, source, (start, end))
    return change


def _alone(old: Keyed, new: Sequence[Keyed]) -> np.ndarray:
    """Which buckets are not made anew: frames that come late add some, and never take one away."""
    alone = np.ones(len(old.rollup.starts), bool)
    for part in new:
        alone &= ~np.isin(old.rollup.starts, part.rollup.starts)
    return alone


def _standing(reader: Reader, view: HostView, keep: int, start: float, end: float) -> list[Keyed]:
    """Rows that are kept for a tier's sake, in the buckets of the next one."""
    start, end = start - EARLY_SECONDS, end - EARLY_SECONDS
    if not view.floors[keep] < end:
        return []
    found = chunks.select(reader.connection, view.id, 0, (keep,), start, end)
    keys = tuple(dict.fromkeys(_keys(reader, found)))
    parts = []
    for few in slices(len(keys), MOST_OBSERVED):
        counters = counting(keys[few])
        seen = reader.seen(view, keys[few], counters, start, end, (keep,))
        parts.append(Keyed(keys[few], rolled(seen, SECONDS[keep + 1])))
    return [beside(parts)]


def _keys(reader: Reader, found: Iterable[StoredChunk]) -> Iterator[str]:
    """The KEYs of some chunks, as far as they can be told."""
    for chunk in found:
        with contextlib.suppress(ChunkDamaged):
            yield from reader.shapes.shape(reader.connection, chunk.schema).keys


def _stored(
    reader: Reader, change: Change, view: HostView, level: int, start: float, end: float
) -> list[Keyed]:
    """What a level has in [start, end), in the buckets of the next one, to be built on."""
    parts = []
    for chunk in chunks.select(reader.connection, view.id, level, (level,), start, end):
        if (found := _opened(reader, change, chunk)) is not None:
            starts = found.rollup.starts
            here = part_of(found, (starts >= start) & (starts < end))
            parts += again([here], SECONDS[level + 1])
    return parts


def existing(
    reader: Reader, change: Change, view: HostView, level: int, start: float, end: float
) -> list[Keyed]:
    """The same, which goes: what is made stands in its place."""
    parts = []
    for chunk in chunks.select(reader.connection, view.id, level, (level,), start, end):
        change.gone.append(chunk.id)
        if (found := _opened(reader, change, chunk)) is not None:
            parts.append(found)
    return parts


def _opened(reader: Reader, change: Change, chunk: StoredChunk) -> Keyed | None:
    try:
        shape = reader.shapes.shape(reader.connection, chunk.schema)
        opened = chunk.opened(reader.connection, reader.cache)
        return Keyed(shape.keys, opened.rollup(range(opened.columns)))
    except ChunkDamaged as error:
        change.damaged[chunk.id] = str(error)
        return None


def _spliced(
    reader: Reader,
    change: Change,
    view: HostView,
    level: int,
    new: list[Keyed],
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
                inside.append(part_of(part, here))
        stored = list(
            chunks.select(reader.connection, view.id, level, (level,), start, start + span)
        )
        change.gone += [chunk.id for chunk in stored]
        known = set(_keys(reader, stored))
        coming = {key for part in inside for key in part.keys}
        fresh = list(dict.fromkeys(k for part in inside for k in part.keys if k not in known))
        for chunk in stored:
            old = _opened(reader, change, chunk)
            if old is None:
                continue
            outside = (old.rollup.starts < block_[0]) | (old.rollup.starts >= block_[1])
            stays = part_of(old, outside | _alone(old, new))
            keys = [key for key in old.keys if key in coming]
            coming.difference_update(keys)
            room = max(0, MOST_KEYS - len(old.keys))
            keys, fresh = keys + fresh[:room], fresh[room:]
            made += tier_chunks([stays, *(only(part, keys) for part in inside)], level)
        for few in slices(len(fresh), MOST_KEYS):
            made += tier_chunks([only(part, fresh[few]) for part in inside], level)
        start += span
    return made
