"""Backtests: the live evaluator, stepped over history."""

import math

import numpy as np
import pytest

from monitor.core.backtest import (
    Firing,
    History,
    Statistic,
    Stopped,
    backtest,
    closed,
    compares_peers,
    statistics,
    without_hysteresis,
)
from monitor.core.rules.model import (
    Above,
    Below,
    Clause,
    Condition,
    DiffersFromPeers,
    FillsWithin,
    Level,
    Limit,
    Outside,
    Override,
    RateAbove,
    Reduce,
    Rule,
    Severity,
)
from monitor.core.selectors import Selector
from monitor.core.series import Floats
from monitor.model import Schema

NAN = math.nan
QUEUE = "app.queue"


def level(
    limit: Limit,
    for_seconds: float = 0.0,
    severity: Severity = Severity.WARNING,
    reduce: Reduce = Reduce.LAST,
    over_seconds: float = 0.0,
) -> Level:
    condition = Condition(QUEUE, reduce=reduce, over_seconds=over_seconds)
    return Level(severity, (Clause(condition, limit),), for_seconds=for_seconds)


def history(*values: float, host: str = "web-1", key: str = QUEUE) -> History:
    column: Floats = np.array(values, float)[:, None]
    return History(host, {}, Schema((key,)), column)


def told(firings: list[Firing]) -> list[tuple[str, float, float | None, float]]:
    return [(each.host, each.start, each.end, each.peak) for each in firings]


HILL = (10.0, 90.0, 110.0, 130.0, 95.0, 105.0, 70.0, 10.0)


@pytest.mark.parametrize(
    ("limit", "for_seconds", "values", "expected"),
    [
        (Above(100, 80), 0, HILL, [("web-1", 180, 420, 130)]),
        (Above(100, 100), 0, HILL, [("web-1", 180, 300, 130), ("web-1", 360, 420, 105)]),
        (Above(100, 80), 120, HILL, [("web-1", 300, 420, 130)]),
        (Above(100, 80), 600, HILL, []),
        (Above(200, 200), 0, HILL, []),
        (Above(100, 80), 0, (10, 110, NAN, NAN, 10), [("web-1", 120, 300, 110)]),
        (Above(100, 80), 0, (10, 110, NAN, NAN), [("web-1", 120, None, 110)]),
        (Below(20, 30), 60, (50, 10, 5, 25, 40), [("web-1", 180, 300, 5)]),
    ],
)
def test_a_rule_fires_as_it_would_have(
    limit: Limit,
    for_seconds: float,
    values: tuple[float, ...],
    expected: list[tuple[str, float, float | None, float]],
) -> None:
    """It must be that buckets are judged at their ends, gaps neither adding nor ending."""
    rule = Rule("queue", (level(limit, for_seconds),))
    assert told(backtest(rule, [history(*values)], 0, 60)) == expected


def test_hosts_and_series_fire_apart() -> None:
    """It must be that each host, and each series of it, has alerts of its own."""
    values = np.array([[1.0, 200.0], [200.0, 200.0], [1.0, 1.0]])
    two = Schema((f'{QUEUE}{{name="a"}}', f'{QUEUE}{{name="b"}}'))
    histories = [History("web-1", {}, two, values), history(1, 1, 200, host="web-2")]
    found = backtest(Rule("queue", (level(Above(100, 100)),)), histories, 1_000, 10)
    assert [(f.host, dict(f.attributes).get("name"), f.start, f.end) for f in found] == [
        ("web-1", "b", 1_010, 1_030),
        ("web-1", "a", 1_020, 1_030),
        ("web-2", None, 1_030, None),
    ]


def test_the_worst_severity_is_told_of_one_alert() -> None:
    """It must be that a warning that became critical is one firing."""
    levels = (level(Above(100, 80)), level(Above(120, 110), severity=Severity.CRITICAL))
    found = backtest(Rule("queue", levels), [history(*HILL)], 0, 60)
    assert [(f.severity, f.start, f.end) for f in found] == [(Severity.CRITICAL, 180, 420)]


def test_windows_take_the_bucket_for_their_tick() -> None:
    """It must be that an average over ten minutes is judged in buckets of five."""
    rule = Rule("queue", (level(Above(100, 100), reduce=Reduce.AVG, over_seconds=600),))
    found = backtest(rule, [history(0, 0, 150, 0, 150, 150, 0, 0)], 0, 300)
    assert [(f.start, f.end) for f in found] == [(1_800, 2_100)]


