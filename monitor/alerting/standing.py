"""How rules and conditions stand now: what pages and the API read of the judge.

Values only.  Alerts that fire are in the book (`monitor.core.book`); what merely pends is state,
without an id, because a restart that finds it gone owes nobody an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from monitor.core.rules.model import Rule, Severity


@dataclass(frozen=True, slots=True)
class Pending:
    """A condition that holds, and has not held long enough.

    `value` is the newest, NaN where it is not known now; `metric` is its KEY; `began` is in unix
    seconds, `held_seconds` how long it was observed to hold since, of `for_seconds`.
    """

    rule: str
    host: str
    attributes: Mapping[str, str]
    severity: Severity
    metric: str
    value: float
    limit: str
    began: float
    held_seconds: float
    for_seconds: float
    waits_for: str = ""
    """Why it does not go on: ``data`` that does not come, or that its host has ``just come``."""


@dataclass(frozen=True, slots=True)
class RuleState:
    """One rule and what becomes of it: series that it judges, of how many hosts, and alerts.

    A rule none of whose series any host has ever had is not applicable here.
    """

    rule: Rule
    series: int
    hosts: int
    firing: int
    pending: int

    @property
    def is_applicable(self) -> bool:
        """Whether there is anything that it judges."""
        return self.series > 0

    @property
    def state(self) -> Literal["firing", "pending", "inactive", "not_applicable"]:
        """In a word: ``firing``, ``pending``, ``inactive`` or ``not_applicable``."""
        if self.firing:
            return "firing"
        if self.pending:
            return "pending"
        return "inactive" if self.is_applicable else "not_applicable"
