"""What our series are called where Prometheus' names are spoken, and back again.  Pure.

Names are made by OpenTelemetry's rules for Prometheus: units become words at the end, what only
grows ends in ``_total``, a gauge of unit 1 in ``_ratio``, and annotations in braces are dropped.
What the catalog does not know keeps its name, with underscores where that has other signs.
The rules: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

import re
from functools import lru_cache

from monitor.core.catalog import CATALOG, METRICS, Kind
from monitor.model import SeriesKey

HOST_LABEL = "host"
"""The label that says whose a series is."""

EXPORTED_HOST = "exported_host"
"""What an attribute of that name is called, as Prometheus does when two labels meet."""

MOST_NAMES = 16_384
"""Names kept that were made: others may invent as many as they like."""

UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "%": "percent",
    "1": "",
}
"""UCUM's units as words; one that is not here is its own word."""

PER_UNITS = {
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}
"""Those after a slash."""

_ANNOTATION = re.compile(r"\{[^}]*\}")
_NO_NAME = re.compile(r"[^A-Za-z0-9_:]")
_NO_LABEL = re.compile(r"[^A-Za-z0-9_]")
_NO_WORD = re.compile(r"[^A-Za-z0-9:]+")


def built(name: str, unit: str, *, counts: bool) -> str:
    """The Prometheus name of a metric of this name and UCUM unit; `counts` where it only grows.

    A unit whose word stands in the name is not said again.
    """
    words = [word for word in _NO_WORD.split(name) if word]
    main, slash, per = _ANNOTATION.sub("", unit).strip().partition("/")
    words += [word for word in _words(UNITS.get(main, main)) if word not in words]
    per = per.strip()
    found = [word for word in _words(PER_UNITS.get(per, per)) if word not in words]
    if slash and found:
        words += ["per", *found]
    ending = "total" if counts else "ratio" if unit == "1" else ""
    if ending:
        words = [word for word in words if word != ending] + [ending]
    made = "_".join(words)
    return f"_{made}" if made[:1].isdigit() else made


def _words(unit: str) -> list[str]:
    return [word for word in _NO_WORD.split(unit) if word]


@lru_cache(MOST_NAMES)
def prometheus_name(name: str) -> str:
    """The Prometheus name of a metric; of what the catalog does not know its own, made valid."""
    known = CATALOG.get(name)
    if known is None:
        return _NO_NAME.sub("_", name)
    return built(name, known.unit, counts=known.kind is Kind.COUNTER)


@lru_cache(MOST_NAMES)
def label_name(attribute: str) -> str:
    """The label that carries an attribute; never `HOST_LABEL`, nor one that is reserved."""
    made = _NO_LABEL.sub("_", attribute)
    if made == HOST_LABEL:
        return EXPORTED_HOST
    return f"key{made}" if made.startswith("__") else made


def exported(key: SeriesKey) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The Prometheus name of a series, and its labels sorted by name, without the host's.

    Attributes that come to the same label are joined by a semicolon, as the rules say.
    """
    labels: dict[str, str] = {}
    for attribute, value in key.attributes:
        label = label_name(attribute)
        labels[label] = f"{labels[label]};{value}" if label in labels else value
    return prometheus_name(key.name), tuple(sorted(labels.items()))


_CATALOG_NAMES = {
    built(metric.name, metric.unit, counts=metric.kind is Kind.COUNTER): metric.name
    for metric in METRICS
}


def catalog_name(name: str) -> str | None:
    """The metric of the catalog that has this Prometheus name, or none."""
    return _CATALOG_NAMES.get(name)
