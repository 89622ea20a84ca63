"""A real host's series, and as many hosts and as much time as a bench wants made from them.

A recording holds one host at 1 s.  ``MONITOR_RECORDING`` names one: gzipped CSV, a row a second,
unix seconds in the first column, the others named by their KEYs.  Without it this machine is
watched for a while by this program's own collectors; such figures are for comparing stores
within one run, not with those of another recording.

A stretched host replays the recording from a random place, jumps now and then, and is shaped by
a day's curve.  Gauges keep their resolution, counters stay whole and never fall, constants stay
constant.  The same seed makes the same host.  It knows nothing of stores.
"""

from __future__ import annotations

import csv
import gzip
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.collect import subjects
from monitor.collect.config import CollectConfig
from monitor.core.catalog import CATALOG, is_counter
from monitor.errors import Absent
from monitor.model import SeriesKey

Floats = NDArray[np.float64]
_Chance = np.random.Generator

VARIABLE = "MONITOR_RECORDING"

WATCH_SECONDS = 90
"""How long this machine is watched where there is no recording: enough that most counters move."""

BURST_SECONDS = 0.3
"""In every third second of that the processor is kept busy so long: an idle host says little."""

JUMPS = 0.02
"""Share of rows at which a stretched host goes on from another place of the recording."""

DAY_SECONDS = 86_400

PAGE_BYTES = 4096
"""The resolution of sizes in memory and on disks."""

COUNT_STEPS = 100
"""Counts that are not whole, such as processor seconds, go in hundredths."""


@dataclass(frozen=True)
class Recording:
    """One host: `instants` in unix seconds, `values` float64[rows, keys], nothing missing.

    `counters` says of each key whether it only grows.
    """

    keys: tuple[str, ...]
    instants: Floats
    values: Floats
    counters: tuple[bool, ...]
    origin: str
    """Where it is from, for the reader of a table."""

    def host(self, seed: int, rows: int, step_seconds: float) -> Floats:
        """float64[rows, keys] of one made-up host, a row every `step_seconds`."""
        chance = np.random.default_rng(seed)
        length = len(self.values)
        places = (np.arange(rows) + chance.integers(length)) % length
        jumps = chance.random(rows) < JUMPS
        places[jumps] = chance.integers(0, length, int(jumps.sum()))
        phase, busy = chance.random() * 6, 0.2 + 0.8 * chance.random()
        day = np.arange(rows) * step_seconds * 2 * np.pi / DAY_SECONDS
        load = (0.6 + 0.4 * np.sin(day + phase)) * busy
        made = np.empty((rows, len(self.keys)))
        for column, key in enumerate(self.keys):
            seen = self.values[:, column]
            if seen.min() == seen.max():
                made[:, column] = seen[0]
            elif self.counters[column]:
                made[:, column] = _counter(seen, places, load * step_seconds, chance)
            else:
                made[:, column] = _rounded(key, seen, _gauge(seen, places, load, chance))
        return made


def _counter(seen: Floats, places: NDArray[np.int64], pace: Floats, chance: _Chance) -> Floats:
    """What grew in a second of the recording grows again, at another pace."""
    growth = np.maximum(np.diff(seen), 0)
    unit = 1 / COUNT_STEPS if np.any(growth != np.round(growth)) else 1.0
    grown = np.round(growth[places % len(growth)] * pace / unit) * unit
    total = seen[0] + chance.integers(10**6) + np.cumsum(grown)
    whole: Floats = np.round(total / unit) * unit
    return whole


def _gauge(seen: Floats, places: NDArray[np.int64], load: Floats, chance: _Chance) -> Floats:
    """The recording's ups and downs about its mean, larger under load, and a slow wander."""
    middle = seen.mean()
    wander = np.cumsum(chance.normal(0, seen.std() * 0.01, len(places))) * 0.1
    level: Floats = np.maximum(middle + (seen[places] - middle) * load + wander, 0)
    return level


def _rounded(key: str, seen: Floats, level: Floats) -> Floats:
    """A gauge in the steps in which such gauges come."""
    if "utilization" in key:
        ratio: Floats = np.asarray(np.round(np.minimum(level, 1), 3), np.float64)
        return ratio
    if "memory" in key or "filesystem" in key:
        pages: Floats = np.round(level / PAGE_BYTES) * PAGE_BYTES
        return pages
    digits = 4 if "pressure" in key else 2
    if np.all(seen == np.round(seen)):
        digits = 0
    rounded: Floats = np.asarray(np.round(level, digits), np.float64)
    return rounded


def recording() -> Recording:
    """The one that ``MONITOR_RECORDING`` names, or this machine as it is now."""
    path = os.environ.get(VARIABLE)
    if path:
        return _loaded(Path(path))
    print(f"{VARIABLE} names no recording: this machine is watched for {WATCH_SECONDS} s")
    return _watched(WATCH_SECONDS)


def _loaded(path: Path) -> Recording:
    with gzip.open(path, "rt", newline="") as file:
        rows = csv.reader(file)
        _, *keys = next(rows)
        table = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])
    return _of(keys, table, f"{path.name}, {len(table):,} s of a host")


def _watched(seconds: int) -> Recording:
    """This machine at 1 s, by every collector that it has the subject of."""
    collectors = list(subjects.build(CollectConfig()))
    rows: list[tuple[float, dict[str, float]]] = []
    due = time.monotonic()
    for second in range(seconds):
        now, row = time.time(), {}
        for collector in tuple(collectors):
            try:
                row.update(collector.collect(now).values)
            except Absent:
                collectors.remove(collector)
                collector.close()
        rows.append((now, row))
        until = time.monotonic() + (BURST_SECONDS if second % 3 == 0 else 0.0)
        while time.monotonic() < until:
            sum(range(1_000))
        due += 1.0
        time.sleep(max(0.0, due - time.monotonic()))
    for collector in collectors:
        collector.close()
    # Many gauges are means over the time since the last look, so the first row lacks them; and
    # what is not there in every second (the mean wait of an idle disk) is left out.
    seen = [{key for key, value in row.items() if not math.isnan(value)} for _, row in rows[2:]]
    keys = sorted(set.intersection(*seen))
    table = np.array([[now, *(row[key] for key in keys)] for now, row in rows[2:]])
    return _of(keys, table, f"this machine, watched for {seconds} s")


def _of(keys: list[str], table: Floats, origin: str) -> Recording:
    """A recording of a table whose first column are the instants; rows with holes are left out."""
    whole = table[~np.isnan(table).any(axis=1)]
    if len(whole) < 2:
        sys.exit(f"{origin}: there are fewer than two rows without a hole in them")
    values = np.ascontiguousarray(whole[:, 1:])
    counters = tuple(_counts(key, values[:, column]) for column, key in enumerate(keys))
    return Recording(tuple(keys), whole[:, 0], values, counters, origin)


def _counts(key: str, seen: Floats) -> bool:
    """Whether a series is a count: the catalog's word, else that it grew and never fell."""
    name = SeriesKey.parse(key).name
    if name in CATALOG and name != "system.uptime":  # which grows as a count does
        return is_counter(name)
    return bool(np.all(np.diff(seen) >= 0) and seen[-1] > seen[0])
