"""Writes values as TOML: what a file would say, on one line.  Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_UNSAFE = re.compile('["\\\\\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')


def quoted(text: str) -> str:
    """A TOML basic string on one line, nothing in it that a terminal would obey."""

    def escape(found: re.Match[str]) -> str:
        character = found[0]
        return f"\\{character}" if character in '"\\' else f"\\u{ord(character):04x}"

    return f'"{_UNSAFE.sub(escape, text)}"'


def key(name: str) -> str:
    """A key as TOML writes it: bare where it can be."""
    return name if _BARE.match(name) else quoted(name)


def value(given: object) -> str:
    """A text, number, truth value, list or table, as TOML writes it on one line.

    Raises `ValueError` for what no configuration of ours holds.
    """
    match given:
        case bool():
            return "true" if given else "false"
        case str():
            return quoted(given)
        case int():
            return str(given)
        case float() if math.isfinite(given):
            return repr(given)
        case list() | tuple():
            return f"[{', '.join(value(item) for item in given)}]"
        case Mapping():
            if not given:
                return "{}"
            return (
                f"{{ {', '.join(f'{key(name)} = {value(item)}' for name, item in given.items())} }}"
            )
        case _:
            raise ValueError(f"no value of a configuration: {type(given).__name__}")
