"""Rules in words."""

from __future__ import annotations

import tomllib

import pytest

from monitor.core.rules.explaining import rule_words
from monitor.core.rules.reading import read

WORDS = [
    (
        (
            'metric = "system.cpu.utilization"\nwarning = { above = "90%", clear_below = "80%" }\n'
            'critical.above = "97%"\nfor = "5m"'
        ),
        [
            "warning: system.cpu.utilization > 90%, until < 80% for 5m",
            "critical: system.cpu.utilization > 97% for 5m",
        ],
    ),
    (
        'metric = "system.filesystem.usage"\nwhere = "state=free"\nwarning.below = "20GB"',
        ["warning: system.filesystem.usage{state=free} < 20GB"],
    ),
    (
        'metric = "app.queue"\nreduce = "p95"\nover = "10m"\ninfo.above = 100',
        ["info: p95 of app.queue over 10m > 100"],
    ),
    ('metric = "app.queue"\nwarning.absent_for = "5m"', ["warning: app.queue absent for 5m"]),
    ('metric = "app.queue"\nwarning.outside = [1, 9]', ["warning: app.queue outside 1 to 9"]),
    ('metric = "app.queue"\nwarning.equals = 3', ["warning: app.queue = 3"]),
    (
        (
            'severity = "critical"\nany = [ { metric = "app.a", above = 1 }, '
            '{ metric = "app.b", below = 2 } ]'
        ),
        ["critical: app.a > 1 or app.b < 2"],
    ),
    (
        'metric = "system.filesystem.utilization"\nover = "6h"\nwarning.fills_within = "1d"',
        ["warning: system.filesystem.utilization over 6h full within 1d"],
    ),
    (
        'metric = "app.queue"\nover = "1h"\nwarning.rate_above = "60/m"',
        ["warning: app.queue over 1h grows by > 1"],
    ),
    (
        'metric = "app.queue"\nwarning.differs_from_peers = 4',
        ["warning: app.queue 4 deviations from peers of its role"],
    ),
    ('metric = "app.queue"\nover = "1h"\ninfo.changed = true', ["info: app.queue over 1h changed"]),
]


@pytest.mark.parametrize(("text", "expected"), WORDS, ids=range(len(WORDS)))
def test_in_words(text: str, expected: list[str]) -> None:
    """It must be that each kind of limit is written as files write it, in the metric's unit."""
    rules, faults = read({"x": tomllib.loads(text)})
    assert faults == []
    assert rule_words(rules.rules["x"]) == expected
