"""Every record of access in memory, as the registry has it now, and who a credential means.

It follows the registry, so that what another process writes, the command line above all, holds
here within half a second; what this process writes holds at once.  Whoever keeps something open
for a caller asks `today` again when `changed` calls: the answer is what holds then.

It judges credentials and changes nothing.  Requests and connections are none of its business.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import msgspec

from monitor.access.credentials import (
    AGENT_PREFIX,
    OTHER_PREFIX,
    SESSION_PREFIX,
    found_id,
    is_right,
)
from monitor.access.records import (
    ACCOUNTS,
    PREFIX,
    SESSIONS,
    TOKENS,
    UNHEARD_SECONDS,
    Account,
    Record,
    Session,
    Token,
    decoded,
)
from monitor.core.access import Caller, CallerKind, Role, TokenKind, token_rights
from monitor.errors import MonitorError
from monitor.ports import Deleted, Entry, Registry, Synced

AGAIN_SECONDS = 1.0
"""How long a registry that cannot be read is left alone."""

MOST_GONE = 1_024
"""Keys whose end is remembered, so that a page that was read before it brings nothing back."""

logger = logging.getLogger("monitor.access")


class Directory:
    """Accounts by name, sessions and tokens by id, each with its revision in the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._revisions: dict[str, int] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()
        self._account_keys: set[str] = set()
        self.accounts: dict[str, Account] = {}
        self.sessions: dict[str, Session] = {}
        self.tokens: dict[str, Token] = {}
        self.changed: list[Callable[[], None]] = []
        """Called after every change."""

    # Following the registry

    async def load(self) -> None:
        """Take in what is there now, and let go of what is not, once."""
        await self._watch(once=True)

    async def follow(self) -> None:
        """Take in what changes, until cancelled or the registry closes."""
        while True:
            try:
                await self._watch()
            except MonitorError as error:
                logger.warning("accounts and tokens cannot be followed: %s", error.detail)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    async def _watch(self, *, once: bool = False) -> None:
        before = dict(self._revisions)
        changes = self._registry.watch(PREFIX)
        try:
            async for change in changes:
                match change:
                    case Entry():
                        before.pop(change.key, None)
                        self.take(change)
                    case Deleted():
                        self.forget(change.key, change.revision)
                        if self.revision(change.key):
                            # Who missed much is not told since when a key is gone.
                            await self.look_again(change.key)
                    case Synced():
                        # What went while nobody watched.
                        for key, revision in before.items():
                            self.forget(key, revision)
                        before.clear()
                        if once:
                            return
        finally:
            if isinstance(changes, AsyncGenerator):
                await changes.aclose()

    async def look_again(self, key: str) -> None:
        """Take in what a key is now: somebody else has changed it."""
        known = self.revision(key)
        entry = await self._registry.get(key)
        if entry is None:
            self.forget(key, known)
        else:
            self.take(entry)

    def take(self, entry: Entry) -> None:
        """A key has this value now; an older one than is known is passed over."""
        key = entry.key
        if entry.revision <= max(self.revision(key), self._gone.get(key, 0)):
            return
        self._gone.pop(key, None)
        try:
            self._put(key, entry.value)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            logger.error("the record %s gives nobody access: it cannot be read", key)  # noqa: TRY400
            self._drop(key)
        self._revisions[key] = entry.revision
        if key.startswith(ACCOUNTS):
            self._account_keys.add(key)
        self._tell()

    def learn(self, key: str, value: bytes, revision: int) -> None:
        """What this process itself has written."""
        self.take(Entry(key, value, revision))

    def forget(self, key: str, revision: int) -> None:
        """A key is gone, with every value that it had up to this revision; a newer one stays."""
        known = self.revision(key)
        if revision < known:
            return
        self._gone[key] = max(revision, self._gone.pop(key, 0))
        while len(self._gone) > MOST_GONE:
            self._gone.popitem(last=False)
        if known:
            del self._revisions[key]
            self._account_keys.discard(key)
            self._drop(key)
            self._tell()

    def revision(self, key: str) -> int:
        """The revision at which a record is known, 0 where there is none."""
        return self._revisions.get(key, 0)

    def _put(self, key: str, value: bytes) -> None:
        if key.startswith(ACCOUNTS):
            self.accounts[key.removeprefix(ACCOUNTS)] = decoded(value, Account)
        elif key.startswith(SESSIONS):
            self.sessions[key.removeprefix(SESSIONS)] = decoded(value, Session)
        elif key.startswith(TOKENS):
            self.tokens[key.removeprefix(TOKENS)] = decoded(value, Token)

    def _drop(self, key: str) -> None:
        self.accounts.pop(key.removeprefix(ACCOUNTS), None)
        self.sessions.pop(key.removeprefix(SESSIONS), None)
        self.tokens.pop(key.removeprefix(TOKENS), None)

    def _tell(self) -> None:
        for callback in self.changed:
            callback()

    # Who comes

    @property
    def has_account(self) -> bool:
        """Whether an account was made, also one that cannot be read: the server is not open."""
        return bool(self._account_keys)

    @property
    def has_token(self) -> bool:
        """Whether a machine can come in."""
        return bool(self.tokens)

    def admins(self) -> list[Account]:
        """Every administrator."""
        return [each for each in self.accounts.values() if each.role is Role.ADMIN]

    def by_cookie(self, text: str, now: float) -> Caller | None:
        """Whose session a cookie is, at an instant in unix seconds; none where it is nobody's."""
        id_ = found_id(text, SESSION_PREFIX)
        session = self.sessions.get(id_) if id_ else None
        if not is_right(text, session.hash if session else None) or session is None:
            return None
        return self._person(session, now)

    def by_token(self, text: str, now: float) -> Caller | None:
        """What a bearer token means at an instant; none where it means nothing."""
        id_ = found_id(text, AGENT_PREFIX, OTHER_PREFIX)
        token = self.tokens.get(id_) if id_ else None
        if not is_right(text, token.hash if token else None) or token is None:
            return None
        return _machine(token, now)

    def today(self, caller: Caller, now: float) -> Caller | None:
        """The same credential as it holds now; none where it holds no more."""
        if caller.kind is CallerKind.PERSON:
            session = self.sessions.get(caller.credential)
            return self._person(session, now) if session else None
        if caller.kind is CallerKind.TOKEN:
            token = self.tokens.get(caller.credential)
            return _machine(token, now) if token else None
        return None if caller.kind is CallerKind.OPEN and self.has_account else caller

    def _person(self, session: Session, now: float) -> Caller | None:
        account = self.accounts.get(session.account)
        if account is None or session.expires <= now or session.created < account.created:
            return None
        if session.proven != account.changed and session.id != account.kept:
            return None
        return Caller(
            CallerKind.PERSON, account.name, account.role.rights, account.hosts, session.id
        )


def _machine(token: Token, now: float) -> Caller | None:
    if token.expires is not None and token.expires <= now:
        return None
    is_used_up = token.uses is not None and token.uses <= 0
    # It enrols nobody more, but who has not heard the last answer is known for a while.
    if token.kind is TokenKind.ENROLL and is_used_up and now - token.used >= UNHEARD_SECONDS:
        return None
    rights = token_rights(token.kind, token.scopes)
    return replace(
        Caller(CallerKind.TOKEN, token.id, rights, token.hosts, token.id, token.kind),
        labels=token.labels,
    )


def key_of(record: Record) -> str:
    """Where a record stands in the registry."""
    if isinstance(record, Account):
        return f"{ACCOUNTS}{record.name}"
    return f"{SESSIONS if isinstance(record, Session) else TOKENS}{record.id}"
