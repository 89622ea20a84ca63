"""Which series help to understand an alert of a rule: those beside the one that decided.

A table from what an alert is about to a few KEYs; attributes that an alert has, as its mountpoint
or device, pick among the series of a metric.  It knows no values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from monitor.model import Schema, SeriesKey, key

MOST_SERIES = 6
"""Drawn beside each other, the alert's own among them."""

MOST_VALUES = 12
"""Whose values are told."""

_CPU = "system.cpu.utilization"
_PRESSURE = "system.linux.pressure"
_FREE = key("system.filesystem.usage", state="free")
_AVAILABLE = key("system.memory.usage", state="available")

_PROCESSOR = (
    _CPU,
    key(_PRESSURE, resource="cpu", kind="some"),
    "system.cpu.load_average.1m",
    key(_CPU, state="iowait"),
    key(_CPU, state="steal"),
    "system.tasks.running",
)
_MEMORY = (
    "system.memory.utilization",
    _AVAILABLE,
    key(_PRESSURE, resource="memory", kind="full"),
    "system.paging.utilization",
    "system.paging.operations",
    key("system.paging.faults", kind="major"),
    "system.memory.oom_kills",
)
_STORAGE = (
    key(_PRESSURE, resource="io", kind="full"),
    "system.disk.utilization",
    "system.disk.await",
    "system.disk.io",
    "system.tasks.blocked",
    key(_CPU, state="iowait"),
)
_SPACE = (
    "system.filesystem.utilization",
    _FREE,
    "system.filesystem.limit",
    "system.filesystem.inodes.utilization",
    "system.filesystem.readonly",
)
_NETWORK = (
    "system.network.io",
    "system.network.utilization",
    "system.network.errors",
    "system.network.dropped",
    "system.network.speed",
    "system.network.up",
)
_HEAT = (
    "hw.temperature",
    "hw.temperature.limit",
    "hw.fan.speed",
    _CPU,
    "system.cpu.frequency",
)
_UNIT = ("cgroup.memory.usage", "cgroup.memory.limit", "cgroup.cpu.time", "cgroup.pids.count")
_CONNECTIONS = (
    "system.network.conntrack.count",
    "system.network.conntrack.max",
    "system.network.tcp.established",
    "system.network.sockets",
)
_HOST = (_CPU, "system.memory.utilization", "system.cpu.load_average.1m", "system.uptime")

_BY_PREFIX: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("system.network.conntrack", _CONNECTIONS),
    ("system.network", _NETWORK),
    (key(_PRESSURE, resource="memory", kind="full"), _MEMORY),
    ("system.linux.pressure", (*_STORAGE[:2], *_PROCESSOR[:3], *_MEMORY[:3])),
    ("system.cpu", _PROCESSOR),
    ("system.memory", _MEMORY),
    ("system.paging", _MEMORY),
    ("system.filesystem", _SPACE),
    ("system.disk", _STORAGE),
    ("system.file_descriptors", ("system.file_descriptors.count", "system.file_descriptors.limit")),
    (
        "system.processes.file_descriptors",
        ("system.file_descriptors.count", "system.network.tcp.established"),
    ),
    ("system.processes", ("system.processes.count", "system.tasks.count", *_PROCESSOR[:3])),
    ("system.tasks", ("system.tasks.count", "system.tasks.limit", "system.processes.count")),
    ("system.cgroups", ("system.tasks.count", "system.processes.count")),
    ("system.clock", ("system.clock.offset", "system.clock.max_error")),
    ("cgroup", _UNIT),
    ("hw.temperature", _HEAT),
    ("hw.battery", ("hw.battery.charge", "hw.battery.discharging", "hw.battery.time_left")),
    ("monitor.collector", ("monitor.collector.duration", _CPU, _STORAGE[0])),
    ("monitor.", (_CPU, "system.memory.utilization", _STORAGE[0])),
)
"""By how an alert's metric begins, the more exact one first."""


def related(metric: str, attributes: Mapping[str, str], schema: Schema) -> list[str]:
    """The KEYs of a host's series that help with an alert of a metric, the alert's own left out.

    Of a metric with attributes those series count that agree with the alert's own attributes.
    """
    found: dict[str, None] = {}
    for entry in _wanted(metric):
        columns = schema.columns_by_name.get(entry.name, ())
        for column in _picked(entry, attributes, schema, columns):
            found.setdefault(schema.texts[column])
            if len(found) == MOST_VALUES:
                return list(found)
    return list(found)


@lru_cache(maxsize=1_024)
def _wanted(metric: str) -> tuple[SeriesKey, ...]:
    texts = next((keys for start, keys in _BY_PREFIX if metric.startswith(start)), _HOST)
    return tuple(map(SeriesKey.parse, texts))


def _picked(
    entry: SeriesKey, attributes: Mapping[str, str], schema: Schema, columns: Iterable[int]
) -> list[int]:
    """The series of one entry: the bare one, where there is one and nothing is asked."""
    asked = dict(entry.attributes)
    agreeing = []
    for column in columns:
        own = dict(schema.keys[column].attributes)
        if not own and not asked:
            return [column]
        if all(own.get(name) == value for name, value in asked.items()) and all(
            attributes.get(name, value) == value for name, value in own.items() if name not in asked
        ):
            agreeing.append(column)
    return agreeing[:4]
