"""Snapshots in a push: the tables that a sender may add to its numbers.

There is one kind for each table that a host's page has: processes, control groups, filesystems,
limits, facts of the system, collectors.  A kind that is not known is refused rather than ignored:
nothing would ever show it, and its sender should hear that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from monitor.errors import InputError, excerpt
from monitor.ingest import names
from monitor.model import Cell, Row, Snapshot

MOST_ROWS = 200
"""Rows of one table; our own agent sends no more."""

MOST_SYSTEMS = 1
"""A host is one system."""

LONGEST_WORD_CHARACTERS = 256
"""A process's name or user, a device, a fact."""

LONGEST_TEXT_CHARACTERS = 4_096
"""A command line, a path, options, a note; our own agent cuts them much shorter."""

LARGEST_WHOLE = 2**53
"""Up to here a whole number is exact wherever it is shown."""

_Take: TypeAlias = Callable[[Any, str], Cell]
"""Makes a cell of what was sent, where it was; raises `InputError`."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of table: what a row of it is, its columns in order, and those that none lacks."""

    row: str
    columns: Mapping[str, _Take]
    required: tuple[str, ...] = ()
    most_rows: int = MOST_ROWS


def snapshots(value: Any, host: str, at: float) -> list[Snapshot]:
    """The tables of a push, at the instant of its newest frame.

    A row has exactly the documented columns afterwards: what names it is required, others may be
    null or missing, and columns of other names are left out.
    """
    if not isinstance(value, dict):
        raise InputError("snapshots is an object of tables", code="bad_type", field="snapshots")
    made = []
    for name, rows in value.items():
        field = f"snapshots.{excerpt(name)}"
        kind = _KINDS.get(name)
        if kind is None:
            detail = f"there is no table of the kind {excerpt(name)}; known are {', '.join(_KINDS)}"
            raise InputError(detail, code="unknown_snapshot", field=field)
        if not isinstance(rows, list):
            raise InputError(f"{field} is a list of rows", code="bad_type", field=field)
        if len(rows) > kind.most_rows:
            detail = f"{field} has at most {kind.most_rows} rows, not {len(rows)}"
            raise InputError(detail, code="too_many_rows", field=field, limit=kind.most_rows)
        table = tuple(_row(kind, row, f"{field}[{number}]") for number, row in enumerate(rows))
        made.append(Snapshot(host, at, name, table))
    return made


def _row(kind: _Kind, row: Any, field: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(f"{field} is an object", code="bad_type", field=field)
    for required in kind.required:
        if row.get(required) is None:
            detail = f"a {kind.row} has a {required}"
            raise InputError(detail, code="bad_shape", field=f"{field}.{required}")
    return {
        column: take(row.get(column), f"{field}.{column}") for column, take in kind.columns.items()
    }


def _pid(value: Any, field: str) -> int:
    if type(value) is not int:
        raise InputError(f"{field} is a whole number", code="bad_type", field=field)
    if not 0 <= value < LARGEST_WHOLE:
        detail = f"a pid is from 0 to {LARGEST_WHOLE}"
        raise InputError(detail, code="number_range", field=field, limit=LARGEST_WHOLE)
    return value


def _text(limit: int, value: Any, field: str) -> str | None:
    if value is None:
        return None
    found = names.text(value, field)
    if len(found) > limit:
        detail = f"{field} has at most {limit} characters"
        raise InputError(detail, code="limit_name", field=field, limit=limit)
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


_WORD = partial(_text, LONGEST_WORD_CHARACTERS)
_TEXT = partial(_text, LONGEST_TEXT_CHARACTERS)

_KINDS = {
    "processes": _Kind(
        "process",
        {
            "pid": _pid,
            "name": _WORD,
            "user": _WORD,
            "cpu": _number,
            "rss": _number,
            "io": _number,
            "command": _TEXT,
        },
        ("pid", "name"),
    ),
    "cgroups": _Kind(
        "control group",
        {
            "unit": _WORD,
            "path": _TEXT,
            "cpu": _number,
            "memory": _number,
            "memory_limit": _number,
            "io": _number,
            "pids": _number,
            "throttled": _number,
        },
        ("unit", "path"),
    ),
    "filesystems": _Kind(
        "filesystem",
        {"mountpoint": _TEXT, "device": _TEXT, "type": _WORD, "options": _TEXT},
        ("mountpoint",),
    ),
    "limits": _Kind(
        "process",
        {"pid": _pid, "name": _WORD, "open": _number, "limit": _number, "ratio": _number},
        ("pid", "name"),
    ),
    "system": _Kind(
        "system",
        {
            "hostname": _WORD,
            "os": _WORD,
            "kernel": _WORD,
            "architecture": _WORD,
            "cpu_model": _WORD,
            "cpus": _number,
            "virtualization": _WORD,
            "boot_id": _WORD,
            "timezone": _WORD,
        },
        most_rows=MOST_SYSTEMS,
    ),
    "collectors": _Kind(
        "collector",
        {
            "collector": _WORD,
            "status": _WORD,
            "interval": _number,
            "duration": _number,
            "cpu": _number,
            "note": _TEXT,
        },
        ("collector",),
    ),
}
"""What is known, by name; the columns are those of our own collectors."""
