"""Which charts a host's page has: chosen from the series that the host sends.

A chart whose series do not exist is left out.  Where a host has more of a thing than can be
told apart, the busiest now are drawn; the tables below the charts have all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from monitor.model import key
from monitor.web.charts import MOST_LINES, Plan
from monitor.web.views import Reader

_CPU_STATES = ("user", "system", "nice", "iowait", "irq", "softirq", "steal", "guest")
"""From the bottom of the stack to its top."""

_PRESSURES = (
    ("some", "cpu", "CPU some"),
    ("some", "memory", "memory some"),
    ("full", "memory", "memory full"),
    ("some", "io", "IO some"),
    ("full", "io", "IO full"),
)


def plans(reader: Reader) -> tuple[Plan, ...]:
    """The charts of this host, in the order in which they stand on its page."""
    found = (
        _cpu(reader),
        _memory(reader),
        _lines(
            reader,
            Plan("load", "Load average", "decimal", ()),
            [(f"system.cpu.load_average.{m}", m) for m in ("1m", "5m", "15m")],
        ),
        _lines(
            reader,
            Plan("pressure", "Pressure", "percent", ()),
            [
                (key("system.linux.pressure", kind=kind, resource=resource), label)
                for kind, resource, label in _PRESSURES
            ],
        ),
        _pairs(
            reader,
            Plan("network", "Network", "bytes_per_second", ()),
            ("system.network.io", "interface", ("receive", "in"), ("transmit", "out")),
        ),
        _pairs(
            reader,
            Plan("disk", "Disk throughput", "bytes_per_second", ()),
            ("system.disk.io", "device", ("read", "read"), ("write", "write")),
        ),
        _lines(
            reader,
            Plan("busy", "Disk busy", "percent", (), top=1.0),
            [
                (key("system.disk.utilization", device=device), device)
                for device in _busiest(reader, MOST_LINES)
            ],
        ),
        _pairs(
            reader,
            Plan("await", "Disk response time", "seconds", ()),
            ("system.disk.await", "device", ("read", "read"), ("write", "write")),
        ),
        _paging(reader),
    )
    return tuple(plan for plan in found if plan is not None)


def _cpu(reader: Reader) -> Plan | None:
    states = [
        (key("system.cpu.utilization", state=state), state)
        for state in _CPU_STATES
        if reader.has(key("system.cpu.utilization", state=state))
    ]
    if states:
        return Plan("cpu", "CPU", "percent", tuple(states[:MOST_LINES]), stacked=True, top=1.0)
    plan = Plan("cpu", "CPU", "percent", (), top=1.0)
    return _lines(reader, plan, [("system.cpu.utilization", "busy")])


def _memory(reader: Reader) -> Plan | None:
    limit = reader.raw("system.memory.limit")
    top = limit if math.isfinite(limit) and limit > 0 else 0.0
    wanted = [
        (key("system.memory.usage", state=state), state) for state in ("used", "cached", "free")
    ]
    return _lines(reader, Plan("memory", "Memory", "bytes", (), top=top), wanted)


def _paging(reader: Reader) -> Plan | None:
    """Swap traffic, where the host has swap or has moved pages."""
    swap = reader.raw("system.paging.utilization")
    wanted = [
        (key("system.paging.operations", direction=direction), f"swap {direction}")
        for direction in ("in", "out")
    ]
    moved = any(reader.raw(text) > 0 for text, _ in wanted)
    if not moved and not math.isfinite(swap):
        return None
    return _lines(reader, Plan("paging", "Swap traffic", "per_second", ()), wanted)


def _lines(reader: Reader, plan: Plan, wanted: Iterable[tuple[str, str]]) -> Plan | None:
    lines = tuple((text, label) for text, label in wanted if reader.has(text))
    if not lines:
        return None
    return Plan(plan.id, plan.title, plan.style, lines[:MOST_LINES], plan.stacked, plan.top)


def _pairs(
    reader: Reader,
    plan: Plan,
    of: tuple[str, str, tuple[str, str], tuple[str, str]],
) -> Plan | None:
    """Two lines a device: what comes and what goes."""
    name, attribute, *directions = of
    if attribute == "device":
        owners = _busiest(reader, MOST_LINES // 2)
    else:
        owners = _loudest(reader, MOST_LINES // 2)
    wanted = [
        (key(name, direction=direction, **{attribute: owner}), f"{owner} {word}")
        for owner in owners
        for direction, word in directions
    ]
    return _lines(reader, plan, wanted)


def _busiest(reader: Reader, most: int) -> list[str]:
    """Disks by how busy they are now, then by name; those without a name of use are last."""
    devices = reader.attributes("system.disk.utilization", "device")
    ranked = sorted(
        devices,
        key=lambda d: -_number(reader.raw(key("system.disk.utilization", device=d))),
    )
    return [device for device in devices if device in set(ranked[:most])]


def _loudest(reader: Reader, most: int) -> list[str]:
    """Interfaces other than loopback and not down, by what they carry now."""
    found = {
        name
        for name in reader.attributes("system.network.io", "interface")
        if name != "lo" and reader.raw(key("system.network.up", interface=name)) != 0
    }
    ranked = sorted(found, key=lambda name: (-_carried(reader, name), name))
    return sorted(ranked[:most])


def _carried(reader: Reader, interface: str) -> float:
    return sum(
        _number(reader.raw(key("system.network.io", direction=d, interface=interface)))
        for d in ("receive", "transmit")
    )


def _number(value: float) -> float:
    return value if math.isfinite(value) else 0.0
