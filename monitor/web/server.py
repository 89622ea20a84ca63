"""The listener and Hypercorn: how the application meets the network, and how it leaves it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, cast

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config, Sockets
from hypercorn.typing import ASGIFramework

from monitor.errors import StartError
from monitor.web.asgi import Application
from monitor.web.connections import Connections

BACKLOG = 4_096
"""Connections waiting to be accepted: a reconnect storm must not be refused (STREAM 3.4)."""

ACCEPTED_AT_ONCE = 16
"""Connections accepted before those that there are get their turn.  asyncio takes the backlog for
this, and would use up all descriptors before one connection too many can be closed."""

COMPLAINT_SECONDS = 60.0
"""How often it is said that there are no descriptors left: asyncio says it for each try."""

USER_TIMEOUT_MILLISECONDS = 10_000
"""How long sent bytes may stay unacknowledged before the peer counts as gone."""

KEEPALIVE_SECONDS, KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_PROBES = 15, 5, 3

LONGEST_INCOMPLETE_BYTES = 256 * 1024
"""Of a request's head.  Above the edge's own limits, so that those answer with a reason."""

GOODBYE_SECONDS = 0.7
"""How long open connections get to read what is queued once the server stops."""

LOOK_SECONDS = 0.02
"""How often it is looked whether they have."""

CANCEL_SECONDS = 1.2
"""When Hypercorn cancels what still has not ended; the connections are aborted before."""


class _Listener(socket.socket):
    """A socket whose backlog is ours to say, whatever asyncio accepts at once."""

    def listen(self, _backlog: int = BACKLOG) -> None:
        """Listen."""
        super().listen(BACKLOG)


class _Config(Config):
    """Hypercorn's settings, with a listener that is there already."""

    def __init__(self, listening: socket.socket) -> None:
        super().__init__()
        self._listening = listening

    def create_sockets(self) -> Sockets:
        """The one that we listen on."""
        return Sockets([], [self._listening], [])


def listener(host: str, port: int) -> socket.socket:
    """A listening socket with the options that every connection inherits.

    Raises `StartError` where the address cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartError(f"cannot listen on {host}: {error.strerror or error}") from None
    family, kind, protocol, _, address = found[0]
    listening = _Listener(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in (
            ("TCP_KEEPIDLE", KEEPALIVE_SECONDS),
            ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
            ("TCP_KEEPCNT", KEEPALIVE_PROBES),
            ("TCP_USER_TIMEOUT", USER_TIMEOUT_MILLISECONDS),
        ):
            if hasattr(socket, name):
                listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            detail = f"the address {host}:{port} is in use; stop what holds it, or pass --listen"
            raise StartError(detail) from None
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listening.setblocking(False)
    return listening


def url(listening: socket.socket, scheme: str = "http") -> str:
    """Where a listener is reached."""
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def serve(
    application: Application,
    listening: socket.socket,
    connections: Connections,
    shutdown: Callable[[], Awaitable[None]],
    context: Callable[[], ssl.SSLContext] | None = None,
) -> None:
    """Serve until `shutdown` returns, which it does after it has ended the streams.

    With `context` over TLS; it is asked for each connection, so that certificates may change.

    Hypercorn waits for every connection to close; one whose peer does not read would keep it
    for ever (STREAM 3.2), so what is left after `GOODBYE_SECONDS` is aborted.
    """
    config = _Config(listening)
    config.backlog = ACCEPTED_AT_ONCE
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logging.getLogger("monitor.http")
    config.errorlog.setLevel(logging.WARNING)  # where it listens is ours to say
    config.graceful_timeout = CANCEL_SECONDS
    config.h11_max_incomplete_size = LONGEST_INCOMPLETE_BYTES
    connections.fit(context)
    asyncio.get_running_loop().set_exception_handler(_Complaints().hear)
    stopping = asyncio.Event()

    async def trigger() -> None:
        await shutdown()
        for end in connections.ending:
            end()
        stopping.set()

    async def reap() -> None:
        await stopping.wait()
        deadline = asyncio.get_running_loop().time() + GOODBYE_SECONDS
        while len(connections) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        connections.abort()

    reaper = asyncio.create_task(reap(), name="connection-reaper")
    try:
        await hypercorn_serve(
            cast("ASGIFramework", application), config, shutdown_trigger=trigger, mode="asgi"
        )
        # Streams are none of Hypercorn's connections: what is queued for them may still leave.
        await reaper
    finally:
        reaper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reaper


class _Complaints:
    """What asyncio has to say of its own accord; of a lack of descriptors once a minute."""

    def __init__(self) -> None:
        self._said_at = -COMPLAINT_SECONDS
        self._log = logging.getLogger("monitor.http")

    def hear(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle one of asyncio's complaints."""
        if not str(context.get("message", "")).startswith("socket.accept() out of"):
            loop.default_exception_handler(context)
        elif loop.time() - self._said_at >= COMPLAINT_SECONDS:
            self._said_at = loop.time()
            self._log.error(
                "no connection can be accepted: %s; raise the limit of open files, or lower "
                "[server] max_connections",
                context.get("exception"),
            )
