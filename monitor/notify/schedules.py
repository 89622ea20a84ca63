"""When a maintenance holds: ``Mon-Fri 20:00-06:00 Europe/Berlin``, as a person writes it.

Windows of the week joined by ``;``, each of days and times of the wall clock, with one time zone
for all of them after any, UTC without one.  Days are ``Mon-Fri`` or ``Sat,Sun``, all where none is
written; without times the whole days are meant.  A window that crosses midnight belongs to the day
on which it begins.

Where clocks change, a window stays one piece: a time that is skipped is the instant of the jump,
and of a time that comes twice the first counts for a beginning and the second for an end.  So no
window is longer than its hours and the hour that is repeated, and one that lies in the skipped
hour is not held at all on that day.

It knows instants in unix seconds, and neither a clock nor what is held.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from monitor.core.quantity import parse_seconds
from monitor.errors import excerpt

LONGEST_CHARACTERS = 512
"""A whole schedule: twenty windows fit."""

MOST_WINDOWS = 32
"""Of one schedule."""

EXPECTED = 'a schedule such as "Mon-Fri 20:00-06:00 Europe/Berlin"'

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

DAYS_BEHIND = 2
"""Windows that began so many days ago may hold still: a zone once skipped a whole day."""

DAYS_AHEAD = 16
"""How far a change is looked for: a week, and another where the first one's was skipped."""

MINUTES_A_DAY = 1_440

_SEPARATOR = re.compile(r"\s*([,-])\s*")
_TIMES = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})", re.ASCII)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", re.ASCII)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """Days of the week, 0 for Monday, and minutes of the wall clock on them.

    `end` is at most a day after `begin`: beyond 1,440 it is on the day after.
    """

    days: frozenset[int]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows that come again every week, in a time zone; `text` is what was written."""

    text: str
    windows: tuple[Window, ...]
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """The schedule that `text` writes.  Raises `ValueError` with a sentence."""
        if len(text) > LONGEST_CHARACTERS:
            raise ValueError(f"a schedule has at most {LONGEST_CHARACTERS} characters")
        parts = text.split(";")
        if len(parts) > MOST_WINDOWS:
            raise ValueError(f"a schedule has at most {MOST_WINDOWS} windows")
        windows, zones = [], []
        for part in parts:
            window, zone = _window(part)
            windows.append(window)
            zones += [zone] if zone else []
        if len(set(zones)) > 1:
            first, second, *_ = dict.fromkeys(zones)
            raise ValueError(
                f"a schedule has one time zone for all of its windows, not {first} and {second}"
            )
        return cls(text.strip(), tuple(windows), _zone(zones[0] if zones else "UTC"))

    def holds(self, at: float) -> bool:
        """Whether it holds at an instant; a window's last instant is no longer of it."""
        return any(begin <= at < end for begin, end in self._spans(at, 1))

    def next_change(self, at: float) -> float:
        """The first instant after this one at which it holds where it did not, or no longer does.

        Infinite where it always holds.
        """
        spans = _merged(self._spans(at, DAYS_AHEAD))
        for begin, end in spans:
            if at < begin:
                return begin
            if at < end:
                return end if end != spans[-1][1] or self._ends(end) else math.inf
        return math.inf

    def _ends(self, at: float) -> bool:
        """Whether what holds until an instant does not hold from it on."""
        return not self.holds(at)

    def _spans(self, at: float, days_ahead: int) -> list[tuple[float, float]]:
        """The windows around an instant as [begin, end), in unix seconds."""
        today = datetime.fromtimestamp(at, self.zone).date()
        found = []
        for offset in range(-DAYS_BEHIND, days_ahead + 1):
            day = today + timedelta(days=offset)
            for window in self.windows:
                if day.weekday() not in window.days:
                    continue
                begin = _instant(day, window.begin, self.zone, is_end=False)
                end = _instant(day, window.end, self.zone, is_end=True)
                if begin < end:
                    found.append((begin, end))
        return found


