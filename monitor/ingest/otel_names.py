"""OpenTelemetry's metrics of hosts as the catalog's KEYs: attributes get their short names.

The catalog's names are OpenTelemetry's already.  What differs are attributes, of which there are
two generations: those that the Collector's hostmetrics receiver writes (``device``, ``state``) and
those of the semantic conventions (``system.memory.state``, ``network.interface.name``).  Metrics
that are not the catalog's keep their names and all their attributes.  Sources: the conventions of
system metrics, https://opentelemetry.io/docs/specs/semconv/system/system-metrics/, and the
documentation of each scraper of the hostmetrics receiver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from monitor.core.catalog import CATALOG
from monitor.ingest.node_exporter import NO_STORAGE
from monitor.model import SeriesKey

_GOPSUTIL_PAGE_BYTES = 4_096.0
"""The receiver writes pages swapped in and out as bytes, of pages of this size."""


class Told(NamedTuple):
    """A KEY and what a value is to be multiplied with."""

    key: SeriesKey
    factor: float = 1.0


_SHORT = {
    "cpu.logical_number": "cpu",
    "cpu.mode": "state",
    "system.cpu.logical_number": "cpu",
    "system.cpu.state": "state",
    "system.memory.state": "state",
    "linux.memory.slab.state": "state",
    "system.memory.linux.slab.state": "state",
    "system.paging.state": "state",
    "system.paging.direction": "direction",
    "system.paging.fault.type": "type",
    "system.paging.type": "type",
    "system.device": "device",
    "system.filesystem.mode": "mode",
    "system.filesystem.mountpoint": "mountpoint",
    "system.filesystem.state": "state",
    "system.filesystem.type": "type",
    "disk.io.direction": "direction",
    "network.io.direction": "direction",
    "network.interface.name": "interface",
    "network.transport": "protocol",
    "network.connection.state": "state",
    "system.process.status": "status",
    "process.state": "status",
    "process.status": "status",
}
"""Longer names of attributes."""

_NAMES = {
    "system.network.dropped_packets": "system.network.dropped",
    "system.network.packet.dropped": "system.network.dropped",
    "system.network.packet.count": "system.network.packets",
    "system.network.connection.count": "system.network.connections",
    "system.process.count": "system.processes.count",
    "system.process.created": "system.processes.created",
    "system.linux.memory.available": "system.memory.usage",
    "system.memory.linux.available": "system.memory.usage",
    "system.linux.memory.dirty": "system.memory.usage",
    "system.linux.memory.slab.usage": "system.memory.usage",
    "system.memory.linux.slab.usage": "system.memory.usage",
    "system.disk.limit": "system.disk.limit",
}
"""Metrics that go by another name here."""

_FIXED = {
    "system.linux.memory.available": "available",
    "system.memory.linux.available": "available",
    "system.linux.memory.dirty": "dirty",
}
"""Their state, where the metric's name says it."""

_STATES = {"wait": "iowait", "interrupt": "irq", "buffered": "buffers", "kernel": "system"}
_STATUSES = {"zombies": "zombie", "defunct": "zombie", "zombie": "zombie"}
_DIRECTIONS = {"page_in": "in", "page_out": "out", "received": "receive", "transmitted": "transmit"}

_LEFT_OUT = {
    "system.filesystem.usage": frozenset({"device", "mode", "type"}),
    "system.filesystem.limit": frozenset({"device", "mode", "type"}),
    "system.filesystem.utilization": frozenset({"device", "mode", "type"}),
    "system.filesystem.inodes.usage": frozenset({"device", "mode", "type"}),
    "system.network.conntrack.count": frozenset({"device"}),
    "system.network.conntrack.max": frozenset({"device"}),
}
"""Attributes that say nothing more of a series: a mountpoint has one device."""

_PER_DEVICE = "system.paging.usage"
"""The receiver tells swap by device; `deriving` sums it."""

_NO_DISK = re.compile(
    r"(?:loop|ram|zram)\d+|(?:[hsv]|xv)d[a-z]+\d+|(?:nvme\d+n|mmcblk|md|nbd)\d+p\d+", re.ASCII
)
"""Partitions, and what is made of a file or of memory; as `monitor.collect` has it."""

_INNER_ENDS = "veth"
"""Of containers' cables; what they carry is seen on the bridge."""


def told(name: str, attributes: Mapping[str, str]) -> Told | None:
    """The KEY of a metric with these attributes; none where it is not to be kept.

    The KEY may break the rules for KEYs where its sender does.
    """
    ours = _NAMES.get(name, name)
    short = {_SHORT.get(attribute, attribute): value for attribute, value in attributes.items()}
    if name in _FIXED:
        short["state"] = _FIXED[name]
    if ours == "system.memory.usage" and "slab" in name:
        short["state"] = f"slab_{short.get('state', '')}"
    match ours.split(".")[:2]:
        case ["system", "cpu"]:
            short = _processor(short)
        case ["system", "memory"]:
            short = _renamed(short, "state", _STATES)
        case ["system", "disk"]:
            if _NO_DISK.fullmatch(short.get("device", "")):
                return None
        case ["system", "filesystem"]:
            if short.get("type", "") in NO_STORAGE:
                return None
        case ["system", "network"]:
            if ours == "system.network.connections":
                return _connections(short) or Told(_key(name, attributes))
            if "interface" not in short and "device" in short:
                short["interface"] = short.pop("device")
            short = _renamed(short, "direction", _DIRECTIONS)
            if short.get("interface", "").startswith(_INNER_ENDS):
                return None
        case ["system", "paging"]:
            return _paging(ours, _renamed(short, "direction", _DIRECTIONS))
        case ["system", "processes"]:
            if "status" in short:
                short["state"] = _STATUSES.get(short["status"], short["status"])
                del short["status"]
        case _:
            return Told(_key(name, attributes))
    short = {key: value for key, value in short.items() if key not in _LEFT_OUT.get(ours, ())}
    known = CATALOG.get(ours)
    if known is None or not short.keys() <= set(known.attributes):
        return Told(_key(name, attributes))
    return Told(_key(ours, short))


def _key(name: str, attributes: Mapping[str, str]) -> SeriesKey:
    return SeriesKey(name, tuple(sorted(attributes.items())))


def _renamed(short: dict[str, str], attribute: str, words: Mapping[str, str]) -> dict[str, str]:
    value = short.get(attribute)
    return short if value is None else {**short, attribute: words.get(value, value)}


def _processor(short: dict[str, str]) -> dict[str, str]:
    cpu = short.get("cpu", "")
    if cpu.startswith("cpu") and cpu[3:].isdigit():
        short = {**short, "cpu": cpu[3:]}
    return _renamed(short, "state", _STATES)


def _connections(short: Mapping[str, str]) -> Told | None:
    """TCP's that are established have a metric of their own."""
    if short.get("protocol") == "tcp" and short.get("state", "").lower() == "established":
        return Told(SeriesKey("system.network.tcp.established"))
    return None


def _paging(name: str, short: dict[str, str]) -> Told | None:
    direction, kind = short.get("direction", ""), short.get("type", "")
    if name == "system.paging.operations" and direction and kind:
        if kind != "major":
            return None  # what is read from files, told in a unit of nobody's
        found = SeriesKey.of(name, direction=direction)
        return Told(found, 1 / _GOPSUTIL_PAGE_BYTES)
    if name == "system.paging.faults" and kind:
        return Told(SeriesKey.of(name, kind=kind))
    return Told(_key(name, short))
