"""Reading a query string strictly: no parameter twice, none unknown, each with its bound."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from werkzeug.datastructures import MultiDict

from monitor.errors import InputError, excerpt

Values = MultiDict[str, str]
"""A query string, taken apart."""

_RELATIVE = re.compile(r"-([0-9]{1,9})(ms|s|m|h|d|w|y)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)

LATEST_SECONDS = 253_402_300_799.0
"""The last second of the year 9999."""


class Query:
    """A request's query string, checked against the parameters its route knows."""

    def __init__(
        self,
        values: Values,
        known: Iterable[str],
        repeated: Iterable[str] = (),
    ) -> None:
        allowed, many = set(known) | set(repeated), set(repeated)
        for name in values:
            if name not in allowed:
                detail = f"there is no parameter {excerpt(name)} here"
                raise InputError(detail, code="unknown_param", field=excerpt(name))
            if name not in many and len(values.getlist(name)) > 1:
                detail = f"the parameter {name} stands more than once"
                raise InputError(detail, code="ambiguous_param", field=name)
        self._values = values

    def text(self, name: str) -> str | None:
        """The parameter's text, or none."""
        return self._values.get(name)

    def texts(self, name: str) -> list[str]:
        """Every value of a parameter that may repeat, each once, in order."""
        return list(dict.fromkeys(self._values.getlist(name)))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Whether a parameter is ``1``; ``0`` is no, and absent is the default."""
        text = self._values.get(name, "1" if default else "0")
        if text not in {"0", "1"}:
            raise InputError(f"{name} is 0 or 1", code="bad_param", field=name)
        return text == "1"

    def whole(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 to `most`."""
        text = self._values.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not 1 <= int(text) <= most:
            detail = f"{name} is a whole number from 1 to {most}"
            raise InputError(detail, code="bad_range", field=name, limit=most)
        return int(text)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of a few words; the first is meant where the parameter is absent."""
        text = self._values.get(name, choices[0])
        if text not in choices:
            detail = f"{name} is one of {', '.join(choices)}"
            raise InputError(detail, code="bad_param", field=name)
        return text

    def span(self, now: float, default_seconds: float) -> tuple[float, float]:
        """The range [start, end) of the parameters of these names, in unix seconds.

        Without an end it ends now, without a start it lasts `default_seconds`.
        """
        end = self.instant("end", now, now)
        start = self.instant("start", max(0.0, end - default_seconds), now)
        if start >= end:
            raise InputError("the range ends before it starts", code="bad_range", field="start")
        return start, end

    def instant(self, name: str, default: float, now: float) -> float:
        """An instant in unix seconds: written so, in ISO 8601, or as ``-6h`` before `now`."""
        text = self._values.get(name)
        if text is None:
            return default
        found = _instant(text, now)
        if found is None or not math.isfinite(found) or not 0 <= found <= LATEST_SECONDS:
            detail = f"{name} is unix seconds, ISO 8601, or a time ago such as -6h"
            raise InputError(detail, code="bad_range", field=name)
        return found


def _instant(text: str, now: float) -> float | None:
    if text == "now":
        return now
    if relative := _RELATIVE.fullmatch(text):
        return now - int(relative[1]) * _UNITS[relative[2]]
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        # A plus sign in a query string arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None
