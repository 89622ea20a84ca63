"""Ranges of time as a page's address says them: read strictly, and written again.

``range=6h`` follows the present, ``from=…&to=…`` stands still, and nothing at all is live: the
last ten minutes.  `compare` lays an earlier stretch under it, `at` is the instant whose
processes are asked for.  `static/js/range.js` is its twin; one table holds both to the same
words.  It knows no series, no chart and no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from monitor.errors import InputError
from monitor.web.query import Query
from monitor.web.views import HISTORY_SECONDS

PRESETS = ("15m", "1h", "6h", "24h", "7d", "30d", "90d", "1y")
"""The ranges that the page offers; others may be written into the address."""

SHORTEST_SECONDS = 10.0
"""A narrower range would show a handful of observations."""

LONGEST_SECONDS = 10 * 31_536_000.0
"""Ten years: more than any store here keeps."""

COMPARISONS = {"1d": 86_400.0, "7d": 604_800.0}
"""How much earlier what is laid under the range lies, in seconds."""

COMPARISON_WORDS = {"1d": "a day earlier", "7d": "a week earlier"}

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_UNIT_WORDS = {
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
    "y": "years",
}
_RELATIVE = re.compile(r"([1-9][0-9]{0,8})([smhdwy])", re.ASCII)
_NAMES = ("range", "from", "to", "compare", "at")


@dataclass(frozen=True, slots=True)
class Range:
    """What an address asks for.

    `text` is the relative range as written, ``6h``; `start` and `end` are the absolute one's
    instants in unix seconds.  With neither it is live.  `at` is 0 where no instant is chosen.
    """

    text: str = ""
    start: float = 0.0
    end: float = 0.0
    compare: str = ""
    at: float = 0.0

    @property
    def live(self) -> bool:
        """Whether it is the last ten minutes, followed second by second."""
        return not self.text and not self.end

    @property
    def follows(self) -> bool:
        """Whether it ends at the present."""
        return not self.end

    @property
    def earlier_seconds(self) -> float:
        """How much earlier the stretch lies that is laid under it; 0 where none is."""
        return COMPARISONS.get(self.compare, 0.0)

    def window(self, now: float) -> tuple[float, float]:
        """Its first instant and the one after its last, at an instant `now`."""
        if self.end:
            return self.start, self.end
        return now - (seconds_of(self.text) or HISTORY_SECONDS), now

    def parameters(self) -> dict[str, str]:
        """What its address says, in one order."""
        said = {"range": self.text} if self.text else {}
        if self.end:
            said |= {"from": instant_text(self.start), "to": instant_text(self.end)}
        if self.compare:
            said["compare"] = self.compare
        if self.at:
            said["at"] = instant_text(self.at)
        return said

    def query(self, **more: str) -> str:
        """The address from its question mark on; empty where there is nothing to say."""
        said = self.parameters() | {name: text for name, text in more.items() if text}
        return f"?{urlencode(said)}" if said else ""

    @property
    def span(self) -> Range:
        """The same stretch of time, with nothing laid under it and no instant chosen."""
        return replace(self, compare="", at=0.0)

    def words(self) -> str:
        """The range as a title says it."""
        if self.end:
            return "the chosen range"
        return f"the last {long_words(self.text)}" if self.text else "the last ten minutes"


LIVE = Range()


def seconds_of(text: str) -> float:
    """The length of a relative range in seconds; 0 where the text is none."""
    found = _RELATIVE.fullmatch(text)
    return float(int(found[1]) * _UNITS[found[2]]) if found else 0.0


def long_words(text: str) -> str:
    """A relative range in words: ``6 hours``, ``year``, ``24 hours``."""
    count, unit = int(text[:-1]), _UNIT_WORDS[text[-1]]
    return unit.removesuffix("s") if count == 1 else f"{count} {unit}"


def short_words(text: str) -> str:
    """A relative range as a button says it: ``15 min``, ``6 h``."""
    return f"{text[:-1]} {'min' if text.endswith('m') else text[-1]}"


def instant_text(at: float) -> str:
    """An instant as addresses have it: unix seconds, with decimals only where it has some."""
    return f"{at:.3f}".rstrip("0").rstrip(".")


def asked(values: MultiDict[str, str], now: float) -> Range:
    """The range that a page's address asks for; what is no word of a range is not looked at.

    Raises `InputError` for anything that cannot be meant: nothing is bent into shape.
    """
    said = MultiDict([(name, text) for name, text in values.items(multi=True) if name in _NAMES])
    query = Query(said, _NAMES)
    at = _instant(query, "at", now) if query.text("at") is not None else 0.0
    found = replace(_stretch(query, now), at=at)
    compare = query.text("compare") or ""
    if compare and compare not in COMPARISONS:
        raise InputError("compare is 1d or 7d", code="bad_param", field="compare")
    if compare and found.live:
        detail = "compare needs a range: live charts have nothing laid under them"
        raise InputError(detail, code="bad_param", field="compare")
    return replace(found, compare=compare)


def _stretch(query: Query, now: float) -> Range:
    text = query.text("range")
    edges = [name for name in ("from", "to") if query.text(name) is not None]
    if text is not None and edges:
        detail = "range and from–to say different things: give one of them"
        raise InputError(detail, code="ambiguous_param", field="range")
    if len(edges) == 1:
        missing = "to" if edges == ["from"] else "from"
        detail = f"a range has two ends: {missing} is missing"
        raise InputError(detail, code="missing_param", field=missing)
    if edges:
        start, end = _instant(query, "from", now), _instant(query, "to", now)
        if start >= end:
            raise InputError("the range ends before it starts", code="bad_range", field="from")
        _require_width(end - start, "from")
        return Range(start=start, end=end)
    if text is None or text == "live":
        return LIVE
    seconds = seconds_of(text)
    if not seconds:
        detail = "range is a length of time such as 15m, 6h, 30d or 1y"
        raise InputError(detail, code="bad_range", field="range")
    _require_width(seconds, "range")
    return Range(text=text)


def _require_width(seconds: float, field: str) -> None:
    if seconds < SHORTEST_SECONDS:
        detail = f"a range is at least {SHORTEST_SECONDS:.0f} seconds long"
        raise InputError(detail, code="bad_range", field=field, limit=SHORTEST_SECONDS)
    if seconds > LONGEST_SECONDS:
        detail = "a range is at most ten years long"
        raise InputError(detail, code="bad_range", field=field, limit=LONGEST_SECONDS)


def _instant(query: Query, name: str, now: float) -> float:
    """An instant that stands still: unix seconds or ISO 8601, UTC where no zone is said."""
    text = query.text(name) or ""
    if text == "now" or text.startswith("-"):
        detail = f"{name} is an instant, in unix seconds or ISO 8601; range follows the present"
        raise InputError(detail, code="bad_range", field=name)
    found = query.instant(name, 0.0, now)
    if not found:
        raise InputError(f"{name} is not an instant", code="bad_range", field=name)
    return found
