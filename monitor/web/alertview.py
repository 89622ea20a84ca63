"""The page of alerts as values: every alert a row in its section, in words.

Values in, values out.  The same rows are printed into the page, written as text, and sent as JSON
to pages that are open (`static/js/alerts.js`), so whatever an alert says, it says once, here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from monitor.alerting.standing import Pending
from monitor.core.book import Alert
from monitor.core.holding import FLEET_UNREACHABLE
from monitor.core.messages import Alert as Said
from monitor.core.selectors import Selector
from monitor.model import key
from monitor.web.alertstanding import Gathered, Hush, Sorted, sort_out
from monitor.web.format import ABSENT, duration, written
from monitor.web.text import MOST_COLUMNS, escaped, table
from monitor.web.timeaxis import DAY, day, instant_words
from monitor.web.views import style_of

MOST_ROWS = 100
"""Rows of a section beside others."""

MOST_ALONE = 500
"""Rows of a section that is shown by itself."""

MOST_RESOLVED = 20
"""Of those that are over, beside others: the latest."""

LONGEST_WORDS = 300
"""Characters of a sentence, a limit or a note in a row."""

_PLAIN = re.compile(r"[A-Za-z0-9._/:@-]+", re.ASCII)
"""A value that a selector takes literally without quotes."""

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

LOOKS = {
    "critical": ("crit", "■"),
    "warning": ("warn", "▲"),
    "info": ("info", "ℹ"),  # noqa: RUF001 - the shape of the visual language
}
"""The class of colour of a severity, and its shape."""

FLAG = "flag"
"""The style of what is either so or not."""

PENDING_LOOK = ("pending", "◔")
RESOLVED_LOOK = ("ok", "●")


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert, or what pends, as it is shown.

    `id` is empty for what pends; `look` is a class of colour and `shape` stands beside it; `key`
    is that of the value, which `number` and `unit` write; `at` is when its state began, in unix
    seconds, and `until` when it ended, 0 while it goes on.
    """

    id: str
    name: str
    """What it is known by among the rows of its section."""
    look: str
    shape: str
    word: str
    host: str
    rule: str
    what: str
    key: str
    style: str
    number: str
    unit: str
    limit: str
    at: float
    since: str
    instant: str
    lasts: str
    until: float = 0.0
    note: str = ""
    tags: tuple[str, ...] = ()
    can_acknowledge: bool = False


BLANK = AlertRow(
    id="", name="", look="info", shape="", word="", host="", rule="", what="", key="", style="",
    number="", unit="", limit="", at=0.0, since="", instant="", lasts="", can_acknowledge=False,
)  # fmt: skip
"""What a row that comes in later is made of."""


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


@dataclass(frozen=True, slots=True)
class Now:
    """The newest values, by host and KEY, as far as the page shows them."""

    values: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def of(self, host: str, text: str, otherwise: float | None) -> float | None:
        """The newest value of a series, or what was told of it last."""
        return self.values.get((host, text), otherwise)


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


def alert_row(
    alert: Alert, now: float, values: Now, note: str = "", *, can_acknowledge: bool = False
) -> AlertRow:
    """An open alert as a row."""
    said = alert.said
    look, shape = LOOKS[said.severity]
    number, unit = reading(values.of(said.host, said.metric, said.value), said.unit)
    return AlertRow(
        alert.id,
        alert.id,
        look,
        shape,
        said.severity,
        said.host,
        said.rule,
        what_of(said),
        "" if said.unit == FLAG else said.metric,
        said.unit or "number",
        number,
        unit,
        cut(said.limit),
        alert.fired_at,
        since_words(alert.fired_at, now),
        iso(alert.fired_at),
        duration(max(0.0, now - alert.fired_at)),
        note=cut(note),
        tags=tags_of(said),
        can_acknowledge=can_acknowledge and said.notify != "never",
    )


