"""``/settings/flows``: what is scraped, and what is forwarded, with what is the matter.

Values in, values out, and one route.  Trouble stands first, as on the fleet page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quart import Response, request

from monitor.core.access import Policy
from monitor.core.quantity import format_about_bytes
from monitor.forward.forwards import ForwardStatus
from monitor.scrape.scraper import TargetStatus
from monitor.web.format import duration, written
from monitor.web.printing import Printer
from monitor.web.query import Query
from monitor.web.routes import Route
from monitor.web.services import Services
from monitor.web.views import natural

MOST_TARGETS = 500
"""Targets in one list; there may be thousands, and those in trouble stand first."""

BEHIND_SECONDS = 60.0
"""A queue that is further behind says so."""


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A target: `state` is a word of the page, `what` is why it is not up, or what is odd."""

    job: str
    url: str
    host: str
    state: str
    shape: str
    every: str
    last: str
    took: str
    samples: str
    what: str


@dataclass(frozen=True, slots=True)
class ForwardRow:
    """A receiver: `state` as of a target, `waiting` what stands in its queue."""

    name: str
    place: str
    state: str
    shape: str
    waiting: str
    queue: str
    sent: str
    last: str
    lost: str
    what: str


@dataclass(frozen=True, slots=True)
class FlowsPage:
    """Both lists, with how many targets were left out."""

    targets: tuple[TargetRow, ...]
    left_out: int
    forwards: tuple[ForwardRow, ...]


class Flows:
    """The page; the application registers `routes`."""

    def __init__(self, services: Services, printer: Printer) -> None:
        self._services = services
        self._printer = printer
        self.routes = (Route("/settings/flows", "page_flows", self.flows, Policy.ADMIN),)

    async def flows(self) -> Response:
        """What is scraped and forwarded: addresses of machines within, so for administrators."""
        Query(request.args, ())
        services = self._services
        view = flows_page(services.targets(), services.forwards(), services.clock())
        return self._printer.page(
            "settings_flows.html", section="flows", trouble="", done="", view=view
        )


def flows_page(
    targets: Sequence[TargetStatus], forwards: Sequence[ForwardStatus], now: float
) -> FlowsPage:
    """The page at `now`, unix seconds."""
    ordered = sorted(targets, key=lambda each: (each.up is not False, each.job, natural(each.url)))
    return FlowsPage(
        tuple(_target(each, now) for each in ordered[:MOST_TARGETS]),
        max(0, len(ordered) - MOST_TARGETS),
        tuple(_forward(each, now) for each in forwards),
    )


def _target(status: TargetStatus, now: float) -> TargetRow:
    state, shape = {True: ("up", "●"), False: ("down", "■"), None: ("stale", "○")}[status.up]
    return TargetRow(
        job=status.job,
        url=status.url,
        host=status.host,
        state=state,
        shape=shape,
        every=duration(status.interval_seconds),
        last=_ago(status.scraped_at, now),
        took=str(written(status.duration_seconds, "seconds")) if status.scraped_at else "–",
        samples=f"{status.samples:,}" if status.scraped_at else "–",
        what=_matter(status, now),
    )


def _matter(status: TargetStatus, now: float) -> str:
    """Why a target is not up, or what is odd of it."""
    if status.up is None:
        return "not asked yet"
    if not status.up:
        last = f"; it last answered {_ago(status.succeeded_at, now)}" if status.succeeded_at else ""
        return f"{status.detail or status.code}{last}"
    found = []
    if status.refused:
        names = ", ".join(status.refused_names[:3])
        found.append(
            f"{status.refused:,} series not taken" + (f", such as {names}" if names else "")
        )
    if status.duplicates:
        found.append(f"{status.duplicates:,} series stand twice")
    if status.stale:
        found.append(f"{status.stale:,} samples are too old")
    return "; ".join(found)


def _forward(status: ForwardStatus, now: float) -> ForwardRow:
    is_failing = bool(status.fault or status.failing_since)
    is_behind = status.behind_seconds > BEHIND_SECONDS
    state, shape = ("up", "●") if not (is_failing or is_behind) else ("warn", "▲")
    what = status.fault
    if status.failing_since:
        what = f"{what or 'nothing is taken'}, for {duration(now - status.failing_since)}"
    if not what and is_behind:
        what = f"{duration(status.behind_seconds)} behind"
    if not what and status.refusal:
        what = f"last refused: {status.refusal}"
    lost = status.refused_samples_total + status.dropped_samples_total
    return ForwardRow(
        name=status.name,
        place=status.place,
        state=state,
        shape=shape,
        waiting=f"{status.pending_samples:,}",
        queue=(
            f"{format_about_bytes(status.size_bytes)} of {format_about_bytes(status.most_bytes)}"
        ),
        sent=f"{status.sent_samples_total:,}",
        last=_ago(status.sent_at, now),
        lost=f"{lost:,}" if lost else "–",
        what=what,
    )


def _ago(at: float, now: float) -> str:
    return f"{duration(max(0.0, now - at))} ago" if at else "never"
