"""What the pages of settings show: accounts, sessions and tokens as rows of words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.access.office import Office
from monitor.access.records import Account, Session, Token
from monitor.core.access import ALL_HOSTS, Caller, Right
from monitor.web.format import duration, written

MOST_ROWS = 200
"""Rows of one table: beyond that, the command line lists them all."""

NEVER = "never"


@dataclass(frozen=True, slots=True)
class SessionRow:
    """Somebody is logged in on a device."""

    id: str
    account: str
    device: str
    address: str
    since: str
    used: str
    expires: str
    is_this: bool


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A person."""

    name: str
    role: str
    hosts: str
    created: str
    sessions: int
    is_own: bool


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A machine's credential, and never its text."""

    id: str
    kind: str
    hosts: str
    more: str
    made: str
    used: str
    expires: str
    note: str
    is_over: bool
    is_rotated: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """Rows, and how many more there are."""

    rows: tuple[SessionRow | AccountRow | TokenRow, ...]
    left_out: int


def instant(at: float | None) -> str:
    """An instant to the minute; never where there is none."""
    if at is None:
        return NEVER
    found = written(at, "instant")
    return f"{found.number} {found.unit}"


def sessions(office: Office, caller: Caller, now: float) -> Listed:
    """One's own sessions, this one first; for administrators then everybody's."""
    everybody = Right.ADMIN in caller.rights
    seen = [
        each
        for each in office.directory.sessions.values()
        if each.expires > now and (everybody or each.account == caller.name)
    ]
    seen.sort(
        key=lambda s: (s.id != caller.credential, s.account != caller.name, s.account, -s.created)
    )
    return _listed([_session(each, office, caller, now) for each in seen[:MOST_ROWS]], len(seen))


def accounts(office: Office, caller: Caller, now: float) -> Listed:
    """Every account by name."""
    found = sorted(office.directory.accounts.values(), key=lambda account: account.name)
    counts: dict[str, int] = {}
    for session in office.directory.sessions.values():
        if session.expires > now:
            counts[session.account] = counts.get(session.account, 0) + 1
    return _listed(
        [account_row(each, caller, counts.get(each.name, 0)) for each in found[:MOST_ROWS]],
        len(found),
    )


def account_row(account: Account, caller: Caller, count: int) -> AccountRow:
    """One account."""
    return AccountRow(
        account.name,
        account.role.value,
        _globs(account.hosts),
        instant(account.created),
        count,
        caller.is_person and caller.name == account.name,
    )


def tokens(office: Office, now: float) -> Listed:
    """Every token, newest first."""
    found = office.tokens.all()
    return _listed([_token(each, office, now) for each in found[:MOST_ROWS]], len(found))


def _listed(rows: Iterable[SessionRow | AccountRow | TokenRow], count: int) -> Listed:
    shown = tuple(rows)
    return Listed(shown, count - len(shown))


def _session(session: Session, office: Office, caller: Caller, now: float) -> SessionRow:
    return SessionRow(
        session.id,
        session.account,
        session.agent or "unknown",
        session.address,
        instant(session.created),
        _ago(office.usage.at(session.id) or session.created, now),
        instant(session.expires),
        session.id == caller.credential,
    )


def _token(token: Token, office: Office, now: float) -> TokenRow:
    used = office.usage.at(token.id)
    more = list(token.scopes)
    more += [f"{name}={value}" for name, value in token.labels.items()]
    if token.uses is not None:
        more.append("1 use left" if token.uses == 1 else f"{token.uses} uses left")
    return TokenRow(
        token.id,
        token.kind.value,
        _globs(token.hosts),
        ", ".join(more),
        f"{instant(token.created)} by {token.by}",
        NEVER if used is None else _ago(used, now),
        instant(token.expires),
        token.note,
        token.expires is not None and token.expires <= now,
        token.heir in office.directory.tokens,
    )


def _ago(at: float, now: float) -> str:
    # It is known to the minute.
    return "just now" if now - at < 120 else f"{duration(now - at)} ago"


def _globs(hosts: tuple[str, ...]) -> str:
    return "every host" if hosts == ALL_HOSTS else ", ".join(hosts)
