"""Unit tests of rules, tested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from monitor.alerting import ruletests
from monitor.alerting.ruletestfiles import LONGEST_TEXT_BYTES, read
from monitor.alerting.ruletests import lines, run
from monitor.alerting.shipped import shipped
from monitor.core.rules import reading
from monitor.core.rules.judging import RuleJudge
from monitor.core.rules.model import Rule
from monitor.core.rules.ruleset import RuleSet
from monitor.errors import ConfigError

DISK = 'system.filesystem.utilization{mountpoint="/var"}'


def ruled(**tables: Any) -> RuleSet:
    found, faults = reading.read(tables)
    assert not faults
    return found


RULES = ruled(
    disk={
        "metric": "system.filesystem.utilization",
        "where": {"mountpoint": "*"},
        "warning": {"above": "90%", "clear_below": "85%"},
        "critical": {"above": "97%"},
        "for": "5m",
    },
    errors={
        "metric": "system.network.errors",
        "where": "interface=eth0",
        "warning": {"above": 10},
    },
    batch={"metric": "app.batch", "warning": {"above": 1}, "hosts": "role=batch"},
)


def written(series: str, expect: str, interval: str = "1m") -> str:
    return f"""
[[test]]
name = "tried"
interval = "{interval}"
{series}
{expect}
"""


def series(values: str, key: str = DISK, host: str = "db-1", more: str = "") -> str:
    return f"""
[[test.series]]
host = "{host}"
key = '{key}'
values = "{values}"
{more}
"""


def expect(at: str, state: str, more: str = "", rule: str = "disk", host: str = "db-1") -> str:
    return f"""
[[test.expect]]
at = "{at}"
rule = "{rule}"
host = "{host}"
state = "{state}"
{more}
"""


def failures(text: str, rules: RuleSet = RULES) -> list[str]:
    return [failure for result in run(read(text, "t.toml"), rules) for failure in result.failures]


def test_what_is_as_it_must_be_passes() -> None:
    """It must be that `for`, hysteresis and severities are those of the live judge, to a second."""
    text = written(
        series("80%x9 95%x9 87%x4 98%x9 50%x9"),
        expect("599s", "inactive")
        + expect("10m", "pending", 'severity = "warning"')
        + expect("899s", "pending")
        + expect("15m", "firing", 'severity = "warning"')
        + expect("24m", "firing", 'severity = "warning"')
        + expect("1799s", "firing", 'severity = "warning"')
        + expect("30m", "firing", 'severity = "critical"')
        + expect("2099s", "firing", 'severity = "critical"')
        + expect("35m", "inactive"),
    )
    assert failures(text) == []


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (
            expect("20m", "inactive"),
            'at 20m: disk of db-1: expected inactive, got firing warning {mountpoint="/var"}',
        ),
        (
            expect("9m", "firing", 'severity = "critical"'),
            "at 9m: disk of db-1: expected firing critical, got inactive",
        ),
        (expect("5m", "firing"), "at 5m: disk of db-1: expected firing, got inactive"),
        (
            expect("20m", "firing", 'attributes = { mountpoint = "/" }'),
            "at 20m: disk of db-1: expected firing, got inactive",
        ),
        (
            expect("20m", "firing", host="db-2"),
            "at 20m: disk of db-2: expected firing, got inactive",
        ),
        (expect("20m", "firing", rule="disc"), "there is no rule disc; did you mean disk?"),
    ],
)
def test_what_is_not_is_told(expected: str, said: str) -> None:
    """It must be that a failure says when, of what, and what was instead."""
    assert failures(written(series("80%x9 95%x20"), expected)) == [said]


def test_the_worst_alert_that_fits_counts() -> None:
    """It must be that attributes pick among the series of a host."""
    other = series("98%x30", 'system.filesystem.utilization{mountpoint="/"}')
    text = written(
        series("95%x30") + other,
        expect("20m", "firing", 'severity = "critical"')
        + expect("20m", "firing", 'severity = "warning"\nattributes = { mountpoint = "/var" }'),
    )
    assert failures(text) == []


def test_a_counter_is_written_as_its_counts() -> None:
    """It must be that 1,200 more a minute are twenty a second."""
    key = 'system.network.errors{interface="eth0",direction="receive"}'
    text = written(
        series("0x5 1200+1200x5 7200x5", key),
        expect("5m", "inactive", rule="errors")
        + expect("6m", "firing", rule="errors")
        + expect("12m", "inactive", rule="errors"),
    )
    assert failures(text) == []


def test_what_is_missing_neither_adds_nor_ends() -> None:
    """It must be that a value counts until it is late, and a silence changes nothing."""
    text = written(
        series("80% 95%x1 _x20 95%x9"),
        expect("4m", "pending")
        # Two minutes and what is not late yet; the rest comes when it is heard again.
        + expect("22m", "pending")
        + expect("25m", "firing"),
    )
    assert failures(text) == []


def test_labels_select_hosts() -> None:
    """It must be that a rule for some hosts is judged for these alone."""
    batch = series("5x9", "app.batch", "b-1", 'labels = { role = "batch" }')
    text = written(
        batch + series("5x9", "app.batch", "w-1"),
        expect("1m", "firing", rule="batch", host="b-1")
        + expect("1m", "inactive", rule="batch", host="w-1"),
    )
    assert failures(text) == []


def test_a_rule_that_is_turned_off_is_named_as_such() -> None:
    """It must be that nobody looks for a slip where there is a switch."""
    rules = ruled(disk={"metric": "app.x", "warning": {"above": 1}, "enabled": False})
    (said,) = failures(written(series("1"), expect("1m", "firing")), rules)
    assert said == "there is no rule disk; it is turned off"


def test_long_tests_take_fewer_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a month is judged in a bounded number of steps."""
    monkeypatch.setattr(ruletests, "MOST_TICKS", 100)
    made: list[float] = []

    def judge(rule: Rule, tick: float) -> RuleJudge:
        made.append(tick)
        return RuleJudge(rule, tick)

    monkeypatch.setattr(ruletests, "RuleJudge", judge)
    text = written(series("95%x800"), expect("20d", "firing"), interval="1h")
    assert failures(text) == []
    assert made == [20 * 864.0]


