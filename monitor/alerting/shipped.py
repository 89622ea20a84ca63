"""The rules that are shipped: on from the first start, until a file changes or drops them."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from monitor.core.rules.reading import ROOT, Layer
from monitor.core.toml_lines import KeyPath, locate

FILE = "default_rules.toml"
"""Beside this module, in the package."""


def text() -> str:
    """What the file of the shipped rules says."""
    return resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")


@cache
def shipped() -> Layer:
    """The shipped rules, for others to be laid over; each is from ``defaults:LINE``."""
    written = text()
    places = locate(written).places

    def origin(path: KeyPath) -> str:
        for length in range(len(path), 0, -1):
            if path[:length] in places:
                return f"defaults:{places[path[:length]].line}"
        return "defaults"

    return Layer(tomllib.loads(written)[ROOT], origin, is_default=True)
