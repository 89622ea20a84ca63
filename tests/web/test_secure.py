"""It must be that a stream over TLS is the stream it is without, and a bad peer costs nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from monitor.stream import hub as hub_module
from monitor.stream.reader import MOST_UNREAD_BYTES
from monitor.tls.contexts import context
from monitor.tls.folder import Kept, kept
from monitor.web import secure
from tests.browser.rig import Rig
from tests.stream.making import CPU, eventually
from tests.stream.reading import Reader, close_all, request, stream

HOT = stream("host:web-1")

MOST_HELD_BYTES = 4 * MOST_UNREAD_BYTES
"""Twice what one that does not read may have waiting without TLS: it waits in two places."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return kept(tmp_path_factory.mktemp("data"), ("localhost", "127.0.0.1"), time.time())


@pytest.fixture(scope="module")
def trust(files: Kept) -> ssl.SSLContext:
    """A client that trusts nothing but the authority."""
    return ssl.create_default_context(cafile=str(files.authority))


@pytest.fixture
async def rig(files: Kept) -> AsyncIterator[Rig]:
    """A server of one host over TLS."""
    made = Rig("web-1")
    made.know("web-1")
    found = context(files.server)
    async with made.serving(context=lambda: found) as running:
        await made.send({CPU: 0.25})
        yield running
        await close_all()


