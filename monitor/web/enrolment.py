"""``POST /api/v1/enroll``: an enrolment token is exchanged for a host's own."""

from __future__ import annotations

import msgspec
from quart import Response, request

from monitor.access.audit import Actor
from monitor.errors import InputError, MonitorError, excerpt
from monitor.ingest import names
from monitor.web.answers import Enrolled, Enrolment
from monitor.web.routes import address, asking
from monitor.web.services import Services


class Enrolments:
    """The handler."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def enroll(self) -> Response:
        """A token for the host that asks, shown once."""
        if request.mimetype != "application/json":
            detail = "an enrolment is application/json (curl --json does)"
            raise InputError(detail, code="unsupported_media_type", status=415)
        wish = _decoded(await request.body)
        if wish.host == self._services.host:
            detail = f"{excerpt(wish.host)} is this server's own host"
            raise InputError(detail, code="host_taken", field="host", status=409)
        agent = names.identity(wish.agent, "agent") if wish.agent else ""
        caller = asking()
        actor = Actor(caller.said, address())
        try:
            text = await self._services.door.office.tokens.enroll(caller, actor, wish.host, agent)
        except MonitorError as error:
            if error.status == 403:
                await self._services.door.report(caller, address(), "enroll", excerpt(wish.host))
            raise
        made = msgspec.json.encode(Enrolled(wish.host, text))
        return Response(made, status=201, content_type="application/json")


def _decoded(body: bytes) -> Enrolment:
    try:
        return msgspec.json.decode(body, type=Enrolment, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        detail = 'an enrolment is {"host": "NAME"}, with "agent": ID where one asks'
        raise InputError(detail, code="bad_shape") from None