def resolved_row(alert: Alert, now: float) -> AlertRow:
    """An alert that is over as a row: how long it was, and its worst value."""
    said = alert.said
    look, shape = RESOLVED_LOOK
    worst = said.peak if said.peak is not None else said.value
    number, unit = reading(worst, said.unit)
    note = f"{said.severity}, over since {since_words(alert.resolved_at, now)}"
    if said.is_late:
        note = f"{said.severity}, {said.reason or 'reported late'}"
    elif said.reason:
        note += f": {said.reason}"
    return AlertRow(
        alert.id,
        alert.id,
        look,
        shape,
        "resolved",
        said.host,
        said.rule,
        what_of(said),
        "",  # it is over: what comes now is not its value
        said.unit or "number",
        number,
        unit,
        cut(said.limit),
        alert.fired_at,
        since_words(alert.fired_at, now),
        iso(alert.fired_at),
        duration(max(0.0, alert.resolved_at - alert.fired_at)),
        until=alert.resolved_at,
        note=cut(note),
        tags=tags_of(said),
    )


def pending_row(pending: Pending, now: float, values: Now) -> AlertRow:
    """What holds, and has not held long enough, as a row."""
    style = style_of(pending.metric)
    number, unit = reading(values.of(pending.host, pending.metric, pending.value), style)
    held, wanted = duration(pending.held_seconds), duration(pending.for_seconds)
    note = f"held for {held} of {wanted}"
    if pending.waits_for == "data":
        note += "; waiting for data"
    elif pending.waits_for:
        note += f"; its host has {pending.waits_for}"
    where = key("", **dict(pending.attributes)) if pending.attributes else ""
    look, shape = PENDING_LOOK
    return AlertRow(
        "",
        f"{pending.rule} {pending.host} {where}",
        look,
        shape,
        pending.severity.value,
        pending.host,
        pending.rule,
        cut(" ".join(part for part in (words_of(pending.rule), attributes_words(pending)) if part)),
        "" if style == FLAG else pending.metric,
        style,
        number,
        unit,
        cut(pending.limit),
        pending.began,
        since_words(pending.began, now),
        iso(pending.began),
        duration(max(0.0, now - pending.began)),
        note=note,
    )


def reading(value: float | None, style: str) -> tuple[str, str]:
    """A value as a row has it; of what is either so or not, that it fires says all."""
    return ("", "") if style == FLAG else written(value, style or "number")


def since_words(at: float, now: float) -> str:
    """An instant, without the day where that is today's."""
    words = instant_words(at, now)
    return words.rpartition(" ")[2] if day(at) == day(now) and abs(now - at) < DAY else words


def attributes_words(about: Pending | Said) -> str:
    """The series' attributes, as a person says them: their values."""
    return " ".join(value for _, value in sorted(about.attributes.items()))


def words_of(rule: str) -> str:
    """A rule's name as words."""
    return rule.replace("_", " ").strip() or rule


def what_of(said: Said) -> str:
    """The sentence of an alert; where it has none, one is made of its rule and attributes."""
    made = " ".join(part for part in (words_of(said.rule), attributes_words(said)) if part)
    return cut(said.summary or made)


def tags_of(said: Said) -> tuple[str, ...]:
    """What is special about it, each in a word."""
    found = (
        ("drill", said.is_drill),
        ("reported late", said.is_late),
        ("flapping", said.is_flapping),
    )
    return tuple(word for word, holds in found if holds)


def acknowledged_words(hush: Hush, now: float) -> str:
    """Who has seen to it, when, and what they said."""
    said = f"acknowledged by {hush.by} at {since_words(hush.at, now)}"
    return f"{said}: {hush.text}" if hush.text else said


def silenced_words(hush: Hush, now: float) -> str:
    """Until when nobody is told, who wanted that, and why."""
    until = f" until {since_words(hush.until, now)}" if hush.until else ""
    said = f"silenced{until}" + (f" by {hush.by}" if hush.by else "")
    return f"{said}: {hush.text}" if hush.text else said


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


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 rule``, ``34 rules``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _ordered(pending: Iterable[Pending]) -> list[Pending]:
    """The worst first, then those that will fire soonest."""
    return sorted(
        pending, key=lambda each: (-each.severity.rank, each.for_seconds - each.held_seconds)
    )


def cut(text: str) -> str:
    """A text that was written elsewhere, at a length that a row has room for."""
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"


def iso(at: float) -> str:
    """An instant as ``<time>`` has it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def literal(value: str) -> str:
    """A value as a selector takes it literally, whatever is in it."""
    if _PLAIN.fullmatch(value):
        return value
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*").replace("?", "\\?")
    return f'"{quoted}"'


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
