"""What alerts say, by their positions in the log: a notification's content, whenever it is made.

A notification that was kept before its first attempt names its alerts by position, and the log does
not change: so every attempt says the same, over restarts too.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import msgspec

from monitor.core import book
from monitor.core.messages import Alert
from monitor.model import Event, EventType, RetentionClass
from monitor.notify.channel import Notification, Told
from monitor.notify.keeping import Frozen
from monitor.ports import EventLog, Gap

MOST_WITH_EVIDENCE = 10
"""Alerts of one notification that come with the evidence of their firing: the worst.  Each may be
as large as an event, and nobody reads the eleventh."""

NEAR = 32
"""Positions that are no further apart are read in one page."""

PAGE_EVENTS = 256


async def read_at(log: EventLog, positions: Iterable[int]) -> dict[int, Event]:
    """The events at these positions, as far as they are there; a few reads.

    It reads their class and no topic, so that the deletion of one host hides no other's alerts.
    """
    wanted = sorted(set(positions))
    found: dict[int, Event] = {}
    for run in _runs(wanted):
        after, last = run[0] - 1, run[-1]
        sought = set(run)
        while after < last:
            try:
                page, searched, _ = await log.read(
                    after, RetentionClass.ALERTS, min(PAGE_EVENTS, last - after)
                )
            except Gap as gap:
                if not after < gap.floor < last:
                    break
                after = gap.floor
                continue
            if searched <= after:
                break  # the log ends before
            found.update((event.sequence, event) for event in page if event.sequence in sought)
            after = searched
    return found


def _runs(positions: list[int]) -> list[list[int]]:
    """Positions that are near each other, together."""
    runs = [positions[:1]] if positions else []
    for before, position in pairwise(positions):
        if position - before > NEAR:
            runs.append([])
        runs[-1].append(position)
    return runs


def said_by(event: Event | None) -> Alert | None:
    """The alert that an event tells of, with its evidence; none where it is no such event."""
    if event is None or event.type is not EventType.ALERT:
        return None
    try:
        return msgspec.convert(event.data, Alert)
    except msgspec.ValidationError:
        return None


async def notification(log: EventLog, channel: str, frozen: Frozen) -> Notification | None:
    """The notification that was kept; none where the log has nothing of it any more."""
    members = list(frozen.told())
    with_evidence = {member.first for member in members[:MOST_WITH_EVIDENCE]}
    events = await read_at(log, {member.newest for member in members} | with_evidence)
    told: list[Told] = []
    for member in members:
        said = said_by(events.get(member.newest))
        if said is None or said.alert != member.id:
            continue
        first = said_by(events.get(member.first)) if member.first in with_evidence else None
        evidence = first.evidence if first is not None and first.alert == member.id else None
        said = msgspec.structs.replace(said, evidence=evidence)
        told.append(Told(said, member.fired_at, member.resolved_at, member.held))
    if not told:
        return None
    return Notification(
        frozen.key,
        channel,
        frozen.at,
        tuple(told),
        frozen.left_out + len(members) - len(told),
        frozen.labels,
        frozen.is_repeat,
        frozen.is_drill,
        frozen.failures + 1,
    )


async def alerts_at(log: EventLog, positions: Iterable[int]) -> dict[int, book.Alert]:
    """The alerts, without evidence, that events at these positions tell of.

    `first_sequence` and `fired_at` are for who asks to know better.
    """
    found: dict[int, book.Alert] = {}
    for position, event in (await read_at(log, positions)).items():
        if (said := said_by(event)) is not None:
            bare = msgspec.structs.replace(said, evidence=None)
            is_open = said.state in book.OPEN_STATES
            over_at = 0.0 if is_open else event.at
            found[position] = book.Alert(bare, said.fired or event.at, over_at, position, position)
    return found
