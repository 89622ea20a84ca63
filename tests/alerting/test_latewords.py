"""What is told of what came late."""

import json
import math
from dataclasses import replace

import pytest

from monitor.alerting.late import Breach
from monitor.alerting.latewords import evidence, words
from monitor.core.rules.model import Rule, Severity

DAY = 86_400.0
TODAY = 20_700 * DAY
"""A midnight: 2026-09-04."""

BREACH = Breach(
    Rule("cpu", ()), "db-1", (), "system.cpu.utilization", Severity.WARNING, 0.0, 0.0, 0.97
)


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (7_800, 9_060, "breached 02:10–02:31 UTC, reported late"),
        (-600, 600, "breached 2026-09-03 23:50–2026-09-04 00:10 UTC, reported late"),
        (7_800 - DAY, 9_060 - DAY, "breached 2026-09-03 02:10–02:31 UTC, reported late"),
    ],
)
def test_it_says_when_it_was(start: float, end: float, text: str) -> None:
    """It must be that a day that is not today is named."""
    assert words(replace(BREACH, start=TODAY + start, end=TODAY + end), TODAY + DAY / 2) == text


def test_its_evidence_is_plain() -> None:
    """It must be that the log can keep it, whether or not a peak is known."""
    assert evidence(replace(BREACH, start=1.0, end=2.0)) == {
        "late": {"from": 1.0, "to": 2.0, "peak": 0.97}
    }
    assert json.loads(json.dumps(evidence(replace(BREACH, peak=math.nan))))["late"]["peak"] is None
