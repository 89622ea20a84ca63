"""It must be that a store holds what it was given, whatever came late, twice, or across a restart.

Random frames of a host, in and out of order, repeated and of changing schemas, are given to a
store that is compacted, rolled up and opened again at random moments; every range must be that
of a plain dict of the same frames.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest

from monitor.core.rollups import TIERS, cut, observed
from monitor.model import key
from monitor.store.reading import SECONDS, widened
from monitor.store.sqlite import SqliteStore, open_store
from tests.frames import frame

COUNT = key("system.disk.io", device="vda", direction="read")
KEYS = ("a", "b", COUNT)
BASE = 1_795_996_800.0
"""A midnight, and the beginning of a block."""

SEEDS = 12
Truth = dict[float, dict[str, float]]


class Clock:
    """Unix seconds that a test moves."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def given(truth: Truth, at: float, values: dict[str, float]) -> None:
    """The first value of an instant and key stands; NaN is none."""
    row = truth.setdefault(at, {})
    for name, value in values.items():
        if not math.isnan(value) and name not in row:
            row[name] = value


def wanted(
    truth: Truth, start: float, end: float, first: int, step: float, count: int
) -> list[np.ndarray]:
    """Minimum, average and maximum of each of `KEYS`, from all rows at once."""
    at = np.array(sorted(truth))
    values = np.array([[truth[t].get(name, math.nan) for name in KEYS] for t in at.tolist()])
    counters = np.array([name == COUNT for name in KEYS])
    before = at < end
    seen = observed(at[before], values[before], counters, start)
    return list(cut([seen], first, step, count))


async def same(store: SqliteStore, truth: Truth, start: float, end: float, points: int) -> None:
    """The range of the store and that of the truth agree."""
    found = await store.range([("web-1", name) for name in KEYS], start, end, points)
    step = found.step_seconds
    first, count = round(found.starts[0] / step), len(found.starts)
    assert count <= points
    # A bucket that a tier has reaches over the ends of the range: whole ones are compared.
    low, high = widened(start, end, SECONDS.index(found.source_seconds))
    expected = wanted(truth, low, high, first, step, count)
    for place, name in enumerate(KEYS):
        one = found.series[place]
        for what, got, want in zip(
            ("minimum", "average", "maximum"),
            (one.minimum, one.average, one.maximum),
            [each[:, place] for each in expected],
            strict=True,
        ):
            np.testing.assert_allclose(
                got,
                want,
                # Tiers keep a rate's extremes to eleven bits, rounded outwards.
                rtol=1e-3 if name == COUNT and found.source_seconds else 1e-9,
                atol=1e-9,
                err_msg=f"{what} of {name}, {start} to {end}, {step}",
            )


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_store_holds_what_it_was_given(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    spacing = chance.choice([1.0, 5.0, 10.0, 15.0, 60.0])
    clock = Clock(BASE)
    store = await open_store(tmp_path, clock=clock)
    truth: Truth = {}
    at, counted, kept = BASE + chance.randrange(20_000), 0.0, []
    for _ in range(40):
        batch = []
        for _ in range(chance.randrange(1, 400)):
            at += spacing if chance.random() < 0.98 else spacing * chance.randrange(2, 900)
            counted = 0.0 if chance.random() < 0.005 else counted + chance.randrange(1000)
            names = [name for name in KEYS if chance.random() < 0.97] or ["a"]
            values = {name: float(chance.randrange(1000)) for name in names}
            if COUNT in values:
                values[COUNT] = counted
            jitter = chance.choice([0.0, 0.0, 0.003, -0.004])
            batch.append((at + jitter, values))
        if chance.random() < 0.3:  # some of it comes later, and out of order
            kept += [batch.pop(chance.randrange(len(batch))) for _ in range(len(batch) // 4)]
        if kept and chance.random() < 0.3:
            chance.shuffle(kept)
            batch += kept
            kept = []
        if truth and chance.random() < 0.3:
            old = chance.choice(list(truth))
            batch.append((old, {**truth[old], "a": 4711.0, "b": 4712.0}))
        for when, values in batch:
            given(truth, when, values)
        await store.append([frame(when, values) for when, values in batch])
        clock.now = max(clock.now, at)
        match chance.randrange(6):
            case 0:
                await store.settle()
            case 1:
                await store.close()
                store = await open_store(tmp_path, clock=clock)
            case 2:
                await asyncio.sleep(0)
        await looked_at(store, truth, chance)
    clock.now += 200_000
    await store.settle()
    await looked_at(store, truth, chance)
    await store.close()
    store = await open_store(tmp_path, clock=clock)
    for _ in range(5):
        await looked_at(store, truth, chance)
    await store.close()


async def looked_at(store: SqliteStore, truth: Truth, chance: random.Random) -> None:
    """A few ranges, of any width."""
    first, last = min(truth), max(truth)
    length = chance.choice([60.0, 3_600.0, 21_600.0, 86_400.0, last - first + 1])
    start = first + chance.random() * max(1.0, last - first - length)
    start = chance.choice([start, float(math.floor(start))])
    await same(store, truth, start, start + length, chance.choice([1, 10, 300, 1_000]))


def test_the_tiers_nest() -> None:
    """It must be that each step divides the next, or buckets could not be built on one another."""
    steps = [tier.seconds for tier in TIERS]
    assert all(coarser % finer == 0 for finer, coarser in itertools.pairwise(steps))
