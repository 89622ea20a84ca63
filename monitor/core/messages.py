"""What every type of event says, and on which topics it is heard (STREAM 1, CONTRACT 4).

A producer builds one of these messages; `event` makes it the event that the log takes, and
`check` holds any other event against the same shapes before it is published.  Field names are
the contract's.  It knows no bytes and no readers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec

from monitor.errors import InputError, excerpt
from monitor.model import Event, EventType, HostStatus

HostName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,253}\Z")]
Identity = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
"""An id that the server made: of an alert, an approval, a session."""

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
AlertWord = Literal["inactive", "pending", "firing", "resolved"]
Severity = Literal["info", "warning", "critical"]
ApprovalWord = Literal["pending", "approved", "denied", "expired", "used"]
NoticeKind = Literal[
    "silence", "ack", "maintenance", "delivery", "reload", "audit", "server", "leader"
]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages."""


class HostUpdate(Message, frozen=True, kw_only=True):
    """A host's status changed."""

    host: HostName
    status: HostStatus
    was: HostStatus | None
    reason: str


class Alert(Message, frozen=True, kw_only=True):
    """An alert changed its state; `value` is what decided, `since` unix seconds.

    `since` is when it entered its state.  What follows `evidence` says all that pages and messages
    need beside: `summary` is one sentence, `limit` what it was held against, in words; `labels` are
    the host's and the rule's at that moment, by which it is routed; `peak` is the worst value so
    far; `began` is when the condition was first seen to hold, and `fired` when it fired.
    """

    alert: Identity
    rule: Word
    host: HostName
    attributes: dict[str, str]
    state: AlertWord
    was: AlertWord | None
    severity: Severity
    value: float | None
    since: float
    evidence: dict[str, Any] | None = None
    summary: str = ""
    limit: str = ""
    unit: str = ""
    """The style of the catalog in which values are shown."""
    metric: str = ""
    """The KEY whose value is told."""
    labels: dict[str, str] = {}
    runbook_url: str = ""
    peak: float | None = None
    began: float | None = None
    fired: float | None = None
    reason: str = ""
    """Why it ended, or is told of again, where that is not its value: ``flapping``, ``retired``."""
    notify: Literal["always", "firing", "never"] = "always"
    """Whether its firing, and whether its end, is told to anybody."""
    is_flapping: bool = False
    is_drill: bool = False
    is_late: bool = False
    """Whether it was over before it was known: it was reported late, and nobody is told."""
    held_by: list[str] = []
    """Rules that hold it back while they fire for the same host and attributes."""


class Approval(Message, frozen=True, kw_only=True):
    """Somebody is asked to allow one run of an action, or has answered."""

    approval: Identity
    action: Word
    host: HostName
    state: ApprovalWord
    was: ApprovalWord | None = None
    by: str | None = None
    reason: str = ""
    expires: float | None = None


class AiThinking(Message, frozen=True, kw_only=True):
    """A step of an investigation, of an alert or in a session."""

    host: HostName
    text: str
    alert: Identity | None = None
    session: Identity | None = None


class Terminal(Message, frozen=True, kw_only=True):
    """Base of what a console's session says."""

    session: Identity


class TerminalThought(Terminal, frozen=True, kw_only=True):
    """What the investigator concludes so far."""

    text: str


class TerminalToolCall(Terminal, frozen=True, kw_only=True):
    """A tool is asked; `call` ties what follows to it."""

    call: Identity
    tool: Word
    arguments: dict[str, Any]


class TerminalRenderUi(Terminal, frozen=True, kw_only=True):
    """Something to be drawn: one of the components that the page knows."""

    component: Word
    properties: dict[str, Any]


class TerminalActionRequest(Terminal, frozen=True, kw_only=True):
    """An action that waits for a person's approval."""

    approval: Identity
    action: Word
    host: HostName
    arguments: dict[str, Any]
    reason: str


class TerminalActionResult(Terminal, frozen=True, kw_only=True):
    """What came of an action."""

    approval: Identity
    action: Word
    host: HostName
    outcome: Literal["succeeded", "failed", "refused", "expired"]
    output: str


