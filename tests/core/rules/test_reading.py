"""Rules as files write them: every form, every limit, every fault with its rule and key."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from monitor.core.rules.model import (
    Above,
    AbsentFor,
    Below,
    Changed,
    DiffersFromPeers,
    Equals,
    FillsWithin,
    Join,
    Limit,
    Outside,
    RateAbove,
    Reduce,
    Rule,
    Severity,
)
from monitor.core.rules.reading import MOST_RULES, Layer, read, read_layers
from monitor.core.rules.ruleset import RuleSet
from monitor.core.toml_lines import KeyPath


def where(path: KeyPath) -> str:
    """A place that names the path itself."""
    return "file:" + ".".join(map(str, path))


def tables(text: str) -> dict[str, Any]:
    """What a file says of rules."""
    found: dict[str, Any] = tomllib.loads(text).get("rules", {})
    return found


def found(text: str, defaults: str | None = None) -> RuleSet:
    """The rules of a text without a fault."""
    below = None if defaults is None else tables(defaults)
    rules, faults = read(tables(text), defaults=below, origin=where)
    assert not faults
    return rules


def one(text: str) -> Rule:
    """The only rule, called x, of its keys."""
    return found(f"[rules.x]\n{text}").rules["x"]


def faults(text: str, defaults: str | None = None) -> list[str]:
    """Every fault, as a line."""
    below = None if defaults is None else tables(defaults)
    _, told = read(tables(text), defaults=below)
    assert all(each.sentence.isprintable() and len(each.sentence) < 400 for each in told)
    return [f"{'.'.join(map(str, each.path[1:]))}: {each.sentence}" for each in told]


def test_as_the_contract_writes_it() -> None:
    """It must be that the contract's own example reads, with what it leaves out at its default."""
    rule = found(
        """
        [rules.queue_long]
        metric = "app.queue.length"
        warning = { above = 100, clear_below = 80 }
        critical = { above = 1000 }
        for = "5m"
        summary = "{host}: {value} waiting"
        runbook_url = "https://wiki/queue"
        """
    ).rules["queue_long"]
    warning, critical = rule.levels
    assert (warning.severity, critical.severity) == (Severity.WARNING, Severity.CRITICAL)
    assert warning.clauses[0].limit == Above(100.0, 80.0)
    assert critical.clauses[0].limit == Above(1000.0, 1000.0)
    assert warning.for_seconds == critical.for_seconds == 300.0
    assert rule.condition.metric == "app.queue.length"
    assert rule.condition.where is None
    assert rule.condition.reduce is Reduce.LAST
    assert rule.runbook_url == "https://wiki/queue"
    assert rule.summary == "{host}: {value} waiting"
    assert rule.origin == "file:rules.queue_long"
    assert (rule.hosts, rule.labels, rule.held_by, rule.overrides) == (None, {}, (), ())
    assert rule.keep_firing_for_seconds == 0.0
    assert rule.notify_resolved
    assert rule.is_of_levels
    assert not rule.is_default
    assert rule.severity is Severity.CRITICAL


def test_everything_of_a_rule() -> None:
    """It must be that every key of a single condition arrives."""
    rule = found(
        """
        [rules.other]
        metric = "a"
        warning.above = 1
        [rules.x]
        metric = "system.filesystem.utilization"
        where = { mountpoint = "/var*", type = ["ext4", "x \\"y"] }
        reduce = "p95"
        over = "1h"
        when_present = true
        peers = "env"
        hosts = "role=web"
        for = "5m"
        keep_firing_for = "2m"
        notify_resolved = false
        labels = { team = "ops" }
        summary = "{host} {mountpoint} {role} {team} {for}"
        description = "a\\nb"
        held_by = ["other"]
        also = [{ metric = "system.filesystem.usage", where = "state=free", below = "20GB" }]
        info.above = "50%"
        warning = { above = "90%", for = "1m" }
        critical = { above = "95%", also = [] }
        """
    ).rules["x"]
    looked_at = rule.condition
    assert looked_at.where is not None
    assert looked_at.where.matches({"mountpoint": "/var/log", "type": 'x "y'})
    assert not looked_at.where.matches({"mountpoint": "/var", "type": "xfs"})
    assert (looked_at.reduce, looked_at.over_seconds) == (Reduce.P95, 3600.0)
    assert looked_at.when_present
    assert looked_at.peers == "env"
    assert rule.hosts is not None
    assert rule.hosts.text == "role=web"
    assert rule.keep_firing_for_seconds == 120.0
    assert not rule.notify_resolved
    assert rule.labels == {"team": "ops"}
    assert rule.held_by == ("other",)
    info, warning, critical = rule.levels
    assert [level.for_seconds for level in rule.levels] == [300.0, 60.0, 300.0]
    assert [len(level.clauses) for level in rule.levels] == [2, 2, 1]
    assert info.clauses[1].limit == warning.clauses[1].limit == Below(20e9, 20e9)
    assert critical.join is Join.ALL


