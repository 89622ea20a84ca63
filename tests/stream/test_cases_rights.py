"""Who may hear what, with today's rights, live and replayed (STREAM cases 18, 29, 30, 33)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from monitor.access.audit import Actor
from monitor.access.tokens import Wish
from monitor.core.access import Role, TokenKind
from monitor.model import Event, EventType
from monitor.web.door import PLAIN_COOKIE
from tests.browser.rig import Rig
from tests.stream.making import CPU, alert, event_id, happen, host_update, notice
from tests.stream.reading import Block, Reader, stream

Headers = dict[str, Any]

ROOT = Actor("root", "command line")
PASSWORD = "correct horse battery"

WITHIN_SECONDS = 1.0
"""How long a stream may go on after its caller was revoked."""


async def cookie(rig: Rig, name: str, role: Role) -> Headers:
    """The header of a person who has just been made and logged in."""
    await rig.office.accounts.create(ROOT, name, role, PASSWORD)
    found = await rig.office.accounts.log_in(
        name, PASSWORD, remember=False, address="127.0.0.1", agent="test"
    )
    assert found is not None
    return {"cookie": f"{PLAIN_COOKIE}={found[0]}"}


async def bearer(rig: Rig, kind: TokenKind, hosts: str, *scopes: str) -> Headers:
    """The header of a token."""
    text, _ = await rig.office.tokens.create(ROOT, Wish(kind, (hosts,), scopes))
    return {"authorization": f"Bearer {text}"}


def approval(host: str) -> Event:
    data: Mapping[str, object] = {
        "approval": "a1",
        "action": "restart",
        "host": host,
        "state": "pending",
        "was": None,
        "by": None,
        "reason": "",
        "expires": None,
    }
    return Event(EventType.APPROVAL, ("approvals",), data, time.time(), event_id())


def audit(text: str) -> Event:
    data = {"kind": "audit", "text": text, "details": None}
    return Event(EventType.NOTICE, (), data, time.time(), event_id())


def told(blocks: list[Block]) -> list[str]:
    """What logged events were about: their host, or their text."""
    return [
        str(block.data.get("host") or block.data.get("text"))
        for block in blocks
        if block.type in {"host_update", "alert", "notice", "approval"}
    ]


async def past(rig: Rig) -> None:
    """One event of each clearance."""
    await happen(
        rig,
        host_update("web-1"),
        host_update("web-2"),
        approval("web-1"),
        audit("secret trail"),
        notice("silence"),
        alert(),
    )


async def test_case_18_what_is_replayed_is_what_the_reader_may_see_today(rig: Rig) -> None:
    """It must be that live and replay alike leave out what a reader may not see."""
    after = f"{rig.log.epoch}-{await rig.log.last()}"
    admin = await cookie(rig, "ann", Role.ADMIN)
    viewer = await cookie(rig, "vic", Role.VIEWER)
    one_host = await bearer(rig, TokenKind.API, "web-1", "read")
    readers = {
        name: await Reader.open(rig.url, stream("log"), last_event_id=after, **header)
        for name, header in (("admin", admin), ("viewer", viewer), ("one host", one_host))
    }
    await past(rig)
    last = host_update("web-1", "the last")
    await happen(rig, last)
    live = {name: await until(reader, "the last") for name, reader in readers.items()}
    replayed = {
        name: await until(
            await Reader.open(rig.url, stream("log"), last_event_id=after, **header), "the last"
        )
        for name, header in (("admin", admin), ("viewer", viewer), ("one host", one_host))
    }
    assert live == replayed
    assert "secret trail" in live["admin"]
    assert live["viewer"] == ["web-1", "web-2", "silence", "web-1", "web-1"]
    assert live["one host"] == ["web-1", "web-1", "web-1"]
    once = await Reader.open(rig.url, stream("log", follow="0"), last_event_id=after, **one_host)
    body = (await once.body()).decode()
    assert "secret trail" not in body
    assert "web-2" not in body


async def until(reader: Reader, reason: str) -> list[str]:
    """What a reader is told up to the event with this reason."""
    found: list[Block] = []
    while True:
        block = await reader.message("host_update", "alert", "notice", "approval")
        found.append(block)
        if block.data.get("reason") == reason:
            return told(found)


async def test_the_fleet_holds_only_the_hosts_that_a_reader_sees(rig: Rig) -> None:
    """It must be that state is filtered as events are, in the snapshot and in changes."""
    header = await bearer(rig, TokenKind.API, "web-1", "read")
    reader = await Reader.open(rig.url, stream("fleet"), **header)
    snapshot = await reader.message("metric_update")
    assert set(snapshot.data["hosts"]) == {"web-1"}
    await rig.send({CPU: 0.5}, host="web-2")
    await rig.send({CPU: 0.75}, host="web-1")
    change = await reader.message("metric_update")
    assert set(change.data["hosts"]) == {"web-1"}


async def test_case_29_what_may_not_be_read_is_403_and_what_may_not_be_seen_404(
    rig: Rig,
) -> None:
    """It must be that a host that is hidden is answered as one that there is not."""
    viewer = await cookie(rig, "vic", Role.VIEWER)
    header = await bearer(rig, TokenKind.API, "web-1", "read")
    for who in (viewer, header):
        refused = await Reader.open(rig.url, stream("approvals"), **who)
        assert (refused.status, json.loads(await refused.body())["code"]) == (403, "forbidden")
    bodies = []
    for host in ("web-2", "web-9"):
        refused = await Reader.open(rig.url, stream(f"host:{host}"), **header)
        assert refused.status == 404
        bodies.append(await refused.body())
    assert bodies[0] == bodies[1]
    for kind in (TokenKind.AGENT, TokenKind.INGEST, TokenKind.ENROLL):
        other = await bearer(rig, kind, "web-1")
        refused = await Reader.open(rig.url, stream("fleet"), **other)
        assert refused.status == 403
    assert (await Reader.open(rig.url, stream("fleet"))).status == 401
    assert rig.hub.client_count == 0


@pytest.mark.parametrize("how", ["session", "password", "role", "account", "expiry"])
async def test_case_30_a_person_who_is_revoked_is_told_goodbye_at_once(rig: Rig, how: str) -> None:
    """It must be that every way to lose a right ends the streams that had it, and no others."""
    await cookie(rig, "ann", Role.ADMIN)
    vic = await cookie(rig, "vic", Role.OPERATOR)
    ben = await cookie(rig, "ben", Role.OPERATOR)
    watching = asyncio.create_task(rig.door.watch())
    reader = await Reader.open(rig.url, stream("fleet"), **vic)
    other = await Reader.open(rig.url, stream("fleet"), **ben)
    await reader.messages(2)
    await other.messages(2)
    accounts = rig.office.accounts
    (session,) = accounts.sessions_of("vic")
    began = time.monotonic()
    if how == "session":
        await accounts.end_session(ROOT, session.id)
    elif how == "password":
        await accounts.set_password(ROOT, "vic", "another good one")
    elif how == "role":
        await accounts.set_role(ROOT, "vic", Role.VIEWER)
    elif how == "account":
        await accounts.delete(ROOT, "vic")
    else:
        rig.door._clock = lambda: session.expires
        began = time.monotonic()
    farewell = (await reader.rest())[-1]
    assert (farewell.type, farewell.data["reason"]) == ("disconnected", "revoked")
    assert time.monotonic() - began < WITHIN_SECONDS * 3  # on a busy machine
    again = await Reader.open(rig.url, stream("fleet"), **vic)
    assert again.status == (200 if how == "role" else 401)
    if how != "expiry":  # by that clock theirs is over, too
        assert (await Reader.open(rig.url, stream("fleet"), **ben)).status == 200
        await rig.send({CPU: 0.9}, host="web-1")
        await other.message("metric_update")
    watching.cancel()


async def test_case_30_a_token_that_is_revoked_ends_its_stream(rig: Rig) -> None:
    """It must be that a token's stream ends with it."""
    header = await bearer(rig, TokenKind.API, "*", "read")
    reader = await Reader.open(rig.url, stream("fleet"), **header)
    await reader.messages(2)
    (token,) = rig.office.tokens.all()
    await rig.office.tokens.revoke(ROOT, token.id)
    assert (await reader.rest())[-1].data["reason"] == "revoked"


async def test_the_first_account_ends_an_open_servers_streams(rig: Rig) -> None:
    """It must be that who came in while it was open does not stay."""
    reader = await Reader.open(rig.url, stream("fleet"))
    await reader.messages(2)
    await cookie(rig, "ann", Role.ADMIN)
    assert (await reader.rest())[-1].data["reason"] == "revoked"
    assert (await Reader.open(rig.url, stream("fleet"))).status == 401
