"""The noise report, from events as the log has them."""

import math

import pytest

from monitor.alerting.noise import (
    MOST_EVENTS,
    Episode,
    Episodes,
    NoiseReports,
    Report,
    noise,
    report,
)
from monitor.core.messages import Alert, Message, Notice, event
from monitor.core.rules.model import Rule, Severity
from monitor.core.rules.reading import read
from monitor.core.rules.ruleset import RuleSet
from monitor.log.memory import MemoryLog
from monitor.model import Event, retention_class

DAY = 86_400.0
NOW = 1_800_000_000.0

RULES = RuleSet(
    dict(
        read(
            {
                "cpu": {
                    "metric": "system.cpu.utilization",
                    "warning": {"above": "90%", "clear_below": "80%"},
                    "for": "1m",
                },
                "free": {"metric": "app.free", "critical": {"below": 100, "clear_above": 200}},
                "both": {
                    "all": [
                        {"metric": "app.a", "above": 1},
                        {"metric": "app.b", "above": 1},
                    ],
                    "severity": "warning",
                },
            }
        )[0].rules
    )
)


def rule(name: str) -> Rule:
    found = RULES.get(name)
    assert found is not None
    return found


def short(count: int, peak: float = 0.92, seconds: float = 60.0) -> list[Episode]:
    return [
        Episode("cpu", Severity.WARNING, at * DAY, at * DAY + seconds, peak) for at in range(count)
    ]


def long_(count: int, peak: float = 0.99, seconds: float = 3_600.0) -> list[Episode]:
    return short(count, peak, seconds)


