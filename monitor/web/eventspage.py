"""``/events``: the log, newest first, as far as whoever asks may see it.

The log is read forwards, a stretch at a time from the newest back, and a request reads so much of
it and no more: where little of it is what was asked for, the page says how to look further.
"""

from __future__ import annotations

import asyncio
from collections import deque
from urllib.parse import urlencode

from quart import Response, request

from monitor.core.access import Policy, Right, View, clearance
from monitor.core.events import parse_position, position_text
from monitor.errors import InputError
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

MOST_READS = 40
"""Reads of a request: large events come few at a time."""

LONGEST_SEARCH = 100

SHOWN_KINDS = ("all", "host", "alert", "server", "audit")
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

    What may not be seen is left out before anything else is asked of it.
    """
    rows: list[EventRow] = []
    end, stop, reads = before, max(1, before - MOST_POSITIONS), 0
    while end > stop and len(rows) < MOST_ROWS and reads < MOST_READS:
        start = max(stop, end - STRETCH)
        wanted = MOST_ROWS - len(rows)
        found: deque[EventRow] = deque(maxlen=wanted)
        is_full, after, is_last = False, start - 1, False
        while after < end - 1:
            reads += 1
            try:
                events, searched, _ = await log.read(after, None, end - 1 - after)
            except Gap as gap:
                if gap.floor >= end - 1:
                    return [*rows, *reversed(found)], 0, False
                after = start = max(after, gap.floor)
                is_last = True
                continue
            for event in events:
                if event.sequence >= end or not view.admits(clearance(event.type, event.data)):
                    continue
                row = event_row(event)
                if kind in {"all", row.kind} and (not search or row.has(search)):
                    is_full = is_full or len(found) == wanted
                    found.append(row)
            after = max(searched, after + 1)
        rows += reversed(found)
        if is_full or len(rows) == MOST_ROWS:
            return rows, rows[-1].sequence if rows[-1].sequence > 1 else 0, False
        end = start
        if is_last:
            return rows, 0, False
    return rows, end if end > 1 else 0, end > 1
