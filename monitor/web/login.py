"""``/login`` and ``/logout``: how a person comes in with a browser, and leaves.

Whatever is wrong with a name and a password, the answer is the same words after the same work.
An attempt counts as a failure from the moment that it is looked at until it has come in, so that
many at the same time are no more than the limit either.
"""

from __future__ import annotations

import math
import time
from typing import cast

from quart import Response, request

from monitor.access.audit import Actor
from monitor.access.logins import Failures
from monitor.access.passwords import MOST_CHARACTERS
from monitor.core.access import NOBODY, Caller, CallerKind, Policy
from monitor.errors import InputError, MonitorError, excerpt
from monitor.web.asgi import Scope
from monitor.web.cookies import clearing, setting
from monitor.web.devices import device
from monitor.web.forms import safe_next, sent
from monitor.web.places import counted
from monitor.web.printing import Printer, wants_page
from monitor.web.problems import CHALLENGE
from monitor.web.routes import Route, address, asking
from monitor.web.services import Services

LONGEST_NAME = 64
"""Characters of a name; no account has more."""

UNKNOWN = "(unknown name)"
"""What the audit trail says of a name that no account has."""


class Login:
    """The two addresses; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer) -> None:
        self._door = services.door
        self._office = services.door.office
        self._printer = printer
        self._failures = Failures()
        self.routes = (
            Route("/login", "page_login", self.ask, Policy.PUBLIC),
            Route("/login", "login", self.log_in, Policy.PUBLIC, ("POST",)),
            Route("/logout", "logout", self.log_out, Policy.PUBLIC, ("POST",)),
        )

    async def ask(self) -> Response:
        """The form; who is logged in already goes on."""
        after = safe_next(request.args.get("next"))
        if asking().is_person:
            return onwards(after)
        return self._page(200, after)

    async def log_in(self) -> Response:
        """Open a session where name and password are right; one from before ends."""
        after, name = "/", ""
        try:
            fields = await sent("username", "password", "next", "remember")
            after = safe_next(fields.text("next"))
            name = fields.text("username") or ""
            password = fields.text("password") or ""
            _require_possible(name, password)
            cookie = await self._cookie(
                name, password, remember=fields.text("remember") is not None, before=asking()
            )
        except MonitorError as error:
            if error.status >= 500 or not wants_page():
                raise
            return self._refused(error, after, name)
        response = onwards(after)
        response.headers.add("Set-Cookie", cookie)
        return response

    async def log_out(self) -> Response:
        """End the session, if there is one; the browser forgets its cookie."""
        caller = asking()
        if caller.is_person and caller.credential in self._office.directory.sessions:
            actor = Actor(caller.said, address())
            await self._office.accounts.end_session(actor, caller.credential)
        response = onwards("/" if caller.kind is CallerKind.OPEN else "/login")
        response.headers.add("Set-Cookie", clearing(_scheme()))
        return response

    async def _cookie(self, name: str, password: str, *, remember: bool, before: Caller) -> str:
        """The cookie of a session that was opened.  Raises a `MonitorError`: 401, 429."""
        here, now = address(), time.monotonic()
        user = f"user:{name.lower()}"
        keys = (user, f"address:{counted(here)}")
        wait = self._failures.wait_seconds(keys, now)
        if wait > 0:
            detail = "too many attempts to log in; wait a little, and try again"
            retry = math.ceil(wait)
            raise MonitorError(detail, code="too_many_requests", status=429, retry_after=retry)
        self._failures.add(keys, now)
        try:
            found = await self._office.accounts.log_in(
                name,
                password,
                remember=remember,
                address=here,
                agent=device(request.headers.get("User-Agent", "")),
            )
        except BaseException:
            self._failures.withdraw(keys, now)
            raise
        if found is None:
            # What is nobody's name may be a password, typed into the wrong field.
            is_known = name.lower() in self._office.directory.accounts
            target = excerpt(name) if is_known else UNKNOWN
            await self._door.report(NOBODY, here, "login", target)
            detail = "this name and password do not belong together"
            raise MonitorError(detail, code="login_failed", status=401)
        self._failures.withdraw(keys, now)
        self._failures.forget(user)
        text, session = found
        if before.is_person and before.credential in self._office.directory.sessions:
            actor = Actor(before.said, here)
            await self._office.accounts.end_session(actor, before.credential)
        seconds = session.expires - session.created if remember else None
        return setting(_scheme(), text, seconds)

    def _refused(self, error: MonitorError, after: str, name: str) -> Response:
        response = self._page(error.status, after, error.detail, name)
        if error.retry_after is not None:
            response.headers["Retry-After"] = f"{error.retry_after:.0f}"
        if error.status == 401:
            response.headers["WWW-Authenticate"] = CHALLENGE["www-authenticate"]
        return response

    def _page(self, status: int, after: str, trouble: str = "", name: str = "") -> Response:
        return self._printer.page(
            "login.html",
            status,
            after=after,
            trouble=trouble,
            name=name[:LONGEST_NAME],
            has_account=self._office.directory.has_account,
        )


def onwards(to: str) -> Response:
    """Done: see there."""
    return Response(b"", status=303, headers={"Location": to, "Cache-Control": "no-store"})


def _scheme() -> str:
    scheme: str = cast("Scope", request.scope)["scheme"]
    return scheme


def _require_possible(name: str, password: str) -> None:
    """Raise an `InputError` for what no name or password can be, before anything is hashed."""
    for text, field, most in (
        (name, "username", LONGEST_NAME),
        (password, "password", MOST_CHARACTERS),
    ):
        if not text:
            raise InputError(f"the {field} is missing", code="missing_field", field=field)
        if len(text) > most:
            detail = f"the {field} is longer than any {field} here"
            raise InputError(detail, code="too_long", field=field, limit=most)
        if not text.isprintable():
            detail = f"the {field} holds control characters"
            raise InputError(detail, code="bad_text", field=field)
