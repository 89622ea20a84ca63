"""Evidence as pages show it, and the chart of an alert: values in, values out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.core.book import Alert
from monitor.core.messages import Alert as Said
from monitor.core.rules.model import (
    Above,
    Below,
    Changed,
    Clause,
    Condition,
    Equals,
    Level,
    Limit,
    Outside,
    Override,
    Rule,
    Severity,
)
from monitor.core.selectors import Selector
from monitor.ports import Buckets, SeriesBuckets
from monitor.web.alertchart import alert_chart, limits_of, lines_of, rule_for, span_of, worst_of
from monitor.web.alertdetail import web_address
from monitor.web.evidenceview import Evidence, evidence_view, pressure_words

METRIC = "system.filesystem.utilization"
SAID = Said(
    alert="a1",
    rule="disk_space",
    host="db-1",
    attributes={},
    state="firing",
    was="pending",
    severity="warning",
    value=0.95,
    since=10_000.0,
    metric=METRIC,
    unit="percent",
)
ALERT = Alert(SAID, 10_000.0, 0.0, 1, 1)


def rule(limit: Limit, **more: Any) -> Rule:
    level = Level(Severity.WARNING, (Clause(Condition(METRIC), limit),))
    return Rule("disk_space", (level,), **more)


def buckets(*values: float, step: float = 600.0) -> Buckets:
    found = np.array(values, dtype=np.float64)
    starts = 6_400.0 + step * np.arange(len(found), dtype=np.float64)
    return Buckets(starts, step, (SeriesBuckets("db-1", METRIC, found, found, found),))


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {"processes": [], "pressure": 5, "series": {}, "changes": "x", "host": None, "at": "x"},
        {"processes": {"cpu": [None, 5, {}]}, "series": [None, {"t": 1}, {"key": "a", "t": [1]}]},
        {"at": float("inf"), "changes": [{"at": 1e300, "text": "x"}, {"at": 5}]},
        {"series": [{"key": "a", "t": [1, 1], "v": [1, 2]}, {"key": "b", "t": [1, 2], "v": []}]},
        {"forecast": {"full_in_seconds": -1}, "host": {"uptime": True, "status": ["up"]}},
    ],
)
def test_what_is_not_of_its_shape_is_left_out(found: Any) -> None:
    """It must be that no evidence, however odd, breaks the page of its alert."""
    view = evidence_view(found, 20_000.0)
    assert not view.sparks
    assert not view.changes
    assert replace(view, culprits=(), at="", host="") == Evidence()


def test_evidence_has_an_end() -> None:
    """It must be that lists and texts are cut, whatever their length was."""
    row = {"pid": 1, "name": "n" * 5_000, "value": 1e308}
    view = evidence_view(
        {"processes": {"cpu": [row] * 50}, "pressure": {f"k{n}": 0.1 for n in range(99)}}, 1.0
    )
    assert len(view.culprits[0].rows) == 5
    assert len(view.culprits[0].rows[0].name) == 200
    assert len(view.pressure) == 12


def test_pressure_is_said_in_words() -> None:
    """It must be that a KEY of pressure reads as a person says it, and any other as it is."""
    assert pressure_words('system.linux.pressure{kind="some",resource="io"}') == "IO, some"
    assert pressure_words("x{") == "x{"
    assert pressure_words("x") == "x"


@pytest.mark.parametrize(
    ("limit", "lines"),
    [
        (Above(0.9, 0.8), [(0.9, 0.8)]),
        (Below(0.1, 0.2), [(0.1, 0.2)]),
        (Outside(0.1, 0.9, 0.2, 0.8), [(0.1, 0.2), (0.9, 0.8)]),
        (Equals(1.0), [(1.0, 1.0)]),
        (Changed(), []),
    ],
    ids=["above", "below", "outside", "equals", "changed"],
)
def test_a_limit_is_a_line_where_it_can_be(limit: Limit, lines: list[tuple[float, float]]) -> None:
    """It must be that what is compared with a value is drawn at it, with its way back."""
    assert lines_of(limit) == lines
    assert limits_of(rule(limit), ALERT) == lines
    assert limits_of(None, ALERT) == []


def test_a_hosts_own_limit_is_drawn() -> None:
    """It must be that an override's limit stands on the chart of the host that it is for."""
    other = rule(Above(0.97, 0.9))
    changed = rule(Above(0.9, 0.8), overrides=(Override(Selector.parse("host=db-*"), other),))
    assert rule_for(changed, ALERT.labels) is other
    assert limits_of(changed, ALERT) == [(0.97, 0.9)]


@pytest.mark.parametrize(
    ("limit", "peak", "worst"),
    [
        (Above(0.9, 0.8), None, 0.95),
        (Above(0.9, 0.8), 0.99, 0.99),
        (Below(0.5, 0.6), 0.2, 0.2),
        (Below(0.5, 0.6), None, 0.3),
        (Changed(), 0.99, None),
    ],
    ids=["above", "above_said", "below_said", "below", "changed"],
)
def test_the_worst_value_is_the_worst_up_to_now(
    limit: Limit, peak: float | None, worst: float | None
) -> None:
    """It must be that what was worse before it fired, or after it was told, is kept apart."""
    found = buckets(0.1, 0.99, 0.1, 0.1, 0.1, 0.1, 0.95, 0.3)  # the last two lie after it fired
    alert = replace(ALERT, said=Said(**{**_fields(), "peak": peak}))
    assert worst_of(rule(limit), alert, found) == worst
    assert worst_of(None, alert, found) is None


def test_the_picture_begins_an_hour_before_and_holds_the_limit() -> None:
    """It must be that the limit is on the plot though no value comes near it."""
    assert span_of(ALERT, 10_500.0) == (6_400.0, 10_500.0)
    over = replace(ALERT, said=Said(**{**_fields(), "state": "resolved"}), resolved_at=11_000.0)
    assert span_of(over, 99_000.0) == (6_400.0, 11_900.0)
    chart = alert_chart(ALERT, rule(Above(0.9, 0.8)), buckets(0.1, 0.2, 0.1), 10_500.0)
    (line,) = chart.limits
    assert chart.drawing.plan.top == 1.0
    assert (round(line.y, 1), round(line.clear_y, 1)) == (12.8, 25.6)
    assert (round(line.band_y, 1), round(line.band_height, 1)) == (12.8, 12.8)
    assert [each.text[:5] for each in chart.instants] == ["fired"]
    assert not chart.is_empty
    nothing = buckets(float("nan"))
    assert alert_chart(ALERT, None, nothing, 10_500.0).is_empty


def _fields() -> dict[str, Any]:
    return {name: getattr(SAID, name) for name in SAID.__struct_fields__}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://wiki/x", "https://wiki/x"),
        (" http://a ", "http://a"),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("//evil", ""),
        ("https:", ""),
        ("http://[", ""),
        ("", ""),
    ],
)
def test_a_runbook_is_an_address_of_the_web(text: str, found: str) -> None:
    """It must be that no other scheme ever stands in a link."""
    assert web_address(text) == found
