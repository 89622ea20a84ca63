"""``GET /api/v1/stream``: the event stream over HTTP (STREAM section 1).

Plain ASGI, outside of the framework: once the head of the response is written, the connection
is handed to the hub, and nothing of HTTP stays in memory for a reader.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from urllib.parse import parse_qsl

from werkzeug.datastructures import Headers, MIMEAccept, MultiDict
from werkzeug.http import parse_accept_header

from monitor.core.access import Policy
from monitor.core.load import Shed
from monitor.errors import InputError, MonitorError, Unavailable
from monitor.stream import topics
from monitor.stream.reader import Audience, SSEClient
from monitor.stream.speech import BUSY_RETRY_MILLISECONDS, retry
from monitor.stream.wire import PLAIN, Wire
from monitor.web.asgi import Receive, Scope, Send, answer
from monitor.web.compression import GZIP_LEVEL, LARGE_BYTES, accepts_gzip
from monitor.web.door import caller_of
from monitor.web.pages import is_browser
from monitor.web.problems import CHALLENGE, CONTENT_TYPE, of_error, of_status
from monitor.web.query import Query
from monitor.web.room import Room
from monitor.web.services import Services

PATH = "/api/v1/stream"

MEDIA_TYPE = "text/event-stream"

LONGEST_POSITION_CHARACTERS = 128
"""A longer Last-Event-ID is nobody's; it is cut before it is looked at."""

RETRY_AFTER_SECONDS = 10
"""When a script may try again that found no room."""

MOST_ANSWERS = 4
"""Answers to those who do not stay that are made at the same time; the others wait."""

