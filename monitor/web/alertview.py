"""The page of alerts as values: every alert in its section, what holds what back, what is calm.

Values in, values out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.alerting.standing import Pending
from monitor.core.book import Alert
from monitor.core.holding import FLEET_UNREACHABLE
from monitor.core.selectors import Selector
from monitor.web.alertrows import (
    AlertRow,
    Now,
    acknowledged_words,
    alert_row,
    counted,
    cut,
    pending_row,
    resolved_row,
    silenced_words,
    words_of,
)
from monitor.web.alertstanding import Gathered, Sorted, sort_out
from monitor.web.format import ABSENT
from monitor.web.text import MOST_COLUMNS, escaped, table

MOST_ROWS = 100
"""Rows of a section beside others."""

MOST_ALONE = 500
"""Rows of a section that is shown by itself."""

MOST_RESOLVED = 20
"""Of those that are over, beside others: the latest."""

SECTIONS = ("firing", "pending", "acknowledged", "silenced", "held", "resolved")
"""As they stand on the page, and as the address names them."""

SHOWN = ("open", *SECTIONS)

TITLES = {
    "firing": "Firing",
    "pending": "Pending",
    "acknowledged": "Acknowledged",
    "silenced": "Silenced",
    "held": "Held back",
    "resolved": "Resolved",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts that one thing holds back."""

    title: str
    rows: tuple[AlertRow, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Section:
    """Alerts that stand alike; `count` is of all, `rows` are those that are shown."""

    name: str
    title: str
    count: int
    rows: tuple[AlertRow, ...] = ()
    groups: tuple[Group, ...] = ()
    left_out: int = 0
    """How many are not shown."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that an operator should know before trusting the page."""

    look: str
    shape: str
    text: str
    code: str = ""
    """A line to type, or to write into a file."""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlertsPage:
    """The page; `calm` is what it says where nothing fires."""

    sections: tuple[Section, ...]
    shown: str
    match: str
    counts: Mapping[str, int]
    calm: str
    notices: tuple[Notice, ...] = ()
    left_out: int = 0
    trouble: str = ""
    """What is wrong with the selector of the address."""

    def section(self, name: str) -> Section:
        """One of them."""
        return next(section for section in self.sections if section.name == name)


def alerts_page(
    gathered: Gathered,
    shown: str = "open",
    match: Selector | None = None,
    now_values: Now | None = None,
    notices: tuple[Notice, ...] = (),
) -> AlertsPage:
    """The page of what was gathered, or of those of it that a selector takes."""
    values = now_values or Now()
    found = sort_out(_matching(gathered, match))
    pending = [
        each
        for each in gathered.pending
        if match is None or match.matches(pending_labels(each, gathered.labels))
    ]
    resolved = [
        alert for alert in gathered.resolved if match is None or match.matches(alert.labels)
    ]
    now = gathered.now
    counts = {
        "firing": len(found.firing),
        "pending": len(pending),
        "acknowledged": len(found.acknowledged),
        "silenced": len(found.silenced),
        "held": len(found.held),
        "resolved": len(resolved),
    }
    most = MOST_ROWS if shown == "open" else MOST_ALONE
    made: dict[str, Section] = {}
    holds = holding(found)
    rows: dict[str, Sequence[AlertRow]] = {
        "firing": [
            alert_row(alert, now, values, _holds(holds, alert), can_acknowledge=True)
            for alert in found.firing[:most]
        ],
        "pending": [pending_row(each, now, values) for each in _ordered(pending)[:most]],
        "acknowledged": [
            alert_row(alert, now, values, acknowledged_words(hush, now))
            for alert, hush in found.acknowledged[:most]
        ],
        "silenced": [
            alert_row(alert, now, values, silenced_words(hush, now))
            for alert, hush in found.silenced[:most]
        ],
        "resolved": [
            resolved_row(alert, now)
            for alert in resolved[: MOST_RESOLVED if shown == "open" else most]
        ],
    }
    for name in SECTIONS:
        groups = held_groups(found.held, now, values, most) if name == "held" else ()
        of_it = tuple(rows.get(name, ()))
        left_out = counts[name] - len(of_it) - sum(len(group.rows) for group in groups)
        made[name] = Section(name, TITLES[name], counts[name], of_it, groups, max(0, left_out))
    wanted = SECTIONS if shown == "open" else (shown,)
    return AlertsPage(
        tuple(made[name] for name in wanted),
        shown,
        match.text if match else "",
        counts,
        calm_words(gathered),
        notices,
        found.left_out,
    )


def _matching(gathered: Gathered, match: Selector | None) -> Gathered:
    if match is None:
        return gathered
    kept = tuple(alert for alert in gathered.open if match.matches(alert.labels))
    return replace(gathered, open=kept)


def pending_labels(pending: Pending, labels: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What a selector is asked about something that pends."""
    return {
        **labels.get(pending.host, {}),
        **pending.attributes,
        "host": pending.host,
        "rule": pending.rule,
        "severity": pending.severity.value,
    }


def holding(found: Sorted) -> Counter[tuple[str, str]]:
    """How many alerts each rule holds back on each host; of an outage of the fleet, on all."""
    counts: Counter[tuple[str, str]] = Counter()
    for alert, rule in found.held:
        counts[holder_of(alert, rule)] += 1
    return counts


def holder_of(alert: Alert, rule: str) -> tuple[str, str]:
    """What holds an alert back: a rule, and the host on which it fires where that is one."""
    return rule, "" if rule == FLEET_UNREACHABLE else alert.host


def _holds(counts: Counter[tuple[str, str]], alert: Alert) -> str:
    host = "" if alert.rule == FLEET_UNREACHABLE else alert.host
    count = counts[alert.rule, host]
    return f"holds back {counted(count, 'other')}" if count else ""


def held_groups(
    held: Sequence[tuple[Alert, str]], now: float, values: Now, most: int
) -> tuple[Group, ...]:
    """What is held back, gathered under what holds it, the most first."""
    gathered: dict[tuple[str, str], list[Alert]] = {}
    for alert, rule in held:
        gathered.setdefault(holder_of(alert, rule), []).append(alert)
    groups, left = [], most
    for (rule, host), alerts in sorted(gathered.items(), key=lambda each: -len(each[1])):
        rows = tuple(alert_row(alert, now, values) for alert in alerts[:left])
        left -= len(rows)
        by = f"{host}: {words_of(rule)}" if host else words_of(rule)
        groups.append(Group(f"{len(alerts)} held by {cut(by)}", rows, len(alerts)))
    return tuple(groups)


def calm_words(gathered: Gathered) -> str:
    """What is watched, where nothing fires."""
    if not gathered.is_judged:
        return "No rule is judged here."
    judged = [state for state in gathered.states if state.is_applicable]
    hosts = len(gathered.labels)
    rules, on = counted(len(judged), "rule"), counted(hosts, "host")
    if not judged:
        return f"Nothing is watched yet: of {counted(len(gathered.states), 'rule')} none applies."
    return f"{rules} on {on}; nothing fires."


def _ordered(pending: Iterable[Pending]) -> list[Pending]:
    """The worst first, then those that will fire soonest."""
    return sorted(
        pending, key=lambda each: (-each.severity.rank, each.for_seconds - each.held_seconds)
    )


def alerts_text(page: AlertsPage) -> str:
    """The page as text: a line an alert."""
    rows = []
    for section in page.sections:
        shown = [*section.rows, *(row for group in section.groups for row in group.rows)]
        for row in shown:
            value = f"{row.number} {row.unit}".strip()
            rows.append(
                [
                    section.name,
                    row.word,
                    escaped(row.host, 32),
                    row.lasts,
                    "" if value == ABSENT else value,
                    escaped(f"{row.what} ({row.note})" if row.note else row.what, MOST_COLUMNS),
                ]
            )
    if not rows:
        return page.calm + "\n"
    heads = ["STATE", "SEVERITY", "HOST", "FOR", "VALUE", "WHAT"]
    return table(heads, rows, left=6)
