"""The nouns of rules: conditions, limits, levels, and a rule that is made of them.

A rule has one level for each severity that it can reach.  A level is made of clauses, each a
condition with the limit that it is held against, of which all or any must hold.  Whatever a file
writes, one condition with limits or several conditions with one severity, comes to this form
(`monitor.core.rules.reading`), and judging knows no other.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from monitor.core.selectors import Selector


class Severity(enum.StrEnum):
    """How bad it is; `INFO` shows and never notifies."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return _RANKS[self]


_RANKS = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class Reduce(enum.StrEnum):
    """What of the values of a window counts."""

    LAST = "last"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    P95 = "p95"


class Join(enum.StrEnum):
    """How the clauses of a level go together."""

    ALL = "all"
    ANY = "any"


# Limits.  Values are in the metric's own base unit; a counter's are its rates per second.  Without
# a way back of its own a limit's `clear` is the limit itself.


@dataclass(frozen=True, slots=True)
class Above:
    """Holds while the value is above `value`, and from then on until it is below `clear`."""

    value: float
    clear: float


@dataclass(frozen=True, slots=True)
class Below:
    """Holds while the value is below `value`, and from then on until it is above `clear`."""

    value: float
    clear: float


@dataclass(frozen=True, slots=True)
class Outside:
    """Holds outside [low, high], and from then on until within [clear_low, clear_high]."""

    low: float
    high: float
    clear_low: float
    clear_high: float


@dataclass(frozen=True, slots=True)
class Equals:
    """Holds while the value is this one."""

    value: float


@dataclass(frozen=True, slots=True)
class AbsentFor:
    """Holds once a series that was seen has not been observed for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Changed:
    """Holds for `over` (at least a tick) after the value became another."""


@dataclass(frozen=True, slots=True)
class RateAbove:
    """Holds while the value grows by more than `value` a second, until by less than `clear`.

    Over the condition's `over`, a minute without one.  Of a counter it is the rate of the count.
    """

    value: float
    clear: float


@dataclass(frozen=True, slots=True)
class FillsWithin:
    """Holds where the value reaches the condition's `full` within so long, at its robust slope."""

    seconds: float
    clear_seconds: float


@dataclass(frozen=True, slots=True)
class DiffersFromPeers:
    """Holds where the value is so many deviations (MAD, scaled) from the median of its peers."""

    deviations: float
    clear: float


Limit: TypeAlias = (
    Above
    | Below
    | Outside
    | Equals
    | AbsentFor
    | Changed
    | RateAbove
    | FillsWithin
    | DiffersFromPeers
)

LIMIT_KINDS = (
    "above",
    "below",
    "outside",
    "equals",
    "absent_for",
    "changed",
    "rate_above",
    "fills_within",
    "differs_from_peers",
)
"""As files write them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is looked at: series of a metric, reduced over a window.

    Without `where` it is the bare series of a host that has one, else every series of the metric.
    `peers` is the label whose equal values make hosts peers of each other; `full` is where
    something that fills is full.
    """

    metric: str
    where: Selector | None = None
    reduce: Reduce = Reduce.LAST
    over_seconds: float = 0.0
    when_present: bool = False
    """Whether the clause is dropped where the host has no such series."""
    peers: str = "role"
    full: float = 1.0


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition and the limit that it is held against."""

    condition: Condition
    limit: Limit


@dataclass(frozen=True, slots=True)
class Level:
    """What makes an alert of one severity; `for_seconds` is how long it must have held.

    The first clause's condition is the one whose value is told.
    """

    severity: Severity
    clauses: tuple[Clause, ...]
    join: Join = Join.ALL
    for_seconds: float = 0.0


@dataclass(frozen=True)
class Override:
    """What of a rule is different for some hosts: `rule` is what holds for them."""

    hosts: Selector
    rule: Rule


@dataclass(frozen=True)
class Rule:
    """What to watch, of which hosts, and what to say of it.

    `levels` ascend by severity.  Of overrides the first whose selector takes a host holds.
    `origin` is where it was written, as ``file:line``; ``defaults`` for a shipped one.
    """

    name: str
    levels: tuple[Level, ...]
    hosts: Selector | None = None
    keep_firing_for_seconds: float = 0.0
    notify_resolved: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    """With fixed ``{field}``s; empty: one is made."""
    description: str = ""
    runbook_url: str = ""
    held_by: tuple[str, ...] = ()
    """Rules that hold this one back while they fire for the same host and shared attributes."""
    is_of_levels: bool = True
    """Whether it judges levels, and so only pends while a host has just come."""
    overrides: tuple[Override, ...] = ()
    origin: str = ""
    is_default: bool = False
    """Whether it was shipped, and is as it was shipped."""
    text: str = ""
    """The effective rule as TOML."""

    @cached_property
    def condition(self) -> Condition:
        """The one whose value is told."""
        return self.levels[0].clauses[0].condition

    @property
    def severity(self) -> Severity:
        """The worst that it can reach."""
        return self.levels[-1].severity
