"""HTTP within bounds, whatever the other end does."""

from __future__ import annotations

import asyncio
import gzip
import io
import ipaddress
import logging
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import httpx2
import pytest

from monitor import logs
from monitor.outbound.client import REPLY_BYTES, ask, client
from monitor.outbound.connecting import Connector, trusting
from monitor.outbound.faults import OutboundFailed, OutboundRefused, Reason, UrlNotAllowed
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from tests.outbound.servers import certificates, request, saying, serving

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"


def going(**bounds: Any) -> httpx2.AsyncClient:
    """A client that may go to loopback, where every name leads."""
    guard = Guard((ipaddress.ip_network("127.0.0.0/8"),))
    return client(Connector(guard, Resolver(lambda _: ["127.0.0.1"])), **bounds)


async def test_ordinary() -> None:
    """It must be that a request and its reply come through, on a connection that is kept."""
    heads: list[bytes] = []
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while head := await request(reader):
            heads.append(head)
            await reader.readexactly(2)
            writer.write(OK + b"Content-Length: 2\r\n\r\nok")

    async with serving(answer) as port, going() as through:
        for _ in range(3):
            reply = await ask(
                through, "POST", f"http://A.lan:{port}/a?b", headers={"x": "y"}, content=b"{}"
            )
            assert (reply.status, reply.body, reply.cut) == (200, b"ok", False)
    assert heads[0].startswith(b"POST /a?b HTTP/1.1\r\n")
    assert f"host: a.lan:{port}\r\n".encode() in heads[0].lower()
    assert b"x: y\r\n" in heads[0].lower()
    assert (len(heads), connections) == (3, 1)


async def test_kept_connection_that_ended() -> None:
    """It must be that a kept connection that the other end has closed is replaced."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK + b"Content-Length: 2\r\n\r\nok")
        await writer.drain()

    async with serving(answer) as port, going() as through:
        for _ in range(3):
            assert (await ask(through, "GET", f"http://a.lan:{port}/")).status == 200
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("where", ["http://169.254.169.254/", "/again", "http://b.lan/"])
async def test_no_redirect(where: str) -> None:
    """It must be that a redirect is a reply and no more, even to whoever asks for more."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await request(reader):
            asked += 1
            location = where.encode()
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: %b\r\n" % location)
            writer.write(b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async with serving(answer) as port, going() as through:
        assert (await ask(through, "GET", f"http://a.lan:{port}/")).status == 302
        response = await through.get(f"http://a.lan:{port}/", follow_redirects=True)
        assert response.status_code == 302
        assert not through.cookies
    assert asked == 2


async def test_refused() -> None:
    """It must be that a client goes nowhere that its guard does not allow, however it is asked."""
    nowhere = client(Connector(Guard(), Resolver(lambda _: ["10.0.0.1"])))
    async with nowhere:
        for url in ("http://127.0.0.1:8460/", "http://127.1/", "ftp://a.example/", "http://a:25/"):
            with pytest.raises(UrlNotAllowed):
                await nowhere.get(url)
        with pytest.raises(OutboundRefused, match=r"leads to 10\.0\.0\.1, a private address"):
            await nowhere.get("http://a.example/")


async def test_nothing_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It must be that neither a proxy nor a password is taken from the environment."""
    passwords = tmp_path / "netrc"
    passwords.write_text("machine a.lan login me password hunter2\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("NETRC", str(passwords))
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await request(reader))
        writer.write(OK + b"Content-Length: 0\r\n\r\n")
        await writer.drain()

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(answer) as port, going() as through:
        assert (await ask(through, "GET", f"http://a.lan:{port}/")).status == 200
    assert b"authorization" not in heads[0].lower()


def endless() -> bytes:
    """A chunk of a reply that has no end."""
    return b"10000\r\n" + b"x" * 65536 + b"\r\n"


async def test_endless_reply() -> None:
    """It must be that of ten gigabytes no more is taken than the bound, and the status counts."""
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request(reader)
        writer.write(CHUNKED + b"\r\n")
        while sent < 10_000_000_000:
            writer.write(endless())
            await writer.drain()
            sent += 65536

    async with serving(answer) as port, going() as through:
        reply = await ask(through, "GET", f"http://a.lan:{port}/")
        assert (reply.status, reply.cut) == (200, True)
        assert len(reply.body) <= REPLY_BYTES
        with pytest.raises(OutboundFailed, match="more than 65,536 bytes") as fault:
            await through.get(f"http://a.lan:{port}/")
        assert fault.value.reason is Reason.TOO_LARGE
    # What the sockets' buffers took is not ours.
    assert sent < 100_000_000


@pytest.mark.parametrize("length", [REPLY_BYTES, REPLY_BYTES + 1])
@pytest.mark.parametrize("packed", [False, True])
async def test_bound(length: int, packed: bool) -> None:
    """It must be that a reply of just the bound comes, and one of a byte more does not."""
    body = gzip.compress(b"x" * length) if packed else b"x" * length
    head = OK + (b"Content-Encoding: gzip\r\n" if packed else b"")
    whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with serving(saying(whole)) as port, going() as through:
        if length > REPLY_BYTES:
            with pytest.raises(OutboundFailed, match="more than"):
                await through.get(f"http://a.lan:{port}/")
            return
        response = await through.get(f"http://a.lan:{port}/")
        assert response.content == b"x" * length
        assert "content-encoding" not in response.headers


def bomb() -> bytes:
    """A hundred megabytes in a hundred kilobytes."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()


async def test_bomb() -> None:
    """It must be that a bomb fails at the bound, and not after it went off in memory."""
    body = bomb()
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with serving(saying(head, body)) as port, going(reply_bytes=1 << 20) as through:
        tracemalloc.start()
        try:
            with pytest.raises(OutboundFailed, match="more than 1,048,576 bytes"):
                await through.get(f"http://a.lan:{port}/")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 10 << 20


@pytest.mark.parametrize(
    ("coding", "body", "reason"),
    [
        (b"gzip", gzip.compress(b"x", mtime=0) + b"trailing", Reason.BAD_REPLY),
        (b"gzip", gzip.compress(b"x" * 999, mtime=0)[:-9], Reason.BAD_REPLY),
        (b"gzip", b"plain", Reason.BAD_REPLY),
        (b"gzip, gzip", gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), Reason.BAD_REPLY),
        (b"br", b"x", Reason.BAD_REPLY),
        (b"deflate", zlib.compress(b"x"), Reason.BAD_REPLY),
    ],
    ids=["trailing", "short", "plain", "twice", "br", "deflate"],
)
async def test_compression(coding: bytes, body: bytes, reason: Reason) -> None:
    """It must be that broken compression and other compression fail."""
    head = OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    bounds = {"reply_bytes": 1 << 20}
    async with serving(saying(head, body)) as port, going(**bounds) as through:
        with pytest.raises(OutboundFailed) as fault:
            await through.get(f"http://a.lan:{port}/")
    assert fault.value.reason is reason


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def dribbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    writer.write(CHUNKED + b"\r\n")
    while True:
        writer.write(b"1\r\nx\r\n")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [silent, dribbling])
