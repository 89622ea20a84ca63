"""Who a credential means today: see `monitor.access.directory`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from monitor.access.directory import Directory, key_of
from monitor.access.office import Office
from monitor.access.records import ACCOUNTS, TOKENS, UNHEARD_SECONDS
from monitor.core.access import NOBODY, OPEN, CallerKind, Right, Role, TokenKind
from monitor.errors import MonitorError, Unavailable
from monitor.log.memory_registry import MemoryRegistry
from monitor.log.watching import MOST_TOMBSTONES
from monitor.ports import Deleted, Entry, Synced
from tests.access.house import PASSWORD, ROOT, House


@asynccontextmanager
async def followed(directory: Directory) -> AsyncIterator[None]:
    """It follows its registry, as a server's does."""
    task = asyncio.create_task(directory.follow())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(directory: Directory, holds: Callable[[], bool]) -> None:
    """Wait until a directory knows something."""
    moved = asyncio.Event()
    directory.changed.append(moved.set)
    async with asyncio.timeout(5):
        while not holds():
            await moved.wait()
            moved.clear()


async def test_what_another_process_changes_holds_here(house: House) -> None:
    """It must be that accounts, sessions and tokens of another process come and go here."""
    server, other = house.office, house.another()
    async with followed(server.directory):
        await other.accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
        cookie = await house.cookie("ann", office=other)
        await until(server.directory, lambda: bool(server.directory.sessions))
        caller = server.directory.by_cookie(cookie, house.now)
        assert caller is not None
        assert caller.rights == Role.ADMIN.rights
        await other.accounts.end_session(ROOT, caller.credential)
        await until(server.directory, lambda: not server.directory.sessions)
        assert server.directory.by_cookie(cookie, house.now) is None
        assert server.directory.today(caller, house.now) is None


@pytest.mark.parametrize("again", ["load", "follow"])
async def test_what_went_while_nobody_watched_is_gone(house: House, again: str) -> None:
    """It must be that a token revoked while a registry was not followed holds no more."""
    server, other = house.office, house.another()
    text, caller = await house.token(TokenKind.AGENT, "web-1")
    await other.load()
    await other.tokens.revoke(ROOT, caller.credential)
    assert server.directory.by_token(text, house.now) is not None
    if again == "load":
        await server.load()
    else:
        async with followed(server.directory):
            await until(server.directory, lambda: not server.directory.tokens)
    assert server.directory.by_token(text, house.now) is None


async def test_a_page_that_is_late_brings_nothing_back(house: House) -> None:
    """It must be that a value which was read before its end is not believed after it."""
    directory = house.office.directory
    text, caller = await house.token(TokenKind.AGENT, "web-1")
    late = await house.registry.get(TOKENS + caller.credential)
    assert late is not None
    await house.office.tokens.revoke(ROOT, caller.credential)
    directory.take(late)
    assert directory.by_token(text, house.now) is None
    assert not directory.has_token
    # What is made anew under the same key is believed.
    directory.take(Entry(late.key, late.value, late.revision + 2))
    assert directory.by_token(text, house.now) is not None
    # And what is said of before that does not end it.
    directory.forget(late.key, late.revision + 1)
    assert directory.by_token(text, house.now) is not None


async def test_what_came_and_went_between_two_looks_is_gone(house: House) -> None:
    """It must be that a token of ours that another ends before we look is ended here too."""
    house.registry = MemoryRegistry()  # nobody looks between one change and the next
    house.office = house.another()
    async with followed(house.office.directory):
        await house.token(TokenKind.API, scopes=("read",))
        await until(house.office.directory, lambda: bool(house.office.directory.tokens))
        _, caller = await house.token(TokenKind.AGENT, "web-1")
        await house.registry.delete(TOKENS + caller.credential)
        await until(house.office.directory, lambda: len(house.office.directory.tokens) == 1)


async def test_who_misses_more_than_is_remembered_compares(house: House) -> None:
    """It must be that one end among more than the registry remembers is not missed."""
    house.registry = MemoryRegistry()
    house.office = house.another()
    directory = house.office.directory
    _, caller = await house.token(TokenKind.AGENT, "web-1")
    async with followed(directory):
        await house.token(TokenKind.API, scopes=("read",))
        await until(directory, lambda: len(directory.tokens) == 2)
        for number in range(MOST_TOMBSTONES + 50):
            await house.registry.put(f"x/{number}", b"")
            await house.registry.delete(f"x/{number}")
        # Known here at a revision after those that are forgotten.
        held = directory.tokens[caller.credential]
        await house.records().update(msgspec.structs.replace(held, note="new"))
        await house.registry.delete(key_of(held))
        await until(directory, lambda: len(directory.tokens) == 1)


def deep() -> bytes:
    return b'{"name": "ann", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


