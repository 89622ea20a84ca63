"""Passwords: argon2id in worker threads, a few at a time, and what makes one too easy to guess.

The parameters are those of RFC 9106 for where memory is short (64 MiB, three passes), in one lane,
because two are hashed at the same time on machines of two cores: 0.2 s and 128 MiB at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from monitor.errors import InputError, Unavailable

FEWEST_CHARACTERS = 8
MOST_CHARACTERS = 512

MOST_AT_ONCE = 2
"""Hashed at the same time: 64 MiB each."""

MOST_WAITING = 32
"""Who comes on top is asked to come again: a hash takes 0.2 s."""

RETRY_SECONDS = 5

FEWEST_DIFFERENT = 4
"""Different characters: aaaaaaab is no password."""

_Result = TypeVar("_Result")

_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)


class Passwords:
    """Makes and compares hashes."""

    def __init__(self, hasher: PasswordHasher = _HASHER) -> None:
        self._hasher = hasher
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._waiting = 0
        self._nobodys = ""
        self._making = asyncio.Lock()

    async def hashed(self, password: str) -> str:
        """The hash of a password, with its parameters and salt."""
        return await self._apart(self._hasher.hash, _bytes(password))

    async def is_right(self, password: str, kept: str | None) -> bool:
        """Whether this is the password whose hash was kept; as much work where none was."""
        async with self._making:  # once, though many come first at the same time
            if not self._nobodys:  # before either, so that the first answer tells nothing
                self._nobodys = await self.hashed("of an account that is not there")
        found = await self._apart(self._verified, kept or self._nobodys, _bytes(password))
        return found and kept is not None

    def is_old(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(kept)

    async def _apart(self, work: Callable[..., _Result], *arguments: str | bytes) -> _Result:
        """Do a piece of work in a thread, in its turn.

        A thread cannot be cancelled, and its memory is what the turns bound: where the caller
        leaves, the turn is given back only once the thread has ended.
        """
        if self._waiting >= MOST_WAITING:
            detail = "too many passwords are being checked; try again in a few seconds"
            raise Unavailable(detail, code="busy", retry_after=RETRY_SECONDS)
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        working.add_done_callback(lambda _: self._turns.release())
        return await asyncio.shield(working)

    def _verified(self, kept: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError, UnicodeError):
            return False


def require_good(password: str, name: str = "") -> str:
    """The password, where it is one to accept.  Raises `InputError`, never naming it.

    It follows NIST SP 800-63B: a length, no rules of composition, and none that everybody tries.
    """
    if not FEWEST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        detail = f"a password has {FEWEST_CHARACTERS} to {MOST_CHARACTERS} characters"
        raise _weak(detail, FEWEST_CHARACTERS)
    if not password.isprintable():
        raise _weak("a password holds no control characters")
    plain = password.lower()
    if name and plain == name.lower():
        raise _weak("a password is not the account's name")
    if plain in _common() or len(set(plain)) < FEWEST_DIFFERENT:
        raise _weak("this password is among those that are tried first; choose another")
    return password


def _bytes(password: str) -> bytes:
    # What no password of ours can be is compared too, and is as much work.
    return password.encode("utf-8", "surrogatepass")


def _common() -> frozenset[str]:
    # Imported where it is needed: a large list, for a rare moment.
    from zxcvbn.frequency_lists import (  # type: ignore[import-untyped]  # noqa: PLC0415
        FREQUENCY_LISTS,
    )

    return frozenset(FREQUENCY_LISTS["passwords"])


def _weak(detail: str, limit: float | None = None) -> InputError:
    return InputError(detail, code="weak_password", field="password", limit=limit)
