"""The message: a notification in words, for chats, mail and whoever reads.  Pure.

The first line is enough for a lock screen.  What follows says since when, held against what, who
used what, what changed lately and what is held back, and leads to where something can be done.
The notification alone decides it, so that it is the same in every attempt.  It knows no channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from monitor.notify import evidence
from monitor.notify.channel import Notification, Told
from monitor.notify.headline import first_line, line_of
from monitor.notify.wording import (
    cut,
    harmless,
    length_words,
    pairs,
    parsed,
    style_of,
    value_words,
)

MESSAGE_BYTES = 8 * 1024
"""The longest text; services cut longer ones, where they choose."""

FIRST_LINE_BYTES = 512
"""What the first line takes of it at most, with the empty line that follows."""

LINE_CHARACTERS = 400
LABEL_CHARACTERS = 64
URL_CHARACTERS = 1_024
DETAILED = 3
"""Alerts of one message that are told with their evidence; of others a line each."""

CULPRITS_TOLD = 3
CHANGES_TOLD = 5

NO_PUBLIC_URL = (
    "Links would stand here, if this server knew its address: [server] public_url says it."
)

LATEST_INSTANT = 253_402_300_799.0
"""The last second of the year 9999."""

_WEB = re.compile(r"https?://[!-~]{1,1000}\Z")
_KIND_WORDS = {"cpu": "CPU", "memory": "Memory", "io": "Disk", "descriptors": "Descriptors"}


@dataclass(frozen=True, slots=True)
class Link:
    """Somewhere to go: a word and a whole URL."""

    word: str
    url: str


@dataclass(frozen=True, slots=True)
class Message:
    """The first line, the others, and links.  No line holds a control character."""

    first: str
    lines: tuple[str, ...]
    links: tuple[Link, ...]

    @property
    def rest(self) -> str:
        """All but the first line, as plain text."""
        links = tuple(f"{link.word}: {link.url}" for link in self.links)
        return _bounded(self.lines, links, MESSAGE_BYTES - FIRST_LINE_BYTES)

    @property
    def text(self) -> str:
        """All of it as plain text of at most `MESSAGE_BYTES`."""
        return f"{self.first}\n\n{self.rest}"

    @property
    def html(self) -> str:
        """The same as a page of HTML, of at most `MESSAGE_BYTES`: no style, nothing remote."""
        links = [f'<a href="{escape(link.url)}">{escape(link.word)}</a><br>' for link in self.links]
        head = f"<!doctype html><html><body><p><b>{escape(self.first)}</b></p><p>"
        end = "</p></body></html>"
        room = MESSAGE_BYTES - len(f"{head}{end}".encode())
        lines = tuple(f"{escape(line)}<br>" for line in self.lines)
        return f"{head}{_bounded(lines, tuple(links), room)}{end}"


def compose(notification: Notification, public_url: str = "") -> Message:
    """The message that a notification is; links lead to `public_url`."""
    told = notification.told
    lines: list[str] = []
    if notification.is_drill:
        lines += ["This is a drill: nothing is the matter.", ""]
    for number, one in enumerate(told):
        is_detailed = number < DETAILED and len(told) <= DETAILED
        if len(told) > 1:
            lines.append(line_of(one))
        if is_detailed:
            indent = "  " if len(told) > 1 else ""
            lines += [indent + line for line in _details(one, notification.at)]
    if notification.left_out:
        lines.append(f"and {notification.left_out} more")
    if notification.is_repeat:
        lines.append("Told again, because it still fires.")
    links = tuple(_links(notification, public_url.rstrip("/")))
    if not public_url:
        lines.append(NO_PUBLIC_URL)
    return Message(
        first_line(notification), tuple(cut(line, LINE_CHARACTERS) for line in lines), links
    )


def alert_url(public_url: str, id_: str) -> str:
    """The page of an alert."""
    return f"{public_url.rstrip('/')}/alerts/{quote(id_, safe='')}"


def runbook(one: Told) -> str:
    """The rule's runbook, where it is an address of the web."""
    found = one.alert.runbook_url.strip()
    return found if _WEB.match(found) else ""


