"""Hosts that are not there: the KEYs of one, and values that move as such values do.

Counters rise, at a pace of their own that comes and goes; gauges wander about a level in the steps
in which such gauges come; two in five never move, as on a real host.  The same seed makes the same
values.  The first column counts the host's frames, so that what was stored can be told apart.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.recording import Floats
from monitor.core.catalog import is_counter
from monitor.model import SeriesKey, key

LEDGER = key("app.bench.frames")
"""The column that counts: 0 in the first frame of a host, then 1 more in each."""

CONSTANT = 0.4
"""Share of the columns that never move."""

CPUS = ("0", "1", "2", "3")
STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
DEVICES = ("sda", "sdb")
INTERFACES = ("eth0", "eth1", "lo")
MOUNTPOINTS = ("/", "/boot", "/home", "/var")


def keys(series: int) -> tuple[str, ...]:
    """The KEYs of such a host, the ledger's first."""
    found = [LEDGER, *_keys()]
    found += [key("app.bench.gauge", kind=f"{each:03d}") for each in range(series - len(found))]
    return tuple(found[:series])


def _keys() -> Iterator[str]:
    yield "system.cpu.utilization"
    for cpu in CPUS:
        yield key("system.cpu.utilization", cpu=cpu)
        for state in STATES:
            yield key("system.cpu.time", cpu=cpu, state=state)
    for minutes in ("1m", "5m", "15m"):
        yield f"system.cpu.load_average.{minutes}"
    for resource in ("cpu", "io", "memory"):
        yield key("system.linux.pressure", resource=resource, kind="some")
    for state in ("used", "free", "buffers", "cached", "slab", "available"):
        yield key("system.memory.usage", state=state)
    yield from ("system.memory.utilization", "system.memory.limit", "system.paging.utilization")
    for mountpoint in MOUNTPOINTS:
        yield key("system.filesystem.utilization", mountpoint=mountpoint)
        yield key("system.filesystem.limit", mountpoint=mountpoint)
        for state in ("used", "free", "reserved"):
            yield key("system.filesystem.usage", mountpoint=mountpoint, state=state)
    for device in DEVICES:
        for direction in ("read", "write"):
            for what in ("io", "operations", "merged", "operation_time"):
                yield key(f"system.disk.{what}", device=device, direction=direction)
        yield key("system.disk.utilization", device=device)
    for interface in INTERFACES:
        for direction in ("receive", "transmit"):
            for what in ("io", "packets", "errors", "dropped"):
                yield key(f"system.network.{what}", interface=interface, direction=direction)
    for name in ("context_switches", "interrupts", "soft_interrupts"):
        yield f"system.cpu.{name}"
    for state in ("running", "sleeping", "blocked", "zombie"):
        yield key("system.processes.count", state=state)
    yield from ("system.processes.created", "system.tasks.count", "system.uptime")


class Values:
    """The values of so many hosts with these KEYs."""

    def __init__(self, hosts: int, texts: tuple[str, ...], seed: int = 1) -> None:
        self._chance = np.random.default_rng(seed)
        shape = hosts, len(texts)
        names = [SeriesKey.parse(text).name for text in texts]
        self._counts = np.array([is_counter(name) for name in names])
        ratios = np.array(["utilization" in name or "pressure" in name for name in names])
        self._tops = np.where(ratios, 1.0, 1e9)
        self._steps = np.where(ratios, 1e-3, np.where(self._chance.random(shape[1]) < 0.5, 1, 4096))
        moves = self._chance.random(shape[1]) >= CONSTANT
        self._paces = moves * 10.0 ** self._chance.uniform(0, 4, shape[1]) * self._steps
        self._paces[ratios] = moves[ratios] * 0.02
        levels = np.where(ratios, self._chance.random(shape), self._chance.uniform(0, 1e9, shape))
        self._levels: Floats = np.round(levels / self._steps) * self._steps
        self.counted = np.zeros(hosts)
        """What the ledger of each host says next."""

    def next(self, hosts: NDArray[np.intp]) -> Floats:
        """The next row of each of these hosts: float64[hosts, keys]."""
        normal = self._chance.standard_normal((len(hosts), len(self._counts)))
        moved = np.where(self._counts, np.abs(normal), normal) * self._paces
        moved = np.round(moved / self._steps) * self._steps
        levels = np.clip(self._levels[hosts] + moved, 0, None)
        levels = np.where(self._counts, levels, np.minimum(levels, self._tops))
        self._levels[hosts] = levels
        row: Floats = np.round(levels, 3)
        row[:, 0] = self.counted[hosts]
        self.counted[hosts] += 1
        return row
