"""Numbers and names out of kernel files, whose contents are hostile until they have been read.

Names come from whoever mounted the filesystem or named the interface; numbers come from a
driver or from a container's imitation of /proc.  What is no number raises `ValueError`, and
what may not stand in a label does not get there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LABEL_CHARACTERS = 255
"""The longest name that becomes an attribute's value; a longer one ends with an ellipsis."""

NUMBER_BYTES = 48
"""How much of a line may hold its first number: 20 digits and the padding of /proc/meminfo."""

_UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters (a newline is escaped in a KEY) and what turns the direction of text."""


def label(raw: bytes) -> str:
    """A name as an attribute may carry it: valid text, no control characters, bounded."""
    text = _UNSAFE.sub("\ufffd", raw[: LABEL_CHARACTERS * 4 + 4].decode(errors="replace"))
    if len(text) > LABEL_CHARACTERS:
        return text[: LABEL_CHARACTERS - 1] + "…"
    return text


def counts(tokens: Iterable[bytes]) -> list[float]:
    """These whole numbers.  Raises `ValueError` where one is none or is beyond a float64."""
    try:
        return list(map(float, map(int, tokens)))
    except OverflowError:
        raise ValueError("a number is too large to be one of the kernel's") from None


def count(token: bytes) -> float:
    """This whole number, as `counts`."""
    return counts((token,))[0]


def by_name(content: bytes, prefixes: Iterable[bytes]) -> list[float | None]:
    """The first whole number on the line that begins with each prefix; none where none does.

    A prefix ends with what parts a name from its number: ``b"MemTotal:"``, ``b"pgpgin "``.
    Only these lines are taken apart, however long the others are.
    """
    lines = b"\n" + content + b"\n"
    found: list[float | None] = []
    for prefix in prefixes:
        at = lines.find(b"\n" + prefix)
        if at < 0:
            found.append(None)
            continue
        start = at + 1 + len(prefix)
        end = min(lines.find(b"\n", start), start + NUMBER_BYTES)
        # So few digits never pass a float64; of nothing at all int() makes a ValueError.
        found.append(float(int((lines[start:end].split(None, 1) or (b"",))[0])))
    return found
