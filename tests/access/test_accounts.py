"""Accounts and sessions: see `monitor.access.accounts`."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest
from argon2 import PasswordHasher

from monitor.access.accounts import (
    AGENT_CHARACTERS,
    MOST_SESSIONS,
    REMEMBERED_SECONDS,
    SESSION_SECONDS,
    Accounts,
)
from monitor.access.office import Office
from monitor.access.passwords import Passwords
from monitor.core.access import CallerKind, Role
from monitor.errors import InputError, MonitorError, NotFound
from tests.access.house import CHEAP, PASSWORD, ROOT, House

ANOTHER = "staple another battery"


async def test_a_session_is_whose_password_was_right(house: House) -> None:
    """It must be that a cookie means its account until its session ends."""
    accounts, directory = house.office.accounts, house.office.directory
    await accounts.create(ROOT, "Ann", Role.ADMIN, PASSWORD)
    found = await accounts.log_in("ANN", PASSWORD, remember=False, address="::1", agent="x")
    assert found is not None
    cookie, session = found
    caller = directory.by_cookie(cookie, house.now)
    assert caller is not None
    assert (caller.kind, caller.name) == (CallerKind.PERSON, "ann")
    assert directory.by_cookie(cookie, session.expires) is None
    await accounts.end_session(ROOT, session.id)
    assert directory.by_cookie(cookie, house.now) is None


async def test_a_session_lasts_as_long_as_its_device_is_remembered(house: House) -> None:
    """It must be that 30 days are for a remembered device, and 12 hours for others."""
    accounts = house.office.accounts
    await accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    for remember, seconds in ((True, REMEMBERED_SECONDS), (False, SESSION_SECONDS)):
        found = await accounts.log_in("ann", PASSWORD, remember=remember, address="::1", agent="x")
        assert found is not None
        assert found[1].expires - house.now == seconds
    assert (REMEMBERED_SECONDS, SESSION_SECONDS) == (30 * 86_400, 12 * 3_600)


async def test_a_device_is_what_its_browser_says_in_plain_characters(house: House) -> None:
    """It must be that a browser is recognised, and that no name of one can draw on a terminal."""
    accounts = house.office.accounts
    await accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0"
    for agent, shown in ((chrome, chrome), ("\x1b[31m\n" + "é" * 999, "\\x1b[31m\\n\\xe9")):
        found = await accounts.log_in("ann", PASSWORD, remember=False, address="", agent=agent)
        assert found is not None
        assert found[1].agent.startswith(shown)
        assert found[1].agent.isascii()
        assert found[1].agent.isprintable()
        assert len(found[1].agent) <= AGENT_CHARACTERS


@pytest.mark.parametrize(
    "name", ["", "-ann", "a b", "a/b", "ann\n", "é", "a" * 65, "../ann", "ann\0", "\uff41nn"]
)
async def test_a_bad_name_is_refused(house: House, name: str) -> None:
    """It must be that a name is short plain ASCII, and is not shown whole where it is not."""
    with pytest.raises(InputError) as raised:
        await house.office.accounts.create(ROOT, name, Role.VIEWER, PASSWORD)
    assert (raised.value.code, raised.value.field) == ("bad_name", "name")
    assert raised.value.detail.isprintable()
    assert not house.office.directory.has_account


@pytest.mark.parametrize("hosts", [(), ("",), ("a b",), ("web-*", "x/y"), ("a",) * 65])
async def test_bad_globs_are_refused(house: House, hosts: tuple[str, ...]) -> None:
    """It must be that an account sees hosts that there can be."""
    with pytest.raises(InputError) as raised:
        await house.office.accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD, hosts)
    assert raised.value.code == "bad_glob"


async def test_a_name_is_one_accounts_in_any_case(house: House) -> None:
    """It must be that nobody can be mistaken for another by the case of a name."""
    accounts = house.office.accounts
    await accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    for office in (house.office, house.another()):
        with pytest.raises(InputError) as raised:
            await office.accounts.create(ROOT, "ANN", Role.ADMIN, PASSWORD)
        assert raised.value.code == "account_exists"
    assert accounts.found("Ann").role is Role.VIEWER


async def test_what_is_not_there_is_not_found(house: House) -> None:
    """It must be that every change of nobody's account is a 404."""
    accounts = house.office.accounts
    for change in (
        accounts.set_role(ROOT, "ann", Role.ADMIN),
        accounts.delete(ROOT, "ann"),
        accounts.set_password(ROOT, "ann", PASSWORD),
        accounts.end_session(ROOT, "0123456789"),
    ):
        with pytest.raises(NotFound):
            await change
    assert await house.trail() == []


