"""View-models: what a page says, before anybody decides how it looks.

Values in, values out: no request, no template, no clock of its own.  A value carries its KEY
and style, so that the page keeps it live, and its age, so that a late one says so.  This file
has what all pages share; the fleet page is in `fleetview`, the host page in `hostview`.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.core.catalog import metric
from monitor.core.headline import HEADLINE_KEYS, headline
from monitor.core.state import UNKNOWN_PERIOD_SECONDS, HostState, is_late
from monitor.model import HostStatus, SeriesKey
from monitor.web.format import duration, written

HISTORY_SECONDS = 600.0
"""What the charts of both pages span."""

LONGEST_SORTED = 256
"""Characters of a name that count for its place; the number in it has at most so many digits."""

_RUNS = re.compile(r"[0-9]+|[^0-9]+", re.ASCII)

MOST_LABELS = 32
"""Labels shown of one host."""

STATUS_WORDS = {
    HostStatus.UP: "up",
    HostStatus.STALE: "stale",
    HostStatus.DOWN: "down",
    HostStatus.RETIRED: "retired",
}
STATUS_SHAPES = {
    HostStatus.UP: "●",
    HostStatus.STALE: "○",
    HostStatus.DOWN: "■",
    HostStatus.RETIRED: "○",
}


class Value(NamedTuple):
    """One number on a page; a tuple, because a page of a thousand hosts has eight thousand.

    `age` is in seconds, counted from its arrival here; `late` is the age in words where it is
    late, else empty; `period` is the seconds between its observations, 0 where not known.
    """

    key: str
    style: str
    number: str
    unit: str
    age: float = 0.0
    late: str = ""
    period: float = 0.0
    percent: float = 0.0
    """A ratio as 0–100, for bars; 0 where it is absent."""

    @property
    def expected(self) -> float:
        """The seconds between its observations, guessed where it was seen once."""
        return self.period or UNKNOWN_PERIOD_SECONDS

    @property
    def text(self) -> str:
        """The value in one piece, for text pages and labels."""
        return f"{self.number} {self.unit}" if self.unit else self.number


@dataclass(frozen=True, slots=True)
class Status:
    """A host's status: a word, a shape and a class, and since when."""

    word: str
    shape: str
    since: float
    since_text: str


def frozen(host: HostState) -> HostState:
    """A copy of a host's state that nobody changes, for work in another thread.

    Only what `fold` changes in place is copied, so it costs microseconds.
    """
    found = copy.copy(host)
    found.raw, found.shown = host.raw.copy(), host.shown.copy()
    found.observed_at, found.periods = host.observed_at.copy(), host.periods.copy()
    found.labels, found.snapshots = dict(host.labels), dict(host.snapshots)
    found.lanes = dict(host.lanes)
    return found


def style_of(name: str) -> str:
    """The style in which values of a metric are written, by its name or KEY."""
    return metric(name.partition("{")[0]).style.value


@dataclass(slots=True)
class Reader:
    """Reads the values of one host at one instant.  `now` is unix seconds, our clock."""

    host: HostState
    now: float
    silent: float = field(init=False)

    def __post_init__(self) -> None:
        heard_at = self.host.seen_at or self.host.at  # from before a restart only its own clock's
        self.silent = max(0.0, self.now - heard_at) if heard_at else 0.0

    def has(self, text: str) -> bool:
        """Whether the host has this series, with a value or without."""
        return text in self.host.schema.index

    def raw(self, text: str) -> float:
        """The number, NaN where there is none."""
        return self.host.value(text)

    def value(self, text: str, style: str = "") -> Value:
        """The value of a KEY as the page shows it."""
        column = self.host.schema.index.get(text)
        style = style or style_of(text)
        if column is None:
            return shown(text, style, math.nan)
        observed = float(self.host.observed_at[column])
        age = self.silent + max(0.0, self.host.at - observed) if observed == observed else 0.0  # noqa: PLR0124 - NaN
        period = float(self.host.periods[column])
        period = period if math.isfinite(period) else 0.0
        return shown(text, style, float(self.host.shown[column]), age, period)

    def headlines(self) -> dict[str, Value]:
        """The headline numbers by KEY, the fullest filesystem and the summed network included."""
        age = self.silent
        found = {}
        for text, number in zip(HEADLINE_KEYS, headline(self.host), strict=True):
            direct = self.has(text)
            found[text] = (
                self.value(text)
                if direct
                else shown(text, style_of(text), number, age, self.host.period_seconds)
            )
        return found

    def attributes(self, name: str, attribute: str) -> list[str]:
        """The values of one attribute over a metric's series, in natural order."""
        keys = self.host.schema.keys
        columns = self.host.schema.columns_by_name.get(name, ())
        return sorted({keys[c].get(attribute) for c in columns} - {""}, key=natural)

    def keys(self, name: str) -> list[SeriesKey]:
        """Every series of a metric, in natural order of their attributes' values."""
        keys = self.host.schema.keys
        columns = self.host.schema.columns_by_name.get(name, ())
        return sorted((keys[c] for c in columns), key=lambda k: natural(str(k)))


def shown(text: str, style: str, number: float, age: float = 0.0, period: float = 0.0) -> Value:
    """A number as the page shows it, with its age in words where it is late."""
    return judged(text, style, number, age, period, is_late(age, period))


def judged(text: str, style: str, number: float, age: float, period: float, late: bool) -> Value:
    """The same, where somebody has judged already whether it is late."""
    digits, unit = written(number, style)
    if not math.isfinite(number):
        return Value(text, style, digits, unit, age, "", period, 0.0)
    percent = min(100.0, max(0.0, number * 100)) if style == "percent" else 0.0
    return Value(text, style, digits, unit, age, duration(age) if late else "", period, percent)


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key under which cpu2 comes before cpu10."""
    parts = _RUNS.findall(text[:LONGEST_SORTED])
    return tuple((int(part), part) if part.isdigit() else (-1, part) for part in parts)


def status_of(status: HostStatus | None, since: float) -> Status:
    """A host's status as shown, `since` unix seconds; of one that nobody judged yet it is up."""
    status = status or HostStatus.UP
    words = f"{written(since, 'instant').number} UTC" if since else ""
    return Status(STATUS_WORDS[status], STATUS_SHAPES[status], since, words)
