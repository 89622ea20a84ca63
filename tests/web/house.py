"""A server in this process with people in it: the rig, accounts with cheap hashes, and clients."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx
from argon2 import PasswordHasher

from monitor.access.audit import Actor
from monitor.access.passwords import Passwords
from monitor.core.access import Role
from tests.browser.rig import Rig

PASSWORD = "correct horse battery"
ROOT = Actor("root", "command line")
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HTML = {"Accept": "text/html", "User-Agent": "Mozilla/5.0 (tests)"}


class PeopledRig(Rig):
    """The rig whose passwords cost nothing to check."""

    def __init__(self, host: str = "web-1") -> None:
        super().__init__(host)
        self.office = self.door.office
        self.office.accounts._passwords = Passwords(CHEAP)

    async def person(self, name: str, role: Role, *hosts: str) -> None:
        """An account."""
        await self.office.accounts.create(ROOT, name, role, PASSWORD, hosts or ("*",))

    @contextlib.asynccontextmanager
    async def client(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A browser without a person: it keeps cookies and follows nothing."""
        async with httpx.AsyncClient(
            base_url=self.url, verify=False, headers=HTML | headers, timeout=15
        ) as made:
            yield made

    @contextlib.asynccontextmanager
    async def as_person(self, name: str) -> AsyncIterator[httpx.AsyncClient]:
        """A browser in which somebody has logged in."""
        async with self.client() as made:
            answer = await made.post("/login", data={"username": name, "password": PASSWORD})
            assert answer.status_code == 303, answer.text
            yield made

    async def audited(self) -> list[tuple[object, object, object]]:
        """The audit trail so far: action, target, outcome."""
        events, _, _ = await self.log.read(0, None, 1_000)
        found = []
        for event in events:
            details = event.data.get("details")
            if isinstance(details, dict) and event.data["kind"] == "audit":
                found.append((details["action"], details["target"], details["outcome"]))
        return found
