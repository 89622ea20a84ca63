"""Accounts and their sessions: making, changing and ending them.

Each change is one write of the registry, is known here at once and to other processes within half
a second, and leaves its line in the audit trail.  The last administrator stays: a server without
one would be open again, or closed to everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from monitor.access.audit import Actor, Audit
from monitor.access.credentials import SESSION_PREFIX, make
from monitor.access.directory import Directory, key_of
from monitor.access.passwords import Passwords, require_good
from monitor.access.records import (
    Account,
    Record,
    Session,
    account_name,
    encoded,
    require_globs,
)
from monitor.core.access import ALL_HOSTS, Role
from monitor.errors import InputError, MonitorError, NotFound, Unavailable, excerpt
from monitor.ports import Conflict, Registry

REMEMBERED_SECONDS = 30 * 86_400.0
"""How long a session lasts on a device that is to be remembered."""

SESSION_SECONDS = 12 * 3_600.0
"""How long it lasts elsewhere."""

MOST_ACCOUNTS = 1_000
MOST_SESSIONS = 64
"""Sessions of one account; a new one ends the oldest."""

AGENT_CHARACTERS = 120
"""What is kept of a browser's name."""

LEASE = "access"
LEASE_SECONDS = 10.0
TURN_SECONDS = 0.05
"""Only one process at a time takes an administrator away, so that two never take the last two."""


