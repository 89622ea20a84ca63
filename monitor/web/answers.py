"""What the API answers and takes, as types: the OpenAPI document is made from them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class HostSummary(msgspec.Struct, frozen=True):
    """A host as lists show it; `since` is when it got its status, `at` its newest frame's.

    `version` is its agent's, `skew_seconds` how far its clock is behind the server's, where they
    are known; `sources` are those who send its values; an ephemeral host retires where another
    goes down.
    """

    host: str
    status: str
    since: float
    at: float
    labels: dict[str, str]
    version: str | None
    skew_seconds: float | None
    sources: list[str]
    ephemeral: bool


class HostDetail(HostSummary, frozen=True):
    """A host with the current value of everything; counters as rates per second.

    A value that has not come for some of its own periods is not current: `late` has its age in
    seconds instead.  `info` is what its agent says of itself and its machine.
    """

    info: dict[str, str]
    metrics: dict[str, float]
    late: dict[str, float]


class HostAction(msgspec.Struct, frozen=True):
    """What was done with a host: ``retire``, ``adopt`` or ``delete``."""

    host: str
    done: str


class RefusedSender(msgspec.Struct, frozen=True):
    """Somebody who was turned away lately: as which host, why, how often, from where.

    `since` and `last` are unix seconds; `version` is the agent's, where it said so.
    """

    host: str
    code: str
    detail: str
    since: float
    last: float
    count: int
    address: str
    version: str | None


class SeriesInfo(msgspec.Struct, frozen=True):
    """A series that a host has."""

    key: str
    kind: str
    unit: str


class ProcessTable(msgspec.Struct, frozen=True):
    """The top processes at an instant; cpu in cores, rss in bytes, io in bytes per second."""

    host: str
    at: float
    processes: list[dict[str, str | int | float | None]]


class HistorySeries(msgspec.Struct, frozen=True, omit_defaults=True):
    """One series, a value a bucket, null where nothing was observed.

    An aggregated one has no host of its own: `host` is empty, `hosts` is how many it was made
    from, and `labels` has the label that it was grouped by.
    """

    host: str
    key: str
    min: list[float | None]
    avg: list[float | None]
    max: list[float | None]
    labels: dict[str, str] | None = None
    hosts: int | None = None


class HistoryLoss(msgspec.Struct, frozen=True):
    """A stretch of a host's history, from `start` until `end`, that was lost, and why."""

    host: str
    start: float
    end: float
    reason: str


class History(msgspec.Struct, frozen=True):
    """A range cut into equal buckets; `t` are their starts, `step` their width in seconds.

    `source` is the resolution of what was read in seconds, 0 where it was every frame itself.
    `losses` are the gaps that are no silence of a host.
    """

    t: list[float]
    step: float
    source: float
    losses: list[HistoryLoss]
    series: list[HistorySeries]


class Marker(msgspec.Struct, frozen=True):
    """Something that happened at an instant: `kind` is ``reboot`` or ``server_start``."""

    at: float
    kind: Literal["reboot", "server_start"]
    text: str


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the server is; which version it is, is said to those who may read."""

    status: str
    version: str | None = None


class PushAnswer(msgspec.Struct, frozen=True):
    """What became of a push: how many frames were accepted, or that it was known already.

    `seq` is null for the simple form and a goodbye.  `watched` says that somebody looks at the
    host now: an agent that sends in batches sends at once then.
    """

    accepted: int
    duplicate: bool
    seq: int | None
    watched: bool


class PushFrame(msgspec.Struct, frozen=True):
    """Values at an instant in unix seconds, one for each KEY of the schema; null is absent."""

    at: float
    values: list[float | None]


class PushProcess(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process; cpu in cores, rss in bytes, io in bytes per second."""

    pid: int
    name: str
    user: str | None = None
    cpu: float | None = None
    rss: float | None = None
    io: float | None = None
    command: str | None = None


class PushSnapshots(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tables that go with the newest frame; the API's text says which columns each has."""

    processes: list[PushProcess] | None = None
    cgroups: list[dict[str, str | float | None]] | None = None
    filesystems: list[dict[str, str | None]] | None = None
    limits: list[dict[str, str | float | None]] | None = None
    system: list[dict[str, str | float | None]] | None = None
    collectors: list[dict[str, str | float | None]] | None = None


class NumberedPush(msgspec.Struct, frozen=True, omit_defaults=True):
    """The full form: numbered, so that it can be sent again.

    `schema` is the list of KEYs, or ``sha256:`` and the hex digest of the KEYs joined by
    newlines, once this host has sent the list.
    """

    host: str
    boot_id: str
    seq: int
    schema: list[str] | str
    frames: list[PushFrame]
    agent: str | None = None
    sent: float | None = None
    labels: dict[str, str] | None = None
    info: dict[str, Any] | None = None
    snapshots: PushSnapshots | None = None
    protocol: int = 1


class GoodbyePush(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent says when it ends in good order: nobody waits for its host then."""

    host: str
    agent: str
    boot_id: str
    bye: Literal[True]


class SimplePush(msgspec.Struct, frozen=True, omit_defaults=True):
    """The simple form: a number by KEY, observed when it arrives."""

    host: str
    metrics: dict[str, float | None]
    agent: str | None = None
    labels: dict[str, str] | None = None


class Enrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The host that wants a token of its own.

    `agent` is the lasting id of who asks: within ten minutes it may ask again, as who has not heard
    the answer does, and then the token that it was given before ends.
    """

    host: str
    agent: str = ""


class Enrolled(msgspec.Struct, frozen=True):
    """A host's token: it is said here once, and kept nowhere."""

    host: str
    token: str
