"""Hindsight: what the store knows of the time before an alert fired, for its evidence.

A few series are drawn, a share that fills is forecast, and for a disk it is asked who used it in
the last ten minutes, because who filled it may have ended.  All of it is bounded in time and size,
and nothing of it is needed: where the store cannot say, the frozen evidence stands as it is.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monitor.alerting.evidence import TOP, amount, bounded, rounded, top_rows
from monitor.alerting.related import MOST_SERIES, related
from monitor.core.catalog import metric as cataloged
from monitor.core.state import HostState
from monitor.errors import MonitorError
from monitor.model import Cell, Row, SeriesKey, Snapshot
from monitor.ports import SeriesStore

SERIES_SECONDS = 900.0
SERIES_POINTS = 60
SERIES_PATIENCE_SECONDS = 2.0
"""How long a store may take before the alert is told without series."""

LOOKED_BACK_SECONDS = (10.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 420.0, 480.0, 540.0, 600.0)
"""How long ago the tables are of, in which it is looked who used a disk."""

AROUND_SECONDS = 30.0
"""Of an instant: tables are a minute apart, so that nothing is looked at twice or left out."""

FORECAST_SECONDS = 7 * 86_400.0
"""What fills more slowly than in so long is not told to fill."""

LEAST_SLOPES = 5

_FILESYSTEM = ("system.filesystem.utilization", "system.filesystem.usage")
_PRESSURE = "system.linux.pressure"


def drawn(host: HostState, key: str) -> list[str]:
    """The KEYs that are drawn beside each other for an alert: its own first."""
    series = SeriesKey.parse(key) if key else SeriesKey("")
    own = [key] if key in host.schema.index else []
    others = related(series.name, dict(series.attributes), host.schema)
    return [*own, *(each for each in others if each != key)][:MOST_SERIES]


async def before(
    store: SeriesStore, host: str, keys: Sequence[str], now: float
) -> list[dict[str, Any]]:
    """The quarter of an hour before of a few KEYs; nothing where the store cannot say in time."""
    if not keys:
        return []
    pairs = [(host, key) for key in keys[:MOST_SERIES]]
    try:
        async with asyncio.timeout(SERIES_PATIENCE_SECONDS):
            found = await store.range(pairs, now - SERIES_SECONDS, now, SERIES_POINTS)
    except (MonitorError, TimeoutError):
        return []
    starts = [round(float(at)) for at in found.starts]
    return [
        {
            "key": each.key,
            "style": cataloged(SeriesKey.parse(each.key).name).style.value,
            "t": starts,
            "v": [rounded(value) if math.isfinite(value) else None for value in each.average],
        }
        for each in found.series
        if np.isfinite(each.average).any()
    ]


def _is_of_disks(key: str) -> bool:
    """Whether an alert of a KEY is about who read and wrote lately, not at this moment."""
    return key.startswith(("system.filesystem", "system.disk", "monitor.data")) or (
        key.startswith(_PRESSURE) and 'resource="io"' in key
    )


async def tables_before(store: SeriesStore, host: str, now: float) -> list[Snapshot]:
    """Tables of processes of the last ten minutes; none where the store cannot say in time."""
    try:
        async with asyncio.timeout(SERIES_PATIENCE_SECONDS):
            found = await asyncio.gather(
                *(store.snapshot_at(host, "processes", now - ago) for ago in LOOKED_BACK_SECONDS)
            )
    except (MonitorError, TimeoutError):
        return []
    tables = {
        table.at: table
        for table in found
        if table is not None and table.at > now - 2 * LOOKED_BACK_SECONDS[-1]
    }
    return list(tables.values())


def users_of_disks(
    tables: Sequence[Snapshot], series: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """The processes that read and wrote most, as far as tables tell it.

    Of a filesystem that filled meanwhile, as the first of drawn series says, each table counts by
    how much it filled then: a copy to another disk, before or after, did not fill this one.
    `value` is the mean over the tables that count, in bytes a second.
    """
    shares = [_filled(series, table.at) for table in tables]
    if not sum(shares):
        shares = [1.0] * len(tables)
    sums: dict[tuple[Cell, Cell], float] = {}
    rows: dict[tuple[Cell, Cell], Row] = {}
    for table, share in zip(tables, shares, strict=True):
        if not share:
            continue
        for row in table.rows:
            if (used := amount(row.get("io"))) > 0:
                which = row.get("pid"), row.get("name")
                sums[which] = sums.get(which, 0.0) + used * share
                rows[which] = row
    whole = sum(shares)
    largest = heapq.nlargest(TOP, sums, key=lambda which: sums[which])
    return top_rows([{**rows[which], "io": sums[which] / whole} for which in largest], "io")


def _filled(series: Sequence[Mapping[str, Any]], at: float) -> float:
    """How much the filesystem that an alert is about filled around an instant; 0 if it is none."""
    if not series or not (key := SeriesKey.parse(series[0]["key"])).name.startswith(_FILESYSTEM):
        return 0.0
    near = [
        value
        for time, value in zip(series[0]["t"], series[0]["v"], strict=True)
        if value is not None and abs(time - at) <= AROUND_SECONDS
    ]
    if not near:
        return 0.0
    grown: float = near[-1] - near[0]
    return max(0.0, -grown if key.get("state") == "free" else grown)


async def complete(
    frozen: Mapping[str, Any],
    store: SeriesStore,
    host: HostState,
    key: str,
    *,
    fills: bool = False,
) -> dict[str, Any]:
    """Frozen evidence with what the store knows of the time before, never larger than it may be.

    `fills` says that the alert's rule is about a share that fills up, so that a forecast is made.
    Within a few seconds it is done, whatever the store does.
    """
    at = float(frozen["at"])
    is_of_disks = _is_of_disks(key)
    series, tables = await asyncio.gather(
        before(store, host.name, drawn(host, key), at),
        tables_before(store, host.name, at) if is_of_disks else _nothing(),
    )
    found = dict(frozen)
    if users := users_of_disks(tables, series):
        found["processes"] = {**found.get("processes", {}), "io": users}
        found["io_seconds"] = LOOKED_BACK_SECONDS[-1]
    return whole(found, series, fills)


async def _nothing() -> list[Snapshot]:
    return []


def full_in(series: Sequence[Mapping[str, Any]]) -> float | None:
    """In how many seconds the first of drawn series, a share, reaches 1 at its recent pace.

    The pace is the median of the slopes between points a quarter of the series apart, which one
    jump does not turn (`monitor.core.forecast`).  None where it does not fill, or not soon.
    """
    if not series or series[0]["style"] != "percent":
        return None
    points = [
        (at, value)
        for at, value in zip(series[0]["t"], series[0]["v"], strict=True)
        if value is not None
    ]
    apart = len(points) // 4
    slopes = [
        (late[1] - early[1]) / (late[0] - early[0])
        for early, late in zip(points, points[apart:], strict=False)
        if late[0] > early[0]
    ]
    if len(slopes) < LEAST_SLOPES:
        return None
    slope = float(np.median(slopes))
    left = (1.0 - points[-1][1]) / slope if slope > 0 else math.inf
    return max(0.0, left) if left < FORECAST_SECONDS else None


def whole(
    frozen: Mapping[str, Any], series: Sequence[Mapping[str, Any]], fills: bool = False
) -> dict[str, Any]:
    """Frozen evidence with what was before, and a forecast where the alert's own series `fills`."""
    found = dict(frozen)
    if series:
        found["series"] = list(series)
    if fills and (seconds := full_in(series)) is not None:
        found["forecast"] = {"full_in_seconds": round(seconds)}
    return bounded(found)
