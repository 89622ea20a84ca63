"""``POST /v1/metrics``: OTLP metrics over HTTP, in protobuf or JSON.

The answer is in the form of the question.  What cannot be kept is told in a partial success, so
that a sender does not send it again; what passes is a 429 or 503 with a Retry-After, on which it
does.  Errors are problems as everywhere else.  https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from monitor.core.access import Policy
from monitor.core.load import Load, Shed
from monitor.errors import InputError, MonitorError, NotFound, Unavailable, excerpt
from monitor.ingest import otlp_wire
from monitor.ingest.otlp import MOST_BYTES, Otlp
from monitor.ingest.otlp_points import Outcome
from monitor.web.asgi import Receive, Scope, Send, answer
from monitor.web.bodies import Bodies, Body, Left, media_of, refuse, values
from monitor.web.door import caller_of

PATH = "/v1/metrics"
OTHERS = ("/v1/traces", "/v1/logs")
"""The other signals of OTLP, which are not taken."""

JSON = "application/json"
PROTOBUF = "application/x-protobuf"

RETRY_AFTER_SECONDS = 5.0

_TAKEN = f"{PROTOBUF}, {JSON}"
_TOO_MANY = 429
_NOT_RETRIED = frozenset({408, 409, 500, 507})
"""Statuses of what passes on which a sender of OTLP would give up."""

Report = Callable[[Scope, MonitorError], Awaitable[None]]
RequireStill = Callable[[Scope], None]


class OtlpEndpoint:
    """An ASGI application that takes metrics."""

    policy = Policy.PUSH

    def __init__(
        self,
        otlp: Otlp,
        report: Report,
        require_still: RequireStill,
        load: Load,
        bodies: Bodies,
    ) -> None:
        self._otlp = otlp
        self._report = report
        self._require_still = require_still
        self._load = load
        self._bodies = bodies
        self._log = structlog.stdlib.get_logger("monitor.web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: 200, with what was not taken where there is something."""
        body = self._bodies.of(scope, receive)
        try:
            outcome, is_json = await self._take(scope, body)
        except Left:
            return
        except MonitorError as error:
            await self._report(scope, error)
            await _refuse(error, body, send)
        except Exception as error:  # noqa: BLE001 - a store that fails is something that passes
            self._log.error("OTLP metrics were not stored", exc_info=error)
            detail = "the metrics were not stored; the server's log says why"
            await _refuse(Unavailable(detail, code="not_stored"), body, send)
        else:
            made = otlp_wire.answer(outcome.rejected.total(), outcome.message, is_json=is_json)
            media = JSON if is_json else PROTOBUF
            await answer(send, 200, {"content-type": media}, made)

    async def refuse(self, error: MonitorError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the door has refused, whose body nobody has read."""
        await _refuse(error, self._bodies.of(scope, receive), send)

    async def _take(self, scope: Scope, body: Body) -> tuple[Outcome, bool]:
        if scope["method"] != "POST":
            raise MonitorError("metrics are sent by POST", code="method_not_allowed", status=405)
        if scope["query_string"]:
            detail = "OTLP has no parameters: everything stands in its body"
            raise InputError(detail, code="unknown_param")
        self._load.require(Shed.PUSHES)
        media = media_of(scope)
        if media not in {JSON, PROTOBUF}:
            types = values(scope, b"content-type")
            said = excerpt(", ".join(types)) if types else "nothing"
            detail = f"OTLP metrics are {PROTOBUF} or {JSON}; Content-Type says {said}"
            code = "unsupported_media_type"
            raise InputError(detail, code=code, field="content-type", status=415)
        async with self._bodies.whole(scope, body, most_bytes=MOST_BYTES) as found:
            self._require_still(scope)
            is_json = media == JSON
            outcome = await self._otlp.export(found, caller_of(scope), is_json=is_json)
        if outcome.passing is not None:
            raise outcome.passing
        if outcome.foreign is not None and not outcome.accepted:
            raise outcome.foreign
        return outcome, is_json


class OtherSignal:
    """An ASGI application in place of the signals that are not taken."""

    policy = Policy.PUSH

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say so."""
        detail = f"of OTLP only metrics are taken here, at {PATH}; send the others elsewhere"
        error: MonitorError = NotFound(detail, code="signal_not_supported")
        if scope["method"] != "POST":
            error = MonitorError("OTLP is sent by POST", code="method_not_allowed", status=405)
        await _refuse(error, self._bodies.of(scope, receive), send)

    async def refuse(self, error: MonitorError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the door has refused."""
        await _refuse(error, self._bodies.of(scope, receive), send)


async def _refuse(error: MonitorError, body: Body, send: Send) -> None:
    """Refuse so that a sender does what is right: drop it, or send it again."""
    if error.status in _NOT_RETRIED:
        error = Unavailable(
            error.detail,
            code=error.code,
            field=error.field,
            limit=error.limit,
            retry_after=error.retry_after or RETRY_AFTER_SECONDS,
        )
    elif error.status == _TOO_MANY and error.retry_after is None:
        error.retry_after = RETRY_AFTER_SECONDS
    await refuse(error, body, send, _TAKEN)
