"""Hosts that are not there: load curves with the series of a real one, second by second.

A host has a role, which says how its day goes; noise and bursts are its own.  Everything follows
from one number, how busy it is, so that what a page shows together fits together.  With a fault it
does something that operators want to see found.  The same seed makes the same hosts; time is an
argument, and nothing here sends anything.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from monitor.agent import simulated_keys as keys
from monitor.agent.simulated_keys import CPUS, STATES
from monitor.agent.simulated_roles import DAY_SECONDS, ROLES, SMALL, busyness

FAULTS = ("silent", "flap", "disk", "cpu", "memory", "skew", "duplicate")
"""What may be wrong with a host: it says nothing for a while, or every other minute; its disk
fills, its processors are busy, its memory leaks; its clock is off; it says everything twice."""

GIB = float(1 << 30)
SHARES = (0.70, 0.004, 0.22, 0.0, 0.0, 0.0, 0.074, 0.002)
"""Of the busy time, by state."""

SKEW_SECONDS = 20.0
"""How far a clock is off that is: far enough to be shown, and not so far that it is refused."""

_Values = list[float]


class SimulatedHost:
    """One host: ask it for `values` at growing instants; `keys` says what they are."""

    def __init__(self, number: int, started: float, fault: str = "", seed: int = 0) -> None:
        self.name = f"sim-{number:04d}"
        self.fault = fault
        self._random = random.Random(f"{seed} {number}")  # noqa: S311 - a load curve, no secret
        self.role = ROLES[self._random.choices(range(len(ROLES)), (40, 25, 12, 10, 8, 5))[0]]
        self.labels: Mapping[str, str] = {
            "role": self.role.name,
            "env": self._random.choices(("prod", "staging"), (85, 15))[0],
            "zone": self._random.choice(("a", "b", "c")),
            "simulated": "yes",
            **({"fault": fault} if fault else {}),
        }
        self._from = started
        self._boot = started - self._random.uniform(3_600.0, 200 * DAY_SECONDS)
        self._phase = self._random.uniform(-5_400.0, 5_400.0)
        self._scale = self._random.uniform(0.75, 1.25)
        self._drift = 0.0
        self._burst = 0.0
        self._load = [0.0, 0.0, 0.0]
        self._last = self._boot
        self._ooms = 0.0
        self._was = 0.0
        self._disk_used = self._random.uniform(0.25, 0.7)
        self._cpu_time = [0.0] * (CPUS * len(STATES))
        self._groups: Sequence[tuple[tuple[str, ...], Callable[[_Now], _Values]]] = (
            (keys.CPU_TIME, self._cpu_times),
            (keys.CPU, _cpu),
            (keys.TASKS, _tasks),
            (keys.PRESSURE, self._pressures),
            (keys.MEMORY, self._memory),
            (keys.PAGING, self._paging),
            (keys.FILESYSTEM, self._filesystems),
            (keys.DISK, self._disk),
            (keys.NETWORK, self._network),
            (keys.REST, self._rest),
        )
        self._totals = [0.0] * 40
        self.keys: tuple[str, ...] = tuple(key for names, _ in self._groups for key in names)

    def is_silent(self, at: float) -> bool:
        """Whether it says nothing at this instant, not even goodbye."""
        age = at - self._from
        if self.fault == "silent":
            return age % 900.0 >= 120.0 and age % 900.0 < 420.0
        return self.fault == "flap" and age % 120.0 >= 60.0

    def clock(self, at: float) -> float:
        """What its own clock says."""
        return at + SKEW_SECONDS if self.fault == "skew" else at

    def values(self, at: float) -> _Values:
        """One frame at `at`, which is not before the last one."""
        now = self._now(at)
        row: _Values = []
        for _, group in self._groups:
            row += group(now)
        return row

    def processes(self, at: float) -> list[dict[str, object]]:
        """The table of its processes."""
        busy = busyness(self.role, at + self._phase) * self._scale
        rows: list[dict[str, object]] = []
        for pid, (command, user, share) in enumerate((*self.role.processes, *SMALL), 400):
            cpu = share * busy * CPUS * self._random.uniform(0.9, 1.1)
            rss = self.role.memory_gib * GIB * self.role.memory_ratio * share * 0.6
            rows.append(
                {
                    "pid": pid,
                    "name": command.split(" ")[0].rsplit("/", 1)[-1].rstrip(":"),
                    "user": user,
                    "state": "sleeping",
                    "cpu": round(cpu, 4),
                    "rss": float(int(rss) & -4096),
                    "io": round(self.role.disk_bytes * busy * share),
                    "command": command,
                }
            )
        return rows

    def _now(self, at: float) -> _Now:
        """Let the time until `at` pass."""
        draw = self._random.random
        seconds = max(0.001, at - self._last)
        self._last = at
        # Noise that remembers: a minute's worth, whatever the interval.
        keep = math.exp(-seconds / 60.0)
        self._drift = self._drift * keep + (draw() - 0.5) * 3.4 * math.sqrt(1.0 - keep * keep)
        self._burst *= math.exp(-seconds / 20.0)
        if self._was and draw() < seconds / 600.0:
            self._burst = draw() * 0.5
        busy = busyness(self.role, at + self._phase) * self._scale
        busy = busy * (1.0 + self.role.noise * self._drift) + self._burst
        busy += (draw() - 0.5) * 0.02
        age = at - self._from
        if self.fault == "cpu" and age % 600.0 >= 60.0 and age % 600.0 < 240.0:
            busy = 0.985 + draw() * 0.015
        busy = min(1.0, max(0.003, busy))
        running = busy * CPUS * (1.3 if busy > 0.9 else 1.0)
        for index, length in enumerate((60.0, 300.0, 900.0)):
            decay = math.exp(-seconds / length) if self._was else 0.0
            self._load[index] = self._load[index] * decay + running * (1.0 - decay)
        self._was = at
        return _Now(at, seconds, age, busy, draw(), running, tuple(self._load))

    def _counted(self, first: int, rates: Sequence[float], seconds: float) -> _Values:
        """Counters of whole things, from the `first` of the totals on, that grow at these rates."""
        totals = self._totals
        for index, rate in enumerate(rates, first):
            totals[index] += rate * seconds
        return [total // 1.0 for total in totals[first : first + len(rates)]]

    def _cpu_times(self, now: _Now) -> _Values:
        times = self._cpu_time
        index = 0
        for cpu in range(CPUS):
            # The first processors have more to do, as interrupts go to them.
            busy = min(1.0, now.busy * (1.06 - 0.04 * cpu))
            wait = now.iowait
            for state, share in enumerate(SHARES):
                part = share * busy
                if state == 3:
                    part = max(0.0, 1.0 - busy - wait)
                elif state == 4:
                    part = min(wait, 1.0 - busy)
                times[index] += part * now.seconds
                index += 1
        return [seconds * 100.0 // 1.0 / 100.0 for seconds in times]  # the kernel's hundredths

    def _pressures(self, now: _Now) -> _Values:
        cpu = max(0.0, now.busy - 0.6) * 1.2
        memory = max(0.0, self._memory_ratio(now) - 0.9) * 3.0
        io = now.iowait * 2.0
        some = (cpu, memory, io)
        shares = tuple(x for each in some for x in (min(1.0, each), min(1.0, each * 0.4)))
        stalled = self._counted(0, [each * 1e6 for each in shares], now.seconds)  # microseconds
        return [
            x for share, total in zip(shares, stalled, strict=True) for x in (share, total / 1e6)
        ]

    def _memory_ratio(self, now: _Now) -> float:
        ratio = self.role.memory_ratio * self._scale * (0.92 + 0.16 * now.busy)
        if self.fault == "memory":
            ratio += (0.985 - ratio) * (now.age % 1_200.0) / 1_200.0
        return min(0.99, max(0.05, ratio))

    def _memory(self, now: _Now) -> _Values:
        limit = self.role.memory_gib * GIB
        ratio = self._memory_ratio(now)
        used = limit * ratio
        cached = (limit - used) * 0.6
        free = limit - used - cached
        dirty = self.role.disk_bytes * now.busy * 3.0
        sizes = (
            used,
            free,
            limit - used,
            limit * 0.002,
            cached,
            limit * 0.004,
            limit * 0.02,
            limit * 0.014,
            limit * 0.006,
            used * 0.6,
            used * 0.3,
            dirty,
            dirty * 0.05,
            used * 0.85,
            limit,
        )
        return [*(size // 4_096.0 * 4_096.0 for size in sizes), ratio]

    def _paging(self, now: _Now) -> _Values:
        if self.fault == "memory" and now.age % 1_200.0 < now.seconds and now.age > 60.0:
            self._ooms += 1.0
        rates = (0.1 * now.busy, 4_000.0 * now.busy, 0.0, 0.0)
        return [*self._counted(6, rates, now.seconds), self._ooms]

    def _filesystems(self, now: _Now) -> _Values:
        row: _Values = []
        for size, ratio in (
            (40.0 * GIB, 0.35 + 0.1 * self._scale),
            (500.0 * GIB, self._filled(now)),
        ):
            used, whole = size * 0.95 * ratio // 4_096.0 * 4_096.0, size * 0.95 // 4_096.0 * 4_096.0
            inodes = size / 16_384.0
            files = inodes * ratio * 0.3 // 1.0
            row += [used, whole - used, size - whole, size, ratio]
            row += [files, inodes - files, files / inodes, 0.0]
        return row

    def _filled(self, now: _Now) -> float:
        if self.fault == "disk":
            # Full in half an hour, and somebody cleans up after a while.
            return min(1.0, 0.6 + 0.4 * (now.age % 2_700.0) / 1_800.0)
        return self._disk_used + 0.01 * math.sin(now.at / 7_000.0)

    def _disk(self, now: _Now) -> _Values:
        written = self.role.disk_bytes * now.busy * (0.4 + now.chance)
        read = written * 0.5
        used = min(1.0, now.iowait * 3.0 + now.busy * 0.08)
        rates = (read, written, read / 32_768.0, written / 24_576.0, used * 1e3, used * 1.6e3)
        counted = self._counted(12, rates, now.seconds)
        times = [counted[4] / 1e3, counted[5] / 1e3]  # the kernel's milliseconds
        return [*counted[:4], *times, 0.0008, 0.0021, used, used * 1.6, float(int(used * 3.0))]

    def _network(self, now: _Now) -> _Values:
        sent = self.role.network_bytes * now.busy * (0.7 + 0.6 * now.chance)
        got = sent * 0.35
        local = 2e5 * now.busy
        rates = (got, sent, got / 700.0, sent / 1_100.0, 0.0, 0.0, 0.0005, 0.0)
        quiet = (local, local, local / 500.0, local / 500.0, 0.0, 0.0, 0.0, 0.0)
        return [
            *self._counted(18, rates, now.seconds),
            1.0,
            *self._counted(26, quiet, now.seconds),
            1.0,
        ]

    def _rest(self, now: _Now) -> _Values:
        connections = float(int(20 + 1_800 * now.busy * self._scale))
        files = float(int(2_000 + 3 * connections))
        return [
            *self._counted(34, (9_000.0 * now.busy, 16_000.0 * now.busy, 4.0), now.seconds),
            connections + 120.0,
            connections,
            float(int(connections * 0.2)),
            connections,
            0.0,
            files,
            9.2e18,
            files / 9.2e18,
            150.0 + float(int(connections / 40)),
            float(int(now.running)),
            140.0 + float(int(connections / 40)),
            float(int(now.iowait * 10)),
            0.0,
            now.at - self._boot,
            self._boot // 1.0,
            1.0,
            (now.chance - 0.5) * 2e-4,
            0.0,
        ]


@dataclass(frozen=True, slots=True)
class _Now:
    """An instant of a host, and what follows for everything."""

    at: float
    seconds: float
    """Since the last one."""
    age: float
    """Since the simulation began."""
    busy: float
    chance: float
    """Another die for this instant, 0 to 1."""
    running: float
    loads: tuple[float, ...]

    @property
    def iowait(self) -> float:
        """How much of the processors waits for disks."""
        return 0.06 * self.busy * self.chance * (1.0 - self.busy)


def _cpu(now: _Now) -> _Values:
    cores = [min(1.0, now.busy * (1.06 - 0.04 * cpu)) for cpu in range(CPUS)]
    idle = max(0.0, 1.0 - now.busy - now.iowait)
    states = [share * now.busy for share in SHARES]
    states[3], states[4] = idle, min(now.iowait, 1.0 - now.busy)
    return [now.busy, *cores, *states, float(CPUS), *now.loads]


def _tasks(now: _Now) -> _Values:
    return [float(int(now.running)), 0.0, 240.0 + float(int(40 * now.busy)), 32_768.0]
