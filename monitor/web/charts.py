"""Charts as the server draws them: the first paint, which the live chart takes over.

Values in, SVG paths and words out; the template prints them.  `static/js/charts.js` draws
the same picture in the same box: its margins, its ticks and its rule for gaps stand here and
there alike.  The plot is `WIDTH` by `HEIGHT` units, stretched to the box by the browser.
Charts of other ranges than the live one are drawn in `rangecharts`, of the same parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.core.series import Floats
from monitor.web.format import nice_top, written

WIDTH = 600.0
"""One unit a second of the ten minutes that every chart spans."""

HEIGHT = 128.0
"""The plot's height in pixels; the width follows the page."""

TOP = 8.0
"""Pixels above the plot."""

GAP_PERIODS = 2.5
"""Observations further apart than so many of their usual distance have a gap between them."""

SURE_GAP_BUCKETS = 1.5
"""The same, in buckets, where none can be empty by chance."""

LABEL_PIXELS = 13.0
"""Labels at the right edge are at least so far apart."""

MOST_LINES = 8
"""Colours that can be told apart."""

LEAST_BAND = 0.004
"""A band of a stack thinner than this share of the axis gets no label."""


_LARGEST = 1e300
"""No value is drawn as larger, so that a stack of them stays finite."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one chart shows: series by KEY with a short label each, in drawing order.

    `top` is the end of the axis in the values' unit; without it the axis follows the data.
    """

    id: str
    title: str
    style: str
    lines: tuple[tuple[str, str], ...]
    stacked: bool = False
    top: float = 0.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the vertical axis: its words and how far down it is, in pixels."""

    text: str
    y: float


@dataclass(frozen=True, slots=True)
class Line:
    """One drawn series: `slot` is its colour and dash, from 1."""

    key: str
    label: str
    slot: int
    stroke: str
    area: str
    last: str
    y: float | None
    """Where its label stands at the right edge, in pixels; none where it has no label."""
    band: str = ""
    """What lies between the least and the most of each bucket."""
    before: str = ""
    """The same series in the stretch that is laid under the range."""
    reading: str = ""
    """What it did over the whole range, in words; empty on a live chart."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant on the horizontal axis: how far along it is, 0 to 1, and its words."""

    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the range that has something to say: where it is, 0 to 1, and its words."""

    share: float
    width: float
    text: str


LIVE_TIMES = tuple(
    Mark(n / 5, text) for n, text in enumerate(("−10 min", "−8", "−6", "−4", "−2", "now"))
)
"""The marks of a live chart."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One chart, drawn."""

    plan: Plan
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    summary: str
    """The picture in words, for who cannot see it."""
    times: tuple[Mark, ...] = LIVE_TIMES
    before: str = ""
    """The total of a stack in the stretch that is laid under the range."""


def draw(
    plan: Plan, starts: Floats, step: float, end: float, found: Mapping[str, Floats]
) -> Drawing:
    """The picture of a range.

    `starts` are the buckets' instants, `step` seconds apart, `end` the right edge, `found`
    each KEY's averages with NaN where nothing was observed.
    """
    absent = np.full(len(starts), np.nan)
    columns = [bounded(found.get(text, absent)) for text, _ in plan.lines]
    stops = stack(columns) if plan.stacked else columns
    top = plan.top or nice_top(highest(stops), plan.style)
    x = WIDTH - (end - starts)
    lines = []
    lasts = [last_of(column, starts, step, end) for column in columns]
    ends = [last_of(stop, starts, step, end) for stop in stops]
    heights = labels([label_y(lasts[i], ends[i], top, plan.stacked) for i in range(len(stops))])
    below = np.zeros(len(starts))
    for index, (text, label) in enumerate(plan.lines):
        y = HEIGHT * (1 - np.clip(stops[index] / top, 0, 1))
        runs = runs_of(starts, stops[index], step)
        base = HEIGHT * (1 - np.clip(np.nan_to_num(below) / top, 0, 1))
        words = str(written(lasts[index], plan.style))
        lines.append(
            Line(
                text,
                label,
                index % MOST_LINES + 1,
                "" if plan.stacked else stroke(x, y, runs),
                area(x, y, base, runs) if plan.stacked else "",
                f"{label} {words}" if plan.stacked else words,
                heights[index],
            )
        )
        if plan.stacked:
            below = stops[index]
    return Drawing(plan, tuple(lines), ticks(top, plan.style), _summary(plan, columns, lasts))


def bounded(column: Floats) -> Floats:
    """The column without infinities and within what can be added up."""
    return np.clip(np.where(np.isfinite(column), column, np.nan), -_LARGEST, _LARGEST)


def stack(columns: Sequence[Floats]) -> list[Floats]:
    """Running sums; an instant at which nothing at all was observed stays absent."""
    total = np.zeros(len(columns[0]))
    sums = []
    empty = np.logical_and.reduce([np.isnan(column) for column in columns])
    for column in columns:
        total = total + np.nan_to_num(column)
        sums.append(np.where(empty, np.nan, total))
    return sums


