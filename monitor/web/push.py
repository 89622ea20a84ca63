"""``POST /api/v1/push``: pushes over HTTP.

Plain ASGI, outside of the framework, which would hold a body before anybody has asked for it:
here a body is read only once its headers are right (`monitor.web.bodies`).  What stands in it is
the business of `monitor.ingest`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import structlog

from monitor.core.access import Policy
from monitor.core.load import Load, Shed
from monitor.errors import InputError, MonitorError, Unavailable, excerpt
from monitor.ingest.intake import Intake
from monitor.web.answers import PushAnswer
from monitor.web.asgi import Receive, Scope, Send, answer
from monitor.web.bodies import Bodies, Body, Left, media_of, refuse, values
from monitor.web.door import caller_of

PATH = "/api/v1/push"

JSON = "application/json"
PACKED = frozenset({"application/msgpack", "application/vnd.msgpack", "application/x-msgpack"})
"""The names that MessagePack goes by; the first is what we call it."""

_TAKEN = f"{JSON}, application/msgpack"

Report = Callable[[Scope, MonitorError], Awaitable[None]]
"""Is told of every push that is refused: some of it goes into the audit trail."""


RequireStill = Callable[[Scope], None]
"""Raises where whoever was admitted may no longer: a body takes its time to come."""


class PushEndpoint:
    """An ASGI application that takes pushes."""

    policy = Policy.PUSH

    def __init__(
        self,
        intake: Intake,
        report: Report,
        require_still: RequireStill,
        load: Load,
        bodies: Bodies | None = None,
        watched: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._intake = intake
        self._load = load
        self._report = report
        self._require_still = require_still
        self._bodies = bodies or Bodies()
        self._watched = watched
        self._log = structlog.stdlib.get_logger("monitor.web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every fault is the caller's or passing, and has its problem."""
        body = self._bodies.of(scope, receive)
        try:
            made = await self._take(scope, body)
        except Left:
            self._intake.outcomes["left"] += 1
        except MonitorError as error:
            self._intake.outcomes[error.code] += 1
            await self._report(scope, error)
            await refuse(error, body, send, _TAKEN)
        except Exception as error:  # noqa: BLE001 - see below
            # A store that fails is told to the caller as something that passes, which it is.
            self._log.error("a push was not stored", exc_info=error)
            self._intake.outcomes["not_stored"] += 1
            detail = "the push was not stored; the server's log says why"
            failed = Unavailable(detail, code="not_stored")
            await refuse(failed, body, send, _TAKEN)
        else:
            await answer(send, 200, {"content-type": JSON}, msgspec.json.encode(made))

    async def refuse(self, error: MonitorError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the door has refused, whose body nobody has read."""
        self._intake.outcomes[error.code] += 1
        await refuse(error, self._bodies.of(scope, receive), send, _TAKEN)

    async def _take(self, scope: Scope, body: Body) -> PushAnswer:
        if scope["method"] != "POST":
            raise MonitorError("a push is sent by POST", code="method_not_allowed", status=405)
        if scope["query_string"]:
            detail = "a push has no parameters: everything stands in its body"
            raise InputError(detail, code="unknown_param")
        self._load.require(Shed.PUSHES)
        is_packed = _is_packed(scope)
        async with self._bodies.whole(scope, body) as document:
            self._require_still(scope)
            client = scope.get("client")
            receipt = await self._intake.push(
                document,
                caller_of(scope),
                is_packed=is_packed,
                address=str(client[0]) if client else "",
            )
        watched = self._watched(receipt.host)
        return PushAnswer(receipt.accepted, receipt.duplicate, receipt.seq, watched)


def _is_packed(scope: Scope) -> bool:
    """Whether a body says that it is MessagePack.  Raises a 415 where it is not JSON either.

    A page of another site can send text/plain and forms without asking, and neither of these.
    """
    media = media_of(scope)
    if media in PACKED:
        return True
    if media == JSON:
        return False
    types = values(scope, b"content-type")
    sent = f"it says {excerpt(', '.join(types))}" if types else "it says none"
    detail = (
        f"a push is {JSON} in UTF-8, or application/msgpack, and {sent}; add the header"
        f" Content-Type: {JSON} (curl --json does, or -H)"
    )
    raise InputError(detail, code="unsupported_media_type", field="content-type", status=415)
