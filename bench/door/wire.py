"""HTTP/1.1 as far as a load needs it: requests as bytes, and connections that count answers."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Callable
from typing import cast

from monitor.access.credentials import AGENT_PREFIX, make
from monitor.model import Schema

VALUES_MADE = 8
"""Different rows of values that a sender has: making them is not what is measured."""

READ_BYTES = 65_536
ANSWER_SECONDS = 30.0

Answered = Callable[[int, float], None]
"""Is told a status, 0 where the connection ended without one, and when it came, monotonic."""


def get(path: str, *headers: str) -> bytes:
    """A request without a body."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def bearer(token: str | None) -> str:
    """The header of a token."""
    return f"Authorization: Bearer {token}"


def strangers_token() -> str:
    """A token of the right shape that nobody ever made."""
    return make(AGENT_PREFIX).text


class Pushes:
    """The pushes of one host: with its list of KEYs until one is taken, then with its hash."""

    def __init__(self, host: str, token: str | None, series: int) -> None:
        self._head = (
            "POST /api/v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            + (f"{bearer(token)}\r\n" if token else "")
        )
        self._host = host
        keys = tuple(f'app.bench{{kind="{number:03d}"}}' for number in range(series))
        self._schemas = [json.dumps(list(keys)), json.dumps(Schema(keys).digest)]
        numbers = random.Random(host)
        self._values = [
            json.dumps([round(numbers.uniform(0, 100), 3) for _ in range(series)])
            for _ in range(VALUES_MADE)
        ]
        self._boot = f"bench-{time.time_ns()}"
        self._seq = 0
        self.is_known = False
        """Whether the server knows the list of KEYs."""

    def next(self) -> bytes:
        """The next push, of a frame of this instant."""
        self._seq += 1
        body = (
            f'{{"host":"{self._host}","agent":"bench","boot_id":"{self._boot}","seq":{self._seq},'
            f'"schema":{self._schemas[self.is_known]},"frames":[{{"at":{time.time():.3f},'
            f'"values":{self._values[self._seq % VALUES_MADE]}}}]}}'
        )
        return f"{self._head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


class Blocking:
    """One connection that is asked and answers, in turn; opened anew where an answer ended it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_over = False

    def ask(self, request: bytes) -> int:
        """The status of the answer, which is read whole; 0 where none came."""
        if self._is_over:
            self.close()
            self._open()
        self._socket.sendall(request)
        found = b""
        while (size := whole(found)) is None or len(found) < size:
            piece = self._socket.recv(READ_BYTES)
            if not piece:
                break
            found += piece
        self._is_over = not found or is_last(found)
        return int(found[9:12] or 0)

    def close(self) -> None:
        """End it."""
        self._socket.close()


def is_last(answer: bytes) -> bool:
    """Whether the server ends the connection after this answer."""
    return b"\r\nconnection: close\r\n" in answer.lower()


def _retry_seconds(answer: bytes) -> float:
    _, there, rest = answer.lower().partition(b"\r\nretry-after: ")
    return float(rest.split(b"\r\n", 1)[0]) if there else 0.0


def whole(found: bytes) -> int | None:
    """How many bytes an answer has, head and body; none while its head has not come."""
    end = found.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = found[:end].lower()
    _, there, rest = head.partition(b"\r\ncontent-length:")
    return end + 4 + (int(rest.split(b"\r\n", 1)[0]) if there else 0)


class Line:
    """One connection of a load, opened anew where it has ended."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._to = ("127.0.0.1", port)
        self._from = (address, 0)
        self._connection: _Connection | None = None
        self._answered: Answered | None = None
        self.retry_seconds = 0.0
        """When the last answer asked to be asked again."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is waited for."""
        return self._answered is None

    async def ask(self, request: bytes, answered: Answered) -> None:
        """Send a request; `answered` is called once its answer has come, or will not."""
        assert self._answered is None
        self._answered = answered
        if self._connection is None or self._connection.transport.is_closing():
            loop = asyncio.get_running_loop()
            try:
                _, self._connection = await loop.create_connection(
                    lambda: _Connection(self), *self._to, local_addr=self._from
                )
            except OSError:
                self.tell(None, 0)
                return
        self._connection.transport.write(request)

    def tell(self, connection: _Connection | None, status: int) -> None:
        """What a connection has to say; one of before has nothing."""
        if connection is self._connection or connection is None:
            answered, self._answered = self._answered, None
            if answered is not None:
                answered(status, time.monotonic())

    def close(self) -> None:
        """End it."""
        self._answered = None
        if self._connection is not None:
            self._connection.transport.abort()


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, line: Line) -> None:
        self._line = line
        self._found = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._found += data
        size = whole(self._found)
        if size is None or len(self._found) < size:
            return
        answer, self._found = self._found[:size], self._found[size:]
        if is_last(answer):
            self.transport.close()
        self._line.retry_seconds = _retry_seconds(answer)
        self._line.tell(self, int(answer[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        self._line.tell(self, 0)
