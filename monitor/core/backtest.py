"""Backtests: what a rule would have done over history, by the evaluator that judges it live.

History is laid on a board one bucket after the other, as if each had just been observed, and
`monitor.core.rules.judging` steps over it with the bucket's width as its tick.  Here is no second
evaluator, only a clock that runs faster.  It knows arrays; where they come from is for its caller.

A bucket has a minimum, an average and a maximum, and one of them is judged (`statistics`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.core.alerts import GONE_SECONDS
from monitor.core.board import Board
from monitor.core.rules.judging import RuleJudge, Transition
from monitor.core.rules.matching import Attributes, Columns
from monitor.core.rules.model import (
    Above,
    Below,
    Clause,
    DiffersFromPeers,
    FillsWithin,
    Level,
    Limit,
    Outside,
    RateAbove,
    Reduce,
    Rule,
    Severity,
)
from monitor.core.series import Floats, unrounded
from monitor.model import Schema

STEPS_AT_ONCE = 512
"""Steps after which it is asked whether anybody still waits: about 50 ms."""


class Statistic(enum.StrEnum):
    """What of a bucket is judged."""

    MINIMUM = "minimum"
    AVERAGE = "average"
    MAXIMUM = "maximum"

    def of(self, minimum: Floats, average: Floats, maximum: Floats) -> Floats:
        """That one of the three."""
        match self:
            case Statistic.MINIMUM:
                return minimum
            case Statistic.MAXIMUM:
                return maximum
            case _:
                return unrounded(minimum, average, maximum)


@dataclass(frozen=True)
class History:
    """One host's series over time: `values` has a row a bucket and a column a KEY, NaN for gaps."""

    host: str
    labels: Mapping[str, str]
    schema: Schema
    values: Floats


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert that would have been: instants in unix seconds, no `end` where it goes on.

    `severity` is the worst that it reached, `peak` its worst value, NaN where not known; `key` is
    the KEY whose value is told.
    """

    host: str
    attributes: Attributes
    key: str
    severity: Severity
    start: float
    end: float | None
    peak: float


class Stopped(Exception):
    """Nobody waits for the answer any more, or it took too long."""


def statistics(rule: Rule) -> dict[str, Statistic]:
    """What of the buckets of each metric is judged.

    The maximum where a maximum is asked for, or where being above a limit for an instant is
    enough; the minimum likewise; else the average, which is what `for` is about.  A metric that
    is asked about in several ways is judged by its average.
    """
    asked: dict[str, set[Statistic]] = {}
    for each in (rule, *(override.rule for override in rule.overrides)):
        for level in each.levels:
            for clause in level.clauses:
                found = asked.setdefault(clause.condition.metric, set())
                found.add(_statistic(clause, level))
    return {
        metric: next(iter(found)) if len(found) == 1 else Statistic.AVERAGE
        for metric, found in asked.items()
    }


def _statistic(clause: Clause, level: Level) -> Statistic:
    match clause.condition.reduce, clause.limit:
        case Reduce.MAX, _:
            return Statistic.MAXIMUM
        case Reduce.MIN, _:
            return Statistic.MINIMUM
        case Reduce.LAST, Above() if not level.for_seconds:
            return Statistic.MAXIMUM
        case Reduce.LAST, Below() if not level.for_seconds:
            return Statistic.MINIMUM
        case _:
            return Statistic.AVERAGE


def without_hysteresis(rule: Rule) -> Rule:
    """The same rule, each of its limits being its own way back."""
    return replace(
        rule,
        levels=tuple(
            replace(
                level,
                clauses=tuple(replace(each, limit=_plain(each.limit)) for each in level.clauses),
            )
            for level in rule.levels
        ),
        overrides=tuple(
            replace(override, rule=without_hysteresis(override.rule)) for override in rule.overrides
        ),
    )


def _plain(limit: Limit) -> Limit:
    match limit:
        case Above(value) | Below(value) | RateAbove(value):
            return replace(limit, clear=value)
        case Outside(low, high):
            return replace(limit, clear_low=low, clear_high=high)
        case FillsWithin(seconds):
            return replace(limit, clear_seconds=seconds)
        case DiffersFromPeers(deviations):
            return replace(limit, clear=deviations)
        case _:
            return limit


def compares_peers(rule: Rule) -> bool:
    """Whether hosts of this rule are judged by one another, and so only together."""
    return any(
        isinstance(clause.limit, DiffersFromPeers)
        for each in (rule, *(override.rule for override in rule.overrides))
        for level in each.levels
        for clause in level.clauses
    )


def backtest(
    rule: Rule,
    histories: Sequence[History],
    start: float,
    step: float,
    is_stopped: Callable[[], bool] = lambda: False,
) -> list[Firing]:
    """The alerts that would have been, by start.

    Bucket n of every history is [start + n × step, start + (n + 1) × step) and is judged at its
    end.  Raises `Stopped` once `is_stopped` says so, which is asked now and then.
    """
    return _firings(stepped(rule, histories, start, step, is_stopped))


def stepped(
    rule: Rule,
    histories: Sequence[History],
    start: float,
    step: float,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[float, Transition]]:
    """Every transition, with its instant: see `backtest`.  All histories are equally long."""
    board, judge = Board(), RuleJudge(rule, step)
    cells: list[np.ndarray[tuple[int, ...], np.dtype[np.intp]]] = []
    for history in histories:
        place = board.place(history.host, len(history.schema))
        cells.append(np.arange(place.start, place.start + place.size))
    for history in histories:
        if (place_ := board.find(history.host)) is not None:
            columns = Columns(Schema(()), history.schema)
            judge.place(history.host, history.labels, columns, place_)
    if not judge.series:
        return
    where = np.concatenate(cells)
    for first in range(0, max(len(history.values) for history in histories), STEPS_AT_ONCE):
        if is_stopped():
            raise Stopped
        few = slice(first, first + STEPS_AT_ONCE)
        block = np.concatenate([history.values[few] for history in histories], axis=1)
        for number, row in enumerate(block, first):
            now = start + (number + 1) * step
            board.set(where, row)
            for transition in judge.judge(board, now, step if number else 0.0):
                yield now, transition


def _firings(transitions: Iterator[tuple[float, Transition]]) -> list[Firing]:
    found: list[Firing] = []
    open_: dict[tuple[str, Attributes], int] = {}
    for now, said in transitions:
        row = said.row.host, said.row.attributes
        number = open_.get(row)
        if number is None:
            if said.severity is None:
                continue
            open_[row] = number = len(found)
            found.append(Firing(*row, said.row.key, said.severity, now, None, said.peak))
        firing = found[number]
        worst = max(firing.severity, said.severity or firing.severity, key=lambda one: one.rank)
        is_over = said.severity is None
        peak = firing.peak if np.isnan(said.peak) else said.peak
        found[number] = replace(firing, severity=worst, peak=peak, end=now if is_over else None)
        if is_over:
            del open_[row]
    return found


def closed(
    firings: Sequence[Firing],
    gone: Mapping[str, Collection[str]],
    last: Callable[[str, str], float],
) -> list[Firing]:
    """The same, where what goes on and is of a series that is no more ends a while after it.

    `gone` are such KEYs by host; `last` is when one was last observed.
    """
    return [
        replace(each, end=max(each.start, last(each.host, each.key)) + GONE_SECONDS)
        if each.end is None and each.key in gone.get(each.host, ())
        else each
        for each in firings
    ]
