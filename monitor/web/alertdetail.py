"""One alert's page as values: what fires, why, what happened, and what may be done about it.

Values in, values out; the alert's evidence and its events come from the log, read by whoever asks
(`monitor.web.alertpage`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never
from urllib.parse import urlsplit

from monitor.core.book import Alert
from monitor.core.rules.model import Rule
from monitor.web.alertanswers import AlertStep
from monitor.web.alertchart import AlertChart
from monitor.web.alertrows import (
    LOOKS,
    RESOLVED_LOOK,
    AlertRow,
    Now,
    acknowledged_words,
    alert_row,
    cut,
    iso,
    limit_shown,
    literal,
    reading,
    resolved_row,
    silenced_words,
    tags_of,
    what_of,
    words_of,
)
from monitor.web.alertstanding import Gathered, Hush
from monitor.web.evidenceview import Evidence
from monitor.web.format import duration, written
from monitor.web.timeaxis import instant_words
from monitor.web.views import Value, shown

BESIDE_SECONDS = 600.0
"""Alerts that fired so near to one another are shown beside each other."""

MOST_BESIDE = 12
MOST_EARLIER = 5
MOST_STORY = 100
"""Lines of what happened to an alert: the first ones, and the latest."""

LONGEST_STORY_TEXT = 300


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened to the alert."""

    instant: str
    at: str
    look: str
    shape: str
    text: str


@dataclass(frozen=True, slots=True)
class AlertPage:
    """One alert, all of it."""

    id: str
    host: str
    rule: str
    look: str
    shape: str
    word: str
    is_open: bool
    what: str
    lasting: str
    """How long it fires, or did, in a sentence."""
    at: float
    tags: tuple[str, ...]
    remarks: tuple[str, ...]
    """What is special about it, in sentences."""
    value: Value
    limit: str
    peak: str
    facts: tuple[tuple[str, str], ...]
    evidence: Evidence
    chart: AlertChart | None
    beside: tuple[AlertRow, ...]
    earlier: tuple[AlertRow, ...]
    story: tuple[Line, ...]
    rule_text: str
    rule_origin: str
    rule_description: str
    runbook_url: str
    match: str
    """The selector of a silence of this alert and no other."""
    is_acknowledged: bool
    silence: str
    """The id of the silence that takes it."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was read for one alert's page."""

    evidence: Evidence
    steps: Sequence[AlertStep] = ()
    chart: AlertChart | None = None
    earlier: Sequence[Alert] = ()
    labels: Mapping[str, str] | None = None
    """The host's now."""


def alert_page(
    alert: Alert, gathered: Gathered, rule: Rule | None, read: Read, value: Value | None = None
) -> AlertPage:
    """The page of an alert at an instant; `value` is its series' newest, where there is one."""
    said, now = alert.said, gathered.now
    look, shape = LOOKS[said.severity] if alert.is_open else RESOLVED_LOOK
    style = said.unit or "number"
    hush = gathered.silenced.get(alert.id)
    ack = gathered.acknowledged.get(alert.id)
    peak = said.peak if said.peak is not None else said.value
    if read.chart is not None and read.chart.worst is not None:
        peak = read.chart.worst  # an event has it as of when it was said
    return AlertPage(
        id=alert.id,
        host=said.host,
        rule=said.rule,
        look=look,
        shape=shape,
        word=said.severity if alert.is_open else "resolved",
        is_open=alert.is_open,
        what=what_of(said),
        lasting=_lasting(alert, now),
        at=alert.fired_at,
        tags=tags_of(said),
        remarks=tuple(_remarks(alert, gathered, ack, hush)),
        value=value or shown(said.metric, style, _finite(said.value)),
        limit=limit_shown(said.limit, style),
        peak=str(written(peak, style)),
        facts=tuple(_facts(alert, now)),
        evidence=read.evidence,
        chart=read.chart,
        beside=_beside(alert, gathered),
        earlier=tuple(resolved_row(each, now) for each in read.earlier[:MOST_EARLIER]),
        story=tuple(story(alert, read.steps, now)),
        rule_text=rule.text if rule else "",
        rule_origin=rule.origin if rule else "",
        rule_description=cut(rule.description) if rule else "",
        runbook_url=web_address(said.runbook_url),
        match=match_of(alert),
        is_acknowledged=ack is not None,
        silence=hush.id if hush else "",
    )


def _finite(value: float | None) -> float:
    return float("nan") if value is None else value


def _lasting(alert: Alert, now: float) -> str:
    if alert.said.is_late:
        return alert.said.reason or "reported late"
    if alert.is_open:
        return f"firing for {duration(max(0.0, now - alert.fired_at))}"
    return f"resolved after {duration(max(0.0, alert.resolved_at - alert.fired_at))}"


def _remarks(
    alert: Alert, gathered: Gathered, ack: Hush | None, hush: Hush | None
) -> Iterator[str]:
    """Why nobody is told of it, and what else is not as usual."""
    said, now = alert.said, gathered.now
    if said.is_drill:
        yield "This is a drill: nothing is the matter."
    if said.is_late:
        yield "It was over before it was known, since its host reported late. Nobody was told."
    if said.is_flapping:
        yield "It came and went so often that it is flapping: it stays firing until it is calm."
    if said.notify == "never":
        yield "It is for information: it is shown, and nobody is told."
    if not alert.is_open:
        if said.reason and not said.is_late:
            yield f"It ended for another reason than its value: {said.reason}."
        return
    if held := gathered.held.get(alert.id):
        yield f"Held back by {words_of(held)}: nobody is told of it while that lasts."
    if hush:
        yield f"{_sentence(silenced_words(hush, now))} Nobody is told while that lasts."
    if ack:
        said_so = _sentence(acknowledged_words(ack, now))
        yield f"{said_so} It is not told again unless it gets worse."


