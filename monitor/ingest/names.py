"""What others may call things: hosts, metrics, attributes, labels, identities.

Every function takes somebody's word and the field that it stood in, gives it back when it is
one, and raises `InputError` with a stable code when it is not.
"""

from __future__ import annotations

import re
from typing import Any

from monitor.errors import InputError, excerpt
from monitor.model import SeriesKey

LONGEST_HOST_CHARACTERS = 253
LONGEST_NAME_CHARACTERS = 255
"""Of a metric, an attribute or a label."""

LONGEST_KEY_CHARACTERS = 4_096
"""A whole KEY, before it is looked at."""

MOST_ATTRIBUTES = 32
LONGEST_ATTRIBUTE_CHARACTERS = 1_024
"""The value of an attribute: a mount point, an image's digest."""

MOST_LABELS = 32
LONGEST_LABEL_CHARACTERS = 256
"""The value of a label; the same as for labels in the configuration."""

LONGEST_IDENTITY_CHARACTERS = 128
"""`agent` and `boot_id`: opaque, so only their length and their printability are judged."""

_HOST = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_HOST_CHARACTERS}}}", re.ASCII)
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_.:/-]*", re.ASCII)
RESERVED_LABELS = frozenset({"host", "rule", "severity"})
"""Names that selectors have for themselves."""

_LABEL = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST_NAME_CHARACTERS - 1}}}", re.ASCII)


def text(value: Any, field: str) -> str:
    """A string, whatever stands in it."""
    if not isinstance(value, str):
        raise InputError(f"{field} is text, not {_kind(value)}", code="bad_type", field=field)
    return value


def host(value: Any, field: str = "host") -> str:
    """A host's name: ``[A-Za-z0-9._-]{1,253}``, and not dots alone."""
    name = text(value, field)
    if _HOST.fullmatch(name) is None or not name.strip("."):
        detail = (
            f"a host's name has 1 to {LONGEST_HOST_CHARACTERS} letters, digits, dots, dashes or"
            f" underscores; got {excerpt(name)}"
        )
        raise InputError(detail, code="bad_host_name", field=field, limit=LONGEST_HOST_CHARACTERS)
    return name


def identity(value: Any, field: str) -> str:
    """An opaque identity: 1 to 128 printable characters."""
    found = text(value, field)
    if not (1 <= len(found) <= LONGEST_IDENTITY_CHARACTERS and found.isprintable()):
        detail = f"{field} has 1 to {LONGEST_IDENTITY_CHARACTERS} printable characters"
        limit = LONGEST_IDENTITY_CHARACTERS
        raise InputError(detail, code="limit_name", field=field, limit=limit)
    return found


def key(value: Any, field: str) -> SeriesKey:
    """A KEY in its one spelling: attributes sorted, escaped, and no empty braces."""
    written = text(value, field)
    if len(written) > LONGEST_KEY_CHARACTERS:
        detail = f"a KEY has at most {LONGEST_KEY_CHARACTERS} characters, this one {len(written)}"
        raise InputError(detail, code="limit_name", field=field, limit=LONGEST_KEY_CHARACTERS)
    try:
        found = SeriesKey.parse(written)
    except ValueError as error:
        detail = f"{excerpt(written)} is no KEY: {error}"
        raise InputError(detail, code="bad_key", field=field) from None
    _require_name(found.name, "a metric's name", field)
    if len(found.attributes) > MOST_ATTRIBUTES:
        detail = f"a KEY has at most {MOST_ATTRIBUTES} attributes"
        raise InputError(detail, code="limit_labels", field=field, limit=MOST_ATTRIBUTES)
    for name, held in found.attributes:
        _require_name(name, "an attribute's name", field)
        if not 1 <= len(held) <= LONGEST_ATTRIBUTE_CHARACTERS:
            detail = f"an attribute's value has 1 to {LONGEST_ATTRIBUTE_CHARACTERS} characters"
            limit = LONGEST_ATTRIBUTE_CHARACTERS
            raise InputError(detail, code="limit_labels", field=field, limit=limit)
    if str(found) != written:
        detail = f"the KEY {excerpt(written)} is written {excerpt(str(found))}"
        raise InputError(detail, code="bad_key", field=field)
    return found


def _require_name(name: str, what: str, field: str) -> None:
    if len(name) > LONGEST_NAME_CHARACTERS:
        detail = f"{what} has at most {LONGEST_NAME_CHARACTERS} characters"
        raise InputError(detail, code="limit_name", field=field, limit=LONGEST_NAME_CHARACTERS)
    if _NAME.fullmatch(name) is None:
        detail = (
            f"{what} begins with a letter and has letters, digits and . _ : / - only;"
            f" got {excerpt(name)}"
        )
        raise InputError(detail, code="bad_key", field=field)


def labels(value: Any, field: str = "labels") -> dict[str, str]:
    """A host's labels: few, short and printable."""
    if not isinstance(value, dict):
        detail = f"{field} is an object of text by name"
        raise InputError(detail, code="bad_type", field=field)
    if len(value) > MOST_LABELS:
        detail = f"a host has at most {MOST_LABELS} labels, these are {len(value)}"
        raise InputError(detail, code="limit_labels", field=field, limit=MOST_LABELS)
    for name, held in value.items():
        where = f"{field}.{excerpt(name)}"
        if _LABEL.fullmatch(name) is None:
            detail = "a label's name has letters, digits and underscores, and no digit first"
            limit = LONGEST_NAME_CHARACTERS
            raise InputError(detail, code="limit_labels", field=where, limit=limit)
        if name in RESERVED_LABELS:
            detail = f"the label {name} is reserved: selectors mean something else by it"
            raise InputError(detail, code="reserved_label", field=where)
        if len(text(held, where)) > LONGEST_LABEL_CHARACTERS or not held.isprintable():
            detail = f"a label has at most {LONGEST_LABEL_CHARACTERS} printable characters"
            limit = LONGEST_LABEL_CHARACTERS
            raise InputError(detail, code="limit_labels", field=where, limit=limit)
    return value


def _kind(value: Any) -> str:
    """What JSON calls the kind of thing that a value is."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case dict():
            return "an object"
        case _:
            return "a list"
