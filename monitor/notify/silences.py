"""All silences: those of the configuration, and those that people make and end.

Those of the configuration last as long as they stand there.  The others lie in the registry, from
where they are known again after a restart and seen by other processes, and each change is a notice
in the log beside its audit entry.  A silence that was ended or has expired stays for a week, so
that one can look back at it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.access.audit import Actor, Audit
from monitor.core.messages import Notice, event
from monitor.core.quantity import format_about
from monitor.core.selectors import Selector
from monitor.errors import InputError, MonitorError, NotFound, excerpt
from monitor.notify.config import COMMENT_CHARACTERS
from monitor.notify.kept import Kept
from monitor.notify.schedules import Schedule
from monitor.notify.silence import Holding, Silence, decoded, encoded
from monitor.ports import EventLog, Registry, Unknown

PREFIX = "silences/"
"""What their keys in the registry begin with."""

MOST_SILENCES = 1_000
"""Of people's making, those that are over among them; each is asked of every alert."""

LONGEST_SECONDS = 366 * 86_400.0
"""How long one lasts that has no schedule: what is silenced for longer is a rule to be changed."""

LATEST_SECONDS = 253_402_300_799.0
"""The last second of the year 9999, until when a schedule may hold."""

SHOWN_SECONDS = 7 * 86_400.0
"""How long one stays that is over."""

TIDY_SECONDS = 600.0
"""How often it is looked for those."""

logger = logging.getLogger("monitor.notify")


@dataclass(frozen=True, slots=True)
class Wish:
    """A silence that somebody wants: from now until an instant, by a schedule, or both."""

    match: Selector
    until: float | None = None
    schedule: Schedule | None = None
    comment: str = ""
    starts: float | None = None


class Silences:
    """Those of the configuration and those of the registry."""

    def __init__(
        self,
        registry: Registry,
        log: EventLog,
        clock: Callable[[], float],
        configured: Sequence[Silence] = (),
    ) -> None:
        self._log = log
        self._clock = clock
        self._audit = Audit(log, clock)
        self._kept: Kept[Silence] = Kept(registry, PREFIX, decoded)
        self._kept.changed.append(self._changed)
        self._configured = tuple(configured)
        self._holding = Holding(-math.inf, math.inf)
        self._is_stale = True
        self.changed: list[Callable[[], None]] = []
        """Called after every change."""

    async def load(self) -> None:
        """Know again what was made; before that nothing of it silences."""
        await self._kept.load()

    async def follow(self) -> None:
        """Take in what other processes change, until cancelled."""
        await self._kept.follow()

    async def keep(self) -> None:
        """Let go of what is long over, until cancelled."""
        while True:
            await self.tidy()
            await asyncio.sleep(TIDY_SECONDS)

    def reconfigure(self, configured: Sequence[Silence]) -> None:
        """Have these in the configuration from now on."""
        self._configured = tuple(configured)
        self._changed()

    def all(self) -> tuple[Silence, ...]:
        """Every one that is known: the configuration's, then the others, the latest first."""
        made = sorted(self._kept.records.values(), key=lambda each: (-each.created, each.id))
        return (*self._configured, *made)

    def get(self, id_: str) -> Silence | None:
        """One by its id."""
        return next((each for each in self.all() if each.id == id_), None)

    def silenced(self, labels: Mapping[str, str], now: float) -> Silence | None:
        """One that silences an alert of these labels (`book.Alert.labels`), if one does."""
        if self._is_stale or not self._holding.since <= now < self._holding.until:
            self._holding = Holding.at(self.all(), now)
            self._is_stale = False
        return self._holding.of(labels)

    def silencing(self, labels: Mapping[str, str], now: float) -> str:
        """The id of that one, or nothing."""
        found = self.silenced(labels, now)
        return found.id if found else ""

    async def create(self, actor: Actor, wish: Wish) -> Silence:
        """Make a silence.

        Raises `InputError` where it may not be so, of status 409 where there are too many.
        """
        now = self._clock()
        made = _wanted(wish, actor.name, now)
        if len(self._kept.records) >= MOST_SILENCES and not await self._make_room(now):
            detail = f"there are {MOST_SILENCES} silences already; end some, or take wider ones"
            raise InputError(detail, code="too_many_silences", limit=MOST_SILENCES, status=409)
        await self._kept.create(made.id, encoded(made))
        when = _words(made, now)
        await self._tell(actor, "create", made, f"{actor.name} silenced {made.match.text} {when}")
        return made

    async def delete(self, actor: Actor, id_: str) -> Silence:
        """End a silence now; what it then is.  One that is over stays as it is.

        Raises `NotFound`, or an `InputError` of status 409 where it stands in the configuration.
        """
        found = self.get(id_)
        if found is None:
            raise unknown()
        if found.is_configured:
            where = f"in {found.origin}" if found.origin else "in the configuration"
            detail = f"this silence stands {where}; take it out there, and reload"
            raise InputError(detail, code="configured", field="silence", status=409)
        now = self._clock()
        if found.is_over(now):
            return found
        ended = replace(found, until=now, ended_by=actor.name)
        await self._kept.replace(id_, encoded(ended))
        await self._tell(actor, "end", ended, f"{actor.name} ended the silence {found.match.text}")
        return ended

    async def tidy(self) -> None:
        """Let go of what has been over for a week; what fails is tried again the next time."""
        before = self._clock() - SHOWN_SECONDS
        for id_, each in tuple(self._kept.records.items()):
            if each.is_over(before):
                try:
                    await self._kept.remove(id_)
                except MonitorError as error:
                    logger.warning("an old silence stays for now: %s", error.detail)
                    return

    async def _make_room(self, now: float) -> bool:
        """Let go of the one that has been over for the longest; whether there was one."""
        over = [each for each in self._kept.records.values() if each.is_over(now)]
        if over:
            await self._kept.remove(min(over, key=lambda each: each.until or 0.0).id)
        return bool(over)

    async def _tell(self, actor: Actor, verb: str, silence: Silence, text: str) -> None:
        details: dict[str, object] = {
            "id": silence.id,
            "action": verb,
            "match": silence.match.text,
            "by": actor.name,
            "until": silence.until,
            "comment": silence.comment,
        }
        if silence.schedule is not None:
            details["schedule"] = silence.schedule.text
        notice = Notice(
            kind="silence" if silence.schedule is None else "maintenance",
            text=text,
            details=details,
        )
        await append(self._log, notice, self._clock())
        await self._audit.record(actor, f"silence.{verb}", silence.id)

    def _changed(self) -> None:
        self._is_stale = True
        for callback in self.changed:
            callback()


