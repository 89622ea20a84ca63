"""Snapshots in a push: the tables that a sender may add to its numbers.

There is one kind, the top processes.  A kind that is not known is refused rather than ignored:
nothing would ever show it, and its sender should hear that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from monitor.errors import InputError, excerpt
from monitor.ingest import names
from monitor.model import Cell, Row, Snapshot

MOST_ROWS = 200
"""Rows of one table; our own agent sends 45 at the very most."""

LONGEST_WORD_CHARACTERS = 256
"""A process's name or user."""

LONGEST_COMMAND_CHARACTERS = 4_096
"""A command line; our own agent cuts it much shorter."""

LARGEST_WHOLE = 2**53
"""Up to here a whole number is exact wherever it is shown."""

_TEXTS = {
    "name": LONGEST_WORD_CHARACTERS,
    "user": LONGEST_WORD_CHARACTERS,
    "command": LONGEST_COMMAND_CHARACTERS,
}
_NUMBERS = ("cpu", "rss", "io")


def snapshots(value: Any, host: str, at: float) -> list[Snapshot]:
    """The tables of a push, at the instant of its newest frame.

    A row has exactly the documented columns afterwards: `pid` and `name` are required, others
    may be null or missing, and columns of other names are left out.
    """
    if not isinstance(value, dict):
        raise InputError("snapshots is an object of tables", code="bad_type", field="snapshots")
    made = []
    for kind, rows in value.items():
        field = f"snapshots.{excerpt(kind)}"
        if kind != "processes":
            detail = f"there is no table of the kind {excerpt(kind)}; known is processes"
            raise InputError(detail, code="unknown_snapshot", field=field)
        if not isinstance(rows, list):
            raise InputError(f"{field} is a list of rows", code="bad_type", field=field)
        if len(rows) > MOST_ROWS:
            detail = f"a table has at most {MOST_ROWS} rows, this one {len(rows)}"
            raise InputError(detail, code="too_many_rows", field=field, limit=MOST_ROWS)
        table = tuple(_process(row, f"{field}[{number}]") for number, row in enumerate(rows))
        made.append(Snapshot(host, at, kind, table))
    return made


def _process(row: Any, field: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(f"{field} is an object", code="bad_type", field=field)
    for required in ("pid", "name"):
        if row.get(required) is None:
            detail = f"a process has a {required}"
            raise InputError(detail, code="bad_shape", field=f"{field}.{required}")
    cells: dict[str, Cell] = {"pid": _pid(row["pid"], f"{field}.pid")}
    cells["name"] = _text(row, "name", field)
    cells["user"] = _text(row, "user", field)
    for column in _NUMBERS:
        cells[column] = _number(row.get(column), f"{field}.{column}")
    cells["command"] = _text(row, "command", field)
    return cells


def _pid(value: Any, field: str) -> int:
    if type(value) is not int:
        raise InputError("a process's pid is a whole number", code="bad_type", field=field)
    if not 0 <= value < LARGEST_WHOLE:
        detail = f"a pid is from 0 to {LARGEST_WHOLE}"
        raise InputError(detail, code="number_range", field=field, limit=LARGEST_WHOLE)
    return value


def _text(row: Mapping[str, Any], column: str, field: str) -> str | None:
    value = row.get(column)
    if value is None:
        return None
    where, limit = f"{field}.{column}", _TEXTS[column]
    found = names.text(value, where)
    if len(found) > limit:
        detail = f"a process's {column} has at most {limit} characters"
        raise InputError(detail, code="limit_name", field=where, limit=limit)
    return found


def _number(value: Any, field: str) -> float | None:
    if value is None:
        return None
    if type(value) not in {int, float}:
        raise InputError(f"{field} is a number or null", code="bad_type", field=field)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{field} is not finite", code="non_finite", field=field)
    if not 0 <= value < 2**63:
        raise InputError(f"{field} is out of range", code="number_range", field=field)
    return float(value)