@pytest.mark.parametrize("join", ["all", "any"])
def test_several_conditions(join: str) -> None:
    """It must be that several conditions make one level, of the severity that is written."""
    rule = one(
        f"""{join} = [
            {{ metric = "system.cpu.utilization", above = "90%" }},
            {{ metric = "system.network.io", where = "direction=receive", above = "100MB/s" }},
        ]
        severity = "critical"
        for = "1m" """
    )
    (level,) = rule.levels
    assert level.join == Join(join)
    assert level.severity is Severity.CRITICAL
    assert level.for_seconds == 60.0
    assert [each.limit for each in level.clauses] == [Above(0.9, 0.9), Above(1e8, 1e8)]
    assert one(f'{join} = [{{ metric = "a", above = 1 }}]').severity is Severity.WARNING


LIMITS: list[tuple[str, str, Limit]] = [
    ("system.cpu.utilization", 'above = "90%", clear_below = 0.8', Above(0.9, 0.8)),
    ("system.uptime", 'below = "5m", clear_above = "10m"', Below(300.0, 600.0)),
    ("system.clock.offset", "below = -0.5", Below(-0.5, -0.5)),
    (
        "hw.temperature",
        "outside = [10, 80], clear_above = 12, clear_below = 75",
        Outside(10, 80, 12, 75),
    ),
    ("hw.temperature", "outside = [-10, 80]", Outside(-10, 80, -10, 80)),
    ("system.linux.raid.degraded", "equals = true", Equals(1.0)),
    ("app.state", "equals = 3", Equals(3.0)),
    ("app.state", 'absent_for = "10m"', AbsentFor(600.0)),
    ("system.boot_time", "changed = true", Changed()),
    (
        "system.memory.usage",
        'rate_above = "3.6GB/h", clear_below = "1.8GB/h"',
        RateAbove(1e6, 5e5),
    ),
    ("system.filesystem.utilization", 'rate_above = "60%/m"', RateAbove(0.01, 0.01)),
    ("system.memory.oom_kills", 'rate_above = "6/m"', RateAbove(0.1, 0.1)),
    ("system.filesystem.utilization", 'fills_within = "4h"', FillsWithin(14_400.0, 14_400.0)),
    (
        "system.filesystem.utilization",
        'fills_within = "4h", clear_above = "6h"',
        FillsWithin(14_400.0, 21_600.0),
    ),
    ("app.latency", "differs_from_peers = 5, clear_below = 3.5", DiffersFromPeers(5.0, 3.5)),
    ("system.network.io", 'above = "1GB/s"', Above(1e9, 1e9)),
    ("system.cpu.time", 'above = "90%"', Above(0.9, 0.9)),
    ("app.thing", 'above = "90%"', Above(0.9, 0.9)),
    ("app.thing", 'above = "2GiB"', Above(2.0 * 2**30, 2.0 * 2**30)),
    ("app.thing", 'above = "5m"', Above(300.0, 300.0)),
    ("app.thing", "above = 5.5", Above(5.5, 5.5)),
]


@pytest.mark.parametrize(
    ("metric", "written", "limit"),
    [pytest.param(*row, id=str(at)) for at, row in enumerate(LIMITS)],
)
def test_every_limit(metric: str, written: str, limit: Limit) -> None:
    """It must be that each kind reads as people write it, in the unit of its metric."""
    assert (
        one(f'metric = "{metric}"\nwarning = {{ {written} }}').levels[0].clauses[0].limit == limit
    )


