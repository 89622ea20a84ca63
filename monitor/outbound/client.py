"""Clients of HTTP that go only where they may; the one module that imports httpx2.

Everything is bounded in the transport, below whatever uses the client: where it connects, how
long all of it takes, how much the reply holds, inflated or not.  Redirects are not followed, as
their ``Location`` is taken away; nor are cookies kept.  Proxies and passwords from the
environment are not used.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpcore2
import httpx2

from monitor.outbound.connecting import DEADLINE_SECONDS, Connector, opened, too_slow, trusting
from monitor.outbound.faults import OutboundFailed, Reason
from monitor.outbound.targets import Place, judge_url

REPLY_BYTES = 1 << 16
"""How much of a reply is read, unless a client is made for more: channels say little."""

MOST_CONNECTIONS = 100
"""How many connections one client has; who comes later waits within its own deadline."""

MOST_IDLE = 20
"""How many of them are kept for the next request, for `IDLE_SECONDS`."""

IDLE_SECONDS = 30.0

PIECE_BYTES = 256 * 1024
"""How much is inflated before others have their turn: about 1 ms."""

_DROPPED = frozenset({b"location", b"set-cookie", b"refresh"})
"""Headers of a reply by which it would lead on or be remembered."""

_DESCRIBING = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
"""Headers that tell how the body came, which no longer holds for the inflated one."""


Client: TypeAlias = httpx2.AsyncClient


def client(
    connector: Connector,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
    reply_bytes: int = REPLY_BYTES,
    tls: ssl.SSLContext | None = None,
) -> httpx2.AsyncClient:
    """A client whose every request is judged by the connector's guard.

    It raises `UrlNotAllowed`, `OutboundRefused` or `OutboundFailed`; a reply of more than
    `reply_bytes` fails while it is read.  `tls` is a context of `trusting`.
    """
    return httpx2.AsyncClient(
        transport=Transport(connector, deadline_seconds, reply_bytes, tls or trusting()),
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # the transport has one deadline for all of it
        headers={"accept-encoding": "gzip"},
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: enough to tell whether it worked."""

    status: int
    body: bytes
    cut: bool = False
    """Whether there was more than the client reads, or it could not be read to its end."""
    retry_after: str = ""
    """When to come again, as the other end wrote it."""


