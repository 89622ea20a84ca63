"""It must be that a listed proxy's word is taken, nobody else's, and none while all are let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.web.asgi import Message, Scope
from monitor.web.edge import Edge
from monitor.web.forwarded import MOST_HOPS, Proxies, is_forwarded
from tests.browser.rig import Rig
from tests.serving import Server
from tests.stream.reading import Reader, close_all, stream
from tests.web import raw

PEER = "10.0.0.1"
LISTED = Proxies.of(("10.0.0.0/29", "fd00::/64", "127.0.0.1"))
HOST = (b"host", b"mon.lan")


def client(*lists: bytes, proxies: Proxies = LISTED, peer: str = PEER) -> str:
    headers = [HOST, *((b"x-forwarded-for", each) for each in lists)]
    return proxies.seen(peer, "http", headers).address


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ((), PEER),
        ((b"",), PEER),
        ((b"192.0.2.7",), "192.0.2.7"),
        ((b" 192.0.2.7 ",), "192.0.2.7"),
        ((b"192.0.2.7:4711",), "192.0.2.7"),
        ((b"2001:db8::7",), "2001:db8::7"),
        ((b"[2001:DB8::7]",), "2001:db8::7"),
        ((b"[2001:db8::7]:4711",), "2001:db8::7"),
        ((b"::ffff:192.0.2.7",), "192.0.2.7"),
        # What the client made up stands on the left.
        ((b"127.0.0.1, 192.0.2.7",), "192.0.2.7"),
        ((b"127.0.0.1", b"192.0.2.7"), "192.0.2.7"),
        ((b"6.6.6.6, 192.0.2.7, 10.0.0.2",), "192.0.2.7"),
        ((b"6.6.6.6, 192.0.2.7, [fd00::2]:1, 10.0.0.2",), "192.0.2.7"),
        # All are proxies: the one furthest away.
        ((b"10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        # No address: the proxy that wrote it.
        ((b"unknown",), PEER),
        ((b"192.0.2.7, unknown, 10.0.0.2",), "10.0.0.2"),
        ((b"192.0.2.7,",), PEER),
        ((b"_hidden",), PEER),
        ((b"192.0.2.7:x",), PEER),
        ((b"192.0.2.300",), PEER),
        ((b"fe80::1%eth0",), PEER),
        ((b"\xff\xfe",), PEER),
        ((b"192.0.2.7" * 2000,), PEER),
        ((b"," * 100_000,), PEER),
        ((b"6.6.6.6, " + b"10.0.0.2," * 4 * MOST_HOPS + b"10.0.0.2",), "10.0.0.2"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_proxys(
    lists: tuple[bytes, ...], expected: str
) -> None:
    assert client(*lists) == expected


@pytest.mark.parametrize("peer", ["10.0.0.9", "192.0.2.1", "::1", "", "unix", "fd00:1::1"])
def test_nobody_elses_word_is_taken_and_nothing_behind_can_read_it(peer: str) -> None:
    told = [
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"evil.example"),
        (b"x-forwarded-anything", b"x"),
        (b"forwarded", b"for=127.0.0.1"),
        (b"x-real-ip", b"127.0.0.1"),
        (b"remote-addr", b"127.0.0.1"),
    ]
    found = LISTED.seen(peer, "http", [HOST, *told, (b"accept", b"*/*")])
    assert found.address == peer
    assert found.scheme == "http"
    assert found.headers == [HOST, (b"accept", b"*/*")]
    for header in told:
        assert is_forwarded([HOST, header])
    assert not is_forwarded(found.headers)


def test_an_address_in_its_other_spelling_is_the_same_proxy() -> None:
    assert client(b"192.0.2.7", peer="::ffff:10.0.0.1") == "192.0.2.7"


@pytest.mark.parametrize(
    ("public", "address", "said", "expected"),
    [
        (None, b"192.0.2.7", (b"http",), "http"),
        (None, b"192.0.2.7", (b"HTTPS",), "https"),
        (None, b"192.0.2.7", (b"https, http",), "http"),
        (None, b"192.0.2.7", (b"https", b"http"), "http"),
        (None, b"192.0.2.7", (b"javascript",), "https"),
        (None, b"192.0.2.7", (), "https"),
        (None, b"127.0.0.1", (), "http"),
        ("http://mon.lan", b"192.0.2.7", (), "http"),
        ("https://mon.lan", b"127.0.0.1", (), "https"),
        ("https://mon.lan", b"192.0.2.7", (b"http",), "http"),
    ],
)
def test_the_scheme_is_the_last_that_was_said_or_the_public_one(
    public: str | None, address: bytes, said: tuple[bytes, ...], expected: str
) -> None:
    proxies = Proxies(LISTED.networks, public)
    headers = [HOST, (b"x-forwarded-for", address)]
    headers += [(b"x-forwarded-proto", each) for each in said]
    assert proxies.seen(PEER, "http", headers).scheme == expected


def test_the_host_is_the_last_that_was_said_and_two_hosts_stay_two() -> None:
    told = (b"x-forwarded-host", b"evil.example, mon.example.com")
    found = LISTED.seen(PEER, "http", [HOST, told])
    assert found.headers == [(b"host", b"mon.example.com")]
    assert LISTED.seen(PEER, "http", [HOST, HOST, told]).headers == [HOST, HOST]
    assert LISTED.seen(PEER, "http", [told]).headers == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"]),
            st.binary(max_size=60) | st.text("0123456789abcdef:.,[] ", max_size=60).map(str.encode),
        ),
        max_size=6,
    )
)
def test_no_list_is_too_hostile(told: list[tuple[bytes, bytes]]) -> None:
    found = LISTED.seen(PEER, "http", [HOST, *told])
    assert found.scheme in {"http", "https"}
    assert [name for name, _ in found.headers] == [b"host"]


async def passed(
    proxies: Proxies,
    *headers: tuple[bytes, bytes],
    host: bytes = b"mon.lan",
    peer: str = PEER,
    scheme: str = "http",
    path: str = "/",
) -> Scope:
    """What stands behind the edge for a request with these headers, and its answer's headers."""
    behind: list[Scope] = []
    sent: list[Message] = []

    async def application(scope: Scope, _receive: object, send: object) -> None:
        behind.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": scheme,
        "path": path,
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", host), *headers],
        "client": (peer, 4711),
    }
    await Edge(application, ("mon.lan", "mon.example.com"), proxies)(scope, receive, send)
    if not behind:
        return {"status": sent[0]["status"], "body": sent[1]["body"]}
    return {**behind[0], "answer": dict(sent[0]["headers"])}


