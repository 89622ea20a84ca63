"""What a rule says of its alerts: a text with fixed ``{field}``s, and nothing that computes.

``{host}: {value} waiting`` is checked when it is read, so that filling it in cannot fail.  There
are no formats, no attributes of fields and no braces otherwise: `str.format` never sees the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from monitor.core.quantity import shown

FIELDS = ("host", "rule", "severity", "value", "limit", "metric", "for")
"""What every alert has.  Beside them stand attributes and labels, by name."""

LONGEST_SUMMARY_CHARACTERS = 500
LONGEST_DESCRIPTION_CHARACTERS = 4_000
LONGEST_FILLED_CHARACTERS = 8_192

_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")


def fields_of(text: str) -> tuple[str, ...]:
    """The fields that a text has, each once.

    Raises `ValueError` where a brace is anything but a field's.
    """
    rest = _FIELD.sub("", text)
    if "{" in rest or "}" in rest:
        at = min(found for sign in "{}" if (found := rest.find(sign)) >= 0)
        raise ValueError(
            f"expected fields such as {{host}} and no other braces, got {shown(rest[at : at + 24])}"
        )
    return tuple(dict.fromkeys(_FIELD.findall(text)))


def checked(text: str, known: Collection[str], longest: int) -> str:
    """A text as it is.  Raises `ValueError` where it is too long or has a field of no such name."""
    if len(text) > longest:
        raise ValueError(f"expected at most {longest:,} characters, got {len(text):,}")
    if not text.replace("\n", "").isprintable():
        raise ValueError(f"expected printable text, got {shown(text)}")
    for name in fields_of(text):
        if name not in known:
            names = ", ".join(dict.fromkeys((*FIELDS, *sorted(known))))
            raise ValueError(f"there is no field {{{name}}} here; there are {names}")
    return text


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its fields filled in; of a field without a value nothing is left.

    What is filled in is not looked at again.
    """
    return _FIELD.sub(lambda found: values.get(found[1], ""), text)[:LONGEST_FILLED_CHARACTERS]