def test_what_pends_while_a_host_has_just_come() -> None:
    """It must be that states, changes and absences are told at once, and levels are not."""
    assert one('metric = "a"\nwarning.above = 1').is_of_levels
    assert not one('metric = "a"\nwarning.equals = 1').is_of_levels
    assert not one('metric = "a"\nwarning.changed = true').is_of_levels
    assert not one('metric = "a"\nwarning.absent_for = "1m"').is_of_levels


def test_overrides() -> None:
    """It must be that an override says what holds for its hosts, and everything else stays."""
    rule = one(
        """metric = "app.queue.length"
        warning = { above = 100, clear_below = 80 }
        for = "5m"
        [[rules.x.override]]
        hosts = "role in (backup, archive)"
        warning.above = 60
        [[rules.x.override]]
        hosts = "env=dev"
        warning = false
        info.above = 5
        for = "1h"
        """
    )
    backup, dev = rule.overrides
    assert backup.hosts.text == "role in (backup, archive)"
    assert backup.rule.levels[0].clauses[0].limit == Above(60.0, 40.0)
    assert backup.rule.levels[0].for_seconds == 300.0
    assert backup.rule.overrides == ()
    assert backup.rule.origin == "file:rules.x.override.0"
    assert [level.severity for level in dev.rule.levels] == [Severity.INFO]
    assert dev.rule.levels[0].for_seconds == 3600.0
    assert rule.levels[0].clauses[0].limit == Above(100.0, 80.0)


def test_turned_off() -> None:
    """It must be that a rule that is turned off is kept apart, and may be named all the same."""
    rules = found(
        """
        [rules.a]
        enabled = false
        [rules.b]
        metric = "m"
        warning.above = 1
        held_by = ["a"]
        """,
        '[rules.a]\nmetric = "m"\nwarning.above = 1',
    )
    assert [rule.name for rule in rules] == ["b"]
    assert set(rules.off) == {"a"}
    assert "enabled = false" in rules.off["a"].text
    assert rules.shipped == frozenset()


def test_what_is_written_reads_back() -> None:
    """It must be that the text of an effective rule reads as the same rule."""
    written = """
        [rules.x]
        all = [{ metric = "a", where = { m = "*" }, above = 1 }, { metric = "b", changed = true }]
        severity = "critical"
        labels = { "a" = "\\u001b[31m" }
    """
    assert faults(written) == ['x.labels.a: expected printable text, got "\\x1b[31m"']
    rules = found(
        """
        [rules.y]
        metric = "system.filesystem.utilization"
        where = { mountpoint = "*" }
        warning = { above = "92%", for = "1m", also = [{ metric = "b", below = 2.5 }] }
        critical.fills_within = "1h"
        over = "6h"
        [[rules.y.override]]
        hosts = "a=b"
        warning.above = "99%"
        """
    )
    again = found(rules.rules["y"].text)
    assert again.rules["y"].levels == rules.rules["y"].levels
    assert again.rules["y"].overrides[0].rule.levels == rules.rules["y"].overrides[0].rule.levels
    assert again.rules["y"].text == rules.rules["y"].text