class Said:
    """Events of alerts, numbered."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def say(self, message: Message, at: float) -> None:
        self.events.append(event(message, at, f"e{len(self.events)}"))

    def alert(
        self,
        id_: str,
        state: str,
        at: float,
        *,
        rule: str = "cpu",
        severity: str = "warning",
        is_drill: bool = False,
        is_late: bool = False,
    ) -> None:
        self.say(
            Alert(
                alert=id_,
                rule=rule,
                host="web-1",
                attributes={},
                state=state,  # type: ignore[arg-type]
                was=None,
                severity=severity,  # type: ignore[arg-type]
                value=1.0,
                since=at,
                peak=0.93,
                is_drill=is_drill,
                is_late=is_late,
            ),
            at,
        )


def test_an_episode_is_from_the_firing_to_the_end() -> None:
    """It must be that an escalation is the same alert, and what goes on has no end."""
    said, found = Said(), Episodes()
    said.alert("a", "firing", 100)
    said.alert("a", "firing", 160, severity="critical")
    said.alert("a", "resolved", 400)
    said.alert("b", "firing", 500)
    details = {"alert": "b", "action": "create"}
    said.say(Notice(kind="ack", text="seen", details=details), 510)
    for each in said.events:
        found.fold(each)
    assert found.all() == [
        Episode("cpu", Severity.CRITICAL, 100, 400, 0.93),
        Episode("cpu", Severity.WARNING, 500, None, 0.93, is_acknowledged=True),
    ]


def test_drills_and_what_came_late_do_not_count() -> None:
    """It must be that a report is about what was told because it was so."""
    said, found = Said(), Episodes()
    said.alert("a", "firing", 100, is_drill=True)
    said.alert("a", "resolved", 200, is_drill=True)
    said.alert("b", "resolved", 300, is_late=True)
    said.alert("c", "resolved", 300)
    for each in said.events:
        found.fold(each)
    assert found.all() == []


def test_what_a_rule_did_is_reckoned() -> None:
    """It must be that each number is what it says."""
    episodes = [
        Episode("cpu", Severity.WARNING, 0, 60, 0.91, is_acknowledged=True),
        Episode("cpu", Severity.WARNING, 1_000, 1_600, 0.95),
        Episode("cpu", Severity.WARNING, 2_000, None, 0.95),
    ]
    found = noise("cpu", rule("cpu"), episodes, 14 * DAY, 10_000)
    assert found.fires == 3
    assert found.fires_a_week == 1.5
    assert found.median_seconds == 600
    assert found.short_share == 0.5
    assert found.acknowledged_share == pytest.approx(1 / 3)
    assert found.suggestions == ()


def test_a_rule_that_never_fired_makes_no_noise() -> None:
    """It must be that nothing is divided by nothing."""
    found = noise("cpu", rule("cpu"), [], DAY, NOW)
    assert (found.fires, found.fires_a_week, found.short_share) == (0, 0, 0)
    assert math.isnan(found.median_seconds)


@pytest.mark.parametrize(
    ("episodes", "lines"),
    [
        # Most lasted a minute beyond `for`: the next one up drops them.
        (
            [*short(8), *long_(2, peak=0.91)],
            ['for = "5m"'],
        ),
        # The peaks tell them apart as well.
        ([*short(8, peak=0.924), *long_(2)], ['for = "5m"', 'warning.above = "93%"']),
        # Long ones only.
        (long_(8), []),
        # Too few.
        (short(4), []),
        # Both last as long, and peak alike.
        ([*short(8, seconds=290, peak=0.95), *long_(8, seconds=310, peak=0.95)], []),
        # Peaks beyond what a ratio can be: no limit is suggested.
        (short(8, peak=1.0), ['for = "5m"']),
    ],
)
def test_what_is_suggested_drops_the_short_and_keeps_the_long(
    episodes: list[Episode], lines: list[str]
) -> None:
    """It must be that a suggestion would have worked on what was, else there is none."""
    found = noise("cpu", rule("cpu"), episodes, 28 * DAY, NOW)
    assert [each.toml.splitlines()[1] for each in found.suggestions] == lines
    for each in found.suggestions:
        assert "8 of 8" in each.sentence
        assert each.toml.startswith("[rules.cpu]\n")


def test_a_limit_below_is_moved_down() -> None:
    """It must be that what runs out is suggested a lower limit, in its own unit."""
    episodes = [
        Episode("free", Severity.CRITICAL, at * DAY, at * DAY + 60, 87.0) for at in range(8)
    ]
    found = noise("free", rule("free"), episodes, 28 * DAY, NOW)
    assert "critical.below = 87" in found.suggestions[1].toml


def test_a_rule_of_several_conditions_is_suggested_no_limit() -> None:
    """It must be that a peak of one condition does not speak for all."""
    found = noise("both", rule("both"), short(8, peak=5), 28 * DAY, NOW)
    assert [each.toml.splitlines()[1] for each in found.suggestions] == ['for = "2m"']


async def _logged(said: Said) -> MemoryLog:
    log = MemoryLog()
    for each in said.events:
        await log.append([each])
    return log


async def test_a_report_reads_what_is_recent_in_the_log() -> None:
    """It must be that what is older than four weeks is left out, and every rule is told of."""
    said = Said()
    said.alert("old", "firing", NOW - 40 * DAY)
    said.alert("old", "resolved", NOW - 40 * DAY + 60)
    for number in range(7):
        at = NOW - (20 - number) * DAY
        said.alert(f"n{number}", "firing", at)
        said.say(Notice(kind="server", text="started"), at + 1)
        said.alert(f"n{number}", "resolved", at + 60)
    said.alert("gone", "firing", NOW - 60, rule="a_rule_that_is_no_more")
    found = await report(await _logged(said), RULES, NOW)
    assert [(each.rule, each.fires) for each in found.rules] == [
        ("cpu", 7),
        ("a_rule_that_is_no_more", 1),
        ("both", 0),
        ("free", 0),
    ]
    assert found.of("cpu").fires_a_week == 7 / 4
    assert found.of("cpu").suggestions
    assert found.of("unheard of").fires == 0
    assert (found.start, found.end, found.is_cut) == (NOW - 28 * DAY, NOW, False)


async def test_an_empty_log_makes_a_report() -> None:
    """It must be that a first start has one."""
    found = await report(MemoryLog(), RULES, NOW)
    assert {each.fires for each in found.rules} == {0}


async def test_a_log_that_was_trimmed_is_read_from_where_it_begins() -> None:
    """It must be that what is missing at its beginning is no fault."""
    said = Said()
    for number in range(6):
        said.alert(f"n{number}", "firing", NOW - DAY + number)
    log = await _logged(said)
    for each in said.events[:2]:
        await log.trim(retention_class(each), each.at + 0.5)
    found = await report(log, RULES, NOW)
    assert found.of("cpu").fires == 4


async def test_too_much_to_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that a report is bounded, and says so."""
    assert MOST_EVENTS > 0
    monkeypatch.setattr("monitor.alerting.noise.MOST_EVENTS", 3)
    monkeypatch.setattr("monitor.alerting.noise.EVENTS_AT_ONCE", 2)
    said = Said()
    for number in range(9):
        said.alert(f"n{number}", "firing", NOW - DAY + number)
    found = await report(await _logged(said), RULES, NOW)
    assert found.is_cut
    assert found.of("cpu").fires == 4
    assert found.end == NOW - DAY + 3


async def test_a_report_is_made_once_in_a_while() -> None:
    """It must be that a page that is looked at often does not read the log each time."""
    log, rules = MemoryLog(), [RULES]
    reports = NoiseReports(log, lambda: rules[0])
    first: Report = await reports.report(NOW)
    assert await reports.report(NOW + 10) is first
    assert await reports.report(NOW + 1_000) is not first
    newest = await reports.report(NOW + 1_001)
    rules[0] = RuleSet(dict(RULES.rules))
    assert await reports.report(NOW + 1_002) is not newest
