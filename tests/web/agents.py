"""An agent's WebSocket by hand: a client that can do everything wrong that one can."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, Self

import msgspec

from tests.ingest.documents import full
from tests.web import raw

PATH = "/api/v1/agent"
KEY = base64.b64encode(b"0123456789abcdef").decode()
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def handshake(*lines: str, method: str = "GET", target: str = PATH) -> bytes:
    """A right request for a WebSocket, with more header lines."""
    sent = (
        "Host: localhost",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        *lines,
    )
    return f"{method} {target} HTTP/1.1\r\n".encode() + "\r\n".join((*sent, "", "")).encode()


def frame(
    opcode: int, data: bytes, *, first: int = 0x80, mask: bytes | None = b"\1\2\3\4"
) -> bytes:
    """A client's frame; `first` holds its final and reserved bits."""
    masked = 0 if mask is None else 0x80
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", first | opcode, masked | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first | opcode, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first | opcode, masked | 127, size)
    if mask is None:
        return head + data
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


class Agent:
    """One connection."""

    def __init__(self, url: str, *lines: str, token: str = "") -> None:
        if token:
            lines = (*lines, f"Authorization: Bearer {token}")
        self.connection = raw.connect(url)
        self._data = b""
        self.connection.sendall(handshake(*lines))
        while b"\r\n\r\n" not in self._data:
            self._receive()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(self.head.split()[1])
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(KEY.encode() + guid).digest()).decode()
        self.is_open = self.status == 101 and f"sec-websocket-accept: {accept}" in self.head
        if not self.is_open:
            self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def _receive(self) -> None:
        more = self.connection.recv(65_536)
        if not more:
            raise EOFError
        self._data += more

    def send(self, document: Any, *, text: bool = False) -> None:
        """Send a document."""
        if text:
            self.connection.sendall(frame(TEXT, json.dumps(document).encode()))
        else:
            self.connection.sendall(frame(BINARY, msgspec.msgpack.encode(document)))

    def frame(self) -> tuple[int, bytes]:
        """The next frame.  Raises `EOFError` at the end of the connection."""
        while True:
            if len(self._data) >= 2:
                size, at = self._data[1], 2
                assert size < 128, "a server does not mask"
                if size == 126 and len(self._data) >= 4:
                    size, at = int.from_bytes(self._data[2:4], "big"), 4
                elif size == 127 and len(self._data) >= 10:
                    size, at = int.from_bytes(self._data[2:10], "big"), 10
                if len(self._data) >= at + size and (size < 126 or at > 2):
                    opcode, said = self._data[0] & 15, self._data[at : at + size]
                    assert self._data[0] & 0x70 == 0
                    self._data = self._data[at + size :]
                    return opcode, said
            self._receive()

    def hear(self) -> dict[str, Any]:
        """The next thing that the server says."""
        opcode, said = self.frame()
        assert opcode in {BINARY, TEXT}, (opcode, said)
        found: dict[str, Any]
        found = json.loads(said) if opcode == TEXT else msgspec.msgpack.decode(said)
        return found

    def acks(self, count: int) -> list[tuple[str, int]]:
        """So many acknowledgements, in the order in which they came."""
        found: list[tuple[str, int]] = []
        while len(found) < count:
            said = self.hear()
            assert not said.get("refused"), said
            found += [(boot_id, seq) for boot_id, seq in said.get("ack", ())]
        return found

    def refusal(self) -> tuple[str | None, int | None, dict[str, Any]]:
        """The one refusal that comes next."""
        ((boot_id, seq, problem),) = self.hear()["refused"]
        return boot_id, seq, problem

    def ending(self) -> int:
        """The code that the server ends with, once the connection is over."""
        while True:
            opcode, said = self.frame()
            if opcode == CLOSE:
                break
        self.connection.sendall(frame(CLOSE, said[:2]))
        try:
            while self.connection.recv(65_536):
                """What still comes is nobody's."""
        except ConnectionError:
            """It was quicker."""
        return int.from_bytes(said[:2], "big")


def documents(host: str, count: int, **changes: Any) -> Iterator[dict[str, Any]]:
    """Pushes of one host, numbered from one."""
    for seq in range(1, count + 1):
        yield full(host=host, seq=seq, **changes)


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has ended a connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
