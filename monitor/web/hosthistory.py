"""What a host's page asks the store for: the range of its charts, and what lies around it.

It only asks and awaits; pictures and words are made of the answers elsewhere, by a worker.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.core.state import HostState
from monitor.model import Schema, Snapshot
from monitor.ports import Buckets, SeriesStore
from monitor.web.answers import Marker
from monitor.web.charts import Plan
from monitor.web.history import markers_of
from monitor.web.rangecharts import Cut
from monitor.web.ranges import LONGEST_SECONDS, Range
from monitor.web.services import Services

LIVE_POINTS = 121
"""Buckets in a live chart's first paint: 5 s each."""

RANGE_POINTS = 400
"""Buckets of a range: about a pixel each, and every range on offer has a width that people read:
10 s an hour, 1 min in six, 5 min a day, 2 h in thirty days, a day in a year."""

FIRST_LOOKS = 3
"""Looks for the first data, each 400 times closer: from ten years to some seconds."""

PROCESSES = "processes"


@dataclass(frozen=True, slots=True)
class Past:
    """What the store had for one page."""

    cut: Cut
    first: float | None = None
    """The instant of the first data, where the range begins without any."""
    markers: tuple[Marker, ...] = ()
    processes: Snapshot | None = None
    """The table of the instant that was asked for, where there is one."""


async def past(
    services: Services, host: HostState, plans: Sequence[Plan], asked: Range, now: float
) -> Past:
    """The range of a page's charts in one question, and what it needs besides."""
    store = services.store
    series = [(host.name, text) for text in dict.fromkeys(t for p in plans for t, _ in p.lines)]
    start, end = asked.window(now)
    found = await store.range(series, start, end, LIVE_POINTS if asked.live else RANGE_POINTS)
    cut = Cut(start, end, now, asked.words(), found, periods=_periods(host))
    table = await store.snapshot_at(host.name, PROCESSES, asked.at) if asked.at else None
    if asked.live:
        return Past(cut, processes=table)
    if asked.compare:
        by = asked.earlier_seconds
        before = await store.range(series, start - by, end - by, RANGE_POINTS)
        cut = replace(cut, before=before, earlier_seconds=by)
    leading = [(host.name, plan.lines[0][0]) for plan in plans]  # one of each chart tells enough
    first = await first_data(store, leading, now) if plans and not _begins(found) else None
    markers = await markers_of(services, host.name, start, end)
    return Past(cut, first, tuple(markers), table)


async def first_data(
    store: SeriesStore, series: Sequence[tuple[str, str]], now: float
) -> float | None:
    """When the first of these series began, in unix seconds to some seconds; none if never."""
    start, end = max(0.0, now - LONGEST_SECONDS), now
    for _ in range(FIRST_LOOKS):
        found = await store.range(series, start, end, RANGE_POINTS)
        filled = np.flatnonzero(_seen(found))
        if not len(filled):
            return None
        first = float(found.starts[filled[0]])
        if found.step_seconds <= 1:
            break
        start, end = first, first + found.step_seconds
    return first


def _begins(found: Buckets) -> bool:
    """Whether there is anything in the first two buckets: the first one may be cut."""
    return bool(_seen(found)[:2].any())


def _seen(found: Buckets) -> NDArray[np.bool_]:
    """Which buckets hold anything of any series."""
    seen = np.zeros(len(found.starts), np.bool_)
    for one in found.series:
        seen |= ~np.isnan(one.average)
    return seen


def _periods(host: HostState) -> dict[str, float]:
    periods = np.nan_to_num(host.periods).tolist()
    return dict(zip(host.schema.texts, periods, strict=True))


def remembered(host: HostState, texts: Sequence[str]) -> HostState:
    """A copy of a host that has not been heard of since a start, with the series it once had.

    So its history has charts although nothing is known of the host now.
    """
    found = copy.copy(host)
    found.schema = Schema(tuple(texts))
    absent = np.full(len(texts), np.nan)
    found.raw = found.shown = found.observed_at = found.periods = absent
    return found
