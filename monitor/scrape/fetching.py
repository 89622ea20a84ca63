"""One answer of one target: asked for, bounded in time and size, and judged before it is read."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from monitor.errors import InputError, MonitorError
from monitor.ingest.exposition import ACCEPT, Format, format_of
from monitor.outbound.client import Client, client
from monitor.outbound.connecting import Connector, trusting
from monitor.outbound.faults import OutboundFailed
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.scrape.config import ScrapeConfig
from monitor.scrape.targets import Target

AGENT = "awoooi-monitor"

LARGE_BYTES = 256 * 1024
"""An answer that is larger waits for one of a few places, so that many at once hold little."""


Trust: TypeAlias = Callable[[str, Path | None], Awaitable[ssl.SSLContext]]
"""What a URL's certificate is verified with, given a file of authorities."""


class Places(Protocol):
    """Where there is room for so many large answers at once."""

    async def acquire(self) -> object:
        """Wait for a place."""

    def release(self) -> None:
        """Give it back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, and the format that it says it is in."""

    form: Format
    body: bytes


class Fetcher:
    """Asks one target, over a connection that is kept."""

    def __init__(
        self, target: Target, config: ScrapeConfig, connector: Connector, trust: Trust
    ) -> None:
        self._url = target.url
        self._shown = target.place.written
        self._headers = {"accept": ACCEPT, "user-agent": AGENT}
        self._headers["x-prometheus-scrape-timeout-seconds"] = f"{config.timeout_seconds:g}"
        self._config = config
        self._connector = connector
        self._trust = trust
        self._client: Client | None = None

    async def fetch(self, large: Places) -> Answer:
        """Ask once.

        Raises `MonitorError`: as `monitor.outbound` does, ``redirect_blocked``, ``http_status``,
        ``not_exposition``.
        """
        headers: Mapping[str, str] = self._headers
        if self._config.token is not None:
            headers = {**headers, "authorization": f"Bearer {self._config.token.reveal()}"}
        through = await self._opened()
        body = bytearray()
        has_place = False
        try:
            async with through.stream("GET", self._url, headers=headers) as response:
                form = self._judged(response.status_code, response.headers.get("content-type", ""))
                async with aclosing(response.aiter_raw()) as chunks:
                    async for chunk in chunks:
                        body += chunk
                        if len(body) > LARGE_BYTES and not has_place:
                            await large.acquire()
                            has_place = True
            return Answer(form, bytes(body))
        finally:
            if has_place:
                large.release()

    async def _opened(self) -> Client:
        if self._client is None:
            self._client = client(
                self._connector,
                deadline_seconds=self._config.timeout_seconds,
                reply_bytes=self._config.max_body,
                tls=await self._trust(self._url, self._config.tls_ca),
            )
        return self._client

    def _judged(self, status: int, content_type: str) -> Format:
        if 300 <= status < 400:
            detail = f"{self._shown} answered with a redirect ({status}), which is not followed"
            raise InputError(detail, code="redirect_blocked")
        if status != 200:
            raise InputError(f"{self._shown} answered with {status}", code="http_status")
        return format_of(content_type)

    async def close(self) -> None:
        """Close its connection."""
        if self._client is not None:
            await self._client.aclose()


class Fetchers:
    """Makes them: each may connect to its own target's place, which the configuration names."""

    def __init__(self, guard: Guard, resolver: Resolver) -> None:
        self._guard = guard
        self._resolver = resolver
        self._trusting: dict[Path | None, ssl.SSLContext] = {}

    def __call__(self, target: Target, config: ScrapeConfig) -> Fetcher:
        """The fetcher of a target."""
        named = self._guard.named | {(target.place.host, target.place.port)}
        connector = Connector(Guard(self._guard.allow, named), self._resolver)
        return Fetcher(target, config, connector, self._trusted)

    async def _trusted(self, url: str, authorities: Path | None) -> ssl.SSLContext:
        """What a certificate is verified with; who speaks no TLS needs no authorities read."""
        if not url.startswith("https:"):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if authorities not in self._trusting:
            try:
                self._trusting[authorities] = await asyncio.to_thread(trusting, authorities)
            except OSError as error:
                detail = f"the file of authorities cannot be used: {error.strerror or error}"
                raise InputError(detail, code="tls") from None
        return self._trusting[authorities]


def code_of(error: MonitorError) -> str:
    """Why a scrape failed, in a word."""
    return error.reason.value if isinstance(error, OutboundFailed) else error.code
