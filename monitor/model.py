"""The nouns: series keys and schemas, frames and snapshots, hosts' states, events.

Values only: no clock, no socket, no database, and no numpy, so that an agent stays light.
"""

from __future__ import annotations

import enum
import hashlib
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeAlias

Cell: TypeAlias = str | int | float | None
"""What one cell of a snapshot's row may hold."""

Row: TypeAlias = Mapping[str, Cell]
"""One row of a snapshot, by column name."""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class SeriesKey(NamedTuple):
    """A metric's name and its attributes, sorted by name.

    Its text, the KEY of the contract, is ``name{attr="value",…}`` with values escaped as
    in OpenMetrics, and no braces without attributes.
    """

    name: str
    attributes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, /, **attributes: str) -> SeriesKey:
        """The key of `name` with these attributes, in whatever order they are given."""
        return cls(name, tuple(sorted(attributes.items())))

    @classmethod
    def parse(cls, text: str) -> SeriesKey:
        """The key that `text` writes.  Raises `ValueError` where it is no KEY."""
        name, brace, rest = text.partition("{")
        if not name:
            raise ValueError("a series key begins with a metric's name")
        if not brace:
            return cls(name)
        if not rest.endswith("}"):
            raise ValueError("a series key with attributes ends with }")
        attributes: dict[str, str] = {}
        at, end = 0, len(rest) - 1
        while at < end:
            equals = rest.find('="', at, end)
            if equals <= at:
                raise ValueError('attributes are written name="value"')
            attribute = rest[at:equals]
            at = equals + 2
            value: list[str] = []
            while at < end and rest[at] != '"':
                if rest[at] == "\\":
                    at += 1
                    escaped = rest[at]
                    if escaped not in '\\"n':
                        raise ValueError(r"only \\, \" and \n are escapes in a value")
                    value.append("\n" if escaped == "n" else escaped)
                else:
                    value.append(rest[at])
                at += 1
            if at >= end:
                raise ValueError("an attribute's value is not closed")
            if attribute in attributes:
                raise ValueError("an attribute stands twice")
            attributes[attribute] = "".join(value)
            at += 1
            if at < end:
                if rest[at] != ",":
                    raise ValueError("attributes are parted by a comma")
                at += 1
        return cls(name, tuple(sorted(attributes.items())))

    def __str__(self) -> str:
        if not self.attributes:
            return self.name
        inner = ",".join(f'{name}="{_escape(value)}"' for name, value in self.attributes)
        return f"{self.name}{{{inner}}}"

    def get(self, attribute: str) -> str:
        """The attribute's value, or the empty string."""
        for name, value in self.attributes:
            if name == attribute:
                return value
        return ""


def key(name: str, /, **attributes: str) -> str:
    """The KEY text of a metric with these attributes: what collectors write."""
    return str(SeriesKey.of(name, **attributes))