def _sentence(words: str) -> str:
    text = words[:1].upper() + words[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _facts(alert: Alert, now: float) -> Iterator[tuple[str, str]]:
    said = alert.said
    yield "Severity", said.severity
    yield "Rule", said.rule
    yield "Fired", f"{instant_words(alert.fired_at, now, seconds=True)} UTC"
    if said.began is not None and said.began < alert.fired_at - 1:
        yield "First seen", f"{instant_words(said.began, now, seconds=True)} UTC"
    if not alert.is_open:
        yield "Over", f"{instant_words(alert.resolved_at, now, seconds=True)} UTC"
    for name, value in sorted(said.attributes.items()):
        yield cut(name), cut(value)
    for name, value in sorted(said.labels.items()):
        if name not in said.attributes:
            yield cut(name), cut(value)


def _beside(alert: Alert, gathered: Gathered) -> tuple[AlertRow, ...]:
    """Other alerts that fired at the same time, those of the same host first."""
    near = [
        each
        for each in (*gathered.open, *gathered.resolved)
        if each.id != alert.id and abs(each.fired_at - alert.fired_at) <= BESIDE_SECONDS
    ]
    near.sort(key=lambda each: (each.host != alert.host, abs(each.fired_at - alert.fired_at)))
    now, values = gathered.now, Now()
    return tuple(
        alert_row(each, now, values) if each.is_open else resolved_row(each, now)
        for each in near[:MOST_BESIDE]
    )


def earlier_of(alert: Alert, resolved: Iterable[Alert]) -> list[Alert]:
    """The latest that are over of the same rule, host and attributes, the latest first."""
    found = []
    for each in resolved:
        if each.id == alert.id or each.rule != alert.rule or each.host != alert.host:
            continue
        if each.attributes == alert.attributes and each.fired_at <= alert.fired_at:
            found.append(each)
            if len(found) == MOST_EARLIER:
                break
    return found


# What happened


def story(alert: Alert, steps: Sequence[AlertStep], now: float) -> Iterator[Line]:
    """What happened to an alert, the first first: transitions, who was told, who saw to it."""
    lines = [_line(alert, step, now) for step in steps]
    if len(lines) > MOST_STORY:
        half = MOST_STORY // 2
        gap = Line("", "", "plain", "·", f"{len(lines) - 2 * half} more in between")
        lines = [*lines[:half], gap, *lines[-half:]]
    yield from lines


def _line(alert: Alert, step: AlertStep, now: float) -> Line:
    match step.kind:
        case "alert":
            look, shape, text = _transition(step.details, alert.said.unit)
        case "delivery":
            look, shape, text = delivery_words(step.details, alert.id)
        case "ack":
            look, shape, text = "plain", "✓", step.text
        case _:
            assert_never(step.kind)
    words = text if len(text) <= LONGEST_STORY_TEXT else text[: LONGEST_STORY_TEXT - 1] + "…"
    return Line(iso(step.at), instant_words(step.at, now, seconds=True), look, shape, words)


def _transition(said: Mapping[str, Any], style: str) -> tuple[str, str, str]:
    severity = str(said.get("severity"))
    look, shape = LOOKS.get(severity, ("plain", "·"))
    number, unit = reading(said.get("value"), style)
    at = f" at {number} {unit}".rstrip() if number else ""
    if said.get("state") == "resolved":
        if said.get("is_late"):
            return *RESOLVED_LOOK, str(said.get("reason") or "Reported late.")
        reason = f": {said.get('reason')}" if said.get("reason") else ""
        return *RESOLVED_LOOK, f"It is over{at}{reason}"
    if said.get("was") == "firing":
        if said.get("is_flapping"):
            return look, shape, "It is flapping: it stays firing until it is calm"
        return look, shape, f"It is {severity} now{at}"
    return look, shape, f"It fired{at}"


def delivery_words(details: Mapping[str, Any], alert: str) -> tuple[str, str, str]:
    """What came of telling somebody, in words."""
    channel, outcome = str(details.get("channel")), str(details.get("outcome"))
    attempts = details.get("attempts")
    after = (
        f" at the attempt number {attempts}" if isinstance(attempts, int) and attempts > 1 else ""
    )
    reason = f": {details.get('reason')}" if details.get("reason") else ""
    if outcome == "delivered":
        ended = details.get("resolved")
        is_over = isinstance(ended, list | tuple) and alert in ended
        again = " that it is over" if is_over else " again" if details.get("is_repeat") else ""
        return "ok", "→", f"Told {channel}{again}{after}"
    if outcome == "given_up":
        return "crit", "■", f"{channel} was not told, and will not be{reason}"
    return "warn", "▲", f"{channel} was not told yet{reason}"


# What may be done


def match_of(alert: Alert) -> str:
    """The selector of this alert's rule, host and attributes."""
    terms = {"host": alert.host, "rule": alert.rule, **alert.attributes}
    return ", ".join(f"{name}={literal(value)}" for name, value in terms.items())


def web_address(text: str) -> str:
    """An address of the web, or nothing: no other may stand in a link."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return ""
    return text.strip() if parts.scheme in {"http", "https"} and parts.netloc else ""
