"""Acknowledgements: somebody has seen an alert, and it is not told again while it is no worse.

One lies in the registry under its alert's id and is known again after a restart; each change is a
notice in the log beside its audit entry.  It goes when the alert has been over for a day.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from monitor.access.audit import Actor, Audit
from monitor.core.book import Alert
from monitor.core.messages import Notice
from monitor.core.rules.model import Severity
from monitor.errors import InputError, MonitorError
from monitor.notify.kept import Kept
from monitor.notify.silences import append, line
from monitor.ports import EventLog, Registry

PREFIX = "acks/"
"""What their keys in the registry begin with, before the alert's id."""

MOST_ACKS = 10_000
"""Of alerts that are open, and of those that were a day ago."""

SHOWN_SECONDS = 86_400.0
"""How long one stays after its alert is over."""

TIDY_SECONDS = 600.0
"""How often it is looked for those."""

logger = logging.getLogger("monitor.notify")


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who acknowledged an alert, when in unix seconds, what they noted, and how bad it was."""

    alert: str
    by: str
    at: float
    note: str = ""
    severity: Severity = Severity.CRITICAL

    def covers(self, severity: str) -> bool:
        """Whether it holds for an alert that is now this bad: no worse than it was."""
        return Severity(severity).rank <= self.severity.rank


class Acks:
    """All of them; `alert` finds the alert that an id means, if it is remembered."""

    def __init__(
        self,
        registry: Registry,
        log: EventLog,
        clock: Callable[[], float],
        alert: Callable[[str], Alert | None],
    ) -> None:
        self._log = log
        self._clock = clock
        self._alert = alert
        self._audit = Audit(log, clock)
        self._kept: Kept[Ack] = Kept(registry, PREFIX, _read)
        self.changed = self._kept.changed
        """Called after every change."""

    async def load(self) -> None:
        """Know again what was acknowledged."""
        await self._kept.load()

    async def follow(self) -> None:
        """Take in what other processes change, until cancelled."""
        await self._kept.follow()

    async def keep(self) -> None:
        """Let go of what is over, until cancelled."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)  # not at once: the book may be empty still
            await self.tidy()

    def all(self) -> Mapping[str, Ack]:
        """Every one by its alert's id."""
        return self._kept.records

    def get(self, alert: str) -> Ack | None:
        """That of an alert, if it was acknowledged."""
        return self._kept.records.get(alert)

    async def acknowledge(self, actor: Actor, alert: Alert, note: str = "") -> Ack:
        """Acknowledge an alert; once more, it is another's or with another note.

        Raises `InputError`: of status 409 where the alert is over, or there are too many.
        """
        if not alert.is_open:
            detail = "this alert is over; there is nothing to acknowledge"
            raise InputError(detail, code="alert_over", field="alert", status=409)
        before = self.get(alert.id)
        if before is None and len(self._kept.records) >= MOST_ACKS:
            detail = "too many alerts are acknowledged already; silence what they have in common"
            raise InputError(detail, code="too_many_acks", limit=MOST_ACKS, status=409)
        severity = Severity(alert.said.severity)
        ack = Ack(alert.id, actor.name, self._clock(), line(note, "note"), severity)
        value = msgspec.json.encode(ack)
        if before is None:
            await self._kept.create(alert.id, value)
        else:
            await self._kept.replace(alert.id, value)
        await self._tell(actor, "create", alert, ack.note)
        return ack

    async def take_back(self, actor: Actor, alert: Alert) -> None:
        """Have an alert told again as if nobody had acknowledged it; nothing where nobody had."""
        if self.get(alert.id) is None:
            return
        await self._kept.remove(alert.id)
        await self._tell(actor, "delete", alert, "")

    async def tidy(self) -> None:
        """Let go of what is long over, or forgotten; what fails is tried again the next time."""
        now = self._clock()
        for id_, ack in tuple(self._kept.records.items()):
            alert = self._alert(id_)
            over_since = ack.at if alert is None else alert.resolved_at
            if over_since and over_since <= now - SHOWN_SECONDS:
                try:
                    await self._kept.remove(id_)
                except MonitorError as error:
                    logger.warning("an old acknowledgement stays for now: %s", error.detail)
                    return

    async def _tell(self, actor: Actor, verb: str, alert: Alert, note: str) -> None:
        what = f"{alert.rule} of {alert.host}"
        did = "acknowledged" if verb == "create" else "took back the acknowledgement of"
        details = {
            "alert": alert.id,
            "action": verb,
            "rule": alert.rule,
            "host": alert.host,
            "by": actor.name,
            "note": note,
        }
        text = f"{actor.name} {did} {what}{f': {note}' if note else ''}"
        await append(self._log, Notice(kind="ack", text=text, details=details), self._clock())
        await self._audit.record(actor, f"ack.{verb}", alert.id)


def _read(id_: str, value: bytes) -> Ack:
    found = msgspec.json.decode(value, type=Ack)
    if found.alert != id_:
        raise ValueError("an acknowledgement of another alert")
    return found
