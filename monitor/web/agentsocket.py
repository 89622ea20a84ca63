"""``GET /api/v1/agent``: the WebSocket of agents that stay.

Plain ASGI, and for HTTP a request like others: the edge and the door judge it, and whoever is
refused reads why.  Once the handshake is right the connection is taken over (`agentlink`), and
nothing of HTTP stays in memory for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from typing import Any

from monitor import __version__
from monitor.core.access import Caller, Policy, is_host_name
from monitor.core.load import Shed
from monitor.errors import InputError, MonitorError, Unavailable
from monitor.ingest.intake import Receipt
from monitor.ingest.introducing import NEWEST_PROTOCOL, OLDEST_PROTOCOL
from monitor.web.agentlink import AGAIN, REVOKED, AgentLink
from monitor.web.asgi import Receive, Scope, Send, answer
from monitor.web.bodies import RETRY_AFTER_SECONDS, values
from monitor.web.connections import AGENTS_PATH
from monitor.web.door import caller_of
from monitor.web.problems import CHALLENGE, CONTENT_TYPE, of_error
from monitor.web.services import Services

PATH = AGENTS_PATH

SUBPROTOCOL = "awoooi.v1"
"""What the documents and answers of the first protocol are called; none means this."""

_SUBPROTOCOLS = {SUBPROTOCOL}
_VERSION = "13"
_KEY_BYTES = 16
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""


class AgentEndpoint:
    """An ASGI application that opens agents' connections, and knows which are open."""

    policy = Policy.PUSH

    def __init__(self, services: Services) -> None:
        self._services = services
        self._links: set[AgentLink] = set()
        self._by_host: dict[str, set[AgentLink]] = {}
        self._is_stopping = False
        services.hub.on_watched(self._watch)
        services.connections.ending.append(self.stop)
        services.fleet.forgetting.append(self.forget)

    def __len__(self) -> int:
        return len(self._links)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request; every fault is the caller's or passing, and has its problem."""
        try:
            subprotocol, key = _handshake(scope)
            if self._services.connections.spoke_early(scope.get("monitor.peer")):
                detail = "who asks for a WebSocket waits for the answer before it speaks"
                raise InputError(detail, code="bad_framing")
            if self._is_stopping:
                raise Unavailable("the server is stopping", code="stopping")
            self._services.load.require(Shed.PUSHES)
        except MonitorError as error:
            self.count(error.code)
            await _refuse(error, scope, send)
        else:
            self._open(scope, subprotocol, key)

    async def refuse(
        self, error: MonitorError, scope: Scope, _receive: Receive, send: Send
    ) -> None:
        """Answer a request that the door has refused."""
        self.count(error.code)
        await _refuse(error, scope, send)

    def _open(self, scope: Scope, subprotocol: str | None, key: str) -> None:
        services, caller = self._services, caller_of(scope)
        client = scope.get("client")
        address = str(client[0]) if client else ""

        asked = {**scope, "headers": []}  # what the audit trail says of a refusal

        async def push(body: bytes, is_packed: bool) -> Receipt:
            try:
                return await services.intake.push(
                    body, caller, is_packed=is_packed, address=address
                )
            except MonitorError as error:
                await services.door.report_refusal(asked, error)
                raise

        link = AgentLink(push, services.load, services.bodies, self)
        wire = services.connections.take_over(
            scope.get("monitor.peer"), link, is_known=bool(caller.credential)
        )
        if wire is None:
            return  # it has gone
        self._links.add(link)
        services.connections.agents_open += 1
        wire.write(_accepted(subprotocol, key))
        if (host := _only_host(caller)) is not None:
            link.hosts = frozenset({host})
            self.speaks_for(link, host)
        said = {
            "version": __version__,
            "protocol": [OLDEST_PROTOCOL, NEWEST_PROTOCOL],
            "time": time.time(),
        }
        link.begin(wire, {"server": said} if subprotocol is not None else None)
        services.door.hold_open(
            caller, link, lambda: link.end(REVOKED, "the credential holds no more")
        )

    def stop(self) -> None:
        """End every connection as a server does that stops."""
        self._is_stopping = True
        for link in tuple(self._links):
            link.stop()

    def forget(self, host: str) -> None:
        """End the connections of a host that is deleted: who comes again introduces itself."""
        for link in tuple(self._by_host.get(host, ())):
            link.end(AGAIN, "the host was deleted here")

    # What links tell

    def gone(self, link: AgentLink) -> None:
        """A connection is gone."""
        if link in self._links:
            self._links.remove(link)
            self._services.connections.agents_open -= 1
        self._services.door.let_go(link)
        for host in link.hosts:
            others = self._by_host.get(host)
            if others is not None:
                others.discard(link)
                if not others:
                    del self._by_host[host]

    def watched(self, hosts: frozenset[str]) -> bool:
        """Whether somebody looks at one of these hosts."""
        return any(map(self._services.hub.watched, hosts))

    def speaks_for(self, link: AgentLink, host: str) -> None:
        """A connection brings a host's frames."""
        self._by_host.setdefault(host, set()).add(link)

    def count(self, code: str) -> None:
        """A push was refused, or a connection."""
        self._services.intake.outcomes[code] += 1

    def _watch(self, host: str, _is_watched: bool) -> None:
        for link in tuple(self._by_host.get(host, ())):
            link.tell_watched()


