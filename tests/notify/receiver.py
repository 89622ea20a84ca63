"""A channel for tests that keeps what it is told, and does what it is asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from monitor.notify.channel import DELIVERED, Notification, Outcome, Result
from tests.notify.stage import line_of

FAILED = Outcome(Result.RETRY, "it answered 500")
REFUSED = Outcome(Result.GIVEN_UP, "it answered 410")


class Receiver:
    """Takes notifications.  `outcome` is what comes of the next attempts."""

    kind = "webhook"
    target = "https://example.org"

    def __init__(self, name: str = "phone") -> None:
        self.name = name
        self.outcome: Outcome | Callable[[], Outcome] = DELIVERED
        self.attempts: list[Notification] = []
        self.got: list[Notification] = []
        self.hangs: asyncio.Event | None = None
        self.closed = 0
        self._came = asyncio.Event()

    async def deliver(self, notification: Notification) -> Outcome:
        """Keep it, and say what was asked for."""
        self.attempts.append(notification)
        self._came.set()
        if self.hangs is not None:
            await self.hangs.wait()
        outcome = self.outcome() if callable(self.outcome) else self.outcome
        if outcome.result is Result.DELIVERED:
            self.got.append(notification)
        self._came.set()
        return outcome

    async def close(self) -> None:
        """Count it."""
        self.closed += 1

    async def attempted(self, count: int) -> list[Notification]:
        """The attempts, once there were so many."""
        await self._until(lambda: len(self.attempts) >= count)
        return self.attempts

    async def received(self, count: int = 1) -> list[str]:
        """What was received, a line each, once it is so much."""
        await self._until(lambda: len(self.got) >= count)
        return [line_of(each) for each in self.got]

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self._came.clear()
                await self._came.wait()
