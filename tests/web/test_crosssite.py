"""It must be that no other site's page changes anything here, and that scripts pass."""

from __future__ import annotations

import pytest

from monitor.web.crosssite import is_foreign
from tests.ingest.documents import simple
from tests.serving import Server
from tests.web import raw

HOST = (b"host", b"mon.lan:8460")


def foreign(*headers: tuple[bytes, bytes], method: str = "POST", scheme: str = "http") -> bool:
    return is_foreign(method, scheme, [HOST, *headers])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), False),
        (((b"sec-fetch-site", b"same-origin"),), False),
        (((b"sec-fetch-site", b"none"),), False),
        (((b"sec-fetch-site", b"same-site"),), True),
        (((b"sec-fetch-site", b"cross-site"),), True),
        (((b"sec-fetch-site", b""),), True),
        (((b"sec-fetch-site", b"none"), (b"sec-fetch-site", b"cross-site")), True),
        (((b"origin", b"http://mon.lan:8460"),), False),
        (((b"origin", b"HTTP://MON.LAN:8460"),), False),
        (((b"origin", b"https://mon.lan:8460"),), True),
        (((b"origin", b"http://mon.lan"),), True),
        (((b"origin", b"http://mon.lan:8461"),), True),
        (((b"origin", b"http://mon.lan:8460.evil.example"),), True),
        (((b"origin", b"http://evil.example"),), True),
        (((b"origin", b"null"),), True),
        (((b"origin", b""),), True),
        (((b"origin", b"http://mon.lan:8460"), (b"origin", b"null")), True),
        (((b"sec-fetch-site", b"cross-site"), (b"origin", b"http://mon.lan:8460")), True),
        # Behind a proxy that speaks TLS the scheme differs; what no page can forge decides.
        (((b"sec-fetch-site", b"same-origin"), (b"origin", b"https://mon.lan:8460")), False),
    ],
)
def test_who_asks_is_told_by_what_a_page_cannot_forge(
    headers: tuple[tuple[bytes, bytes], ...], expected: bool
) -> None:
    assert foreign(*headers) is expected
    for safe in ("GET", "HEAD", "OPTIONS"):
        assert not foreign(*headers, method=safe)
    for method in ("PUT", "PATCH", "DELETE"):
        assert foreign(*headers, method=method) is expected


def test_a_port_that_goes_without_saying_may_be_said_or_not() -> None:
    for host, origin, scheme in (
        (b"mon.lan", b"http://mon.lan:80", "http"),
        (b"mon.lan:80", b"http://mon.lan", "http"),
        (b"mon.lan:443", b"https://mon.lan", "https"),
        (b"[::1]", b"http://[::1]:80", "http"),
    ):
        assert not is_foreign("POST", scheme, [(b"host", host), (b"origin", origin)])
    assert is_foreign("POST", "http", [(b"host", b"mon.lan"), (b"origin", b"http://mon.lan:443")])


@pytest.mark.parametrize("target", ["/api/v1/push", "/healthz", "/", "/nowhere", "/static/x"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("header", ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"])
def test_another_site_is_refused_on_every_path(
    running: Server, method: str, target: str, header: str
) -> None:
    body = simple(csrf=1)
    request = (
        f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    answer = raw.send(running.url, request + body)
    assert answer.status == 403
    assert answer.json()["code"] == "csrf"
    assert answer.headers["content-type"] == "application/problem+json"
    assert raw.get(running.url, "/api/v1/hosts/web-1").status == 404


def test_another_site_may_still_link_here(running: Server) -> None:
    answer = raw.get(running.url, "/", sec_fetch_site="cross-site", accept="text/html")
    assert answer.status == 200


def test_our_own_page_may_push(running: Server) -> None:
    body = simple(own=1).replace(b"web-1", b"own-page")
    for header in ("Origin: http://localhost:8460", "Sec-Fetch-Site: same-origin"):
        request = (
            f"POST /api/v1/push HTTP/1.1\r\nHost: localhost:8460\r\n{header}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        assert raw.send(running.url, request + body).status == 200


@pytest.mark.parametrize(
    ("public", "origin", "expected"),
    [
        ("https://mon.example.com", b"https://mon.example.com", False),
        ("https://mon.example.com", b"https://MON.example.com:443", False),
        ("https://Mon.example.com:8443", b"https://mon.example.com:8443", False),
        ("https://mon.example.com", b"http://mon.example.com", True),
        ("https://mon.example.com", b"https://mon.example.com:8443", True),
        ("https://mon.example.com", b"https://evil.example", True),
    ],
)
def test_the_public_address_is_our_own_too(public: str, origin: bytes, expected: bool) -> None:
    headers = [HOST, (b"origin", origin)]
    assert is_foreign("POST", "http", headers, public) is expected