class TerminalComplete(Terminal, frozen=True, kw_only=True):
    """The session has its answer."""

    summary: str


class TerminalError(Terminal, frozen=True, kw_only=True):
    """The session ended without one."""

    code: Word
    detail: str


class TerminalHeartbeat(Terminal, frozen=True, kw_only=True):
    """The session is still at it, after so many seconds."""

    elapsed: float


class Notice(Message, frozen=True, kw_only=True):
    """Everything else that is logged."""

    kind: NoticeKind
    text: str
    details: dict[str, Any] | None = None


class Problem(Message, frozen=True, kw_only=True):
    """What went wrong on a stream that is already open: the ``error`` event."""

    code: Word
    detail: str


class Heartbeat(Message, frozen=True, kw_only=True):
    """The stream is alive."""


class Disconnected(Message, frozen=True, kw_only=True):
    """The server ends the stream; the reader may come back at once."""

    reason: Word


LOGGED: Mapping[EventType, type[Message]] = {
    EventType.HOST_UPDATE: HostUpdate,
    EventType.ALERT: Alert,
    EventType.APPROVAL: Approval,
    EventType.AI_THINKING: AiThinking,
    EventType.TERMINAL_THOUGHT: TerminalThought,
    EventType.TERMINAL_TOOL_CALL: TerminalToolCall,
    EventType.TERMINAL_RENDER_UI: TerminalRenderUi,
    EventType.TERMINAL_ACTION_REQUEST: TerminalActionRequest,
    EventType.TERMINAL_ACTION_RESULT: TerminalActionResult,
    EventType.TERMINAL_COMPLETE: TerminalComplete,
    EventType.TERMINAL_ERROR: TerminalError,
    EventType.TERMINAL_HEARTBEAT: TerminalHeartbeat,
    EventType.NOTICE: Notice,
}
"""Types that stand in the log, are never dropped and are replayed."""

PASSING: Mapping[EventType, type[Message]] = {
    EventType.ERROR: Problem,
    EventType.HEARTBEAT: Heartbeat,
    EventType.DISCONNECTED: Disconnected,
}
"""Types that are said to a reader and not logged."""

_TYPES = {message: type_ for type_, message in LOGGED.items()}


def event(message: Message, at: float, event_id: str) -> Event:
    """The event that a message is, at an instant in unix seconds, on its topics.

    Raises `InputError` where a field is not what the message says it is.
    """
    type_ = _TYPES[type(message)]
    data = cast("dict[str, object]", msgspec.to_builtins(message))
    made = Event(type_, topics_of(type_, data), data, at, event_id)
    check(made)
    return made


def check(made: Event) -> None:
    """Raise `InputError` unless an event is of a logged type and says what that type says."""
    shape = LOGGED.get(made.type)
    if shape is None:
        detail = f"an event of type {made.type.value} is not logged"
        raise InputError(detail, code="not_logged", field="type")
    check_data(shape, made.data)


def check_data(shape: type[Message], data: Mapping[str, object]) -> None:
    """Raise `InputError`, naming the field, where data is not of a message's shape."""
    try:
        msgspec.convert(data, shape, strict=True)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        field = where.strip("`").removeprefix("$.") or None
        raise InputError(excerpt(what), code="bad_event", field=field) from None


def topics_of(type_: EventType, data: Mapping[str, object]) -> tuple[str, ...]:
    """The topics on which an event of this type is heard, besides ``log``."""
    if type_.value.startswith("terminal_"):
        return (f"terminal:{data.get('session')}",)
    found = _TOPICS.get(type_)
    return found(data) if found else ()


def _of_host(topic: str) -> Callable[[Mapping[str, object]], tuple[str, ...]]:
    return lambda data: (topic, f"host:{data.get('host')}")


_TOPICS: Mapping[EventType, Callable[[Mapping[str, object]], tuple[str, ...]]] = {
    EventType.HOST_UPDATE: _of_host("fleet"),
    EventType.ALERT: _of_host("alerts"),
    EventType.AI_THINKING: _of_host("alerts"),
    EventType.APPROVAL: lambda _: ("approvals",),
}