UNREADABLE = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"name": "\xff"}',
    "no fields": b"{}",
    "a list": b"[]",
    "no role": b'{"name":"ann","role":"god","password":"","created":1,"changed":1}',
    "no number": b'{"name":"ann","role":"admin","password":"","created":NaN,"changed":1}',
    "too deep": deep(),
}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_an_unreadable_account_lets_nobody_in_and_keeps_the_server_closed(
    house: House, value: bytes
) -> None:
    """It must be that damage never opens a server, and never ends the following of others."""
    directory = house.office.directory
    async with followed(directory):
        await house.registry.put(f"{ACCOUNTS}ann", value)
        await until(directory, lambda: directory.has_account)
        assert not directory.accounts
        assert directory.today(OPEN, house.now) is None
        await house.office.accounts.create(ROOT, "ben", Role.VIEWER, PASSWORD)
        assert set(directory.accounts) == {"ben"}
    again = house.another()
    await again.load()
    assert again.directory.has_account
    assert set(again.directory.accounts) == {"ben"}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_record_that_becomes_unreadable_holds_no_more(house: House, value: bytes) -> None:
    """It must be that who was in by a record that is damaged now is nobody."""
    directory = house.office.directory
    await house.office.accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
    cookie = await house.cookie("ann")
    text, caller = await house.token(TokenKind.AGENT, "web-1")
    await house.registry.put(f"{ACCOUNTS}ann", value)
    await house.registry.put(TOKENS + caller.credential, value)
    await directory.load()
    assert directory.by_cookie(cookie, house.now) is None
    assert directory.by_token(text, house.now) is None


async def test_every_credential_ends_at_its_instant(house: House) -> None:
    """It must be that what expires at an instant holds until just before it."""
    directory = house.office.directory
    await house.office.accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    cookie = await house.cookie("ann")
    (session,) = directory.sessions.values()
    text, caller = await house.token(TokenKind.API, scopes=("read",), expires=session.expires)
    before = math.nextafter(session.expires, 0)
    for at, holds in ((before, True), (session.expires, False), (session.expires + 1, False)):
        assert (directory.by_cookie(cookie, at) is not None) is holds
        assert (directory.by_token(text, at) is not None) is holds
        assert (directory.today(caller, at) is not None) is holds


async def test_credentials_are_not_taken_for_each_other(house: House) -> None:
    """It must be that a cookie is no bearer token, and a token no cookie."""
    directory = house.office.directory
    await house.office.accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    cookie = await house.cookie("ann")
    text, _ = await house.token(TokenKind.INGEST, "db-*")
    assert directory.by_token(cookie, house.now) is None
    assert directory.by_cookie(text, house.now) is None
    for other in ("", "ses_", "\ud800", "ses_" + "0" * 10 + "_" + "0" * 43, text[:-1]):
        assert directory.by_cookie(other, house.now) is None
        assert directory.by_token(other, house.now) is None


async def test_today_is_what_holds_now(house: House) -> None:
    """It must be that a caller who stays connected has today's rights and hosts."""
    office, directory = house.office, house.office.directory
    assert directory.today(OPEN, house.now) == OPEN
    await office.accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
    await office.accounts.create(ROOT, "ben", Role.ADMIN, PASSWORD, ("web-*",))
    assert directory.today(OPEN, house.now) is None
    assert directory.today(NOBODY, house.now) == NOBODY
    caller = directory.by_cookie(await house.cookie("ben"), house.now)
    assert caller is not None
    assert (caller.kind, caller.hosts) == (CallerKind.PERSON, ("web-*",))
    await office.accounts.set_role(ROOT, "ben", Role.VIEWER)
    today = directory.today(caller, house.now)
    assert today is not None
    assert today != caller
    assert today.rights == Role.VIEWER.rights


async def test_a_used_up_enrolment_token_is_nobody(house: House) -> None:
    """It must be that the last exchange ends an enrolment token, once its answer is heard."""
    text, caller = await house.token(TokenKind.ENROLL, uses=1)
    assert caller.rights == {Right.ENROLL}
    await house.office.tokens.enroll(caller, ROOT, "web-1")
    with pytest.raises(MonitorError, match="used up"):
        await house.office.tokens.enroll(caller, ROOT, "web-2")
    house.now += UNHEARD_SECONDS
    assert house.office.directory.by_token(text, house.now) is None


async def test_a_session_is_not_inherited_with_a_name(house: House) -> None:
    """It must be that a new account of an old name does not have the old one's sessions."""
    office = house.office
    await office.accounts.create(ROOT, "root1", Role.ADMIN, PASSWORD)
    await office.accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    cookie = await house.cookie("ann")
    (session,) = (each for each in office.directory.sessions.values() if each.account == "ann")
    house.now += 1
    await office.accounts.delete(ROOT, "ann")
    # The record of the session is still there: its end was not written before a crash.
    await house.records().create(session)
    await office.accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
    assert office.directory.by_cookie(cookie, house.now) is None


class Failing(MemoryRegistry):
    """Cannot be read once."""

    failures = 1

    def watch(self, prefix: str) -> AsyncIterator[Entry | Synced | Deleted]:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the disk is away", code="log_unavailable")
        return super().watch(prefix)


async def test_a_registry_that_fails_is_followed_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a moment's fault of the registry does not end the following."""
    monkeypatch.setattr("monitor.access.directory.UNHEARD_SECONDS", 0.01)
    house.registry = Failing()
    server, other = house.another(), house.another()
    async with followed(server.directory):
        await other.accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
        await until(server.directory, lambda: server.directory.has_account)


async def test_following_ends_with_the_registry(house: House) -> None:
    """It must be that nothing is left running over a registry that was closed."""
    office: Office = house.office
    task = asyncio.create_task(office.directory.follow())
    await asyncio.sleep(0.01)
    await house.registry.close()
    await asyncio.wait_for(task, 5)
