"""Readers of an event stream, made of nothing but sockets: they hear what is really sent.

`Decoder` undoes chunks and gzip and cuts blocks, strictly: whatever it cannot explain fails the
test.  `Reader` reads with asyncio beside a server in the same loop, and can stand still;
`Stream` reads line by line where the server is another process.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.web import raw

PATH = "/api/v1/stream"

WAIT_SECONDS = 10.0
"""How long a test waits for what must come: far more than it takes on a busy machine."""

READ_BYTES = 64 * 1024


@dataclass(frozen=True)
class Block:
    """What stands between two blank lines: its fields in order; comments have no name."""

    fields: tuple[tuple[str, str], ...]

    @classmethod
    def parsed(cls, text: str) -> Block:
        """A block's lines, each of which must be a field that an event stream knows."""
        fields = []
        for line in text.split("\n"):
            name, _, value = line.partition(":")
            assert name in {"", "event", "id", "retry", "data"}, f"no such field: {line[:80]!r}"
            fields.append((name, value.removeprefix(" ")))
        return cls(tuple(fields))

    def one(self, name: str) -> str:
        """The value of a field, which must not stand twice; empty where it is absent."""
        found = [value for known, value in self.fields if known == name]
        assert len(found) <= 1, self
        return found[0] if found else ""

    @property
    def type(self) -> str:
        return self.one("event")

    @property
    def id(self) -> str:
        return self.one("id")

    @property
    def sequence(self) -> int:
        """The position in the log that its id is."""
        return int(self.id.rpartition("-")[2])

    @property
    def retry(self) -> int:
        return int(self.one("retry"))

    @property
    def data(self) -> dict[str, Any]:
        found = json.loads(self.one("data"), parse_constant=_no_constant)
        assert isinstance(found, dict)
        return found

    @property
    def is_comment(self) -> bool:
        return all(name == "" for name, _ in self.fields)


