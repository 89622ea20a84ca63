"""``/settings``: it must be that people keep their own house, administrators everybody's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from monitor.core.access import Role
from monitor.web.devices import device
from tests.web.house import PASSWORD, PeopledRig

NEW = "another battery horse"
SECTIONS = ("", "/sessions", "/accounts", "/tokens", "/about")


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    made = PeopledRig()
    async with made.serving():
        await made.person("ann", Role.ADMIN)
        await made.person("vic", Role.VIEWER, "web-*")
        yield made


async def form_token(browser: httpx.AsyncClient) -> str:
    page = (await browser.get("/settings")).text
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


async def post(browser: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    token = await form_token(browser)
    return await browser.post(f"/settings{path}", data={"form_token": token, **fields})


def leads_to(answer: httpx.Response, path: str) -> None:
    assert (answer.status_code, answer.headers["location"]) == (303, f"/settings{path}")


async def test_who_sees_which_pages(rig: PeopledRig) -> None:
    """It must be that nobody is sent to the login, and viewers see their own pages only."""
    async with rig.client() as nobody, rig.as_person("vic") as vic, rig.as_person("ann") as ann:
        for section in SECTIONS:
            path = f"/settings{section}"
            answer = await nobody.get(path)
            assert answer.headers["location"] == f"/login?next={path}"
            assert (await ann.get(path)).status_code == 200
            expected = 403 if section in {"/accounts", "/tokens"} else 200
            answer = await vic.get(path)
            assert answer.status_code == expected
            assert "/settings/tokens" not in answer.text
            assert "Logged in as" in answer.text


async def test_a_new_password_ends_the_other_sessions(rig: PeopledRig) -> None:
    """It must be that this session stays, all others end, and the old password is over."""
    async with rig.as_person("vic") as here, rig.as_person("vic") as there:
        leads_to(await post(here, "/password", old=PASSWORD, new=NEW, again=NEW), "?done=password")
        page = await here.get("/settings?done=password")
        assert "The password is changed" in page.text
        assert (await there.get("/settings")).status_code == 303
        async with rig.client() as browser:
            for password, status in ((PASSWORD, 401), (NEW, 303)):
                fields = {"username": "vic", "password": password}
                assert (await browser.post("/login", data=fields)).status_code == status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"old": "not it at all", "new": NEW, "again": NEW}, 403),
        ({"old": PASSWORD, "new": NEW, "again": "something else"}, 400),
        ({"old": PASSWORD, "new": "password", "again": "password"}, 400),
        ({"old": PASSWORD}, 400),
        ({"old": PASSWORD, "new": NEW, "again": NEW, "name": "ann"}, 400),
    ],
)
async def test_a_password_that_is_not_to_be_is_refused(
    rig: PeopledRig, fields: dict[str, str], status: int
) -> None:
    """It must be that the form comes back with the reason, and nothing has changed."""
    async with rig.as_person("vic") as here:
        before = rig.office.directory.accounts["vic"]
        answer = await post(here, "/password", **fields)
        assert answer.status_code == status
        assert 'role="alert"' in answer.text
        assert not any(value in answer.text for value in (PASSWORD, NEW, "not it at all"))
        assert rig.office.directory.accounts["vic"] == before


async def test_the_old_password_cannot_be_guessed_here(rig: PeopledRig) -> None:
    """It must be that a stolen session finds the password out no faster than the login does."""
    async with rig.as_person("vic") as here:
        token = await form_token(here)
        statuses = [
            (
                await here.post(
                    "/settings/password",
                    data={"form_token": token, "old": f"guess {n}", "new": NEW, "again": NEW},
                )
            ).status_code
            for n in range(11)
        ]
        assert statuses == [403] * 10 + [429]


async def test_sessions_are_ones_own_and_everybodys(rig: PeopledRig) -> None:
    """It must be that one ends one's own sessions, an administrator any, and nobody others'."""
    async with rig.as_person("ann") as ann, rig.as_person("vic") as vic:
        anns = rig.office.accounts.sessions_of("ann")[0].id
        vics = rig.office.accounts.sessions_of("vic")[0].id
        page = (await vic.get("/settings/sessions")).text
        assert vics in page
        assert anns not in page
        assert "this one" in page
        foreign = await post(vic, f"/sessions/{anns}/end")
        missing = await post(vic, "/sessions/0123456789/end")
        assert foreign.status_code == missing.status_code == 404
        token = re.compile(r'value="[0-9a-f]{64}"')
        assert token.sub("", foreign.text) == token.sub("", missing.text)
        assert vics in (await ann.get("/settings/sessions")).text
        leads_to(await post(ann, f"/sessions/{vics}/end"), "/sessions?done=session")
        assert (await vic.get("/settings")).status_code == 303
        async with rig.as_person("ann") as elsewhere:
            leads_to(await post(ann, "/sessions/end-others"), "/sessions?done=sessions")
            assert (await elsewhere.get("/settings")).status_code == 303
        assert (await ann.get("/settings")).status_code == 200


async def test_administrators_keep_the_accounts(rig: PeopledRig) -> None:
    """It must be that accounts are made, changed and deleted, and each is written down."""
    async with rig.as_person("ann") as ann:
        made = await post(
            ann, "/accounts", name="Bob", role="viewer", password=PASSWORD, hosts="web-*, db-1"
        )
        leads_to(made, "/accounts?done=created")
        assert rig.office.directory.accounts["bob"].hosts == ("web-*", "db-1")
        page = (await ann.get("/settings/accounts/bob")).text
        assert "Yes, delete bob" in page
        leads_to(await post(ann, "/accounts/bob/role", role="operator"), "/accounts/bob?done=role")
        assert rig.office.directory.accounts["bob"].role is Role.OPERATOR
        reset = await post(ann, "/accounts/bob/password", password=NEW)
        leads_to(reset, "/accounts/bob?done=reset")
        leads_to(await post(ann, "/accounts/bob/delete"), "/accounts?done=deleted")
        assert "bob" not in rig.office.directory.accounts
        assert (await ann.get("/settings/accounts/bob")).status_code == 404
        for path, fields in (
            ("/accounts/ann/delete", {}),
            ("/accounts/ann/role", {"role": "viewer"}),
        ):
            refused = await post(ann, path, **fields)
            assert refused.status_code == 409
            assert "last administrator" in refused.text
        assert (await post(ann, "/accounts/ann/password", password=NEW)).status_code == 403
    done = [entry for entry in await rig.audited() if entry[1] == "bob"]
    assert [action for action, _, _ in done] == [
        "account.create",
        "account.role",
        "account.password",
        "account.delete",
    ]


@pytest.mark.parametrize(
    ("fields", "status", "kept"),
    [
        ({"name": "vic", "role": "viewer", "password": NEW}, 409, 'value="vic"'),
        ({"name": "<img src=x>", "role": "viewer", "password": NEW}, 400, "&lt;img src=x&gt;"),
        ({"name": "bob", "role": "king", "password": NEW}, 400, 'value="bob"'),
        ({"name": "bob", "role": "viewer", "password": "short"}, 400, 'value="bob"'),
        ({"name": "bob", "role": "viewer", "password": NEW, "hosts": "../x"}, 400, "../x"),
        ({"name": "bob", "role": "viewer", "password": NEW, "kept": "x"}, 400, ""),
    ],
)
async def test_a_bad_account_comes_back_with_its_fields(
    rig: PeopledRig, fields: dict[str, str], status: int, kept: str
) -> None:
    """It must be that what was typed is still there, but for the password, and inert."""
    async with rig.as_person("ann") as ann:
        answer = await post(ann, "/accounts", **fields)
        assert answer.status_code == status
        assert kept in answer.text
        assert "<img src=x>" not in answer.text
        assert NEW not in answer.text
        assert len(rig.office.directory.accounts) == 2


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"kind": "agent", "host": "web-1", "labels": "env=prod"},
            " --name web-1; } | $(command -v sudo) sh",
        ),
        (
            {"kind": "enroll", "hosts": "web-*", "uses": "3", "expires": "24h"},
            "/install.sh &amp;&amp; echo enrol mon_",
        ),
        ({"kind": "ingest", "hosts": ""}, "/api/v1/write"),
        ({"kind": "api", "scope": "metrics", "expires": "90d"}, "/metrics"),
        ({"kind": "api", "scope": "read", "note": "<b>wall</b>"}, "/api/v1/hosts"),
    ],
)
async def test_a_token_is_shown_once(rig: PeopledRig, fields: dict[str, str], line: str) -> None:
    """It must be that the answer has it with the line to paste, and no page after that."""
    async with rig.as_person("ann") as ann:
        answer = await post(ann, "/tokens", **fields)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        found = re.search(r'id="token-text">((?:agt|mon)_[^<]+)<', answer.text)
        assert found is not None
        assert line in answer.text
        assert "<b>wall</b>" not in answer.text
        assert rig.office.directory.by_token(found[1], rig.services.clock()) is not None
        later = (await ann.get("/settings/tokens")).text
        assert found[1] not in later
        assert found[1].split("_")[1] in later


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "king"}, "a token is one of"),
        ({"kind": "agent", "host": ""}, "one host"),
        ({"kind": "agent", "host": "web-*"}, "one host"),
        ({"kind": "agent", "host": "web-1", "labels": "env"}, "name=value"),
        ({"kind": "agent", "host": "web-1", "expires": "tomorrow"}, "expires"),
        ({"kind": "agent", "host": "web-1", "expires": "-1d"}, "expires"),
        ({"kind": "agent", "host": "web-1", "expires": "9999y"}, "expires"),
        ({"kind": "enroll", "uses": "0"}, "used 1 to"),
        ({"kind": "enroll", "uses": "²"}, "whole number"),
        ({"kind": "enroll"}, "whole number"),
        ({"kind": "ingest", "hosts": "../x"}, "globs"),
        ({"kind": "api", "scope": "god"}, "scopes"),
        ({"kind": "api"}, "scopes"),
    ],
)
async def test_a_token_that_cannot_be_is_not_made(
    rig: PeopledRig, fields: dict[str, str], field: str
) -> None:
    """It must be that the form says what is wrong, and nothing is made."""
    async with rig.as_person("ann") as ann:
        answer = await post(ann, "/tokens", **fields)
        assert answer.status_code == 400
        assert field in answer.text
        assert not rig.office.directory.tokens


async def test_tokens_are_rotated_and_revoked(rig: PeopledRig) -> None:
    """It must be that rotating shows another one, and revoking ends it at once."""
    async with rig.as_person("ann") as ann:
        await post(ann, "/tokens", kind="agent", host="web-1")
        (old,) = rig.office.directory.tokens
        answer = await post(ann, f"/tokens/{old}/rotate", overlap="24")
        assert "Shown once" in answer.text
        assert len(rig.office.directory.tokens) == 2
        again = await post(ann, f"/tokens/{old}/rotate", overlap="24")
        assert again.status_code == 409
        leads_to(await post(ann, f"/tokens/{old}/revoke"), "/tokens?done=revoked")
        assert old not in rig.office.directory.tokens
        assert (await post(ann, f"/tokens/{old}/revoke")).status_code == 404


async def test_a_form_without_its_token_does_nothing(rig: PeopledRig) -> None:
    """It must be that every form of ours proves that it is this session's."""
    async with rig.as_person("ann") as ann:
        for path in ("/accounts", "/tokens", "/sessions/end-others", "/password"):
            answer = await ann.post(f"/settings{path}", data={"name": "bob"})
            assert answer.status_code == 403
        assert len(rig.office.directory.accounts) == 2


