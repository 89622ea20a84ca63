"""Quantities as people write them: ``90%``, ``20GB``, ``20GiB``, ``5m``, ``100ms``.

A room's Config class marks its fields with `Seconds`, `Bytes` or `Ratio`, and with `Between`
or `Check` where not every value will do; the roof (`monitor.config`) reads the marks, accepts
people's spellings there and adds file and line to the complaint.

The grammar is strict: ASCII digits with at most three decimals, then a unit, nothing else.
A number without a unit, a sign, an exponent, an underscore, ``nan`` and ``inf`` are refused,
because each of them has been read by somebody as something else.  Arithmetic is exact
(`fractions`), so that ``100ms`` is the float nearest to 0.1 and ``1.1GB`` is 1,100,000,000.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from monitor.errors import excerpt


class Quantity(enum.Enum):
    """What a configured number measures."""

    SECONDS = "seconds"
    BYTES = "bytes"
    RATIO = "ratio"


Seconds = Annotated[float, Quantity.SECONDS]
Bytes = Annotated[int, Quantity.BYTES]
Ratio = Annotated[float, Quantity.RATIO]


@dataclass(frozen=True, slots=True)
class Between:
    """A mark: the value lies in [lowest, highest], in the field's own base unit."""

    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Check:
    """A mark: `read` returns the value, perhaps tidied, or raises `ValueError` saying why not."""

    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Reads:
    """A mark: `read` makes the value of what was written, or raises `ValueError` saying why not.

    For fields that are no plain value of TOML, such as selectors.
    """

    read: Callable[[object], Any]


@dataclass(frozen=True, slots=True)
class Written:
    """A mark: the key as files write it, where that is no name in Python, such as ``10s``."""

    key: str


TEXT_CHARACTERS = 32
"""No quantity is longer; what is longer is refused unread."""

SECONDS_UNITS: dict[str, Fraction] = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86_400),
    "w": Fraction(604_800),
    "y": Fraction(31_536_000),
}
"""Seconds in each unit; a year is 365 days."""

BYTES_UNITS: dict[str, Fraction] = {
    "B": Fraction(1),
    "kB": Fraction(10**3),
    "KB": Fraction(10**3),
    "KiB": Fraction(2**10),
    "MB": Fraction(10**6),
    "MiB": Fraction(2**20),
    "GB": Fraction(10**9),
    "GiB": Fraction(2**30),
    "TB": Fraction(10**12),
    "TiB": Fraction(2**40),
    "PB": Fraction(10**15),
    "PiB": Fraction(2**50),
}
"""Bytes in each unit: decimal as disks are sold, binary with an i (IEC 80000-13)."""

RATIO_UNITS: dict[str, Fraction] = {"%": Fraction(1, 100)}

_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([^0-9.\s]*)\Z")


def parse_seconds(value: object) -> float:
    """The seconds that a text such as ``100ms``, ``5m``, ``1h``, ``2d`` or ``1w`` means.

    Raises `ValueError` with a sentence for the operator.
    """
    return float(_parse(value, SECONDS_UNITS, 'a duration such as "1s"', ("s", "m")))


def parse_bytes(value: object) -> int:
    """The bytes that a text such as ``20GB`` (10⁹ each) or ``20GiB`` (2³⁰ each) means.

    Raises `ValueError` with a sentence for the operator.
    """
    expected = 'a size such as "20GB"'
    exact = _parse(value, BYTES_UNITS, expected, ("GB", "GiB"))
    if exact.denominator != 1:
        raise ValueError(f"expected {expected}, got {shown(value)}: it is no whole number of bytes")
    return exact.numerator


def parse_ratio(value: object) -> float:
    """The ratio that a text such as ``90%``, or a number from 0 to 1, means.

    Percentages may pass 100, as those of several processors do.  Raises `ValueError` with a
    sentence for the operator.
    """
    expected = 'a share such as "90%"'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 <= value <= 1:
            return float(value)
        raise ValueError(f"expected {expected}, got {shown(value)}: a bare number is from 0 to 1")
    return float(_parse(value, RATIO_UNITS, expected, ("%",)))


