"""What a file changes of a rule that it inherits, key by key."""

from __future__ import annotations

import tomllib

import pytest

from monitor.core.rules.model import (
    Above,
    Below,
    FillsWithin,
    Join,
    Limit,
    Outside,
    RateAbove,
    Rule,
    Severity,
)
from monitor.core.rules.reading import read

DISK = "system.filesystem.utilization"


def changed(inherited: str, change: str) -> Rule:
    """What `x` comes to."""
    below, above = (
        tomllib.loads(f"[rules.x]\n{text}\n[rules.y]\nmetric = 'a'\nwarning.above = 1")["rules"]
        for text in (inherited, change)
    )
    rules, faults = read(above, defaults=below)
    assert not faults
    return rules.rules["x"]


ROWS: list[tuple[str, str, str, Limit]] = [
    # The way back still fits: it stays.
    (DISK, 'above = "90%", clear_below = "87%"', 'above = "92%"', Above(0.92, 0.87)),
    (DISK, 'above = "90%", clear_below = "87%"', 'above = "87%"', Above(0.87, 0.87)),
    (DISK, 'below = "10%", clear_above = "15%"', 'below = "5%"', Below(0.05, 0.15)),
    # It no longer does: it keeps its distance.
    (DISK, 'above = "90%", clear_below = "87%"', 'above = "80%"', Above(0.80, 0.77)),
    (DISK, 'below = "10%", clear_above = "15%"', 'below = "20%"', Below(0.20, 0.25)),
    ("a", "above = 100, clear_below = 80", "above = 50", Above(50, 30)),
    (
        "system.memory.usage",
        'above = "20GB", clear_below = "19GB"',
        'above = "10GiB"',
        Above(10 * 2**30, 10 * 2**30 - 10**9),
    ),
    ("a", 'rate_above = "60/m", clear_below = "30/m"', "rate_above = 0.25", RateAbove(0.25, 0.125)),
    (
        DISK,
        'fills_within = "4h", clear_above = "6h"',
        'fills_within = "1d"',
        FillsWithin(86400, 93600),
    ),
    (
        "a",
        "outside = [10, 90], clear_above = 20, clear_below = 80",
        "outside = [30, 70]",
        Outside(30, 70, 40, 60),
    ),
    # The distance would lead to where no value ever is: half of what is left.
    (DISK, 'above = "90%", clear_below = "80%"', 'above = "6%"', Above(0.06, 0.03)),
    (DISK, 'below = "10%", clear_above = "30%"', 'below = "90%"', Below(0.90, 0.95)),
    # It is written anew.
    (
        DISK,
        'above = "90%", clear_below = "87%"',
        'above = "80%", clear_below = "70%"',
        Above(0.8, 0.7),
    ),
    (DISK, 'above = "90%", clear_below = "87%"', 'clear_below = "50%"', Above(0.9, 0.5)),
    # Another kind: the inherited one goes with its way back.
    (DISK, 'above = "90%", clear_below = "87%"', 'below = "10%"', Below(0.1, 0.1)),
    (DISK, 'above = "90%", clear_below = "87%"', 'fills_within = "4h"', FillsWithin(14400, 14400)),
]


@pytest.mark.parametrize(
    ("metric", "inherited", "change", "limit"),
    [pytest.param(*row, id=str(at)) for at, row in enumerate(ROWS)],
)
def test_limits(metric: str, inherited: str, change: str, limit: Limit) -> None:
    """It must be that a changed limit has a way back on its right side, as inherited or as far."""
    rule = changed(f'metric = "{metric}"\nwarning = {{ {inherited} }}', f"warning = {{ {change} }}")
    assert rule.levels[0].clauses[0].limit == limit
    again, faults = read(tomllib.loads(rule.text)["rules"])
    assert not faults
    assert again.rules["x"].levels == rule.levels


