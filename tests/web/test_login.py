"""``/login`` and ``/logout``: it must be that the right come in, and others learn nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from monitor.core.access import Role
from monitor.web.cookies import clearing, setting
from monitor.web.forms import safe_next
from monitor.web.forwarded import Proxies
from tests.web.house import PASSWORD, PeopledRig


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    made = PeopledRig()
    async with made.serving():
        await made.person("ann", Role.ADMIN)
        yield made


async def attempt(
    browser: httpx.AsyncClient, name: str = "ann", password: str = PASSWORD, **more: str
) -> httpx.Response:
    return await browser.post("/login", data={"username": name, "password": password, **more})


async def test_who_is_right_comes_in_and_goes_on(rig: PeopledRig) -> None:
    """It must be that the page that was asked for comes after the login, and not before."""
    async with rig.client() as browser:
        answer = await browser.get("/hosts/web-1?range=1h")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=/hosts/web-1%3Frange%3D1h"
        asked = await browser.get(answer.headers["location"])
        assert 'name="next" value="/hosts/web-1?range=1h"' in asked.text
        answer = await attempt(browser, "ANN", next="/hosts/web-1?range=1h")
        assert (answer.status_code, answer.headers["location"]) == (303, "/hosts/web-1?range=1h")
        cookie = answer.headers["set-cookie"]
        name, _, attributes = cookie.partition("=")
        assert name == "monitor_session"
        assert attributes.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Lax"
        assert (await browser.get("/")).status_code == 200
        gone_on = await browser.get("/login?next=/events")
        assert (gone_on.status_code, gone_on.headers["location"]) == (303, "/events")


async def test_a_remembered_device_keeps_its_cookie(rig: PeopledRig) -> None:
    """It must be that only a device that is to be remembered outlasts the browser."""
    async with rig.client() as browser:
        answer = await attempt(browser, remember="on")
        assert "; Max-Age=2592000" in answer.headers["set-cookie"]
        (session,) = rig.office.directory.sessions.values()
        assert session.remembered


async def test_a_login_ends_the_session_from_before(rig: PeopledRig) -> None:
    """It must be that a session's id rotates: what a browser had before means nobody."""
    async with rig.client() as browser:
        await attempt(browser)
        before = browser.cookies["monitor_session"]
        await attempt(browser)
        assert browser.cookies["monitor_session"] != before
        assert len(rig.office.directory.sessions) == 1
        browser.cookies.set("monitor_session", before, domain="127.0.0.1")
    assert rig.office.directory.by_cookie(before, rig.services.clock()) is None


async def test_what_is_wrong_is_the_same_for_everybody(rig: PeopledRig) -> None:
    """It must be that nobody learns which names there are: status, words and headers are one."""
    said = []
    async with rig.client() as browser:
        for name in ("ann", "bob"):
            answer = await attempt(browser, name, "not the password")
            assert answer.status_code == 401
            assert "www-authenticate" in answer.headers
            assert 'role="alert"' in answer.text
            assert "set-cookie" not in answer.headers
            assert "not the password" not in answer.text
            said.append(answer.text.replace(name, "NAME"))
    assert said[0] == said[1]
    assert await rig.audited() == [
        ("account.create", "ann", "done"),
        ("login", "ann", "refused"),
        ("login", "(unknown name)", "refused"),
    ]


async def test_programs_get_a_problem(rig: PeopledRig) -> None:
    """It must be that whoever takes no page is told by code."""
    async with rig.client(Accept="*/*") as script:
        answer = await attempt(script, password="not the password")
        assert (answer.status_code, answer.json()["code"]) == (401, "login_failed")
        assert answer.headers["content-type"] == "application/problem+json"
        assert (await attempt(script)).status_code == 303


