"""Where the judge goes on after a restart: its checkpoint, and what the log has after it.

The checkpoint is some seconds old.  What fired or ended since is in the log, and counts more.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from monitor.alerting.changes import Changes
from monitor.alerting.changes import packed as packed_changes
from monitor.alerting.checkpoint import Rows, unpacked
from monitor.core.alerts import Kept
from monitor.core.book import Alert, Book
from monitor.core.rules.judging import RowKept
from monitor.core.rules.matching import Attributes
from monitor.core.rules.model import Severity
from monitor.errors import MonitorError
from monitor.model import RetentionClass
from monitor.ports import Checkpoint, Conflict, EventLog, Gap, Registry, Unknown

PAGE_EVENTS = 1_000

RECENT_EVENTS = 5_000
"""Events before the checkpoint that are looked at for alerts that are over, for the pages."""

CHANGES = "alerting/changes"

logger = logging.getLogger("monitor.alerting")


async def restore(
    book: Book, found: Checkpoint, log: EventLog, changes: Changes
) -> tuple[Rows, int]:
    """Fill the book and say which rows are to go on, and up to which position that is."""
    position, last = found.positions.get("log", 0), await log.last()
    written = unpacked(found.state)
    rows, opened = written or ({}, [])
    if written is None or position > last:
        # It cannot be read, or the log is another, or an older one was put back: the log counts.
        position, opened = 0, []
    await _fold(book, log, changes, max(0, position - RECENT_EVENTS), position, None)
    # What was open then is what the checkpoint says, whatever part of the log was looked at.
    for alert in list(book.open.values()):
        book.drop(alert.id)
    book.put(opened)
    await _fold(book, log, changes, position, last, rows)
    fires: set[tuple[str, str, Attributes]] = set()
    for alert in book.open.values():
        if not alert.said.is_drill:
            of_rule = rows.setdefault(alert.rule, {})
            where = (alert.host, _attributes(alert))
            fires.add((alert.rule, *where))
            if where not in of_rule or of_rule[where].kept.fires != alert.said.severity:
                of_rule[where] = firing(alert)
    for rule, of_rule in rows.items():
        for where, row in of_rule.items():
            if row.kept.fires and (rule, *where) not in fires:
                # It is in no log that this fires: it is yet to be told.
                kept = replace(row.kept, reached={}, is_flapping=False, severity=None)
                of_rule[where] = replace(row, kept=kept)
    return rows, last


async def _fold(
    book: Book, log: EventLog, changes: Changes, after: int, end: int, rows: Rows | None
) -> None:
    """Take the log's alerts and comings of hosts from one position to another."""
    for topics in (RetentionClass.ALERTS, RetentionClass.HOSTS, RetentionClass.AUDIT):
        position = after
        while position < end:
            try:
                events, searched, _ = await log.read(position, topics, PAGE_EVENTS)
            except Gap as gap:
                if gap.floor <= position:
                    break
                position = gap.floor
                continue
            for event in events:
                if event.sequence > end:
                    break
                alert = book.fold(event)
                changes.fold(event)
                if alert is not None and rows is not None and not alert.is_open:
                    rows.get(alert.rule, {}).pop((alert.host, _attributes(alert)), None)
            position = max(searched, position + 1)
            await asyncio.sleep(0)


def firing(alert: Alert) -> RowKept:
    """A row of which only the log says that it fires."""
    severity = Severity(alert.said.severity)
    reached = {each: 0.0 for each in Severity if each.rank <= severity.rank}
    return RowKept(
        Kept(
            held=dict.fromkeys(reached, 0.0),
            reached=reached,
            began=alert.said.began or alert.fired_at,
            peak=float("nan") if alert.said.peak is None else alert.said.peak,
            logged=(alert.fired_at,),
            is_flapping=alert.said.is_flapping,
        )
    )


def _attributes(alert: Alert) -> Attributes:
    return tuple(sorted(alert.attributes.items()))


async def changes(registry: Registry, known: Changes) -> None:
    """Know again what was seen of hosts before; nothing where it cannot be read."""
    try:
        entry = await registry.get(CHANGES)
    except (MonitorError, Unknown):
        return
    if entry is not None:
        known.restore(entry.value)


async def keep_changes(registry: Registry, known: Changes) -> None:
    """Write down what was seen of hosts."""
    value = await asyncio.to_thread(packed_changes, known.kept())
    try:
        await registry.put(CHANGES, value)
    except (Conflict, Unknown):
        logger.warning("what changed lately was not written down")