async def ask(
    through: httpx2.AsyncClient,
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    content: bytes | None = None,
) -> Reply:
    """One request.  A reply whose status came has come, even if its body is too much or broken.

    Raises as `client` says.
    """
    body = bytearray()
    async with through.stream(method, url, headers=headers, content=content) as response:
        later = response.headers.get("retry-after", "")
        try:
            async with aclosing(response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    body += chunk
        except OutboundFailed:
            return Reply(response.status_code, bytes(body), cut=True, retry_after=later)
    return Reply(response.status_code, bytes(body), retry_after=later)


class Transport(httpx2.AsyncBaseTransport):
    """Carries requests, within the guard and the bounds."""

    def __init__(
        self, connector: Connector, deadline_seconds: float, reply_bytes: int, tls: ssl.SSLContext
    ) -> None:
        self._connector = connector
        self._deadline_seconds = deadline_seconds
        self._reply_bytes = reply_bytes
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_IDLE,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=_Backend(connector),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Judge, connect, send; the response when its headers have come."""
        target = judge_url(str(request.url), self._connector.guard)
        place = target.place
        deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        # No extensions: with these a caller could name another host to TLS.
        asked = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=target.scheme, host=place.host, port=place.port, target=target.rest
            ),
            headers=request.headers.raw,
            content=request.stream,
        )
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._pool.handle_async_request(asked)
        except TimeoutError:
            raise too_slow(place) from None
        except (httpcore2.ProtocolError, httpcore2.NetworkError, OSError) as error:
            raise _broken(place, error) from None
        coded = b", ".join(v for k, v in response.headers if k.lower() == b"content-encoding")
        stream = _Body(response, place, deadline, self._reply_bytes, coded.strip().lower())
        if not stream.known:
            await stream.aclose()
            raise OutboundFailed(
                Reason.BAD_REPLY, f"{place.written} answered in an encoding not asked for"
            )
        dropped = _DROPPED | _DESCRIBING if stream.inflates else _DROPPED
        headers = [(k, v) for k, v in response.headers if k.lower() not in dropped]
        return httpx2.Response(response.status, headers=headers, stream=stream)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """A reply's body, inflated, to its bound and its deadline."""

    def __init__(
        self,
        response: httpcore2.Response,
        place: Place,
        deadline: float,
        most_bytes: int,
        coded: bytes,
    ) -> None:
        self._response = response
        self._place = place
        self._deadline = deadline
        self._most_bytes = most_bytes
        self.inflates = coded in (b"gzip", b"x-gzip")
        self.known = self.inflates or coded in (b"", b"identity")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        came = gave = 0
        inflater = zlib.decompressobj(wbits=31) if self.inflates else None
        chunks = self._response.aiter_stream()
        while (chunk := await self._next(chunks)) is not None:
            came += len(chunk)
            if came > self._most_bytes:
                raise self._too_large()
            if inflater is None:
                gave += len(chunk)
                yield chunk
                continue
            has_more = True
            while has_more:
                inflated = self._inflated(inflater, chunk, self._most_bytes - gave)
                gave += len(inflated)
                if inflated:
                    yield inflated
                chunk = inflater.unconsumed_tail
                has_more = len(inflated) == PIECE_BYTES
                if has_more:
                    await asyncio.sleep(0)  # a little may inflate to much, and others wait
        if inflater is not None and came and not inflater.eof:
            raise self._bad("ends within its compression")

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await anext(chunks, None)
        except TimeoutError:
            raise too_slow(self._place) from None
        except (httpcore2.ProtocolError, httpcore2.NetworkError, OSError) as error:
            raise _broken(self._place, error) from None

    def _inflated(self, inflater: Any, chunk: bytes, room: int) -> bytes:
        """What a chunk means, where that fits.  One more byte than fits is enough to tell."""
        try:
            inflated: bytes = inflater.decompress(chunk, min(room + 1, PIECE_BYTES))
        except zlib.error:
            raise self._bad("is no gzip, though it says so") from None
        if len(inflated) > room:
            raise self._too_large()
        if inflater.unused_data:
            raise self._bad("goes on after its compression has ended")
        return inflated

    def _too_large(self) -> OutboundFailed:
        return OutboundFailed(
            Reason.TOO_LARGE,
            f"{self._place.written} answered with more than {self._most_bytes:,} bytes",
        )

    def _bad(self, what: str) -> OutboundFailed:
        return OutboundFailed(Reason.BAD_REPLY, f"the answer of {self._place.written} {what}")

    async def aclose(self) -> None:
        await self._response.aclose()


class _Backend(httpcore2.AsyncNetworkBackend):
    """The connections of httpcore2, made by the connector."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(await self._connector.connect(Place(host, port)))


class _Stream(httpcore2.AsyncNetworkStream):
    """One connection.  Its streams are made when it is known whether TLS is spoken."""

    def __init__(self, connected: Any) -> None:
        self._socket = connected
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        if server_hostname is None or self._streams is not None:
            raise RuntimeError("TLS comes first, and with a name")
        self._streams = await opened(self._socket, server_hostname, ssl_context)
        return self

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await opened(self._socket, "", None)
        return self._streams

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        reader, _ = await self._opened()
        return await reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        _, writer = await self._opened()
        writer.write(buffer)
        await writer.drain()

    async def aclose(self) -> None:
        if self._streams is None:
            self._socket.close()
            return
        # At once: who does not answer in time would not end TLS in time either.
        self._streams[1].transport.abort()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # Asked of an idle connection: whether the other end has said anything, or gone.
            return self._streams is not None and (
                self._streams[0].at_eof() or self._streams[1].is_closing()
            )
        if info == "ssl_object" and self._streams is not None:
            return self._streams[1].get_extra_info("ssl_object")
        return None


def _broken(place: Place, error: Exception) -> OutboundFailed:
    # What libraries say of a bad reply may quote it, and it may quote what was sent.
    return OutboundFailed(
        Reason.BAD_REPLY, f"{place.written} answered nothing usable ({type(error).__name__})"
    )
