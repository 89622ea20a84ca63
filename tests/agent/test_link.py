"""The way to a server, and whom to trust.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import asyncio
import hashlib
import http
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from monitor.agent.link import Cut, Link, NoWebSocket, Refused
from monitor.agent.place import Place
from monitor.agent.trust import AUTHORITY_FILE, Trust, parse_pin
from monitor.tls import making
from tests.agent.server import FakeServer, fake_server

TOKEN = "agt_" + "s" * 40


class _Certificates:
    """An authority, a server's certificate that it signed for these names, and their pins."""

    def __init__(self, folder: Path, *names: str) -> None:
        now = datetime.now(UTC)
        self.authority = making.authority("test", now)
        folder.mkdir()
        chain = folder / "chain.pem"
        chain.write_bytes(making.signed(self.authority, names, now))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(chain)
        self.pem = making.pem(self.authority.certificate)
        self.authority_file = folder / "ca.pem"
        self.authority_file.write_bytes(self.pem)
        self.authority_pin = making.fingerprint(self.authority.certificate)
        leaf = ssl.PEM_cert_to_DER_cert(
            "-----BEGIN CERTIFICATE-----"
            + chain.read_text().split("-----BEGIN CERTIFICATE-----")[1]
        )
        self.leaf_pin = f"sha256:{hashlib.sha256(leaf).hexdigest()}"


@pytest.fixture
def certificates(tmp_path: Path) -> _Certificates:
    return _Certificates(tmp_path / "tls", "localhost")


def _answers(status: int, body: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status,
        http.HTTPStatus(status).phrase,
        Headers({**named, "Content-Length": str(len(body)), "Connection": "close"}),
        body,
    )


@pytest.fixture
async def secured(certificates: _Certificates) -> AsyncIterator[FakeServer]:
    """A server by TLS that shows its authority's certificate to everybody."""

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/ca.pem":
            return _answers(200, certificates.pem)
        return None

    async with fake_server(certificates.context) as server:
        server.answer = answer
        yield server


def _link(
    server: FakeServer,
    *,
    scheme: str = "https",
    pin: str = "",
    authority: Path | None = None,
    folder: Path | None = None,
    host: str = "localhost",
    prefix: str = "",
) -> Link:
    place = Place.parse(f"{scheme}://{host}:{server.port}{prefix}")
    trust = Trust(place, parse_pin(pin) if pin else None, authority, folder)
    return Link(place, trust, lambda: TOKEN)


