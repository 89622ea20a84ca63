"""The fleet page as values: a row a host, who has retired, who was turned away.

Values in, values out, as in `monitor.web.views`.  A page of a thousand hosts is made here in a
worker thread while somebody waits, so what is the same for every row is worked out once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from monitor.core.headline import HEADLINE_KEYS, Glance, Glances
from monitor.core.series import Floats
from monitor.core.state import LATE_AFTER_PERIODS, LATE_AFTER_SECONDS, UNKNOWN_PERIOD_SECONDS
from monitor.fleet.fleet import Refusal
from monitor.model import HostStatus, key
from monitor.web.format import written
from monitor.web.sources import skew_words
from monitor.web.turnedaway import TurnedAway, turned_away
from monitor.web.views import (
    STATUS_SHAPES,
    STATUS_WORDS,
    Status,
    Value,
    judged,
    natural,
    shown,
    status_of,
    style_of,
)

MOST_VERSIONS = 4
"""Versions of agents that are counted by name; the others are counted together."""

WORST_PRESSURE = "worst of system.linux.pressure"
"""Not a KEY: the highest of the three pressures, which the page works out in both languages."""

_PRESSURES = tuple(
    HEADLINE_KEYS.index(key("system.linux.pressure", kind="some", resource=resource))
    for resource in ("cpu", "memory", "io")
)


@dataclass(frozen=True, slots=True)
class FleetColumn:
    """A column of the fleet page: `label` for people, `short` for text pages."""

    label: str
    short: str
    key: str
    narrow: bool = False
    """Whether it stays where the page is narrow."""

    @property
    def style(self) -> str:
        """The style in which its values are written."""
        return "percent" if self.key == WORST_PRESSURE else style_of(self.key)


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

_PLACES = tuple(
    HEADLINE_KEYS.index(column.key) if column.key in HEADLINE_KEYS else 0
    for column in FLEET_COLUMNS
)
"""Of each column its place in the headline; the worst pressure has none of its own."""

_WORST = [column.key for column in FLEET_COLUMNS].index(WORST_PRESSURE)

_KEYS = tuple(column.key for column in FLEET_COLUMNS)
_STYLES = tuple(column.style for column in FLEET_COLUMNS)


@dataclass(frozen=True, slots=True)
class Spark:
    """A small line of ratios: its SVG path, and what it shows in words."""

    path: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One host on the fleet page; `values` are in the order of `FLEET_COLUMNS`.

    `version` is its agent's, `skew` says how wrong its clock is, where it is.
    """

    name: str
    status: Status
    values: tuple[Value, ...]
    spark: Spark
    version: str = ""
    skew: str = ""


@dataclass(frozen=True, slots=True)
class RetiredRow:
    """A host that nobody waits for: its name, since when, and what it was."""

    name: str
    status: Status
    labels: str
    version: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet page."""

    rows: tuple[FleetRow, ...]
    retired: tuple[RetiredRow, ...]
    counts: Mapping[str, int]
    skewed: int
    """Hosts whose clock is wrong."""
    versions: tuple[tuple[str, int], ...]
    """Versions of agents with how many have them, where there are several."""
    refused: tuple[TurnedAway, ...]
    columns: tuple[FleetColumn, ...]
    blank: FleetRow
    """A row that has no values yet: what a new host's is cloned from."""

    @property
    def narrow(self) -> int:
        """How many columns stay where the page is narrow: the first ones."""
        return sum(column.narrow for column in self.columns)

    @property
    def is_empty(self) -> bool:
        """Whether no host is known at all."""
        return not (self.rows or self.retired)


SHAPES = {word: STATUS_SHAPES[status] for status, word in STATUS_WORDS.items()}
"""Each status' shape by its word."""

_NO_SPARK = Spark()

_BLANK = tuple(shown(column.key, column.style, math.nan) for column in FLEET_COLUMNS)

_BLANK_ROW = FleetRow("", Status("up", STATUS_SHAPES[HostStatus.UP], 0.0, ""), _BLANK, _NO_SPARK)


