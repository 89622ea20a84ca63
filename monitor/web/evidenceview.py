"""What an alert froze when it fired, as values: culprits, pressure, related series, changes.

Evidence comes out of the log, and what is in it came from agents: whatever is not of the shape that
it should be is left out, and every list has an end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.model import SeriesKey
from monitor.web import charts
from monitor.web.format import duration, written
from monitor.web.timeaxis import instant_words
from monitor.web.views import style_of

MOST_CULPRITS = 5
MOST_SERIES = 6
MOST_CHANGES = 10
MOST_VALUES = 12
MOST_POINTS = 120
LONGEST_TEXT = 200

LEAST_BYTES = 1_000_000
"""A service's number above it is of bytes, below it of tasks."""

LARGEST = 1e300
"""No number is larger, so that arithmetic with it stays finite."""

LATEST = 253_402_300_799.0
"""The last second of the year 9999."""

SPARK_WIDTH, SPARK_HEIGHT = 240.0, 32.0
"""Units of the picture of a related series."""

_BY = {
    "cpu": ("By processor", "percent"),
    "memory": ("By memory", "bytes"),
    "io": ("By input and output", "bytes_per_second"),
    "descriptors": ("By open files", "number"),
}
"""Tables of culprits by their name in the evidence: a title, and how their values are written."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """One process, and what it used."""

    name: str
    pid: str
    user: str
    number: str
    unit: str


@dataclass(frozen=True, slots=True)
class Culprits:
    """Those that used the most of one thing."""

    title: str
    rows: tuple[Culprit, ...]


@dataclass(frozen=True, slots=True)
class Spark:
    """A related series around the breach, drawn."""

    key: str
    path: str
    last: str
    label: str


@dataclass(frozen=True, slots=True)
class Change:
    """Something that changed before it fired."""

    instant: str
    at: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it; each part may be empty."""

    at: str = ""
    culprits: tuple[Culprits, ...] = ()
    pressure: tuple[tuple[str, str], ...] = ()
    related: tuple[tuple[str, str], ...] = ()
    sparks: tuple[Spark, ...] = ()
    changes: tuple[Change, ...] = ()
    host: str = ""
    forecast: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.culprits or self.pressure or self.related or self.sparks)


def evidence_view(found: Mapping[str, Any] | None, now: float) -> Evidence:
    """Evidence in words; what is missing or of another shape is left out."""
    if not isinstance(found, Mapping):
        return Evidence()
    processes = _mapping(found.get("processes"))
    at = _number(found.get("at"))
    return Evidence(
        at=f"{instant_words(at, now, seconds=True)} UTC" if 0 < at < LATEST else "",
        culprits=(*_culprits(processes, _io_title(found)), *_units(found)),
        pressure=tuple(
            (pressure_words(text), words)
            for text, words in _values(_mapping(found.get("pressure")), "percent")
        ),
        related=tuple(_values(_mapping(found.get("related")))),
        sparks=tuple(_sparks(found.get("series"))),
        changes=tuple(_changes(found.get("changes"), now)),
        host=_host(_mapping(found.get("host"))),
        forecast=_forecast(_mapping(found.get("forecast"))),
    )


def _io_title(found: Mapping[str, Any]) -> str:
    """Over which time input and output were reckoned, where it was more than an instant."""
    seconds = _number(found.get("io_seconds"))
    title = _BY["io"][0]
    return f"{title}, over {duration(seconds)}" if seconds > 0 else title


def _units(found: Mapping[str, Any]) -> Iterator[Culprits]:
    """Services and containers that are near a limit of their own."""
    rows = []
    for row in _list(found.get("units"))[:MOST_CULPRITS]:
        each = _mapping(row)
        value, limit = _number(each.get("value")), _number(each.get("limit"))
        style = "bytes" if max(value, limit) > LEAST_BYTES else "number"
        number, unit = written(value, style)
        of = f"of {written(limit, style)}" if limit > 0 else ""
        rows.append(Culprit(_text(each.get("name")) or "?", of, "", number, unit))
    if rows:
        yield Culprits("By service", tuple(rows))


def _culprits(processes: Mapping[str, Any], io_title: str) -> Iterator[Culprits]:
    for name, (title, style) in {**_BY, "io": (io_title, _BY["io"][1])}.items():
        rows = []
        for row in _list(processes.get(name))[:MOST_CULPRITS]:
            each = _mapping(row)
            number, unit = written(_number(each.get("value")), style)
            rows.append(
                Culprit(
                    _text(each.get("name")) or "?",
                    _text(each.get("pid")),
                    _text(each.get("user")),
                    number,
                    unit,
                )
            )
        if rows:
            yield Culprits(title, tuple(rows))


def _values(found: Mapping[str, Any], style: str = "") -> Iterator[tuple[str, str]]:
    for text, value in list(found.items())[:MOST_VALUES]:
        shown = written(_number(value), style or style_of(str(text)))
        yield _text(text), str(shown)


def pressure_words(text: str) -> str:
    """A KEY of pressure as a person says it: ``IO, some``."""
    try:
        series = SeriesKey.parse(text)
    except ValueError:
        return text
    resource, kind = series.get("resource"), series.get("kind")
    name = {"cpu": "CPU", "io": "IO", "irq": "IRQ"}.get(resource, resource.capitalize())
    return f"{name}, {kind}" if resource and kind else text


def _sparks(found: Any) -> Iterator[Spark]:
    for each in _list(found)[:MOST_SERIES]:
        series = _mapping(each)
        text, style = _text(series.get("key")), _text(series.get("style"))
        t = np.array([_number(at) for at in _list(series.get("t"))[:MOST_POINTS]])
        v = np.array([_number(value) for value in _list(series.get("v"))[:MOST_POINTS]])
        size = min(len(t), len(v))
        t, v = t[:size], charts.bounded(v[:size]) if size else v[:size]
        known = np.isfinite(t) & np.isfinite(v)
        if not text or known.sum() < 2:
            continue
        t, v = t[known], v[known]
        width = float(t[-1] - t[0])
        if not width > 0:
            continue
        low, high = min(0.0, float(v.min())), float(v.max())
        x = SPARK_WIDTH * (t - t[0]) / width
        y = SPARK_HEIGHT * (1 - (v - low) / ((high - low) or 1.0))
        path = charts.stroke(x, y, [np.arange(len(t))])
        last = str(written(float(v[-1]), style or style_of(text)))
        most = str(written(high, style or style_of(text)))
        yield Spark(text, path, last, f"{text}: at most {most}, {last} when it fired")


def _changes(found: Any, now: float) -> Iterator[Change]:
    for each in _list(found)[:MOST_CHANGES]:
        change = _mapping(each)
        at, text = _number(change.get("at")), _text(change.get("text"))
        if text and 0 < at < LATEST:
            yield Change(f"{at:.0f}", instant_words(at, now), text)


def _host(found: Mapping[str, Any]) -> str:
    parts = []
    if status := _text(found.get("status")):
        parts.append(f"the host was {status}")
    uptime = _number(found.get("uptime"))
    if math.isfinite(uptime) and uptime >= 0:
        parts.append(f"up for {duration(uptime)}")
    return ", ".join(parts)


def _forecast(found: Mapping[str, Any]) -> str:
    seconds = _number(found.get("full_in_seconds"))
    return f"full in about {duration(seconds)}" if math.isfinite(seconds) and seconds > 0 else ""


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _list(found: Any) -> Sequence[Any]:
    return found if isinstance(found, list | tuple) else ()


def _number(found: Any) -> float:
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and abs(found) < LARGEST else math.nan


def _text(found: Any) -> str:
    text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
