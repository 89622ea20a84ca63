"""Who may do what: rights, roles, callers, and which hosts and events a caller may see.

A request becomes a `Caller` once, at the door; everything behind it asks the caller.  Rights are
few and say what is done, not who does it; roles, scopes of tokens and kinds of tokens are sets of
them.  Which hosts a caller sees or writes is a list of globs over host names, everything by
default, so that a team's own view is one more list and nothing else.

It knows no request, no store and no time: whether a credential still holds is judged before.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from monitor.core.selectors import glob
from monitor.model import EventType

ALL_HOSTS = ("*",)
"""The globs of whoever sees every host."""

MOST_GLOBS = 64
"""Globs of one caller."""

_GLOB = re.compile(r"[A-Za-z0-9._*?-]{1,253}", re.ASCII)

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}", re.ASCII)


class Right(enum.Enum):
    """Something that one may do."""

    READ = "read"
    """See hosts, history, alerts, the stream."""
    METRICS = "metrics"
    """Read ``/metrics``: all that a scraping Prometheus needs."""
    OPERATE = "operate"
    """Acknowledge, silence, approve."""
    ADMIN = "admin"
    """Accounts, tokens, the audit trail."""
    ACCOUNT = "account"
    """One's own account: password, sessions, settings."""
    PUSH = "push"
    """Write a host's frames."""
    ENROLL = "enroll"
    """Exchange an enrolment token for a host's."""


_VIEWER = frozenset({Right.READ, Right.METRICS, Right.ACCOUNT})


class Role(enum.Enum):
    """What a person is to this server."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rights(self) -> frozenset[Right]:
        """What the role may do; each includes the one below it."""
        return _ROLES[self]


_ROLES = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _VIEWER | {Right.OPERATE},
    Role.ADMIN: _VIEWER | {Right.OPERATE, Right.ADMIN},
}

_SCOPES = {
    "metrics": frozenset({Right.METRICS}),
    "read": frozenset({Right.READ, Right.METRICS}),
    "operate": frozenset({Right.READ, Right.METRICS, Right.OPERATE}),
    "admin": frozenset({Right.READ, Right.METRICS, Right.OPERATE, Right.ADMIN}),
}

SCOPES = tuple(_SCOPES)
"""What an API token may be for; each includes those before it."""


class TokenKind(enum.Enum):
    """What a token is for."""

    AGENT = "agent"
    """Writes one host."""
    INGEST = "ingest"
    """Writes every host that its globs name."""
    ENROLL = "enroll"
    """Is exchanged for agents' tokens."""
    API = "api"
    """Does what its scopes say."""


_KINDS = {
    TokenKind.AGENT: frozenset({Right.PUSH}),
    TokenKind.INGEST: frozenset({Right.PUSH}),
    TokenKind.ENROLL: frozenset({Right.ENROLL}),
}


def token_rights(kind: TokenKind, scopes: Iterable[str]) -> frozenset[Right]:
    """What a token may do.  Scopes that nobody knows give nothing."""
    if kind is TokenKind.API:
        return frozenset().union(*(_SCOPES.get(scope, frozenset()) for scope in scopes))
    return _KINDS[kind]


class Policy(enum.Enum):
    """What a route asks of its callers.  Every route has one; without, nothing starts."""

    PUBLIC = "public"
    """Nothing: health, the login itself, static files."""
    READ = "read"
    METRICS = "metrics"
    OPERATE = "operate"
    ADMIN = "admin"
    ACCOUNT = "account"
    PUSH = "push"
    ENROLL = "enroll"

    @property
    def right(self) -> Right | None:
        """The right that it asks for, none where everybody may come."""
        return None if self is Policy.PUBLIC else Right(self.value)


class CallerKind(enum.Enum):
    """How somebody is known."""

    NOBODY = "nobody"
    OPEN = "open"
    """Whoever connects to a server that is open: its administrator."""
    PERSON = "person"
    TOKEN = "token"  # noqa: S105 - a kind of caller