async def test_the_first_administrator_ends_the_openness() -> None:
    """It must be that an open server offers it, takes no lesser role, and is closed by it."""
    rig = PeopledRig()
    async with rig.serving(), rig.client() as browser:
        assert "Create the first administrator" in (await browser.get("/settings")).text
        for section in SECTIONS:
            page = await browser.get(f"/settings{section}")
            assert (page.status_code, "Open:" in page.text) == (200, True)
        fields = {"name": "ann", "role": "viewer", "password": PASSWORD, "again": PASSWORD}
        refused = await browser.post("/settings/accounts", data=fields)
        assert (refused.status_code, rig.door.is_open) == (400, True)
        wrong = await browser.post("/settings/accounts", data=fields | {"again": NEW})
        assert (wrong.status_code, rig.door.is_open) == (400, True)
        done = await browser.post("/settings/accounts", data=fields | {"role": "admin"})
        assert (done.status_code, done.headers["location"]) == (303, "/login")
        assert not rig.door.is_open
        assert (await browser.get("/settings")).status_code == 303


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Linux",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU like Mac OS X) Version/18 Safari/605", "Safari on iPhone"),
        ("Mozilla/5.0 Chrome/140.0", "Chrome"),
        ("curl/8.14.1", "curl/8.14.1"),
        ("", ""),
    ],
)
def test_a_device_is_called_what_people_call_it(agent: str, words: str) -> None:
    """It must be that a list of sessions reads as a list of devices."""
    assert device(agent) == words


async def test_what_runs_here_names_no_host_that_is_hidden(rig: PeopledRig) -> None:
    """It must be that the server's own host is told to those who see it."""
    await rig.person("dan", Role.VIEWER, "db-*")
    async with rig.as_person("vic") as vic, rig.as_person("dan") as dan:
        assert "<dd>web-1</dd>" in (await vic.get("/settings/about")).text
        assert "web-1" not in (await dan.get("/settings/about")).text
