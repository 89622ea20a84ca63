"""View-models: what a page says, before anybody decides how it looks.

Values in, values out: no request, no template, no clock of its own.  A value carries its KEY
and style, so that the page keeps it live, and its age, so that a late one says so.  This file
has what all pages share, and the fleet page; the host page is in `hostview`.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.core.catalog import metric
from monitor.core.headline import HEADLINE_KEYS, headline
from monitor.core.series import Floats
from monitor.core.state import UNKNOWN_PERIOD_SECONDS, HostState, is_late
from monitor.model import HostStatus, SeriesKey, key
from monitor.web.format import Written, duration, written

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


@dataclass(frozen=True, slots=True)
class Value:
    """One number on a page.

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


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One host on the fleet page; `values` are in the order of `FLEET_COLUMNS`."""

    name: str
    status: Status
    values: tuple[Value, ...]
    spark: Spark


@dataclass(frozen=True, slots=True)
class Spark:
    """A small line of ratios: its SVG path, and the numbers it was drawn from."""

    path: str = ""
    points: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet page."""

    rows: tuple[FleetRow, ...]
    counts: Mapping[str, int]
    columns: tuple[FleetColumn, ...]
    blank: tuple[Value, ...]
    """The values of a row that has none yet: what a new host's row is cloned from."""


@dataclass(frozen=True, slots=True)
class FleetColumn:
    """A column of the fleet page: `label` for people, `short` for text pages."""

    label: str
    short: str
    key: str
    narrow: bool = False
    """Whether it stays where the page is narrow."""


WORST_PRESSURE = "worst of system.linux.pressure"
"""Not a KEY: the highest of the three pressures, which the page works out in both languages."""

FLEET_COLUMNS = (
    FleetColumn("CPU", "CPU", "system.cpu.utilization", narrow=True),
    FleetColumn("Memory", "MEM", "system.memory.utilization", narrow=True),
    FleetColumn("Fullest disk", "DISK", "system.filesystem.utilization", narrow=True),
    FleetColumn("Load", "LOAD", "system.cpu.load_average.1m"),
    FleetColumn("Pressure", "PRES", WORST_PRESSURE),
    FleetColumn("Net in", "NET IN", key("system.network.io", direction="receive")),
    FleetColumn("Net out", "NET OUT", key("system.network.io", direction="transmit")),
    FleetColumn("Uptime", "UPTIME", "system.uptime"),
)
"""What the fleet page shows of each host, besides its status and name."""


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
        period = float(np.nan_to_num(self.host.periods[column]))
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
    written_number: Written = written(number, style)
    late = duration(age) if is_late(age, period) and math.isfinite(number) else ""
    percent = number * 100 if style == "percent" and math.isfinite(number) else 0.0
    percent = min(100.0, max(0.0, percent))
    return Value(text, style, *written_number, age, late, period, percent)


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key under which cpu2 comes before cpu10."""
    parts = _RUNS.findall(text[:LONGEST_SORTED])
    return tuple((int(part), part) if part.isdigit() else (-1, part) for part in parts)


def status_of(host: HostState) -> Status:
    """The host's status as shown; one that nobody judged yet is up."""
    status = host.status or HostStatus.UP
    return Status(
        STATUS_WORDS[status],
        STATUS_SHAPES[status],
        host.since,
        f"{written(host.since, 'instant').number} UTC" if host.since else "",
    )


def worst_pressure(values: Mapping[str, Value], numbers: Mapping[str, float]) -> Value:
    """The highest of the three pressures (some), as one value."""
    texts = [key("system.linux.pressure", kind="some", resource=r) for r in ("cpu", "memory", "io")]
    found = [text for text in texts if math.isfinite(numbers[text])]
    if not found:
        return shown(WORST_PRESSURE, "percent", math.nan)
    worst = max(found, key=lambda text: numbers[text])
    value = values[worst]
    return shown(WORST_PRESSURE, "percent", numbers[worst], value.age, value.period)


def _calm(host: HostState) -> int:
    """A host's place before its name: what is in trouble stands first."""
    return {HostStatus.DOWN: 0, HostStatus.STALE: 1}.get(host.status or HostStatus.UP, 2)


def fleet(hosts: Sequence[HostState], sparks: Mapping[str, Floats], now: float) -> Fleet:
    """The fleet page of these hosts, by name.

    `sparks` has each host's processor use over the last ten minutes, oldest first.
    """
    ordered = sorted(hosts, key=lambda host: (_calm(host), natural(host.name)))
    rows = tuple(_row(host, sparks.get(host.name), now) for host in ordered)
    counts = dict.fromkeys(STATUS_WORDS.values(), 0)
    for row in rows:
        counts[row.status.word] += 1
    blank = tuple(
        shown(c.key, style_of(c.key) if c.key != WORST_PRESSURE else "percent", math.nan)
        for c in FLEET_COLUMNS
    )
    return Fleet(rows, counts, FLEET_COLUMNS, blank)


def _row(host: HostState, spark: Floats | None, now: float) -> FleetRow:
    values = Reader(host, now).headlines()
    numbers = dict(zip(HEADLINE_KEYS, headline(host), strict=True))
    values[WORST_PRESSURE] = worst_pressure(values, numbers)
    return FleetRow(
        host.name,
        status_of(host),
        tuple(values[column.key] for column in FLEET_COLUMNS),
        Spark() if spark is None else spark_of(spark),
    )


def spark_of(ratios: Floats) -> Spark:
    """A sparkline 60 wide and 16 high of ratios 0–1, one unit a point; gaps are gaps."""
    path, points, pen = [], [], False
    for x, ratio in enumerate(ratios.tolist()):
        if not math.isfinite(ratio):
            pen = False
            points.append("")
            continue
        y = 15.5 - 15 * min(1.0, max(0.0, ratio))
        path.append(f"{'L' if pen else 'M'}{x} {y:.1f}")
        if not pen:
            path.append("h.01")
        points.append(f"{ratio:.3f}")
        pen = True
    seen = ratios[np.isfinite(ratios)]
    label = (
        f"from {written(seen.min(), 'percent')} to {written(seen.max(), 'percent')}"
        if len(seen)
        else "no data"
    )
    return Spark("".join(path), ",".join(points), f"CPU over ten minutes: {label}")
