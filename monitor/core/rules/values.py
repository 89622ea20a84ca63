"""Values of limits as people write them, in the unit of the metric that they are held against.

``90%`` for a ratio, ``20GB`` for bytes, ``5m`` for seconds, ``100MB/s`` for a rate, plain numbers
for what is counted; a bare number is in the metric's base unit.  Of a metric that the catalog does
not know any of them is taken.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from monitor.core import quantity
from monitor.core.catalog import CATALOG, Kind, Style
from monitor.core.quantity import shown

LARGEST = 1e21
"""Beyond every count that 64 bits hold."""

_PER = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
"""Seconds in what a rate may be written by."""


class Unit(enum.Enum):
    """How values of a metric are written."""

    RATIO = "ratio"
    BYTES = "bytes"
    SECONDS = "seconds"
    FLAG = "flag"
    NUMBER = "number"
    ANY = "any"


_SUCH_AS = {
    Unit.RATIO: 'a share such as "90%"',
    Unit.BYTES: 'a size such as "20GB"',
    Unit.SECONDS: 'a duration such as "5m"',
    Unit.FLAG: "0 or 1",
    Unit.NUMBER: "a number",
    Unit.ANY: 'a number, or such as "90%", "20GB", "5m"',
}
_RATE_SUCH_AS = {
    Unit.RATIO: 'a rate such as "5%/h"',
    Unit.BYTES: 'a rate such as "100MB/s"',
    Unit.SECONDS: 'a rate such as "1s/h"',
    Unit.FLAG: "a number",
    Unit.NUMBER: 'a rate such as "10/h", or a number each second',
    Unit.ANY: 'a rate such as "10/h", "5%/h", "1GB/h"',
}


@dataclass(frozen=True, slots=True)
class Measure:
    """How a value is written: in which unit, and whether as so much each second."""

    unit: Unit
    is_rate: bool = False

    def read(self, value: object) -> float:
        """The number that is meant, in the base unit.  Raises `ValueError` with a sentence."""
        such_as = (_RATE_SUCH_AS if self.is_rate else _SUCH_AS)[self.unit]
        match value:
            case bool() if self.unit is Unit.FLAG:
                return float(value)
            case int() | float() if not isinstance(value, bool):
                return self._number(value, such_as)
            case str() if len(value) <= quantity.TEXT_CHARACTERS:
                return self._text(value, such_as)
            case _:
                raise ValueError(f"expected {such_as}, got {shown(value)}")

    def _number(self, value: float, such_as: str) -> float:
        complaint = f"expected {such_as}, got {shown(value)}"
        if not abs(value) <= LARGEST:  # nan is not smaller than anything
            raise ValueError(complaint)
        if self.unit is Unit.RATIO and not self.is_rate and not 0 <= value <= 1:
            raise ValueError(f"{complaint}: a bare number is from 0 to 1")
        return float(value)

    def _text(self, value: str, such_as: str) -> float:
        complaint = f"expected {such_as}, got {shown(value)}"
        amount, slash, per = value.partition("/")
        seconds = _PER.get(per.strip(), 0.0)
        if bool(slash) != self.is_rate and not (slash and self.unit is Unit.ANY):
            raise ValueError(complaint)
        if slash and not seconds:
            raise ValueError(f"{complaint}: a rate is by {', '.join(_PER)}")
        found = self._amount(amount.strip() if slash else value, bool(slash), complaint)
        return found / seconds if slash else found

    def _amount(self, text: str, is_rate: bool, complaint: str) -> float:
        """What stands before the slash, or all of it."""
        match self.unit:
            case Unit.RATIO:
                return quantity.parse_ratio(text)
            case Unit.BYTES:
                return float(quantity.parse_bytes(text))
            case Unit.SECONDS:
                return quantity.parse_seconds(text)
            case _:
                pass
        if is_rate and (plain := _plain(text)) is not None:
            return plain
        if self.unit is Unit.ANY:
            for parse in (
                quantity.parse_ratio,
                quantity.parse_bytes,
                quantity.parse_seconds,
            ):
                try:
                    return float(parse(text))
                except ValueError:
                    continue
        hint = ": write it without quotes" if _plain(text) is not None else ""
        raise ValueError(f"{complaint}{hint}")

    def written(self, value: float) -> str | int | float:
        """A number as a file would say it: a text with its unit, or the number."""
        whole = int(value) if value.is_integer() and abs(value) < 1e15 else None
        if self.is_rate and self.unit is Unit.BYTES and whole is not None and whole > 0:
            return f"{quantity.format_bytes(whole)}/s"
        if not self.is_rate and value >= 0:
            if self.unit is Unit.RATIO:
                return quantity.format_ratio(value)
            if self.unit is Unit.BYTES and whole is not None:
                return quantity.format_bytes(whole)
            if self.unit is Unit.SECONDS:
                return quantity.format_seconds(value)
        return value if whole is None else whole


def measure(metric: str, *, rate: bool = False) -> Measure:
    """How values of a metric are written; with `rate`, how its growth is."""
    known = CATALOG.get(metric)
    if known is None:
        return Measure(Unit.ANY, rate)
    is_rate = rate or known.kind is Kind.COUNTER
    match known.unit, known.style:
        case _, Style.PERCENT:
            # What counts seconds of use is a ratio as a rate, and has its growth as that.
            is_ratio_rate = known.kind is Kind.COUNTER
            return Measure(Unit.RATIO, rate and not is_ratio_rate)
        case _, Style.FLAG:
            return Measure(Unit.FLAG, rate)
        case "By", _:
            return Measure(Unit.BYTES, is_rate)
        case "s", _ if known.kind is Kind.GAUGE and known.style is not Style.INSTANT:
            return Measure(Unit.SECONDS, rate)
        case _:
            return Measure(Unit.NUMBER, is_rate)


def _plain(text: str) -> float | None:
    """A number in a text, as a person writes it."""
    if not text or not text.replace(".", "", 1).isdecimal() or not text.isascii():
        return None
    found = float(text)
    return found if math.isfinite(found) else None
