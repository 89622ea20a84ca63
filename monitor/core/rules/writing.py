"""Writes an effective rule as the TOML that would say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from monitor.core import toml_text
from monitor.core.rules.clauses import LEVEL_KEYS
from monitor.core.rules.merging import LEVELS, OVERRIDES


def as_toml(name: str, table: Mapping[str, Any], keys: Iterable[str]) -> str:
    """A rule's table, those of `keys` that it has, in their order; overrides are tables below."""
    lines = [f"[rules.{toml_text.key(name)}]"]
    order = list(keys)
    lines += _lines(table, [key for key in order if key != OVERRIDES])
    for each in table.get(OVERRIDES, ()) if OVERRIDES in order else ():
        lines += ["", f"[[rules.{toml_text.key(name)}.{OVERRIDES}]]"]
        lines += _lines(each, ["hosts", *(key for key in order if key != "hosts")])
    return "\n".join(lines) + "\n"


def _lines(table: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    return [
        f"{key} = {toml_text.value(_arranged(key, table[key]))}" for key in keys if key in table
    ]


def _arranged(key: str, value: Any) -> Any:
    """A limit's table with its keys in their order, whichever file each came from."""
    if key not in LEVELS or not isinstance(value, Mapping):
        return value
    return {each: value[each] for each in LEVEL_KEYS if each in value}
