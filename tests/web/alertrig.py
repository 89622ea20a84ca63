"""A server in this process with alerts in it, as many and as odd as a test wants.

The judge's verdicts are the test's; rules are the shipped ones, and everything else is real.
"""

from __future__ import annotations

import time

from monitor.access.audit import Actor
from monitor.alerting.shipped import shipped
from monitor.alerting.standing import RuleState
from monitor.core.rules.reading import read_layers
from tests.web.house import PeopledRig

ANN = Actor("ann", "203.0.113.7")
VAR = 'system.filesystem.utilization{mountpoint="/var"}'


class AlertRig(PeopledRig):
    """The rig, with a judge that a test speaks through."""

    def __init__(self, host: str = "db-1") -> None:
        super().__init__(host)
        self.judge = self.alerting.judge

    def know_rules(self) -> None:
        """The shipped rules, most of them of some series."""
        self.judge.rules, faults = read_layers([shipped()])
        assert not faults
        self.judge.stated = [
            RuleState(rule, 0 if rule.name.startswith(("zfs", "raid", "ups")) else 12, 12, 0, 0)
            for rule in self.judge.rules
        ]

    async def history(self, host: str, text: str, *values: float, step: float = 30.0) -> None:
        """A series' values until now."""
        now = time.time()
        for index, value in enumerate(values):
            await self.send({text: value}, host=host, at=now - step * (len(values) - 1 - index))
