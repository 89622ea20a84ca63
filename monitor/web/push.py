"""``POST /api/v1/push``: pushes over HTTP.

Plain ASGI, outside of the framework, which would hold a body before anybody has asked for it:
here a body is read only once its headers are right, within a size, two deadlines and a sum of
all bodies that are being read.  What stands in it is the business of `monitor.ingest`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
import structlog

from monitor.core.access import Policy
from monitor.core.load import Load, Shed
from monitor.errors import InputError, MonitorError, Unavailable, excerpt
from monitor.ingest.intake import Intake
from monitor.web.answers import PushAnswer
from monitor.web.asgi import Receive, Scope, Send, answer
from monitor.web.door import caller_of
from monitor.web.problems import CHALLENGE, CONTENT_TYPE, of_error

PATH = "/api/v1/push"

LONGEST_BODY_BYTES = 4 * 1024 * 1024
"""Of one push: 50,000 values and 10,000 KEYs fit."""

MOST_HELD_BYTES = 64 * 1024 * 1024
"""Of all bodies that are being read or decoded; who comes on top is asked to come again."""

CHUNK_SECONDS = 10.0
"""How long a body may pause."""

BODY_SECONDS = 30.0
"""How long it may take to come."""

RETRY_AFTER_SECONDS = 2

DRAINED_BYTES = 4 * LONGEST_BODY_BYTES
DRAIN_SECONDS = 2.0
"""How much of a refused body is read and thrown away, and for how long: to end a connection that
still sends takes the answer from whoever has not read it yet."""

LONGEST_LENGTH_DIGITS = 16
"""Of a Content-Length; where it has more, these alone are too many bytes."""

_MEDIA_TYPE = "application/json"

Report = Callable[[Scope, MonitorError], Awaitable[None]]
"""Is told of every push that is refused: some of it goes into the audit trail."""


RequireStill = Callable[[Scope], None]
"""Raises where whoever was admitted may no longer: a body takes its time to come."""


@dataclass(frozen=True, slots=True)
class PushLimits:
    """How long a body may take and how much may be held, all pushes together."""

    chunk_seconds: float = CHUNK_SECONDS
    body_seconds: float = BODY_SECONDS
    most_held_bytes: int = MOST_HELD_BYTES


class PushEndpoint:
    """An ASGI application that takes pushes."""

    policy = Policy.PUSH

    def __init__(
        self,
        intake: Intake,
        report: Report,
        require_still: RequireStill,
        load: Load,
        limits: PushLimits | None = None,
    ) -> None:
        self._intake = intake
        self._load = load
        self._report = report
        self._require_still = require_still
        self._limits = limits or PushLimits()
        self._held_bytes = 0
        self._log = structlog.stdlib.get_logger("monitor.web")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every fault is the caller's or passing, and has its problem."""
        body = _Body(scope, receive, self._limits)
        try:
            made = await self._take(scope, body)
        except _Left:
            self._intake.outcomes["left"] += 1
        except MonitorError as error:
            self._intake.outcomes[error.code] += 1
            await self._report(scope, error)
            await _refuse(error, body, send)
        except Exception as error:  # noqa: BLE001 - see below
            # A store that fails is told to the caller as something that passes, which it is.
            self._log.error("a push was not stored", exc_info=error)
            self._intake.outcomes["not_stored"] += 1
            detail = "the push was not stored; the server's log says why"
            await _refuse(Unavailable(detail, code="not_stored"), body, send)
        else:
            await answer(send, 200, {"content-type": _MEDIA_TYPE}, msgspec.json.encode(made))

    async def refuse(self, error: MonitorError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the door has refused, whose body nobody has read."""
        self._intake.outcomes[error.code] += 1
        await _refuse(error, _Body(scope, receive, self._limits), send)

    async def _take(self, scope: Scope, body: _Body) -> PushAnswer:
        if scope["method"] != "POST":
            raise MonitorError("a push is sent by POST", code="method_not_allowed", status=405)
        if scope["query_string"]:
            detail = "a push has no parameters: everything stands in its body"
            raise InputError(detail, code="unknown_param")
        self._load.require(Shed.PUSHES)
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        _require_json(_values(headers, b"content-type"))
        _require_identity(_values(headers, b"content-encoding"))
        for length in _values(headers, b"content-length"):
            _require_size(int(length[:LONGEST_LENGTH_DIGITS]))
        pieces: list[bytes] = []
        try:
            while (piece := await body.next()) is not None:
                self._held_bytes += len(piece)
                pieces.append(piece)
                _require_size(body.read_bytes)
                if self._held_bytes > self._limits.most_held_bytes:
                    detail = "too many large pushes come at once"
                    raise Unavailable(detail, limit=self._limits.most_held_bytes)
            self._require_still(scope)
            receipt = await self._intake.push(b"".join(pieces), caller_of(scope))
        finally:
            self._held_bytes -= sum(map(len, pieces))
        return PushAnswer(receipt.accepted, receipt.duplicate, receipt.seq)


class _Left(Exception):
    """The peer went away while it was sending."""


class _Body:
    """The body of one request, piece by piece, within its deadlines."""

    def __init__(self, scope: Scope, receive: Receive, limits: PushLimits) -> None:
        framing = {b"content-length", b"transfer-encoding"}
        self._receive = receive
        self._limits = limits
        self._until: float | None = None
        self.read_bytes = 0
        self.complete = framing.isdisjoint(name for name, _ in scope["headers"])

    async def next(self) -> bytes | None:
        """The next piece, none after the last.

        Raises `_Left` where the peer has gone and a 408 where it takes too long.
        """
        if self.complete:
            return None
        loop = asyncio.get_running_loop()
        if self._until is None:
            self._until = loop.time() + self._limits.body_seconds
        try:
            async with asyncio.timeout_at(
                min(self._until, loop.time() + self._limits.chunk_seconds)
            ):
                message = await self._receive()
        except TimeoutError:
            detail = "the body does not come, or comes too slowly"
            raise MonitorError(detail, code="request_timeout", status=408) from None
        if message["type"] != "http.request":
            raise _Left
        piece: bytes = message.get("body", b"")
        self.read_bytes += len(piece)
        self.complete = not message.get("more_body", False)
        return piece

    async def drain(self) -> None:
        """Throw away what still comes, within bounds."""
        with contextlib.suppress(_Left, MonitorError, TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.complete and self.read_bytes < DRAINED_BYTES:
                    await self.next()


async def _refuse(error: MonitorError, body: _Body, send: Send) -> None:
    """Answer with a problem, and end the connection where the body has not been read."""
    problem = of_error(error).encoded()
    headers = {"content-type": CONTENT_TYPE}
    if error.status == 401:
        headers |= CHALLENGE
    elif error.status == 405:
        headers["allow"] = "POST"
    elif error.status == 415:
        headers |= {"accept-encoding": "identity", "accept-post": _MEDIA_TYPE}
    elif error.status == 503 or error.retry_after is not None:
        headers["retry-after"] = f"{error.retry_after or RETRY_AFTER_SECONDS:.0f}"
    if body.complete:
        await answer(send, error.status, headers, problem)
        return
    headers |= {"connection": "close", "content-length": str(len(problem))}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": problem, "more_body": True})
    await body.drain()
    await send({"type": "http.response.body", "body": b""})


def _values(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for name, value in headers if name == wanted]


def _require_size(size_bytes: int) -> None:
    if size_bytes > LONGEST_BODY_BYTES:
        detail = "the body is too large: send fewer frames at once"
        raise InputError(detail, code="body_too_large", limit=LONGEST_BODY_BYTES, status=413)


def _require_json(types: list[str]) -> None:
    """Raise a 415 unless the body says that it is JSON, in UTF-8.

    A page of another site can send text/plain and forms without asking, and JSON it cannot.
    """
    media, _, parameters = (types[0] if len(types) == 1 else "").partition(";")
    charset = parameters.replace('"', "").replace(" ", "").lower()
    if media.strip().lower() == _MEDIA_TYPE and charset in {"", "charset=utf-8", "charset=utf8"}:
        return
    sent = f"it says {excerpt(', '.join(types))}" if types else "it says none"
    detail = (
        f"a push is {_MEDIA_TYPE} in UTF-8 and {sent}; add the header"
        f" Content-Type: {_MEDIA_TYPE} (curl --json does, or -H)"
    )
    raise InputError(detail, code="unsupported_media_type", field="content-type", status=415)


def _require_identity(encodings: list[str]) -> None:
    if encodings and [each.lower() for each in encodings] != ["identity"]:
        detail = f"the encoding {excerpt(', '.join(encodings))} is not taken; taken is: identity"
        code = "unsupported_encoding"
        raise InputError(detail, code=code, field="content-encoding", status=415)