async def test_ten_failures_close_the_door_for_a_while(
    rig: PeopledRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that the eleventh attempt is not looked at, whatever it says, many at once too."""
    async with rig.client() as browser:
        wrong = [attempt(browser, "bob", "not the password") for _ in range(30)]
        statuses = [answer.status_code for answer in await asyncio.gather(*wrong)]
        assert (statuses.count(401), statuses.count(429)) == (10, 20)
        monkeypatch.setattr(rig.office.accounts, "log_in", None)
        refused = await attempt(browser)
        assert refused.status_code == 429
        assert 50 < int(refused.headers["retry-after"]) <= 60
        assert 'role="alert"' in refused.text
        program = await browser.post(
            "/login", data={"username": "ann", "password": PASSWORD}, headers={"Accept": "*/*"}
        )
        assert (program.status_code, program.json()["code"]) == (429, "too_many_requests")
        assert "retry-after" in program.headers
    refusals = [entry for entry in await rig.audited() if entry[0] == "login"]
    assert len(refusals) == 5


async def test_coming_in_costs_no_failures(rig: PeopledRig) -> None:
    """It must be that logging in often, and rightly, is no reason to be refused."""
    async with rig.client() as browser:
        for _ in range(12):
            assert (await attempt(browser)).status_code == 303
        for _ in range(9):
            assert (await attempt(browser, password="not the password")).status_code == 401
        assert (await attempt(browser)).status_code == 303


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"username": "ann\0", "password": PASSWORD}, "bad_text"),
        ({"username": "ann", "password": "correct\0horse"}, "bad_text"),
        ({"username": "a" * 65, "password": PASSWORD}, "too_long"),
        ({"username": "ann", "password": "x" * 513}, "too_long"),
        ({"username": "ann", "password": "x" * 9_000}, "too_long"),
        ({"username": "", "password": PASSWORD}, "missing_field"),
        ({"password": PASSWORD}, "missing_field"),
        ({"username": "ann"}, "missing_field"),
        ({"username": ["ann", "bob"], "password": PASSWORD}, "ambiguous_param"),
        ({"username": "ann", "password": PASSWORD, "role": "admin"}, "unknown_param"),
    ],
)
async def test_what_can_be_nobody_is_not_compared(
    rig: PeopledRig,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, str | list[str]],
    code: str,
) -> None:
    """It must be that fields that no account can have are refused before any work is done."""
    monkeypatch.setattr(rig.office.accounts, "log_in", None)
    async with rig.client(Accept="*/*") as browser:
        answer = await browser.post("/login", data=fields)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        page = await browser.post("/login", data=fields, headers={"Accept": "text/html"})
        assert page.status_code == 400
        assert 'role="alert"' in page.text


async def test_only_forms_are_taken(rig: PeopledRig) -> None:
    """It must be that other bodies are refused by their type and by their size."""
    async with rig.client(Accept="*/*") as browser:
        for answer in (
            await browser.post("/login", json={"username": "ann", "password": PASSWORD}),
            await browser.post("/login", files={"username": b"ann", "password": PASSWORD.encode()}),
            await browser.post("/login", content=b"username=ann"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        large = await browser.post("/login", data={"username": "ann", "password": "x" * 70_000})
        assert (large.status_code, large.json()["code"]) == (413, "body_too_large")


async def test_another_sites_form_logs_nobody_in_or_out(rig: PeopledRig) -> None:
    """It must be that only our own pages' forms, and scripts, are heard."""
    async with rig.as_person("ann") as browser:
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            for path in ("/login", "/logout"):
                answer = await browser.post(
                    path,
                    data={"username": "ann", "password": PASSWORD},
                    headers=headers | {"Accept": "*/*"},
                )
                assert (answer.status_code, answer.json()["code"]) == (403, "csrf")
        assert (await browser.get("/")).status_code == 200


async def test_who_logs_out_is_nobody(rig: PeopledRig) -> None:
    """It must be that the session ends on the server, and its cookie in the browser."""
    async with rig.as_person("ann") as browser:
        cookie = browser.cookies["monitor_session"]
        answer = await browser.post("/logout")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert not rig.office.directory.sessions
        held = await browser.get("/", headers={"Cookie": f"monitor_session={cookie}"})
        assert held.status_code == 303
        assert (await browser.post("/logout")).status_code == 303


async def test_a_server_without_accounts_says_so() -> None:
    """It must be that nobody looks for a password that is not there."""
    rig = PeopledRig()
    async with rig.serving(), rig.client() as browser:
        opened = (await browser.get("/login")).text
        assert "this server is open" in opened
        assert 'type="password"' not in opened
        assert "Open:" in (await browser.get("/")).text
        assert "Open:" in (await browser.get("/nowhere")).text
        rig.door._is_loopback = False
        closed = (await browser.get("/login")).text
        assert "monitor user create NAME --role admin" in closed
        assert "Open:" not in closed
        assert (await attempt(browser)).status_code == 401


async def test_who_has_a_network_of_addresses_gets_no_more_attempts() -> None:
    """It must be that of IPv6 the 64 bits that every customer has count as one address."""
    rig = PeopledRig()
    async with rig.serving(proxies=Proxies.of(("127.0.0.1",))), rig.client() as browser:
        await rig.person("ann", Role.ADMIN)

        async def status(name: str, address: str) -> int:
            browser.headers["X-Forwarded-For"] = address
            return (await attempt(browser, name, "wrong")).status_code

        for number in range(10):
            assert await status(f"name{number}", f"2001:db8::{number}") == 401
        assert await status("name10", "2001:db8::ffff") == 429
        assert await status("name10", "2001:db8:0:1::1") == 401


@pytest.mark.parametrize("text", ["/", "/events?kind=host&q=a%20b", "/hosts/web-1#cpu"])
def test_a_path_of_ours_is_gone_on_to(text: str) -> None:
    """It must be that an address of ours is kept."""
    assert safe_next(text) == text


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "events",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/a\r\nSet-Cookie: a=b",
        "/\u2028",
        "/ü",
        "/login?next=/login",
        "/" + "a" * 3_000,
    ],
)
def test_what_is_no_path_of_ours_is_not(text: str | None) -> None:
    """It must be that no address leads a person that has just logged in away from here."""
    assert safe_next(text) == "/"


def test_over_https_the_cookie_is_this_hosts_alone() -> None:
    """It must be that over HTTPS a browser takes the cookie from this very host only."""
    rest = "Path=/; HttpOnly; SameSite=Lax; Secure"
    assert setting("https", "x", None) == f"__Host-monitor_session=x; {rest}"
    assert clearing("https") == f"__Host-monitor_session=; {rest}; Max-Age=0"
