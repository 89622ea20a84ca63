"""The Prometheus text format, version 0.0.4: families of numbers become text.

It knows names, escaping and order; where the numbers come from is `own_metrics`'s business.
The format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `samples` are values by their labels, which differ among them.

    A counter's name ends in ``_total``; the unit stands before that, and is a base unit.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge"]
    samples: tuple[tuple[Mapping[str, str], float], ...]

    @classmethod
    def single(
        cls, name: str, help: str, kind: Literal["counter", "gauge"], value: float
    ) -> Family:
        """A metric without labels."""
        return cls(name, help, kind, (({}, value),))


def text(families: Iterable[Family]) -> str:
    """These families as text, in their order.

    Raises `ValueError` where a name is none or a family stands twice: the server's own fault,
    since names are never somebody's input.  Values of labels may be anything.
    """
    lines: list[str] = []
    seen: set[str] = set()
    for family in families:
        counts = family.kind == "counter"
        if not _NAME.fullmatch(family.name) or family.name.endswith("_total") is not counts:
            raise ValueError(f"{family.name} is no name of a {family.kind}")
        if family.name in seen:
            raise ValueError(f"{family.name} stands twice")
        seen.add(family.name)
        lines.append(f"# HELP {family.name} {_escaped(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines += [f"{family.name}{_labels(labels)} {_number(v)}" for labels, v in family.samples]
    return "".join(line + "\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    for name in labels:
        if not _LABEL.fullmatch(name) or name.startswith("__"):
            raise ValueError(f"{name} is no name of a label")
    inner = ",".join(
        '{}="{}"'.format(name, _escaped(labels[name]).replace('"', '\\"')) for name in labels
    )
    return f"{{{inner}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
