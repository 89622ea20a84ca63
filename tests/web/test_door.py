"""The door over real sockets: what the crawl does not say of cookies, headers, time and limits.

The hostile input of a request, row by row, and where each is tested:

56 paths of static files: test_edge, test_crawl; 57 ranges of time: test_history_bounds,
test_history_hostile; 58 parameters: test_history_bounds, test_edge; 59 ids of others: test_crawl,
`test_an_id_that_is_none_is_an_id_that_is_missing` below; 60 words of sorting:
`test_no_sorting_is_more_than_a_word` below; 61 searches: test_events_page,
`test_a_search_is_a_text` below; 62 unknown paths and methods: test_edge, test_crawl; 63 framing:
test_framing, test_edge; 64 Host: test_edge; 65 origins: test_crosssite, test_crawl; 66 words of
proxies: test_forwarded, `test_an_address_is_what_a_proxy_of_ours_says` below; 67 HTTP/2:
test_edge, test_secure; 68 headers: test_edge, `test_many_cookies_are_too_many` below; 69 cookies
of sessions: test_login, test_crawl and below; 70 lines of the log: test_edge, tests/test_logs,
tests/test_canary; 71 response headers: tests/test_canary; 72 bodies of GET: test_edge; 73 logins:
test_login, `test_a_login_is_limited_by_name_and_by_address` below.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from monitor.access.tokens import Wish
from monitor.core.access import Policy, Role, TokenKind
from monitor.core.rates import Rates
from monitor.web.app import create_app
from monitor.web.asgi import Scope
from monitor.web.door import PLAIN_COOKIE, SECURE_COOKIE
from monitor.web.forwarded import Proxies
from tests.ingest.documents import simple
from tests.web import raw
from tests.web.calling import Caller
from tests.web.house import PASSWORD, ROOT, PeopledRig

CPU = "system.cpu.utilization"


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    """A server with an administrator and two hosts."""
    made = PeopledRig("main")
    async with made.serving():
        await made.person("ann", Role.ADMIN)
        for host in ("web-1", "db-1"):
            await made.send({CPU: 0.5}, host=host)
        yield made


async def session(rig: PeopledRig, name: str = "ann") -> str:
    """The value of a cookie."""
    found = await rig.office.accounts.log_in(
        name, PASSWORD, remember=False, address="127.0.0.1", agent="test"
    )
    assert found is not None
    return found[0]


async def token(rig: PeopledRig, kind: TokenKind, hosts: str = "*", *scopes: str) -> str:
    text, _ = await rig.office.tokens.create(ROOT, Wish(kind, (hosts,), scopes))
    return text


async def asked(rig: PeopledRig, *lines: str, target: str = "/api/v1/hosts") -> raw.Answer:
    """A GET with exactly these header lines, on a connection of its own."""
    head = [f"GET {target} HTTP/1.1", "Host: localhost", *lines, "", ""]
    return await asyncio.to_thread(raw.send, rig.url, "\r\n".join(head).encode("latin-1"))


async def test_only_one_right_cookie_is_a_session(rig: PeopledRig) -> None:
    """It must be that a cookie that another site, a proxy or a neighbour set means nobody."""
    right = await session(rig)
    wrong = right[:-1] + ("a" if right[-1] != "a" else "b")
    name = PLAIN_COOKIE
    assert (await asked(rig, f"Cookie: {name}={right}")).status == 200
    assert (await asked(rig, f"Cookie: other=1; {name}={right}; x=y")).status == 200
    for lines in (
        (f"Cookie: {name}={right}; {name}={right}",),
        (f"Cookie: {name}={wrong}; {name}={right}",),
        (f"Cookie: {name}={right}", f"Cookie: {name}={wrong}"),
        (f"Cookie: =__Host-{name}={right}",),
        (f"Cookie: ={name}={right}",),
        (f"Cookie: {SECURE_COOKIE}={right}",),
        (f"Cookie: {name.upper()}={right}",),
        (f"Cookie: x{name}={right}",),
        (f'Cookie: {name}="{right}"',),
        (f"Cookie: {name}={wrong}",),
        (f"Cookie: {name}={right}x",),
        (f"Cookie: {name}={right.replace('ses_', 'mon_')}",),
        (f"Cookie: {name}=" + "a" * 4_000,),
        (f"Cookie: {name}=é\xff",),
        (f"Cookie: {name}=",),
        ("Cookie: " + ";" * 2_000,),
        (f"Authorization: Bearer {right}",),
    ):
        answer = await asked(rig, *lines)
        assert (answer.status, answer.json()["code"]) == (401, "auth_required"), lines
        assert answer.headers["connection"] == "close"


async def test_over_https_only_the_cookie_with_the_prefix_counts(rig: PeopledRig) -> None:
    """It must be that what plain HTTP could have set is not believed over HTTPS."""
    right = await session(rig)
    scope: Scope = {"headers": [], "scheme": "https", "method": "GET", "path": "/"}
    for name, known in ((PLAIN_COOKIE, False), (SECURE_COOKIE, True)):
        scope["headers"] = [(b"cookie", f"{name}={right}".encode())]
        caller = rig.door._caller(scope, Policy.READ)
        assert caller.is_person is known


async def test_many_cookies_are_too_many(rig: PeopledRig) -> None:
    """It must be that three hundred of them are refused before the door looks at one."""
    right = await session(rig)
    lines = [f"Cookie: c{number}=1" for number in range(300)]
    answer = await asked(rig, *lines, f"Cookie: {PLAIN_COOKIE}={right}")
    assert (answer.status, answer.json()["code"]) == (431, "headers_too_large")


async def test_an_authorization_is_one_bearer_token(rig: PeopledRig) -> None:
    """It must be that anything else is refused the same, whatever cookie comes with it."""
    good = await token(rig, TokenKind.API, "*", "read")
    cookie = f"Cookie: {PLAIN_COOKIE}={await session(rig)}"
    for line in (f"Bearer {good}", f"bearer {good}", f"BEARER   {good} "):
        assert (await asked(rig, f"Authorization: {line}")).status == 200
    bodies = set()
    for lines in (
        (f"Authorization: Bearer {good}", f"Authorization: Bearer {good}"),
        ("Authorization: Basic YW5uOmFubg==",),
        (f"Authorization: {good}",),
        (f"Authorization: Token {good}",),
        ("Authorization: Bearer",),
        ("Authorization: Bearer ",),
        ("Authorization:",),
        (f"Authorization: Bearer {good} {good}",),
        (f"Authorization: Bearer {good}\xe9",),
        (f"Authorization: Bearer {good.upper()}",),
        (f"Authorization: Bearer {good[:-1]}",),
        (f"Authorization: Bearer {good}, Bearer {good}",),
        ("Authorization: Bearer " + "a" * 5_000,),
        ("Authorization: Bearer mon_0123456789_" + "a" * 43,),
        ("Authorization: Bearer " + "é" * 40,),
    ):
        answer = await asked(rig, *lines, cookie)
        assert answer.status == 401, lines
        assert answer.headers["www-authenticate"] == 'Bearer realm="monitor"'
        bodies.add(answer.body)
    assert len(bodies) == 1  # nobody learns what was wrong with it
    nul = await asked(rig, f"Authorization: Bearer {good}\0", cookie)
    assert nul.status == 400  # no header has one
    assert (
        await asked(rig, f"X-Api-Key: {good}", target=f"/api/v1/hosts?token={good}")
    ).status in {
        400,
        401,
    }


async def test_a_refused_credential_is_answered_before_its_body(rig: PeopledRig) -> None:
    """It must be that a 401 comes on the headers alone, of pushes and forms, and ends it there."""
    for target in ("/api/v1/push", "/api/v1/enroll", "/settings/tokens"):
        for credential in ("", "Authorization: Bearer garbage\r\n"):
            request = (
                f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"{credential}Content-Length: 1000000\r\n\r\n"
            )
            if target == "/settings/tokens":
                request = request.replace("1000000", "5000")
            answer = await asyncio.to_thread(raw.send, rig.url, request.encode())
            assert (answer.status, answer.json()["code"]) == (401, "auth_required"), target
            assert answer.headers["connection"] == "close"


async def test_a_revoked_token_ends_on_the_connection_it_is_used_on(rig: PeopledRig) -> None:
    """It must be that a connection that stays open is asked again with every request."""
    text = await token(rig, TokenKind.API, "*", "read")
    request = (
        f"GET /api/v1/hosts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {text}\r\n\r\n"
    ).encode()
    connection = await asyncio.to_thread(raw.connect, rig.url)
    with connection:

        def ask() -> raw.Answer:
            connection.sendall(request)
            return raw.read(connection)

        assert [(await asyncio.to_thread(ask)).status for _ in range(3)] == [200] * 3
        (made,) = rig.office.tokens.all()
        await rig.office.tokens.revoke(ROOT, made.id)
        answer = await asyncio.to_thread(ask)
        assert answer.status == 401
        assert await asyncio.to_thread(connection.recv, 1) == b""


async def test_an_agent_comes_in_by_enrolment_and_writes_its_host(rig: PeopledRig) -> None:
    """It must be that a token is exchanged, writes one host, and tries at others are audited."""
    enroll, _ = await rig.office.tokens.create(
        ROOT, Wish(TokenKind.ENROLL, ("web-*",), uses=1, labels={"role": "web"})
    )
    async with httpx.AsyncClient(base_url=rig.url, verify=False) as client:

        async def post(path: str, text: str, document: object) -> httpx.Response:
            headers = {"Authorization": f"Bearer {text}"}
            return await client.post(path, json=document, headers=headers)

        def document(host: str) -> object:
            return json.loads(simple(a=1).replace(b"web-1", host.encode()))

        async def exchanged(host: str) -> tuple[int, str | None]:
            answer = await post("/api/v1/enroll", enroll, {"host": host})
            return answer.status_code, answer.json().get("code")

        assert await exchanged("db-2") == (403, "host_mismatch")
        assert await exchanged("../x") == (400, "bad_host")
        assert await exchanged("main") == (409, "host_taken")
        answer = await post("/api/v1/enroll", enroll, {"host": "web-2"})
        assert answer.status_code == 201
        agent = answer.json()["token"]
        assert await exchanged("web-3") in {(401, "auth_required"), (403, "token_used_up")}
        assert (await post("/api/v1/push", agent, document("web-2"))).status_code == 200
        assert rig.state.hosts["web-2"].labels["role"] == "web"
        refused = await post("/api/v1/push", agent, document("db-1"))
        assert (refused.status_code, refused.json()["code"]) == (403, "host_mismatch")
        assert (
            await client.get("/api/v1/hosts", headers={"Authorization": f"Bearer {agent}"})
        ).status_code == 403
    audited = await rig.audited()
    assert ("enroll", "db-2", "refused") in audited
    assert ("host_mismatch", "POST /api/v1/push", "refused") in audited
    assert [entry for entry in audited if entry[0] == "token.enroll"]


async def test_too_many_requests_are_told_when_to_come_again(rig: PeopledRig) -> None:
    """It must be that one credential has its rate, others theirs, and a Retry-After is given."""
    rig.door._requests = Rates(0.1, 3, 100)
    rig.door._pushes = Rates(0.1, 2, 100)
    first, second = [await token(rig, TokenKind.API, "*", "read") for _ in range(2)]
    agent = await token(rig, TokenKind.AGENT, "web-1")
    ask = Caller(create_app(rig.services))

    async def got(text: str) -> int:
        answer = await ask("GET", "/api/v1/hosts", authorization=f"Bearer {text}")
        if answer.status == 429:
            assert answer.code == "too_many_requests"
            assert 1 <= int(answer.headers["retry-after"]) <= 12
        return answer.status

    assert [await got(first) for _ in range(4)] == [200, 200, 200, 429]
    assert await got(second) == 200
    for expected in (200, 200, 429):
        answer = await ask(
            "POST",
            "/api/v1/push",
            simple(a=1),
            content_type="application/json",
            authorization=f"Bearer {agent}",
        )
        assert answer.status == expected
    assert 1 <= int(answer.headers["retry-after"]) <= 12
    assert (await ask("GET", "/healthz")).status == 200


@pytest.mark.parametrize("by", ["name", "address"])
async def test_a_login_is_limited_by_name_and_by_address(rig: PeopledRig, by: str) -> None:
    """It must be that ten failures are enough from anywhere for a name, and from one for all."""
    application = create_app(rig.services)

    async def attempt(name: str, address: str, password: str = "not this one") -> int:
        fields = {"username": name, "password": password}
        return (await Caller(application, address=address)("POST", "/login", fields)).status

    for number in range(10):
        name = "ann" if by == "name" else f"n{number}"
        address = f"127.0.0.{number + 1}" if by == "name" else "127.0.0.1"
        assert await attempt(name, address) == 401
    assert await attempt("ann", "127.0.0.1", PASSWORD) == 429
    elsewhere = await attempt("ann", "127.0.0.99", PASSWORD)
    assert elsewhere == (429 if by == "name" else 303)


async def test_an_address_is_what_a_proxy_of_ours_says(rig: PeopledRig) -> None:
    """It must be that a listed proxy's clients are counted apart, and nobody else invents any."""
    application = create_app(rig.services, proxies=Proxies.of(("127.0.0.1",)))

    async def attempt(peer: str, told: str, name: str, password: str = "not this one") -> int:
        ask = Caller(application, {"x-forwarded-for": told}, peer)
        return (await ask("POST", "/login", {"username": name, "password": password})).status

    for number in range(10):
        assert await attempt("127.0.0.1", "192.0.2.7", f"n{number}") == 401
    assert await attempt("127.0.0.1", "192.0.2.7", "ann", PASSWORD) == 429
    assert await attempt("127.0.0.1", "192.0.2.66, 192.0.2.7", "ann", PASSWORD) == 429
    assert await attempt("127.0.0.1", "192.0.2.8", "ann", PASSWORD) == 303
    for number in range(10):
        assert await attempt("127.0.0.5", f"192.0.2.{100 + number}", f"m{number}") == 401
    assert await attempt("127.0.0.5", "192.0.2.200", "ann", PASSWORD) == 429
    addresses = {each.address for each in rig.office.accounts.sessions_of("ann")}
    assert addresses == {"192.0.2.8"}