def _handshake(scope: Scope) -> tuple[str | None, str]:
    """The subprotocol that is spoken, none where none was offered, and the client's key."""
    if scope["method"] not in {"GET", "HEAD"}:
        raise MonitorError("agents connect by GET", code="method_not_allowed", status=405)
    if scope["query_string"]:
        detail = "an agent's connection has no parameters"
        raise InputError(detail, code="unknown_param")
    if values(scope, b"origin") or values(scope, b"sec-fetch-site"):
        # Browsers say one of these of every WebSocket, and let any page open one to anywhere.
        detail = "agents connect here, and no pages"
        raise MonitorError(detail, code="csrf", status=403)
    keys = values(scope, b"sec-websocket-key")
    if (
        scope["method"] != "GET"
        or not _has(scope, b"connection", "upgrade")
        or not _has(scope, b"upgrade", "websocket")
        or values(scope, b"sec-websocket-version") != [_VERSION]
        or len(keys) != 1
        or not _is_key(keys[0])
    ):
        detail = "agents connect by WebSocket here, version 13; POST /api/v1/push takes the same"
        raise MonitorError(detail, code="upgrade_required", status=426)
    return _subprotocol(scope), keys[0]


def _subprotocol(scope: Scope) -> str | None:
    offered = _words(scope, b"sec-websocket-protocol")
    if not offered:
        return None
    for each in offered:
        if each in _SUBPROTOCOLS:
            return each
    detail = f"this server speaks {SUBPROTOCOL}; update the server first, then its agents"
    limit = NEWEST_PROTOCOL
    raise InputError(detail, code="schema_version", field="protocol", limit=limit)


def _words(scope: Scope, name: bytes) -> list[str]:
    return [word.strip() for value in values(scope, name) for word in value.split(",") if word]


def _has(scope: Scope, name: bytes, wanted: str) -> bool:
    return wanted in (word.lower() for word in _words(scope, name))


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _accepted(subprotocol: str | None, key: str) -> bytes:
    """The head that answers a handshake."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "upgrade: websocket",
        "connection: upgrade",
        f"sec-websocket-accept: {base64.b64encode(digest).decode()}",
    ]
    if subprotocol is not None:
        lines.append(f"sec-websocket-protocol: {subprotocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _only_host(caller: Caller) -> str | None:
    """The host that an agent's token names; none where it may write several."""
    if len(caller.hosts) == 1 and is_host_name(caller.hosts[0]):
        return caller.hosts[0]
    return None


async def _refuse(error: MonitorError, scope: Scope, send: Send) -> None:
    headers: dict[str, Any] = {"content-type": CONTENT_TYPE, "connection": "close"}
    if error.status == 401:
        headers |= CHALLENGE
    elif error.status == 405:
        headers["allow"] = "GET"
    elif error.status == 426:
        headers |= {"upgrade": "websocket", "sec-websocket-version": _VERSION}
        headers["connection"] = "upgrade, close"
    elif error.status == 503 or error.retry_after is not None:
        headers["retry-after"] = f"{error.retry_after or RETRY_AFTER_SECONDS:.0f}"
    is_head = scope["method"] == "HEAD"
    await answer(send, error.status, headers, of_error(error).encoded(), head=is_head)