async def test_accounts_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be that there are never more accounts than memory was meant for."""
    monkeypatch.setattr("monitor.access.accounts.MOST_ACCOUNTS", 2)
    for name in ("ann", "ben"):
        await house.office.accounts.create(ROOT, name, Role.VIEWER, PASSWORD)
    with pytest.raises(InputError) as raised:
        await house.office.accounts.create(ROOT, "cat", Role.VIEWER, PASSWORD)
    assert (raised.value.code, raised.value.limit) == ("too_many_accounts", 2)


async def test_sessions_are_bounded(house: House) -> None:
    """It must be that one login more than an account may have ends its oldest."""
    await house.office.accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    cookies = []
    for _ in range(MOST_SESSIONS + 2):
        house.now += 1
        cookies.append(await house.cookie("ann"))
    directory = house.office.directory
    assert len(house.office.accounts.sessions_of("ann")) == MOST_SESSIONS
    held = [directory.by_cookie(each, house.now) is not None for each in cookies]
    assert held == [False, False, *[True] * MOST_SESSIONS]


async def test_expired_sessions_are_let_go_of(house: House) -> None:
    """It must be that what has expired is removed, and only that."""
    await house.office.accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    await house.cookie("ann")
    house.now += SESSION_SECONDS - 1
    await house.cookie("ann")
    house.now += 1
    assert await house.office.accounts.prune() == 1
    assert len(await house.registry.keys("access/session/")) == 1


# The last administrator


async def test_the_last_administrator_stays(house: House) -> None:
    """It must be that no change leaves a server without an administrator."""
    accounts = house.office.accounts
    await accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
    await accounts.create(ROOT, "ben", Role.VIEWER, PASSWORD)
    for change in (
        accounts.delete(ROOT, "ann"),
        accounts.set_role(ROOT, "ann", Role.VIEWER),
    ):
        with pytest.raises(InputError) as raised:
            await change
        assert raised.value.code == "last_admin"
    await accounts.set_role(ROOT, "ben", Role.ADMIN)
    await accounts.delete(ROOT, "ann")
    assert [each.name for each in house.office.directory.admins()] == ["ben"]


async def test_the_last_account_stays_whoevers_it_is(house: House) -> None:
    """It must be that no deletion opens the server again, also where nobody is administrator."""
    accounts = house.office.accounts
    await accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    with pytest.raises(InputError) as raised:
        await accounts.delete(ROOT, "ann")
    assert raised.value.code == "last_account"
    assert house.office.directory.has_account
    await accounts.create(ROOT, "ben", Role.ADMIN, PASSWORD)
    await accounts.delete(ROOT, "ann")


async def two(house: House) -> tuple[Office, Office]:
    """Two processes that know the same two administrators."""
    await house.office.accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
    await house.office.accounts.create(ROOT, "ben", Role.ADMIN, PASSWORD)
    other = house.another()
    await other.load()
    return house.office, other


async def test_who_knows_of_another_that_has_gone_takes_nobody(house: House) -> None:
    """It must be that the other administrator is looked for, and not remembered."""
    one, other = await two(house)
    await other.accounts.delete(ROOT, "ann")
    assert len(one.directory.admins()) == 2
    with pytest.raises(InputError) as raised:
        await one.accounts.delete(ROOT, "ben")
    assert raised.value.code == "last_admin"


async def test_two_processes_do_not_take_the_last_two(house: House) -> None:
    """It must be that of two changes at the same time one finds that it would be the last."""
    one, other = await two(house)
    results = await asyncio.gather(
        one.accounts.delete(ROOT, "ann"),
        other.accounts.set_role(ROOT, "ben", Role.VIEWER),
        return_exceptions=True,
    )
    refused = [each for each in results if isinstance(each, MonitorError)]
    assert [each.code for each in refused] == ["last_admin"]
    assert results.count(None) == 1
    again = house.another()
    await again.load()
    assert len(again.directory.admins()) == 1


# Passwords and sessions


async def test_another_password_ends_every_session_but_ones_own(house: House) -> None:
    """It must be that who changes a password stays, and everybody else in by the old one goes."""
    accounts, directory = house.office.accounts, house.office.directory
    await accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
    await accounts.create(ROOT, "ben", Role.VIEWER, PASSWORD)
    mine, stolen, bens = [await house.cookie(name) for name in ("ann", "ann", "ben")]
    caller = directory.by_cookie(mine, house.now)
    assert caller is not None
    keep = caller.credential
    with pytest.raises(MonitorError) as raised:
        await accounts.change_own_password(ROOT, "ann", "not that one", ANOTHER, keep)
    assert (raised.value.code, raised.value.status) == ("wrong_password", 403)
    await accounts.change_own_password(ROOT, "ann", PASSWORD, ANOTHER, keep)
    # Also for who only follows: one write of the account says it all.
    again = house.another()
    await again.load()
    for each in (directory, again.directory):
        assert each.by_cookie(mine, house.now) is not None
        assert each.by_cookie(stolen, house.now) is None
        assert each.by_cookie(bens, house.now) is not None
    attempt = await accounts.log_in("ann", PASSWORD, remember=False, address="", agent="")
    assert attempt is None
    new = await house.cookie("ann", ANOTHER)
    assert directory.by_cookie(new, house.now) is not None
    await accounts.set_password(ROOT, "ann", PASSWORD)
    for cookie in (mine, new):
        assert directory.by_cookie(cookie, house.now) is None


async def test_a_session_by_a_password_that_has_just_changed_elsewhere_ends(house: House) -> None:
    """It must be that who came in while a process did not yet know better is out once it does."""
    server, command = house.office, house.another()
    await server.accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
    await command.load()
    unseen = await house.cookie("ann")
    await command.accounts.set_password(ROOT, "ann", ANOTHER)
    late = await house.cookie("ann")
    await server.load()
    assert server.directory.by_cookie(unseen, house.now) is None
    assert server.directory.by_cookie(late, house.now) is None
    assert server.directory.by_cookie(await house.cookie("ann", ANOTHER), house.now) is not None


class Held(PasswordHasher):
    """Compares when it is told to."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.began, self.go = threading.Event(), threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        """As argon2's, once it may."""
        self.began.set()
        assert self.go.wait(10)
        return super().verify(hash, password)


