"""A store that has had a host for most of a year: what it says of an instant is arithmetic.

So any range can be asked for, and a test knows what must be drawn.  It has a night without
data, and an hour that was lost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from monitor.core.series import Floats, bucket_plan
from monitor.ingest.intake import Intake
from monitor.model import Row, Snapshot
from monitor.pipeline import Pipeline
from monitor.ports import Buckets, Loss, SeriesBuckets, StoreWarning
from monitor.store.memory import MemoryStore
from tests.browser.rig import Rig

HOUR, DAY = 3_600.0, 86_400.0
SAMPLES = 8
"""Values in each bucket."""


def year_rig(now: float) -> tuple[Rig, YearStore]:
    """A server whose host has a year behind it, not yet serving."""
    rig, store = Rig("web-1"), YearStore(now)
    rig.pipeline = Pipeline(rig.state, store, rig.log, rig.hub.offer, time.time)
    rig.services = replace(
        rig.services,
        store=store,
        intake=Intake(rig.pipeline.accept_all, rig.fleet, time.time),
    )
    rig.store = store
    return rig, store


class YearStore(MemoryStore):
    """A `SeriesStore` whose past is made up; `now` is the instant at which it was made."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.now = now
        self.first = now - 300 * DAY
        self.silent = (now - 3 * HOUR, now - 2 * HOUR - 20 * 60)
        self.long_silent = (now - 12 * DAY, now - 11 * DAY)
        self.loss = Loss("web-1", now - 5 * HOUR, now - 4.5 * HOUR, "a damaged chunk was set aside")
        self.booted = now - 4 * HOUR
        self.started = now - 1_800.0
        self.said: tuple[StoreWarning, ...] = ()
        self.asked: list[tuple[float, float, int]] = []
        """Every range that was asked for: its start, its end, its points."""

    def value(self, key: str, at: Floats) -> Floats:
        """What a series was: a day's rhythm, its noise, and nothing where there was nothing."""
        if key.endswith("uptime") or key.startswith("process.uptime"):
            begun = self.booted if key == "system.uptime" else self.started
            return np.where(at > begun, at - begun, at - self.first)
        salt = sum(map(ord, key)) % 97
        unit = 2.0**30 if "memory.usage" in key else 1.0
        scale = {"system.network.io": 2e6, "system.cpu.load_average": 4.0}
        unit *= next((size for name, size in scale.items() if key.startswith(name)), 1.0)
        day = 0.5 + 0.5 * np.sin(2 * math.pi * (at / DAY + salt / 97))
        week = 0.8 + 0.2 * np.sin(2 * math.pi * at / (7 * DAY))
        noise = np.abs(np.sin(at * 12.9898 + salt) * 43758.5453) % 1.0
        found: Floats = unit * (0.05 + 0.12 * day * week + 0.12 * noise**4 * day)
        silent = (at < self.first) | (at > self.now + 5 * DAY)
        for start, end in (self.silent, self.long_silent, (self.loss.start, self.loss.end)):
            silent |= (at >= start) & (at < end)
        found[silent] = np.nan
        return found

    async def range(
        self,
        series: Sequence[tuple[str, str]],
        start: float,
        end: float,
        points: int,
        raw: bool = False,
    ) -> Buckets:
        """At most `points` buckets of what was made up."""
        del raw
        self.asked.append((start, end, points))
        first, step, count = bucket_plan(start, end, points, 1.0)
        starts = (first + np.arange(count)) * np.float64(step)
        at = starts[:, None] + step * (np.arange(SAMPLES) + 0.5) / SAMPLES
        begins = (starts <= self.first) & (self.first < starts + step)
        at[begins, 0] = self.first
        at = np.where(at <= self.now + 5 * DAY, at, np.nan)
        made = []
        for host, key in series:
            values = self.value(key, at)
            empty = np.isnan(values).all(axis=1)
            values[empty] = 0.0
            cut = [
                np.where(empty, np.nan, of(values, axis=1))
                for of in (np.nanmin, np.nanmean, np.nanmax)
            ]
            made.append(SeriesBuckets(host, key, *cut))
        losses = (self.loss,) if self.loss.start < end and self.loss.end > start else ()
        return Buckets(starts, float(step), tuple(made), 0.0, losses)

    async def snapshot_at(self, host: str, kind: str, at: float) -> Snapshot | None:
        """A process that is named for the hour, since the first data."""
        if at < self.first:
            return None
        hour = math.floor(at / HOUR) * HOUR
        row: Row = {"pid": 7, "name": f"job-{hour:.0f}", "user": "root", "cpu": 0.5, "rss": 1e9}
        return Snapshot(host, hour, kind, (row,))

    async def series(self, host: str) -> tuple[str, ...]:
        """What the live frames of the host have; of one that is gone, what it once had."""
        return await super().series(host) or ("system.cpu.load_average.1m",)

    def warnings(self) -> tuple[StoreWarning, ...]:
        """What a test made it say."""
        return self.said
