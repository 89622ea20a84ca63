"""What every request must pass, over a raw socket."""

from __future__ import annotations

import pytest
import structlog

from monitor.web.asgi import Message, Scope, Send
from monitor.web.edge import LINE_BURST, Edge
from tests.serving import Server
from tests.web import raw

HOST = b"Host: localhost\r\n"


def refused(answer: raw.Answer, status: int, code: str) -> None:
    """An answer must be this problem, with its security headers and no traceback."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    problem = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert {"type", "title", "detail"} <= set(problem)
    assert b"Traceback" not in answer.body


def test_every_answer_carries_the_security_headers(running: Server) -> None:
    for target in ("/", "/healthz", "/nowhere", "/static/css/nowhere.css"):
        answer = raw.get(running.url, target)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9000", "127.0.0.1:1", "127.1.2.3", "[::1]:80", "LOCALHOST"]
)
def test_loopback_names_are_answered_on_any_port_so_that_a_tunnel_works(
    running: Server, host: str
) -> None:
    assert raw.get(running.url, "/healthz", host=host).status == 200


@pytest.mark.parametrize("target", ["/", "/healthz", "/api/v1/stream", "/nowhere", "/static/x"])
@pytest.mark.parametrize("host", ["evil.example", "192.168.1.7", "localhost.evil.example"])
def test_another_name_is_misdirected_on_every_path(running: Server, host: str, target: str) -> None:
    refused(raw.get(running.url, target, host=host), 421, "bad_host")


@pytest.mark.parametrize("host", ["a@b", "localhost:99999", "localhost:x", "", "a b", "[::1", "é"])
def test_a_host_that_is_no_host_is_refused(running: Server, host: str) -> None:
    answer = raw.get(running.url, "/healthz", host=host)
    assert answer.status in {400, 421}


def test_a_missing_or_double_host_is_refused(running: Server) -> None:
    refused(raw.send(running.url, b"GET /healthz HTTP/1.1\r\n\r\n"), 400, "bad_host")
    refused(raw.send(running.url, b"GET / HTTP/1.1\r\n" + HOST * 2 + b"\r\n"), 400, "bad_host")
    refused(raw.send(running.url, b"GET /healthz HTTP/1.0\r\n\r\n"), 400, "bad_host")


def test_an_overlong_url_is_refused_with_its_limit(running: Server) -> None:
    answer = raw.get(running.url, "/" + "a" * 9000)
    refused(answer, 414, "url_too_long")
    assert answer.json()["limit"] == 8192
    refused(raw.get(running.url, "/?" + "a" * 100_000), 414, "url_too_long")


def test_too_many_or_too_large_headers_are_refused(running: Server) -> None:
    many = {f"x_{number}": "1" for number in range(150)}
    refused(raw.get(running.url, "/", **many), 431, "headers_too_large")
    refused(raw.get(running.url, "/", x_large="a" * 100_000), 431, "headers_too_large")
    refused(raw.get(running.url, "/", x_huge="a" * 270_000), 431, "headers_too_large")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
        b"GET /\x1b HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_with_a_reason(running: Server, request_bytes: bytes) -> None:
    refused(raw.send_and_see_the_end(running.url, request_bytes), 400, "bad_framing")


def test_a_body_where_none_belongs_is_refused_and_the_connection_ends(running: Server) -> None:
    request = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
    answer = raw.send_and_see_the_end(running.url, request)
    refused(answer, 400, "unexpected_body")


def test_two_framings_of_one_body_are_refused_and_the_connection_ends(running: Server) -> None:
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    request = (
        b"POST /healthz HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        + smuggled
    )
    answer = raw.send_and_see_the_end(running.url, request)
    refused(answer, 400, "bad_framing")


@pytest.mark.parametrize(
    ("method", "status"),
    [("TRACE", 405), ("CONNECT", 405), ("POST", 405), ("DELETE", 405), ("BREW", 405)],
)
def test_a_method_that_a_route_has_not_got_is_refused(
    running: Server, method: str, status: int
) -> None:
    request = f"{method} /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    answer = raw.send(running.url, request)
    assert answer.status == status
    assert answer.json()["status"] == status


@pytest.mark.parametrize(
    "target",
    [
        "/nowhere",
        "/hosts/nobody",
        "/hosts/..%2f..%2fetc/passwd",
        "/static/..%2f..%2fetc/passwd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static/..%5c..%5cetc",
        "/static/%252e%252e/x",
        "/static//etc/passwd",
        "//etc/passwd",
        "/static/js/%00",
        "/%0aFAKE%1b[31m",
        "/api/v1/hosts/%ff%fe",
    ],
)
def test_an_unknown_path_is_not_found_and_never_a_file(running: Server, target: str) -> None:
    answer = raw.get(running.url, target)
    assert answer.status == 404
    assert b"root:" not in answer.body
    assert b"Traceback" not in answer.body


def test_a_browser_gets_a_page_and_a_script_gets_a_problem(running: Server) -> None:
    page = raw.get(running.url, "/nowhere", accept="text/html,application/xhtml+xml")
    assert page.status == 404
    assert page.headers["content-type"].startswith("text/html")
    refused(raw.get(running.url, "/nowhere"), 404, "not_found")


def test_an_upgrade_to_http_2_is_not_taken(running: Server) -> None:
    upgrade = (
        b"GET /healthz HTTP/1.1\r\n"
        + HOST
        + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    )
    answer = raw.send(running.url, upgrade)
    assert answer.status == 200
    assert answer.json()["status"] == "ok"
    assert "upgrade" not in answer.headers


def test_http_2_without_asking_is_refused_and_the_connection_ends(running: Server) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    answer = raw.send_and_see_the_end(running.url, preface)
    refused(answer, 505, "http_version_not_supported")


def test_a_websocket_is_refused(running: Server) -> None:
    request = (
        b"GET /api/v1/stream HTTP/1.1\r\n"
        + HOST
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    refused(raw.send(running.url, request), 404, "not_found")


def test_a_path_cannot_forge_a_line_of_the_log(running: Server) -> None:
    raw.get(running.url, "/%0aFAKE-LINE%1b%07")
    forged = [line for line in running.said().splitlines() if line.startswith("FAKE-LINE")]
    assert not forged
    assert "\x1b\x07" not in running.said()


def test_static_files_are_revalidated_and_compressed(running: Server) -> None:
    target = "/static/vendor/uplot/uPlot.esm.js"
    plain = raw.get(running.url, target)
    assert plain.status == 200
    assert plain.headers["content-type"].startswith("text/javascript")
    squeezed = raw.get(running.url, target, accept_encoding="gzip")
    assert squeezed.headers["content-encoding"] == "gzip"
    assert len(squeezed.body) < len(plain.body) / 2
    again = raw.get(running.url, target, if_none_match=plain.headers["etag"])
    assert (again.status, again.body) == (304, b"")


async def test_a_flood_of_failures_fills_no_log() -> None:
    """It must be that an address has some lines, others theirs, and the rest is counted."""

    async def application(_scope: Scope, _receive: object, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        """Nobody reads."""

    edge = Edge(application, ())

    async def fail(address: str) -> None:
        scope: Scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/"}
        scope.update(scheme="https", headers=[(b"host", b"localhost")], client=(address, 1))
        await edge(scope, receive, send)

    with structlog.testing.capture_logs() as lines:
        for _ in range(3 * int(LINE_BURST)):
            await fail("192.0.2.1")
        assert LINE_BURST <= len(lines) < 2 * LINE_BURST
        said = len(lines)
        await fail("192.0.2.2")
    assert len(lines) == said + 1
    assert lines[-1]["unsaid"] == 3 * LINE_BURST - said