FAULTS = [
    ("", 'x.metric: has to be given, such as metric = "system.cpu.utilization"'),
    ('metric = "a"', "x: has no limit: expected warning, critical or info"),
    ('metric = "a"\nwarning.abvoe = 1', 'x.warning.abvoe: unknown key; did you mean "above"?'),
    ('metric = "a"\nabove = 1', 'x.above: unknown key; did you mean "warning.above"?'),
    ('metric = "a"\nwarnig.above = 1', 'x.warnig: unknown key; did you mean "warning"?'),
    ('metric = "a"\nwarning = 3', 'x.warning: expected a table such as { above = "90%" }, got 3'),
    ('metric = "a"\nwarning = {}', "x.warning: says no limit; expected one of above, below"),
    ('metric = "a"\nwarning.clear_below = 1', "x.warning: has a way back and no limit"),
    ('metric = "a"\nwarning.above = nan', "x.warning.above: expected a number"),
    ('metric = "a"\nwarning.above = inf', "x.warning.above: expected a number"),
    ('metric = "a"\nwarning.above = 1e300', "x.warning.above: expected a number"),
    ('metric = "a"\nwarning.above = true', "x.warning.above: expected a number"),
    ('metric = "a"\nwarning.above = "lots"', 'got "lots"'),
    ('metric = "hw.fan.speed"\nwarning.above = "100"', "write it without quotes"),
    ('metric = "system.uptime"\nwarning.above = "-5m"', "it cannot be negative"),
    ('metric = "system.cpu.utilization"\nwarning.above = 90', "a bare number is from 0 to 1"),
    ('metric = "system.cpu.utilization"\nwarning.above = "90"', 'write "90%"'),
    ('metric = "system.network.io"\nwarning.above = "1GB"', 'a rate such as "100MB/s"'),
    ('metric = "system.network.io"\nwarning.above = "1GB/y"', "a rate is by s, m, min, h, d"),
    ('metric = "system.memory.usage"\nwarning.above = "1GB/s"', 'a size such as "20GB"'),
    ('metric = "a"\nwarning.above = 1\nfor = "-5m"', "x.for: expected a duration"),
    ('metric = "a"\nwarning.above = 1\nfor = "5"', 'x.for: expected a duration such as "1s", got'),
    ('metric = "a"\nwarning.above = 1\nfor = 5', 'got 5: write "5s" or "5m"'),
    ('metric = "a"\nwarning.above = 1\nfor = "1e9d"', 'x.for: expected a duration such as "1s"'),
    ('metric = "a"\nwarning.above = 1\nfor = "31d"', "x.for: expected at most 30d, got 31d"),
    ('metric = "a"\nwarning.above = 1\nover = "25h"\nreduce = "avg"', "x.over: expected at most"),
    ('metric = "a"\nwarning.above = 1\nover = "1h"', "x.over: says nothing without reduce"),
    ('metric = "a"\nwarning.above = 1\nreduce = "avg"', "x.reduce: over is missing: the avg of"),
    ('metric = "a"\nwarning.above = 1\nreduce = "max_"', 'got "max_"; did you mean "max"?'),
    ('metric = "a"\nwarning = { above = 1, below = 0 }', "x.warning.below: above stands here too"),
    (
        'metric = "a"\nwarning = { above = 1, clear_below = 2 }',
        "x.warning.clear_below: expected at",
    ),
    ('metric = "a"\nwarning = { below = 2, clear_above = 1 }', "expected at least the limit, 2"),
    ('metric = "a"\nwarning = { above = 1, clear_above = 2 }', "its way back is clear_below"),
    ('metric = "a"\nwarning = { equals = 1, clear_below = 0 }', "it has no way back"),
    (
        'metric = "a"\nwarning.outside = [2, 1]',
        "x.warning.outside: expected the lowest value first",
    ),
    ('metric = "a"\nwarning.outside = 3', "expected the lowest and the highest value"),
    ('metric = "a"\nwarning.outside = [1, nan]', "x.warning.outside.1: expected a number"),
    ('metric = "a"\nwarning.changed = false', "x.warning.changed: expected true, got false"),
    ('metric = "a"\nwarning.absent_for = "0s"', "x.warning.absent_for: expected more than 0s"),
    ('metric = "a"\nwarning.absent_for = 5', "x.warning.absent_for: expected a duration"),
    ('metric = "a"\nwarning.fills_within = "1h"', "x.metric: full is missing"),
    ('metric = "a"\nwarning.differs_from_peers = 0', "expected a number of deviations above 0"),
    ('metric = "a{b=\\"c\\"}"\nwarning.above = 1', "attributes are chosen by where"),
    ("metric = 3\nwarning.above = 1", "x.metric: expected text in quotes, got 3"),
    ('metric = ""\nwarning.above = 1', "x.metric: expected the name of a metric, got an empty one"),
    ('metric = "a"\nwhere = "b=~c"\nwarning.above = 1', "there are no regular expressions"),
    ('metric = "a"\nwhere = {}\nwarning.above = 1', "x.where: expected attributes"),
    ('metric = "a"\nwhere = { b = 1 }\nwarning.above = 1', "x.where.b: expected a value in quotes"),
    ('metric = "a"\nwhere = "host=b"\nwarning.above = 1', "host is no attribute of a metric"),
    ('metric = "a"\nhosts = ""\nwarning.above = 1', "x.hosts: the selector at column 1"),
    ('metric = "a"\nseverity = "critical"\nwarning.above = 1', "x.severity: goes with all or any"),
    ('all = [{ metric = "a", above = 1 }]\nseverity = "critcal"', 'did you mean "critical"?'),
    ('all = [{ metric = "a", above = 1 }]\nany = []', "x.any: all stands here too"),
    ("all = []", "x.all: expected conditions, got none"),
    ('all = { metric = "a", above = 1 }', "x.all: expected a list of conditions, got a table"),
    ('all = [{ metric = "a", above = 1 }]\nwarning.above = 1', "x.warning: does not go with all"),
    ('all = [{ metric = "a", above = 1, for = "1m" }]', "x.all.0.for: unknown key"),
    ("all = [3]", "x.all.0: expected a table such as"),
    ('metric = "a"\nwarning.above = 1\nheld_by = ["x"]', "a rule does not hold itself back"),
    ('metric = "a"\nwarning.above = 1\nheld_by = ["y"]', 'x.held_by.0: there is no rule "y"'),
    ('metric = "a"\nwarning.above = 1\nheld_by = "y"', "x.held_by: expected a list"),
    ('metric = "a"\nwarning.above = 1\nenabled = 1', "x.enabled: expected true or false, got 1"),
    ('metric = "a"\nwarning.above = 1\nlabels = { host = "a" }', "host is no label"),
    ('metric = "a"\nwarning.above = 1\nlabels = { a = 1 }', "x.labels.a: expected text in quotes"),
    ('metric = "a"\nwarning.above = 1\nlabels = 3', "x.labels: expected a table, got 3"),
    ('metric = "a"\nwarning.above = 1\nsummary = "{{ x }}"', "x.summary: expected fields such as"),
    ('metric = "a"\nwarning.above = 1\nsummary = "{%for%}"', "no other braces"),
    ('metric = "a"\nwarning.above = 1\nsummary = "{0.__class__}"', "no other braces"),
    ('metric = "a"\nwarning.above = 1\nsummary = "{value:>999999999}"', "no other braces"),
    ('metric = "a"\nwarning.above = 1\nsummary = "{value!r}"', "no other braces"),
    ('metric = "a"\nwarning.above = 1\nsummary = "}"', "no other braces"),
    ('metric = "a"\nwarning.above = 1\nsummary = "{secret}"', "there is no field {secret} here"),
    ('metric = "a"\nwarning.above = 1\nsummary = "\\u001b"', "x.summary: expected printable text"),
    ('metric = "a"\nwarning.above = 1\nsummary = 3', "x.summary: expected text in quotes, got 3"),
    ('metric = "a"\nwarning.above = 1\nrunbook_url = "javascript:alert(1)"', "x.runbook_url: exp"),
    ('metric = "a"\nwarning.above = 1\nrunbook_url = "http://u:p@x/"', "x.runbook_url: expected a"),
    ('metric = "a"\nwarning.above = 1\nrunbook_url = "https://x/{host}"', "x.runbook_url: expect"),
    (
        'metric = "a"\nwarning.above = 1\n[[rules.x.override]]',
        "x.override.0.hosts: has to be given",
    ),
    ('metric = "a"\nwarning.above = 1\noverride = 3', "[[rules.x.override]], got 3"),
    (
        'metric = "a"\nwarning.above = 1\n[[rules.x.override]]\nhosts = "a=b"\nenabled = false',
        "x.override.0.enabled: cannot be overridden",
    ),
    (
        'metric = "a"\nwarning.above = 1\n[[rules.x.override]]\nhosts = "a=b"\nwarning.above = nan',
        "x.override.0.warning.above: expected a number",
    ),
    (
        'metric = "a"\nwarning.above = 1\n[[rules.x.override]]\nhosts = "a=b"\nwarnin.above = 1',
        'x.override.0.warnin: unknown key; did you mean "warning"?',
    ),
]


