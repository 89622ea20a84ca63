"""How a value is written for people: a number and its unit, by the catalog's style.

`static/js/format.js` is its twin: one table in `tests/web/test_format.py` holds both to the
same words, so that a value reads alike whoever drew it.  Both round halves away from zero,
on the exact binary value.  Nothing here knows a metric by name.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

ABSENT = "–"
"""What stands where nothing was observed."""

BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
DECIMAL = ("", "k", "M", "G", "T", "P", "E")

LONGEST_SECONDS = 1e11
"""Three thousand years: beyond it a length of time is somebody's mistake."""

LATEST_INSTANT = 253_402_300_799.0
"""The last second of the year 9999."""

_EXACT_BELOW = 10_000
"""Whole numbers below this are written in full."""

_HIGHEST_TOP = 1e300
"""An axis ends here, so that its arithmetic stays finite."""

_QUANTA = (Decimal(1), Decimal("0.1"), Decimal("0.01"))
"""The last digit of a number with none, one or two decimals."""

_FORMATS = ("%.0f", "%.1f", "%.2f")

_HALVES = (2.0, 4.0, 8.0)
"""What lies exactly between two such numbers is whole when it is multiplied by this."""

_STEPS = (1.0, 2.0, 5.0, 10.0)
"""Tops of axes, times a power of ten, that people can halve in their heads."""


class Written(NamedTuple):
    """A value as people read it: the digits, and the unit that stands smaller beside them."""

    number: str
    unit: str

    def __str__(self) -> str:
        return f"{self.number} {self.unit}" if self.unit else self.number


def written(value: float | None, style: str) -> Written:
    """The words for `value` in one of the catalog's styles; a dash where it is no number."""
    if value is None or not math.isfinite(value):
        return Written(ABSENT, "")
    if style in ("duration", "instant", "flag"):
        return _worded(value, style)
    found = _sized(abs(value), style)
    if value < 0 and any("1" <= digit <= "9" for digit in found.number):
        return Written("−" + found.number, found.unit)
    return found


def _sized(size: float, style: str) -> Written:
    """The words for a magnitude."""
    match style:
        case "percent":
            return _percent(size * 100)
        case "bytes":
            return _scaled(size, 1024, BINARY, "")
        case "bytes_per_second":
            return _scaled(size, 1024, BINARY, "/s")
        case "bits_per_second":
            return _scaled(size, 1000, DECIMAL, "bit/s")
        case "per_second":
            return _scaled(size, 1000, DECIMAL, "/s")
        case "hertz":
            return _scaled(size, 1000, DECIMAL, "Hz")
        case "seconds":
            return _seconds(size)
        case "celsius":
            return Written(_fixed(size, 1), "°C") if size < 9999 else Written("> 9999", "°C")
        case "rpm":
            return Written(_fixed(size, 0), "rpm") if size < 999_999 else Written("> 999999", "rpm")
        case "decimal":
            return Written(three_digits(size), "") if size < 999.5 else _scaled_number(size)
        case _:
            return _scaled_number(size)


def _worded(value: float, style: str) -> Written:
    if style == "flag":
        return Written("yes" if value >= 0.5 else "no", "")
    if style == "duration":
        return Written(duration(value), "")
    if not 0 <= value <= LATEST_INSTANT:
        return Written(ABSENT, "")
    return Written(datetime.fromtimestamp(math.floor(value), UTC).strftime("%Y-%m-%d %H:%M"), "UTC")


def duration(seconds: float) -> str:
    """A length of time in its largest two units, whole: ``3 d 4 h``, ``12 min``, ``45 s``."""
    if seconds >= LONGEST_SECONDS:
        return "> 3000 y"
    left = max(0, math.floor(seconds))
    if left < 60:
        return f"{left} s"
    if left < 3_600:
        return f"{left // 60} min"
    if left < 86_400:
        return f"{left // 3_600} h {left % 3_600 // 60} min"
    if left < 31_536_000:
        return f"{left // 86_400} d {left % 86_400 // 3_600} h"
    return f"{left // 31_536_000} y {left % 31_536_000 // 86_400} d"


def three_digits(size: float) -> str:
    """At most three significant digits and two decimals: ``0.07``, ``1.40``, ``12.3``, ``123``."""
    if 10 <= size < 99.9:
        return _fixed(size, 1)
    for decimals in (2, 1):
        text = _fixed(size, decimals)
        if len(text) <= 4:
            return text
    return _fixed(size, 0)


def nice_top(value: float, style: str) -> float:
    """The top of an axis that begins at zero and holds `value`: 1, 2 or 5 of something.

    Bytes climb by 1024, so that the axis reads 0, 256, 512 MiB and not 0, 249, 498.
    """
    if not math.isfinite(value) or value <= 0:
        return 0.01 if style == "percent" else 1.0
    value = min(value, _HIGHEST_TOP)
    base = 1.0
    if style in ("bytes", "bytes_per_second"):
        while value / base > 500 and base < 2.0**60:
            base *= 1024
        if value < 1:
            return 1.0
    power = 1.0
    while value / base > power * 10:
        power *= 10
    while value / base < power:
        power /= 10
    for step in _STEPS:
        if step * power * base >= value:
            return step * power * base
    return 10 * power * base


def _percent(size: float) -> Written:
    if size >= 999_999:
        return Written("> 999999", "%")
    text = _fixed(size, 1)
    return Written(text if len(text) <= 4 else _fixed(size, 0), "%")


def _scaled_number(size: float) -> Written:
    if size < _EXACT_BELOW - 0.5:
        whole = size == math.floor(size)
        return Written(_fixed(size, 0) if whole else three_digits(size), "")
    return _scaled(size, 1000, DECIMAL, "")


def _scaled(size: float, base: int, prefixes: tuple[str, ...], unit: str) -> Written:
    for prefix in prefixes:
        if size < 999.5:
            whole = size == 0 or prefix == "B"
            return Written(_fixed(size, 0) if whole else three_digits(size), prefix + unit)
        size /= base
    return Written("> 999", prefixes[-1] + unit)


def _seconds(size: float) -> Written:
    if size >= 60:
        return Written(duration(size), "")
    if size == math.floor(size):
        return Written(_fixed(size, 0), "s")
    if size >= 0.9995:
        return Written(three_digits(size), "s")
    if size * 1e3 >= 0.9995:
        return Written(three_digits(size * 1e3), "ms")
    return Written(three_digits(size * 1e6), "µs")


def _fixed(size: float, decimals: int) -> str:
    """Exactly so many decimals, halves up on the exact value, as JavaScript's toFixed."""
    if size * _HALVES[decimals] % 1.0:  # no half: the quick way, which rounds the exact value too
        return _FORMATS[decimals] % size
    return str(Decimal(size).quantize(_QUANTA[decimals], ROUND_HALF_UP))
