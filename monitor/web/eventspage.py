"""``/events``: the log, newest first, as far as whoever asks may see it.

The log is read forwards, a stretch at a time from the newest back, and a request reads so much of
it and no more: where little of it is what was asked for, the page says how to look further.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from urllib.parse import urlencode

from quart import Response, request

from monitor.core.access import Policy, Right, View, clearance
from monitor.core.events import parse_position, position_text
from monitor.errors import InputError
from monitor.model import Event, RetentionClass
from monitor.ports import EventLog, Gap
from monitor.web.eventsview import KINDS, EventRow, EventsPage, event_row, events_text
from monitor.web.pages import Around, wants_text
from monitor.web.printing import Printer, answered
from monitor.web.query import Query
from monitor.web.ranges import asked
from monitor.web.routes import Route, asking
from monitor.web.services import Services

MOST_ROWS = 100
"""Events on a page."""

STRETCH = 500
"""Positions that are read at a time."""

MOST_POSITIONS = 4_000
"""Positions that a request goes back; it takes tens of milliseconds."""

MOST_READS = 80
"""Reads of a request: two a stretch and class, as a rule; large events come few at a time."""

FIRST_READ = 50
"""Events that are read first of a class in a stretch, of which most have few there."""

LONGEST_SEARCH = 100

_CLASSES = {
    "host": RetentionClass.HOSTS,
    "console": RetentionClass.TERMINAL,
    **dict.fromkeys(
        ("alert", "investigation", "silence", "ack", "maintenance", "delivery"),
        RetentionClass.ALERTS,
    ),
}
"""What kinds are of; all others are of the class audit (`monitor.model.retention_class`)."""

SHOWN_KINDS = ("all", "host", "alert", "delivery", "silence", "ack", "reload", "server", "audit")
"""Kinds that have a link of their own."""


class Events:
    """The page; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer) -> None:
        self._services = services
        self._printer = printer
        self.routes = (Route("/events", "page_events", self.show, Policy.READ),)

    async def show(self) -> Response:
        """A page of events."""
        query = Query(request.args, ("kind", "q", "before"))
        kind = query.choice("kind", KINDS)
        search = (query.text("q") or "").strip()
        if len(search) > LONGEST_SEARCH:
            detail = f"a search has at most {LONGEST_SEARCH} characters"
            raise InputError(detail, code="too_long", field="q", limit=LONGEST_SEARCH)
        log, caller = self._services.log, asking()
        last = await log.last()
        before = _before(query.text("before"), log.epoch, last)
        rows, further, is_cut = await _read_back(log, before, caller.view, kind, search)
        kept = {name: value for name, value in (("kind", kind), ("q", search)) if value}
        if kind == "all":
            kept.pop("kind")
        older = position_text(log.epoch, further) if further else ""
        kinds = SHOWN_KINDS if Right.ADMIN in caller.rights else SHOWN_KINDS[:-1]
        page = EventsPage(
            rows=tuple(rows),
            kind=kind,
            kinds=kinds if kind in kinds else (*kinds, kind),
            search=search,
            is_newest=query.text("before") is None,
            older="?" + urlencode({**kept, "before": older}) if older else "",
            is_cut=is_cut,
            newest="?" + urlencode(kept) if kept else "",
        )
        if wants_text(dict(request.headers)):
            return answered(events_text(page), as_text=True)
        now = self._services.clock()
        around = Around(
            position_text(log.epoch, last),
            now,
            asked(request.args, now).span,
            self._services.warnings(),
            self._printer.visitor(),
        )
        html = await asyncio.to_thread(
            self._printer.text, "events.html", around.visitor, view=page, around=around
        )
        return answered(html)


def _before(text: str | None, epoch: str, last: int) -> int:
    """The position before which a page begins.  Raises `InputError` where it is none of ours."""
    if text is None:
        return last + 1
    found = parse_position(text, epoch)
    if found is None or found < 1:
        detail = "before is a position of this log; it may have been put aside meanwhile"
        raise InputError(detail, code="bad_position", field="before")
    return min(found, last + 1)


async def _read_back(
    log: EventLog, before: int, view: View, kind: str, search: str
) -> tuple[list[EventRow], int, bool]:
    """Rows newest first, where the next page begins (0: nowhere), and whether enough was looked at.

    Each class is read by itself, as far back as it goes: what was let go of one, since it is kept
    for less long, does not end the others.  What may not be seen is left out before anything else
    is asked of it.
    """

    def wanted(event: Event) -> EventRow | None:
        if not view.admits(clearance(event.type, event.data)):
            return None
        row = event_row(event)
        return row if kind in {"all", row.kind} and (not search or row.has(search)) else None

    rows: list[EventRow] = []
    left = classes(kind)
    end, stop, reads = before, max(1, before - MOST_POSITIONS), 0
    while end > stop and left and len(rows) < MOST_ROWS and reads < MOST_READS:
        start, missing = max(stop, end - STRETCH), MOST_ROWS - len(rows)
        found: list[EventRow] = []
        for class_ in tuple(left):
            # One more than are missing: that tells whether there are older ones.
            newest = deque[EventRow](maxlen=missing + 1)
            made, is_at_its_end = await _read_class(log, class_, start, end, wanted, newest)
            reads += made
            found += newest
            if is_at_its_end:
                left.remove(class_)
        found.sort(key=attrgetter("sequence"), reverse=True)
        rows += found[:missing]
        if len(rows) == MOST_ROWS:
            return rows, rows[-1].sequence if rows[-1].sequence > 1 else 0, False
        end = start
    is_cut = end > 1 and bool(left)
    return rows, end if is_cut else 0, is_cut


def classes(kind: str) -> set[RetentionClass]:
    """The classes that events of this kind are of."""
    if kind == "all":
        return set(RetentionClass)
    return {_CLASSES.get(kind, RetentionClass.AUDIT)}


async def _read_class(
    log: EventLog,
    class_: RetentionClass,
    start: int,
    end: int,
    wanted: Callable[[Event], EventRow | None],
    newest: deque[EventRow],
) -> tuple[int, bool]:
    """Put a class's rows of a stretch into `newest`: how many reads, and whether none are older."""
    after, reads, limit, is_at_its_end = start - 1, 0, FIRST_READ, False
    while after < end - 1:
        reads += 1
        try:
            events, searched, _ = await log.read(after, class_, limit)
        except Gap as gap:
            after, is_at_its_end = max(after + 1, gap.floor), True
            continue
        for event in events:
            if event.sequence < end and (row := wanted(event)):
                newest.append(row)
        after, limit = max(searched, after + 1), STRETCH
    return reads, is_at_its_end
