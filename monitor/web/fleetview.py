"""The fleet page as values: a row a host, who has retired, who was turned away.

Values in, values out, as in `monitor.web.views`.  A page of a thousand hosts is made here in a
worker thread while somebody waits, so what is the same for every row is worked out once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from monitor.core.headline import HEADLINE_KEYS, headline
from monitor.core.series import Floats
from monitor.core.state import HostState
from monitor.fleet.fleet import Refusal
from monitor.model import HostStatus, Schema, key
from monitor.web.format import written
from monitor.web.sources import skew_words
from monitor.web.turnedaway import TurnedAway, turned_away
from monitor.web.views import (
    STATUS_SHAPES,
    STATUS_WORDS,
    Reader,
    Status,
    Value,
    natural,
    shown,
    status_of,
    style_of,
)

PLANS = 4_096
"""Schemas whose places are remembered: hosts keep theirs for long."""

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
    HEADLINE_KEYS.index(column.key) if column.key in HEADLINE_KEYS else -1
    for column in FLEET_COLUMNS
)
"""Of each column its place in the headline; -1 where it has none of its own."""

_STYLES = tuple(column.style for column in FLEET_COLUMNS)


@dataclass(frozen=True, slots=True)
class Spark:
    """A small line of ratios: its SVG path, and the numbers it was drawn from."""

    path: str = ""
    points: str = ""
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


_BLANK = tuple(shown(column.key, column.style, math.nan) for column in FLEET_COLUMNS)

_BLANK_ROW = FleetRow("", Status("up", STATUS_SHAPES[HostStatus.UP], 0.0, ""), _BLANK, Spark())


def fleet(
    hosts: Sequence[HostState],
    sparks: Mapping[str, Floats],
    now: float,
    refusals: Sequence[Refusal] = (),
    own_host: str = "",
) -> Fleet:
    """The fleet page of these hosts, by name, trouble first.

    `sparks` has each host's processor use over the last ten minutes, oldest first; `refusals` are
    those who were turned away, the latest first.
    """
    ordered = sorted(hosts, key=lambda host: (_calm(host), natural(host.name)))
    counts = dict.fromkeys(STATUS_WORDS.values(), 0)
    for host in ordered:
        counts[STATUS_WORDS[host.status or HostStatus.UP]] += 1
    there = [host for host in ordered if host.status is not HostStatus.RETIRED]
    versions = _versions(there)
    return Fleet(
        rows=tuple(_row(host, sparks.get(host.name), now) for host in there),
        retired=tuple(_retired(h) for h in ordered if h.status is HostStatus.RETIRED),
        counts=counts,
        versions=versions,
        refused=tuple(turned_away(each, now, own_host) for each in refusals),
        columns=FLEET_COLUMNS,
        blank=_BLANK_ROW,
    )


def _calm(host: HostState) -> int:
    """A host's place before its name: what is in trouble stands first."""
    return {HostStatus.DOWN: 0, HostStatus.STALE: 1}.get(host.status or HostStatus.UP, 2)


def _versions(hosts: Sequence[HostState]) -> tuple[tuple[str, int], ...]:
    """How many agents have which version, the most first; none where all have the same."""
    found = Counter(host.info["version"] for host in hosts if host.info.get("version"))
    if len(found) < 2:
        return ()
    first = found.most_common(MOST_VERSIONS)
    rest = found.total() - sum(count for _, count in first)
    return (*first, *((("other", rest),) if rest else ()))


def _row(host: HostState, spark: Floats | None, now: float) -> FleetRow:
    status = host.status or HostStatus.UP
    return FleetRow(
        host.name,
        Status(STATUS_WORDS[status], STATUS_SHAPES[status], host.since, ""),
        _values(host, now),
        Spark() if spark is None else spark_of(spark),
        host.info.get("version", ""),
        skew_words(host.skew_seconds),
    )


def _retired(host: HostState) -> RetiredRow:
    labels = ", ".join(f"{name}={text}" for name, text in sorted(host.labels.items()))
    return RetiredRow(host.name, status_of(host), labels, host.info.get("version", ""))


@lru_cache(maxsize=PLANS)
def _own_columns(schema: Schema) -> tuple[NDArray[np.intp], tuple[bool, ...]]:
    """Of each headline KEY the column that it has itself, the first where it has none; which do."""
    found = [schema.index.get(text, -1) for text in HEADLINE_KEYS]
    columns = np.array([max(0, column) for column in found], np.intp)
    return columns, tuple(column >= 0 for column in found)


def _values(host: HostState, now: float) -> tuple[Value, ...]:
    """The values of a row: what `Reader` says of each, of all of them together."""
    if not host.schema.texts:
        return _BLANK
    silent, host_at, host_period = Reader(host, now).silent, host.at, host.period_seconds
    numbers = headline(host)
    columns, is_own = _own_columns(host.schema)
    current = host.shown[columns].tolist()
    observed = host.observed_at[columns].tolist()
    periods = host.periods[columns].tolist()
    found = []
    for column, place, style in zip(FLEET_COLUMNS, _PLACES, _STYLES, strict=True):
        if place < 0:  # the worst of the three pressures
            place = max(_PRESSURES, key=lambda each: _or_less(numbers[each]))  # noqa: PLW2901
            number = numbers[place]
        else:
            number = current[place] if is_own[place] else numbers[place]
        age, period = silent, host_period
        if is_own[place]:
            at = observed[place]
            age = silent + max(0.0, host_at - at) if math.isfinite(at) else 0.0
            period = periods[place] if math.isfinite(periods[place]) else 0.0
        found.append(shown(column.key, style, number, age, period))
    return tuple(found)


def _or_less(number: float) -> float:
    return number if math.isfinite(number) else -math.inf


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
