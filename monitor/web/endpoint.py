"""``GET /api/v1/stream``: the event stream over HTTP (STREAM section 1).

Plain ASGI, outside of the framework: once the head of the response is written, the connection
is handed to the hub, and nothing of HTTP stays in memory for a reader.
"""

from __future__ import annotations

import gzip
from collections import Counter
from urllib.parse import parse_qsl

from werkzeug.datastructures import Accept, Headers, MIMEAccept, MultiDict
from werkzeug.http import parse_accept_header

from monitor.errors import InputError, MonitorError
from monitor.stream import topics
from monitor.stream.reader import Audience, SSEClient
from monitor.stream.speech import BUSY_RETRY_MILLISECONDS, retry
from monitor.stream.wire import Wire
from monitor.web.asgi import Receive, Scope, Send, answer
from monitor.web.pages import is_browser
from monitor.web.problems import CONTENT_TYPE, of_error, of_status
from monitor.web.query import Query
from monitor.web.services import Services

PATH = "/api/v1/stream"

MEDIA_TYPE = "text/event-stream"

LONGEST_POSITION_CHARACTERS = 128
"""A longer Last-Event-ID is nobody's; it is cut before it is looked at."""

RETRY_AFTER_SECONDS = 10
"""When a script may try again that found no room."""

GZIP_LEVEL = 5
"""For answers to those who do not stay."""

_PARAMETERS = ("topics", "last_event_id", "heartbeat", "follow")


class StreamEndpoint:
    """An ASGI application that opens streams."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._by_address: Counter[str] = Counter()
        services.hub.on_disconnect(self._gone)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request; every error is one of ours and has its problem."""
        headers = Headers([(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]])
        try:
            if scope["method"] not in {"GET", "HEAD"}:
                problem = of_status(405).encoded()
                allowed = {"content-type": CONTENT_TYPE, "allow": "GET, HEAD"}
                await answer(send, 405, allowed, problem)
            else:
                await self._open(scope, headers, send)
        except MonitorError as error:
            problem = of_error(error).encoded()
            sent = {"content-type": CONTENT_TYPE}
            if error.status in {429, 503}:
                sent["retry-after"] = str(RETRY_AFTER_SECONDS)
                sent["connection"] = "close"
            await answer(send, error.status, sent, problem, head=scope["method"] == "HEAD")

    async def _open(self, scope: Scope, headers: Headers, send: Send) -> None:
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = Query(MultiDict(asked), _PARAMETERS)
        accepted = topics.parse(query.text("topics"), self._services.state.hosts)
        _require_acceptable(headers)
        heartbeat = query.text("heartbeat")
        if heartbeat not in {None, "comment", "event"}:
            raise InputError("heartbeat is comment or event", code="bad_param", field="heartbeat")
        follow = query.flag("follow", default=True)
        position = headers.get("Last-Event-ID", query.text("last_event_id"))
        if position is not None:
            position = position[:LONGEST_POSITION_CHARACTERS]
        if scope["method"] == "HEAD":
            await answer(send, 200, _head(_wire(scope, headers)), b"", head=True)
            return
        if not follow:
            client = await self._services.hub.subscribe(accepted, None, position)
            await self._answer_once(client, headers, send)
            return
        address = str((scope.get("client") or ("", 0))[0])
        if refusal := self._no_room(address):
            await self._refuse(refusal, headers, send)
            return
        audience = Audience(accepted, _wire(scope, headers), heartbeat == "event")
        client = await self._services.hub.subscribe(
            accepted, {"address": address}, position, audience
        )
        await self._hand_over(scope, client, send)

    async def _hand_over(self, scope: Scope, client: SSEClient, send: Send) -> None:
        """Write the head, and give the connection to the hub."""
        head = _head(client.audience.wire)
        raw = [(name.encode(), value.encode()) for name, value in head.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        transport = self._services.connections.take_over(scope["client"], client)
        if transport is not None:
            self._by_address[client.metadata["address"]] += 1
            self._services.hub.attach(client, transport)

    def _gone(self, client: SSEClient) -> None:
        """A stream has ended, or one that was never counted."""
        address = client.metadata.get("address", "")
        if self._by_address[address] > 1:
            self._by_address[address] -= 1
        else:
            del self._by_address[address]

    async def _answer_once(self, client: SSEClient, headers: Headers, send: Send) -> None:
        """One complete response with what is owed now."""
        body = await self._services.hub.once(client)
        wire = Wire(gzip=_accepts_gzip(headers))
        if wire.gzip:
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        sent = _head(wire)
        del sent["connection"]
        counters = self._services.hub.counters
        counters.writes_total += 1
        counters.sent_bytes_total += len(body)
        await answer(send, 200, sent, body)

    def _no_room(self, host: str) -> MonitorError | None:
        """Why no stream can be opened now for an address, where that is so."""
        hub, limits = self._services.hub, self._services.limits
        if not hub.is_running:
            return MonitorError("the server is stopping", code="stopping", status=503)
        if hub.client_count >= limits.most_connections:
            return MonitorError(
                "there are as many streams as there may be",
                code="too_many_connections",
                status=429,
                limit=limits.most_connections,
            )
        most = limits.per_address(host)
        if most is not None and self._by_address[host] >= most:
            return MonitorError(
                "there are too many streams from this address",
                code="too_many_streams",
                status=429,
                limit=most,
            )
        return None

    async def _refuse(self, refusal: MonitorError, headers: Headers, send: Send) -> None:
        """Say that there is no room: a browser gives up for ever on anything but a 200."""
        self._services.hub.counters.refusals_total += 1
        if not is_browser(headers):
            raise refusal
        sent = _head(Wire())
        await answer(send, 200, sent, retry(BUSY_RETRY_MILLISECONDS))


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


def _wire(scope: Scope, headers: Headers) -> Wire:
    return Wire(gzip=_accepts_gzip(headers), chunked=scope["http_version"] == "1.1")


def _accepts_gzip(headers: Headers) -> bool:
    found = ",".join(headers.getlist("Accept-Encoding"))
    return bool(found) and parse_accept_header(found, Accept).quality("gzip") > 0


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
