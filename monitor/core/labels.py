"""What an operator may call a host's labels, and how many there may be.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from monitor.core.quantity import shown

MOST_LABELS = 32
"""How many labels a host may carry."""

LABEL_CHARACTERS = 256
"""The longest value of a label, and the longest name of one."""

_LABEL_NAME = re.compile(rf"[a-zA-Z_][a-zA-Z0-9_]{{0,{LABEL_CHARACTERS - 1}}}\Z")


def label_name(value: str) -> str:
    """A label's name as it is.  Raises `ValueError` where it is none."""
    if _LABEL_NAME.match(value) is None:
        raise ValueError(
            "expected a label's name of letters, digits and underscores that begins with no"
            f" digit, got {shown(value)}"
        )
    return value


def label_value(value: str) -> str:
    """A label's value as it is.  Raises `ValueError` where it is too long or unprintable."""
    if len(value) > LABEL_CHARACTERS:
        raise ValueError(f"expected at most {LABEL_CHARACTERS} characters, got {len(value)}")
    if not value.isprintable():
        raise ValueError(f"expected printable text, got {shown(value)}")
    return value


def few_labels(value: Mapping[str, str]) -> Mapping[str, str]:
    """Labels as they are.  Raises `ValueError` where they are too many."""
    if len(value) > MOST_LABELS:
        raise ValueError(f"expected at most {MOST_LABELS} labels, got {len(value)}")
    return value
