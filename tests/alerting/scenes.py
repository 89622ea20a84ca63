"""A host's day as numbers: what the tests of the shipped rules judge.

Values are by KEY, each a number or one a step; they wobble as a seed says, never by the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from monitor.alerting.shipped import shipped
from monitor.core.backtest import Firing, History, backtest
from monitor.core.rules.model import Rule, Severity
from monitor.core.rules.reading import read_layers
from monitor.core.rules.ruleset import RuleSet
from monitor.core.series import Floats
from monitor.model import Schema, key

Value = float | Floats | Callable[[Floats], Floats]
"""A number, one number a step, or what makes these of the seconds since the start."""

START = 1_700_000_000.0


@cache
def defaults() -> RuleSet:
    """The shipped rules, which have no fault."""
    rules, faults = read_layers([shipped()])
    assert not faults
    return rules


@dataclass(frozen=True)
class Day:
    """A host over `hours`, a value each `step` seconds.

    Of an idle host of which only a few things are otherwise (`differs`, KEYs) the rules on these
    are judged: that the others stay silent is for the idle host's own test.
    """

    values: Mapping[str, Value]
    hours: float
    step: float = 60.0
    labels: Mapping[str, str] | None = None
    differs: Collection[str] = ()

    def history(self) -> History:
        """As the evaluator takes it."""
        seconds = np.arange(0.0, self.hours * 3_600, self.step)
        columns = [
            value(seconds) if callable(value) else np.broadcast_to(value, seconds.shape)
            for value in self.values.values()
        ]
        schema = Schema(tuple(self.values))
        return History("db-1", self.labels or {}, schema, np.array(columns, np.float64).T)

    def firings(self, *names: str) -> list[tuple[str, Firing]]:
        """What would have fired, by rule; of the rules of these names, or of all."""
        rules: list[Rule] = [
            rule
            for name, rule in defaults().rules.items()
            if (name in names if names else self._concerns(rule))
        ]
        history = self.history()
        return [
            (rule.name, firing)
            for rule in rules
            for firing in backtest(rule, [history], START, self.step)
        ]

    def _concerns(self, rule: Rule) -> bool:
        metrics = {text.partition("{")[0] for text in self.differs}
        return not metrics or any(
            clause.condition.metric in metrics for level in rule.levels for clause in level.clauses
        )

    def told(self, *names: str) -> set[str]:
        """The rules of which somebody would have had a message."""
        firings = self.firings(*names)
        return {name for name, firing in firings if firing.severity is not Severity.INFO}


def wobbling(low: float, high: float, seed: int) -> Callable[[Floats], Floats]:
    """Anything from low to high, each step."""

    def made(seconds: Floats) -> Floats:
        return np.random.default_rng(seed).uniform(low, high, len(seconds))

    return made


def rising(start: float, end: float, begins: float, ends: float) -> Callable[[Floats], Floats]:
    """From `start` to `end` between two instants, in hours; flat before and after."""
    return lambda seconds: np.interp(seconds / 3_600, [begins, ends], [start, end])


def while_(begins: float, ends: float, value: Value, other: float) -> Callable[[Floats], Floats]:
    """A value between two instants, in hours, and another before and after."""

    def made(seconds: Floats) -> Floats:
        inside = value(seconds) if callable(value) else np.broadcast_to(value, seconds.shape)
        hours = seconds / 3_600
        return np.where((hours >= begins) & (hours < ends), inside, other)

    return made


PRESSURE = "system.linux.pressure"
CPU = "system.cpu.utilization"
FILESYSTEM = "system.filesystem"


def pressure(resource: str, kind: str, over: str = "avg300") -> str:
    """The KEY of a pressure over so long."""
    return key(f"{PRESSURE}.{over}", resource=resource, kind=kind)


def filesystem(
    mountpoint: str, size: float, used: float | Callable[[Floats], Floats], readonly: float = 0.0
) -> dict[str, Value]:
    """A filesystem of a size in bytes; `used` is a share."""

    def free(seconds: Floats) -> Floats:
        share = used(seconds) if callable(used) else np.broadcast_to(used, seconds.shape)
        return size * (1.0 - share)

    return {
        key(f"{FILESYSTEM}.utilization", mountpoint=mountpoint): used,
        key(f"{FILESYSTEM}.usage", mountpoint=mountpoint, state="free"): free,
        key(f"{FILESYSTEM}.limit", mountpoint=mountpoint): size,
        key(f"{FILESYSTEM}.readonly", mountpoint=mountpoint): readonly,
        key(f"{FILESYSTEM}.flipped", mountpoint=mountpoint): 0.0,
        key(f"{FILESYSTEM}.inodes.utilization", mountpoint=mountpoint): 0.1,
    }


def idle(hours: float) -> dict[str, Value]:
    """A laptop of 8 GB on which nobody does much: everything a host has, all of it calm."""
    sensor = {"device": "coretemp", "sensor": "Package id 0"}
    disk = {"device": "nvme0n1", "direction": "read"}
    return {
        CPU: wobbling(0.01, 0.2, 1),
        f"{CPU}.ordinary": wobbling(0.01, 0.2, 2),
        key(CPU, state="iowait"): wobbling(0.0, 0.05, 3),
        key(CPU, state="steal"): 0.0,
        **{
            pressure(resource, kind, over): wobbling(0.0, 0.02, 4)
            for resource in ("cpu", "memory", "io")
            for kind in ("some", "full")
            for over in ("avg60", "avg300")
        },
        "system.memory.utilization": wobbling(0.6, 0.8, 5),
        key("system.memory.usage", state="available"): wobbling(1.6e9, 3.2e9, 6),
        "system.paging.churn": wobbling(0.0, 0.01, 7),
        key("system.paging.faults", kind="major"): wobbling(0.0, 200.0, 8),
        "system.memory.oom_kills": 0.0,
        key("system.memory.oom_kills", kind="system"): 0.0,
        key("system.memory.oom_kills", kind="group"): 0.0,
        key("cgroup.memory.oom_kills", unit="user@1000.service"): 0.0,
        "system.tasks.blocked": wobbling(0.0, 2.0, 9),
        **filesystem("/", 250e9, rising(0.7, 0.71, 0.0, hours)),
        **filesystem("/boot", 500e6, 0.55),
        **filesystem("/boot/efi", 100e6, 0.3),
        **filesystem("/media/cdrom", 4e9, 1.0, readonly=1.0),
        key("system.disk.await", **disk): wobbling(0.0002, 0.3, 10),  # it sleeps, and wakes
        key("system.disk.operations", **disk): wobbling(0.0, 4.0, 11),
        key("system.disk.rotational", device="nvme0n1"): 0.0,
        key("system.network.errors.ratio", interface="wlan0"): wobbling(0.0, 0.008, 12),
        key("system.network.dropped.ratio", interface="wlan0"): wobbling(0.0, 0.05, 13),
        key("system.network.utilization", interface="wlan0"): wobbling(0.0, 0.3, 14),
        "system.network.conntrack.utilization": 0.01,
        "system.file_descriptors.utilization": 0.01,
        "system.processes.file_descriptors.utilization": wobbling(0.3, 0.5, 15),
        "system.tasks.utilization": 0.03,
        "system.cgroups.pids.utilization": 0.1,
        key("hw.temperature.utilization", **sensor, kind="high"): wobbling(0.4, 0.8, 16),
        key("hw.temperature.utilization", **sensor, kind="critical"): wobbling(0.4, 0.7, 17),
        key("hw.battery.charge", device="BAT0", kind="battery"): rising(1.0, 0.03, 0.0, hours),
        key("hw.battery.discharging", device="BAT0", kind="battery"): 1.0,
        "system.uptime": lambda seconds: 1e6 + seconds,
        "system.boot_time": START - 1e6,
        "system.clock.synchronized": 1.0,
        "system.reboot_required": 1.0,
        "monitor.host.down": 0.0,
        "monitor.host.clock.skew": wobbling(0.0, 0.4, 18),
        "monitor.host.boots": 0.0,
        "monitor.host.unclean_boot": 0.0,
        "monitor.host.kernel_changed": 0.0,
        key("monitor.collector.duration", collector="processes"): wobbling(0.001, 0.05, 19),
        key("monitor.collector.success", collector="processes"): 1.0,
    }
