"""It must be that who frames badly is refused in turn, and that who says nothing yields."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import serving
from tests.serving import Server
from tests.web import raw

HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
SMUGGLED = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"
BAD = b"POST /api/v1/push HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n"
CHUNKED = (
    b"POST /api/v1/push HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)

LORISES = 400
"""Connections that say nothing or half a request: more than the server has places."""


def everything(url: str, *pieces: bytes, pause_seconds: float = 0.0) -> bytes:
    """All that comes back for some bytes, to the end of the connection."""
    with raw.connect(url) as connection:
        for piece in pieces:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(piece)
            time.sleep(pause_seconds)
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(65_536):
                data += more
        return data


def statuses(data: bytes) -> list[bytes]:
    return [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("cut", [1, 20, len(BAD) - 1, len(GET) + 10])
def test_requests_before_a_bad_one_are_answered_first_and_none_behind_it(
    running: Server, cut: int
) -> None:
    data = GET + GET + BAD + b"abc" + SMUGGLED
    found = everything(running.url, data[:cut], data[cut:], pause_seconds=0.05)
    assert statuses(found) == [b"200", b"200", b"400"]
    assert json.loads(found.rpartition(b"\r\n\r\n")[2])["code"] == "bad_framing"
    assert b"process_cpu" not in found


@pytest.mark.parametrize(
    "body", [b"3 \r\nabc\r\n", b"3\nabc\n", b"3\r\nabcd\r\n", b"0\r\nContent-Length: 3\r\n\r\n"]
)
def test_a_bad_chunk_ends_the_push_that_it_is_of_with_a_reason(
    running: Server, body: bytes
) -> None:
    found = everything(running.url, GET + CHUNKED, body + SMUGGLED, pause_seconds=0.05)
    assert statuses(found) == [b"200", b"400"]
    assert json.loads(found.rpartition(b"\r\n\r\n")[2])["code"] == "bad_framing"


def test_a_websocket_that_speaks_before_it_is_answered_is_refused_without_a_fault(
    running: Server,
) -> None:
    request = (
        b"GET /api/v1/agent HTTP/1.1\r\n"
        + HOST
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    early = b"\x81\x05hello" + SMUGGLED
    for pieces, status in (((request + early,), b"400"), ((request, early), b"101")):
        found = everything(running.url, *pieces, pause_seconds=0.1)
        assert statuses(found) == [status]
    assert raw.get(running.url, "/healthz").status == 200
    assert "Traceback" not in running.said()


def test_a_head_that_dribbles_is_cut_with_a_reason_and_one_that_never_begins_without(
    running: Server,
) -> None:
    silent, dribbling = raw.connect(running.url), raw.connect(running.url)
    began = time.monotonic()
    with silent, dribbling:
        for byte in GET[:-4]:
            if select.select([dribbling], [], [], 0.4)[0]:
                break
            dribbling.sendall(bytes([byte]))
        answer = raw.read(dribbling)
        assert (answer.status, answer.json()["code"]) == (408, "request_timeout")
        assert time.monotonic() - began < 4 * 5.0
        assert silent.recv(1) == b""


def test_a_slow_body_of_an_arbitrary_route_is_ended(running: Server) -> None:
    for target in ("/", "/api/v1/hosts", "/nowhere", "/login"):
        head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nab"
        with raw.connect(running.url) as connection:
            connection.settimeout(20)
            connection.sendall(head.encode())
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(65_536):
                    pass


def test_connections_that_say_nothing_keep_neither_health_nor_pushes_out(tmp_path: Path) -> None:
    limited = ["prlimit", "--nofile=600", *serving.checkout_command()]
    server = serving.start(tmp_path, command=limited)
    address = urlsplit(server.url)
    found: list[socket.socket] = []
    try:
        for number in range(LORISES):
            connection = socket.create_connection((address.hostname, address.port), 5)
            found.append(connection)
            if number % 2:
                with contextlib.suppress(OSError):
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")
            if number % 20 == 0:
                assert raw.get(server.url, "/healthz").status == 200
                assert pushed(server.url, number) == 200
        assert "no connection can be accepted" not in server.said()
        assert "Traceback" not in server.said()
        counts = raw.get(server.url, "/metrics").body.decode()
        assert 'reason="yield"' in counts
    finally:
        for connection in found:
            connection.close()
    assert server.end() == 0


def pushed(url: str, number: int) -> int:
    body = json.dumps({"host": "web-1", "metrics": {"app.number": number}}).encode()
    head = (
        b"POST /api/v1/push HTTP/1.1\r\n"
        + HOST
        + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    return raw.send(url, head + body).status
