"""Bodies that take their time: it must be that whoever is revoked meanwhile does nothing more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlencode, urlsplit

import pytest_asyncio

from monitor.access.tokens import Wish
from monitor.core.access import Role, TokenKind
from tests.web.house import PASSWORD, ROOT, PeopledRig

FORM = "application/x-www-form-urlencoded"
NEW_ADMIN = {"name": "eve", "role": "admin", "password": "another battery horse"}


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[PeopledRig]:
    made = PeopledRig()
    async with made.serving():
        await made.person("ann", Role.ADMIN)
        await made.person("bob", Role.ADMIN)
        yield made


async def slowly(
    rig: PeopledRig, head: str, body: bytes, id_: str, between: Callable[[], Awaitable[object]]
) -> int:
    """The status of a request of which something happens between admission and body."""
    place = urlsplit(rig.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    length = f"Host: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + length).encode() + body[:1])
    async with asyncio.timeout(15):
        while rig.office.usage.at(id_) is None:  # noqa: ASYNC110 - the door notes who comes in
            await asyncio.sleep(0.01)
        await between()
        writer.write(body[1:])
        line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_a_revoked_token_pushes_no_body_that_was_on_its_way(rig: PeopledRig) -> None:
    """It must be that a token that was revoked before a push is whole writes nothing."""
    text, token = await rig.office.tokens.create(ROOT, Wish(TokenKind.AGENT, ("web-9",)))
    head = (
        "POST /api/v1/push HTTP/1.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {text}\r\n"
    )
    body = json.dumps({"host": "web-9", "metrics": {"cpu.total": 1}}).encode()
    status = await slowly(
        rig, head, body, token.id, lambda: rig.office.tokens.revoke(ROOT, token.id)
    )
    assert status == 401
    assert "web-9" not in rig.state.hosts


async def test_a_revoked_token_sends_no_form_that_was_on_its_way(rig: PeopledRig) -> None:
    """It must be that an administrator's token makes no account after its end."""
    wish = Wish(TokenKind.API, scopes=("admin",))
    text, token = await rig.office.tokens.create(ROOT, wish)
    head = (
        f"POST /settings/accounts HTTP/1.1\r\nContent-Type: {FORM}\r\n"
        f"Authorization: Bearer {text}\r\n"
    )
    body = urlencode(NEW_ADMIN).encode()
    status = await slowly(
        rig, head, body, token.id, lambda: rig.office.tokens.revoke(ROOT, token.id)
    )
    assert status == 401
    assert "eve" not in rig.office.directory.accounts


async def test_who_is_administrator_no_more_sends_no_form_that_was_on_its_way(
    rig: PeopledRig,
) -> None:
    """It must be that an account that became a viewer's makes no administrator."""
    found = await rig.office.accounts.log_in("bob", PASSWORD, remember=False, address="", agent="")
    assert found is not None
    cookie, session = found
    caller = rig.office.directory.by_cookie(cookie, session.created)
    assert caller is not None
    head = (
        f"POST /settings/accounts HTTP/1.1\r\nContent-Type: {FORM}\r\n"
        f"Cookie: monitor_session={cookie}\r\n"
    )
    body = urlencode({**NEW_ADMIN, "form_token": rig.door.form_token(caller)}).encode()
    status = await slowly(
        rig,
        head,
        body,
        session.id,
        lambda: rig.office.accounts.set_role(ROOT, "bob", Role.VIEWER),
    )
    assert status == 401
    assert "eve" not in rig.office.directory.accounts