def parse_until(text: str | datetime, now: float | None = None) -> float:
    """The instant, in unix seconds, that ISO 8601 means, in UTC where it names no zone.

    With `now` a duration from then, such as ``8h``, will do as well.  Raises `ValueError` with a
    sentence.
    """
    expected = 'an instant such as "2026-12-24T18:00:00+01:00"'
    if now is not None:
        expected += ' or a duration such as "8h"'
        if isinstance(text, str) and text[:1].isdigit():
            try:
                return now + parse_seconds(text)
            except ValueError:
                pass  # then it is an instant, or nothing
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else text
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f'expected {expected}, got "{excerpt(str(text))}"') from None


def _window(text: str) -> tuple[Window, str]:
    """One window, and the time zone that is written after it, if one is."""
    words = _SEPARATOR.sub(r"\1", text.strip()).split()
    if not words:
        raise ValueError(f'expected {EXPECTED}; there is an empty window: "{excerpt(text)}"')
    days = _days(words[0])
    if days is not None:
        words = words[1:]
    times = _TIMES.fullmatch(words[0]) if words else None
    if times is not None:
        words = words[1:]
    is_zone = not words or (len(words) == 1 and not words[0][0].isdigit())
    if (days is None and times is None) or not is_zone:
        raise ValueError(f'expected {EXPECTED}, got "{excerpt(text.strip())}"')
    begin, end = (0, MINUTES_A_DAY) if times is None else _minutes(times)
    return Window(frozenset(range(7)) if days is None else days, begin, end), "".join(words)


def _days(text: str) -> frozenset[int] | None:
    """The days that a word names, none where it is no word of days."""
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        begin = _day(first)
        end = _day(last) if dash else begin
        if begin is None or end is None:
            return None
        found.update((begin + offset) % 7 for offset in range((end - begin) % 7 + 1))
    return frozenset(found)


def _day(text: str) -> int | None:
    known = (DAYS, ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"))
    return next((names.index(text) for names in known if text in names), None)


def _minutes(times: re.Match[str]) -> tuple[int, int]:
    hours = int(times[1]), int(times[3])
    begin, end = hours[0] * 60 + int(times[2]), hours[1] * 60 + int(times[4])
    shown = f'"{times[0]}"'
    if max(int(times[2]), int(times[4])) > 59 or begin >= MINUTES_A_DAY or end > MINUTES_A_DAY:
        raise ValueError(f"times are from 00:00 to 24:00, not {shown}")
    if begin == end:
        raise ValueError(f"{shown} ends where it begins; the whole day is 00:00-24:00")
    return begin, end if end > begin else end + MINUTES_A_DAY


def _zone(name: str) -> ZoneInfo:
    complaint = f'there is no time zone "{excerpt(name)}"'
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    close = difflib.get_close_matches(name.lower(), (known := _known_zones()), 1)
    hint = f"did you mean {known[close[0]]}?" if close else "write one such as Europe/Berlin or UTC"
    raise ValueError(f"{complaint}; {hint}")


@lru_cache(maxsize=1)
def _known_zones() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


def _instant(day: date, minutes: int, zone: ZoneInfo, *, is_end: bool) -> float:
    """The instant at which a wall clock shows so many minutes of a day: see the module's text."""
    days, rest = divmod(minutes, MINUTES_A_DAY)
    day += days * _ONE_DAY
    wall = datetime(day.year, day.month, day.day, rest // 60, rest % 60, tzinfo=zone)
    first, second = wall.timestamp(), wall.replace(fold=1).timestamp()
    if first <= second:
        return second if is_end else first
    # It was skipped: the offset changes between the two, which is where the clock jumps.
    before = _offset(second, zone)
    low, high = int(second), int(first)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return float(high)


def _offset(at: float, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(at, zone).utcoffset()


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same without overlaps, in order; what touches is one."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found
