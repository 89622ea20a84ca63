"""What is judged: hosts with series of one shape, rules over them, and values that cross limits.

Hosts have so many gauges without attributes, as many rules look at one of them each, and each rule
has two severities with a way back and a `for` that no bench lasts: an alert that fires is logged,
which is not judging, and no fleet has a million of them.  So rows come and go as pending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.recording import Floats
from monitor.core.rules.model import Above, Clause, Condition, Level, Rule, Severity

WARNING, WARNING_CLEAR = 0.8, 0.7
CRITICAL, CRITICAL_CLEAR = 0.95, 0.9
FOR_SECONDS = 3_600.0

USUAL_SHARE = 0.001
"""Of the series, those that are over a limit on a usual day."""

LEVELS = 2


@dataclass(frozen=True)
class Size:
    """How large a fleet is, and how much is asked of it."""

    hosts: int
    series: int
    rules: int

    @property
    def judgements(self) -> int:
        """Series that are judged at each tick; each is held against two limits."""
        return self.hosts * self.rules


def host(number: int) -> str:
    """What a host is called."""
    return f"web-{number:05d}"


def metrics(size: Size) -> tuple[str, ...]:
    """The KEYs of a host."""
    return tuple(f"app.bench.gauge_{number:03d}" for number in range(size.series))


def rules(size: Size) -> list[Rule]:
    """One for each of the first KEYs."""
    return [_rule(metric) for metric in metrics(size)[: size.rules]]


def _rule(metric: str) -> Rule:
    condition = Condition(metric)
    levels = tuple(
        Level(severity, (Clause(condition, limit),), for_seconds=FOR_SECONDS)
        for severity, limit in (
            (Severity.WARNING, Above(WARNING, WARNING_CLEAR)),
            (Severity.CRITICAL, Above(CRITICAL, CRITICAL_CLEAR)),
        )
    )
    return Rule(metric.rpartition(".")[2], levels)


class Values:
    """Values that are well below the limits, and some or nearly all of them beyond both."""

    def __init__(self, size: Size, seed: int = 1) -> None:
        self._chance = np.random.default_rng(seed)
        self._shape = size.hosts, size.series
        self._calm: Floats = self._chance.uniform(0.0, 0.6, self._shape)

    def usual(self) -> Floats:
        """Few beyond their limits, others each time: float64[hosts, series]."""
        return np.where(self._chance.random(self._shape) < USUAL_SHARE, 0.99, self._calm)

    def breaching(self) -> Floats:
        """All but few beyond their limits."""
        return np.where(self._chance.random(self._shape) < USUAL_SHARE, self._calm, 0.99)

    def turning(self, tick: int) -> Floats:
        """Nearly all change their side at every tick."""
        return self.breaching() if tick % 2 else self.usual()


def prometheus_rules(size: Size) -> str:
    """The same rules as Prometheus has them: an alerting rule for each severity.

    There is no way back of its own there.
    """
    lines = ["groups:", "- name: bench", "  interval: 1s", "  rules:"]
    for metric in metrics(size)[: size.rules]:
        name = metric.replace(".", "_")
        for severity, limit in (("warning", WARNING), ("critical", CRITICAL)):
            lines += [
                f"  - alert: {name}_{severity}",
                f"    expr: {name} > {limit}",
                f"    for: {FOR_SECONDS:.0f}s",
                f"    labels: {{severity: {severity}}}",
            ]
    return "\n".join(lines) + "\n"


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return float(np.median(values))
