"""Prints the effective configuration: every key, its value, and who set it."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from monitor.config.files import printable
from monitor.config.sections import sections, written_keys
from monitor.config.settings import Settings, default_data_dir
from monitor.config.telling import told
from monitor.core import quantity, toml_text
from monitor.core.quantity import Quantity
from monitor.core.rules.ruleset import RuleSet
from monitor.core.secret import Secret
from monitor.core.selectors import Selector

MASK = '"***"'
"""What stands for a secret."""

_SECRET = re.compile(
    r"passw(or)?d|passphrase|token|secret|credential|url_file|(api|access|private|tls)_?key",
    re.IGNORECASE,
)
_FORMAT: dict[Quantity, typing.Callable[[Any], str]] = {
    Quantity.SECONDS: quantity.format_seconds,
    Quantity.BYTES: quantity.format_bytes,
    Quantity.RATIO: quantity.format_ratio,
}


def render(settings: Settings) -> str:
    """The settings as TOML, each key with a comment that says where it was set.

    Secrets are masked, and so is whatever is called like one.  What is masked or unset aside,
    the text loads as a configuration of the same meaning.
    """
    if settings.server.data_dir is None:
        server = replace(settings.server, data_dir=default_data_dir())
        settings = replace(settings, server=server)
    files = ", ".join(printable(str(path)) for path in settings.files) or "none, all defaults"
    lines = [f"# Files: {files}"]
    for name, section in sections(type(settings)).items():
        value = getattr(settings, name)
        if section.is_one:
            lines += ["", f"[{name}]", *_table(name, value, settings.origins)]
            continue
        for key, table in enumerate(value) if section.is_listed else value.items():
            header = f"[[{name}]]" if section.is_listed else f"[{name}.{toml_text.key(str(key))}]"
            lines += ["", header, *_table(f"{name}.{key}", table, settings.origins)]
    lines += _rules(settings.rules)
    lines += ["", *(f"# {line}" for line in told(settings))]
    return "\n".join(lines) + "\n"


def _rules(rules: RuleSet) -> Iterator[str]:
    """The rules: those of files in full, of those that hold as they were shipped their names."""
    shipped = [rule for rule in rules if rule.is_default]
    yield from [""] * bool(shipped)
    for rule in shipped:
        yield f"# [rules.{toml_text.key(rule.name)}]  # {rule.origin}, as shipped"
    for rule in (*rules, *rules.off.values()):
        if not rule.is_default:
            header, _, keys = rule.text.partition("\n")
            yield from ("", f"{header}  # {rule.origin}", *keys.splitlines())


def _table(path: str, table: Any, origins: Mapping[str, str]) -> Iterator[str]:
    """The lines of one table; `path` is what its keys' origins are kept under."""
    room: type = type(table)
    hints, keys = typing.get_type_hints(room, include_extras=True), written_keys(room)
    for field in fields(room):
        value = getattr(table, field.name)
        for key, text in _entries(keys[field.name], value, hints[field.name]):
            origin = origins.get(f"{path}.{key}", "default")
            if isinstance(value, Secret):
                # Which of its two keys says so does not matter: there is only one.
                by_file = origins.get(f"{path}.{key}_file", origin)
                origin = f"{value.source}, {by_file}"
            masked = MASK if _SECRET.search(key) and value is not None else text
            yield f"{_key(key, value)}{masked}  # {origin}"


def _entries(name: str, value: Any, hint: Any) -> Iterator[tuple[str, str]]:
    """The key and value to print; a table is one line a key, as each has its own origin."""
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            yield f"{name}.{key}", _written(value[key], None)
    else:
        marks = getattr(hint, "__metadata__", ())
        yield name, _written(value, next((m for m in marks if isinstance(m, Quantity)), None))


def _key(path: str, value: Any) -> str:
    if value is None:
        return f"# {path} is not set"
    return f"{path} = "


def _written(value: Any, measured: Quantity | None) -> str:
    if measured is not None and value is not None:
        return f'"{_FORMAT[measured](value)}"'
    match value:
        case None:
            return ""
        case Secret():
            return MASK
        case bool():
            return "true" if value else "false"
        case str() | Path():
            return toml_text.quoted(str(value))
        case tuple():
            return f"[{', '.join(_written(item, None) for item in value)}]"
        case Selector():
            return toml_text.quoted(value.text)
        case Mapping():
            return "{}"
        case _:
            return str(value)
