"""The one place where a request's objects are found: hosts, alerts, silences, sessions, tokens.

It says of what the caller may not see exactly what it says of what there is not, so that nobody
learns what exists by asking for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from monitor.access.office import Office
from monitor.access.records import Account, Session, Token
from monitor.core.access import Caller, Right
from monitor.core.book import Alert, Book
from monitor.core.selectors import Selector
from monitor.core.state import HostState, LiveState
from monitor.errors import InputError, NotFound, excerpt
from monitor.fleet.fleet import Fleet, Refusal
from monitor.notify.confining import is_confined
from monitor.notify.silence import Silence
from monitor.notify.silences import Silences, unknown


class OfHost(Protocol):
    """Something that is of one host."""

    @property
    def host(self) -> str:
        """Its name."""


_Of = TypeVar("_Of", bound=OfHost)


class Objects:
    """What callers may see of the live state and of the office's records."""

    def __init__(self, state: LiveState, office: Office, fleet: Fleet) -> None:
        self._state = state
        self._office = office
        self._fleet = fleet

    def host(self, caller: Caller, name: str) -> HostState:
        """A host in an address.  Raises `NotFound`."""
        found = self._host(caller, name)
        if found is None:
            raise NotFound(_no_host(name), code="unknown_host", field="host")
        return found

    def asked_host(self, caller: Caller, name: str) -> HostState:
        """A host in a query.  Raises `InputError`."""
        found = self._host(caller, name)
        if found is None:
            raise InputError(_no_host(name), code="unknown_host", field="host")
        return found

    def hosts(self, caller: Caller) -> list[HostState]:
        """Every host that is seen, in the order in which they came."""
        known = self._state.hosts.values()
        if caller.view.sees_all_hosts:
            return list(known)
        return [host for host in known if caller.sees(host.name)]

    def refusals(self, caller: Caller) -> list[Refusal]:
        """Who was turned away lately of the hosts that are seen, the latest first."""
        return [each for each in reversed(self._fleet.refusals) if caller.sees(each.host)]

    def of_hosts(self, caller: Caller, found: Iterable[_Of]) -> list[_Of]:
        """Those that are of hosts that are seen, in their order: alerts, and what pends."""
        if caller.view.sees_all_hosts:
            return list(found)
        return [each for each in found if caller.sees(each.host)]

    def alert(self, caller: Caller, book: Book, id_: str) -> Alert:
        """An alert that is remembered, of a host that is seen.  Raises `NotFound`."""
        found = book.get(id_)
        if found is None or not caller.sees(found.host):
            raise NotFound("there is no such alert", code="unknown_alert", field="alert")
        return found

    def silence(self, caller: Caller, silences: Silences, id_: str) -> Silence:
        """A silence that may be seen.  Raises `NotFound`."""
        found = silences.get(id_)
        if found is None or not self.sees_silence(caller, found):
            raise unknown()
        return found

    def silences(self, caller: Caller, silences: Silences) -> list[Silence]:
        """Those that may be seen."""
        return [each for each in silences.all() if self.sees_silence(caller, each)]

    def sees_silence(self, caller: Caller, silence: Silence) -> bool:
        """Whether a silence may be seen: it names no host that may not."""
        return caller.view.sees_all_hosts or is_confined(silence.match, caller.hosts)

    def require_silenceable(self, caller: Caller, match: Selector) -> None:
        """Raise a 403 where a selector might take what is of hosts that are not seen."""
        if caller.view.sees_all_hosts or is_confined(match, caller.hosts):
            return
        globs = excerpt(", ".join(caller.hosts))
        detail = f"this login sees {globs} only: name hosts within that, as in host=NAME"
        raise InputError(detail, code="hosts_required", field="match", status=403)

    def session(self, caller: Caller, id_: str) -> Session:
        """A session: one's own, or any for an administrator.  Raises `NotFound`."""
        found = self._office.directory.sessions.get(id_)
        if found is None or not _is_own(caller, found.account):
            raise NotFound("there is no such session", code="unknown_session", field="session")
        return found

    def account(self, caller: Caller, name: str) -> Account:
        """An account: one's own, or any for an administrator.  Raises `NotFound`."""
        found = self._office.directory.accounts.get(name.lower())
        if found is None or not _is_own(caller, found.name):
            detail = f"there is no account {excerpt(name)}"
            raise NotFound(detail, code="unknown_account", field="name")
        return found

    def token(self, caller: Caller, id_: str) -> Token:
        """A token, for an administrator.  Raises `NotFound`."""
        found = self._office.directory.tokens.get(id_)
        if found is None or Right.ADMIN not in caller.rights:
            raise NotFound("there is no such token", code="unknown_token", field="token")
        return found

    def _host(self, caller: Caller, name: str) -> HostState | None:
        found = self._state.hosts.get(name)
        return found if found is not None and caller.sees(name) else None


def _no_host(name: str) -> str:
    return f"there is no host {excerpt(name)}"


def _is_own(caller: Caller, account: str) -> bool:
    return Right.ADMIN in caller.rights or (caller.is_person and caller.name == account)