def unknown() -> NotFound:
    """There is no such silence, or none that may be seen."""
    return NotFound("there is no such silence", code="unknown_silence", field="silence")


def line(text: str, field: str, most: int = COMMENT_CHARACTERS) -> str:
    """A line that somebody writes, tidied.  Raises `InputError` where it is none, or too long."""
    found = text.strip()
    if len(found) > most:
        raise InputError(
            f"{field} has at most {most} characters", code="too_long", field=field, limit=most
        )
    if not found.isprintable():
        raise InputError(f"{field} is one line of text", code="bad_text", field=field)
    return found


async def append(log: EventLog, notice: Notice, at: float) -> None:
    """Tell the log what has happened; where it cannot be told, the program's own log gets it."""
    try:
        await log.append([event(notice, at, secrets.token_hex(8))])
    except (MonitorError, Unknown) as error:
        logger.error("the log was not told: %s (%s)", excerpt(notice.text), error)  # noqa: TRY400


def _wanted(wish: Wish, by: str, now: float) -> Silence:
    starts = now if wish.starts is None else wish.starts
    if wish.until is None and wish.schedule is None:
        detail = "a silence has an end: say until when, for how long, or on which schedule"
        raise InputError(detail, code="bad_until", field="until")
    if wish.until is not None and not max(starts, now) < wish.until <= LATEST_SECONDS:
        raise InputError("a silence ends after it begins", code="bad_until", field="until")
    last = starts if wish.until is None else wish.until
    # One with a schedule may end late or never; nothing begins later than a year from now.
    if (last if wish.schedule is None else starts) - now > LONGEST_SECONDS:
        detail = "a silence without a schedule lasts a year at most; turn the rule off instead"
        raise InputError(detail, code="bad_until", field="until", limit=LONGEST_SECONDS)
    return Silence(
        id=secrets.token_hex(5),
        match=wish.match,
        starts=starts,
        until=wish.until,
        schedule=wish.schedule,
        comment=line(wish.comment, "comment"),
        by=by,
        created=now,
    )


def _words(silence: Silence, now: float) -> str:
    """When, as a notice says it."""
    if silence.schedule is not None:
        return f"on the schedule {silence.schedule.text}"
    return f"for {format_about((silence.until or now) - silence.starts)}"
