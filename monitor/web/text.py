"""The pages as plain text, for curl: aligned columns, at most 100 characters wide.

Made from the same view-models as the pages.  Whatever a host sent is escaped here, so that no
name can move a terminal's cursor or pass for a line of ours.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

from monitor.web.fleetview import Fleet
from monitor.web.hostview import HostPage, Named, Tile
from monitor.web.sources import Source
from monitor.web.tables import LiveTable, SnapshotTable
from monitor.web.views import Value

MOST_COLUMNS = 100
"""Characters in a line."""

LONGEST_NAME = 32
"""Characters of a name in a column; a longer one ends in an ellipsis."""

MOST_PROCESSES = 15

MOST_SAID = 10
"""Lines of what is odd about the fleet."""


def escaped(text: str, most: int = LONGEST_NAME) -> str:
    """Text from outside on one line: control, format and unknown characters escaped.

    Never longer than `most` characters.
    """
    parts = []
    for character in text[: most + 1]:
        plain = character == " " or unicodedata.category(character)[0] not in "CZ"
        parts.append(character if plain else character.encode("unicode_escape").decode("ascii"))
    found = "".join(parts)
    return found if len(found) <= most else found[: most - 1] + "…"


def fleet_text(fleet: Fleet) -> str:
    """The fleet page: a line a host."""
    said = [_wrapped(each.text) for each in fleet.refused[:MOST_SAID]]
    if fleet.is_empty:
        return "\n".join(["No hosts yet.", *said]) + "\n"
    heads = ["HOST", "STATUS", *(column.short for column in fleet.columns)]
    rows = [
        [
            escaped(row.name, 22),
            row.status.word,
            *(_cell(value, short=True) for value in row.values),
        ]
        for row in fleet.rows
    ]
    skewed = [row for row in fleet.rows if row.skew]
    said += [f"! {escaped(row.name)}: {row.skew}" for row in skewed[:MOST_SAID]]
    parts = [_counts(fleet)]
    if said:
        parts.append("\n".join(said))
    if rows:
        parts.append(table(heads, rows, left=2).rstrip("\n"))
    return "\n\n".join(parts) + "\n"


def _wrapped(text: str) -> str:
    """Something odd, in at most three lines."""
    plain = escaped(text, 3 * (MOST_COLUMNS - 8))
    lines = textwrap.wrap(plain, MOST_COLUMNS - 2, initial_indent="! ", subsequent_indent="  ")
    return "\n".join(lines)


def _counts(fleet: Fleet) -> str:
    named = [f"{count} {word}" for word, count in fleet.counts.items() if count]
    total = sum(fleet.counts.values())
    hosts = "1 host" if total == 1 else f"{total} hosts"
    return f"{hosts}: {', '.join(named)}"


def host_text(page: HostPage) -> str:
    """One host's page."""
    name = escaped(page.name, 60)
    parts = [f"{name}  {page.status.word}, last heard {page.seen} ago"]
    facts = [("Uptime", page.uptime.text), *page.facts, *page.labels]
    parts.append("\n".join(f"{escaped(name)}: {escaped(words, 64)}" for name, words in facts))
    if page.sender.sources:
        parts.append("\n".join(_source(each) for each in page.sender.sources))
    if page.notices:
        parts.append("\n".join(f"! {escaped(words, 90)}" for _, words in page.notices))
    parts.append(
        table(["", "", ""], [_tile(tile) for tile in page.tiles], right={1}, heads_shown=False)
    )
    if page.pressure:
        parts.append(_named("PRESSURE", ("10 s", "1 min", "5 min"), page.pressure))
    parts += [_live(t) for t in (page.filesystems, page.disks, page.interfaces) if t]
    if page.processes:
        parts.append(_rows(page.processes, MOST_PROCESSES))
    if page.units:
        parts.append(_rows(page.units, MOST_PROCESSES))
    if page.sensors:
        parts.append(_named("SENSORS", ("now", "high", "critical"), page.sensors))
    if page.notes:
        notes = [f"{escaped(k)}: {escaped(text, 64)}" for k, text in page.notes.items()]
        parts.append("NOTES\n" + "\n".join(notes))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _source(source: Source) -> str:
    every = f", {source.every}" if source.every else ""
    lag = f", {source.lag} late" if source.lag else ""
    return f"Sent by {escaped(source.words, 48)}{every}, last {source.heard}{lag}"


def _tile(tile: Tile) -> list[str]:
    others = [f"{label} {_cell(value)}" for label, value in tile.others]
    note = [f"on {escaped(tile.note)}"] if tile.note else []
    return [tile.label, _cell(tile.value), ", ".join(others + note)]


def _named(title: str, heads: Sequence[str], rows: Sequence[Named]) -> str:
    lines = [
        [escaped(row.name), *("" if value is None else _cell(value) for value in row.values)]
        for row in rows
    ]
    return table([title, *heads], lines, left=1)


def _live(shown: LiveTable) -> str:
    """A table with those columns that matter most; the page has all of them."""
    kept = [i for i, column in enumerate(shown.columns) if not column.minor]
    heads = [shown.title.upper(), *(shown.columns[i].label for i in kept)]
    rows = [
        [
            escaped(row.name, 28),
            *(
                _cell(cell) if isinstance(cell, Value) else escaped(cell, 12)
                for cell in (row.cells[i] for i in kept)
            ),
        ]
        for row in shown.rows
    ]
    return table(heads, rows, left=1)


def _rows(shown: SnapshotTable, most: int) -> str:
    fields = shown.fields
    heads = [field.label for field in fields]
    rows = [
        [
            escaped(f"{number} {unit}" if unit else number, 40 if field.wide else 24)
            for (number, unit), field in zip(row.cells, fields, strict=True)
        ]
        for row in shown.rows[:most]
    ]
    numeric = {i for i, field in enumerate(fields) if field.style}
    return shown.title.upper() + "\n" + table(heads, rows, right=numeric)


def _cell(value: Value, short: bool = False) -> str:
    """A value with its age where it is late."""
    text = value.text.replace(" %", "%") if short else value.text
    return f"{text} ({value.late} ago)" if value.late else text


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 0,
    right: set[int] | None = None,
    heads_shown: bool = True,
) -> str:
    """Aligned columns: the first `left` of them to the left, others to the right.

    With `right` exactly those columns go to the right.  Lines are cut at 100 characters.
    """
    lines = [heads, *rows] if heads_shown else list(rows)
    widths = [max(len(line[i]) for line in lines) if lines else 0 for i in range(len(heads))]
    out = []
    for line in lines:
        cells = []
        for i, cell in enumerate(line):
            to_right = i in right if right is not None else i >= left
            cells.append(cell.rjust(widths[i]) if to_right else cell.ljust(widths[i]))
        joined = "  ".join(cells).rstrip()
        out.append(joined if len(joined) <= MOST_COLUMNS else joined[: MOST_COLUMNS - 1] + "…")
    return "\n".join(out) + "\n"