@pytest.mark.parametrize(("step", "start"), [(1.0, 130.0), (60.0, 180.0)])
def test_growth_is_over_its_own_time_whatever_the_bucket(step: float, start: float) -> None:
    """It must be that ten a second within a minute is that in buckets of a second and a minute."""
    at = np.arange(step, 601, step)
    values = np.where(at > 120, np.minimum(at - 120, 60.0) * 10, 0.0)
    rule = Rule("queue", (level(RateAbove(1.5, 1.5)),))
    found = backtest(rule, [history(*values)], 0, step)
    assert [each.start for each in found] == pytest.approx([start], abs=5)
    assert found[0].end == pytest.approx(240, abs=10 + step / 2)


def test_overrides_and_hosts_hold_by_labels() -> None:
    """It must be that a host is judged by what holds for it."""
    plain = Rule("queue", (level(Above(100, 100)),))
    mild = Rule("queue", (level(Above(1_000, 1_000)),))
    rule = Rule(
        "queue",
        plain.levels,
        hosts=Selector.parse("host!=web-3"),
        overrides=(Override(Selector.parse("role=batch"), mild),),
    )
    values = history(200).values
    schema = Schema((QUEUE,))
    found = backtest(
        rule,
        [
            History("web-1", {}, schema, values),
            History("web-2", {"role": "batch"}, schema, values),
            History("web-3", {}, schema, values),
        ],
        0,
        60,
    )
    assert [f.host for f in found] == ["web-1"]


def test_a_rule_about_nothing_there_never_fires() -> None:
    """It must be that a metric that nobody has is no fault."""
    assert backtest(Rule("queue", (level(Above(1, 1)),)), [history(9, key="other")], 0, 60) == []
    assert backtest(Rule("queue", (level(Above(1, 1)),)), [], 0, 60) == []


def test_it_stops_when_nobody_waits() -> None:
    """It must be that a backtest that is given up ends."""
    asked: list[int] = []

    def is_stopped() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Stopped):
        backtest(Rule("queue", (level(Above(1, 1)),)), [history(*range(5_000))], 0, 60, is_stopped)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("limit", "plain"),
    [
        (Above(100, 80), Above(100, 100)),
        (Below(20, 30), Below(20, 20)),
        (RateAbove(5, 2), RateAbove(5, 5)),
        (Outside(1, 9, 2, 8), Outside(1, 9, 1, 9)),
        (FillsWithin(60, 120), FillsWithin(60, 60)),
        (DiffersFromPeers(5, 3), DiffersFromPeers(5, 5)),
    ],
)
def test_without_hysteresis_a_limit_is_its_own_way_back(limit: Limit, plain: Limit) -> None:
    """It must be that every kind of limit loses its way back, in overrides too."""
    rule = Rule("queue", (level(limit),))
    rule = Rule("queue", (level(limit),), overrides=(Override(Selector.parse("host=a"), rule),))
    found = without_hysteresis(rule)
    assert found.levels[0].clauses[0].limit == plain
    assert found.overrides[0].rule.levels[0].clauses[0].limit == plain
    assert without_hysteresis(found) == found
    assert compares_peers(rule) is isinstance(limit, DiffersFromPeers)


@pytest.mark.parametrize(
    ("levels", "statistic"),
    [
        ([level(Above(1, 1))], Statistic.MAXIMUM),
        ([level(Above(1, 1), 60)], Statistic.AVERAGE),
        ([level(Above(1, 1)), level(Above(2, 2), 60)], Statistic.AVERAGE),
        ([level(Below(1, 1))], Statistic.MINIMUM),
        ([level(Above(1, 1), 60, reduce=Reduce.MAX, over_seconds=60)], Statistic.MAXIMUM),
        ([level(Below(1, 1), 60, reduce=Reduce.MIN, over_seconds=60)], Statistic.MINIMUM),
        ([level(Above(1, 1), reduce=Reduce.AVG, over_seconds=60)], Statistic.AVERAGE),
    ],
)
def test_what_of_a_bucket_is_judged(levels: list[Level], statistic: Statistic) -> None:
    """It must be that an instant above a limit counts where `for` asks for no more."""
    assert statistics(Rule("queue", tuple(levels))) == {QUEUE: statistic}


def test_what_is_no_more_does_not_fire_for_ever() -> None:
    """It must be that the alert of a mount that was taken away ended soon after."""
    rule = Rule("queue", (level(Above(1, 1)),))
    found = backtest(rule, [history(9, 9, NAN, NAN), history(9, 9, 9, 9, host="web-2")], 0, 60)
    ends = closed(found, {"web-1": {QUEUE}}, lambda host, key: 120.0)
    assert [each.end for each in ends] == [420.0, None]
