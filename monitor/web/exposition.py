"""The Prometheus text format, version 0.0.4, and OpenMetrics: families of numbers become text.

It knows names, escaping and order; where the numbers come from is `own_metrics`'s business.
The formats: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from werkzeug.http import parse_accept_header

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

OPENMETRICS_END = "# EOF\n"
"""The last line of OpenMetrics, by which a reader knows that it has all."""

Kind = Literal["counter", "gauge", "unknown"]
"""What a family's values are; unknown where nobody said."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `samples` are values by their labels, which differ among them.

    A counter's name ends in ``_total``; the unit stands before that, and is a base unit.
    """

    name: str
    help: str
    kind: Kind
    samples: tuple[tuple[Mapping[str, str], float], ...]

    @classmethod
    def single(cls, name: str, help: str, kind: Kind, value: float) -> Family:
        """A metric without labels."""
        return cls(name, help, kind, (({}, value),))


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header names OpenMetrics, and would not rather have the older format."""
    offers = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for media, weight in parse_accept_header(accept):
        name = media.partition(";")[0].strip().lower()
        if name in offers:
            offers[name] = max(offers[name], weight)
    return 0 < offers["application/openmetrics-text"] >= offers["text/plain"]


def text(families: Iterable[Family], *, openmetrics: bool = False) -> str:
    """These families as text, in their order; of OpenMetrics without its end.

    Raises `ValueError` where a name is none or a family stands twice: the server's own fault,
    since names are never somebody's input.  Values of labels may be anything.
    """
    found: list[str] = []
    seen: set[str] = set()
    for family in families:
        counts = family.kind == "counter"
        if not _NAME.fullmatch(family.name) or family.name.endswith("_total") is not counts:
            raise ValueError(f"{family.name} is no name of a {family.kind}")
        if family.name in seen:
            raise ValueError(f"{family.name} stands twice")
        seen.add(family.name)
        found.append(head(family.name, family.help, family.kind, openmetrics=openmetrics))
        found += [f"{family.name}{_labels(labels)} {number(v)}\n" for labels, v in family.samples]
    return "".join(found)


def head(name: str, help: str, kind: Kind, *, openmetrics: bool) -> str:
    """The lines that stand before a family's samples.

    OpenMetrics calls the family of a counter by its name without the ending.
    """
    if openmetrics:
        name = name.removesuffix("_total") if kind == "counter" else name
        said = escaped(help).replace('"', '\\"')
        return f"# HELP {name} {said}\n# TYPE {name} {kind}\n"
    written = "untyped" if kind == "unknown" else kind
    return f"# HELP {name} {escaped(help)}\n# TYPE {name} {written}\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    for name in labels:
        if not _LABEL.fullmatch(name) or name.startswith("__"):
            raise ValueError(f"{name} is no name of a label")
    inner = ",".join(f'{name}="{quoted(labels[name])}"' for name in labels)
    return f"{{{inner}}}"


def quoted(value: str) -> str:
    """A label's value as it stands between its quotes.

    The formats let anything stand there, and have no escape for what ends lines elsewhere, moves
    cursors or turns text around: that is written by its number, as text.
    """
    return _UNSAFE.sub(_by_number, escaped(value).replace('"', '\\"'))


def _by_number(found: re.Match[str]) -> str:
    return f"\\\\u{ord(found[0]):04x}"


def escaped(value: str) -> str:
    """A help text on one line."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def number(value: float) -> str:
    """A value as both formats write it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