def _no_constant(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


@dataclass
class Decoder:
    """The bytes of a response's body, in any pieces, to blocks."""

    chunked: bool = False
    gzipped: bool = False
    ended: bool = False
    """Whether the last chunk came."""
    body: bytes = b""
    """What was not yet cut into chunks."""
    sent: int = 0
    """Bytes of the body as they came, chunks' frames not counted."""
    _text: bytes = b""
    _inflate: Any = field(default_factory=lambda: zlib.decompressobj(31))

    def feed(self, data: bytes) -> list[Block]:
        """The blocks that these bytes complete."""
        assert not self.ended, f"after the end came {data[:80]!r}"
        plain = b"".join(self._cut(data)) if self.chunked else data
        self.sent += len(plain)
        self._text += self._inflate.decompress(plain) if self.gzipped else plain
        *blocks, self._text = self._text.split(b"\n\n")
        return [Block.parsed(block.decode()) for block in blocks]

    def _cut(self, data: bytes) -> Iterator[bytes]:
        self.body += data
        while b"\r\n" in self.body:
            size, _, rest = self.body.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            assert rest[length : length + 2] == b"\r\n", rest[length : length + 2]
            self.body = rest[length + 2 :]
            if length == 0:
                self.ended = True
                assert self.body == b"", f"after the end came {self.body[:80]!r}"
                return
            yield rest[:length]

    def end(self) -> None:
        """The connection ended; nothing may be half said."""
        assert self._text == b"", f"half a block: {self._text[:80]!r}"
        assert self.body == b"", f"half a chunk: {self.body[:80]!r}"
        assert self.ended or not self.chunked, "no last chunk"


def request(target: str, version: str = "1.1", **headers: str) -> bytes:
    """A GET; underscores in the headers' names are dashes."""
    sent = {"host": "localhost", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in sent.items())
    return f"GET {target} HTTP/{version}\r\n{lines}\r\n".encode()


def stream(*topics: str, **query: str) -> str:
    """The target that asks for these topics."""
    asked = [f"topics={','.join(topics)}", *(f"{name}={value}" for name, value in query.items())]
    return f"{PATH}?{'&'.join(asked)}"


def connected_socket(url: str, receive_buffer: int | None = None) -> socket.socket:
    """A connection whose kernel holds so much, at most, that nobody read."""
    address = urlsplit(url)
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((address.hostname, address.port))
    return connection


class Reader:
    """An open stream, read with asyncio.  It stands still while nobody asks for more."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        _OPEN.add(self)
        self._reader = reader
        self.writer = writer
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            assert name.lower() not in self.headers, line
            self.headers[name.lower()] = value.strip()
        self.decoder = Decoder(
            chunked=self.headers.get("transfer-encoding") == "chunked",
            gzipped=self.headers.get("content-encoding") == "gzip",
        )
        self._blocks: list[Block] = []

    @classmethod
    async def open(
        cls,
        url: str,
        target: str = PATH,
        *,
        version: str = "1.1",
        receive_buffer: int | None = None,
        context: ssl.SSLContext | None = None,
        **headers: str,
    ) -> Reader:
        """Ask for a stream and read the head of the response.

        With `receive_buffer` little is held for it while it stands still; with `context` it is
        asked for over TLS.
        """
        connection = connected_socket(url, receive_buffer)
        connection.setblocking(False)
        limit = 2**16 if receive_buffer is None else receive_buffer
        name = "localhost" if context else None
        reader, writer = await asyncio.open_connection(
            sock=connection, limit=limit, ssl=context, server_hostname=name
        )
        writer.write(request(target, version, **headers))
        async with asyncio.timeout(WAIT_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer, head)

    async def block(self, seconds: float = WAIT_SECONDS) -> Block | None:
        """The next block, or none at the end of the stream."""
        async with asyncio.timeout(seconds):
            while not self._blocks:
                data = await self._reader.read(READ_BYTES)
                if not data:
                    self.decoder.end()
                    return None
                self._blocks = self.decoder.feed(data)
        return self._blocks.pop(0)

    async def message(self, *types: str, seconds: float = WAIT_SECONDS) -> Block:
        """The next event, of these types where some are named; the stream must not end."""
        async with asyncio.timeout(seconds):
            while True:
                block = await self.block(seconds)
                assert block is not None, "the stream ended"
                if block.type and (not types or block.type in types):
                    return block

    async def messages(self, count: int, *types: str, seconds: float = 30.0) -> list[Block]:
        """So many of them."""
        async with asyncio.timeout(seconds):
            return [await self.message(*types, seconds=seconds) for _ in range(count)]

    async def rest(self, seconds: float = WAIT_SECONDS) -> list[Block]:
        """Everything to the end, which must come in time."""
        async with asyncio.timeout(seconds):
            return [block async for block in self._to_the_end(seconds)]

    async def _to_the_end(self, seconds: float) -> AsyncIterator[Block]:
        while (block := await self.block(seconds)) is not None:
            yield block

    async def body(self) -> bytes:
        """What is left of a response that is no stream."""
        return await self._reader.read(int(self.headers["content-length"]))

    def reset(self) -> None:
        """End it with an RST."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        """End it."""
        _OPEN.discard(self)
        self.writer.transport.abort()


_OPEN: set[Reader] = set()


async def close_all() -> None:
    """End the readers that a test left open."""
    for reader in tuple(_OPEN):
        reader.close()
    await asyncio.sleep(0)  # their connections end in the loop's next round


class Stream:
    """An open stream of another process, read as it comes over HTTP/1.1."""

    def __init__(self, url: str, target: str, **headers: str) -> None:
        self.connection = raw.connect(url)
        self.connection.sendall(request(target, **headers))
        self._file = self.connection.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        self.ended = False

    def blocks(self) -> Iterator[Block]:
        """Each block of the event stream as it comes."""
        decoder = Decoder(
            chunked=self.headers.get("transfer-encoding") == "chunked",
            gzipped=self.headers.get("content-encoding") == "gzip",
        )
        while not decoder.ended and (data := self.connection_read()):
            yield from decoder.feed(data)
        decoder.end()
        self.ended = True

    def connection_read(self) -> bytes:
        """Whatever is there."""
        return self._file.read1(READ_BYTES)

    def messages(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Each message: type, id, payload."""
        for block in self.blocks():
            if block.type:
                yield block.type, block.id, block.data

    def close(self) -> None:
        """End it."""
        self._file.close()
        self.connection.close()
