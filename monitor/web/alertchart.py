"""The chart of one alert: its series from an hour before to now, with the limit that it passed.

The picture is one of a range (`rangecharts`); what lies over it, the limit, the way back and the
instants of the alert, is made here, and drawn again by `static/js/alert.js`.  A value that is not
stored, or a limit that is no line, has no picture, or one without a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from monitor.core.book import Alert
from monitor.core.rules.model import (
    Above,
    Below,
    Clause,
    Equals,
    Limit,
    Outside,
    Reduce,
    Rule,
)
from monitor.ports import Buckets
from monitor.web.charts import HEIGHT, Drawing, Plan, bounded, highest
from monitor.web.format import nice_top, written
from monitor.web.rangecharts import Cut, draw_range
from monitor.web.timeaxis import instant_words

BEFORE_SECONDS = 3_600.0
"""How long before it fired the picture begins."""

AFTER_SECONDS = 900.0
"""How long after its end the picture goes on."""

POINTS = 360
"""Buckets: ten seconds each in the usual hour."""

HEADROOM = 1.05
"""How far above a limit the axis ends at least, so that the limit is seen as one."""

NOT_STORED = "monitor.host."
"""What the judge makes for each host, and nobody stores."""


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A limit as a line, and where the way back is: values, and heights from the top in pixels."""

    value: float
    clear: float
    text: str
    y: float
    clear_y: float

    @property
    def band_y(self) -> float:
        """Where the band between the two begins."""
        return min(self.y, self.clear_y)

    @property
    def band_height(self) -> float:
        """How tall it is."""
        return abs(self.y - self.clear_y)


@dataclass(frozen=True, slots=True)
class Instant:
    """Something that happened to the alert: how far along it is, 0 to 1, and its words."""

    at: float
    share: float
    shape: str
    text: str


@dataclass(frozen=True, slots=True)
class AlertChart:
    """The picture, and what lies over it."""

    drawing: Drawing
    start: float
    end: float
    is_open: bool
    limits: tuple[LimitLine, ...]
    instants: tuple[Instant, ...]
    is_empty: bool
    worst: float | None = None
    """The worst value since it fired, where that is one of the series."""


def span_of(alert: Alert, now: float) -> tuple[float, float]:
    """The first instant of an alert's picture, and the one after its last."""
    began = min(alert.fired_at, alert.said.began or alert.fired_at)
    end = now if alert.is_open else min(now, alert.resolved_at + AFTER_SECONDS)
    return began - BEFORE_SECONDS, max(end, began + 60.0)


def rule_for(rule: Rule, labels: Mapping[str, str]) -> Rule:
    """What of a rule holds for a host of these labels, its name among them."""
    for override in rule.overrides:
        if override.hosts.matches(labels):
            return override.rule
    return rule


def limits_of(rule: Rule | None, alert: Alert) -> list[tuple[float, float]]:
    """Each limit that is a line, with its way back, of the level that the alert is of."""
    clause = clause_of(rule, alert)
    return lines_of(clause.limit) if clause is not None else []


def clause_of(rule: Rule | None, alert: Alert) -> Clause | None:
    """What of the rule is about the alert's own series, in the level that the alert is of."""
    if rule is None:
        return None
    name = alert.said.metric.partition("{")[0]
    for level in reversed(rule_for(rule, alert.labels).levels):
        if level.severity.value != alert.said.severity:
            continue
        for clause in level.clauses:
            if clause.condition.metric == name:
                return clause
    return None


def worst_of(rule: Rule | None, alert: Alert, found: Buckets) -> float | None:
    """The worst value since an alert fired; none where what is judged is no plain value."""
    clause = clause_of(rule, alert)
    if clause is None or clause.condition.reduce is not Reduce.LAST or not found.series:
        return None
    firing = found.starts + found.step_seconds > alert.fired_at
    if not alert.is_open:
        firing &= found.starts < alert.resolved_at
    series, known = found.series[0], alert.said.peak
    match clause.limit:
        case Above():
            values = [float(value) for value in series.maximum[firing] if np.isfinite(value)]
            return max([*values, *([] if known is None else [known])], default=None)
        case Below():
            values = [float(value) for value in series.minimum[firing] if np.isfinite(value)]
            return min([*values, *([] if known is None else [known])], default=None)
        case _:
            return None


def lines_of(limit: Limit) -> list[tuple[float, float]]:
    """The values at which a limit is passed, each with the one at which it is over."""
    match limit:
        case Above(value, clear) | Below(value, clear):
            return [(value, clear)]
        case Outside(low, high, clear_low, clear_high):
            return [(low, clear_low), (high, clear_high)]
        case Equals(value):
            return [(value, value)]
        case _:
            return []


def alert_chart(
    alert: Alert, rule: Rule | None, found: Buckets, now: float, period: float = 0.0
) -> AlertChart:
    """The picture of what the store had of an alert's series over `span_of`."""
    start, end = span_of(alert, now)
    said, style = alert.said, alert.said.unit or "number"
    wanted = limits_of(rule, alert)
    limits = [value for pair in wanted for value in pair]
    columns = [bounded(series.maximum) for series in found.series]
    top = nice_top(max([highest(columns), *(HEADROOM * value for value in limits)]), style)
    if style == "percent" and max([highest(columns), *limits], default=0.0) <= 1.0 < top:
        top = 1.0
    plan = Plan("alert", said.metric, style, ((said.metric, said.host),), top=top)
    cut = Cut(start, end, now, "from an hour before it fired", found, periods={said.metric: period})
    drawing = draw_range(plan, cut)
    lines = tuple(
        LimitLine(value, clear, _words(value, clear, style), _y(value, top), _y(clear, top))
        for value, clear in wanted
    )
    words = "; ".join(line.text for line in lines)
    if words:
        drawing = replace(drawing, summary=f"{drawing.summary} {words.capitalize()}.")
    empty = not any(np.isfinite(column).any() for column in columns)
    instants = [_instant("■", "fired", alert.fired_at, start, end, now)]
    if not alert.is_open:
        instants.append(_instant("●", "over", alert.resolved_at, start, end, now))
    worst = worst_of(rule, alert, found)
    return AlertChart(drawing, start, end, alert.is_open, lines, tuple(instants), empty, worst)


def _words(value: float, clear: float, style: str) -> str:
    words = f"limit {written(value, style)}"
    return words if clear == value else f"{words}, over at {written(clear, style)}"


def _y(value: float, top: float) -> float:
    return HEIGHT * (1 - min(1.0, max(0.0, value / top)))


def _instant(shape: str, what: str, at: float, start: float, end: float, now: float) -> Instant:
    share = min(1.0, max(0.0, (at - start) / (end - start)))
    return Instant(at, share, shape, f"{what} {instant_words(at, now, seconds=True)} UTC")
