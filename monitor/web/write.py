"""``POST /api/v1/write``: Prometheus remote write 1.0 over HTTP.

A sender drops what is answered with a 4xx and sends again after a 5xx.  So what is wrong with a
request is a 400, whatever else of it was stored, and everything that passes is a 503 with a
Retry-After: never a 429, on which Prometheus gives up unless it is told otherwise.  Remote write
2.0 is answered 415, on which senders fall back.  The specification:
https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from monitor.core.access import Policy
from monitor.core.load import Load, Shed
from monitor.errors import InputError, MonitorError, Unavailable, excerpt
from monitor.ingest.remote_write import Outcome, RemoteWrite
from monitor.ingest.remote_write_wire import MOST_BYTES
from monitor.web.asgi import Receive, Scope, Send, answer
from monitor.web.bodies import Bodies, Body, Left, refuse, values
from monitor.web.door import caller_of

PATH = "/api/v1/write"

MEDIA_TYPE = "application/x-protobuf"
CODINGS = ("snappy",)
WRITTEN = "x-prometheus-remote-write-samples-written"
"""Tells how many samples were stored; the same for histograms and exemplars, which are never."""

RETRY_AFTER_SECONDS = 5.0

_PROTOS = frozenset({"", "proto=prometheus.writerequest"})
_PASSING = frozenset({408, 409, 429})
"""Statuses below 500 of what may be sent again."""

Report = Callable[[Scope, MonitorError], Awaitable[None]]
RequireStill = Callable[[Scope], None]


class WriteEndpoint:
    """An ASGI application that takes write requests."""

    policy = Policy.PUSH

    def __init__(
        self,
        remote_write: RemoteWrite,
        report: Report,
        require_still: RequireStill,
        load: Load,
        bodies: Bodies,
    ) -> None:
        self._remote_write = remote_write
        self._report = report
        self._require_still = require_still
        self._load = load
        self._bodies = bodies
        self._log = structlog.stdlib.get_logger("monitor.web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: 204 where all of it is stored."""
        body = self._bodies.of(scope, receive)
        written = 0
        try:
            outcome = await self._take(scope, body)
            written = outcome.written
            _require_whole(outcome)
        except Left:
            return
        except MonitorError as error:
            await self._report(scope, error)
            await _refuse(error, body, send, written)
        except Exception as error:  # noqa: BLE001 - a store that fails is something that passes
            self._log.error("a write request was not stored", exc_info=error)
            detail = "the samples were not stored; the server's log says why"
            await _refuse(Unavailable(detail, code="not_stored"), body, send, written)
        else:
            await answer(send, 204, _counts(written), b"", head=True)

    async def refuse(self, error: MonitorError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the door has refused, whose body nobody has read."""
        await _refuse(error, self._bodies.of(scope, receive), send, 0)

    async def _take(self, scope: Scope, body: Body) -> Outcome:
        if scope["method"] != "POST":
            detail = "samples are written by POST"
            raise MonitorError(detail, code="method_not_allowed", status=405)
        if scope["query_string"]:
            detail = "a write request has no parameters: everything stands in its body"
            raise InputError(detail, code="unknown_param")
        self._load.require(Shed.PUSHES)
        _require_first_version(scope)
        # Snappy is undone with what is inside it, where its size is known before.
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-encoding"]
        plain = {**scope, "headers": headers}
        async with self._bodies.whole(plain, body, ("identity",), MOST_BYTES) as found:
            self._require_still(scope)
            return await self._remote_write.write(found, caller_of(scope))


def _require_first_version(scope: Scope) -> None:
    """Raise a 415 unless a body says that it is remote write 1.0."""
    types = values(scope, b"content-type")
    media, _, parameter = (types[0] if len(types) == 1 else "").partition(";")
    proto = parameter.replace('"', "").replace(" ", "").lower()
    if media.strip().lower() != MEDIA_TYPE or proto not in _PROTOS:
        said = excerpt(", ".join(types)) if types else "nothing"
        detail = (
            f"remote write 1.0 is taken, {MEDIA_TYPE} (prometheus.WriteRequest); it says {said}"
        )
        code = "unsupported_media_type"
        raise InputError(detail, code=code, field="content-type", status=415)
    encodings = [each.lower() for each in values(scope, b"content-encoding")]
    if encodings != ["snappy"]:
        said = excerpt(", ".join(encodings)) if encodings else "nothing"
        detail = f"a write request is compressed with snappy; Content-Encoding says {said}"
        code = "unsupported_encoding"
        raise InputError(detail, code=code, field="content-encoding", status=415)


def _require_whole(outcome: Outcome) -> None:
    """Raise what is to be said of samples that were refused, where there are any."""
    if outcome.passing is not None:
        raise outcome.passing
    if outcome.fault is None:
        return
    fault, refused = outcome.fault, outcome.refused.total()
    counts = ", ".join(f"{code} {count}" for code, count in outcome.refused.most_common())
    # Nothing but hosts that are not this token's: that is about the token, not the samples.
    is_foreign = not outcome.written and set(outcome.refused) == {"host_mismatch"}
    raise InputError(
        f"{refused} samples were refused and {outcome.written} stored ({counts}): {fault.detail}",
        code=fault.code,
        field=fault.field,
        limit=fault.limit,
        status=403 if is_foreign else 400,
    )


async def _refuse(error: MonitorError, body: Body, send: Send, written: int) -> None:
    """Refuse so that a sender does what is right: drop it, or send it again."""
    if error.status >= 500 or error.status in _PASSING:
        error = Unavailable(
            error.detail,
            code=error.code,
            field=error.field,
            limit=error.limit,
            retry_after=error.retry_after or RETRY_AFTER_SECONDS,
        )
    await refuse(error, body, send, MEDIA_TYPE, codings=CODINGS, more=_counts(written))


def _counts(written: int) -> dict[str, str]:
    return {
        WRITTEN: str(written),
        WRITTEN.replace("samples", "histograms"): "0",
        WRITTEN.replace("samples", "exemplars"): "0",
    }
