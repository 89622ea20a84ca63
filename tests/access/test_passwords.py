"""Hashing and judging passwords: see `monitor.access.passwords`."""

from __future__ import annotations

import asyncio
import threading

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from hypothesis import given
from hypothesis import strategies as st

from monitor.access.passwords import (
    MOST_AT_ONCE,
    MOST_CHARACTERS,
    MOST_WAITING,
    Passwords,
    require_good,
)
from monitor.core.access import Role
from monitor.errors import InputError, Unavailable
from tests.access.house import CHEAP, PASSWORD, ROOT, House


class Spy(PasswordHasher):
    """Counts what it does, and how much of it at the same time; waits while it is held."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.hashed: list[str] = []
        self.compared: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self._lock = threading.Lock()
        self._running = self.most = self.begun = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        """As argon2's."""
        with self._lock:
            self.hashed.append(str(password))
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        """As argon2's, once it may."""
        with self._lock:
            self.compared.append(str(hash))
            self.begun += 1
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            assert self.go.wait(10)
            return super().verify(hash, password)
        finally:
            with self._lock:
                self._running -= 1

    async def until_begun(self, count: int) -> None:
        """Wait until so many comparisons have begun."""
        async with asyncio.timeout(5):
            while self.begun < count:  # noqa: ASYNC110 - threads set no event of the loop's
                await asyncio.sleep(0.001)


async def test_a_hash_is_argon2id_of_its_own_salt() -> None:
    """It must be that what is kept is argon2id as strong as we say, and never twice the same."""
    passwords = Passwords()
    one = await passwords.hashed(PASSWORD)
    found = extract_parameters(one)
    assert found.type is Type.ID
    assert (found.memory_cost, found.time_cost, found.parallelism) == (65_536, 3, 1)
    assert found.salt_len >= 16
    assert not passwords.is_old(one)
    cheap = CHEAP.hash(PASSWORD)
    assert passwords.is_old(cheap)
    assert cheap != CHEAP.hash(PASSWORD)
    assert await passwords.is_right(PASSWORD, one)
    assert not await passwords.is_right(PASSWORD + " ", one)


@pytest.mark.parametrize("is_first", [True, False], ids=["the first login", "a later one"])
async def test_nobodys_login_is_as_much_work(house: House, is_first: bool) -> None:
    """It must be that unknown names and wrong passwords cost the same hashes, at any time."""
    await house.office.accounts.create(ROOT, "ann", Role.VIEWER, PASSWORD)
    work = []
    for name in ("ann", "nobody", "", "\0", "é" * 10_000):
        spy = Spy()
        accounts = house.another(Passwords(spy)).accounts
        accounts._directory = house.office.directory
        if not is_first:
            await accounts.log_in("x", "y", remember=False, address="", agent="")
        before = len(spy.hashed), len(spy.compared)
        found = await accounts.log_in(name, "wrong one", remember=False, address="", agent="")
        assert found is None
        parameters = extract_parameters(spy.compared[-1])
        work.append((len(spy.hashed) - before[0], len(spy.compared) - before[1], parameters))
    assert work == [work[0]] * len(work)
    assert work[0][:2] == (int(is_first), 1)


async def test_what_leaves_keeps_its_turn_until_its_thread_ends() -> None:
    """It must be that cancelled logins do not let more than two be hashed at the same time."""
    spy = Spy()
    passwords = Passwords(spy)
    kept = spy.hash(PASSWORD)
    await passwords.is_right(PASSWORD, kept)
    spy.go.clear()
    for _ in range(5):
        tasks = [asyncio.create_task(passwords.is_right(PASSWORD, kept)) for _ in range(6)]
        await spy.until_begun(1 + MOST_AT_ONCE)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended)
    last = asyncio.create_task(passwords.is_right(PASSWORD, kept))
    await asyncio.sleep(0.02)
    assert spy.begun == 1 + MOST_AT_ONCE
    spy.go.set()
    assert await asyncio.wait_for(last, 5)
    assert spy.most == MOST_AT_ONCE == 2


async def test_who_comes_when_all_wait_is_asked_to_come_again() -> None:
    """It must be that a flood of logins is refused at once, and all that wait are served."""
    spy = Spy()
    passwords = Passwords(spy)
    kept = spy.hash(PASSWORD)
    await passwords.is_right(PASSWORD, kept)
    spy.go.clear()
    tasks = [
        asyncio.create_task(passwords.is_right(PASSWORD, kept))
        for _ in range(MOST_AT_ONCE + MOST_WAITING)
    ]
    await spy.until_begun(1 + MOST_AT_ONCE)
    with pytest.raises(Unavailable) as raised:
        await passwords.is_right(PASSWORD, kept)
    assert (raised.value.code, raised.value.status) == ("busy", 503)
    assert raised.value.retry_after
    spy.go.set()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10) == [True] * len(tasks)
    assert await passwords.is_right(PASSWORD, kept)


@pytest.mark.parametrize("kept", ["", "no hash", "$argon2id$", "\0", "é", "\ud800", None])
async def test_a_hash_that_cannot_be_read_is_nobodys(kept: str | None) -> None:
    """It must be that a damaged record lets nobody in, and no login fails by it."""
    assert not await Passwords(CHEAP).is_right(PASSWORD, kept)


@given(st.text(st.characters(exclude_categories=()), max_size=100))
def test_any_text_is_compared(text: str) -> None:
    """It must be that nothing that somebody types raises."""

    async def compare() -> bool:
        return await Passwords(CHEAP).is_right(text, CHEAP.hash(PASSWORD))

    assert asyncio.run(compare()) is (text == PASSWORD)


async def test_a_password_is_any_writing() -> None:
    """It must be that what people write outside of ASCII is a password too, to the letter."""
    passwords = Passwords(CHEAP)
    for text in ("пароль для часов", "ひみつのことば、ながい", "🐎🔋📎 correct", "a" * 509 + "bcd"):
        assert require_good(text, "ann") == text
        kept = await passwords.hashed(text)
        assert await passwords.is_right(text, kept)
        assert not await passwords.is_right(text[:-1], kept)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        "seven77",
        "password",
        "PassWord",
        "12345678",
        "qwertyuiop",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "ann-the-first",
        "ANN-the-FIRST",
        "correct horse\n",
        "correct\0horse",
        "correct horse\ud800",
        "ab" + "c" * MOST_CHARACTERS,
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(text: str) -> None:
    """It must be that short, common, repeated and unprintable ones are refused, unnamed."""
    with pytest.raises(InputError) as raised:
        require_good(text, "ann-the-first")
    assert (raised.value.code, raised.value.field) == ("weak_password", "password")
    if len(text) > 4 and text.lower() != "password":
        assert text not in raised.value.detail


async def test_the_first_who_come_together_have_one_hash_made() -> None:
    """What nobody's password is compared with is made once, however many are the first."""
    spy = Spy()
    passwords = Passwords(spy)
    await asyncio.gather(*(passwords.is_right(PASSWORD, None) for _ in range(20)))
    assert len(spy.hashed) == 1
    assert len(spy.compared) == 20
