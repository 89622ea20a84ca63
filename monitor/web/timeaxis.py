"""Instants in words and on an axis, in UTC: what the server says before a script knows better.

`static/js/timeaxis.js` is its twin in the browser's own time zone; where that is UTC, both say
the same.  Months are in English, as the pages are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

MINUTE, HOUR, DAY = 60, 3_600, 86_400

STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR),
    *(DAY, 2 * DAY, 3 * DAY, 7 * DAY, 14 * DAY),
)
"""Distances of marks in seconds, up to two weeks; beyond them it is months."""

MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60)

_MONTH_SECONDS = 30.4 * DAY
_FIRST_MONDAY = 4
"""The fifth of January 1970, in days: weeks begin there."""


def axis(start: float, end: float, most: int) -> list[tuple[float, str]]:
    """At most `most` + 1 marks over [start, end]: instants in unix seconds, and their words."""
    wanted = (end - start) / most
    for step in STEPS:
        if step >= wanted:
            return [(at, _mark(at, step)) for at in _even(start, end, step)]
    months = next((m for m in MONTH_STEPS if m * _MONTH_SECONDS >= wanted), MONTH_STEPS[-1])
    return [(at, _month_mark(at)) for at in _months(start, end, months)]


def _even(start: float, end: float, step: int) -> Iterator[float]:
    shift = _FIRST_MONDAY * DAY if step > 2 * DAY else 0
    number = math.ceil((start - shift) / step)
    while number * step + shift <= end:
        yield float(number * step + shift)
        number += 1


def _months(start: float, end: float, months: int) -> Iterator[float]:
    first = _moment(start)
    number = (first.year * 12 + first.month - 1) // months * months
    while True:
        year, month = divmod(number, 12)
        if not 1 <= year <= 9_999:
            return
        at = datetime(year, month + 1, 1, tzinfo=UTC).timestamp()
        if at > end:
            return
        if at >= start:
            yield at
        number += months


def _mark(at: float, step: int) -> str:
    moment = _moment(at)
    if step >= DAY or (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return day(at)
    return moment.strftime("%H:%M:%S" if step < MINUTE else "%H:%M")


def _month_mark(at: float) -> str:
    moment = _moment(at)
    return str(moment.year) if moment.month == 1 else MONTHS[moment.month - 1]


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(math.floor(at), UTC)


def day(at: float) -> str:
    """``22 Nov``."""
    moment = _moment(at)
    return f"{moment.day} {MONTHS[moment.month - 1]}"


def instant_words(at: float, now: float, *, seconds: bool = False) -> str:
    """``22 Nov 14:03``, with the year where it is not `now`'s, and seconds where they matter."""
    moment = _moment(at)
    year = "" if moment.year == _moment(now).year else f" {moment.year}"
    return f"{day(at)}{year} {moment.strftime('%H:%M:%S' if seconds else '%H:%M')}"


def window_words(start: float, end: float, now: float) -> str:
    """Both ends of a range; the day stands once where it is the same."""
    seconds = end - start < HOUR
    first = instant_words(start, now, seconds=seconds)
    last = instant_words(end, now, seconds=seconds)
    if _moment(start).date() == _moment(end).date():
        last = last.rpartition(" ")[2]
    return f"{first} – {last}"
