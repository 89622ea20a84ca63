"""Hosts that are not Linux: what psutil gives, under the same KEYs.

Counters are read at every tick, what changes slowly seldom, and processes in a file of their
own.  On Linux they are run by tests alone, as a second opinion on
the collectors that read /proc.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psutil

from monitor.collect.files import Root
from monitor.collect.secrets import escape
from monitor.errors import Absent
from monitor.model import Reading, key

MOST_PARTS = 128
"""How many disks, interfaces, filesystems or sensors have series."""

CPU_STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""The states of a processor that a psutil of any system may know."""

_IDLE = ("idle", "iowait")
_MEMORY_STATES = ("free", "available", "buffers", "cached", "shared", "active", "inactive")

_NAN = math.nan


def require_own(root: Root) -> None:
    """Raise `Absent` where the root is not this machine's."""
    if not root.is_own:
        raise Absent("psutil reads this machine only, and the root is another")


class Portable:
    """Processors, load, memory, disks, network and uptime."""

    name = "portable"
    interval_seconds = 0.0
    budget_seconds = 0.1

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._root = root
        self._before: list[dict[str, float]] = []

    def collect(self, now: float) -> Reading:
        """Ask psutil.  What a system does not have is left out."""
        require_own(self._root)
        values = self._processors()
        values.update(_load())
        values.update(_memory())
        values.update(_disks())
        values.update(_network())
        boot = psutil.boot_time()
        values["system.uptime"] = max(0.0, now - boot)
        values["system.boot_time"] = boot
        return Reading(values)

    def close(self) -> None:
        """Nothing is kept."""

    def _processors(self) -> dict[str, float]:
        times = [_times(found) for found in psutil.cpu_times(percpu=True)]
        whole = {state: sum(each[state] for each in times) for state in times[0]}
        values = {
            key("system.cpu.time", cpu=str(number), state=state): spent
            for number, each in enumerate(times)
            for state, spent in each.items()
        }
        present = [whole, *times]
        before = self._before if len(self._before) == len(present) else [{}] * len(present)
        shares = [_shares(old, new) for old, new in zip(before, present, strict=True)]
        self._before = present
        values["system.cpu.utilization"] = _busy(shares[0])
        for number, share in enumerate(shares[1:]):
            values[key("system.cpu.utilization", cpu=str(number))] = _busy(share)
        for state, ratio in shares[0].items():
            values[key("system.cpu.utilization", state=state)] = ratio
        values["system.cpu.logical.count"] = float(len(times))
        counts = psutil.cpu_stats()
        values["system.cpu.context_switches"] = float(counts.ctx_switches)
        values["system.cpu.interrupts"] = float(counts.interrupts)
        return values


class PortableSlow:
    """Filesystems, users, temperatures, fans, the battery, and this program's own cost."""

    name = "portable_slow"
    interval_seconds = 10.0
    budget_seconds = 0.5

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._root = root
        self._own = psutil.Process()

    def collect(self, now: float) -> Reading:
        """Ask psutil.  What a system does not have is left out."""
        require_own(self._root)
        values = _filesystems()
        values["system.users.count"] = float(len({user.name for user in psutil.users()}))
        values.update(_sensors())
        spent = self._own.cpu_times()
        values[key("process.cpu.time", state="user")] = spent.user
        values[key("process.cpu.time", state="system")] = spent.system
        values["process.memory.usage"] = float(self._own.memory_info().rss)
        values["process.threads"] = float(self._own.num_threads())
        values[key("process.uptime", process="monitor")] = max(0.0, now - self._own.create_time())
        with contextlib.suppress(AttributeError, psutil.Error):
            values["process.open_file_descriptors"] = float(self._own.num_fds())
        return Reading(values)

    def close(self) -> None:
        """Nothing is kept."""


def _times(found: Any) -> dict[str, float]:
    """Times by state; user and nice already hold the guests' time."""
    return {s: float(getattr(found, s)) for s in CPU_STATES if hasattr(found, s)}


