"""Accounts and sessions over a real registry's contract: see `monitor.access.accounts`."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from monitor.access.accounts import Accounts, Records
from monitor.access.audit import Actor, Audit
from monitor.access.directory import Directory
from monitor.access.passwords import Passwords
from monitor.core.access import CallerKind, Role
from monitor.errors import InputError
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ROOT = Actor("root", "command line")


class House:
    """Accounts over memory, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.log = MemoryLog()
        self.registry = MemoryRegistry()
        self.directory = Directory(self.registry)
        self.accounts = Accounts(
            Records(self.registry, self.directory),
            Passwords(CHEAP),
            Audit(self.log, lambda: self.now),
            lambda: self.now,
        )


@pytest.fixture
def house() -> House:
    return House()


async def test_a_session_is_whose_password_was_right(house: House) -> None:
    """It must be that a cookie means its account until its session ends."""
    await house.accounts.create(ROOT, "Ann", Role.ADMIN, "correct horse battery")
    found = await house.accounts.log_in(
        "ANN", "correct horse battery", remember=False, address="::1", agent="x"
    )
    assert found is not None
    cookie, session = found
    caller = house.directory.by_cookie(cookie, house.now)
    assert caller is not None
    assert (caller.kind, caller.name) == (CallerKind.PERSON, "ann")
    assert house.directory.by_cookie(cookie, session.expires) is None
    await house.accounts.end_session(ROOT, session.id)
    assert house.directory.by_cookie(cookie, house.now) is None


async def test_the_last_administrator_stays(house: House) -> None:
    """It must be that no change leaves a server without an administrator."""
    await house.accounts.create(ROOT, "ann", Role.ADMIN, "correct horse battery")
    await house.accounts.create(ROOT, "ben", Role.VIEWER, "correct horse battery")
    for change in (
        house.accounts.delete(ROOT, "ann"),
        house.accounts.set_role(ROOT, "ann", Role.VIEWER),
    ):
        with pytest.raises(InputError) as raised:
            await change
        assert raised.value.code == "last_admin"
