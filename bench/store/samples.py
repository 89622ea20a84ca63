"""What the stores are given: the same rows of the same hosts, from one file on disk.

Whoever feeds a store reads its rows a stretch at a time, so that what a process weighs is its
store and not what it is fed.  It knows nothing of stores.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bench.recording import Floats, Recording

FLOAT_BYTES = 8

LATE_SECONDS = 0.002
"""Mean by which the rows of a late set follow the beat: what an agent's own work takes."""


@dataclass(frozen=True)
class Samples:
    """Some hosts' rows: float64[hosts, rows, 1 + keys] in `path`, the first column unix seconds."""

    name: str
    path: str
    keys: tuple[str, ...]
    hosts: tuple[str, ...]
    rows: int
    step_seconds: float
    start: float

    @property
    def count(self) -> int:
        """How many samples these are."""
        return len(self.hosts) * self.rows * len(self.keys)

    @property
    def end(self) -> float:
        """Just after the last row, in unix seconds."""
        return self.start + self.rows * self.step_seconds

    def stretch(self, host: int, first: int, last: int) -> tuple[Floats, Floats]:
        """The instants and the values, float64[rows, keys], of one host's rows [first, last)."""
        width = 1 + len(self.keys)
        last = min(last, self.rows)
        offset = (host * self.rows + first) * width * FLOAT_BYTES
        table = np.fromfile(self.path, np.float64, (last - first) * width, offset=offset)
        table = table.reshape(-1, width)
        return table[:, 0], table[:, 1:]

    def text(self) -> str:
        """For `read`, in another process."""
        return json.dumps(asdict(self))


def read(text: str) -> Samples:
    """What `Samples.text` wrote."""
    told = json.loads(text)
    told["keys"], told["hosts"] = tuple(told["keys"]), tuple(told["hosts"])
    return Samples(**told)


def as_it_is(folder: Path, name: str, source: Recording, start: float) -> Samples:
    """The recording itself, moved in time by whole seconds."""
    instants = source.instants - np.floor(source.instants[0]) + start
    rows = len(instants)
    return _written(folder, name, source, 1, rows, 1.0, start, lambda _: (instants, source.values))


def stretched(
    folder: Path,
    name: str,
    source: Recording,
    hosts: int,
    rows: int,
    step_seconds: float,
    start: float,
    *,
    late: bool = False,
) -> Samples:
    """So many made-up hosts, on the beat or a little late."""
    beat = np.float64(start) + np.arange(rows, dtype=np.float64) * step_seconds
    chance = np.random.default_rng(0)

    def made(seed: int) -> tuple[Floats, Floats]:
        delays = chance.gamma(2, LATE_SECONDS / 2, rows).round(6)
        return (beat + delays if late else beat), source.host(seed, rows, step_seconds)

    return _written(folder, name, source, hosts, rows, step_seconds, start, made)


def _written(
    folder: Path,
    name: str,
    source: Recording,
    hosts: int,
    rows: int,
    step_seconds: float,
    start: float,
    made: Callable[[int], tuple[Floats, Floats]],
) -> Samples:
    path = folder / f"{name.replace(' ', '-').replace(',', '')}.f64"
    with path.open("wb") as file:
        for seed in range(1, hosts + 1):
            instants, values = made(seed)
            np.column_stack((instants, values)).tofile(file)
    names = tuple(f"web-{seed}.example.com" for seed in range(1, hosts + 1))
    return Samples(name, str(path), source.keys, names, rows, step_seconds, start)
