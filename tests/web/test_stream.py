"""The event stream over a real socket."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests import serving
from tests.conftest import StartServer
from tests.serving import Server
from tests.stream.reading import Stream
from tests.web import raw

NAME = socket.gethostname()


def test_its_headers_are_exact_and_its_first_bytes_come_at_once(running: Server) -> None:
    began = time.monotonic()
    stream = Stream(running.url, "/api/v1/stream?topics=alerts")
    first = next(stream.messages())
    assert time.monotonic() - began < 1
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-cache, no-transform"
    assert stream.headers["x-accel-buffering"] == "no"
    assert "content-length" not in stream.headers
    assert "content-encoding" not in stream.headers
    assert first[0] == "connected"
    assert first[2]["topics"] == ["alerts"]
    stream.close()


def test_a_host_topic_brings_the_whole_host_and_then_its_changes(running: Server) -> None:
    stream = Stream(running.url, f"/api/v1/stream?topics=host:{NAME}")
    messages = stream.messages()
    assert next(messages)[0] == "connected"
    kind, identity, snapshot = next(messages)
    assert (kind, identity) == ("metric_update", "")
    assert snapshot["host"] == NAME
    assert len(snapshot["metrics"]) > 50
    assert "system" in snapshot["snapshots"]
    kind, _, update = next(messages)
    assert kind == "metric_update"
    assert update["at"] > snapshot["at"]
    assert update["metrics"]["system.uptime"] > snapshot["metrics"]["system.uptime"]
    assert update["snapshots"].get("processes")
    stream.close()


def test_the_fleet_topic_brings_headline_numbers_of_every_host(running: Server) -> None:
    stream = Stream(running.url, "/api/v1/stream")
    messages = stream.messages()
    assert sorted(next(messages)[2]["topics"]) == ["alerts", "fleet"]
    _, _, update = next(messages)
    values = dict(zip(update["metrics"], update["hosts"][NAME], strict=True))
    assert 0 <= values["system.memory.utilization"] <= 1
    stream.close()


def test_the_first_host_update_is_in_the_log_and_can_be_resumed(running: Server) -> None:
    stream = Stream(running.url, "/api/v1/stream?topics=log")
    position = next(stream.messages())[2]["position"]
    stream.close()
    epoch, _, last = position.partition("-")
    assert int(last) >= 1
    stream = Stream(running.url, "/api/v1/stream?topics=log", last_event_id=f"{epoch}-0")
    messages = stream.messages()
    assert "gap" not in next(messages)[2]
    kind, identity, data = next(messages)
    assert (kind, identity) == ("host_update", f"{epoch}-1")
    assert (data["host"], data["status"], data["was"]) == (NAME, "up", None)
    stream.close()


@pytest.mark.parametrize("position", ["nonsense", "0123456789abcdef-5", "%F0%9F%98%80", "'; --"])
def test_a_bad_position_is_a_gap_and_never_an_error(running: Server, position: str) -> None:
    target = f"/api/v1/stream?topics=log&last_event_id={position.replace(' ', '%20')}"
    stream = Stream(running.url, target)
    assert stream.status == 200
    assert "gap" in next(stream.messages())[2]
    stream.close()


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/api/v1/stream?topics=nonsense", 400, "unknown_topic"),
        ("/api/v1/stream?topics=", 400, "unknown_topic"),
        ("/api/v1/stream?topics=host:", 400, "unknown_topic"),
        ("/api/v1/stream?topics=host:nobody", 404, "unknown_host"),
        ("/api/v1/stream?topics=" + ",".join(["fleet"] * 65), 400, "too_many_topics"),
        ("/api/v1/stream?topic=fleet", 400, "unknown_param"),
        ("/api/v1/stream?heartbeat=often", 400, "bad_param"),
    ],
)
def test_a_request_that_cannot_be_granted_is_refused_before_the_stream_opens(
    running: Server, target: str, status: int, code: str
) -> None:
    answer = raw.get(running.url, target)
    assert (answer.status, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("text/event-stream", 200),
        ("text/event-stream; charset=utf-8", 200),
        ("text/*;q=0.5", 200),
        ("application/json\r\nAccept: text/event-stream", 200),
        ("", 200),
        ("application/json", 406),
        ("text/event-stream;q=0, */*", 406),
        ("*/*, text/event-stream;Q=0", 406),
        ("junk", 406),
    ],
)
def test_an_accept_header_that_leaves_no_room_is_refused(
    running: Server, accept: str, status: int
) -> None:
    stream = Stream(running.url, "/api/v1/stream?topics=alerts", accept=accept)
    assert stream.status == status
    stream.close()


def test_head_returns_at_once_and_post_is_refused(running: Server) -> None:
    with raw.connect(running.url) as connection:
        connection.sendall(b"HEAD /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = raw.read(connection, head=True)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream"
    request = b"POST /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    assert raw.send(running.url, request).status == 405


def asks_and_never_reads(url: str) -> socket.socket:
    """A connection whose peer asked for everything of this host and reads nothing of it."""
    address = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect((address.hostname, address.port))
    target = f"/api/v1/stream?topics=host:{NAME}"
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def test_a_reader_that_does_not_read_is_gone_in_time_and_without_a_word(
    start_server: StartServer,
) -> None:
    server = start_server()
    stuck = [asks_and_never_reads(server.url) for _ in range(3)]
    try:
        wait_until(lambda: _connections_of(server) == 3, 5)
        wait_until(lambda: _connections_of(server) == 0, 45)
    finally:
        for connection in stuck:
            connection.close()
    assert "Traceback" not in server.said()


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds, which it must within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not come true within {seconds} s"
        time.sleep(0.1)


def _connections_of(server: Server) -> int:
    """Connections that the server holds, the listener not counted."""
    return len(psutil.Process(server.process.pid).net_connections("tcp")) - 1


def test_sigterm_ends_open_streams_with_a_goodbye_within_two_seconds(
    start_server: StartServer,
) -> None:
    server = start_server()
    streams = [Stream(server.url, "/api/v1/stream") for _ in range(5)]
    readers = [stream.messages() for stream in streams]
    for reader in readers:
        assert next(reader)[0] == "connected"
    stuck = [asks_and_never_reads(server.url) for _ in range(3)]
    time.sleep(5)  # until nothing more fits between the server and them
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for stream, reader in zip(streams, readers, strict=True):
        last = [kind for kind, _, _ in reader][-1]
        assert last == "disconnected"
        assert stream.ended
    assert server.process.wait(5) == 0
    assert time.monotonic() - began < 2
    assert "Traceback" not in server.said()
    for connection in stuck:
        connection.close()
    for stream in streams:
        stream.close()


def test_more_connections_than_descriptors_do_not_fill_the_log_nor_keep_health_out(
    tmp_path: Path,
) -> None:
    limited = ["prlimit", "--nofile=400", *serving.checkout_command()]
    server = serving.start(tmp_path, command=limited)
    address = urlsplit(server.url)
    request = b"GET /api/v1/stream?topics=alerts HTTP/1.1\r\nHost: localhost\r\n\r\n"
    found: list[socket.socket] = []
    answers: list[bytes] = []
    try:
        for _ in range(600):
            connection = socket.socket()
            found.append(connection)
            connection.settimeout(2)
            with contextlib.suppress(OSError):
                connection.connect((address.hostname, address.port))
                connection.sendall(request)
        for connection in found:
            with contextlib.suppress(OSError):
                answers.append(connection.recv(16)[9:12])
        assert answers.count(b"200") > 50
        wait_until(lambda: _is_ready(server.url), 10)
        said = server.said()
        assert said.count("no connection can be accepted") <= 1
        assert "Traceback" not in said
    finally:
        for connection in found:
            connection.close()
    assert server.end() == 0


def _is_ready(url: str) -> bool:
    try:
        return raw.get(url, "/readyz").status == 200
    except (OSError, AssertionError):
        return False
