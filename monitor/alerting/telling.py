"""What the log is told of a transition: the alert's event, with its sentence.

It knows rules, hosts' labels and the words of values; evidence is brought to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from monitor.alerting.late import Breach
from monitor.core.catalog import metric
from monitor.core.messages import Alert
from monitor.core.quantity import format_about, format_about_bytes, format_seconds
from monitor.core.rules.explaining import told_limit
from monitor.core.rules.judging import Row, Transition
from monitor.core.rules.model import Level, Rule, Severity
from monitor.core.rules.values import Unit, measure
from monitor.core.rules.wording import filled
from monitor.model import SeriesKey

LONGEST_WORD = 256
GONE = "its series ended"
RULE_GONE = "the rule is no more"
HOST_GONE = "its host is retired"
FLAPPING = "flapping"

_DIGITS = 3
MINUTE = 60.0
GROUPED = 10_000
"""Numbers from here on have their thousands apart."""


def said(
    transition: Transition,
    id_: str,
    labels: Mapping[str, str],
    now: float,
    fired: float,
    evidence: dict[str, Any] | None = None,
) -> Alert:
    """The event of a transition at `now`, unix seconds; `fired` is when the alert did."""
    rule, row = transition.rule, transition.row
    firing = transition.severity is not None
    severity = transition.severity or transition.was or Severity.WARNING
    attributes = dict(row.attributes)
    values = {**labels, **rule.labels, **attributes}
    name = SeriesKey.parse(row.key).name if row.key else rule.condition.metric
    value = _finite(transition.value)
    limit = told_limit(transition.level)
    fields = {
        **values,
        "host": row.host,
        "rule": rule.name,
        "severity": severity.value,
        "value": written(name, transition.value),
        "limit": limit,
        "metric": row.key or name,
        "for": format_seconds(transition.level.for_seconds),
    }
    return Alert(
        alert=id_,
        rule=rule.name,
        host=row.host,
        attributes=attributes,
        state="firing" if firing else "resolved",
        was="firing" if transition.was is not None else _before(transition.level),
        severity=severity.value,
        value=value,
        since=now,
        evidence=evidence,
        summary=filled(rule.summary, fields) if rule.summary else _sentence(fields, limit),
        limit=limit,
        unit=metric(name).style.value,
        metric=row.key or name,
        labels={**labels, **rule.labels},
        runbook_url=rule.runbook_url,
        peak=_finite(transition.peak),
        began=transition.began,
        fired=fired,
        reason=_reason(transition),
        notify=notified(rule, severity),
        is_flapping=transition.is_flapping,
        held_by=list(rule.held_by),
    )


def late(breach: Breach, id_: str, labels: Mapping[str, str], now: float) -> Alert:
    """The event of what was breached and over before anybody could know; nobody is told."""
    rule = breach.rule
    level = next(each for each in rule.levels if each.severity is breach.severity)
    gone = Transition(
        rule,
        level,
        Row(breach.host, breach.attributes, (breach.key,)),
        breach.severity,
        None,
        breach.peak,
        breach.peak,
        breach.start,
    )
    made = said(gone, id_, labels, now, breach.start)
    return msgspec.structs.replace(made, was=None, notify="never", is_late=True)


def notified(rule: Rule, severity: Severity) -> Any:
    """What of an alert of this severity is told to anybody."""
    if severity is Severity.INFO:
        return "never"
    return "always" if rule.notify_resolved else "firing"


def _before(level: Level) -> Any:
    return "pending" if level.for_seconds else "inactive"


def _reason(transition: Transition) -> str:
    if transition.is_gone:
        return GONE
    return FLAPPING if transition.is_flapping else ""


def _sentence(fields: Mapping[str, str], limit: str) -> str:
    return f"{fields['metric']} is {fields['value']} (limit {limit})"


def written(name: str, value: float) -> str:
    """A value of a metric as people read it, to three digits."""
    if not math.isfinite(value):
        return "unknown"
    scale = measure(name)
    value = float(f"{value:.{_DIGITS}g}")
    if scale.unit is Unit.BYTES and value >= 0:
        return f"{format_about_bytes(value)}{'/s' if scale.is_rate else ''}"
    if scale.unit is Unit.SECONDS and value >= MINUTE:
        return format_about(value)
    if scale.unit in {Unit.ANY, Unit.NUMBER} and abs(value) >= GROUPED:
        return f"{value:,.0f}"
    return str(scale.written(value))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
