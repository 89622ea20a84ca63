"""Trials: a marked test message to one channel, for whoever has set it up.

It goes past routes, silences and whatever waits, is tried once, and stands in the log like any
delivery, with who asked for it.  How it stands with the channel does not change by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable

from monitor.core.messages import Alert, Notice, event
from monitor.errors import MonitorError, Unavailable
from monitor.notify.channel import Channel, Notification, Outcome, Result, Told
from monitor.notify.deliveries import tried
from monitor.ports import EventLog, Unknown

MOST_TESTS = 6
TESTS_SECONDS = 60.0
"""So many in so long, on all channels together: whoever tests is a person."""

_WORDS = {
    Result.DELIVERED: "it works",
    Result.RETRY: "it does not work now",
    Result.GIVEN_UP: "it does not work",
}


class Trials:
    """Sends them, one at a time and few; `host` is this server's own, of which they speak."""

    def __init__(self, log: EventLog, clock: Callable[[], float], host: str) -> None:
        self._log = log
        self._clock = clock
        self._host = host
        self._lately: deque[float] = deque(maxlen=MOST_TESTS)
        self._is_busy = False

    async def test(self, channel: Channel, by: str) -> Outcome:
        """Try a channel once.  Raises `MonitorError` of status 429."""
        self._admit()
        self._is_busy = True
        try:
            outcome = await tried(channel, self._message(channel.name, by))
        finally:
            self._is_busy = False
        notice = Notice(
            kind="delivery",
            text=f"{by} tried {channel.name}: {_WORDS[outcome.result]}",
            details={
                "channel": channel.name,
                "key": "",
                "alerts": [],
                "outcome": outcome.result.value,
                "attempts": 1,
                "reason": outcome.reason,
                "is_test": True,
                "by": by,
            },
        )
        with contextlib.suppress(
            Unknown, Unavailable
        ):  # it has been sent, and that is what was asked
            await self._log.append([event(notice, self._clock(), secrets.token_hex(8))])
        return outcome

    def _admit(self) -> None:
        now = asyncio.get_running_loop().time()
        wait = 0.0
        if self._is_busy:
            wait = 1.0
        elif len(self._lately) == MOST_TESTS:
            wait = self._lately[0] + TESTS_SECONDS - now
        if wait > 0.0:
            raise MonitorError(
                "a channel was tested just now: wait a moment",
                code="too_many_requests",
                status=429,
                retry_after=int(wait) + 1,
            )
        self._lately.append(now)

    def _message(self, channel: str, by: str) -> Notification:
        now = self._clock()
        said = Alert(
            alert=f"test-{secrets.token_hex(8)}",
            rule="channel_test",
            host=self._host,
            attributes={"channel": channel},
            state="firing",
            was=None,
            severity="info",
            value=None,
            since=now,
            summary=f"{by} tries the channel {channel}: it works, and nothing is wrong",
            fired=now,
            is_drill=True,
        )
        return Notification(said.alert, channel, now, (Told(said, now),), is_drill=True)
