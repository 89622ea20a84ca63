"""It must be that what is said of values and limits is what people read: three digits, a unit."""

from __future__ import annotations

import math

import pytest

from monitor.alerting.shipped import shipped
from monitor.alerting.telling import written
from monitor.core.rules.explaining import told_limit
from monitor.core.rules.reading import read_layers


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("system.filesystem.utilization", 0.97349, "97.3%"),
        ("system.filesystem.usage", 2_674_000_000.0, "2.67GB"),
        ("system.network.io", 4_512_345.0, "4.51MB/s"),
        ("monitor.host.clock.skew", 2.3456, "2.35s"),
        ("system.uptime", 93_784.0, "1d 2h"),
        ("app.queue.length", 150.0, "150"),
        ("app.queue.length", 1_503_456.0, "1,500,000"),
        ("app.queue.length", 1.23456, "1.23"),
        ("app.queue.length", math.nan, "unknown"),
    ],
)
def test_values(metric: str, value: float, words: str) -> None:
    assert written(metric, value) == words


def test_a_limit_says_what_of_a_window_counts() -> None:
    """It must be that an average is not taken for the newest value."""
    rules, faults = read_layers([shipped()])
    assert not faults
    said = {rule.name: told_limit(rule.levels[-1]) for rule in rules}
    assert said["cpu_high"] == "avg over 5m > 90%, until < 80%"
    assert said["disk_space"] == "> 97%, until < 94%"
    assert said["host_unreachable"] == "= 1"