def test_the_results_read_as_a_list() -> None:
    """It must be that each test has a line, failures theirs, and the sum stands last."""
    good = written(series("1%x5"), expect("3m", "inactive"))
    bad = written(series("1%x5"), expect("3m", "firing")).replace("tried", "wrong")
    results = list(run(read(good + bad, "t.toml"), RULES))
    assert list(lines(results)) == [
        "ok      tried",
        "FAILED  wrong (t.toml:21)",
        "        at 3m: disk of db-1: expected firing, got inactive",
        "2 tests, 1 failed",
    ]
    assert list(lines(results[:1]))[-1] == "1 test, all as expected"


GOOD = written(series("1"), expect("1m", "firing"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "t.toml: there is no [[test]]"),
        ("test = 5", "t.toml:1:1: test: expected tables [[test]], got 5"),
        ("[[test]", "t.toml:"),
        ("a = " + "[" * 5_000, "t.toml:1:"),
        ("#" * (LONGEST_TEXT_BYTES + 1), "t.toml: expected at most 1 MiB"),
        ("[[test]]", "t.toml:1:3: test[1]: there is no [[test.series]]"),
        (GOOD.replace("interval", "intervall"), "intervall: there is no such key; did you mean"),
        (GOOD.replace('"1m"', '"5"', 1), "test[1].interval: expected a duration"),
        (GOOD.replace('"1m"', '"1ms"', 1), "test[1].interval: expected from 1s to 1d"),
        (GOOD.replace('"1"', '"nan"'), "t.toml:9:1: test[1].series[1].values: expected values"),
        (GOOD.replace('values = "1"', ""), "test[1].series[1].values: it is missing"),
        (GOOD.replace('values = "1"', "values = 1"), "values: expected a text, got 1"),
        (GOOD.replace(DISK, "a{"), "test[1].series[1].key: a series key with attributes ends"),
        (GOOD.replace('host = "db-1"', "", 1), "test[1].series[1].host: it is missing"),
        (GOOD.replace('"firing"', '"fire"'), "state: expected firing, pending, inactive, got"),
        (GOOD.replace('at = "1m"', 'at = "-1m"'), "test[1].expect[1].at: expected a duration"),
        (GOOD.replace('at = "1m"', 'at = "1y"'), "test[1].expect[1].at: expected at most 31d"),
        (GOOD.replace('at = "1m"', ""), "test[1].expect[1].at: it is missing"),
        (GOOD + 'severity = "bad"', "severity: expected info, warning, critical, got"),
        (GOOD + "attributes = 5", "attributes: expected a table such as"),
        (GOOD + "attributes = { a = 5 }", "attributes.a: expected a text, got 5"),
        (GOOD + 'attributes = { "a b" = "5" }', "expected a label's name"),
        (
            written(series("1"), expect("1m", "inactive", 'severity = "warning"')),
            "severity: what is inactive has none",
        ),
    ],
)
def test_what_is_no_test_is_refused_with_its_place(text: str, complaint: str) -> None:
    """It must be that a slip in a file names line and path, and never ends in a traceback."""
    with pytest.raises(ConfigError) as caught:
        read(text, "t.toml")
    assert complaint in caught.value.complaints[0]


def test_every_complaint_is_told_at_once() -> None:
    """It must be that a file is repaired in one go."""
    with pytest.raises(ConfigError) as caught:
        read(GOOD.replace('"firing"', '"fire"').replace('values = "1"', ""), "t.toml")
    assert len(caught.value.complaints) == 2


DOCS = Path(__file__).parents[2] / "docs" / "backtests.md"


def test_the_example_of_the_docs_passes() -> None:
    """It must be that what is shown is what works, against the shipped rules."""
    blocks = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (block for block in blocks if "[[test]]" in block)
    rules, faults = reading.read_layers([shipped()])
    assert not faults
    assert failures(example, rules) == []