@dataclass(frozen=True, slots=True)
class View:
    """What a reader may see: rights and hosts.  Readers with equal views see the same."""

    rights: frozenset[Right]
    hosts: tuple[str, ...] = ALL_HOSTS

    @property
    def sees_all_hosts(self) -> bool:
        """Whether no host is hidden."""
        return "*" in self.hosts

    def sees(self, host: str) -> bool:
        """Whether a host may be seen."""
        return Right.READ in self.rights and matches(self.hosts, host)

    def admits(self, clearance: Clearance) -> bool:
        """Whether an event of this clearance may be seen."""
        if clearance.right not in self.rights:
            return False
        if self.sees_all_hosts:
            return True
        return clearance.host is not None and matches(self.hosts, clearance.host)


@dataclass(frozen=True, slots=True)
class Clearance:
    """What seeing an event takes: a right, and its host; without one, that one sees all hosts."""

    right: Right
    host: str | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request.

    `name` is a person's, or a token's id; `credential` is the session's or the token's id, by
    which it is revoked; `hosts` are the globs of the hosts that it sees, or writes.  `labels` are
    those that an agent's token lays over the agent's own.
    """

    kind: CallerKind
    name: str
    rights: frozenset[Right]
    hosts: tuple[str, ...] = ALL_HOSTS
    credential: str = ""
    token: TokenKind | None = None
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)

    def may(self, policy: Policy) -> bool:
        """Whether a route of this policy is open to it."""
        return policy.right is None or policy.right in self.rights

    def writes(self, host: str) -> bool:
        """Whether it may write this host's frames."""
        return Right.PUSH in self.rights and matches(self.hosts, host)

    def sees(self, host: str) -> bool:
        """Whether it may see a host."""
        return Right.READ in self.rights and matches(self.hosts, host)

    @property
    def view(self) -> View:
        """What it may see on the stream."""
        return View(self.rights, self.hosts)

    @property
    def is_person(self) -> bool:
        """Whether somebody logged in."""
        return self.kind is CallerKind.PERSON

    @property
    def said(self) -> str:
        """It in words, for the audit trail."""
        if self.kind is CallerKind.TOKEN and self.token is not None:
            return f"{self.token.value} token {self.name}"
        return self.name


NOBODY = Caller(CallerKind.NOBODY, "nobody", frozenset())

OPEN = Caller(
    CallerKind.OPEN,
    "whoever connects",
    Role.ADMIN.rights | {Right.PUSH},
)
"""Everybody, while no account exists and the server listens on loopback."""

OPEN_BY_OLD_HTTP = Caller(CallerKind.OPEN, OPEN.name, OPEN.rights - {Right.ADMIN})
"""The same over HTTP/1.0, which browsers do not speak, and proxies do that say nothing of
themselves: who comes through one may look, and not take the server over."""

EVERYTHING = View(frozenset(Right))
"""What this process itself may see."""

_TOPIC_RIGHTS = {"approvals": Right.OPERATE, "terminal": Right.OPERATE}


def topic_right(topic: str) -> Right:
    """The right that listening to a kind of topic takes."""
    return _TOPIC_RIGHTS.get(topic.partition(":")[0], Right.READ)


def clearance(type_: EventType, data: Mapping[str, object]) -> Clearance:
    """What seeing an event takes, or state that is shown as one.

    The audit trail is the administrators'; approvals are for those who may give them; what a
    console's session says is kept to those who see everything until sessions have owners.  A
    notice that names no host may speak of any, and is for those who see all.
    """
    host = data.get("host")
    name = host if isinstance(host, str) else None
    if type_ is EventType.NOTICE:
        is_audit = data.get("kind") == "audit"
        return Clearance(Right.ADMIN if is_audit else Right.READ, None)
    if type_ is EventType.APPROVAL:
        return Clearance(Right.OPERATE, name)
    if type_.value.startswith("terminal_"):
        return Clearance(Right.ADMIN, None)
    return Clearance(Right.READ, name)


def is_host_name(text: str) -> bool:
    """Whether a text is a host's name."""
    return _HOST.fullmatch(text) is not None and bool(text.strip("."))


def is_glob(text: str) -> bool:
    """Whether a text is a glob over host names."""
    return _GLOB.fullmatch(text) is not None


def matches(globs: tuple[str, ...], host: str) -> bool:
    """Whether a host's name is one of those that globs mean."""
    return any(each in ("*", host) or _compiled(each).fullmatch(host) for each in globs)


@lru_cache(maxsize=1_024)
def _compiled(text: str) -> re.Pattern[str]:
    return glob(text)
