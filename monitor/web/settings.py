"""``/settings``: one's own account and sessions; for administrators accounts and tokens too.

Everything is a form, works without script, and leads back to its page with a short message.
What a form asks for is done by the access room, which keeps the audit trail; here it is read, and
what it is about is loaded through `Objects` and nothing else.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Coroutine
from typing import Any, cast

from quart import Response, request

import monitor
from monitor.access.audit import Actor
from monitor.access.logins import Failures
from monitor.core.access import ALL_HOSTS, SCOPES, Policy, Right, Role
from monitor.errors import InputError, MonitorError
from monitor.web import settingsview, tokenforms
from monitor.web.asgi import Scope
from monitor.web.forms import sent
from monitor.web.installing import Installing
from monitor.web.login import onwards
from monitor.web.printing import Printer, wants_page
from monitor.web.query import Query
from monitor.web.routes import Route, address, asking
from monitor.web.services import Services

DONE = {
    "password": "The password is changed; all other sessions have ended.",
    "session": "The session has ended.",
    "sessions": "All other sessions have ended.",
    "created": "The account is made.",
    "role": "The role is changed.",
    "reset": "The password is set; the sessions of this account have ended.",
    "deleted": "The account is deleted.",
    "revoked": "The token is revoked.",
}
"""What is said on the page that a form leads back to."""

OVERLAP_HOURS = ("24", "1", "0")
"""How long a token that is rotated may still hold."""

_KEPT = ("name", "role", "hosts", "kind", "host", "scope", "uses", "expires", "labels", "note")
"""Fields that a form shows again where it was refused: never a password."""


class Settings:
    """The pages and what their forms do; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer, installing: Installing) -> None:
        self._services = services
        self._installing = installing
        self._office = services.door.office
        self._objects = services.objects
        self._printer = printer
        self._failures = Failures()
        own, admin, post = Policy.ACCOUNT, Policy.ADMIN, ("POST",)
        at = "/settings"
        account, token = f"{at}/accounts/<name>", f"{at}/tokens/<id_>"
        self.routes = (
            Route(at, "page_settings", self.own, own),
            Route(f"{at}/password", "own_password", self.change_password, own, post),
            Route(f"{at}/sessions", "page_sessions", self.sessions, own),
            Route(f"{at}/sessions/end-others", "end_sessions", self.end_others, own, post),
            Route(f"{at}/sessions/<id_>/end", "end_session", self.end_session, own, post),
            Route(f"{at}/about", "page_about", self.about, own),
            Route(f"{at}/accounts", "page_accounts", self.accounts, admin),
            Route(f"{at}/accounts", "create_account", self.create_account, admin, post),
            Route(account, "page_account", self.account, admin),
            Route(f"{account}/role", "set_role", self.set_role, admin, post),
            Route(f"{account}/password", "set_password", self.set_password, admin, post),
            Route(f"{account}/delete", "delete_account", self.delete_account, admin, post),
            Route(f"{at}/tokens", "page_tokens", self.tokens, admin),
            Route(f"{at}/tokens", "create_token", self.create_token, admin, post),
            Route(f"{token}/rotate", "rotate_token", self.rotate_token, admin, post),
            Route(f"{token}/revoke", "revoke_token", self.revoke_token, admin, post),
        )

    # One's own

    async def own(self) -> Response:
        """One's own account; on an open server, the form that ends the openness."""
        return self._own()

    def _own(self, error: MonitorError | None = None, fields: Query | None = None) -> Response:
        account = self._office.directory.accounts.get(asking().name)
        row = settingsview.account_row(account, asking(), 0) if account else None
        return self._page("settings_own.html", "own", error, fields, own=row)

    async def change_password(self) -> Response:
        """Change one's own password; this session stays, the others end."""

        async def work() -> None:
            fields = await sent("old", "new", "again")
            caller = asking()
            if not caller.is_person:
                raise _not_a_person()
            old, new = fields.text("old") or "", fields.text("new") or ""
            _require_same(new, fields.text("again"))
            keys, now = (f"user:{caller.name}",), time.monotonic()
            wait = self._failures.wait_seconds(keys, now)
            if wait > 0:
                detail = "too many attempts; wait a little, and try again"
                retry = math.ceil(wait)
                raise MonitorError(detail, code="too_many_requests", status=429, retry_after=retry)
            self._failures.add(keys, now)
            try:
                await self._office.accounts.change_own_password(
                    self._actor(), caller.name, old, new, caller.credential
                )
            except MonitorError as error:
                if error.code != "wrong_password":
                    self._failures.withdraw(keys, now)
                raise
            self._failures.withdraw(keys, now)

        try:
            await work()
        except MonitorError as error:
            _require_page(error)
            return self._own(error)
        return _done("/settings", "password")

    async def sessions(self) -> Response:
        """Where one is logged in; for administrators, who is."""
        listed = settingsview.sessions(self._office, asking(), self._services.clock())
        return self._page("settings_sessions.html", "sessions", listed=listed)

    async def end_session(self, id_: str) -> Response:
        """End one session."""
        session = self._objects.session(asking(), id_)
        await self._office.accounts.end_session(self._actor(), session.id)
        return _done("/settings/sessions", "session")

    async def end_others(self) -> Response:
        """End every session of one's own but this one."""
        caller = asking()
        if not caller.is_person:
            raise _not_a_person()
        await self._office.accounts.end_others(self._actor(), caller.name, caller.credential)
        return _done("/settings/sessions", "sessions")

    async def about(self) -> Response:
        """What runs here."""
        scope = cast("Scope", request.scope)
        server = scope.get("server")
        facts = {
            "Version": monitor.__version__,
            "Python": platform.python_version(),
            "Listening on": _place(server) if server else "unknown",
            "Encrypted": "yes (HTTPS)" if scope["scheme"] == "https" else "no (HTTP)",
            "Open": "yes: no account exists" if self._services.door.is_open else "no",
        }
        if asking().sees(self._services.host):
            facts["Host"] = self._services.host
        if Right.ADMIN in asking().rights:
            facts |= self._services.about
        return self._page("settings_about.html", "about", facts=facts)

    # Accounts

    async def accounts(self) -> Response:
        """Who may log in."""
        return self._accounts()

    def _accounts(self, error: MonitorError | None = None, fields: Query | None = None) -> Response:
        listed = settingsview.accounts(self._office, asking(), self._services.clock())
        return self._page("settings_accounts.html", "accounts", error, fields, listed=listed)

    async def create_account(self) -> Response:
        """Make an account; the first one is an administrator, and ends the openness."""
        fields: Query | None = None
        was_open = self._services.door.is_open
        try:
            fields = await sent("name", "role", "password", "again", "hosts")
            role = _role(fields)
            if was_open and role is not Role.ADMIN:
                detail = "the first account is an administrator's: else nobody could make others"
                raise InputError(detail, code="first_account", field="role")
            password = fields.text("password") or ""
            _require_same(password, fields.text("again"))
            hosts = tokenforms.words(fields.text("hosts")) or ALL_HOSTS
            name = fields.text("name") or ""
            await self._office.accounts.create(self._actor(), name, role, password, hosts)
        except MonitorError as error:
            _require_page(error)
            return self._own(error, fields) if was_open else self._accounts(error, fields)
        return onwards("/login") if was_open else _done("/settings/accounts", "created")

    async def account(self, name: str) -> Response:
        """One account, and what may be done with it."""
        return self._account(name)

    def _account(self, name: str, error: MonitorError | None = None) -> Response:
        account = self._objects.account(asking(), name)
        count = len(self._office.accounts.sessions_of(account.name))
        row = settingsview.account_row(account, asking(), count)
        return self._page("settings_account.html", "accounts", error, account=row)

    async def set_role(self, name: str) -> Response:
        """Give an account another role."""

        async def work(account: str) -> None:
            role = _role(await sent("role"))
            await self._office.accounts.set_role(self._actor(), account, role)

        account = self._objects.account(asking(), name).name
        return await self._changed(account, work(account), "role")

    async def set_password(self, name: str) -> Response:
        """Give somebody else another password; one's own takes the present one."""

        async def work(account: str) -> None:
            fields = await sent("password")
            if asking().is_person and asking().name == account:
                detail = "your own password is changed on the page of your account"
                raise InputError(detail, code="own_account", field="password", status=403)
            password = fields.text("password") or ""
            await self._office.accounts.set_password(self._actor(), account, password)

        account = self._objects.account(asking(), name).name
        return await self._changed(account, work(account), "reset")

    async def delete_account(self, name: str) -> Response:
        """Remove an account and its sessions."""
        account = self._objects.account(asking(), name).name
        work = self._office.accounts.delete(self._actor(), account)
        return await self._changed(account, work, "deleted", "/settings/accounts")

    async def _changed(
        self, name: str, work: Coroutine[Any, Any, None], done: str, to: str = ""
    ) -> Response:
        try:
            await work
        except MonitorError as error:
            _require_page(error)
            return self._account(name, error)
        return _done(to or f"/settings/accounts/{name}", done)

    # Tokens

    async def tokens(self) -> Response:
        """What machines come in with."""
        return self._tokens()

    def _tokens(
        self,
        error: MonitorError | None = None,
        fields: Query | None = None,
        handed: tokenforms.Handed | None = None,
        rotated: str = "",
    ) -> Response:
        listed = settingsview.tokens(self._office, self._services.clock())
        return self._page(
            "settings_tokens.html",
            "tokens",
            error,
            fields,
            listed=listed,
            handed=handed,
            rotated=rotated,
            scopes=SCOPES,
        )

    async def create_token(self) -> Response:
        """Make a token; it is shown on this answer, and never again."""
        fields: Query | None = None
        try:
            fields = await sent(*tokenforms.FIELDS)
            wish = tokenforms.wish(fields, self._services.clock())
            text, made = await self._office.tokens.create(self._actor(), wish)
        except MonitorError as error:
            _require_page(error)
            return self._tokens(error, fields)
        return self._tokens(handed=tokenforms.handed(text, made, *await self._installing.place()))

    async def rotate_token(self, id_: str) -> Response:
        """Make another one of the same rights; the old one holds for a while."""
        token = self._objects.token(asking(), id_)
        try:
            fields = await sent("overlap")
            hours = int(fields.choice("overlap", OVERLAP_HOURS))
            text, made = await self._office.tokens.rotate(self._actor(), token.id, hours * 3_600.0)
        except MonitorError as error:
            _require_page(error)
            return self._tokens(error)
        return self._tokens(
            handed=tokenforms.handed(text, made, *await self._installing.place()), rotated=token.id
        )

    async def revoke_token(self, id_: str) -> Response:
        """End a token."""
        token = self._objects.token(asking(), id_)
        await self._office.tokens.revoke(self._actor(), token.id)
        return _done("/settings/tokens", "revoked")

    # All of them

    def _page(
        self,
        template: str,
        section: str,
        error: MonitorError | None = None,
        fields: Query | None = None,
        **context: object,
    ) -> Response:
        response = self._printer.page(
            template,
            200 if error is None else error.status,
            section=section,
            trouble=error.detail if error else "",
            done=DONE.get(request.args.get("done", ""), ""),
            values={name: (fields and fields.text(name)) or "" for name in _KEPT},
            **context,
        )
        if error is not None and error.retry_after is not None:
            response.headers["Retry-After"] = f"{error.retry_after:.0f}"
        return response

    def _actor(self) -> Actor:
        return Actor(asking().said, address())


def _done(to: str, what: str) -> Response:
    return onwards(f"{to}?done={what}")


def _require_page(error: MonitorError) -> None:
    """Raise an error again that is better told elsewhere: ours, or to a program."""
    if error.status >= 500 or not wants_page():
        raise error


def _role(fields: Query) -> Role:
    try:
        return Role(fields.text("role"))
    except ValueError:
        detail = f"a role is one of {', '.join(role.value for role in Role)}"
        raise InputError(detail, code="bad_param", field="role") from None


def _require_same(password: str, again: str | None) -> None:
    if again is not None and again != password:
        detail = "the new password was not typed the same both times"
        raise InputError(detail, code="passwords_differ", field="again")


def _not_a_person() -> MonitorError:
    return MonitorError("this is for people who have logged in", code="forbidden", status=403)


def _place(server: tuple[str, int | None]) -> str:
    host, port = server
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"
