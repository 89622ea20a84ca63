"""``GET /api/v1/stream``: the event stream over HTTP (STREAM section 1)."""

from __future__ import annotations

from functools import partial

from quart import Response, request

from monitor.errors import InputError, MonitorError
from monitor.stream import topics
from monitor.web.query import Query
from monitor.web.services import Services

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}

LONGEST_POSITION_CHARACTERS = 128
"""A longer Last-Event-ID is nobody's; it is cut before it is looked at."""


class StreamEndpoint:
    """Opens streams."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def open(self) -> Response:
        """The stream of the topics asked for, from the position asked for."""
        query = Query(request.args, ("topics", "last_event_id", "heartbeat"))
        accepted = topics.parse(query.text("topics"), self._services.state.hosts)
        _require_acceptable(request.headers.get("Accept"))
        heartbeat = query.text("heartbeat")
        if heartbeat not in {None, "comment", "event"}:
            raise InputError("heartbeat is comment or event", code="bad_param", field="heartbeat")
        if request.method == "HEAD":
            return Response(b"", headers=HEADERS)
        position = request.headers.get("Last-Event-ID", query.text("last_event_id"))
        if position is not None:
            position = position[:LONGEST_POSITION_CHARACTERS]
        hub = self._services.hub
        client = await hub.subscribe(accepted, last_event_id=position)
        client.heartbeat_events = heartbeat == "event"
        peer, connections = request.scope["client"], self._services.connections
        connections.expect_little_reading(peer)
        client.cut = partial(connections.cut, peer)
        response = Response(hub.stream(client), headers=HEADERS)
        response.timeout = None  # Quart would cut the stream after its RESPONSE_TIMEOUT
        return response


def _require_acceptable(accept: str | None) -> None:
    """Raise a 406 where the Accept header leaves no room for an event stream."""
    if not accept:
        return
    for offer in accept.split(","):
        media, _, parameters = offer.partition(";")
        refused = parameters.replace(" ", "") in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
        if media.strip().lower() in {"*/*", "text/*", "text/event-stream"} and not refused:
            return
    raise MonitorError(
        "this is an event stream: accept text/event-stream", code="not_acceptable", status=406
    )