@pytest.mark.parametrize(
    ("text", "expected"), [pytest.param(*row, id=str(at)) for at, row in enumerate(FAULTS)]
)
def test_every_fault(text: str, expected: str) -> None:
    """It must be that each fault is told once, of its rule and key, and the rule is left out."""
    told = faults(f"[rules.x]\n{text}")
    assert any(expected in line for line in told), told
    assert len(told) == len(set(told))
    assert not read(tables(f"[rules.x]\n{text}"))[0].rules


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rules = { x = 3 }", "x: expected tables by name, as [rules.NAME]; got 3"),
        ("[rules.'a b']", "a b: expected a name of 1 to 64 letters"),
        ("[rules.disk_spce]\nenabled = false", 'on or off; did you mean "disk_space"?'),
        ("[rules.disk_spce]\nwarning.above = 1", 'did you mean the rule "disk_space"?'),
    ],
)
def test_faults_of_names(text: str, expected: str) -> None:
    """It must be that a name that is none, or a slip of a known one, is said."""
    told = faults(text, '[rules.disk_space]\nmetric = "a"\nwarning.above = 1')
    assert any(expected in line for line in told), told


def test_a_change_that_does_not_go_with_what_is_inherited() -> None:
    """It must be that the fault is told where the change was made, and names what it inherits."""
    shipped = '[rules.x]\nmetric = "system.cpu.utilization"\nwarning.above = "90%"'
    (told,) = faults('[rules.x]\nmetric = "system.memory.usage"', shipped)
    assert told.startswith("x: warning.above, inherited from defaults: expected a size")


