"""It must be that what is said of values and limits is what people read: three digits, a unit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from monitor.alerting.shipped import shipped
from monitor.alerting.telling import FLAPPING, GONE, said, written
from monitor.core.messages import Alert
from monitor.core.rules.explaining import told_limit
from monitor.core.rules.judging import Row, Transition
from monitor.core.rules.model import Above, Clause, Condition, Level, Rule, Severity
from monitor.core.rules.reading import read_layers

INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
START = 1_700_000_000.0
GONE_WORDS = ("resolved", "firing", "warning", GONE)


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
    limits = {rule.name: told_limit(rule.levels[-1]) for rule in rules}
    assert limits["cpu_high"] == "avg over 5m > 90%, until < 80%"
    assert limits["disk_space"] == "> 97%, until < 94%"
    assert limits["host_unreachable"] == "= 1"


LEVEL = Level(
    WARNING, (Clause(Condition("system.memory.utilization"), Above(0.9, 0.8)),), for_seconds=60
)
RULE = Rule(
    "memory",
    (LEVEL, replace(LEVEL, severity=CRITICAL)),
    labels={"team": "ops", "role": "cache"},
    summary="{metric} of {host} is {value} ({role}, {limit})",
    runbook_url="https://example.org/memory",
    held_by=("other",),
)


def _transition(**changes: Any) -> Transition:
    made = Transition(
        RULE,
        LEVEL,
        Row("web-1", (("device", "a"),), ("system.memory.utilization",)),
        None,
        WARNING,
        0.95,
        0.97,
        START,
    )
    return replace(made, **changes)


def _said(**changes: Any) -> Alert:
    return said(_transition(**changes), "a" * 16, {"role": "web"}, START + 60, START + 60)


def test_a_firing_says_all_that_pages_and_messages_need() -> None:
    found = _said()
    assert (found.state, found.was, found.severity) == ("firing", "pending", "warning")
    assert (found.rule, found.host, found.attributes) == ("memory", "web-1", {"device": "a"})
    assert (found.value, found.peak, found.began, found.since) == (0.95, 0.97, START, START + 60)
    assert found.labels == {"role": "cache", "team": "ops"}
    assert found.summary == "system.memory.utilization of web-1 is 95% (cache, > 90%, until < 80%)"
    assert (found.metric, found.runbook_url) == ("system.memory.utilization", RULE.runbook_url)
    assert (found.held_by, found.notify, found.reason) == (["other"], "always", "")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"was": WARNING, "severity": CRITICAL}, ("firing", "firing", "critical", "")),
        ({"was": CRITICAL, "severity": WARNING}, ("firing", "firing", "warning", "")),
        ({"was": CRITICAL, "severity": None}, ("resolved", "firing", "critical", "")),
        ({"was": WARNING, "severity": None, "is_gone": True}, GONE_WORDS),
        ({"was": WARNING, "is_flapping": True}, ("firing", "firing", "warning", FLAPPING)),
        ({"level": replace(LEVEL, for_seconds=0)}, ("firing", "inactive", "warning", "")),
    ],
    ids=["worse", "milder", "over", "gone", "flapping", "at once"],
)
def test_each_transition_says_what_became_of_what(
    changes: dict[str, Any], expected: tuple[str, ...]
) -> None:
    found = _said(**changes)
    assert (found.state, found.was, found.severity, found.reason) == expected
    assert found.is_flapping is bool(changes.get("is_flapping"))


def test_what_is_not_known_is_not_made_up() -> None:
    found = _said(value=math.nan, peak=math.inf)
    assert (found.value, found.peak) == (None, None)
    assert "unknown" in found.summary
    plain = _said(rule=replace(RULE, summary=""), row=Row("web-1", (), ("",)))
    assert plain.summary == "system.memory.utilization is 95% (limit > 90%, until < 80%)"


@pytest.mark.parametrize(
    ("severity", "notify_resolved", "expected"),
    [(INFO, True, "never"), (WARNING, True, "always"), (CRITICAL, False, "firing")],
)
def test_who_is_told_what(severity: Severity, notify_resolved: bool, expected: str) -> None:
    rule = replace(RULE, notify_resolved=notify_resolved)
    assert _said(rule=rule, severity=severity).notify == expected


def test_a_fleet_that_falls_silent_is_known_right_after_a_start() -> None:
    """It must be that no rule about the whole fleet waits until this server has settled."""
    rules, _ = read_layers([shipped()])
    waits = {rule.name: rule.is_of_levels for rule in rules}
    assert not waits["fleet_unreachable"]
    assert not waits["host_unreachable"]
    assert waits["disk_space"]
