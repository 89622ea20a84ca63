"""What the API answers and takes of alerts, silences, rules and channels, as types.

The OpenAPI document is made from them, as from `monitor.web.answers`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from monitor.core import messages
from monitor.core.messages import HostName, Identity
from monitor.core.rules.diff import Diff
from monitor.notify.config import COMMENT_CHARACTERS

Instant = float | str
"""Unix seconds, or ISO 8601."""

Line = Annotated[str, msgspec.Meta(max_length=4 * COMMENT_CHARACTERS)]


class Acknowledged(msgspec.Struct, frozen=True):
    """Who acknowledged an alert, when in unix seconds, and what they noted.

    `holds` is false where the alert became worse since: it is told again.
    """

    by: str
    at: float
    note: str
    holds: bool


class ListedAlert(messages.Alert, frozen=True, kw_only=True):
    """An alert as its newest event says it, and where it stands; without evidence.

    What pends is listed in the same shape: it has no id, and says how long it has held of how
    long it must.
    """

    alert: Identity | None  # type: ignore[assignment]
    fired_at: float | None = None
    resolved_at: float | None = None
    sequence: int | None = None
    """The position of that event in the log."""
    acknowledged: Acknowledged | None = None
    silenced_by: str | None = None
    """The id of the silence that takes it now; ``hidden`` where that may not be seen."""
    held_back_by: str | None = None
    """The rule because of which it is not told now."""
    held_seconds: float | None = None
    for_seconds: float | None = None
    waits_for: str | None = None


class AlertStep(msgspec.Struct, frozen=True):
    """Something that happened to an alert: a transition, or what people and channels did.

    `kind` is ``alert``, ``ack`` or ``delivery``.
    """

    at: float
    kind: Literal["alert", "ack", "delivery"]
    text: str
    details: dict[str, Any]


class AlertDetail(ListedAlert, frozen=True, kw_only=True):
    """One alert with its evidence and its history, the first step first."""

    history: list[AlertStep]


class AckWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A note to go with an acknowledgement."""

    note: Line = ""


class AckDone(msgspec.Struct, frozen=True):
    """An alert and its acknowledgement, which is null where it was taken back."""

    alert: str
    acknowledged: Acknowledged | None


class SilenceShown(msgspec.Struct, frozen=True):
    """A silence; instants are unix seconds.

    `state` is ``active`` while it silences, ``pending`` before it does, ``expired`` after.  A
    silence of the configuration has its place there as `origin`, no beginning, and no end but the
    file's.
    """

    id: str
    match: str
    state: Literal["pending", "active", "expired"]
    starts: float | None
    until: float | None
    schedule: str | None
    next_change: float | None
    comment: str
    by: str
    created: float | None
    ended_by: str | None
    configured: bool
    origin: str | None


class SilenceWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A silence to be made, of what `match` takes.

    It lasts `until` an instant, or `for` so long, or holds on a `schedule`, with an end or none.
    """

    match: str
    until: Instant | None = None
    duration: str | None = msgspec.field(name="for", default=None)
    schedule: str | None = None
    starts: Instant | None = None
    comment: Line = ""


class PreviewWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The selector of a silence that somebody thinks of."""

    match: str


class RuleShown(msgspec.Struct, frozen=True):
    """A rule that holds, where it was written, and what becomes of it.

    `severity` is the worst that it can reach, `condition` what it looks at in words, a line a
    severity.  How many series of how many hosts it judges, and the rule as TOML, is for who sees
    every host.
    """

    name: str
    severity: messages.Severity
    file: str
    line: int | None
    state: Literal["firing", "pending", "inactive", "not_applicable"]
    firing: int
    pending: int
    series: int | None
    hosts: int | None
    condition: list[str]
    metric: str
    default: bool
    labels: dict[str, str]
    held_by: list[str]
    notify_resolved: bool
    runbook_url: str
    toml: str | None


class Reloaded(msgspec.Struct, frozen=True):
    """The configuration was read anew, at an instant in unix seconds.

    `diff` says what is different; `needs_restart` are sections that changed and hold when the
    server starts the next time.
    """

    at: float
    diff: Diff
    needs_restart: list[str]


class BacktestWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule as TOML, one table ``[rules.NAME]``, and how far back to judge it."""

    toml: str
    since: str = "14d"
    hosts: str = ""
    """A selector: which hosts, beside the rule's own."""


class BacktestFiring(msgspec.Struct, frozen=True):
    """The rule would have fired, from `start` until `end`, null where it would fire still."""

    host: HostName
    attributes: dict[str, str]
    severity: messages.Severity
    start: float
    end: float | None
    peak: float | None


class BacktestLeftOut(msgspec.Struct, frozen=True):
    """A host that was not judged, and why."""

    host: str
    reason: str


class BacktestDone(msgspec.Struct, frozen=True):
    """What a rule would have done.

    `resolution` is the width in seconds of what was judged, `history` how far back it reached,
    `judged` what of it; `count` is how many firings there are, of which the first stand here, and
    `without_hysteresis` how many there would be with each limit as its own way back.
    """

    resolution: float
    history: float
    judged: str
    summary: str
    count: int
    without_hysteresis: int
    firings: list[BacktestFiring]
    left_out: list[BacktestLeftOut]


class ChannelShown(msgspec.Struct, frozen=True):
    """How it stands with a channel; instants are unix seconds, null for never.

    `waiting` are notifications that were not delivered yet, `given_up` those that never will be.
    """

    name: str
    kind: str
    target: str
    delivered_at: float | None
    failing_since: float | None
    failure: str
    waiting: int
    delivered: int
    given_up: int
    next_try_at: float | None


class ChannelTested(msgspec.Struct, frozen=True):
    """What came of a marked message; `reason` is why it was not delivered."""

    channel: str
    outcome: Literal["delivered", "retry", "given_up"]
    reason: str