async def _opened(link: Link) -> None:
    """Open a WebSocket, hear the server's first word, and end."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    socket = await link.open(
        lambda message: None if heard.done() else heard.set_result(message),
        lambda code, reason: ended.set_result(code),
    )
    async with asyncio.timeout(10):
        await heard
        socket.close()
        assert await ended == 1000


def _tokens(server: FakeServer) -> list[str | None]:
    return [request.headers.get("Authorization") for request in server.requests]


async def test_a_websocket_opens_with_the_token_and_our_protocol() -> None:
    async with fake_server() as server:
        await _opened(_link(server, scheme="http", prefix="/behind"))
        (request,) = server.requests
        assert request.path == "/behind/api/v1/agent"
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["Sec-WebSocket-Protocol"] == "awoooi.v1"
        assert "Sec-WebSocket-Extensions" not in request.headers


async def test_the_pinned_certificate_is_believed_whatever_its_names(
    secured: FakeServer, certificates: _Certificates
) -> None:
    await _opened(_link(secured, pin=certificates.leaf_pin, host="127.0.0.1"))


async def test_a_pinned_authority_is_fetched_without_credentials_and_kept(
    secured: FakeServer, certificates: _Certificates, tmp_path: Path
) -> None:
    await _opened(
        _link(
            secured, pin=certificates.authority_pin.upper().replace("SHA", "sha"), folder=tmp_path
        )
    )
    assert [request.path for request in secured.requests] == ["/ca.pem", "/api/v1/agent"]
    assert _tokens(secured) == [None, f"Bearer {TOKEN}"]
    assert (tmp_path / AUTHORITY_FILE).exists()
    await _opened(_link(secured, pin=certificates.authority_pin, folder=tmp_path))
    assert [request.path for request in secured.requests].count("/ca.pem") == 1


async def test_a_pinned_authority_vouches_for_the_servers_name_alone(
    secured: FakeServer, certificates: _Certificates
) -> None:
    with pytest.raises(Cut, match=r"certificate.*127\.0\.0\.1"):
        await _opened(_link(secured, pin=certificates.authority_pin, host="127.0.0.1"))
    assert f"Bearer {TOKEN}" not in _tokens(secured)


async def test_a_wrong_pin_is_told_nothing(secured: FakeServer) -> None:
    with pytest.raises(Cut, match="pinned"):
        await _opened(_link(secured, pin="sha256:" + "ab" * 32))
    assert f"Bearer {TOKEN}" not in _tokens(secured)


async def test_a_certificate_that_changes_after_the_look_is_told_nothing(
    secured: FakeServer, certificates: _Certificates, tmp_path: Path
) -> None:
    link = _link(secured, pin=certificates.leaf_pin)
    await _opened(link)
    port, taken = secured.port, len(secured.requests)
    await secured.close()
    async with fake_server() as other:
        await other.close()
        other.port = port
        await other.open(_Certificates(tmp_path / "other", "localhost").context)
        with pytest.raises(Cut, match="not the pinned one"):
            await _opened(link)
        assert not other.requests
    assert len(secured.requests) == taken


async def test_another_authority_that_is_kept_is_not_believed(
    secured: FakeServer, certificates: _Certificates, tmp_path: Path
) -> None:
    other = _Certificates(tmp_path / "other", "localhost")
    (tmp_path / AUTHORITY_FILE).write_bytes(other.pem)
    await _opened(_link(secured, pin=certificates.authority_pin, folder=tmp_path))
    with pytest.raises(Cut):
        await _opened(_link(secured, pin=other.authority_pin, folder=tmp_path))


async def test_a_file_of_authorities_replaces_the_systems(
    secured: FakeServer, certificates: _Certificates, tmp_path: Path
) -> None:
    await _opened(_link(secured, authority=certificates.authority_file))
    with pytest.raises(Cut, match="not trusted"):
        await _opened(_link(secured))
    with pytest.raises(Cut, match="cannot be used"):
        await _opened(_link(secured, authority=tmp_path / "missing.pem"))
    assert _tokens(secured) == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "a" * 63, "md5:" + "a" * 64, "a" * 64])
def test_what_is_no_pin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        parse_pin(text)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with fake_server() as elsewhere, fake_server() as server:
        url = f"http://127.0.0.1:{elsewhere.port}/api/v1/agent"
        server.answer = lambda connection, request: _answers(status, location=url)
        with pytest.raises(NoWebSocket, match=str(status)):
            await _opened(_link(server, scheme="http"))
        assert not elsewhere.requests


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "auth_required"),
        (403, "host_mismatch"),
        (409, "host_taken"),
        (400, "schema_version"),
        (429, "too_many_requests"),
        (503, "unavailable"),
    ],
)
async def test_the_servers_own_refusal_is_heard(status: int, code: str) -> None:
    body = f'{{"code": "{code}", "detail": "why", "status": {status}}}'.encode()
    async with fake_server() as server:
        server.answer = lambda connection, request: _answers(
            status, body, content_type="application/problem+json", retry_after="7"
        )
        with pytest.raises(Refused) as caught:
            await _opened(_link(server, scheme="http"))
        problem = caught.value.problem
        assert (problem.code, problem.detail, problem.status) == (code, "why", status)
        assert problem.retry_after == 7.0


@pytest.mark.parametrize("status", [200, 400, 403, 404, 426, 501, 502])
async def test_what_is_not_our_servers_refusal_means_that_no_websocket_passes(status: int) -> None:
    async with fake_server() as server:
        server.answer = lambda connection, request: _answers(
            status, b"<html>", content_type="text/html"
        )
        with pytest.raises(NoWebSocket):
            await _opened(_link(server, scheme="http"))


@pytest.mark.parametrize(
    "bytes_",
    [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 101 x\r\n\r\n"],
    ids=["closed", "other", "half"],
)
async def test_what_is_no_http_server_is_no_websocket(bytes_: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes_)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    fake = FakeServer(port=listening.sockets[0].getsockname()[1])
    async with listening:
        with pytest.raises((NoWebSocket, Cut)):
            await _opened(_link(fake, scheme="http", host="127.0.0.1"))


async def test_nobody_there_is_said() -> None:
    async with fake_server() as server:
        await server.close()
        with pytest.raises(Cut, match=r"refused|Connect"):
            await _opened(_link(server, scheme="http", host="127.0.0.1"))


async def test_a_server_that_goes_is_told_with_its_code() -> None:
    async with fake_server() as server:
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        link = _link(server, scheme="http")
        socket = await link.open(lambda message: None, lambda code, _: ended.set_result(code))
        await server.until(lambda: True)
        for connection in tuple(server.connections):
            await connection.close(4401, "revoked")
        assert await ended == 4401
        assert not socket.is_open
        socket.send(b"into the void")
