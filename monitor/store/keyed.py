"""Roll-ups whose columns have KEYs: beside one another, after one another, in coarser buckets.

It knows arrays and KEYs, and nothing of chunks' rows in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.core.rollups import FIELDS, TOTAL, WEIGHT, Rollup, joined, rolled, shortened
from monitor.store.changes import Made
from monitor.store.chunk import from_rollup
from monitor.store.shapes import counting

MOST_KEYS = 4_096
"""Columns that are rolled up together, and that one chunk of a tier has: 110 MB of a week of
quarters of an hour.  A host may have more, and hosts whose containers come and go have."""

MOST_OBSERVED = 512
"""Columns whose rows are rolled up together: 75 MB of an hour of seconds."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """A roll-up and the KEYs of its columns."""

    keys: tuple[str, ...]
    rollup: Rollup


def slices(columns: int, most: int) -> Iterator[slice]:
    """Columns by a few, so that what is made of them takes no more memory than it must."""
    for begin in range(0, max(columns, 1), most):
        yield slice(begin, min(begin + most, columns))


def beside(parts: Sequence[Keyed]) -> Keyed:
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
    return Keyed(keys, Rollup(starts, fields))


def only(part: Keyed, keys: Sequence[str]) -> Keyed:
    """The columns of a roll-up that are among some keys."""
    places = {key: place for place, key in enumerate(part.keys)}
    found = tuple(key for key in keys if key in places)
    fields = part.rollup.fields[:, :, [places[key] for key in found]]
    return Keyed(found, Rollup(part.rollup.starts if found else np.empty(0), fields))


def part_of(keyed: Keyed, rows: np.ndarray) -> Keyed:
    """These of its buckets."""
    return Keyed(keyed.keys, Rollup(keyed.rollup.starts[rows], keyed.rollup.fields[:, rows]))


def again(parts: list[Keyed], step: float) -> list[Keyed]:
    """These as one, in buckets of `step` seconds; nothing where there is nothing."""
    whole = aligned(parts)
    return [Keyed(whole.keys, rolled(whole.rollup, step))] if whole is not None else []


def aligned(parts: Sequence[Keyed]) -> Keyed | None:
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
    return Keyed(keys, joined(wide))


def tier_chunks(parts: Sequence[Keyed], level: int) -> Iterator[Made]:
    """A tier's buckets as one chunk, or as few of some keys each; none where there are none."""
    whole = aligned(parts)
    if whole is None:
        return
    starts = whole.rollup.starts
    first, last = float(starts[0]), float(starts[-1])
    for few in slices(len(whole.keys), MOST_KEYS):
        keys = whole.keys[few]
        rollup = Rollup(starts, whole.rollup.fields[:, :, few])
        data = from_rollup(shortened(rollup, counting(keys)))
        yield Made(level, level, False, first, last, len(starts), keys, data)