def runs_of(starts: Floats, values: Floats, step: float, period: float = 0.0) -> list[np.ndarray]:
    """The points of a series, parted where it was silent for longer than it usually is.

    `period` is the time between its observations in seconds, 0 where it is not known.  Buckets
    that are wide enough for two of them are never empty by chance: one that is, is a gap.
    """
    points = np.flatnonzero(np.isfinite(values))
    if not len(points):
        return []
    distances = np.diff(starts[points])
    usual = max(step, float(np.median(distances)) if len(distances) else step)
    sure = period and usual < step * 1.01 and step >= 2 * period
    limit = (SURE_GAP_BUCKETS if sure else GAP_PERIODS) * usual
    return np.split(points, np.flatnonzero(distances > limit) + 1)


def labels(wanted: Sequence[float | None]) -> list[float | None]:
    """Heights of labels near where they are wanted, none over another, all on the plot.

    Where there is no room for all of them the last ones go without.
    """
    most = int(HEIGHT // LABEL_PIXELS)
    chosen = [i for i, y in enumerate(wanted) if y is not None][:most]
    order = sorted(chosen, key=lambda i: (wanted[i] or 0.0, -i))
    placed: list[float | None] = [None] * len(wanted)
    floor = 4.0
    for index in order:
        floor = max(wanted[index] or 0.0, floor)
        placed[index] = floor
        floor += LABEL_PIXELS
    ceiling = HEIGHT
    for index in reversed(order):
        ceiling = min(placed[index] or 0.0, ceiling)
        placed[index] = ceiling
        ceiling -= LABEL_PIXELS
    return placed


def highest(columns: Sequence[Floats]) -> float:
    """The largest of all values, 0 where there are none above it."""
    finite = [float(column[np.isfinite(column)].max(initial=0.0)) for column in columns]
    return max(finite, default=0.0)


def last_of(column: Floats, starts: Floats, step: float, end: float) -> float:
    """The newest value, where it is not too old to be called that."""
    points = np.flatnonzero(np.isfinite(column))
    if not len(points):
        return math.nan
    distances = np.diff(starts[points])
    usual = float(np.median(distances)) if len(distances) else step
    fresh = end - float(starts[points[-1]]) <= (GAP_PERIODS + 1) * max(step, usual)
    return float(column[points[-1]]) if fresh else math.nan


def label_y(last: float, stop: float, top: float, stacked: bool) -> float | None:
    """How far down the label of a last value belongs, in pixels; none where it gets none."""
    if not math.isfinite(last) or (stacked and last < LEAST_BAND * top):
        return None
    middle = stop - last / 2 if stacked else last
    return HEIGHT * (1 - min(1.0, max(0.0, middle / top)))


def stroke(x: Floats, y: Floats, runs: Sequence[np.ndarray]) -> str:
    """The line as path data; a lone point is a dot, by its round cap."""
    parts = []
    for run in runs:
        pairs = [f"{a:.1f} {b:.1f}" for a, b in zip(x[run].tolist(), y[run].tolist(), strict=True)]
        parts.append("M" + pairs[0] + ("L" + "L".join(pairs[1:]) if len(pairs) > 1 else "h.01"))
    return "".join(parts)


def area(x: Floats, y: Floats, base: Floats, runs: Sequence[np.ndarray]) -> str:
    """What lies between a line and the one below it, as path data."""
    parts = []
    for run in runs:
        if len(run) < 2:
            continue
        there = zip(x[run].tolist(), y[run].tolist(), strict=True)
        back = zip(x[run][::-1].tolist(), base[run][::-1].tolist(), strict=True)
        corners = [f"{a:.1f} {b:.1f}" for a, b in (*there, *back)]
        parts.append("M" + "L".join(corners) + "Z")
    return "".join(parts)


def ticks(top: float, style: str) -> tuple[Tick, ...]:
    """The marks of a vertical axis."""
    return tuple(
        Tick(tick_text(top * share, style), HEIGHT * (1 - share)) for share in (0.0, 0.5, 1.0)
    )


def tick_text(value: float, style: str) -> str:
    """A value on an axis: as anywhere else, without the decimals that are zero."""
    number, unit = written(value, style)
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}" if unit and value else number


def _summary(plan: Plan, columns: Sequence[Floats], lasts: Sequence[float]) -> str:
    words = []
    for (_, label), column, last in zip(plan.lines, columns, lasts, strict=True):
        finite = column[np.isfinite(column)]
        if len(finite):
            most = written(float(finite.max()), plan.style)
            words.append(f"{label} now {written(last, plan.style)}, at most {most}")
    found = "; ".join(words) or "no data yet"
    return f"{plan.title}, the last ten minutes: {found}."