class Records:
    """The registry's records of access: what is written here is known here at once."""

    def __init__(self, registry: Registry, directory: Directory) -> None:
        self._registry = registry
        self.directory = directory

    async def create(self, record: Record) -> None:
        """Write a new record.  Raises `Conflict` where its key is taken."""
        key, value = key_of(record), encoded(record)
        revision = await self._registry.create(key, value)
        self._known(key, value, revision)

    async def update(self, record: Record) -> None:
        """Write a record anew.  Raises `Conflict` where somebody else did meanwhile."""
        key, value = key_of(record), encoded(record)
        revision = await self._registry.update(key, value, self.directory.revision(key))
        self._known(key, value, revision)

    async def delete(self, record: Record) -> None:
        """Remove a record; one that is gone is as good."""
        key = key_of(record)
        known = self.directory.revision(key)
        await self._registry.delete(key)
        self.directory.forget(key, known)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be the one process that takes something away for which another must be left."""
        holder = secrets.token_hex(8)
        waited = 0.0
        while not await self._registry.lease(LEASE, holder, LEASE_SECONDS):
            if waited > LEASE_SECONDS * 1.5:
                raise Unavailable("somebody else changes accounts just now", code="busy")
            await asyncio.sleep(TURN_SECONDS)
            waited += TURN_SECONDS
        try:
            await self.directory.load()
            yield
        finally:
            await self._registry.lease(LEASE, holder, 0)

    def _known(self, key: str, value: bytes, revision: int) -> None:
        self.directory.learn(key, value, revision)


class Accounts:
    """People.  Every method says who does it; names are taken in any case."""

    def __init__(
        self,
        records: Records,
        passwords: Passwords,
        audit: Audit,
        clock: Callable[[], float],
    ) -> None:
        self._records = records
        self._directory = records.directory
        self._passwords = passwords
        self._audit = audit
        self._clock = clock

    async def create(
        self,
        actor: Actor,
        name: str,
        role: Role,
        password: str,
        hosts: tuple[str, ...] = ALL_HOSTS,
    ) -> Account:
        """A new account.  Raises `InputError`: a bad name or password, a name that is taken."""
        name = account_name(name)
        require_globs(hosts)
        require_good(password, name)
        if len(self._directory.accounts) >= MOST_ACCOUNTS:
            detail = "there are as many accounts as there may be"
            raise InputError(detail, code="too_many_accounts", limit=MOST_ACCOUNTS, status=409)
        hashed = await self._passwords.hashed(password)
        now = self._clock()
        made = Account(name=name, role=role, password=hashed, created=now, changed=now, hosts=hosts)
        try:
            await self._records.create(made)
        except Conflict:
            detail = f"there is an account {name} already"
            raise InputError(detail, code="account_exists", field="name", status=409) from None
        await self._audit.record(actor, "account.create", name, role=role.value)
        return made

    def found(self, name: str) -> Account:
        """An account by its name.  Raises `NotFound`."""
        account = self._directory.accounts.get(name.lower())
        if account is None:
            detail = f"there is no account {excerpt(name)}"
            raise NotFound(detail, code="unknown_account", field="name")
        return account

    async def set_role(self, actor: Actor, name: str, role: Role) -> None:
        """Give an account another role; its open streams end, and come back with it."""
        async with self._records.alone():
            account = self.found(name)
            if role is not Role.ADMIN:
                self._require_another_admin(account)
            await self._update(msgspec.structs.replace(account, role=role))
        await self._audit.record(actor, "account.role", account.name, role=role.value)

    async def delete(self, actor: Actor, name: str) -> None:
        """Remove an account and its sessions.  Its tokens are others': they stay."""
        async with self._records.alone():
            account = self.found(name)
            self._require_another_admin(account)
            if len(self._directory.accounts) < 2:
                detail = f"without {account.name} the server would be open; make an administrator"
                raise InputError(detail, code="last_account", status=409)
            await self._records.delete(account)
        await self._end(account.name)
        await self._audit.record(actor, "account.delete", account.name)

    async def set_password(
        self, actor: Actor, name: str, password: str, keep: str | None = None
    ) -> None:
        """Give an account another password; every session ends but the one called `keep`."""
        account = self.found(name)
        require_good(password, account.name)
        hashed = await self._passwords.hashed(password)
        account = self.found(name)
        now = max(self._clock(), math.nextafter(account.changed, math.inf))
        await self._update(
            msgspec.structs.replace(account, password=hashed, changed=now, kept=keep or "")
        )
        await self._end(account.name, keep)
        await self._audit.record(actor, "account.password", account.name)

    async def change_own_password(
        self, actor: Actor, name: str, old: str, new: str, keep: str
    ) -> None:
        """What a person does, who must know the old one."""
        account = self.found(name)
        if not await self._passwords.is_right(old, account.password):
            await self._audit.record(actor, "account.password", account.name, "refused")
            detail = "the present password is another one"
            raise InputError(detail, code="wrong_password", field="old", status=403)
        await self.set_password(actor, name, new, keep)

    # Sessions

    async def log_in(
        self, name: str, password: str, *, remember: bool, address: str, agent: str
    ) -> tuple[str, Session] | None:
        """A session's cookie and the session; none where name and password are nobody's.

        It takes the same work whether or not there is such an account.
        """
        account = self._directory.accounts.get(name.lower())
        is_right = await self._passwords.is_right(password, account.password if account else None)
        if account is None or not is_right:
            return None
        today = self._directory.accounts.get(account.name)
        if today is None or today.changed != account.changed:
            return None  # it got another password while this one was compared
        if self._passwords.is_old(today.password):
            await self._renew(today, password)
        now = self._clock()
        credential = make(SESSION_PREFIX)
        session = Session(
            id=credential.id,
            hash=credential.hash,
            account=account.name,
            created=now,
            expires=now + (REMEMBERED_SECONDS if remember else SESSION_SECONDS),
            proven=account.changed,
            remembered=remember,
            address=address,
            agent=_plain(agent[:AGENT_CHARACTERS])[:AGENT_CHARACTERS],
        )
        held = sorted(self.sessions_of(account.name), key=lambda each: each.created)
        for oldest in held[: max(0, len(held) + 1 - MOST_SESSIONS)]:
            await self._records.delete(oldest)
        await self._records.create(session)
        await self._audit.record(Actor(account.name, address), "session.open", session.id)
        return credential.text, session

    async def _renew(self, account: Account, password: str) -> None:
        """Keep the same password by today's parameters; no session ends by that."""
        # Where somebody changed it meanwhile, or it cannot be written now: the next time.
        with contextlib.suppress(Conflict, MonitorError):
            hashed = await self._passwords.hashed(password)
            await self._records.update(msgspec.structs.replace(account, password=hashed))

    def sessions_of(self, name: str) -> list[Session]:
        """The sessions of an account that have not expired, newest first."""
        now = self._clock()
        held = [
            each
            for each in self._directory.sessions.values()
            if each.account == name and each.expires > now
        ]
        return sorted(held, key=lambda each: -each.created)

    def session(self, id_: str) -> Session:
        """A session by its id.  Raises `NotFound`."""
        found = self._directory.sessions.get(id_)
        if found is None:
            raise NotFound("there is no such session", code="unknown_session", field="session")
        return found

    async def end_session(self, actor: Actor, id_: str) -> None:
        """End a session: whoever has its cookie is nobody from now on."""
        session = self.session(id_)
        await self._records.delete(session)
        await self._audit.record(actor, "session.end", session.id, account=session.account)

    async def end_others(self, actor: Actor, name: str, keep: str | None) -> int:
        """End every session of an account but one; how many."""
        ended = await self._end(name, keep)
        if ended:  # else nothing was done, however often
            await self._audit.record(actor, "session.end_others", name, sessions=ended)
        return ended

    async def _update(self, account: Account) -> None:
        try:
            await self._records.update(account)
        except Conflict:
            detail = "somebody else changed this account just now; look, and try again"
            raise InputError(detail, code="changed_meanwhile", status=409) from None

    async def _end(self, name: str, keep: str | None = None) -> int:
        going = [
            each
            for each in tuple(self._directory.sessions.values())
            if each.account == name and each.id != keep
        ]
        for session in going:
            await self._records.delete(session)
        return len(going)

    async def prune(self) -> int:
        """Let go of sessions that have expired; how many."""
        now = self._clock()
        gone = [each for each in tuple(self._directory.sessions.values()) if each.expires <= now]
        for session in gone:
            await self._records.delete(session)
        return len(gone)

    def _require_another_admin(self, account: Account) -> None:
        if account.role is Role.ADMIN and len(self._directory.admins()) < 2:
            detail = f"{account.name} is the last administrator; make another one first"
            raise InputError(detail, code="last_admin", status=409)


def _plain(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")