@dataclass(frozen=True, eq=False)
class Schema:
    """An ordered tuple of KEYs, agreed once a host, so that frames are rows of numbers."""

    texts: tuple[str, ...]

    @cached_property
    def keys(self) -> tuple[SeriesKey, ...]:
        """The keys in the same order.  Raises `ValueError` where a text is no KEY."""
        return tuple(SeriesKey.parse(text) for text in self.texts)

    @cached_property
    def index(self) -> dict[str, int]:
        """Each KEY's column."""
        return {text: column for column, text in enumerate(self.texts)}

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the hex digest of the KEYs joined by newlines."""
        return "sha256:" + hashlib.sha256("\n".join(self.texts).encode()).hexdigest()

    @cached_property
    def columns_by_name(self) -> dict[str, tuple[int, ...]]:
        """The columns of each metric name, in order."""
        columns: dict[str, list[int]] = {}
        for column, series in enumerate(self.keys):
            columns.setdefault(series.name, []).append(column)
        return {name: tuple(found) for name, found in columns.items()}

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class Frame:
    """One host's values at one instant.

    `at` is in unix seconds by the sender's clock; `values` has one float64 a column of
    `schema`, NaN where nothing was observed.  `source` tells the several senders of one host
    apart, each with columns of its own: empty for its agent, else such as ``scrape:node``.
    `heard` is false where the host itself did not speak: what is said of it is that it was not
    reached.
    """

    host: str
    at: float
    schema: Schema
    values: array[float]
    source: str = ""
    heard: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a table needs and a number cannot carry: rows of one kind at one instant."""

    host: str
    at: float
    kind: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a sender says of itself and its host, beside numbers; none of it is trusted.

    `agent` is its lasting identity, none where it has none (curl, a scrape, remote write); `info`
    is what it says of its machine; `given_labels` are those that its token lays over its own;
    `skew_seconds` is arrival less when it says that it sent, NaN where it does not.
    `interval_seconds` is how often it means to send, 0 where it does not say.
    """

    host: str
    agent: str | None = None
    labels: Mapping[str, str] | None = None
    given_labels: Mapping[str, str] = field(default_factory=dict)
    info: Mapping[str, str] | None = None
    skew_seconds: float = math.nan
    interval_seconds: float = 0.0
    is_ephemeral: bool | None = None


@dataclass(slots=True)
class Reading:
    """What one run of a collector saw: a value for each KEY, and rows for each snapshot.

    A KEY that is missing no longer exists (a disk was pulled); NaN means that it exists
    and could not be read this time.
    """

    values: dict[str, float] = field(default_factory=dict)
    snapshots: dict[str, list[Row]] = field(default_factory=dict)


class HostStatus(enum.StrEnum):
    """What we may say of a host now."""

    UP = "up"
    STALE = "stale"
    DOWN = "down"
    RETIRED = "retired"


class EventType(enum.StrEnum):
    """Every kind of message on the stream, by the names of the contract."""

    CONNECTED = "connected"
    HEARTBEAT = "heartbeat"
    METRIC_UPDATE = "metric_update"
    HOST_UPDATE = "host_update"
    ALERT = "alert"
    APPROVAL = "approval"
    AI_THINKING = "ai_thinking"
    DISCONNECTED = "disconnected"
    ERROR = "error"
    TERMINAL_THOUGHT = "terminal_thought"
    TERMINAL_TOOL_CALL = "terminal_tool_call"
    TERMINAL_RENDER_UI = "terminal_render_ui"
    TERMINAL_ACTION_REQUEST = "terminal_action_request"
    TERMINAL_ACTION_RESULT = "terminal_action_result"
    TERMINAL_COMPLETE = "terminal_complete"
    TERMINAL_ERROR = "terminal_error"
    TERMINAL_HEARTBEAT = "terminal_heartbeat"
    NOTICE = "notice"


class RetentionClass(enum.StrEnum):
    """What of the log is kept for how long, each with its own floor."""

    ALERTS = "alerts"
    HOSTS = "hosts"
    AUDIT = "audit"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: an entry of the log.

    `at` is unix seconds; `event_id` is the producer's, made before the append, so that a
    reader can ignore one that it has seen; `sequence` is the position in the log, 0 until
    it is appended.  `topics` says where it is heard.
    """

    type: EventType
    topics: tuple[str, ...]
    data: Mapping[str, object]
    at: float
    event_id: str
    sequence: int = 0


_ALERTING_NOTICES = frozenset({"silence", "ack", "maintenance", "delivery"})


def retention_class(event: Event) -> RetentionClass:
    """How long an event is kept, by what it is about."""
    if event.type is EventType.HOST_UPDATE:
        return RetentionClass.HOSTS
    if event.type.value.startswith("terminal_"):
        return RetentionClass.TERMINAL
    if event.type in {EventType.ALERT, EventType.AI_THINKING}:
        return RetentionClass.ALERTS
    if event.type is EventType.NOTICE and event.data.get("kind") in _ALERTING_NOTICES:
        return RetentionClass.ALERTS
    return RetentionClass.AUDIT
