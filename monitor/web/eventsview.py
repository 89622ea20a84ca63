"""Events of the log in words: what a row of the page of events says.

``static/js/events.js`` says the same of events that come in while the page is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.model import Event, EventType
from monitor.web.text import MOST_COLUMNS, escaped, table

LONGEST_TEXT = 500
"""Characters of a sentence, and of its details: an event may be 256 KiB."""

KINDS = (
    "all",
    "host",
    "alert",
    "approval",
    "investigation",
    "console",
    "audit",
    "silence",
    "ack",
    "maintenance",
    "delivery",
    "reload",
    "server",
    "leader",
)
"""What a page of events may be of."""

_STATES = {
    "up": ("up", "●"),
    "stale": ("stale", "○"),
    "down": ("down", "■"),
    "retired": ("stale", "○"),
    "critical": ("crit", "■"),
    "warning": ("warn", "▲"),
    "info": ("info", "ℹ"),  # noqa: RUF001 - the shape of the visual language
    "ok": ("ok", "●"),
    "refused": ("warn", "▲"),
}

_PLAIN = ("plain", "·")

_SPECIAL = {"is_drill": "drill", "is_late": "reported late", "is_flapping": "flapping"}
_DELIVERIES = {"delivered": "ok", "given_up": "critical"}

_Words = tuple[str, str, str, str]
"""Kind, state, sentence, details."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event; `state` is a class of colour, `shape` stands beside it."""

    sequence: int
    at: str
    time: str
    kind: str
    state: str
    shape: str
    text: str
    details: str

    def has(self, search: str) -> bool:
        """Whether a text stands in it, in any case."""
        return search.lower() in f"{self.kind} {self.text} {self.details}".lower()


@dataclass(frozen=True, slots=True)
class EventsPage:
    """A page of rows, newest first, and where its neighbours begin."""

    rows: tuple[EventRow, ...]
    kind: str
    kinds: tuple[str, ...]
    search: str
    is_newest: bool
    older: str
    """The query of the next page, empty where nothing is older."""
    is_cut: bool
    """Whether it ends because enough was looked at, and not because enough was found."""
    newest: str
    """The query of the first page of the same kind and search."""


def event_row(event: Event) -> EventRow:
    """An event in words."""
    kind, state, text, details = _words(event.type, event.data)
    name, shape = _STATES.get(state, _PLAIN)
    at = datetime.fromtimestamp(event.at, UTC)
    return EventRow(
        event.sequence,
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        at.strftime("%Y-%m-%d %H:%M:%S"),
        kind,
        name,
        shape,
        _cut(text),
        _cut(details),
    )


def events_text(page: EventsPage) -> str:
    """A page as text: a line an event."""
    if not page.rows:
        return "No events.\n"
    rows = [
        [
            row.time,
            escaped(row.kind, 13),
            escaped(f"{row.text} ({row.details})" if row.details else row.text, MOST_COLUMNS),
        ]
        for row in page.rows
    ]
    said = table(["TIME (UTC)", "KIND", "WHAT"], rows, left=3)
    return f"{said}\nOlder: /events{page.older}\n" if page.older else said


def _words(type_: EventType, data: Mapping[str, object]) -> _Words:
    match type_:
        case EventType.HOST_UPDATE:
            was = f"was {data.get('was')}" if data.get("was") else "first seen"
            text = f"{data.get('host')} is {data.get('status')}"
            return "host", str(data.get("status")), text, _joined(was, data.get("reason"))
        case EventType.ALERT:
            return _alert(data)
        case EventType.APPROVAL:
            text = f"{data.get('action')} on {data.get('host')}: {data.get('state')}"
            by = f"by {data.get('by')}" if data.get("by") else ""
            return "approval", "", text, _joined(by, data.get("reason"))
        case EventType.AI_THINKING:
            return "investigation", "", str(data.get("text")), str(data.get("host"))
        case EventType.NOTICE:
            return _notice(data)
    if type_.value.startswith("terminal_"):
        step = type_.value.removeprefix("terminal_").replace("_", " ")
        return "console", "", f"session {data.get('session')}: {step}", ""
    return type_.value, "", "", ""


def _alert(data: Mapping[str, object]) -> _Words:
    state = "ok" if data.get("state") == "resolved" else str(data.get("severity"))
    text = f"{data.get('rule')} on {data.get('host')}: {data.get('state')}"
    was = f"was {data.get('was')}" if data.get("was") else ""
    special = [word for name, word in _SPECIAL.items() if data.get(name)]
    reason = "" if data.get("reason") in special else data.get("reason")
    more = (data.get("severity"), was, *special, reason, data.get("summary"))
    return "alert", state, text, _joined(*more)


def _notice(data: Mapping[str, object]) -> _Words:
    kind, details = str(data.get("kind")), data.get("details")
    if not isinstance(details, Mapping):
        return kind, "", str(data.get("text")), ""
    if kind == "delivery":
        attempts = details.get("attempts")
        many = f"{attempts} attempts" if isinstance(attempts, int) and attempts > 1 else ""
        state = _DELIVERIES.get(str(details.get("outcome")), "")
        return kind, state, str(data.get("text")), _joined(many, details.get("reason"))
    if kind == "reload":
        complaints = details.get("complaints")
        first = str(complaints[0]) if isinstance(complaints, list) and complaints else ""
        by = f"by {details.get('by')}" if details.get("by") else ""
        return kind, "critical" if first else "", str(data.get("text")), _joined(by, first)
    if kind != "audit":
        return kind, "", str(data.get("text")), _joined(details.get("comment"))
    outcome = str(details.get("outcome"))
    text = f"{details.get('actor')}: {details.get('action')} {details.get('target')}"
    address = details.get("address")
    return (
        kind,
        "" if outcome == "done" else "refused",
        text,
        _joined(outcome, f"from {address}" if address else "", *_more(details)),
    )


def _more(details: Mapping[str, object]) -> Iterator[str]:
    for name, value in details.items():
        if value != [] and name not in {"actor", "address", "action", "target", "outcome"}:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{name} {shown}"


def _joined(*parts: object) -> str:
    return " · ".join(str(part) for part in parts if part)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
