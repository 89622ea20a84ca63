"""A host's headline numbers: what the fleet page shows of it, and the fleet frame carries.

Where a host has many of a thing, the headline is the fullest filesystem and the sum of the
network interfaces other than loopback; both come under the bare name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.core.state import HostState
from monitor.model import Schema, key

_PRESSURES = ("cpu", "memory", "io")

HEADLINE_KEYS: tuple[str, ...] = (
    "system.cpu.utilization",
    "system.memory.utilization",
    "system.paging.utilization",
    "system.filesystem.utilization",
    "system.cpu.load_average.1m",
    *(key("system.linux.pressure", kind="some", resource=name) for name in _PRESSURES),
    *(key("system.linux.pressure", kind="full", resource=name) for name in _PRESSURES[1:]),
    key("system.network.io", direction="receive"),
    key("system.network.io", direction="transmit"),
    "system.uptime",
)
"""The columns of the fleet frame, in order."""

PLANS = 4_096
"""Schemas whose plan is remembered: hosts keep theirs for long."""

_SUMMED = {
    key("system.network.io", direction="receive"): "receive",
    key("system.network.io", direction="transmit"): "transmit",
}


def headline(host: HostState) -> list[float]:
    """The host's value in each of `HEADLINE_KEYS`; NaN where it has none, or an old one."""
    plan = _plan(host.schema)
    values = host.current(plan.columns).tolist()
    return [_reduced(reduction, values) for reduction in plan.reductions]


class _Reduction(NamedTuple):
    """How one headline number is made from some of the values that were looked up."""

    first: int
    last: int
    reduce: Callable[[list[float]], float]


class _Plan(NamedTuple):
    """The columns that a schema's headline needs, and how they become its numbers."""

    columns: NDArray[np.intp]
    reductions: tuple[_Reduction, ...]


@lru_cache(maxsize=PLANS)
def _plan(schema: Schema) -> _Plan:
    columns: list[int] = []
    reductions: list[_Reduction] = []
    for text in HEADLINE_KEYS:
        found = _columns(schema, text)
        reduce = sum if text in _SUMMED else max
        reductions.append(_Reduction(len(columns), len(columns) + len(found), reduce))
        columns += found
    return _Plan(np.array(columns, np.intp), tuple(reductions))


def _reduced(reduction: _Reduction, values: list[float]) -> float:
    found = values[reduction.first : reduction.last]
    if len(found) == 1:
        return found[0]
    known = [value for value in found if math.isfinite(value)]
    return reduction.reduce(known) if known else math.nan


def _columns(schema: Schema, text: str) -> list[int]:
    """The columns that one headline number is made of."""
    direction = _SUMMED.get(text)
    if direction is not None:
        keys = schema.keys
        return [
            column
            for column in schema.columns_by_name.get("system.network.io", ())
            if keys[column].get("direction") == direction and keys[column].get("interface") != "lo"
        ]
    if text in schema.index:
        return [schema.index[text]]
    if text == "system.filesystem.utilization":
        return list(schema.columns_by_name.get(text, ()))
    return []