def instant_words(at: float) -> str:
    """An instant in UTC, to the second."""
    if not 0 <= at <= LATEST_INSTANT:
        return "an unknown instant"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _details(one: Told, now: float) -> Iterator[str]:
    alert = one.alert
    style = alert.unit or style_of(alert.metric)
    if one.is_resolved:
        yield (
            f"Fired {instant_words(one.fired_at)}, resolved {instant_words(one.resolved_at)}:"
            f" {length_words(one.resolved_at - one.fired_at)}"
        )
    else:
        yield f"Since {instant_words(one.fired_at)}, {length_words(now - one.fired_at)} ago"
        if alert.began is not None and one.fired_at - alert.began >= 1:
            held = length_words(one.fired_at - alert.began)
            yield f"It began {instant_words(alert.began)} and held for {held} before it fired"
    values = [value_words(alert.value, style)]
    if alert.limit:
        values.append(f"limit {harmless(alert.limit, LINE_CHARACTERS)}")
    if alert.peak is not None and style != "flag":
        values.append(f"peak {value_words(alert.peak, style)}")
    metric = harmless(parsed(alert.metric).name, LABEL_CHARACTERS) or "Value"
    yield f"{metric}: {', '.join(values)}"
    yield from _evidence(one)
    if one.held:
        yield f"Held back while it fires: {one.held} other alert{'s' if one.held > 1 else ''}"
    if alert.is_flapping:
        yield "It comes and goes: it is told once and stays until it is calm."
    if alert.attributes:
        yield f"Attributes: {pairs(alert.attributes, LABEL_CHARACTERS)}"
    if alert.labels:
        yield f"Labels: {pairs(alert.labels, LABEL_CHARACTERS)}"
    yield f"Rule: {harmless(alert.rule, LABEL_CHARACTERS)}, host: {harmless(alert.host, 253)}"


def _evidence(one: Told) -> Iterator[str]:
    alert = one.alert
    own = evidence.kind_of(alert.metric)
    for kind in sorted(evidence.KINDS, key=lambda each: each != own):
        culprits = evidence.culprits(alert, kind)[:CULPRITS_TOLD]
        if culprits:
            words = "; ".join(
                f"{each.name} {each.value_words}{_identity(each)}" for each in culprits
            )
            seconds = evidence.io_seconds(alert) if kind == "io" else 0.0
            over = f" over {length_words(seconds)}" if seconds else ""
            yield f"{_KIND_WORDS[kind]}{over}: {words}"
    if units := evidence.units(alert):
        yield f"Units: {'; '.join(units)}"
    pressure = evidence.pressure(alert)
    if pressure:
        words = ", ".join(
            f"{resource} {value_words(value, 'percent')}"
            for resource, value in sorted(pressure.items())
        )
        yield f"Pressure: {words}"
    changes = evidence.changes(alert)[:CHANGES_TOLD]
    for change in changes:
        yield f"Changed {instant_words(change.at)}: {change.text}"
    up = evidence.uptime(alert)
    if up is not None and up < 3_600:
        yield f"The host had been up for {length_words(up)}"


def _identity(culprit: evidence.Culprit) -> str:
    known = [f"pid {culprit.pid}"] if culprit.pid else []
    known += [culprit.user] if culprit.user else []
    return f" ({', '.join(known)})" if known else ""


def _links(notification: Notification, public_url: str) -> Iterator[Link]:
    told = notification.told
    if public_url and len(told) == 1:
        url = alert_url(public_url, told[0].alert.alert)
        yield Link("Alert", url)
        if not told[0].is_resolved:
            yield Link("Acknowledge", f"{url}#acknowledge")
            yield Link("Silence 1 h", f"{url}#silence")
    elif public_url:
        yield Link("Alerts", f"{public_url}/alerts")
    runbooks = dict.fromkeys(found for one in told if (found := runbook(one)))
    for url in list(runbooks)[:DETAILED]:
        yield Link("Runbook", url)


def _bounded(lines: tuple[str, ...], ends: tuple[str, ...], most: int) -> str:
    """Lines and what stands at the end; of the lines as many as there is room for."""
    end = "\n".join(ends)
    left = most - len(end.encode()) - 64
    kept: list[str] = []
    for number, line in enumerate(lines):
        left -= len(line.encode()) + 1
        if left < 0:
            kept.append(f"… and {len(lines) - number} more lines")
            break
        kept.append(line)
    return "\n".join([*kept, *(["", end] if end and kept else [end])]).strip("\n")