async def test_a_cookie_from_before_the_login_is_nobodys_after_it(rig: PeopledRig) -> None:
    """It must be that a session that somebody else planted is not the one that is opened."""
    await rig.person("eve", Role.VIEWER)
    planted = await session(rig, "eve")
    for before in (planted, "ses_0123456789_" + "a" * 43):
        async with rig.client() as browser:
            browser.cookies.set(PLAIN_COOKIE, before, domain="127.0.0.1")
            fields = {"username": "ann", "password": PASSWORD}
            answer = await browser.post("/login", data=fields)
            assert answer.status_code == 303
            assert answer.cookies[PLAIN_COOKIE] != before
    assert (await asked(rig, f"Cookie: {PLAIN_COOKIE}={planted}")).status == 401


@pytest.mark.parametrize(
    "id_", ["../1", "1;drop", "a" * 5_000, "%F0%9F%98%80", "%00", "-1", "%2e%2e", "1%20or%201=1"]
)
async def test_an_id_that_is_none_is_an_id_that_is_missing(rig: PeopledRig, id_: str) -> None:
    """It must be that whatever stands where an id belongs is not found, and nothing more."""
    cookie = f"{PLAIN_COOKIE}={await session(rig)}"
    ask = Caller(create_app(rig.services), {"cookie": cookie})
    caller = rig.office.directory.by_cookie(cookie.partition("=")[2], time.time())
    assert caller is not None
    form = {"form_token": rig.door.form_token(caller)}
    for path in (
        f"/settings/sessions/{id_}/end",
        f"/settings/tokens/{id_}/revoke",
        f"/settings/tokens/{id_}/rotate",
        f"/settings/accounts/{id_}/delete",
    ):
        answer = await ask("POST", path, form)
        assert answer.status == 404, path
        assert len(answer.json()["detail"]) < 100
    for path in (f"/api/v1/hosts/{id_}", f"/hosts/{id_}", f"/settings/accounts/{id_}"):
        assert (await ask("GET", path)).status == 404