def fleet(
    hosts: Glances,
    sparks: Mapping[str, Floats],
    now: float,
    refusals: Sequence[Refusal] = (),
    own_host: str = "",
) -> Fleet:
    """The fleet page of these hosts, by name, trouble first.

    `sparks` has each host's processor use over the last ten minutes, oldest first; `refusals` are
    those who were turned away, the latest first.
    """
    counts = dict.fromkeys(STATUS_WORDS.values(), 0)
    rows, retired = [], []
    for host, values in zip(hosts.hosts, _all_values(hosts, now), strict=True):
        counts[STATUS_WORDS[host.status]] += 1
        if host.status is HostStatus.RETIRED:
            retired.append(_retired(host))
        else:
            rows.append((_calm(host), natural(host.name), _row(host, values, sparks)))
    rows.sort(key=itemgetter(0, 1))
    there = [host for host in hosts.hosts if host.status is not HostStatus.RETIRED]
    return Fleet(
        rows=tuple(row for _, _, row in rows),
        retired=tuple(sorted(retired, key=lambda row: natural(row.name))),
        counts=counts,
        skewed=sum(bool(skew_words(host.skew_seconds)) for host in there),
        versions=_versions(there),
        refused=tuple(turned_away(each, now, own_host) for each in refusals),
        columns=FLEET_COLUMNS,
        blank=_BLANK_ROW,
    )


def _calm(host: Glance) -> int:
    """A host's place before its name: what is in trouble stands first."""
    return {HostStatus.DOWN: 0, HostStatus.STALE: 1}.get(host.status, 2)


def _versions(hosts: Sequence[Glance]) -> tuple[tuple[str, int], ...]:
    """How many agents have which version, the most first; none where all have the same."""
    found = Counter(host.version for host in hosts if host.version)
    if len(found) < 2:
        return ()
    first = found.most_common(MOST_VERSIONS)
    rest = found.total() - sum(count for _, count in first)
    return (*first, *((("other", rest),) if rest else ()))


def _row(host: Glance, values: tuple[Value, ...], sparks: Mapping[str, Floats]) -> FleetRow:
    spark = sparks.get(host.name)
    return FleetRow(
        host.name,
        Status(STATUS_WORDS[host.status], STATUS_SHAPES[host.status], host.since, ""),
        values,
        _NO_SPARK if spark is None else spark_of(spark),
        host.version,
        skew_words(host.skew_seconds),
    )


def _retired(host: Glance) -> RetiredRow:
    return RetiredRow(
        host.name, status_of(host.status, host.since), ", ".join(host.labels), host.version
    )


def _all_values(hosts: Glances, now: float) -> Iterator[tuple[Value, ...]]:
    """The values of each row: what `Reader` says of each host, of all of them together."""
    found = hosts.headlines(now)
    rows = np.arange(len(hosts.hosts))
    # A column of places in the headline: the same for every row, but the worst pressure's.
    pressures = found.current[:, _PRESSURES]
    worst = np.argmax(np.where(np.isfinite(pressures), pressures, -np.inf), axis=1)
    places = np.tile(np.array(_PLACES, np.intp), (len(rows), 1))
    places[:, _WORST] = np.array(_PRESSURES, np.intp)[worst]
    picked = rows[:, np.newaxis], places
    numbers, ages, periods = found.numbers[picked], found.ages[picked], found.periods[picked]
    numbers[:, _WORST] = found.current[rows, places[:, _WORST]]
    known = np.where(periods > 0, periods, UNKNOWN_PERIOD_SECONDS)
    late = ages > np.maximum(LATE_AFTER_SECONDS, LATE_AFTER_PERIODS * known)
    lists = (numbers.tolist(), ages.tolist(), periods.tolist(), late.tolist())
    for each in zip(*lists, strict=True):
        yield tuple(map(judged, _KEYS, _STYLES, *each))


def spark_of(ratios: Floats) -> Spark:
    """A sparkline 60 wide and 16 high of ratios 0–1, one unit a point; gaps are gaps.

    It is drawn to a tenth of a unit, as `static/js/spark.js` reads it again.
    """
    seen = np.isfinite(ratios)
    if not seen.any():
        return Spark("", "CPU over ten minutes: no data")
    heights = np.rint((15.5 - 15 * np.clip(np.where(seen, ratios, 0.0), 0.0, 1.0)) * 10) / 10
    path, pen = [], False
    for x, (is_seen, y) in enumerate(zip(seen.tolist(), heights.tolist(), strict=True)):
        if is_seen:
            path.append(f"L{x} {y}" if pen else f"M{x} {y}h.01")
        pen = is_seen
    least, most = ratios[seen].min(), ratios[seen].max()
    label = f"from {written(float(least), 'percent')} to {written(float(most), 'percent')}"
    return Spark("".join(path), f"CPU over ten minutes: {label}")
