"""Tokens of machines and scripts: making, rotating, exchanging and revoking them.

A token's text is returned once, by what made it, and kept nowhere.  Revoking is removing the
record, which other processes see within half a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from monitor.access.accounts import Records
from monitor.access.audit import Actor, Audit
from monitor.access.credentials import AGENT_PREFIX, OTHER_PREFIX, make
from monitor.access.directory import key_of
from monitor.access.records import UNHEARD_SECONDS, Token, require_globs
from monitor.core.access import ALL_HOSTS, SCOPES, Caller, TokenKind, is_host_name, matches
from monitor.errors import InputError, MonitorError, NotFound, Unavailable, excerpt
from monitor.ports import Conflict

MOST_TOKENS = 20_000
MOST_USES = 100_000
NOTE_CHARACTERS = 120
MOST_LABELS = 32
LABEL_CHARACTERS = 255

OVERLAP_SECONDS = 86_400.0
"""How long a token that was rotated still holds, unless somebody says otherwise."""

MOST_TRIES = 20
"""How often an exchange is tried again where another process changes the token meanwhile."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a token is to be.  `expires` is unix seconds, `uses` counts exchanges."""

    kind: TokenKind
    hosts: tuple[str, ...] = ALL_HOSTS
    scopes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    expires: float | None = None
    uses: int | None = None
    note: str = ""


