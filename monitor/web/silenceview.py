"""The page of silences as values: what is silenced, when, by whom, and what each takes now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.core.book import Alert
from monitor.core.selectors import Selector
from monitor.notify.silence import Silence
from monitor.web.alertrows import AlertRow, Now, alert_row, counted, cut, pending_row, since_words
from monitor.web.alertstanding import Gathered
from monitor.web.alertview import pending_labels

MOST_LISTED = 200
MOST_TAKEN = 50
"""Alerts that a preview shows."""

LOOKS = {"active": ("info", "●"), "pending": ("pending", "◔"), "expired": ("stale", "○")}
WORDS = {"active": "holds", "pending": "waits", "expired": "over"}


@dataclass(frozen=True, slots=True)
class SilenceRow:
    """One silence."""

    id: str
    look: str
    shape: str
    state: str
    match: str
    when: str
    comment: str
    by: str
    takes: str
    origin: str
    can_end: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What a selector would take now."""

    said: str
    rows: tuple[AlertRow, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class SilencesPage:
    """Those that hold or will, and those that are over."""

    rows: tuple[SilenceRow, ...]
    over: tuple[SilenceRow, ...]
    left_out: int
    values: Mapping[str, str]
    """What stands in the form."""
    preview: Preview | None = None
    trouble: str = ""
    field: str = ""
    done: str = ""


def silences_page(
    silences: Sequence[Silence],
    gathered: Gathered,
    values: Mapping[str, str],
    preview: Preview | None = None,
    trouble: tuple[str, str] = ("", ""),
    done: str = "",
) -> SilencesPage:
    """The page at an instant; `trouble` is what is wrong, and with which field."""
    now = gathered.now
    shown = silences[:MOST_LISTED]
    rows = [silence_row(each, gathered.open, now) for each in shown]
    return SilencesPage(
        tuple(row for row in rows if row.state != WORDS["expired"]),
        tuple(row for row in rows if row.state == WORDS["expired"]),
        len(silences) - len(shown),
        values,
        preview,
        *trouble,
        done,
    )


def silence_row(silence: Silence, opened: Iterable[Alert], now: float) -> SilenceRow:
    """A silence as a row."""
    state = silence.state(now)
    look, shape = LOOKS[state]
    taken = sum(silence.match.matches(alert.labels) for alert in opened) if state == "active" else 0
    return SilenceRow(
        silence.id,
        look,
        shape,
        WORDS[state],
        cut(silence.match.text),
        when_words(silence, now),
        cut(silence.comment),
        cut(f"{silence.by}, ended by {silence.ended_by}" if silence.ended_by else silence.by),
        counted(taken, "alert") if state == "active" else "",
        cut(silence.origin),
        not silence.is_configured and state != "expired",
    )


def when_words(silence: Silence, now: float) -> str:
    """From when until when, or on which schedule and when that changes."""
    parts = []
    if silence.schedule is not None:
        parts.append(cut(silence.schedule.text))
        change = silence.next_change(now)
        if math.isfinite(change):
            verb = "until" if silence.holds(now) else "next at"
            parts.append(f"{verb} {since_words(change, now)}")
    elif silence.starts > now:
        parts.append(f"from {since_words(silence.starts, now)}")
    if silence.until is not None and silence.schedule is None:
        parts.append(f"until {since_words(silence.until, now)}")
    elif silence.until is not None:
        parts.append(f"for good over at {since_words(silence.until, now)}")
    return ", ".join(parts)


def preview(match: Selector, gathered: Gathered) -> Preview:
    """What a selector takes now, of what fires and what pends."""
    now, values = gathered.now, Now()
    taken = [alert for alert in gathered.open if match.matches(alert.labels)]
    pending = [
        each for each in gathered.pending if match.matches(pending_labels(each, gathered.labels))
    ]
    rows = [alert_row(alert, now, values) for alert in taken[:MOST_TAKEN]]
    rows += [pending_row(each, now, values) for each in pending[: MOST_TAKEN - len(rows)]]
    parts = [counted(len(taken), "alert") + " that fire" + ("s" if len(taken) == 1 else "")]
    if pending:
        parts.append(f"{len(pending)} that pend" + ("s" if len(pending) == 1 else ""))
    said = (
        f"It would take {' and '.join(parts)} now." if taken or pending else "It takes nothing now."
    )
    return Preview(said, tuple(rows), len(taken) + len(pending) - len(rows))
