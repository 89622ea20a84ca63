"""Charts of a range of time: averages with their least and most, gaps, losses, what was before.

The box is that of `charts`, and so are its parts; a range has its own horizontal axis.  Each
bucket stands at its middle.  `static/js/rangechart.js` draws the same picture from the same
numbers.  It knows neither store nor address.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.core.series import Floats
from monitor.ports import Buckets
from monitor.web import charts
from monitor.web.charts import HEIGHT, MOST_LINES, WIDTH, Drawing, Line, Mark, Plan, Stretch
from monitor.web.format import nice_top, written
from monitor.web.timeaxis import axis, window_words

MOST_MARKS = 5
"""Marks on the horizontal axis: their words have room on a telephone."""

MOST_LOSSES = 50
"""Losses drawn in one chart, and told beside them."""

NOT_ONE = 1.000001
"""A least and a most that differ by less than their rounding are one observation."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What the charts of one page are drawn from: a range [start, end), in unix seconds.

    `before` is the stretch `earlier_seconds` before it, in buckets of its own; `periods` is the
    time in seconds between the observations of each KEY, as far as it is known.
    """

    start: float
    end: float
    now: float
    words: str
    found: Buckets
    before: Buckets | None = None
    earlier_seconds: float = 0.0
    periods: Mapping[str, float] = field(default_factory=dict)


def draw_range(plan: Plan, cut: Cut) -> Drawing:
    """The picture of a plan over a range."""
    starts, step = cut.found.starts, cut.found.step_seconds
    keys = [text for text, _ in plan.lines]
    low, middle, high = (_columns(cut.found, keys, of) for of in ("minimum", "average", "maximum"))
    earlier = _earlier(cut, keys)
    stops = charts.stack(middle) if plan.stacked else middle
    before_stops = charts.stack(earlier[1]) if plan.stacked else earlier[1]
    drawn = [*stops, *before_stops, *(() if plan.stacked else high)]
    top = plan.top or nice_top(charts.highest(drawn), plan.style)
    scale = _Scale(cut.start, cut.end, top)
    lasts = [charts.last_of(column, starts, step, cut.end) for column in middle]
    ends = [charts.last_of(stop, starts, step, cut.end) for stop in stops]
    heights = charts.labels(
        [charts.label_y(lasts[i], ends[i], top, plan.stacked) for i in range(len(stops))]
    )
    x, x_before = scale.x(starts + step / 2), scale.x(earlier[0])
    below = np.zeros(len(starts))
    lines = []
    for index, (text, label) in enumerate(plan.lines):
        period = cut.periods.get(text, 0.0)
        runs = charts.runs_of(starts, stops[index], step, period)
        y, base = scale.y(stops[index]), scale.y(np.nan_to_num(below))
        last = str(written(lasts[index], plan.style))
        wide = not plan.stacked and has_band(low[index], high[index])
        bands = charts.area(x, scale.y(high[index]), scale.y(low[index]), runs) if wide else ""
        earlier_runs = charts.runs_of(earlier[0], before_stops[index], earlier[2], period)
        was = charts.stroke(x_before, scale.y(before_stops[index]), earlier_runs)
        lines.append(
            Line(
                text,
                label,
                index % MOST_LINES + 1,
                "" if plan.stacked else charts.stroke(x, y, runs),
                charts.area(x, y, base, runs) if plan.stacked else "",
                f"{label} {last}" if plan.stacked else last,
                heights[index],
                bands,
                "" if plan.stacked else was,
                reading(*whole(low[index], middle[index], high[index]), plan.style),
            )
        )
        if plan.stacked:
            below = stops[index]
    return Drawing(
        plan,
        tuple(lines),
        charts.ticks(top, plan.style),
        _summary(plan, lines, cut.words),
        times_of(cut.start, cut.end),
        was if plan.stacked and plan.lines else "",
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """From instants and values to units of the plot."""

    start: float
    end: float
    top: float

    def x(self, at: Floats) -> Floats:
        return WIDTH * (at - self.start) / (self.end - self.start)

    def y(self, values: Floats) -> Floats:
        return HEIGHT * (1 - np.clip(values / self.top, 0, 1))


def _columns(found: Buckets, keys: Sequence[str], of: str) -> list[Floats]:
    by_key = {series.key: getattr(series, of) for series in found.series}
    absent = np.full(len(found.starts), np.nan)
    return [charts.bounded(by_key.get(text, absent)) for text in keys]


def _earlier(cut: Cut, keys: Sequence[str]) -> tuple[Floats, list[Floats], float]:
    """The middles of the earlier buckets where they are drawn, their averages, their width."""
    if cut.before is None:
        return np.empty(0), [np.empty(0) for _ in keys], 1.0
    middles = cut.before.starts + cut.before.step_seconds / 2 + cut.earlier_seconds
    return middles, _columns(cut.before, keys, "average"), cut.before.step_seconds


def has_band(low: Floats, high: Floats) -> bool:
    """Whether any bucket holds more than one value."""
    known = np.isfinite(low) & np.isfinite(high)
    return bool(np.any(high[known] - low[known] > np.abs(high[known]) * (NOT_ONE - 1)))


def whole(low: Floats, middle: Floats, high: Floats) -> tuple[float, float, float]:
    """The least, the average and the most of a whole range; NaN where it holds nothing."""
    known = np.isfinite(middle)
    if not known.any():
        return math.nan, math.nan, math.nan
    return float(low[known].min()), float(middle[known].mean()), float(high[known].max())


def reading(low: float, middle: float, high: float, style: str) -> str:
    """A bucket in words: ``0.42 avg · 0.10–0.98``, or the one value that it holds."""
    value = written(middle, style)
    if not math.isfinite(middle) or not (high - low > abs(high) * (NOT_ONE - 1)):
        return str(value)
    least, most = written(low, style), written(high, style)
    # A unit that all three share stands once.
    shared = least.unit == most.unit == value.unit
    first = least.number if least.unit == most.unit else str(least)
    last = most.number if shared else str(most)
    return f"{value} avg · {first}–{last}"


def times_of(start: float, end: float) -> tuple[Mark, ...]:
    """The marks of a range, in UTC."""
    return tuple(
        Mark((at - start) / (end - start), words) for at, words in axis(start, end, MOST_MARKS)
    )


def losses_of(cut: Cut) -> tuple[Stretch, ...]:
    """What the store lost of a range, each with its reason."""
    found = []
    width = cut.end - cut.start
    for loss in cut.found.losses[:MOST_LOSSES]:
        first, last = max(loss.start, cut.start), min(loss.end, cut.end)
        if first >= last:
            continue
        text = f"{window_words(loss.start, loss.end, cut.now)} UTC: {loss.reason}"
        found.append(Stretch((first - cut.start) / width, (last - first) / width, text))
    return tuple(found)


def resolution_words(step: float, period: float) -> str:
    """What one point of the charts is: ``1 min averages``, or each value by itself."""
    words = {1: "s", 60: "min", 3_600: "h", 86_400: "d"}
    if step < 1.5 * period:
        return "every value"
    unit = max((size for size in words if step >= size and step % size == 0), default=1)
    return f"{step / unit:g} {words[unit]} averages"


def _summary(plan: Plan, lines: Sequence[Line], words: str) -> str:
    said = [f"{line.label} {line.reading}" for line in lines if line.reading != "–"]
    return f"{plan.title}, {words}: {'; '.join(said) or 'no data'}."
