"""``--listen``: the newest frame as OpenMetrics or Prometheus text, for those who prefer to poll.

One address, one page, ``GET /metrics``; a few scrapers at once, each within a deadline.  Beyond
this machine it is served by TLS alone and to whoever brings the token.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import math
import ssl
from collections.abc import Sequence

from monitor.agent.config import AgentConfig, split_listen
from monitor.agent.tokens import read_token
from monitor.core.catalog import metric
from monitor.core.prometheus_names import exported
from monitor.errors import ConfigError, StartError
from monitor.model import Frame, Schema
from monitor.private import require_private

PATHS = frozenset({"/metrics", "/"})

MOST_CONNECTIONS = 16
"""Scrapers at once: three servers, a person, and room."""

KEPT_SECONDS = 90.0
"""How long a value is served that is read no more: three turns of the slowest collector."""

HEAD_BYTES = 8_192
HEAD_SECONDS = 5.0
"""How large a request may be, and how long it may take."""

IDLE_SECONDS = 75.0
"""How long a scraper's connection is kept between two requests: a minute's interval fits."""

WRITE_SECONDS = 10.0
"""How long a scraper may take to read the page."""

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"

logger = logging.getLogger("monitor.agent")


class Page:
    """What is served, and the socket on which.  Raises `ConfigError` for a bad token or key."""

    def __init__(self, config: AgentConfig) -> None:
        self._host, self._port = split_listen(config.listen)
        # Without a server the file holds what scrapers bring; with one it is the way in there.
        self._token = read_token(config.token_file) if config.token_file is not None else None
        self._context = _context(config)
        self._frame: Frame | None = None
        self._newest: dict[str, tuple[float, float]] = {}
        """The newest value of each KEY that there is, and its instant."""
        self._layout: _Layout | None = None
        self._server: asyncio.Server | None = None
        self._open = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self._port

    def show(self, frame: Frame) -> None:
        """Serve this frame from now on, with what slower collectors read before it."""
        if self._frame is None or self._frame.schema is not frame.schema:
            there = frame.schema.index.keys()
            self._newest = {text: self._newest[text] for text in there & self._newest.keys()}
        for text, value in zip(frame.schema.texts, frame.values, strict=True):
            if not math.isnan(value):
                self._newest[text] = value, frame.at
        self._frame = frame

    async def open(self) -> None:
        """Listen.  Raises `StartError`."""
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self._port, ssl=self._context, limit=HEAD_BYTES
            )
        except OSError as error:
            detail = f"cannot listen on {self._host}:{self._port}: {error.strerror or error}"
            raise StartError(detail) from None
        self._port = self._server.sockets[0].getsockname()[1]
        scheme = "https" if self._context is not None else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        logger.info("listening on %s://%s:%d/metrics", scheme, host, self._port)

    async def close(self) -> None:
        """Stop, and end the connections there are."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        self._writers.add(writer)
        try:
            seconds = HEAD_SECONDS
            while await self._answer(reader, writer, seconds):
                seconds = IDLE_SECONDS
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a scraper that went, or was slow, or sent something else
        finally:
            self._open -= 1
            self._writers.discard(writer)
            writer.transport.abort() if writer.transport.is_closing() else writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
    ) -> bool:
        """Answer one request; whether another may follow."""
        async with asyncio.timeout(seconds):
            head = await reader.readuntil(b"\r\n\r\n")
        status, media, body, stays = self._judged(head.decode("latin-1"))
        reply = (
            f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n"
            f"Connection: {'keep-alive' if stays else 'close'}\r\nCache-Control: no-store\r\n"
        )
        if status.startswith("401"):
            reply += "WWW-Authenticate: Bearer\r\n"
        is_head = head.startswith(b"HEAD ")
        writer.write(reply.encode() + b"\r\n" + (b"" if is_head else body))
        async with asyncio.timeout(WRITE_SECONDS):
            await writer.drain()
        return stays

    def _judged(self, head: str) -> tuple[str, str, bytes, bool]:
        """Status, media type, body, and whether the connection stays."""
        first, *lines = head.split("\r\n")
        method, _, rest = first.partition(" ")
        target, _, version = rest.rpartition(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines if line)
        }
        if version not in {"HTTP/1.1", "HTTP/1.0"} or not {
            "content-length",
            "transfer-encoding",
        }.isdisjoint(headers):
            return "400 Bad Request", TEXT, b"no request with a body is answered\n", False
        stays = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        if not self._is_admitted(headers.get("authorization", "")):
            return "401 Unauthorized", TEXT, b"a token is needed\n", stays
        if method not in {"GET", "HEAD"}:
            return "405 Method Not Allowed", TEXT, b"GET alone is answered\n", stays
        if target.partition("?")[0] not in PATHS:
            return "404 Not Found", TEXT, b"it is /metrics\n", stays
        frame = self._frame
        if frame is None:
            return "503 Service Unavailable", TEXT, b"nothing is collected yet\n", stays
        is_open = "application/openmetrics-text" in headers.get("accept", "")
        return "200 OK", OPENMETRICS if is_open else TEXT, self._text(frame, is_open), stays

    def _is_admitted(self, said: str) -> bool:
        if self._token is None:
            return True
        expected = f"Bearer {self._token}"
        return hmac.compare_digest(said.encode("latin-1"), expected.encode("latin-1"))

    def _text(self, frame: Frame, is_openmetrics: bool) -> bytes:
        layout = self._layout
        if layout is None or layout.schema is not frame.schema or layout.is_open != is_openmetrics:
            layout = self._layout = _Layout(frame.schema, is_openmetrics)
        nothing = math.nan, -math.inf
        newest = [self._newest.get(text, nothing) for text in frame.schema.texts]
        return layout.text([v if frame.at - at <= KEPT_SECONDS else math.nan for v, at in newest])


class _Layout:
    """How the columns of one schema are written: what stands before each number."""

    def __init__(self, schema: Schema, is_openmetrics: bool) -> None:
        self.schema = schema
        self.is_open = is_openmetrics
        families: dict[str, list[tuple[int, str]]] = {}
        heads: dict[str, str] = {}
        for column, key in enumerate(schema.keys):
            name, labels = exported(key)
            known = metric(key.name)
            counts = name.endswith("_total")
            family = name.removesuffix("_total") if is_openmetrics and counts else name
            heads.setdefault(
                name,
                f"# HELP {family} {_escaped(known.help)}\n"
                f"# TYPE {family} {'counter' if counts else 'gauge'}\n",
            )
            inner = ",".join(
                '{}="{}"'.format(label, _escaped(value).replace('"', '\\"'))
                for label, value in labels
            )
            written = f"{name}{{{inner}}} " if inner else f"{name} "
            families.setdefault(name, []).append((column, written))
        self._families = [(heads[name], columns) for name, columns in families.items()]

    def text(self, values: Sequence[float]) -> bytes:
        """The page of these values; what is absent is left out."""
        pieces: list[str] = []
        for head, columns in self._families:
            lines = [
                f"{written}{_number(values[column])}\n"
                for column, written in columns
                if not math.isnan(values[column])
            ]
            if lines:
                pieces.append(head)
                pieces += lines
        if self.is_open:
            pieces.append("# EOF\n")
        return "".join(pieces).encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _context(config: AgentConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    try:
        require_private(config.tls_key)
    except ValueError as error:
        raise ConfigError([f"{config.tls_key}: {error}"]) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError([f"{config.tls_cert}: cannot be used: {error}"]) from None
    return context