class Tokens:
    """Every method says who does it."""

    def __init__(self, records: Records, audit: Audit, clock: Callable[[], float]) -> None:
        self._records = records
        self._directory = records.directory
        self._audit = audit
        self._clock = clock
        self._using = asyncio.Lock()
        self._enrolling: set[str] = set()

    async def create(self, actor: Actor, wish: Wish) -> tuple[str, Token]:
        """A new token: its text, shown once, and what is kept of it.  Raises `InputError`."""
        self._require(wish)
        text, token = self._made(actor, wish)
        await self._records.create(token)
        await self._audit.record(
            actor,
            "token.create",
            token.id,
            kind=token.kind.value,
            hosts=list(token.hosts),
            scopes=list(token.scopes),
        )
        return text, token

    def found(self, id_: str) -> Token:
        """A token by its id.  Raises `NotFound`."""
        token = self._directory.tokens.get(id_)
        if token is None:
            detail = f"there is no token {excerpt(id_)}"
            raise NotFound(detail, code="unknown_token", field="token")
        return token

    def all(self) -> list[Token]:
        """Every token, newest first."""
        return sorted(self._directory.tokens.values(), key=lambda each: -each.created)

    async def revoke(self, actor: Actor, id_: str) -> None:
        """End a token: whoever has it is nobody from now on."""
        token = self.found(id_)
        await self._records.delete(token)
        await self._audit.record(actor, "token.revoke", token.id, kind=token.kind.value)

    async def rotate(
        self, actor: Actor, id_: str, overlap_seconds: float = OVERLAP_SECONDS
    ) -> tuple[str, Token]:
        """Another token of the same rights; the old one holds for the overlap only.

        An enrolment token ends at once, because its uses go over.  Raises `InputError` where it
        was rotated before, or has expired.
        """
        old = self.found(id_)
        if old.heir in self._directory.tokens:
            detail = f"it was rotated already; rotate {old.heir}, or delete that one first"
            raise InputError(detail, code="rotated_already", field="token", status=409)
        if old.expires is not None and old.expires <= self._clock():
            detail = "it has expired; make another one"
            raise InputError(detail, code="token_expired", field="token", status=409)
        wish = Wish(old.kind, old.hosts, old.scopes, old.labels, old.expires, old.uses, old.note)
        text, token = self._made(actor, wish)
        await self._records.create(token)
        until = self._clock() + overlap_seconds
        ends = until if old.expires is None else min(old.expires, until)
        try:
            if overlap_seconds > 0 and old.kind is not TokenKind.ENROLL:
                changed = msgspec.structs.replace(old, expires=ends, heir=token.id)
                await self._records.update(changed)
            else:
                await self._records.delete(old)
        except Conflict:
            await self._records.delete(token)
            detail = "somebody else changed this token just now; look, and try again"
            raise InputError(detail, code="changed_meanwhile", status=409) from None
        await self._audit.record(actor, "token.rotate", old.id, new=token.id)
        return text, token

    async def enroll(self, caller: Caller, actor: Actor, host: str, agent: str = "") -> str:
        """A host's own token for an enrolment token, which is one use less.

        Where the same agent asks again soon, by the same token, it has not heard the answer: it
        gets another one, without a further use, and the former ends.  Raises a `MonitorError`:
        403 where the token may not enrol this host or is used up, 409 where the host has a token
        already.
        """
        if not is_host_name(host):
            raise InputError("this is no host's name", code="bad_host", field="host")
        if not matches(caller.hosts, host):
            detail = f"this token enrols no host called {excerpt(host)}"
            raise MonitorError(detail, code="host_mismatch", field="host", status=403)
        former = self._unheard(caller, host, agent)
        if (self.of_host(host) and former is None) or host in self._enrolling:
            detail = f"{excerpt(host)} has a token already; revoke that one first, or rotate it"
            raise InputError(detail, code="host_taken", field="host", status=409)
        self._enrolling.add(host)
        try:
            used = former or await self._use(caller)
            by = caller.credential
            wish = Wish(TokenKind.AGENT, (host,), labels=used.labels, note=f"enrolled by {by}")
            text, token = self._made(actor, wish)
            token = msgspec.structs.replace(token, enrolled_by=by, agent=agent)
            if former is not None:
                token = msgspec.structs.replace(token, created=former.created)
                await self._records.delete(former)
            await self._records.create(token)
        finally:
            self._enrolling.discard(host)
        again = {} if former is None else {"instead_of": former.id}
        await self._audit.record(actor, "token.enroll", token.id, host=host, by=by, **again)
        return text

    def _unheard(self, caller: Caller, host: str, agent: str) -> Token | None:
        """The token that this agent was given just now by the same exchange, if any.

        The ten minutes count from the first one, so that nobody renews for ever.
        """
        held = self.of_host(host)
        if not agent or len(held) != 1:
            return None
        (token,) = held
        is_same = (token.agent, token.enrolled_by) == (agent, caller.credential)
        return token if is_same and self._clock() - token.created < UNHEARD_SECONDS else None

    def of_host(self, host: str) -> list[Token]:
        """The agents' tokens of a host that have not expired, oldest first."""
        now = self._clock()
        held = [
            each
            for each in self._directory.tokens.values()
            if each.kind is TokenKind.AGENT
            and each.hosts == (host,)
            and (each.expires is None or each.expires > now)
        ]
        return sorted(held, key=lambda each: (each.created, each.id))

    async def prune(self) -> int:
        """Let go of tokens that have expired; how many."""
        now = self._clock()
        gone = [
            each
            for each in tuple(self._directory.tokens.values())
            if each.expires is not None and each.expires <= now
        ]
        for token in gone:
            await self._records.delete(token)
        return len(gone)

    async def _use(self, caller: Caller) -> Token:
        """Take one use of an enrolment token, whoever else takes one at the same time."""
        async with self._using:
            for _ in range(MOST_TRIES):
                token = self._directory.tokens.get(caller.credential)
                if token is None or (token.uses is not None and token.uses <= 0):
                    detail = "this enrolment token is used up; make another one"
                    raise MonitorError(detail, code="token_used_up", status=403)
                if token.uses is None:
                    return token
                left, now = token.uses - 1, self._clock()
                try:
                    await self._records.update(msgspec.structs.replace(token, uses=left, used=now))
                except Conflict:
                    await self._directory.look_again(key_of(token))
                else:
                    return token
        raise Unavailable("this token is changed by others just now", code="busy", retry_after=1)

    def _made(self, actor: Actor, wish: Wish) -> tuple[str, Token]:
        if len(self._directory.tokens) >= MOST_TOKENS:
            detail = "there are as many tokens as there may be"
            raise InputError(detail, code="too_many_tokens", limit=MOST_TOKENS, status=409)
        prefix = AGENT_PREFIX if wish.kind is TokenKind.AGENT else OTHER_PREFIX
        credential = make(prefix)
        token = Token(
            id=credential.id,
            hash=credential.hash,
            kind=wish.kind,
            created=self._clock(),
            by=actor.name,
            hosts=wish.hosts,
            scopes=wish.scopes,
            labels=dict(wish.labels),
            expires=wish.expires,
            uses=wish.uses,
            note=wish.note[:NOTE_CHARACTERS],
        )
        return credential.text, token

    def _require(self, wish: Wish) -> None:
        """Raise `InputError` where a token cannot be what is wished."""
        if wish.kind is TokenKind.AGENT:
            if len(wish.hosts) != 1 or not is_host_name(wish.hosts[0]):
                raise InputError("an agent's token is for one host", code="bad_host", field="host")
        else:
            require_globs(wish.hosts)
        if wish.kind is TokenKind.API and not (wish.scopes and set(wish.scopes) <= set(SCOPES)):
            detail = f"an API token has one or more of the scopes {', '.join(SCOPES)}"
            raise InputError(detail, code="bad_scope", field="scopes")
        if wish.kind is not TokenKind.API and wish.scopes:
            raise InputError("only API tokens have scopes", code="bad_scope", field="scopes")
        if wish.expires is not None and wish.expires <= self._clock():
            raise InputError("it would have expired already", code="bad_time", field="expires")
        if wish.uses is not None and not 1 <= wish.uses <= MOST_USES:
            detail = f"a token is used 1 to {MOST_USES} times"
            raise InputError(detail, code="bad_uses", field="uses", limit=MOST_USES)
        if not wish.note.isprintable():
            detail = "a note holds no control characters: terminals would obey them"
            raise InputError(detail, code="bad_text", field="note")
        if len(wish.labels) > MOST_LABELS or any(
            not each or len(each) > LABEL_CHARACTERS or not each.isprintable()
            for pair in wish.labels.items()
            for each in pair
        ):
            raise InputError("these are no labels", code="bad_labels", field="labels")
