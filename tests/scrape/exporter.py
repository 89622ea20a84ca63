"""An exporter on loopback that answers as a test says, well or badly."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from tests.outbound.servers import request, serving

GOOD = b'# TYPE app_jobs gauge\napp_jobs{queue="mail"} 7\napp_up 1\n'

TEXT = "text/plain; version=0.0.4; charset=utf-8"

Mode = Callable[[asyncio.StreamWriter], Awaitable[None]]


def saying(body: bytes, content_type: str = TEXT, status: str = "200 OK", **more: str) -> Mode:
    """A mode that answers with this body."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        headers = {"Content-Type": content_type, "Content-Length": str(len(body)), **more}
        writer.write(_head(status, headers) + body)
        await writer.drain()

    return answer


def _head(status: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def hang(writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte now and then."""
    writer.write(_head("200 OK", {"Content-Type": TEXT, "Content-Length": "1000"}))
    while True:
        writer.write(b"#")
        await writer.drain()
        await asyncio.sleep(0.05)


async def endless(writer: asyncio.StreamWriter) -> None:
    """Chunks without an end."""
    writer.write(_head("200 OK", {"Content-Type": TEXT, "Transfer-Encoding": "chunked"}))
    piece = b'app_jobs{n="1"} 1\n' * 4_000
    while True:
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()


async def huge(writer: asyncio.StreamWriter) -> None:
    """A body of 1 GB, as it says."""
    writer.write(_head("200 OK", {"Content-Type": TEXT, "Content-Length": str(10**9)}))
    while True:
        writer.write(b"#" * 65_535 + b"\n")
        await writer.drain()


BOMB = saying(gzip.compress(b"\n" * 50_000_000, mtime=0), Content_Encoding="gzip")


class Exporter:
    """A running one; `mode` may be changed at any time, `asked` has what it was asked."""

    def __init__(self, port: int, mode: Mode) -> None:
        self.port = port
        self.mode = mode
        self.asked: list[bytes] = []

    @property
    def target(self) -> str:
        """How a configuration names it."""
        return f"127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def exporter(mode: Mode | None = None) -> AsyncIterator[Exporter]:
    """An exporter that answers well unless it is told otherwise."""
    running = Exporter(0, mode or saying(GOOD))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await request(reader):
            running.asked.append(head)
            await running.mode(writer)

    async with serving(answer) as port:
        running.port = port
        yield running
