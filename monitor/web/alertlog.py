"""What the log has of one alert: the evidence of its firing, and what happened since.

Read at the alert's own positions, each read with a bound: a long story has its first part and no
more.  It says nothing that whoever asks may not see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from monitor.core.access import View, clearance
from monitor.core.book import Alert
from monitor.model import Event, EventType, RetentionClass
from monitor.ports import EventLog, Gap
from monitor.web.alertanswers import AlertStep

MOST_READ = 3_000
"""Events of the alert's host, and notices, that are looked through for its own."""

PAGE_EVENTS = 500

MOST_STEPS = 200

AFTER_POSITIONS = 1_000
"""How far behind its end something is still said of it: that somebody was told."""

SAID = ("state", "was", "severity", "value", "since", "reason", "is_flapping", "is_late")
"""What a step says of a transition."""


async def evidence(log: EventLog, alert: Alert) -> dict[str, Any] | None:
    """What it froze when it fired; nothing where the log has let go of it."""
    try:
        events, _, _ = await log.read(alert.first_sequence - 1, None, 1)
    except Gap:
        return None
    if not events or events[0].data.get("alert") != alert.id:
        return None
    found = events[0].data.get("evidence")
    return cast("dict[str, Any]", found) if isinstance(found, Mapping) else None


async def history(log: EventLog, alert: Alert, view: View) -> list[AlertStep]:
    """What happened to it, the first step first."""
    last = await log.last()
    end = last if alert.is_open else min(last, alert.sequence + AFTER_POSITIONS)
    first = alert.first_sequence - 1
    found = await _read(log, frozenset({f"host:{alert.host}"}), first, min(end, alert.sequence))
    others = await _read(log, RetentionClass.ALERTS, first, end)
    found += [event for event in others if event.type is EventType.NOTICE]
    found.sort(key=lambda event: event.sequence)
    seen = [event for event in found if view.admits(clearance(event.type, event.data))]
    return [step for event in seen for step in _steps(alert, event)][:MOST_STEPS]


async def _read(
    log: EventLog, of: frozenset[str] | RetentionClass, after: int, end: int
) -> list[Event]:
    found: list[Event] = []
    for _ in range(MOST_READ // PAGE_EVENTS):
        if after >= end:
            break
        try:
            events, after, _ = await log.read(after, of, PAGE_EVENTS)
        except Gap as gap:
            if not after < gap.floor < end:
                break
            after = gap.floor
        else:
            found += [event for event in events if event.sequence <= end]
    return found


def _steps(alert: Alert, event: Event) -> Iterator[AlertStep]:
    data = event.data
    if event.type is EventType.ALERT:
        if data.get("alert") == alert.id:
            said = {name: data[name] for name in SAID if data.get(name) not in (None, "", False)}
            yield AlertStep(event.at, "alert", str(data.get("summary", "")), said)
        return
    details: Any = data.get("details")
    if event.type is not EventType.NOTICE or not isinstance(details, Mapping):
        return
    about: Any = details.get("alerts")
    match data.get("kind"):
        case "ack" if details.get("alert") == alert.id:
            yield AlertStep(event.at, "ack", str(data.get("text", "")), dict(details))
        case "delivery" if isinstance(about, list | tuple) and alert.id in about:
            shown = {name: value for name, value in details.items() if name != "alerts"}
            yield AlertStep(event.at, "delivery", str(data.get("text", "")), shown)
