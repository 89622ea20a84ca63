"""The door: who makes a request, and whether the route is open to them.

Every route declares a `Policy`; the door makes a `Caller` of a request's bearer token or session
cookie, once, and leaves it in the scope, from where `caller_of` gives it to whoever answers.  What
is opened for long, a stream, is held here too: when an account, a session or a token changes, the
door asks again what its caller may do today, and ends it where that is no longer the same.

The server is *open* while no account exists and only loopback can reach it: then everybody is
administrator.  It knows nothing of pages, and does not read bodies.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Hashable

from monitor.access.audit import Actor
from monitor.access.office import Office
from monitor.core.access import (
    NOBODY,
    OPEN,
    OPEN_BY_OLD_HTTP,
    Caller,
    CallerKind,
    Policy,
    Right,
    TokenKind,
)
from monitor.core.rates import Rates
from monitor.errors import MonitorError, excerpt
from monitor.stream.hub import EventPublisher
from monitor.stream.reader import SSEClient
from monitor.web.asgi import Scope
from monitor.web.places import counted

SECURE_COOKIE = "__Host-monitor_session"
"""Over HTTPS.  Its prefix has the browser refuse it from anywhere but this very host."""

PLAIN_COOKIE = "monitor_session"
"""Over plain HTTP, which only loopback speaks."""

SWEEP_SECONDS = 0.5
"""How often held streams are looked at for credentials that have expired."""

PUSHES_A_SECOND, PUSH_BURST = 100.0, 1_000.0
"""Of one token.  Far above an honest agent that brings back a day, some ten a second."""

INGESTS_A_SECOND, INGEST_BURST = 2_000.0, 20_000.0
"""Of one token that many hosts share; each of those has a bound of its own besides."""

REQUESTS_A_SECOND, REQUEST_BURST = 50.0, 400.0
"""Of one session or token, everything else.  A page takes a few."""

REPORTS_A_SECOND, REPORT_BURST = 1 / 20, 5.0
"""Refusals of one caller that get into the audit trail."""

MOST_CALLERS = 20_000
"""Callers whose rates are remembered."""

_CALLER = "monitor.caller"
_BY_COOKIE = "monitor.by_cookie"


def caller_of(scope: Scope) -> Caller:
    """Who makes a request that has passed the door."""
    found: Caller = scope[_CALLER]
    return found


def came_by_cookie(scope: Scope) -> bool:
    """Whether a browser sent the credential by itself: such requests must prove their origin."""
    return bool(scope.get(_BY_COOKIE))


class Door:
    """One server's."""

    def __init__(
        self,
        office: Office,
        hub: EventPublisher,
        clock: Callable[[], float],
        *,
        is_loopback: bool = True,
    ) -> None:
        self.office = office
        self._directory = office.directory
        self._hub = hub
        self._clock = clock
        self._is_loopback = is_loopback
        self._held: dict[Hashable, tuple[Caller, Callable[[], None]]] = {}
        self._key = secrets.token_bytes(32)
        self._pushes = Rates(PUSHES_A_SECOND, PUSH_BURST, MOST_CALLERS)
        self._ingests = Rates(INGESTS_A_SECOND, INGEST_BURST, MOST_CALLERS)
        self._reports = Rates(REPORTS_A_SECOND, REPORT_BURST, MOST_CALLERS)
        self._requests = Rates(REQUESTS_A_SECOND, REQUEST_BURST, MOST_CALLERS)
        self.refused_total: dict[str, int] = {}
        """Refusals by code."""
        office.directory.changed.append(self.look_again)
        hub.on_disconnect(self.let_go)

    @property
    def is_open(self) -> bool:
        """Whether everybody is administrator."""
        return self._is_loopback and not self._directory.has_account

    def admit(self, scope: Scope, policy: Policy) -> Caller:
        """The caller of a request to a route of this policy, also left in its scope.

        Raises a `MonitorError`: 401 where a credential is wrong, or lacks; 403 where it is not
        for this; 429 where it came too often.
        """
        try:
            caller = scope[_CALLER] = self._caller(scope, policy)
            self._require(caller, policy)
        except MonitorError as error:
            self.refused_total[error.code] = self.refused_total.get(error.code, 0) + 1
            raise
        return caller

    def require_still(self, scope: Scope) -> None:
        """Raise a 401 where whoever was admitted is not what they were then.

        A body may take its time; who was revoked meanwhile does nothing with it any more.
        """
        caller = caller_of(scope)
        if self._today(caller) != caller:
            code = "auth_required"
            self.refused_total[code] = self.refused_total.get(code, 0) + 1
            detail = "what this request came in with holds no more; it was changed meanwhile"
            raise MonitorError(detail, code=code, status=401)

    async def report(self, caller: Caller, address: str, action: str, target: str) -> None:
        """Leave in the audit trail that somebody was refused; a few times a minute each."""
        if self._reports.take(caller.credential or counted(address), time.monotonic()) > 0:
            return
        await self.office.audit.record(Actor(caller.said, address), action, target, "refused")

    async def report_refusal(self, scope: Scope, error: MonitorError) -> None:
        """The same of a request; only of somebody who is known, and may not."""
        caller: Caller | None = scope.get(_CALLER)
        if error.status == 403 and caller is not None and caller.credential:
            client = scope.get("client")
            target = f"{scope['method']} {excerpt(scope['path'])}"
            await self.report(caller, str(client[0]) if client else "", error.code, target)

    def form_token(self, caller: Caller) -> str:
        """What a form of ours carries, and no other site's page can know."""
        session = self._directory.sessions.get(caller.credential)
        key = session.hash.encode() if session else self._key
        return hmac.new(key, b"form", hashlib.sha256).hexdigest()

    def require_form_token(self, caller: Caller, text: str | None) -> None:
        """Raise a 403 unless a form carries its caller's token."""
        right = self.form_token(caller).encode()
        if text is None or not hmac.compare_digest(right, text.encode("utf-8", "replace")):
            detail = "this form is not of this session; load the page again, and send it anew"
            raise MonitorError(detail, code="csrf", field="form_token", status=403)

    # What stays open

    def hold(self, caller: Caller, client: SSEClient) -> None:
        """A stream is open for a caller: it ends when that may no longer be."""
        self.hold_open(caller, client, lambda: self._hub.end(client, "revoked"))

    def hold_open(self, caller: Caller, what: Hashable, end: Callable[[], None]) -> None:
        """The same of anything else that stays open, until `let_go`; `end` ends it."""
        self._held[what] = caller, end
        if self._today(caller) != caller:
            end()

    def look_again(self) -> None:
        """End everything that is open whose caller is not what it was."""
        today: dict[Caller, Caller | None] = {}
        for caller, end in tuple(self._held.values()):
            if caller not in today:
                today[caller] = self._today(caller)
            if today[caller] != caller:
                end()

    async def watch(self) -> None:
        """End what has expired, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.look_again()

    def _today(self, caller: Caller) -> Caller | None:
        if caller.kind is CallerKind.OPEN:
            return caller if self.is_open else None
        return self._directory.today(caller, self._clock())

    def let_go(self, what: Hashable) -> None:
        """It is open no longer."""
        self._held.pop(what, None)

    # Who comes

    def _caller(self, scope: Scope, policy: Policy) -> Caller:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        given = [value for name, value in headers if name == b"authorization"]
        if given and policy is not Policy.PUBLIC:
            return self._machine(given)
        cookie = _cookie(headers, SECURE_COOKIE if scope["scheme"] == "https" else PLAIN_COOKIE)
        if cookie is not None:
            person = self._directory.by_cookie(cookie, self._clock())
            if person is not None:
                scope[_BY_COOKIE] = True
                return person
        if not self.is_open:
            return NOBODY
        return OPEN_BY_OLD_HTTP if scope.get("http_version") == "1.0" else OPEN

    def _machine(self, given: list[bytes]) -> Caller:
        scheme, _, text = given[0].decode("latin-1").strip().partition(" ")
        caller = None
        if len(given) == 1 and scheme.lower() == "bearer":
            caller = self._directory.by_token(text.strip(), self._clock())
        if caller is None:
            detail = "this is no token of this server's, or one that has expired or was revoked"
            raise MonitorError(detail, code="auth_required", status=401)
        return caller

    def _require(self, caller: Caller, policy: Policy) -> None:
        if not caller.may(policy):
            if caller.kind is CallerKind.NOBODY:
                detail = "log in, or send a token: Authorization: Bearer TOKEN"
                raise MonitorError(detail, code="auth_required", status=401)
            raise MonitorError(_why_not(caller, policy), code="forbidden", status=403)
        if caller.credential and policy is not Policy.PUBLIC:
            self._count(caller)

    def _count(self, caller: Caller) -> None:
        self.office.usage.touch(caller.credential, self._clock())
        rates = self._requests
        if caller.token is TokenKind.AGENT:
            rates = self._pushes
        elif caller.token is TokenKind.INGEST:
            rates = self._ingests
        wait = rates.take(caller.credential, time.monotonic())
        if wait > 0:
            detail = "too many requests with this credential; come again a little later"
            raise MonitorError(detail, code="too_many_requests", status=429, retry_after=wait + 1)


_SENDERS = frozenset({TokenKind.AGENT, TokenKind.INGEST})


def _why_not(caller: Caller, policy: Policy) -> str:
    if caller.token in _SENDERS:
        return "this token writes hosts, and reads nothing"
    if policy.right is Right.PUSH:
        return "frames are pushed with an agent's token, or one made with --ingest"
    if policy.right is Right.ACCOUNT:
        return "this is for people who have logged in"
    needed = policy.right.value if policy.right else ""
    return f"this takes the right to {needed}, which this login or token has not got"


def _cookie(headers: list[tuple[bytes, bytes]], name: str) -> str | None:
    """The value of one cookie.  Two of one name are none: one of them is somebody else's."""
    prefix = f"{name}="
    found = [
        pair.strip().removeprefix(prefix)
        for header, value in headers
        if header == b"cookie"
        for pair in value.decode("latin-1").split(";")
        if pair.strip().startswith(prefix)
    ]
    return found[0] if len(found) == 1 else None
