"""The judge's voice: its events into the log, in order, each once, under a scope of its own.

What could not be appended waits and goes first.  It is not known whether an append that failed half
way was stored: then the log is asked, by the events' own ids.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import msgspec

from monitor.core import messages
from monitor.core.events import document
from monitor.core.messages import event
from monitor.errors import InputError, Unavailable
from monitor.model import Event
from monitor.ports import Conflict, EventLog, Unknown

SCOPE = "judge"

AT_ONCE = 200
"""Events in one append: with evidence, some megabytes at most."""

logger = logging.getLogger("monitor.alerting")


class Voice:
    """Appends events; `heard` is called with each, once it has its position."""

    def __init__(self, log: EventLog, heard: Callable[[Event], None]) -> None:
        self._log = log
        self._heard = heard
        self._unsaid: deque[Event] = deque()
        self._last = 0
        self._at = 0.0
        self.is_deposed = False
        """Whether somebody else appends under this scope: who notices says nothing any more."""

    async def begin(self) -> None:
        """Take up the scope where it stands."""
        self._last = await self._log.last(SCOPE)

    def add(self, said: Iterable[messages.Alert], now: float) -> None:
        """Have something to say, as of `now`, unix seconds; the log's instants never go back."""
        self._at = max(self._at, now)
        for each in said:
            made = self._made(each) or self._made(msgspec.structs.replace(each, evidence=None))
            if made is not None:
                self._unsaid.append(made)

    def _made(self, said: messages.Alert) -> Event | None:
        """An event that the log can take; none where it cannot, which the program's log tells."""
        try:
            made = event(said, self._at, secrets.token_hex(8))
            document(made.data, made.event_id)
        except InputError as error:
            logger.error("what is said of an alert of %s is no event: %s", said.rule, error)  # noqa: TRY400 - its detail says it
            return None
        return made

    @property
    def waiting(self) -> int:
        """Events that are not in the log yet."""
        return len(self._unsaid)

    async def say(self) -> bool:
        """Append what waits; whether anything was.  Raises `Unavailable` where that cannot be."""
        said = bool(self._unsaid)
        while self._unsaid and not self.is_deposed:
            batch = [self._unsaid[number] for number in range(min(AT_ONCE, len(self._unsaid)))]
            last = await self._append(batch)
            for number, each in enumerate(batch, last - len(batch) + 1):
                self._unsaid.popleft()
                self._heard(replace(each, sequence=number))
        return said

    async def _append(self, batch: list[Event]) -> int:
        try:
            self._last = await self._log.append(batch, SCOPE, self._last)
        except Conflict as conflict:
            if await self._is_ours(batch, conflict.last):
                self._last = conflict.last
                return self._last
            self.is_deposed = True
            logger.error("another process judges on this log; this one judges no longer")  # noqa: TRY400 - it is no fault of the code
            raise Unavailable("another process judges", code="not_judging") from None
        except Unknown as error:
            last = await self._log.last(SCOPE)
            if last == self._last or not await self._is_ours(batch, last):
                raise Unavailable(f"it is not known what the log has: {error}") from None
            self._last = last
        return self._last

    async def _is_ours(self, batch: list[Event], last: int) -> bool:
        """Whether the scope's last events are these: what failed was stored all the same."""
        if last < len(batch):
            return False
        found, _, _ = await self._log.read(last - len(batch), None, len(batch))
        return [each.event_id for each in found] == [each.event_id for each in batch]
