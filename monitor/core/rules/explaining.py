"""Conditions and limits in words, for lists of rules: ``system.cpu.utilization > 90% for 5m``.

Short, in the spelling of files and not in sentences; values as `monitor.core.rules.values` writes
them.
"""

from __future__ import annotations

from monitor.core.quantity import format_seconds
from monitor.core.rules.merging import limit_measure
from monitor.core.rules.model import (
    Above,
    AbsentFor,
    Below,
    Changed,
    Clause,
    Condition,
    DiffersFromPeers,
    Equals,
    FillsWithin,
    Join,
    Level,
    Limit,
    Outside,
    RateAbove,
    Reduce,
    Rule,
)


def rule_words(rule: Rule) -> list[str]:
    """One line a severity, the mildest first."""
    return [f"{level.severity}: {level_words(level)}" for level in rule.levels]


def level_words(level: Level) -> str:
    """All clauses, and how long they must have held."""
    joint = " and " if level.join is Join.ALL else " or "
    text = joint.join(clause_words(clause) for clause in level.clauses)
    return f"{text} for {format_seconds(level.for_seconds)}" if level.for_seconds else text


def clause_words(clause: Clause) -> str:
    """What is looked at, and the limit."""
    return f"{condition_words(clause.condition)} {limit_words(clause.limit, clause.condition)}"


def condition_words(condition: Condition) -> str:
    """The metric, which of its series, and what of a window."""
    text = condition.metric
    if condition.where is not None:
        text += f"{{{condition.where.text}}}"
    if condition.reduce is not Reduce.LAST:
        text = f"{condition.reduce} of {text}"
    if condition.over_seconds:
        text += f" over {format_seconds(condition.over_seconds)}"
    return text


def told_limit(level: Level) -> str:
    """What an alert says of its level's limit: the first clause's, and what of a window counts."""
    clause = level.clauses[0]
    words = limit_words(clause.limit, clause.condition)
    condition = clause.condition
    if condition.reduce is Reduce.LAST or not condition.over_seconds:
        return words
    return f"{condition.reduce} over {format_seconds(condition.over_seconds)} {words}"


def limit_words(limit: Limit, condition: Condition) -> str:
    """A limit, and its way back where that is another."""

    def written(value: float, kind: str) -> str:
        return str(limit_measure(kind, condition.metric).written(value))

    match limit:
        case Above(value, clear):
            back = f", until < {written(clear, 'above')}" if clear != value else ""
            return f"> {written(value, 'above')}{back}"
        case Below(value, clear):
            back = f", until > {written(clear, 'below')}" if clear != value else ""
            return f"< {written(value, 'below')}{back}"
        case Outside(low, high, _, _):
            return f"outside {written(low, 'outside')} to {written(high, 'outside')}"
        case Equals(value):
            return f"= {written(value, 'equals')}"
        case AbsentFor(seconds):
            return f"absent for {format_seconds(seconds)}"
        case Changed():
            return "changed"
        case RateAbove(value, clear):
            back = f", until < {written(clear, 'rate_above')}" if clear != value else ""
            return f"grows by > {written(value, 'rate_above')}{back}"
        case FillsWithin(seconds, _):
            return f"full within {format_seconds(seconds)}"
        case DiffersFromPeers(deviations, _):
            return f"{deviations:g} deviations from peers of its {condition.peers}"
