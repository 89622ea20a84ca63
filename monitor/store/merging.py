"""Several pieces of one host's rows as one: whoever came first stands.

A frame that is stored twice is stored once, and a second one of the same instant adds the keys
that the first lacked.  It knows arrays and keys, and nothing of where pieces are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.core.series import ENDED_BITS, Floats


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one host: `at`, (n,), in any order and with repeats; `values` (n, len(keys))."""

    at: Floats
    keys: tuple[str, ...]
    values: Floats


def merged(pieces: Sequence[Piece]) -> Piece:
    """One piece whose instants ascend, one row an instant.

    Of two values for one instant and key, that of the earlier piece stands, then that of the
    earlier row; NaN is no value.  Keys stand in the order in which they first appear.
    """
    keys = _union(pieces)
    if all(piece.keys == keys for piece in pieces):
        at = np.concatenate([piece.at for piece in pieces]) if pieces else np.empty(0)
        values = np.concatenate([piece.values for piece in pieces]) if pieces else np.empty((0, 0))
    else:
        at, values = _aligned(pieces, keys)
    if (np.diff(at) > 0).all():
        return Piece(at, keys, values)
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    edges = np.flatnonzero(np.diff(at, prepend=np.nan) != 0)
    if len(edges) == len(at):
        return Piece(at, keys, values)
    return Piece(at[edges], keys, _firsts(values, edges))


def _union(pieces: Sequence[Piece]) -> tuple[str, ...]:
    known = dict.fromkeys(piece.keys for piece in pieces)
    if len(known) == 1:
        return next(iter(known))
    return tuple(dict.fromkeys(key for keys in known for key in keys))


def _aligned(pieces: Sequence[Piece], keys: tuple[str, ...]) -> tuple[Floats, Floats]:
    places = {key: place for place, key in enumerate(keys)}
    rows = sum(len(piece.at) for piece in pieces)
    at = np.empty(rows)
    values = np.full((rows, len(keys)), np.nan)
    row = 0
    for piece in pieces:
        end = row + len(piece.at)
        at[row:end] = piece.at
        values[row:end, [places[key] for key in piece.keys]] = piece.values
        row = end
    return at, values


def _firsts(values: Floats, edges: np.ndarray) -> Floats:
    """The first value of each run that is not NaN, or says that its series has ended."""
    found: Floats = values[edges]
    missing = is_missing(found)
    if missing.any():
        rows = np.where(is_missing(values), len(values), np.arange(len(values))[:, None])
        oldest = np.minimum.reduceat(rows, edges, axis=0)
        seen = missing & (oldest < len(values))
        found[seen] = np.take_along_axis(values, np.minimum(oldest, len(values) - 1), axis=0)[seen]
    return found


def is_missing(values: Floats) -> NDArray[np.bool_]:
    """Which are no values; that a series has ended is one, although it is a NaN."""
    missing: NDArray[np.bool_] = np.isnan(values)
    if missing.any():
        missing &= np.ascontiguousarray(values).view(np.uint64) != ENDED_BITS
    return missing