INHERITED = """metric = "system.filesystem.utilization"
where = { mountpoint = "*" }
warning = { above = "90%", clear_below = "87%", for = "5m", also = [{ metric = "b", above = 1 }] }
critical.above = "97%"
for = "10m"
labels = { team = "ops", kind = "disk" }
[[rules.x.override]]
hosts = "role=backup"
warning.above = "95%"
"""


def test_only_what_is_written_changes() -> None:
    """It must be that everything else of the rule, and of the limit, stays."""
    rule = changed(INHERITED, 'warning.above = "92%"\nlabels = { team = "dba" }')
    assert [level.for_seconds for level in rule.levels] == [300.0, 600.0]
    assert len(rule.levels[0].clauses) == 2
    assert rule.levels[1].clauses[0].limit == Above(0.97, 0.97)
    assert rule.labels == {"team": "dba", "kind": "disk"}
    assert not rule.is_default


def test_for_of_the_whole_rule() -> None:
    """It must be that a `for` that is written for the rule holds for each of its levels."""
    rule = changed(INHERITED, 'for = "1m"')
    assert [level.for_seconds for level in rule.levels] == [60.0, 60.0]
    rule = changed(INHERITED, 'for = "1m"\nwarning.for = "2m"')
    assert [level.for_seconds for level in rule.levels] == [120.0, 60.0]


def test_a_level_of_which_nobody_wants_to_know() -> None:
    """It must be that one level can be taken away."""
    rule = changed(INHERITED, "critical = false")
    assert [level.severity for level in rule.levels] == [Severity.WARNING]


def test_overrides_are_added_in_front() -> None:
    """It must be that what is written last is asked first, and nothing stands there twice."""
    more = '[[rules.x.override]]\nhosts = "env=dev"\nwarning.above = "99%"'
    rule = changed(INHERITED, more)
    assert [each.hosts.text for each in rule.overrides] == ["env=dev", "role=backup"]
    assert [each.rule.levels[0].clauses[0].limit for each in rule.overrides] == [
        Above(0.99, 0.87),
        Above(0.95, 0.87),
    ]
    same = '[[rules.x.override]]\nhosts = "role=backup"\nwarning.above = "95%"'
    assert len(changed(INHERITED, same).overrides) == 1


def test_overrides_hold_over_the_changed_rule() -> None:
    """It must be that an inherited override has what the change says where it says nothing."""
    rule = changed(INHERITED, 'warning.above = "92%"\ncritical.above = "98%"')
    assert rule.overrides[0].rule.levels[1].clauses[0].limit == Above(0.98, 0.98)


def test_one_form_replaces_the_other() -> None:
    """It must be that several conditions replace the one, and the one replaces several."""
    several = 'all = [{ metric = "a", above = 1 }]\nseverity = "critical"'
    rule = changed(INHERITED.partition("[[")[0], several)
    assert [level.severity for level in rule.levels] == [Severity.CRITICAL]
    assert rule.condition.metric == "a"
    assert rule.levels[0].for_seconds == 600.0
    rule = changed(several, 'metric = "b"\nwarning.above = 2')
    assert [level.severity for level in rule.levels] == [Severity.WARNING]
    rule = changed(several, 'any = [{ metric = "a", above = 1 }]')
    assert rule.levels[0].join is Join.ANY


def test_a_place_for_each_part() -> None:
    """It must be that a fault is told where it was written, whichever layer that is."""
    below = {"x": {"metric": "a", "warning": {"above": 1}, "override": [{"hosts": "a=b"}]}}
    above = {"x": {"override": [{"hosts": "("}, {"hosts": "c=d", "for": "x"}], "labels": {"1": ""}}}
    _, faults = read(above, defaults=below)
    assert {(fault.path, fault.layer) for fault in faults} == {
        (("rules", "x", "override", 0, "hosts"), 1),
        (("rules", "x", "override", 1, "for"), 1),
        (("rules", "x", "labels", "1"), 1),
    }