@pytest.mark.parametrize("change", ["password", "delete"])
async def test_a_login_that_is_overtaken_is_refused(house: House, change: str) -> None:
    """It must be that a password which is changed while it is compared lets nobody in."""
    hasher = Held()
    slow = Accounts(house.records(), Passwords(hasher), house.office.audit, lambda: house.now)
    accounts = house.office.accounts
    await accounts.create(ROOT, "root1", Role.ADMIN, PASSWORD)
    await accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    login = asyncio.create_task(slow.log_in("ann", PASSWORD, remember=False, address="", agent=""))
    assert await asyncio.to_thread(hasher.began.wait, 10)
    if change == "password":
        await accounts.set_password(ROOT, "ann", ANOTHER)
    else:
        await accounts.delete(ROOT, "ann")
    hasher.go.set()
    assert await login is None
    assert not house.office.directory.sessions


async def test_a_change_of_what_somebody_else_has_changed_is_refused(house: House) -> None:
    """It must be that nobody's change is lost, and that this is said in words."""
    one, other = await two(house)
    held = other.directory.accounts["ann"]
    await house.records(other).update(msgspec.structs.replace(held, hosts=("web-*",)))
    with pytest.raises(InputError) as raised:
        await one.accounts.set_password(ROOT, "ann", ANOTHER)
    assert (raised.value.code, raised.value.status) == ("changed_meanwhile", 409)
    assert CHEAP.verify(held.password, PASSWORD)


async def test_all_other_sessions_are_ended(house: House) -> None:
    """It must be that one's other devices can be logged out at once, and nobody else's."""
    accounts, directory = house.office.accounts, house.office.directory
    for name in ("ann", "ben"):
        await accounts.create(ROOT, name, Role.VIEWER, PASSWORD)
    mine, other, bens = [await house.cookie(name) for name in ("ann", "ann", "ben")]
    caller = directory.by_cookie(mine, house.now)
    assert caller is not None
    assert await accounts.end_others(ROOT, "ann", caller.credential) == 1
    written = await house.log.last()
    assert await accounts.end_others(ROOT, "ann", caller.credential) == 0
    assert await house.log.last() == written  # nothing was done, and the trail is not filled by it
    held = [directory.by_cookie(each, house.now) is not None for each in (mine, other, bens)]
    assert held == [True, False, True]


async def test_a_hash_of_other_parameters_is_renewed_at_login() -> None:
    """It must be that whoever comes in is kept by today's parameters, and no session ends by it."""
    house = House()
    await house.office.accounts.create(ROOT, "ann", Role.ADMIN, PASSWORD)
    later = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    house.office.accounts._passwords = Passwords(later)
    cookies = []
    for _ in range(2):
        found = await house.office.accounts.log_in(
            "ann", PASSWORD, remember=False, address="::1", agent=""
        )
        assert found is not None
        cookies.append(found[0])
        kept = house.office.directory.accounts["ann"].password
        assert not later.check_needs_rehash(kept)
    assert all(house.office.directory.by_cookie(each, house.now) for each in cookies)
