"""What the commands about alerts read of the files: the book, who is silenced, acknowledged, held.

The log alone says which alerts there are, so that it works whether or not a server runs.  What
merely pends is known to a running server only; its API and pages say it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from monitor.access.audit import Actor
from monitor.commands.entry import SEEN_SECONDS, inside_files, is_served
from monitor.commands.places import data_dir
from monitor.config import Settings
from monitor.core.book import Alert, Book
from monitor.core.holding import FLEET_UNREACHABLE, holder
from monitor.core.state import LiveState
from monitor.errors import InputError, excerpt
from monitor.fleet.roster import Roster
from monitor.model import Event, RetentionClass
from monitor.notify.acks import Ack, Acks
from monitor.notify.silence import Silence, configured
from monitor.notify.silences import Silences
from monitor.ports import EventLog, Gap, Registry

PAGE_EVENTS = 1_000

MOST_FOLDED = 200_000
"""Events of alerts that are folded, the latest: seconds' worth, and a year of most fleets."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Standing:
    """An alert and where it stands."""

    alert: Alert
    ack: Ack | None = None
    silence: Silence | None = None
    holder: str = ""

    @property
    def state(self) -> str:
        """In a word, as the API has it."""
        if not self.alert.is_open:
            return "resolved"
        if self.holder:
            return "held"
        if self.silence is not None:
            return "silenced"
        if self.ack is not None and self.ack.covers(self.alert.said.severity):
            return "acknowledged"
        return "firing"


@dataclass(slots=True)
class Desk:
    """Alerts, silences and acknowledgements of a data directory."""

    settings: Settings
    log: EventLog
    registry: Registry
    actor: Actor
    book: Book
    silences: Silences
    acks: Acks

    async def standing(self, alerts: list[Alert]) -> list[Standing]:
        """Where these stand now."""
        now, state = time.time(), LiveState()
        await Roster(state, self.log, self.registry).restore(now)
        opened = list(self.book.open.values())
        is_fleet_away = any(each.rule == FLEET_UNREACHABLE for each in opened)
        beside: dict[str, list[Alert]] = {}
        for each in opened:
            beside.setdefault(each.host, []).append(each)

        def stands(alert: Alert) -> Standing:
            ack = self.acks.get(alert.id)
            if not alert.is_open:
                return Standing(alert, ack)
            host = state.hosts.get(alert.host)
            held = holder(
                alert.said, host.status if host else None, beside[alert.host], is_fleet_away
            )
            return Standing(alert, ack, self.silences.silenced(alert.labels, now), held)

        return [stands(each) for each in alerts]

    def alert(self, id_: str) -> Alert:
        """One by its id.  Raises `InputError` where there is none."""
        found = self.book.get(id_)
        if found is None:
            detail = f"there is no alert {excerpt(id_)}; monitor alert list says which there are"
            raise InputError(detail, code="unknown_alert", field="alert")
        return found


def inside(settings: Settings, work: Callable[[Desk], Awaitable[_Result]]) -> _Result:
    """Do something with alerts, silences and acknowledgements; what it returned.

    What was changed holds for a running server when this returns.
    """
    folder = data_dir(settings)

    async def within(log: EventLog, registry: Registry, actor: Actor) -> _Result:
        found, last = await opened(settings, log, registry, actor), await log.last()
        result = await work(found)
        if await log.last() > last and is_served(folder):
            await asyncio.sleep(SEEN_SECONDS)
        return result

    return inside_files(folder, within)


async def opened(settings: Settings, log: EventLog, registry: Registry, actor: Actor) -> Desk:
    """All of it, read."""
    book = Book()
    for event in await events(log):
        book.fold(event)
    written = configured(settings.silences, settings.origins)
    silences = Silences(registry, log, time.time, written)
    acks = Acks(registry, log, time.time, book.get)
    await silences.load()
    await acks.load()
    return Desk(settings, log, registry, actor, book, silences, acks)


async def events(log: EventLog) -> list[Event]:
    """What the log has of alerts: the latest, as far as they are folded."""
    found: list[Event] = []
    after, last = 0, await log.last()
    while after < last:
        try:
            page, after, _ = await log.read(after, RetentionClass.ALERTS, PAGE_EVENTS)
        except Gap as gap:
            if gap.floor <= after:
                break
            after = gap.floor
        else:
            found += page
            del found[:-MOST_FOLDED]
    return found