_PARAMETERS = ("topics", "last_event_id", "heartbeat", "follow")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request wants: how it reads, from where, and whether it stays."""

    audience: Audience
    position: str | None
    follow: bool


class StreamEndpoint:
    """An ASGI application that opens streams."""

    policy = Policy.READ

    def __init__(self, services: Services) -> None:
        self._services = services
        self._room = Room(services.limits)
        self._answering = asyncio.Semaphore(MOST_ANSWERS)
        services.hub.on_disconnect(self._gone)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request; every error is one of ours and has its problem."""
        headers = Headers([(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]])
        try:
            if scope["method"] in {"GET", "HEAD"}:
                await self._open(scope, headers, send)
            else:
                allowed = {"content-type": CONTENT_TYPE, "allow": "GET, HEAD"}
                await answer(send, 405, allowed, of_status(405).encoded())
        except MonitorError as error:
            await self._refuse(error, scope, headers, send)

    async def _open(self, scope: Scope, headers: Headers, send: Send) -> None:
        asked = self._asked(scope, headers)
        if scope["method"] == "HEAD":
            await answer(send, 200, _head(asked.audience.wire), b"", head=True)
            return
        if not self._services.hub.is_running:
            raise Unavailable("the server is stopping", code="stopping")
        if asked.follow:
            await self._stream(asked, scope, send)
        else:
            await self._answer_once(asked, send)

    def _asked(self, scope: Scope, headers: Headers) -> _Asked:
        """What a request wants.  Raises where it cannot have that."""
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = Query(MultiDict(pairs), _PARAMETERS)
        view = caller_of(scope).view
        accepted = topics.parse(query.text("topics"), self._services.state.hosts, view)
        _require_acceptable(headers)
        heartbeat = query.text("heartbeat")
        if heartbeat not in {None, "comment", "event"}:
            raise InputError("heartbeat is comment or event", code="bad_param", field="heartbeat")
        position = headers.get("Last-Event-ID", query.text("last_event_id"))
        if position is not None:
            position = position[:LONGEST_POSITION_CHARACTERS]
        wire = Wire(gzip=accepts_gzip(headers), chunked=scope["http_version"] == "1.1")
        audience = Audience(accepted, wire, heartbeat == "event", view)
        return _Asked(audience, position, query.flag("follow", default=True))

    async def _stream(self, asked: _Asked, scope: Scope, send: Send) -> None:
        """Write the head, and give the connection to the hub."""
        services = self._services
        address = str((scope.get("client") or ("", 0))[0])
        services.load.require(Shed.STREAMS)
        caller = caller_of(scope)
        who = caller.name if caller.credential else ""
        self._room.enter(address, who)
        is_attached = False
        try:
            client = await services.hub.subscribe(
                asked.audience.topics,
                {"address": address, "caller": who},
                asked.position,
                asked.audience,
            )
            head = _head(asked.audience.wire)
            raw = [(name.encode(), value.encode()) for name, value in head.items()]
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            transport = services.connections.take_over(scope["monitor.peer"], client)
            if transport is not None:
                is_attached = True  # and from now on it is the hub that says when it has gone
                services.hub.attach(client, transport)
                services.door.hold(caller, client)
        finally:
            if not is_attached:
                self._room.leave(address, who)

    def _gone(self, client: SSEClient) -> None:
        """A stream has ended; those that came another way have taken no place."""
        address = client.metadata.get("address")
        if address is not None:
            self._room.leave(address, client.metadata.get("caller", ""))

    async def _answer_once(self, asked: _Asked, send: Send) -> None:
        """One complete response with what is owed now; a few are made at a time."""
        hub, gzipped = self._services.hub, asked.audience.wire.gzip
        async with self._answering:
            audience = asked.audience
            client = await hub.subscribe(audience.topics, None, asked.position, audience)
            body = await hub.once(client)
            if gzipped and len(body) < LARGE_BYTES:
                body = gzip.compress(body, GZIP_LEVEL, mtime=0)
            elif gzipped:
                body = await asyncio.to_thread(gzip.compress, body, GZIP_LEVEL, mtime=0)
        head = _head(asked.audience.wire)
        del head["connection"]
        hub.counters.writes_total += 1
        hub.counters.sent_bytes_total += len(body)
        await answer(send, 200, head, body)

    async def refuse(
        self, error: MonitorError, scope: Scope, _receive: Receive, send: Send
    ) -> None:
        """Answer a request that the door has refused."""
        headers = Headers([(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]])
        await self._refuse(error, scope, headers, send)

    async def _refuse(
        self, error: MonitorError, scope: Scope, headers: Headers, send: Send
    ) -> None:
        """Say why not.

        Where that may pass, a browser's stream is told to come again: it would give up for ever
        on anything but a 200.
        """
        head = {"content-type": CONTENT_TYPE}
        if error.status in {429, 503}:
            self._services.hub.counters.refusals_total += 1
            if scope["method"] == "GET" and is_browser(headers) and _follows(scope):
                await answer(send, 200, _head(PLAIN), retry(BUSY_RETRY_MILLISECONDS))
                return
            head |= {"retry-after": str(RETRY_AFTER_SECONDS), "connection": "close"}
        elif error.status == 401:
            head |= CHALLENGE
        is_head = scope["method"] == "HEAD"
        await answer(send, error.status, head, of_error(error).encoded(), head=is_head)


def _follows(scope: Scope) -> bool:
    return b"follow=0" not in scope["query_string"].split(b"&")


def _head(wire: Wire) -> dict[str, str]:
    """The headers of an open stream."""
    found = {
        "content-type": MEDIA_TYPE,
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "vary": "Accept-Encoding",
        "connection": "close",
    }
    if wire.gzip:
        found["content-encoding"] = "gzip"
    return found


def _require_acceptable(headers: Headers) -> None:
    """Raise a 406 where the Accept headers leave no room for an event stream."""
    found = ",".join(headers.getlist("Accept"))
    if not found.strip():
        return
    # Whatever parameters are asked for besides the weight, there is only one form of it.
    offers = [(media.partition(";")[0], weight) for media, weight in parse_accept_header(found)]
    if MIMEAccept(offers).quality(MEDIA_TYPE) <= 0:
        detail = f"this is an event stream: accept {MEDIA_TYPE}"
        raise MonitorError(detail, code="not_acceptable", status=406)
