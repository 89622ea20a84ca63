"""What tables by name may be called, and how many tables there may be.  Pure.

``[scrape.NAME]`` and ``[remote_write.NAME]`` are named by the operator: the name stands in logs,
on pages and as a folder.  ``[hosts."glob"]`` names hosts, one or many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from monitor.core.access import is_glob
from monitor.core.quantity import shown

MOST_TABLES = 256
"""How many tables of one kind; each is work at every frame or every scrape."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

Table = TypeVar("Table")


def table_name(value: str) -> str:
    """A table's name as it is.  Raises `ValueError` where it is none."""
    if _NAME.match(value) is None:
        raise ValueError(
            f"expected a name of 1 to 64 letters, digits, underscores or dashes, got {shown(value)}"
        )
    return value


def host_glob(value: str) -> str:
    """A glob over names of hosts, as it is.  Raises `ValueError` where it is none."""
    if not is_glob(value):
        raise ValueError(f'expected a host\'s name or a glob such as "web-*", got {shown(value)}')
    return value


def few_tables(value: Mapping[str, Table]) -> Mapping[str, Table]:
    """The tables as they are.  Raises `ValueError` where they are too many."""
    if len(value) > MOST_TABLES:
        raise ValueError(f"expected at most {MOST_TABLES} tables, got {len(value)}")
    return value


def listed(most: int) -> Callable[[tuple[Table, ...]], tuple[Table, ...]]:
    """What gives a list of tables as it is, and raises `ValueError` where they are too many."""

    def few(value: tuple[Table, ...]) -> tuple[Table, ...]:
        if len(value) > most:
            raise ValueError(f"expected at most {most} tables, got {len(value)}")
        return value

    return few
