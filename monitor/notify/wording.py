"""Words of messages: values, lengths of time, and strangers' text made harmless.  Pure.

A message is read on a lock screen, in a mail and in a chat, so what strangers wrote (labels, names
of processes, summaries with values in them) may neither end a line nor do anything there: mention
everybody, make a link, turn the text around.  It knows no alert.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping

from monitor.core.catalog import CATALOG
from monitor.model import SeriesKey

ELLIPSIS = "…"

BREAK = "\u200b"
"""A space of no width: where it stands, no chat sees a mention or a link any more."""

OPENING = "\u2039"
"""Looks like an opening bracket, and is none."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
SECONDS_MATTER_BELOW = 600
_LENGTHS = ((31_536_000, "y"), (86_400, "d"), (3_600, "h"), (60, "min"))

_MARKS = re.compile(
    r"@(?=\w)"  # @everyone, @here, @somebody
    r"|<(?=[!@#/:a-zA-Z])"  # <!channel>, <@U123>, <https://example.com|text>, <b>
    r"|\](?=\()"  # [text](https://example.com)
    r"|:(?=//)"  # what any chat or mail program makes a link of
)


def harmless(text: str, most: int) -> str:
    """One line of somebody's text, at most so many characters, that does nothing where it is read.

    Controls, marks of direction and separators become spaces or go; mentions and links are broken.
    """
    kept = []
    for letter in text[: 4 * most]:
        category = unicodedata.category(letter)
        if category in ("Cc", "Zl", "Zp", "Zs"):
            kept.append(" ")
        elif category[0] != "C":
            kept.append(letter)
    line = " ".join("".join(kept).split())
    return cut(_MARKS.sub(_broken, line), most)


def _broken(found: re.Match[str]) -> str:
    return OPENING if found[0] == "<" else f"{found[0]}{BREAK}"


def cut(text: str, most: int) -> str:
    """At most so many characters of a text; where some are missing it says so."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}{ELLIPSIS}"


def value_words(value: float | None, style: str) -> str:
    """A value in one of the catalog's styles, shortly: ``97 %``, ``4.1 GB``, ``150``."""
    if value is None or not math.isfinite(value):
        return "unknown"
    match style:
        case "percent":
            return f"{_percent(value * 100)} %"
        case "bytes":
            return _scaled(value, _UNITS)
        case "bytes_per_second":
            return f"{_scaled(value, _UNITS)}/s"
        case "bits_per_second":
            return f"{_scaled(value, _PREFIXES)}bit/s"
        case "per_second":
            return f"{_digits(value)}/s"
        case "hertz":
            return f"{_scaled(value, _PREFIXES)}Hz"
        case "seconds" | "duration":
            return length_words(value)
        case "celsius":
            return f"{_digits(value)} °C"
        case "rpm":
            return f"{_digits(value)} rpm"
        case "flag":
            return "yes" if value >= 0.5 else "no"
        case _:
            return _digits(value)


def length_words(seconds: float) -> str:
    """A length of time, rounded, in its largest two units: ``40 min``, ``3 h 5 min``."""
    if not math.isfinite(seconds):
        return "for ever"
    if 0 < abs(seconds) < 1:
        return f"{_digits(seconds * 1000)} ms"
    left = round(abs(seconds))
    sign = "−" if seconds < 0 else ""
    if left < 60:
        return f"{sign}{left} s"
    words: list[str] = []
    units = (*_LENGTHS, (1, "s")) if left < SECONDS_MATTER_BELOW else _LENGTHS
    for size, unit in units:
        count, left = divmod(left, size)
        if count and len(words) < 2:
            words.append(f"{count} {unit}")
        elif words:
            break
    return sign + " ".join(words)


def _percent(percents: float) -> str:
    # What is nearly full is not told as full, nor what is nearly nothing as nothing.
    if 99.5 <= abs(percents) < 100 or 0 < abs(percents) < 9.95:
        return f"{math.trunc(percents * 10) / 10:.1f}".removesuffix(".0")
    return f"{percents:.0f}"


def _scaled(value: float, units: tuple[str, ...]) -> str:
    size, number = abs(value), 0
    while size >= 999.5 and number < len(units) - 1:
        size, number = size / 1000, number + 1
    sign = "−" if value < 0 else ""
    return f"{sign}{_digits(size)} {units[number]}"


def _digits(value: float) -> str:
    """Two significant digits below ten, whole numbers in full below ten thousand."""
    if value == math.trunc(value) and abs(value) < 10_000:
        return f"{value:.0f}"
    if abs(value) >= 999.5:
        return f"{value:.3g}" if abs(value) >= 100_000 else f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.3g}"


def style_of(key: str) -> str:
    """The catalog's style of a KEY; a plain number's where it is not known."""
    known = CATALOG.get(key.partition("{")[0])
    return known.style.value if known else "number"


def parsed(key: str) -> SeriesKey:
    """What a KEY writes; where it is none, all of it as a name."""
    try:
        return SeriesKey.parse(key)
    except (ValueError, IndexError):
        return SeriesKey(key)


def pairs(labels: Mapping[str, str], most: int) -> str:
    """Labels in a line: ``env=prod, role=db``."""
    return ", ".join(
        f"{harmless(name, most)}={harmless(value, most)}" for name, value in sorted(labels.items())
    )
