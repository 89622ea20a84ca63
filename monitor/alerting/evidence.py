"""Evidence: what was the case at the moment in which an alert fired, frozen into its event.

`freeze` reads the live state alone and is quick, for a thousand alerts may fire at once; what was
before is `monitor.alerting.hindsight`'s, which asks the store.  The shape of both together:

``{"at", "host": {"status", "uptime", "silent"}, "processes": {"cpu" | "memory" | "io" |
"descriptors": [{"pid", "name", "user", "value"}]}, "processes_at", "io_seconds", "units": [{"name",
"value", "limit"}], "pressure": {KEY: ratio}, "related": {KEY: value}, "changes": [{"at", "text"}],
"series": [{"key", "style", "t", "v"}], "forecast": {"full_in_seconds"}}``; any part may be missing.

Processes are told by name and number only: their command lines stay in the store, with whoever
may see the host.  A table of processes is some seconds old; how old is told.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from monitor.alerting.related import related
from monitor.core.state import HostState
from monitor.model import Cell, Row, SeriesKey

TOP = 5
"""Processes of each order."""

MOST_UNITS = 5
LARGEST_BYTES = 16_384
"""One alert's evidence, as JSON; series go first where it is more."""

NAME_CHARACTERS = 64
DIGITS = 5
"""Significant ones of a value."""

_ORDERS = (("cpu", "cpu"), ("memory", "rss"), ("io", "io"))
"""Each order of processes, and the column of the table that it goes by."""

_PRESSURE = "system.linux.pressure"
_UPTIME = "system.uptime"


def freeze(
    host: HostState, key: str, now: float, changes: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """What is the case on a host now that an alert of a KEY fires; see the module for its shape.

    `changes` is what changed lately, as `Changes.of` says it.
    """
    series = SeriesKey.parse(key) if key else SeriesKey("")
    found: dict[str, Any] = {"at": round(now, 3), "host": _host(host, now)}
    table = host.snapshots.get("processes")
    processes = {} if table is None else _top(table.rows)
    if table is not None and processes:
        found["processes_at"] = round(table.at, 3)
    if (limits := host.snapshots.get("limits")) is not None and limits.rows:
        processes["descriptors"] = top_rows(limits.rows[:TOP], "open")
    if processes:
        found["processes"] = processes
    if series.name.startswith(("cgroup", "system.cgroups", "system.tasks")):
        found["units"] = _units(host, series)
    if pressure := _values(host, _pressure_keys(host)):
        found["pressure"] = pressure
    if beside := _values(host, related(series.name, dict(series.attributes), host.schema)):
        beside.pop(key, None)
        found["related"] = beside
    if changes:
        found["changes"] = list(changes)
    return found


def _host(host: HostState, now: float) -> dict[str, Any]:
    found: dict[str, Any] = {"status": host.status.value if host.status else "up"}
    if math.isfinite(uptime := host.value(_UPTIME)):
        found["uptime"] = uptime
    if host.seen_at:
        found["silent"] = round(max(0.0, now - host.seen_at), 1)
    return found


def _top(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """The processes that use most of each thing; an order in which nobody uses any is left out."""
    found = {}
    for order, column in _ORDERS:
        using = [row for row in rows if amount(row.get(column)) > 0]
        largest = heapq.nlargest(TOP, using, key=lambda row, by=column: amount(row.get(by)))  # type: ignore[misc]
        if largest:
            found[order] = top_rows(largest, column)
    return found


def top_rows(rows: Sequence[Row], column: str) -> list[dict[str, Any]]:
    """Rows of a table of processes as evidence has them; `column` is the value that is told."""
    return [
        {
            "pid": row.get("pid") if isinstance(row.get("pid"), int) else None,
            "name": _word(row.get("name")),
            "user": _word(row.get("user")),
            "value": rounded(amount(row.get(column))),
        }
        for row in rows
    ]


def amount(cell: Cell) -> float:
    """A cell's number; 0 where it is none.  Other people's agents write tables too."""
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        return 0.0
    try:
        number = float(cell)
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _word(cell: Cell) -> str:
    text = cell if isinstance(cell, str) else ""
    return "".join(c if c.isprintable() else " " for c in text[:NAME_CHARACTERS])


def _units(host: HostState, series: SeriesKey) -> list[dict[str, Any]]:
    """The control groups that are fullest: of tasks, or of memory."""
    what = "memory" if ".memory" in series.name else "pids"
    column = "usage" if what == "memory" else "count"
    found = []
    schema = host.schema
    for place in schema.columns_by_name.get(f"cgroup.{what}.{column}", ()):
        value = float(host.shown[place])
        unit = schema.keys[place].get("unit")
        limit = host.value(str(SeriesKey.of(f"cgroup.{what}.limit", unit=unit)))
        if value > 0:
            share = value / limit if limit > 0 else 0.0
            found.append((share, value, unit, limit))
    return [
        {
            "name": _word(unit),
            "value": rounded(value),
            "limit": rounded(limit) if limit > 0 else None,
        }
        for _, value, unit, limit in heapq.nlargest(MOST_UNITS, found)
    ]


def _pressure_keys(host: HostState) -> list[str]:
    return [host.schema.texts[column] for column in host.schema.columns_by_name.get(_PRESSURE, ())]


def _values(host: HostState, keys: Sequence[str]) -> dict[str, float]:
    """The newest values of KEYs, those that are known."""
    return {key: rounded(value) for key in keys if math.isfinite(value := host.value(key))}


def rounded(value: float) -> float:
    """As exact as anybody reads it."""
    return float(f"{value:.{DIGITS}g}")


_EXPENDABLE: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("series", lambda series: series[:1]),
    ("related", lambda _: None),
    ("series", lambda _: None),
    ("units", lambda _: None),
    ("changes", lambda changes: changes[-3:]),
    ("processes", lambda _: None),
    ("pressure", lambda _: None),
    ("changes", lambda _: None),
)
"""What is let go of where evidence is too large, and what stays of it, in order."""


def bounded(evidence: dict[str, Any]) -> dict[str, Any]:
    """The evidence, or less of it, so that it is not larger than an event should be."""
    for name, cut in _EXPENDABLE:
        if len(msgspec.json.encode(evidence)) <= LARGEST_BYTES:
            break
        if name in evidence:
            kept = cut(evidence[name])
            evidence = {**evidence, name: kept}
            if kept is None:
                del evidence[name]
    return evidence
