"""The way to a server: who it is, whom we believe it to be, and what we show to be let in.

A `Link` opens connections; it remembers nothing of what is said over them.  Thousands of senders
may share one.  Redirects are never followed: where a token goes is decided by the operator.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.agent.place import Place
from monitor.agent.threads import off_loop
from monitor.agent.trust import Trust, Untrusted
from monitor.agent.websocket import Ended, Heard, NoUpgrade, WebSocket
from monitor.errors import excerpt

if TYPE_CHECKING:
    from monitor.agent.posting import Posting

OPEN_SECONDS = 10.0
"""How long it may take until a connection can be used."""

AGENT_PATH = "/api/v1/agent"

REFUSALS = frozenset({401, 403, 409, 429, 503, 507})
"""Statuses with which our server, and nobody else, refuses an agent, if it says so in a problem."""


class Cut(Exception):
    """There is no connection, or it has ended; the text says why, for the operator."""


class NoAnswer(Cut):
    """Nobody answers in time, neither yes nor no."""


class Refused(Exception):
    """The server has heard us and does not want us as we are: `problem` is what it says."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class NoWebSocket(Exception):
    """Something on the way, or an older server, does not let a WebSocket pass."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something was refused, as the server's problem objects say it."""

    code: str
    detail: str = ""
    status: int = 0
    field: str = ""
    retry_after: float | None = None

    @classmethod
    def of(cls, said: Mapping[Any, Any], status: int = 0, retry_after: str = "") -> Problem:
        """The problem that this object is; what is missing or odd in it is left out."""
        after: Any = said.get("retry_after", retry_after)
        try:
            seconds = max(0.0, min(float(after), 3600.0)) if after != "" else None
        except (TypeError, ValueError):
            seconds = None
        found = said.get("status")
        return cls(
            excerpt(str(said.get("code", ""))),
            _plain(str(said.get("detail", ""))),
            found if type(found) is int else status,
            str(said.get("field") or "")[:256],
            seconds,
        )

    @classmethod
    def read(cls, status: int, headers: Mapping[str, str], body: bytes) -> Problem | None:
        """The problem that an HTTP answer is, none where it is no problem document."""
        if not headers.get("content-type", "").startswith("application/problem+json"):
            return None
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict):
            return None
        return cls.of(said, status, headers.get("retry-after", ""))


def _plain(text: str) -> str:
    """Somebody's sentence, short and printable."""
    return "".join(c if c.isprintable() else " " for c in text[:512])


class Link:
    """The way to one server.  `token` is asked with every connection, so that it may change."""

    def __init__(
        self, place: Place, trust: Trust, token: Callable[[], str | None], agent: str = ""
    ) -> None:
        self.place = place
        self._trust = trust
        self._token = token
        self._agent = agent

    async def context(self) -> ssl.SSLContext | None:
        """The TLS context.  Raises `Cut`."""
        try:
            if self._trust.is_settled:
                return self._trust.context()
            return await off_loop(self._trust.context)
        except (Untrusted, OSError) as error:
            raise Cut(reason(error)) from None

    def headers(self) -> dict[str, str]:
        """What every request says beside itself."""
        said = {"User-Agent": self._agent or "awoooi-monitor-agent"}
        token = self._token()
        if token:
            said["Authorization"] = f"Bearer {token}"
        return said

    async def open(self, heard: Heard, ended: Ended) -> WebSocket:
        """A WebSocket; `heard` gets each message, `ended` is told once why there are no more.

        Raises `Cut` where nobody can be reached, `Refused` where the server says why not, and
        `NoWebSocket` where something else answers.
        """
        context = await self.context()
        loop = asyncio.get_running_loop()
        socket = WebSocket(
            self.place, f"{self.place.prefix}{AGENT_PATH}", self.headers(), heard, ended
        )
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await loop.create_connection(
                    lambda: socket,
                    self.place.host,
                    self.place.port,
                    ssl=context,
                    server_hostname=self.place.host if context is not None else None,
                )
                await socket.opened
        except NoUpgrade as answer:
            socket.abort()
            problem = Problem.read(answer.status, answer.headers, answer.body)
            if problem is not None and (answer.status in REFUSALS or _is_version(problem)):
                raise Refused(problem) from None
            raise NoWebSocket(str(answer)) from None
        except (OSError, TimeoutError) as error:
            socket.abort()
            is_late = isinstance(error, TimeoutError)
            raise (NoAnswer if is_late else Cut)(reason(error)) from None
        except BaseException:
            socket.abort()
            raise
        return socket

    async def posting(self) -> Posting:
        """A connection that takes one request after the other.  Raises `Cut`."""
        # Most agents never need it, and http.client is large.
        from monitor.agent.posting import Posting  # noqa: PLC0415

        return Posting(self.place, await self.context(), self.headers)


def _is_version(problem: Problem) -> bool:
    return problem.code == "schema_version"


def reason(error: BaseException) -> str:
    """Why a connection failed, in words for an operator."""
    match error:
        case ssl.SSLCertVerificationError():
            told = getattr(error, "verify_message", "") or error.args[-1]
            return f"the server's certificate is not trusted: {_plain(str(told))}"
        case ssl.SSLError():
            return f"TLS failed: {_plain(str(error.reason or error.args[-1]))}"
        case TimeoutError():
            return "it does not answer in time"
        case OSError() if error.strerror:
            return _plain(error.strerror)
        case _:
            return _plain(str(error)) or type(error).__name__
