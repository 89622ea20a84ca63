"""Bodies of what is pushed, whichever route they come to: read within bounds, inflated, refused.

Plain ASGI.  A body is read only once its headers are right, within a size, two deadlines and a
sum of all bodies that are being read, whatever route they came to.  What stands in it is the
business of `monitor.ingest`; what an answer says, that of the route.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from monitor.errors import InputError, MonitorError, Unavailable, excerpt
from monitor.ingest.inflating import CODINGS, Coding, inflated
from monitor.web.asgi import Receive, Scope, Send, answer
from monitor.web.problems import CHALLENGE, CONTENT_TYPE, of_error

LONGEST_BODY_BYTES = 4 * 1024 * 1024
"""Of one body, and of what it is once it is inflated: 50,000 values and 10,000 KEYs fit."""

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

LARGE_BYTES = 32 * 1024
"""A larger body is inflated in a worker thread."""

MOST_AT_ONCE = 2
"""Worker threads that inflate; more would only wait for each other."""

_PLAIN_CHARSETS = frozenset({"", "charset=utf-8", "charset=utf8"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a body may take and how much may be held, of all routes together."""

    chunk_seconds: float = CHUNK_SECONDS
    body_seconds: float = BODY_SECONDS
    most_held_bytes: int = MOST_HELD_BYTES


class Left(Exception):
    """The peer went away while it was sending."""


class Body:
    """The body of one request, piece by piece, within its deadlines."""

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        framing = {b"content-length", b"transfer-encoding"}
        self._receive = receive
        self._limits = limits
        self._until: float | None = None
        self.read_bytes = 0
        self.complete = framing.isdisjoint(name for name, _ in scope["headers"])

    async def next(self) -> bytes | None:
        """The next piece, none after the last.

        Raises `Left` where the peer has gone and a 408 where it takes too long.
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
            raise Left
        piece: bytes = message.get("body", b"")
        self.read_bytes += len(piece)
        self.complete = not message.get("more_body", False)
        return piece

    async def drain(self) -> None:
        """Throw away what still comes, within bounds."""
        with contextlib.suppress(Left, MonitorError, TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.complete and self.read_bytes < DRAINED_BYTES:
                    await self.next()


class Bodies:
    """What all routes that take bodies share: the limits, and how much is held."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.held_bytes = 0
        self._inflating = asyncio.Semaphore(MOST_AT_ONCE)

    def of(self, scope: Scope, receive: Receive) -> Body:
        """The body of a request, nothing of which is read yet."""
        return Body(scope, receive, self.limits)

    @contextlib.asynccontextmanager
    async def whole(
        self,
        scope: Scope,
        body: Body,
        codings: tuple[Coding, ...] = CODINGS,
        most_bytes: int = LONGEST_BODY_BYTES,
    ) -> AsyncIterator[bytes]:
        """A body whole and inflated, counted as held until the block is left.

        Raises `Left` where the peer goes, 408 where it is slow, 413 where it is too large, a 415
        where its coding is none of these, 503 where too much is held already, and as `inflated`.
        """
        coding = coding_of(scope, codings)
        for length in values(scope, b"content-length"):
            require_size(int(length[:LONGEST_LENGTH_DIGITS]), most_bytes)
        pieces: list[bytes] = []
        try:
            while (piece := await body.next()) is not None:
                self.held_bytes += len(piece)
                pieces.append(piece)
                require_size(body.read_bytes, most_bytes)
                self._require_room()
            found = b"".join(pieces)
            if coding == "identity":
                yield found
                return
            found = await self._inflated(found, coding, most_bytes)
            with self.holding(len(found)):
                yield found
        finally:
            self.held_bytes -= sum(map(len, pieces))

    @contextlib.contextmanager
    def holding(self, size_bytes: int) -> Iterator[None]:
        """Count so many bytes as held; raises a 503 where they are too many."""
        self.held_bytes += size_bytes
        try:
            self._require_room()
            yield
        finally:
            self.held_bytes -= size_bytes

    async def _inflated(self, body: bytes, coding: Coding, limit: int) -> bytes:
        if len(body) <= LARGE_BYTES:
            return inflated(body, coding, limit)
        async with self._inflating:
            with self.holding(limit):
                return await asyncio.to_thread(inflated, body, coding, limit)

    def _require_room(self) -> None:
        if self.held_bytes > self.limits.most_held_bytes:
            detail = "too many large pushes come at once"
            raise Unavailable(detail, limit=self.limits.most_held_bytes)


async def refuse(
    error: MonitorError,
    body: Body,
    send: Send,
    accepted: str,
    method: str = "POST",
    codings: tuple[str, ...] = CODINGS,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Answer with a problem, and end the connection where the body has not been read.

    `accepted` are the media types that the route takes, as in ``Accept-Post``, and `codings` what
    it can undo; `more` are headers of the route's own.
    """
    problem = of_error(error).encoded()
    headers = {"content-type": CONTENT_TYPE, **more}
    if error.status == 401:
        headers |= CHALLENGE
    elif error.status == 405:
        headers["allow"] = method
    elif error.status == 415:
        headers |= {"accept-encoding": ", ".join(codings), "accept-post": accepted}
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


def values(scope: Scope, wanted: bytes) -> list[str]:
    """Every value of a header."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1").strip() for name, value in headers if name == wanted]


def require_size(size_bytes: int, most_bytes: int = LONGEST_BODY_BYTES) -> None:
    """Raise a 413 where a body is larger than it may be."""
    if size_bytes > most_bytes:
        detail = "the body is too large: send fewer frames at once"
        raise InputError(detail, code="body_too_large", limit=most_bytes, status=413)


def media_of(scope: Scope) -> str:
    """The one media type that a body says it is, lower case; empty where there is none.

    Parameters are left out, unless they name another charset than UTF-8: then it is none.
    """
    types = values(scope, b"content-type")
    media, _, parameters = (types[0] if len(types) == 1 else "").partition(";")
    charset = parameters.replace('"', "").replace(" ", "").lower()
    return media.strip().lower() if charset in _PLAIN_CHARSETS else ""


def coding_of(scope: Scope, taken: tuple[Coding, ...] = CODINGS) -> Coding:
    """The one coding of a body.  Raises a 415 where it is another, or several."""
    found = values(scope, b"content-encoding")
    for coding in taken:
        if [each.lower() for each in found] == [coding]:
            return coding
    if not found:
        return "identity"
    detail = (
        f"the encoding {excerpt(', '.join(found))} is not taken; taken is one of:"
        f" {', '.join(taken)}"
    )
    code = "unsupported_encoding"
    raise InputError(detail, code=code, field="content-encoding", status=415)
