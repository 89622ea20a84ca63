"""Backtesting one rule over two weeks of a hundred hosts, from a store on a disk.

Hosts sent once a minute, which is also the resolution in which two weeks of a host that sends every
second are kept, and all is rolled up before the first question.  The store and the backtest are in
this process; what is told is how long somebody waits, and the processor time of all its threads.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.alerts.shapes import host, median
from bench.ingest.fleet import PLACE
from bench.recording import Floats
from bench.store.own_process import processor_seconds
from monitor.alerting.backtesting import Backtest, backtest
from monitor.core.rules.model import Above, Clause, Condition, Level, Reduce, Rule, Severity
from monitor.core.state import LiveState
from monitor.model import Frame, Schema, key
from monitor.ports import SeriesStore
from monitor.store.config import RetentionConfig
from monitor.store.sqlite import open_store

STEP_SECONDS = 60.0
DAY_SECONDS = 86_400.0
MOUNTPOINTS = ("/", "/boot", "/home", "/var")
METRIC = "system.filesystem.utilization"
KEYS = (
    "app.bench.load",
    *(key(METRIC, mountpoint=each) for each in MOUNTPOINTS),
)

FRAMES_AT_ONCE = 1_000
IN_FLIGHT = 100

ABOVE, CLEAR = 0.8, 0.7


@dataclass(frozen=True)
class Past:
    """One rule: medians of some backtests."""

    what: str
    series: int
    steps: int
    resolution_seconds: float
    firings: int
    seconds: float
    cpu_seconds: float


def rules() -> tuple[tuple[str, Rule], ...]:
    """One series a host, several, and a mean over ten minutes."""
    return (
        ("one series a host", _rule(Condition("app.bench.load"))),
        ("four series a host", _rule(Condition(METRIC))),
        ("avg over 10m of one", _rule(Condition("app.bench.load", None, Reduce.AVG, 600.0))),
    )


def _rule(condition: Condition) -> Rule:
    clause = Clause(condition, Above(ABOVE, CLEAR))
    return Rule("bench", (Level(Severity.WARNING, (clause,), for_seconds=300.0),))


def past(hosts: int, days: float, runs: int) -> list[Past]:
    """Each rule over so many days."""
    return asyncio.run(_past(hosts, days, runs))


async def _past(hosts: int, days: float, runs: int) -> list[Past]:
    end = time.time() // STEP_SECONDS * STEP_SECONDS
    start = end - days * DAY_SECONDS
    names = [host(number) for number in range(hosts)]
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=PLACE) as folder:
        store = await open_store(Path(folder), RetentionConfig())
        try:
            await _feed(store, names, start, end)
            await store.settle()
            return [await _judged(store, *each, start, end, names, runs) for each in rules()]
        finally:
            await store.close()


async def _feed(store: SeriesStore, names: list[str], start: float, end: float) -> None:
    waiting: list[list[Frame]] = [[]]
    for frame in _frames(names, start, end):
        waiting[-1].append(frame)
        if len(waiting[-1]) == FRAMES_AT_ONCE:
            if len(waiting) == IN_FLIGHT:
                await asyncio.gather(*map(store.append, waiting))
                waiting = []
            waiting.append([])
    await asyncio.gather(*(store.append(each) for each in waiting if each))


def _frames(names: list[str], start: float, end: float) -> Iterator[Frame]:
    """Levels with a day's curve of their own, and noise: a few cross the limit each day."""
    chance, schema = np.random.default_rng(1), Schema(KEYS)
    shape = len(names), len(KEYS)
    levels = chance.uniform(0.3, 0.6, shape)
    swings, phases = chance.uniform(0.0, 0.25, shape), chance.uniform(0, 2 * np.pi, shape)
    for at in np.arange(start, end, STEP_SECONDS).tolist():
        curve = np.sin(2 * np.pi * at / DAY_SECONDS + phases)
        noise = chance.normal(0.0, 0.02, shape)
        values: Floats = np.round(np.clip(levels + swings * curve + noise, 0.0, 1.0), 3)
        for name, row in zip(names, values, strict=True):
            yield Frame(name, at, schema, array("d", row.tobytes()))


async def _judged(
    store: SeriesStore,
    what: str,
    rule: Rule,
    start: float,
    end: float,
    names: list[str],
    runs: int,
) -> Past:
    waits, spent = [], []
    found: Backtest | None = None
    for _ in range(runs):
        used, began = processor_seconds(), time.perf_counter()
        found = await backtest(store, LiveState(), rule, start, end, names)
        waits.append(time.perf_counter() - began)
        spent.append(processor_seconds() - used)
    assert found is not None
    if found.left_out or found.hosts != len(names):
        raise RuntimeError(f"of {len(names)} hosts {found.hosts} were judged: {found.left_out[:3]}")
    steps = round((end - start) / found.resolution_seconds)
    return Past(
        what,
        found.series,
        steps,
        found.resolution_seconds,
        found.count,
        median(waits),
        median(spent),
    )
