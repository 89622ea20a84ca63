"""Synthetic series in a line: ``0x10 90%x5 _x3 0+1x60``, as unit tests of rules write them.

The expanding notation of Prometheus' promtool: ``a`` is one value, ``axn`` is a and then n more of
it, ``a+bxn`` is a and then n more, each b larger (``a-bxn``: smaller), ``_`` is one value that is
missing and ``_xn`` are n of them.  A number may end in ``%``.
"""

from __future__ import annotations

import math
import re

from monitor.core.quantity import shown

MOST_SAMPLES = 20_000
"""Two weeks by the minute."""

LONGEST_CHARACTERS = 10_000

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,12})?(?:e[+-]?[0-9]{1,2})?%?"
_RUN = re.compile(rf"(-?{_NUMBER})(?:([+-])({_NUMBER}))?(?:x([0-9]{{1,6}}))?\Z", re.ASCII)
_GAP = re.compile(r"_(?:x([0-9]{1,6}))?\Z", re.ASCII)


def expanded(text: str) -> list[float]:
    """The values that a line writes, NaN for those that are missing.

    Raises `ValueError` with a sentence.
    """
    if len(text) > LONGEST_CHARACTERS:
        raise ValueError(f"expected at most {LONGEST_CHARACTERS:,} characters, got {len(text):,}")
    found: list[float] = []
    for word in text.split():
        run = _run(word)
        if len(found) + len(run) > MOST_SAMPLES:
            raise ValueError(f"there are more than {MOST_SAMPLES:,} values")
        found += run
    if not found:
        raise ValueError('expected values such as "0x10 90%x5 _x3 0+1x60", got none')
    return found


def _run(word: str) -> list[float]:
    if gap := _GAP.match(word):
        return [math.nan] * min(int(gap[1] or 1), MOST_SAMPLES + 1)
    run = _RUN.match(word)
    if run is None:
        raise ValueError(f"expected values such as 0, 90%x5, 0+1x60 or _x3, got {shown(word)}")
    first, sign, more, times = run.groups()
    if sign and not times:
        raise ValueError(
            f"{shown(word)}: what is added is added so many times: write such as 0+1x60"
        )
    step = _number(more) * (-1 if sign == "-" else 1) if more else 0.0
    count = min(int(times or 0), MOST_SAMPLES)
    return [_number(first) + step * number for number in range(count + 1)]


def _number(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)