async def test_no_sorting_is_more_than_a_word(rig: PeopledRig) -> None:
    """It must be that an order that is none changes nothing of the page."""
    ask = Caller(create_app(rig.services), {"cookie": f"{PLAIN_COOKIE}={await session(rig)}"})
    for sort in ("readonly%20AND%20(SELECT%201)", "-cpu;drop", "__class__", "%00", "a" * 5_000):
        answer = await ask("GET", f"/hosts/web-1?sort={sort}", accept="text/html")
        assert answer.status in {200, 400}
        assert b"SELECT" not in answer.body


async def test_a_search_is_a_text(rig: PeopledRig) -> None:
    """It must be that a search is looked for as it stands, and is no pattern, and is bounded."""
    ask = Caller(create_app(rig.services), {"cookie": f"{PLAIN_COOKIE}={await session(rig)}"})
    for search in (".*", "(a%2B)%2B$", "%25", "_", "%5B"):
        answer = await ask("GET", f"/events?q={search}", accept="text/plain")
        assert answer.status == 200
    assert b"ann" not in (await ask("GET", "/events?q=a.n", accept="text/plain")).body
    long = await ask("GET", f"/events?q={'a' * 5_000}")
    assert (long.status, long.code) == (400, "too_long")


async def test_over_old_http_nobody_is_the_administrator_of_an_open_server() -> None:
    """It must be that a proxy that says nothing of itself lets people look, and no more."""
    async with PeopledRig("main").serving() as rig:
        for version, status in (("1.1", 200), ("1.0", 403)):
            for path, expected in (("/settings/accounts", status), ("/api/v1/hosts", 200)):
                request = f"GET {path} HTTP/{version}\r\nHost: localhost\r\n\r\n"
                answer = await asyncio.to_thread(raw.send, rig.url, request.encode())
                assert answer.status == expected
