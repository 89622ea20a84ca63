"""The office: everything of access that belongs together, built over one registry and log.

A server keeps it running (`follow` and `keep`); a command opens one, does its thing and leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from monitor.access.accounts import Accounts, Records
from monitor.access.audit import Audit
from monitor.access.directory import Directory
from monitor.access.passwords import Passwords
from monitor.access.tokens import Tokens
from monitor.access.usage import Usage
from monitor.errors import MonitorError
from monitor.ports import Conflict, EventLog, Registry, Unknown

KEEP_SECONDS = 60.0
"""How often it is written down who was there, and what has expired is let go of."""

logger = logging.getLogger("monitor.access")


class Office:
    """Accounts, tokens, the directory of both, and the audit trail."""

    def __init__(
        self,
        registry: Registry,
        log: EventLog,
        clock: Callable[[], float],
        passwords: Passwords | None = None,
    ) -> None:
        self.directory = Directory(registry)
        self.audit = Audit(log, clock)
        self.usage = Usage(registry, self.directory)
        records = Records(registry, self.directory)
        self.accounts = Accounts(records, passwords or Passwords(), self.audit, clock)
        self.tokens = Tokens(records, self.audit, clock)

    async def load(self) -> None:
        """Take in what the registry has."""
        await self.directory.load()
        await self.usage.load()

    async def keep(self) -> None:
        """Write down and let go of, until cancelled."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            await self.tidy()

    async def tidy(self) -> None:
        """Once; what fails is tried again the next time."""
        try:
            await self.accounts.prune()
            await self.tokens.prune()
            await self.usage.save()
        except (MonitorError, Conflict, Unknown) as error:
            logger.warning("who was last there was not written down: %s", error)
