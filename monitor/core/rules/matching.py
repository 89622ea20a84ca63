"""Which series of a host a rule is about, and which of them go together.

A rule's conditions are joined within each host: a row is one series of the first condition and,
for each other condition, a series that agrees with it on the attributes that both have.  Where all
must hold, rows are those of the first condition, each with every match of the others; where any may
hold, rows are by the attributes that all conditions share.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from monitor.core.rules.model import Condition, Join, Rule
from monitor.core.selectors import Selector
from monitor.model import Schema, SeriesKey

Attributes: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

MOST_ROWS = 2_000
"""Rows of one rule on one host; a join of everything with everything is cut off."""

ABSENT = -1


@dataclass(frozen=True, slots=True)
class Match:
    """One row of a rule on a host: its attributes, and each condition's column and KEY.

    A condition without a series there has `ABSENT` and no KEY.
    """

    attributes: Attributes
    columns: tuple[int, ...]
    keys: tuple[str, ...]


def conditions_of(rule: Rule) -> tuple[Condition, ...]:
    """The different conditions of a rule's levels, the one whose value is told first."""
    return tuple(
        dict.fromkeys(clause.condition for level in rule.levels for clause in level.clauses)
    )


@dataclass(frozen=True, slots=True)
class Columns:
    """A host's columns: first those that are made here of what is known of it, then its own."""

    made: Schema
    own: Schema

    def of(self, metric: str) -> tuple[int, ...]:
        """The columns of a metric; of what is made here nobody else is heard."""
        made = self.made.columns_by_name.get(metric, ())
        first = len(self.made)
        return made or tuple(first + column for column in self.own.columns_by_name.get(metric, ()))

    def key(self, column: int) -> SeriesKey:
        """The key of a column."""
        first = len(self.made)
        return self.made.keys[column] if column < first else self.own.keys[column - first]

    def __len__(self) -> int:
        return len(self.made) + len(self.own)


def matches(rule: Rule, conditions: Sequence[Condition], columns: Columns) -> list[Match]:
    """The rows of a rule on a host with these columns."""
    found = [_series(condition, columns) for condition in conditions]
    if rule.levels[0].join is Join.ANY:
        return _beside(found, columns)
    rows: list[tuple[Attributes, tuple[int, ...]]] = [
        (attributes, (column,)) for attributes, _, column in found[0]
    ]
    joined = {name for attributes, _, _ in found[0] for name, _ in attributes} - _pinned(
        conditions[0]
    )
    for series in found[1:]:
        rows = _joined(rows, series, joined)
        joined |= {name for _, free, _ in series for name, _ in free}
    return [
        Match(attributes, row, tuple(_text(columns, column) for column in row))
        for attributes, row in rows
    ]


def _text(columns: Columns, column: int) -> str:
    return "" if column == ABSENT else str(columns.key(column))


_Series: TypeAlias = list[tuple[Attributes, Attributes, int]]
"""Attributes, those of them that are not pinned to one value, and the column."""


def _series(condition: Condition, columns: Columns) -> _Series:
    found = [(columns.key(column).attributes, column) for column in columns.of(condition.metric)]
    if condition.where is None:
        bare = [each for each in found if not each[0]]
        return [(attributes, attributes, column) for attributes, column in bare or found]
    pinned = _pinned(condition)
    return [
        (attributes, tuple(each for each in attributes if each[0] not in pinned), column)
        for attributes, column in found
        if condition.where.matches(dict(attributes))
    ]


def _pinned(condition: Condition) -> frozenset[str]:
    """The attributes that a condition gives one value each: they tell its series nothing apart."""
    where: Selector | None = condition.where
    if where is None:
        return frozenset()
    return frozenset(
        term.name
        for term in where.terms
        if not term.negated and len(term.values) == 1 and not term.globs
    )


def _joined(
    rows: list[tuple[Attributes, tuple[int, ...]]], series: _Series, joined: set[str]
) -> list[tuple[Attributes, tuple[int, ...]]]:
    """Each row with every series that agrees with it; alone where none does."""
    names = {name for _, free, _ in series for name, _ in free}
    shared = sorted(names & joined)
    by_shared: dict[Attributes, list[tuple[Attributes, int]]] = {}
    for _, free, column in series:
        values = dict(free)
        by_shared.setdefault(_picked(values, shared), []).append((free, column))
    found: list[tuple[Attributes, tuple[int, ...]]] = []
    for attributes, columns in rows:
        near = by_shared.get(_picked(dict(attributes), shared), [((), ABSENT)])
        for free, column in near:
            whole = attributes
            if free and any(name not in shared for name, _ in free):
                whole = tuple(sorted({**dict(free), **dict(attributes)}.items()))
            found.append((whole, (*columns, column)))
            if len(found) >= MOST_ROWS:
                return found
    return found


def _picked(values: Mapping[str, str], names: Sequence[str]) -> Attributes:
    return tuple((name, values.get(name, "")) for name in names)


def _beside(found: list[_Series], columns: Columns) -> list[Match]:
    """Rows by what all conditions that have series here share; each takes what it has of them.

    Where one has several series that agree on it, each of them is a row of its own.  Series that
    differ in what some of them share do not go together; one that goes with none stands alone.
    """
    shared: set[str] | None = None
    for series in found:
        if series:
            names = {name for _, free, _ in series for name, _ in free}
            shared = names if shared is None else shared & names
    order = sorted(shared or ())
    rows: dict[Attributes, list[list[tuple[Attributes, int]]]] = {}
    for number, series in enumerate(found):
        for _, free, column in series:
            beside = rows.setdefault(_picked(dict(free), order), [[] for _ in found])
            beside[number].append((free, column))
    made: list[Match] = []
    for beside in rows.values():
        alone = {
            (number, each): [((), ABSENT)] * number
            + [each]
            + [((), ABSENT)] * (len(found) - number - 1)
            for number, series in enumerate(beside)
            for each in series
        }
        together = itertools.product(*(each or [((), ABSENT)] for each in beside))
        for row in _agreeing(together):
            for each in enumerate(row):
                alone.pop(each, None)
            made.append(_match(row, columns))
            if len(made) >= MOST_ROWS:
                return made
        made += [_match(row, columns) for row in alone.values()]
    return made[:MOST_ROWS]


_Beside: TypeAlias = Sequence[tuple[Attributes, int]]
"""Of each condition its series' attributes and column."""


def _agreeing(together: Iterable[_Beside]) -> Iterator[_Beside]:
    """Those that have one value of each attribute."""
    for row in together:
        values: dict[str, str] = {}
        if all(values.setdefault(name, text) == text for free, _ in row for name, text in free):
            yield row


def _match(row: _Beside, columns: Columns) -> Match:
    attributes = {name: value for free, _ in row for name, value in free}
    picked = tuple(column for _, column in row)
    keys = tuple(_text(columns, column) for column in picked)
    return Match(tuple(sorted(attributes.items())), picked, keys)
