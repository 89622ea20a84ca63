"""A house with its office: accounts and tokens over memory, with a clock of its own."""

from __future__ import annotations

import asyncio
import json

from argon2 import PasswordHasher

from monitor.access.accounts import Records
from monitor.access.audit import Actor
from monitor.access.office import Office
from monitor.access.passwords import Passwords
from monitor.access.tokens import Wish
from monitor.core.access import Caller, TokenKind
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.ports import Entry

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Hashes in no time."""

ROOT = Actor("root", "command line")

PASSWORD = "correct horse battery"


class Yielding(MemoryRegistry):
    """Lets others go first, before and after it does something, as one on a disk does."""

    async def get(self, key: str) -> Entry | None:
        """As the registry's."""
        await asyncio.sleep(0)
        found = await super().get(key)
        await asyncio.sleep(0)
        return found

    async def create(self, key: str, value: bytes) -> int:
        """As the registry's."""
        await asyncio.sleep(0)
        revision = await super().create(key, value)
        await asyncio.sleep(0)
        return revision

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """As the registry's."""
        await asyncio.sleep(0)
        revision = await super().update(key, value, revision)
        await asyncio.sleep(0)
        return revision

    async def delete(self, key: str, revision: int | None = None) -> None:
        """As the registry's."""
        await asyncio.sleep(0)
        await super().delete(key, revision)
        await asyncio.sleep(0)


class House:
    """Offices over one registry and log, as many as there are processes."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.log = MemoryLog()
        self.registry: MemoryRegistry = Yielding()
        self.passwords = Passwords(CHEAP)
        self.office = self.another()

    def another(self, passwords: Passwords | None = None) -> Office:
        """Another process's office: it knows what it was told, and follows nothing by itself."""
        return Office(self.registry, self.log, lambda: self.now, passwords or self.passwords)

    def records(self, office: Office | None = None) -> Records:
        """What writes the records that an office knows."""
        return Records(self.registry, (office or self.office).directory)

    async def cookie(
        self, name: str, password: str = PASSWORD, office: Office | None = None
    ) -> str:
        """Somebody logs in."""
        found = await (office or self.office).accounts.log_in(
            name, password, remember=False, address="::1", agent="a browser"
        )
        assert found is not None
        return found[0]

    async def token(self, kind: TokenKind, *hosts: str, **more: object) -> tuple[str, Caller]:
        """A new token and what it means."""
        wish = Wish(kind, hosts or ("*",), **more)  # type: ignore[arg-type]
        text, _ = await self.office.tokens.create(ROOT, wish)
        caller = self.office.directory.by_token(text, self.now)
        assert caller is not None
        return text, caller

    async def trail(self) -> list[dict[str, object]]:
        """What the audit trail says, oldest first."""
        events, _, _ = await self.log.read(0, None, 1_000)
        assert all(each.data["kind"] == "audit" for each in events)
        found = [each.data["details"] for each in events]
        return [each for each in found if isinstance(each, dict)]

    async def everything(self) -> str:
        """All that is written anywhere: the registry's values, and the log's events."""
        values = [await self.registry.get(key) for key in await self.registry.keys("")]
        events, _, _ = await self.log.read(0, None, 1_000)
        kept = [each.value.decode(errors="replace") for each in values if each is not None]
        return "\n".join([*kept, *(json.dumps(dict(each.data)) for each in events)])