def test_one_bad_rule_among_good_ones() -> None:
    """It must be that the others are read all the same, for whoever wants them."""
    rules, told = read(tables('[rules.a]\n[rules.b]\nmetric = "m"\nwarning.above = 1'))
    assert [rule.name for rule in rules] == ["b"]
    assert told


def test_too_many() -> None:
    """It must be that a million rules are refused without being read."""
    many = {f"r{number}": {"metric": "a", "warning": {"above": 1}} for number in range(100_000)}
    rules, told = read(many)
    assert len(rules) == MOST_RULES
    assert [each.sentence for each in told] == ["there are more than 1,000 rules"]
    many = {f"r{number}": {} for number in range(100_000)}
    assert len(read(many)[1]) <= 501


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({f"k{n}": 1 for n in range(50_000)}, "x: expected at most 100 keys, got 50,000"),
        ({"labels": {f"k{n}": 1 for n in range(50_000)}}, "x.labels: expected at most 100 keys"),
        ({"warning": {f"k{n}": 1 for n in range(50_000)}}, "x.warning: expected at most 100 keys"),
        ({"override": [{}] * 50_000}, "x.override: expected at most 32 overrides, got 50,000"),
        ({"all": [{f"k{n}": 1 for n in range(50_000)}]}, "x.all.0: has 49,980 unknown keys more"),
        ({"all": [{}] * 50_000}, "x.all: expected at most 8 conditions, got 50000"),
    ],
    ids=["keys", "labels", "limit", "overrides", "clause", "clauses"],
)
def test_one_rule_that_is_too_large(table: dict[str, Any], expected: str) -> None:
    """It must be that what no person writes is refused by its size, not looked at key by key."""
    _, told = read({"x": table}, defaults={"x": {"metric": "a", "warning": {"above": 1}}})
    lines = [f"{'.'.join(map(str, each.path[1:]))}: {each.sentence}" for each in told]
    assert len(lines) < 30
    assert any(line.startswith(expected) for line in lines)


def test_layers_in_order() -> None:
    """It must be that a later file changes what an earlier one says, and each keeps its place."""
    first = Layer(tables('[rules.x]\nmetric = "a"\nwarning.above = 1\nfor = "1m"'), where)
    second = Layer(tables("[rules.x]\nwarning.above = 2"), lambda _: "second:2")
    rules, told = read_layers([first, second])
    assert not told
    assert rules.rules["x"].levels[0].clauses[0].limit == Above(2.0, 2.0)
    assert rules.rules["x"].levels[0].for_seconds == 60.0
    assert rules.rules["x"].origin == "second:2"
    _, told = read_layers([first, Layer(tables("[rules.x]\nwarning.above = nan"), where)])
    assert [each.layer for each in told] == [1]