TOLD = (
    (b"x-forwarded-for", b"192.0.2.7"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"mon.example.com"),
    (b"remote-addr", b"192.0.2.7"),
)


async def test_behind_the_edge_a_request_is_what_the_proxy_said() -> None:
    found = await passed(LISTED, *TOLD)
    assert found["client"] == ("192.0.2.7", 0)
    assert found["monitor.peer"] == (PEER, 4711)
    assert found["scheme"] == "https"
    assert found["headers"] == [(b"host", b"mon.example.com")]
    assert found["answer"][b"strict-transport-security"] == b"max-age=31536000"


async def test_behind_the_edge_nothing_is_left_of_what_others_said() -> None:
    found = await passed(Proxies(), *TOLD, peer="127.0.0.1")
    assert found["client"] == found["monitor.peer"] == ("127.0.0.1", 4711)
    assert found["scheme"] == "http"
    assert found["headers"] == [(b"host", b"mon.lan")]
    assert b"strict-transport-security" not in found["answer"]


@pytest.mark.parametrize(
    ("peer", "scheme", "path", "passes"),
    [
        (PEER, "http", "/", True),
        ("127.0.0.1", "http", "/", True),
        ("::1", "http", "/", True),
        ("192.0.2.7", "https", "/", True),
        ("192.0.2.7", "http", "/", False),
        ("192.0.2.7", "http", "/api/v1/push", False),
        ("192.0.2.7", "http", "/healthz", True),
        ("192.0.2.7", "http", "/readyz", True),
    ],
)
async def test_nobody_comes_past_the_proxy_in_plain_text(
    peer: str, scheme: str, path: str, passes: bool
) -> None:
    found = await passed(LISTED, TOLD[1], peer=peer, scheme=scheme, path=path)
    assert ("answer" in found) is passes
    if not passes:
        assert found["status"] == 403
        assert b'"tls_required"' in found["body"]


async def test_loopback_names_are_not_kept_to_tls() -> None:
    found = await passed(LISTED, TOLD[1], host=b"localhost:8460")
    assert found["scheme"] == "https"
    assert b"strict-transport-security" not in found["answer"]


async def test_a_stream_through_a_proxy_is_its_clients() -> None:
    """It must be that the connection taken over is the proxy's, and the place the client's."""
    rig = Rig("web-1")
    rig.know("web-1")
    async with rig.serving(proxies=Proxies.of(("127.0.0.1",))):
        reader = await Reader.open(rig.url, stream("fleet"), x_forwarded_for="192.0.2.7")
        assert (await reader.message()).type == "connected"
        (client,) = rig.hub._delivery.crowd.clients()
        assert client.metadata["address"] == "192.0.2.7"
        await close_all()


async def test_a_host_that_a_proxy_said_must_be_allowed_too() -> None:
    found = await passed(LISTED, (b"x-forwarded-host", b"evil.example"))
    assert found["status"] == 421
    found = await passed(LISTED, (b"x-forwarded-host", b"a@b c"))
    assert found["status"] == 400


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded",
        "Forwarded",
        "X-Real-IP",
        "Via",
        "Remote-Addr",
        "CDN-Loop",
        "X-Envoy-External-Address",
    ],
)
def test_while_everybody_is_let_in_nobody_comes_through_a_proxy(running: Server, name: str) -> None:
    answer = raw.get(running.url, "/", **{name.replace("-", "_"): "192.0.2.7"})
    assert answer.status == 403
    assert answer.json()["code"] == "forwarded_while_open"
    assert "monitor user create NAME --role admin" in answer.json()["detail"]
    assert answer.headers["connection"] == "close"
    assert raw.get(running.url, "/healthz").status == 200
