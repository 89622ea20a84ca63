"""What a backtest came to, as values: its sentence, its firings, and each drawn on its series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.alerting.backtesting import Backtest, Drawn
from monitor.alerting.backtestwords import duration
from monitor.core.backtest import Firing
from monitor.core.rules.explaining import rule_words
from monitor.core.rules.model import Rule
from monitor.core.series import Floats
from monitor.web import charts
from monitor.web.alertchart import lines_of
from monitor.web.alertrows import LOOKS, cut, iso
from monitor.web.format import nice_top, written
from monitor.web.timeaxis import axis, instant_words
from monitor.web.views import style_of

MOST_FIRINGS = 200
"""In the table, the latest; the picture has all of them."""

MOST_DRAWN = 8
MOST_STRETCHES = 200
MOST_LEFT_OUT = 10
MOST_MARKS = 6

LEAST_SHARE = 0.002
"""How wide a firing is drawn at least, so that a short one is seen."""


@dataclass(frozen=True, slots=True)
class FiringRow:
    """One alert that would have been."""

    look: str
    shape: str
    severity: str
    host: str
    where: str
    start: str
    instant: str
    lasted: str
    peak: str


@dataclass(frozen=True, slots=True)
class Picture:
    """One series over the time that was judged: its line, the limit, and where it would fire."""

    title: str
    label: str
    stroke: str
    band: str
    limits: tuple[float, ...]
    fires: tuple[tuple[float, float], ...]
    """Where, as shares of the width: begin, and width."""
    top: str
    marks: tuple[charts.Mark, ...]


@dataclass(frozen=True, slots=True)
class BacktestView:
    """All of it."""

    name: str
    sentence: str
    conditions: tuple[str, ...]
    count: int
    without: int
    facts: tuple[tuple[str, str], ...]
    firings: tuple[FiringRow, ...]
    left_out: int
    pictures: tuple[Picture, ...]
    unjudged: tuple[tuple[str, str], ...]


def backtest_view(found: Backtest, now: float) -> BacktestView:
    """What came of it, in words and pictures."""
    asked = found.end - found.start
    history = duration(found.history_seconds) if found.history_seconds else "none"
    facts = [("History", f"{history} of the {duration(asked)} asked for")]
    if found.judged:
        facts.append(("Judged", found.judged))
    facts.append(("Series", f"{found.series} of {found.hosts} hosts"))
    latest = sorted(found.firings, key=lambda each: -each.start)[:MOST_FIRINGS]
    return BacktestView(
        found.rule.name,
        f"{found.rule.name} {found.summary}.",
        tuple(cut(words) for words in rule_words(found.rule)),
        found.count,
        found.without_hysteresis,
        tuple(facts),
        tuple(_row(each, now) for each in latest),
        max(0, found.count - len(latest)),
        tuple(_picture(each, found) for each in found.drawn[:MOST_DRAWN]),
        tuple((each.host, each.reason) for each in found.left_out[:MOST_LEFT_OUT]),
    )


def _row(firing: Firing, now: float) -> FiringRow:
    look, shape = LOOKS[firing.severity.value]
    lasted = duration((firing.end or now) - firing.start)
    return FiringRow(
        look,
        shape,
        firing.severity.value,
        firing.host,
        cut(" ".join(f"{value}" for _, value in firing.attributes)),
        instant_words(firing.start, now),
        iso(firing.start),
        lasted if firing.end is not None else f"{lasted}, and goes on",
        str(written(firing.peak, style_of(firing.key))),
    )


def limits_of(rule: Rule, metric: str) -> list[float]:
    """Every limit of a metric that is a line."""
    return [
        value
        for level in rule.levels
        for clause in level.clauses
        if clause.condition.metric == metric
        for value, _ in lines_of(clause.limit)
    ]


def _picture(drawn: Drawn, found: Backtest) -> Picture:
    style, width = style_of(drawn.key), found.end - found.start
    limits = limits_of(found.rule, drawn.key.partition("{")[0])
    average, maximum = charts.bounded(drawn.average), charts.bounded(drawn.maximum)
    highest = max(charts.highest([maximum]), *limits, 0.0)
    top = nice_top(highest, style)
    if style == "percent" and highest <= 1.0 < top:
        top = 1.0
    step = float(drawn.t[1] - drawn.t[0]) if len(drawn.t) > 1 else 1.0
    x = charts.WIDTH * (drawn.t + step / 2 - found.start) / width
    runs = charts.runs_of(drawn.t, average, step)

    def y(values: Floats) -> Floats:
        found: Floats = charts.HEIGHT * (1 - np.clip(np.nan_to_num(values) / top, 0, 1))
        return found

    fires = [each for each in found.firings if (each.host, each.key) == (drawn.host, drawn.key)]
    stretches = []
    for each in fires[:MOST_STRETCHES]:
        begin = max(0.0, (each.start - found.start) / width)
        long = max(LEAST_SHARE, ((each.end or found.end) - each.start) / width)
        stretches.append((begin, min(long, 1 - begin)))
    times = "once" if len(fires) == 1 else f"{len(fires)} times"
    most = written(charts.highest([maximum]), style)
    return Picture(
        f"{drawn.host}: {drawn.key}",
        f"{drawn.host}, {drawn.key}: would have fired {times}; at most {most}.",
        charts.stroke(x, y(average), runs),
        charts.area(x, y(maximum), y(average), runs),
        tuple(charts.HEIGHT * (1 - min(1.0, max(0.0, value / top))) for value in limits),
        tuple(stretches),
        charts.tick_text(top, style),
        tuple(
            charts.Mark((at - found.start) / width, words)
            for at, words in axis(found.start, found.end, MOST_MARKS)
        ),
    )
