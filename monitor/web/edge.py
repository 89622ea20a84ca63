"""The edge: what every request must pass, and what every response carries when it leaves.

It is plain ASGI around the application, so that nothing behind it can forget it: Host allow
list, no body where none belongs, no change by another site's page, security headers on
everything, one log line for every request that failed.  That a request is well framed and within
bounds was seen before, on its bytes (`monitor.web.framing`).  What
proxies say of a request is believed or taken off here, so that behind the edge a scope's client,
scheme and Host are what they were at the outermost listed proxy; its ``monitor.peer`` is who
really is at the other end of the connection.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterable

import structlog

from monitor.core.rates import Rates
from monitor.errors import excerpt
from monitor.web.asgi import Application, Message, Receive, Scope, Send, answer
from monitor.web.crosssite import is_foreign
from monitor.web.forwarded import Proxies, is_forwarded
from monitor.web.listening import FIRST_ACCOUNT
from monitor.web.places import counted
from monitor.web.problems import CONTENT_TYPE, Problem, of_status
from monitor.web.security import SECURITY_HEADERS, TRANSPORT_SECURITY

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that some route may answer; all others are refused here."""

PROBES = frozenset({"/healthz", "/readyz"})
"""Paths that tell no secret and take none: whatever watches over the server may ask directly."""

LINES_A_SECOND, LINE_BURST = 2.0, 100.0
"""Of one address, in the log, about requests that failed: a flood of them fills no disk."""

ALL_LINES_A_SECOND, ALL_LINE_BURST = 20.0, 1_000.0
"""The same of all addresses, of which one attacker may have many."""

MOST_ADDRESSES = 10_000
"""Addresses whose lines are counted."""

_EVERYBODY = "*"

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::([0-9]{1,5}))?", re.ASCII)


