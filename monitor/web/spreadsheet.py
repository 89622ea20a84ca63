"""History as CSV: a row for each series and bucket, as a spreadsheet opens it (RFC 4180).

Long form, one series after the other: the columns are the same whatever was asked for, a block of
rows is a chart, and a filter or a pivot table takes the rest.  A bucket without observations has
its row with empty cells, so that a chart of it has a gap too.

A name is somebody's input and could be taken for a formula; such a cell begins with an apostrophe
(OWASP, "CSV Injection").  Numbers are ours and stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from monitor.core.series import Floats

CONTENT_TYPE = "text/csv; charset=utf-8"

ROWS_AT_ONCE = 2_000
"""Rows in one piece: some 200 KB, made in some milliseconds."""

_COLUMNS = ("time", "host", "key", "min", "avg", "max")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
_END = "\r\n"


def cell(text: str) -> str:
    """A name as a cell: never a formula, and quoted where it must be."""
    if text.startswith(_FORMULAS):
        text = f"'{text}"
    if any(sign in text for sign in ',"\r\n'):
        text = '"' + text.replace('"', '""') + '"'
    return text


def head(label: str | None) -> bytes:
    """The first row; `label` is what series were grouped by, and has a column at the end."""
    names = _COLUMNS if label is None else (*_COLUMNS, label)
    return (",".join(map(cell, names)) + _END).encode()


def times(starts: Floats) -> list[str]:
    """Instants in ISO 8601 and UTC, with milliseconds only where one has some."""
    milliseconds = np.rint(starts * 1000).astype(np.int64)
    unit = "s" if not (milliseconds % 1000).any() else "ms"
    instants = milliseconds.astype("datetime64[ms]").astype(f"datetime64[{unit}]")
    found: list[str] = np.datetime_as_string(instants, timezone="UTC").tolist()
    return found


def pieces(
    at: Sequence[str],
    host: str,
    key: str,
    values: tuple[Floats, Floats, Floats],
    labels: Mapping[str, str] | None,
) -> Iterator[bytes]:
    """One series' rows: minimum, average and maximum by instant; at most `ROWS_AT_ONCE` a piece."""
    name = f",{cell(host)},{cell(key)},"
    end = "".join(f",{cell(value)}" for value in (labels or {}).values()) + _END
    for first in range(0, len(at), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        columns = (map(_number, array[rows].tolist()) for array in values)
        yield "".join(
            f"{instant}{name}{low},{mean},{high}{end}"
            for instant, low, mean, high in zip(at[rows], *columns, strict=True)
        ).encode()


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""
