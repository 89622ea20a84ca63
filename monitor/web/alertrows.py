"""One alert as a row of a list, in words: what every page says of it, said once.

Values in, values out.  The same rows are printed into pages, written as text, and sent as JSON to
pages that are open (`static/js/alerts.js`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from monitor.alerting.standing import Pending
from monitor.core.book import Alert
from monitor.core.messages import Alert as Said
from monitor.model import key
from monitor.web.alertstanding import Hush
from monitor.web.format import duration, written
from monitor.web.timeaxis import DAY, day, instant_words
from monitor.web.views import style_of

LONGEST_WORDS = 300
"""Characters of a sentence, a limit or a note in a row."""

_PLAIN = re.compile(r"[A-Za-z0-9._/:@-]+", re.ASCII)
"""A value that a selector takes literally without quotes."""

_UNIT = re.compile(r"(?<=\d)(?=%|[kKMGTP]?i?B\b)")
"""Where a limit as files write it has no space, and a value as pages write it has one."""

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
class Now:
    """The newest values, by host and KEY, as far as the page shows them."""

    values: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def of(self, host: str, text: str, otherwise: float | None) -> float | None:
        """The newest value of a series, or what was told of it last."""
        return self.values.get((host, text), otherwise)


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
        limit_shown(said.limit, said.unit),
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
        limit_shown(said.limit, said.unit),
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
        limit_shown(pending.limit, style),
        pending.began,
        since_words(pending.began, now),
        iso(pending.began),
        duration(max(0.0, now - pending.began)),
        note=note,
    )


def reading(value: float | None, style: str) -> tuple[str, str]:
    """A value as a row has it; of what is either so or not, that it fires says all."""
    return ("", "") if style == FLAG else written(value, style or "number")


def limit_shown(limit: str, style: str) -> str:
    """A limit beside values, so written as they are; what is either so or not has none to show."""
    return "" if style == FLAG else cut(_UNIT.sub("\u00a0", limit))


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


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 rule``, ``34 rules``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
