"""A host's headline numbers: what the fleet page shows of it, and the fleet frame carries.

Where a host has many of a thing, the headline is the fullest filesystem and the sum of the
network interfaces other than loopback; both come under the bare name.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

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

_SUMMED = {
    key("system.network.io", direction="receive"): "receive",
    key("system.network.io", direction="transmit"): "transmit",
}


def headline(host: HostState) -> list[float]:
    """The host's value in each of `HEADLINE_KEYS`; NaN where it has none, or an old one."""
    return [_reduced(host, text) for text in HEADLINE_KEYS]


def _reduced(host: HostState, text: str) -> float:
    if text in _SUMMED:
        columns = _columns(host.schema, text)
        return _over(host, columns, np.nansum)
    if text == "system.filesystem.utilization" and text not in host.schema.index:
        return _over(host, _columns(host.schema, text), np.nanmax)
    column = host.schema.index.get(text)
    return math.nan if column is None else float(host.current([column])[0])


def _over(host: HostState, columns: list[int], reduce: Callable[[np.ndarray], np.float64]) -> float:
    values = host.current(columns)
    return float(reduce(values)) if np.isfinite(values).any() else math.nan


def _columns(schema: Schema, text: str) -> list[int]:
    """The columns that are reduced to one headline number, remembered with the schema."""
    direction = _SUMMED.get(text)
    name = "system.network.io" if direction else text
    found = schema.columns_by_name.get(name, ())
    if direction is None:
        return list(found)
    keys = schema.keys
    return [
        column
        for column in found
        if keys[column].get("direction") == direction and keys[column].get("interface") != "lo"
    ]