@pytest.fixture
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is to be said about what a peer does wrong."""
    with caplog.at_level(logging.INFO):
        yield
    assert [record.getMessage() for record in caplog.records if record.levelno > 20] == []


def connected(rig: Rig) -> socket.socket:
    address = urlsplit(rig.url)
    return socket.create_connection((address.hostname, address.port), 5)


async def test_a_stream_comes_and_ends_as_it_does_without(
    files: Kept, trust: ssl.SSLContext
) -> None:
    made = Rig("web-1")
    made.know("web-1")
    found = context(files.server)
    async with made.serving(context=lambda: found) as rig:
        await rig.send({CPU: 0.25})
        reader = await Reader.open(rig.url, HOT, context=trust)
        assert (reader.status, reader.headers["content-type"]) == (200, "text/event-stream")
        assert (await reader.message()).type == "connected"
        await rig.send({CPU: 0.75})
        async with asyncio.timeout(5):
            while (await reader.message("metric_update")).data["metrics"][CPU] != 0.75:
                pass
        small = await Reader.open(rig.url, HOT, context=trust, accept_encoding="gzip")
        assert (await small.message()).type == "connected"
        ending = asyncio.create_task(reader.rest())
    last = [block for block in await ending if block.type][-1]
    assert (last.type, last.data["reason"]) == ("disconnected", "shutdown")
    assert reader.decoder.ended
    await close_all()


async def test_a_hundred_readers_have_what_one_has(
    rig: Rig, trust: ssl.SSLContext, silence: None
) -> None:
    readers = await asyncio.gather(*(Reader.open(rig.url, HOT, context=trust) for _ in range(100)))
    for reader in readers:
        assert (await reader.message()).type == "connected"
    assert len(rig.services.connections) == 100
    await rig.send({CPU: 0.5})

    async def hears(reader: Reader) -> None:
        while (await reader.message("metric_update")).data["metrics"][CPU] != 0.5:
            pass

    await asyncio.gather(*(hears(reader) for reader in readers))
    await close_all()
    await eventually(lambda: len(rig.services.connections) == 0)
    assert rig.hub.client_count == 0


async def load(rig: Rig) -> None:
    """Frames that compress badly and come often."""
    step = 0
    while True:
        await asyncio.sleep(0.005)
        step += 1
        await rig.send({f"metric.{number}": number / 7 + step for number in range(1_000)})


@contextlib.asynccontextmanager
async def loaded(rig: Rig) -> AsyncIterator[None]:
    loading = asyncio.create_task(load(rig))
    yield
    loading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await loading


async def test_one_that_never_reads_holds_little_and_is_cut(
    rig: Rig, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, silence: None
) -> None:
    monkeypatch.setattr(hub_module, "STALL_SECONDS", 1.0)
    held = []
    reader = await Reader.open(rig.url, HOT, context=trust, receive_buffer=4096)
    (client,) = rig.hub._delivery.crowd.clients()
    assert isinstance(client.sink, secure.SecureSink)
    async with loaded(rig):
        async with asyncio.timeout(20):
            while client.is_here and client.sink is not None:
                held.append(client.sink.get_write_buffer_size())
                await asyncio.sleep(0.01)
        await eventually(lambda: len(rig.services.connections) == 0)
    assert MOST_UNREAD_BYTES / 2 < max(held) <= MOST_HELD_BYTES
    assert rig.hub.counters.evictions_total["stalled"] == 1
    reader.close()


async def test_one_that_stood_still_is_brought_up_again(
    rig: Rig, trust: ssl.SSLContext, silence: None
) -> None:
    reader = await Reader.open(rig.url, HOT, context=trust, receive_buffer=4096)
    (client,) = rig.hub._delivery.crowd.clients()
    async with loaded(rig):
        await eventually(lambda: client.is_slow, 10)
    await rig.send({"metric.last": 1.0})
    async with asyncio.timeout(15):
        while "metric.last" not in (await reader.message("metric_update")).data["metrics"]:
            pass
    await eventually(lambda: client.is_live)
    assert client.sink is not None
    assert client.sink.get_write_buffer_size() == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x03\x40\x00" + b"\0" * 20_000,
        b"\0" * 100_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_no_tls_is_closed_without_a_word(
    rig: Rig, sent: bytes, silence: None
) -> None:
    connections = rig.services.connections
    with connected(rig) as peer:
        peer.settimeout(5)

        def talk() -> bytes:
            with contextlib.suppress(ConnectionError):
                peer.sendall(sent)
            with contextlib.suppress(ConnectionError):
                return peer.recv(4096)
            return b""

        answered = await asyncio.to_thread(talk)
    assert b"HTTP" not in answered
    await eventually(lambda: len(connections) == 0)
    assert connections.handshakes_failed_total == 1


async def test_a_handshake_that_never_comes_ends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, silence: None
) -> None:
    monkeypatch.setattr(secure, "HANDSHAKE_SECONDS", 0.2)
    connections = rig.services.connections
    silent = [connected(rig) for _ in range(20)]
    silent[0].sendall(b"\x16\x03\x01")  # and no more
    await eventually(lambda: connections.handshakes_failed_total == 20)
    assert len(connections) == 0
    for peer in silent:
        peer.close()


async def test_peers_that_leave_midway_leave_nothing(
    rig: Rig, trust: ssl.SSLContext, silence: None
) -> None:
    for number in range(10):
        reader = await Reader.open(rig.url, HOT, context=trust)
        if number % 2:
            reader.reset()
        else:
            reader.close()
    with connected(rig) as peer:  # amid a handshake
        peer.sendall(b"\x16\x03\x01")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await eventually(lambda: len(rig.services.connections) == 0)


def test_answers_to_a_peer_that_left_are_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """It must be that asyncio says nothing of each, and goes on to say everything else."""
    secure.prepare()
    for said in ("SSL connection is closed", "socket.send() raised exception.", "something else"):
        logging.getLogger("asyncio").warning(said)
    assert caplog.messages == ["something else"]


async def test_requests_follow_each_other_and_bodies_are_whole(
    rig: Rig, trust: ssl.SSLContext, silence: None
) -> None:
    address = urlsplit(rig.url)
    reader, writer = await asyncio.open_connection(
        address.hostname, address.port, ssl=trust, server_hostname="localhost"
    )
    for target in ("/healthz", "/static/css/base.css", "/healthz"):
        writer.write(request(target))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0] + b" ", head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert len(await reader.readexactly(length)) == length
    writer.close()
    await eventually(lambda: len(rig.services.connections) == 0)


async def test_versions_and_protocols_are_todays(
    rig: Rig, files: Kept, trust: ssl.SSLContext
) -> None:
    def shaken(client: ssl.SSLContext) -> tuple[str | None, str | None, str, str | None]:
        with connected(rig) as peer, client.wrap_socket(peer, server_hostname="localhost") as tls:
            cipher = tls.cipher()
            assert cipher is not None
            return tls.version(), tls.selected_alpn_protocol(), cipher[0], tls.compression()

    client = ssl.create_default_context(cafile=str(files.authority))
    client.set_alpn_protocols(["h2"])
    version, protocol, _, compressed = await asyncio.to_thread(shaken, client)
    assert (version, protocol, compressed) == ("TLSv1.3", None, None)
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert (await asyncio.to_thread(shaken, client))[1] == "http/1.1"
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    version, _, cipher, _ = await asyncio.to_thread(shaken, client)
    assert version == "TLSv1.2"
    assert cipher.startswith("ECDHE-")
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.deprecated_call():
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)alert|version|protocol|reset|eof"):
        await asyncio.to_thread(shaken, client)


async def test_a_new_certificate_is_for_new_connections(
    files: Kept, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    other = kept(tmp_path, ("localhost",), time.time())
    contexts = [context(files.server)]
    made = Rig("web-1")
    made.know("web-1")
    async with made.serving(context=lambda: contexts[-1]) as rig:
        old = await Reader.open(rig.url, HOT, context=trust)
        assert (await old.message()).type == "connected"
        contexts.append(context(other.server))
        with pytest.raises(ssl.SSLCertVerificationError):
            await Reader.open(rig.url, HOT, context=trust)
        new = ssl.create_default_context(cafile=str(other.authority))
        assert (await (await Reader.open(rig.url, HOT, context=new)).message()).type == "connected"
        await rig.send({CPU: 0.5})
        await old.message("metric_update")
        await close_all()
