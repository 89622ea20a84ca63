"""What the registry keeps of access: accounts, sessions and tokens, a key each.

A record holds no secret, only what one can be recognised by: of a password its argon2id hash, of
a session's cookie and of a token their SHA-256, which is enough for 256 random bits.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from monitor.core.access import ALL_HOSTS, MOST_GLOBS, Role, TokenKind, is_glob
from monitor.errors import InputError, excerpt

PREFIX = "access/"
"""What the keys of all records begin with."""

ACCOUNTS = "access/account/"
SESSIONS = "access/session/"
TOKENS = "access/token/"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A person.  Instants are unix seconds."""

    name: str
    role: Role
    password: str
    """The argon2id hash, with its parameters."""
    created: float
    changed: float
    """When the password was last set: sessions that proved another one hold no more."""
    kept: str = ""
    """The id of the session in which it was set, which goes on."""
    hosts: tuple[str, ...] = ALL_HOSTS
    """Globs of the hosts that it sees."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody is logged in, on one device."""

    id: str
    hash: str
    account: str
    created: float
    expires: float
    proven: float
    """When the password that opened it had been set, by which it is known to be today's."""
    remembered: bool = False
    address: str = ""
    agent: str = ""
    """What the browser says it is, cut short."""


UNHEARD_SECONDS = 600.0
"""How long an agent that has not heard the answer to its exchange may ask again."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's, or a script's, right to come in."""

    id: str
    hash: str
    kind: TokenKind
    created: float
    by: str
    """Who made it."""
    hosts: tuple[str, ...] = ALL_HOSTS
    """Globs of the hosts that it writes, enrolls or sees; an agent's is its one host."""
    scopes: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    expires: float | None = None
    uses: int | None = None
    """How often it may still be exchanged; none where that is not counted."""
    used: float = 0.0
    """When it was exchanged last, where that is counted."""
    note: str = ""
    heir: str = ""
    """The id of the token that it was rotated to."""
    enrolled_by: str = ""
    agent: str = ""
    """The id of the enrolment token that it was exchanged for, and that of the agent that asked."""


Record = Account | Session | Token

_R = TypeVar("_R", Account, Session, Token)


def encoded(record: Record) -> bytes:
    """A record as the registry's value."""
    return msgspec.json.encode(record)


def decoded(value: bytes, type_: type[_R]) -> _R:
    """The record in a registry's value.  Raises `msgspec.MsgspecError` where it is none."""
    return msgspec.json.decode(value, type=type_)


def account_name(text: str) -> str:
    """An account's name as it is kept, in lower case.  Raises `InputError` where it is none."""
    if _NAME.fullmatch(text) is None:
        detail = (
            f"{excerpt(text)} is no account's name: up to 64 letters, digits and . _ - @,"
            " beginning with a letter or a digit"
        )
        raise InputError(detail, code="bad_name", field="name")
    return text.lower()


def require_globs(hosts: tuple[str, ...]) -> None:
    """Raise `InputError` unless these are globs over host names, one at least."""
    if not 1 <= len(hosts) <= MOST_GLOBS or not all(map(is_glob, hosts)):
        detail = f'expected 1 to {MOST_GLOBS} globs over host names, such as "web-*"'
        raise InputError(detail, code="bad_glob", field="hosts")
