"""Tables of a host's page, as values: numbers kept live by KEY, and rows of snapshots.

A `LiveTable` has a row for each value of one attribute (a mountpoint, a device) and says, in
its blank row, how a new one looks, so that the page can add one that appears later.  A
`SnapshotTable` shows a snapshot's rows, sorted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.model import Cell, Row, Snapshot, key
from monitor.web.format import ABSENT, written
from monitor.web.views import Reader, Value, natural, shown, style_of

ANY = "*"
"""What stands for the attribute's value in the KEYs of a blank row."""

MOST_ROWS = 200
"""Rows of one table on one page."""

LONGEST_CELL = 300
"""Characters of one cell; a command line is cut at 256 bytes by whoever sends it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a `LiveTable`: a metric with fixed attributes, or a fact from a snapshot.

    `bar` draws a ratio as a bar too; `minor` columns go where the page is narrow.
    """

    label: str
    name: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    fact: str = ""
    bar: bool = False
    minor: bool = False

    def key_of(self, attribute: str, owner: str) -> str:
        """The KEY of this column in the row of `owner`."""
        return key(self.name, **dict(self.attributes), **{attribute: owner})


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One row: its name, and a value or a text for each column."""

    name: str
    cells: tuple[Value | str, ...]


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A table with a row for each value of `attribute`; `lead` is the metric that has a row."""

    id: str
    title: str
    owner: str
    attribute: str
    lead: str
    facts: str
    columns: tuple[Column, ...]
    rows: tuple[LiveRow, ...]
    blank: LiveRow


def live_table(
    reader: Reader,
    id: str,
    title: str,
    owner: str,
    attribute: str,
    lead: str,
    columns: Sequence[Column],
    facts: str = "",
) -> LiveTable | None:
    """The table of every value of `attribute` that `lead` has; none where there is none.

    `facts` names the snapshot whose rows, found by the same attribute, fill fact columns.
    Columns that no row has a series for are left out.
    """
    owners = reader.attributes(lead, attribute)[:MOST_ROWS]
    if not owners:
        return None
    known = facts_by(reader.host.snapshots.get(facts), attribute)
    kept = tuple(
        column
        for column in columns
        if (column.fact and any(column.fact in row for row in known.values()))
        or (column.name and any(reader.has(column.key_of(attribute, o)) for o in owners))
    )
    rows = tuple(
        LiveRow(name, tuple(_cell(reader, c, attribute, name, known) for c in kept))
        for name in owners
    )
    blank = LiveRow(
        "",
        tuple(
            "" if c.fact else shown(c.key_of(attribute, ANY), style_of(c.name), math.nan)
            for c in kept
        ),
    )
    return LiveTable(id, title, owner, attribute, lead, facts, kept, rows, blank)


def _cell(
    reader: Reader, column: Column, attribute: str, owner: str, known: Mapping[str, Row]
) -> Value | str:
    if column.fact:
        return words(known.get(owner, {}).get(column.fact))
    return reader.value(column.key_of(attribute, owner))


def facts_by(snapshot: Snapshot | None, column: str) -> dict[str, Row]:
    """A snapshot's rows by one of their columns."""
    if snapshot is None:
        return {}
    return {str(row.get(column, "")): row for row in snapshot.rows}


def words(cell: Cell) -> str:
    """A cell that is no quantity, as text of bounded length; nothing where it is absent."""
    if cell is None:
        return ""
    return str(cell)[:LONGEST_CELL]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a `SnapshotTable`: a style for numbers, none for text."""

    name: str
    label: str
    style: str = ""
    minor: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One row; `cells` are number and unit, or a text and nothing."""

    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SnapshotTable:
    """A snapshot's rows as shown, and how they are sorted.

    `sort` is a field's name and `descending` its direction; `most` bounds the rows, here and
    in the page.  `left_out` are the snapshot's rows beyond it.
    """

    kind: str
    title: str
    fields: tuple[Field, ...]
    rows: tuple[SnapshotRow, ...]
    sort: str
    descending: bool
    identity: str
    most: int
    left_out: int = 0
    sortable: bool = False

    def link(self, field: Field) -> str:
        """What ``?sort=`` of this column's heading says: the other way, where it is sorted."""
        usual = is_usually_descending(field)
        turned = field.name == self.sort and self.descending == usual
        return f"-{field.name}" if turned else field.name


def is_usually_descending(field: Field) -> bool:
    """Whether the largest come first: so with quantities, not with names and numbers of things."""
    return bool(field.style) and field.style != "identity"


def snapshot_table(
    snapshot: Snapshot | None, table: SnapshotTable, wanted: str = ""
) -> SnapshotTable | None:
    """The table filled from a snapshot; none where the host sends none or it has no rows.

    `wanted` is what the address asks for: a field's name, with a minus for the other
    direction than is usual for it.  What is no field's name is ignored.
    """
    if snapshot is None or not snapshot.rows:
        return None
    field, descending = _order(table, wanted)
    kept = tuple(
        f for f in table.fields if any(row.get(f.name) is not None for row in snapshot.rows)
    )
    rows = ordered(snapshot.rows, field, descending)[: table.most]
    return replace(
        table,
        fields=kept,
        rows=tuple(SnapshotRow(tuple(_written_cell(row, f) for f in kept)) for row in rows),
        sort=field.name,
        descending=descending,
        left_out=max(0, len(snapshot.rows) - table.most),
    )


def _order(table: SnapshotTable, wanted: str) -> tuple[Field, bool]:
    name = wanted.removeprefix("-")
    for field in table.fields:
        if field.name == name:
            return field, is_usually_descending(field) != wanted.startswith("-")
    return next(f for f in table.fields if f.name == table.sort), table.descending


def ordered(rows: Sequence[Row], field: Field, descending: bool) -> list[Row]:
    """Rows sorted by a field; those without a value are last either way, ties as they came."""

    def is_known(row: Row) -> bool:
        cell = row.get(field.name)
        if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
            return False
        return not field.style or isinstance(cell, int | float)

    known = [row for row in rows if is_known(row)]
    others = [row for row in rows if not is_known(row)]
    if field.style:
        known.sort(key=lambda row: float(row[field.name] or 0), reverse=descending)
    else:
        known.sort(key=lambda row: natural(str(row[field.name]).lower()), reverse=descending)
    return known + others


def _written_cell(row: Row, field: Field) -> tuple[str, str]:
    cell = row.get(field.name)
    if not field.style:
        return words(cell) or ABSENT, ""
    if field.style == "identity":
        return words(cell) or ABSENT, ""
    number = cell if isinstance(cell, int | float) else None
    return written(number, field.style)