async def test_deadline(answer: Any) -> None:
    """It must be that all of it has one deadline, though every part of it comes in time."""
    async with serving(answer) as port, going(deadline_seconds=0.2) as through:
        with pytest.raises(OutboundFailed, match="did not answer in time") as fault:
            await through.get(f"http://a.lan:{port}/hunter2")
    assert fault.value.reason is Reason.TOO_SLOW


@pytest.mark.parametrize(
    "said",
    [
        b"hunter2 no HTTP\r\n\r\n",
        OK + b"Content-Length: 5\r\n\r\nhun",
        OK + b"hunter2\r\n\r\n",
        OK + b"X: " + b"hunter2" * 50_000,
        CHUNKED + b"\r\nhunter2\r\n",
        b"",
    ],
)
async def test_bad_reply(said: bytes) -> None:
    """It must be that what is no reply fails, and is not repeated to anybody."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(said)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with serving(answer) as port, going() as through:
        with pytest.raises(OutboundFailed) as fault:
            await through.get(f"http://a.lan:{port}/")
    assert fault.value.reason is Reason.BAD_REPLY
    assert "hunter2" not in fault.value.detail


async def test_tls(tmp_path: Path) -> None:
    """It must be that https is verified for the URL's host, and no request can name another."""
    context, authority = certificates(tmp_path, "good.example")
    reply = saying(OK + b"Content-Length: 2\r\n\r\nok")
    async with serving(reply, context) as port:
        async with going(tls=trusting(authority)) as through:
            assert (await through.get(f"https://good.example:{port}/")).text == "ok"
            with pytest.raises(OutboundFailed, match=r"certificate of other\.example is refused"):
                await through.get(
                    f"https://other.example:{port}/", extensions={"sni_hostname": "good.example"}
                )
        async with going() as through:
            with pytest.raises(OutboundFailed) as fault:
                await through.get(f"https://good.example:{port}/hunter2")
            assert fault.value.reason is Reason.TLS
            assert "hunter2" not in fault.value.detail


async def test_no_log_of_addresses() -> None:
    """It must be that no log names a URL's path or a request's headers, at any level."""
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure(logs.LoggingConfig(level="debug"), out)
        logging.getLogger("t").debug("seen")
        async with serving(saying(OK + b"Content-Length: 0\r\n\r\n")) as port, going() as through:
            await through.get(f"http://a.lan:{port}/hunter2", headers={"authorization": "hunter2"})
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert "seen" in out.getvalue()
    assert "hunter2" not in out.getvalue()