def _parse(
    value: object, units: dict[str, Fraction], expected: str, likely: tuple[str, ...]
) -> Fraction:
    complaint = f"expected {expected}, got {shown(value)}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = shown(value)
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS:
        raise ValueError(complaint)
    if value.startswith("-"):
        raise ValueError(f"{complaint}: it cannot be negative")
    match = _NUMBER.match(value)
    if match is None:
        raise ValueError(complaint)
    number, unit = match.groups()
    if not unit:
        raise ValueError(f"{complaint}: write {_with_units(number, likely)}")
    if unit not in units:
        raise ValueError(f"{complaint}: the units are {', '.join(units)}")
    return Fraction(number) * units[unit]


def _with_units(number: str, likely: tuple[str, ...]) -> str:
    return " or ".join(f'"{number}{unit}"' for unit in likely)


def shown(value: object) -> str:
    """How a complaint shows a configured value: short, escaped, as the file would write it."""
    match value:
        case str():
            return f'"{excerpt(value)}"'
        case bool():
            return "true" if value else "false"
        case int() if value.bit_length() > 1000:
            return "a huge number"  # Python refuses to print what has over 4,300 digits.
        case int() | float():
            return excerpt(repr(value))
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case _:
            return excerpt(str(value))


def format_seconds(seconds: float) -> str:
    """The shortest honest spelling, to the microsecond: ``100ms``, ``90m``, ``1.5s``.

    `parse_seconds` reads it back to the same number, if it came from there.
    """
    milliseconds = Fraction(round(Fraction(repr(float(seconds))) * 1_000_000), 1000)
    if milliseconds == 0:
        return "0s"
    for unit in ("y", "w", "d", "h", "m", "s"):
        count = milliseconds / 1000 / SECONDS_UNITS[unit]
        if count.denominator == 1:
            return f"{count}{unit}"
    if milliseconds >= 1000 and milliseconds.denominator == 1:
        return f"{_decimal(milliseconds / 1000)}s"
    return f"{_decimal(milliseconds)}ms"


def format_bytes(size: int) -> str:
    """The shortest exact spelling: ``20GB``, ``20GiB``, ``1536B``."""
    if size == 0:
        return "0B"
    spellings = [
        f"{size // factor.numerator}{unit}"
        for unit, factor in BYTES_UNITS.items()
        if unit != "KB" and size % factor.numerator == 0
    ]
    return min(reversed(spellings), key=len)


def format_ratio(ratio: float) -> str:
    """A ratio as a percentage: ``90%``, ``12.5%``."""
    return f"{_decimal(Fraction(round(Fraction(repr(float(ratio))) * 100_000), 1000))}%"


def format_about(seconds: float) -> str:
    """A length of time for people, in its two largest units: ``2d 3h``, ``59m 30s``."""
    left = max(0, round(seconds))
    words: list[str] = []
    for unit in ("y", "w", "d", "h", "m", "s"):
        count, rest = divmod(left, SECONDS_UNITS[unit].numerator)
        if count or (words and len(words) < 2):
            words.append(f"{count}{unit}" if count else "")
            left = rest
        if len(words) == 2:
            break
    return " ".join(word for word in words if word) or "0s"


def format_about_bytes(size: float) -> str:
    """A size for people, to three digits in decimal units: ``1.23GB``, ``64MB``, ``512B``."""
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    for unit in units:
        scaled = size / BYTES_UNITS[unit].numerator
        if round(scaled) < 1000 or unit == units[-1]:
            return f"{scaled:.3g}{unit}" if scaled < 1000 else f"{scaled:.0f}{unit}"
    raise AssertionError


def _decimal(value: Fraction) -> str:
    """A fraction with at most three decimals, written without an exponent."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    text = format(exact, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
