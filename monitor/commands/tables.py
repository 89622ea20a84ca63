"""Lists on a terminal: columns under their headings, and instants as people read them.

It knows texts and widths, and nothing of what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import click

NOTHING = "-"
"""What stands where there is nothing."""


def show(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; the last column is as wide as it is.

    What a terminal would obey is shown as it is written in a program.
    """
    lines = [headings, *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(headings) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        click.echo("  ".join([*cells, line[-1]]).rstrip())


def show_json(rows: Iterable[Mapping[str, object]]) -> None:
    """Print a list for scripts; instants are unix seconds."""
    click.echo(json.dumps(list(rows), indent=2))


def instant(at: float | None) -> str:
    """An instant of unix seconds, in UTC, to the second."""
    if at is None:
        return NOTHING
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return NOTHING


def _plain(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def listed(values: Sequence[str]) -> str:
    """Values in one cell."""
    return ",".join(values) or NOTHING