class Edge:
    """Wraps an ASGI application.  `allowed_hosts` are host names without port.

    Loopback addresses and ``localhost`` are always allowed, on any port, so that an SSH tunnel
    works; everything else must be named.
    """

    def __init__(
        self,
        application: Application,
        allowed_hosts: Iterable[str],
        proxies: Proxies | None = None,
    ) -> None:
        self._application = application
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._proxies = proxies or Proxies()
        self._log = structlog.stdlib.get_logger("monitor.web")
        self._lines = Rates(LINES_A_SECOND, LINE_BURST, MOST_ADDRESSES)
        self._all_lines = Rates(ALL_LINES_A_SECOND, ALL_LINE_BURST, 1)
        self._unsaid = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await _refuse_websocket(send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _completed(message.get("headers", ()), _is_lasting(scope))
            await send(message)

        problem, close = self._refusal(scope)
        if problem is not None:
            await _answer(sending, problem, close=close, head=scope["method"] == "HEAD")
        else:
            await self._serve_whoever_stays(scope, receive, sending)
        if status >= 400:
            self._say(scope, status, time.perf_counter() - started)

    def _say(self, scope: Scope, status: int, seconds: float) -> None:
        """Leave a line about a request that failed, and how many had none before."""
        now, client = time.monotonic(), scope["client"]
        address = counted(client[0]) if client else ""
        if self._lines.take(address, now) > 0 or self._all_lines.take(_EVERYBODY, now) > 0:
            self._unsaid += 1
            return
        more = {"unsaid": self._unsaid} if self._unsaid else {}
        self._unsaid = 0
        self._log.log(
            40 if status >= 500 else 20,
            "request failed",
            method=excerpt(scope["method"]),
            path=excerpt(scope["path"]),
            status=status,
            seconds=round(seconds, 4),
            **more,
        )

    async def _serve_whoever_stays(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; a peer that leaves midway is no error of anybody's.

        Quart from 0.23 on says so by an exception, in a group with nothing else.
        """
        try:
            await self._application(scope, receive, send)
        except BaseExceptionGroup as group:
            _, others = group.split(_peer_left)
            if others is not None:
                raise others from None

    def _refusal(self, scope: Scope) -> tuple[Problem | None, bool]:
        """Why this request goes no further, and whether its connection must end."""
        if (problem := self._believe(scope)) is not None:
            return problem, True
        headers = scope["headers"]
        if (problem := self._bad_host(headers)) is not None:
            return problem, False
        if scope["method"] not in METHODS:
            return of_status(405), True
        if is_foreign(scope["method"], scope["scheme"], headers, self._proxies.public_url):
            detail = "another site's page made this request; only our own pages may"
            return of_status(403, detail, "csrf"), True
        return _bad_body(scope["method"], headers)

    def _believe(self, scope: Scope) -> Problem | None:
        """Take what listed proxies say into the scope, and what all others say out of it.

        While whoever connects is administrator there is no proxy to be believed: everybody
        behind it would be.  Where a proxy speaks TLS for us nobody comes past it.
        """
        peer = scope["client"]
        scope["monitor.peer"] = peer
        if self._proxies.is_open() and is_forwarded(scope["headers"]):
            detail = (
                "this request came through a proxy, and while there is no account everybody "
                f"behind it would be administrator; make one first: {FIRST_ACCOUNT}"
            )
            return of_status(403, detail, "forwarded_while_open")
        address = peer[0] if peer else ""
        seen = self._proxies.seen(address, scope["scheme"], scope["headers"])
        scope["headers"], scope["scheme"] = seen.headers, seen.scheme
        if seen.address != address:
            scope["client"] = (seen.address, 0)
        if seen.scheme == "https" or is_loopback(address) or self._proxies.trusts(address):
            return None
        if scope["path"] in PROBES:
            return None
        detail = (
            "this server takes plain HTTP only from its proxies, because passwords and tokens "
            "would be read on the way; come through the proxy"
        )
        return of_status(403, detail, "tls_required")

    def _bad_host(self, headers: list[tuple[bytes, bytes]]) -> Problem | None:
        hosts = [value for name, value in headers if name == b"host"]
        text = hosts[0].decode("latin-1").lower()  # there is one: `monitor.web.framing` has seen it
        found = _HOST.fullmatch(text)
        if found is None or (found[2] is not None and not 0 < int(found[2]) < 65_536):
            return of_status(400, "the Host header is not a host and a port", "bad_host")
        host = found[1]
        if host in self._allowed or is_loopback(host):
            return None
        detail = (
            f"this server does not answer to the name {excerpt(host)}; "
            "add it to [server] allowed_hosts"
        )
        return of_status(421, detail)


def _peer_left(error: BaseException) -> bool:
    return type(error).__name__ == "ClientDisconnectedError"  # Quart 0.22 has no such class


def is_loopback(host: str) -> bool:
    """Whether a Host header's name is this machine's own: localhost or a loopback address."""
    if host in {"localhost", "localhost."}:
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # [::ffff:127.0.0.1]
    return (mapped or address).is_loopback


def _is_lasting(scope: Scope) -> bool:
    """Whether browsers are to remember that a request's host speaks TLS.

    Loopback names are everybody's, and behind an SSH tunnel they are another machine's.
    """
    if scope["scheme"] != "https":
        return False
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    found = _HOST.fullmatch(host.decode("latin-1").lower())
    return found is not None and not is_loopback(found[1])


def _bad_body(method: str, headers: list[tuple[bytes, bytes]]) -> tuple[Problem | None, bool]:
    lengths = [value for name, value in headers if name == b"content-length"]
    encoded = any(name == b"transfer-encoding" for name, _ in headers)
    if method in {"GET", "HEAD"} and (encoded or any(value.strip(b"0") for value in lengths)):
        return of_status(400, f"a {method} request has no body", "unexpected_body"), True
    return None, False


def _completed(
    headers: Iterable[tuple[bytes, bytes]], is_lasting: bool = False
) -> list[tuple[bytes, bytes]]:
    """A response's headers with ours added where they are missing."""
    found = [(bytes(name), bytes(value)) for name, value in headers]
    names = {name.lower() for name, _ in found}
    found += [(name, value) for name, value in SECURITY_HEADERS if name not in names]
    if b"cache-control" not in names:
        found.append((b"cache-control", b"no-store"))
    if is_lasting:
        found.append(TRANSPORT_SECURITY)
    return found


async def _refuse_websocket(send: Send) -> None:
    body = of_status(404, "there is no WebSocket here").encoded()
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    start = "websocket.http.response.start"
    await send({"type": start, "status": 404, "headers": _completed(headers)})
    await send({"type": "websocket.http.response.body", "body": body})


async def _answer(send: Send, problem: Problem, *, close: bool, head: bool) -> None:
    headers = {"content-type": CONTENT_TYPE}
    if close:
        headers["connection"] = "close"
    if problem.status == 405:
        headers["allow"] = "GET, HEAD"
    await answer(send, problem.status, headers, problem.encoded(), head=head)
