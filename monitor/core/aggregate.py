"""Aggregates: many hosts' values become one, bucket by bucket.  Pure arithmetic on arrays.

It knows rows of numbers; which series belong together is for the caller.  Where a host has a gap
it does not count, and where all have one there is a gap.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.core.series import Floats
from monitor.errors import InputError, excerpt

FUNCTIONS = ("avg", "max", "min", "sum")
"""Those with a name; a percentile is written p0 to p100, also p99.9."""

_PERCENTILE = re.compile(r"p(100(?:\.0{1,3})?|[0-9]{1,2}(?:\.[0-9]{1,3})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One of `FUNCTIONS`, or a percentile from 0 to 100."""

    function: str
    percentile: float | None = None

    @classmethod
    def parse(cls, text: str, field: str = "aggregate") -> Aggregate:
        """The aggregate that `text` names.

        Raises `InputError` of code ``bad_aggregate``, its field being `field`.
        """
        if text in FUNCTIONS:
            return cls(text)
        if found := _PERCENTILE.fullmatch(text):
            return cls(text, float(found[1]))
        detail = f"expected {', '.join(FUNCTIONS)} or p0 to p100, such as p95; got {excerpt(text)}"
        raise InputError(detail, code="bad_aggregate", field=field)

    def over(self, rows: Sequence[Floats]) -> Floats:
        """One value a bucket from rows of equal length, one a host; NaN is a gap.

        A percentile lies between the two nearest values, in proportion (as numpy's and
        Prometheus' do).  Infinities count; opposite ones leave no sum, average or percentile.
        """
        table = np.stack(rows)
        seen = ~np.isnan(table)
        counts = np.count_nonzero(seen, axis=0)
        with np.errstate(all="ignore"):
            match self.function:
                case "max":
                    found = np.fmax.reduce(table)
                case "min":
                    found = np.fmin.reduce(table)
                case "avg":
                    found = _sum(table, seen) / counts
                case "sum":
                    found = _sum(table, seen)
                case _:
                    found = _percentile(table, counts, self.percentile or 0.0)
        return np.where(counts > 0, found, np.nan)


def _sum(table: Floats, seen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    found: Floats = np.add.reduce(table, axis=0, where=seen)
    return found


def _percentile(
    table: Floats, counts: np.ndarray[tuple[int, ...], np.dtype[np.intp]], p: float
) -> Floats:
    """Linear between the closest ranks; gaps are sorted to the end and not counted."""
    table.sort(axis=0)
    place = p / 100 * (np.maximum(counts, 1) - 1)
    below = np.floor(place).astype(np.intp)
    above = np.ceil(place).astype(np.intp)
    columns = np.arange(table.shape[1])
    low, high, share = table[below, columns], table[above, columns], place - below
    between = low + (high - low) * share
    # Infinities have no distance, and equal values need none.
    outside = ~np.isfinite(between)
    between[outside] = (low * (1 - share) + high * share)[outside]
    return np.where((low == high) | (share == 0), low, between)