def _shares(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    spent = {state: max(0.0, after[state] - before.get(state, _NAN)) for state in after}
    total = sum(spent.values())
    return {state: each / total if total > 0 else _NAN for state, each in spent.items()}


def _busy(shares: Mapping[str, float]) -> float:
    return sum(share for state, share in shares.items() if state not in _IDLE)


def _load() -> dict[str, float]:
    names = ("1m", "5m", "15m")
    try:
        found = psutil.getloadavg()
    except (AttributeError, OSError):
        return {}
    return {
        f"system.cpu.load_average.{name}": load for name, load in zip(names, found, strict=True)
    }


def _memory() -> dict[str, float]:
    found, swap = psutil.virtual_memory(), psutil.swap_memory()
    usage = {"used": found.total - found.available}
    usage.update({s: getattr(found, s) for s in _MEMORY_STATES if hasattr(found, s)})
    values = {key("system.memory.usage", state=s): float(each) for s, each in usage.items()}
    values["system.memory.limit"] = float(found.total)
    values["system.memory.utilization"] = usage["used"] / found.total if found.total else _NAN
    if swap.total:
        values[key("system.paging.usage", state="used")] = float(swap.used)
        values[key("system.paging.usage", state="free")] = float(swap.free)
        values["system.paging.utilization"] = swap.used / swap.total
    return values


def _disks() -> dict[str, float]:
    values: dict[str, float] = {}
    for device, found in _first(psutil.disk_io_counters(perdisk=True) or {}):
        for direction in ("read", "write"):
            attributes = {"device": device, "direction": direction}
            values[key("system.disk.io", **attributes)] = float(
                getattr(found, f"{direction}_bytes")
            )
            values[key("system.disk.operations", **attributes)] = float(
                getattr(found, f"{direction}_count")
            )
            values[key("system.disk.operation_time", **attributes)] = (
                getattr(found, f"{direction}_time", _NAN) / 1e3
            )
        if hasattr(found, "busy_time"):
            values[key("system.disk.io_time", device=device)] = found.busy_time / 1e3
    return values


def _network() -> dict[str, float]:
    values: dict[str, float] = {}
    links = psutil.net_if_stats()
    for interface, found in _first(psutil.net_io_counters(pernic=True)):
        if interface.startswith("veth"):
            continue
        for direction, io, packets, errors, dropped in (
            ("receive", found.bytes_recv, found.packets_recv, found.errin, found.dropin),
            ("transmit", found.bytes_sent, found.packets_sent, found.errout, found.dropout),
        ):
            for name, count in (
                *(("io", io), ("packets", packets)),
                *(("errors", errors), ("dropped", dropped)),
            ):
                text = key(f"system.network.{name}", interface=interface, direction=direction)
                values[text] = float(count)
        link = links.get(interface)
        if link is not None:
            values[key("system.network.up", interface=interface)] = float(link.isup)
            if link.speed > 0:
                values[key("system.network.speed", interface=interface)] = link.speed * 1e6
    return values


def _filesystems() -> dict[str, float]:
    values: dict[str, float] = {}
    for partition in psutil.disk_partitions()[:MOST_PARTS]:
        try:
            found = psutil.disk_usage(partition.mountpoint)
        except OSError:
            continue
        point = escape(partition.mountpoint)
        readonly = "ro" in partition.opts.split(",")
        values |= {
            key("system.filesystem.usage", mountpoint=point, state="used"): float(found.used),
            key("system.filesystem.usage", mountpoint=point, state="free"): float(found.free),
            key("system.filesystem.limit", mountpoint=point): float(found.total),
            key("system.filesystem.utilization", mountpoint=point): found.percent / 100,
            key("system.filesystem.readonly", mountpoint=point): float(readonly),
        }
    return values


def _sensors() -> dict[str, float]:
    values: dict[str, float] = {}
    for device, sensors in _first(_ask("sensors_temperatures")):
        for number, found in enumerate(sensors[:MOST_PARTS], 1):
            names = {"device": escape(device), "sensor": escape(found.label) or f"temp{number}"}
            values.setdefault(key("hw.temperature", **names), _number(found.current))
            for kind in ("high", "critical"):
                limit = getattr(found, kind)
                if limit:
                    text = key("hw.temperature.limit", kind=kind, **names)
                    values.setdefault(text, float(limit))
    for device, sensors in _first(_ask("sensors_fans")):
        for number, found in enumerate(sensors[:MOST_PARTS], 1):
            names = {"device": escape(device), "sensor": escape(found.label) or f"fan{number}"}
            values.setdefault(key("hw.fan.speed", **names), _number(found.current))
    battery = _ask("sensors_battery")
    if battery:
        names = {"device": "battery", "kind": "battery"}
        left = battery.secsleft
        values[key("hw.battery.charge", **names)] = battery.percent / 100
        values[key("hw.battery.discharging", **names)] = float(battery.power_plugged is False)
        values[key("hw.battery.time_left", **names)] = float(left) if left >= 0 else _NAN
    return values


def _ask(name: str) -> Any:
    """What a function of psutil that not every system has returns, or an empty dict."""
    asked: Callable[[], Any] | None = getattr(psutil, name, None)
    if asked is None:
        return {}
    try:
        return asked() or {}
    except (OSError, RuntimeError, NotImplementedError):
        return {}


def _number(value: float | None) -> float:
    return _NAN if value is None else float(value)


def _first(found: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """The first so many, by name, so that a bound leaves out the same ones each time."""
    return ((name, found[name]) for name in sorted(found)[:MOST_PARTS])
