"""Shares of one subject at one instant: of the processors, of memory, of a disk.

Each function is given the subject's name, what is known of the instant before (none where there
was none) and of the present one, and gives KEYs with values, NaN where something does not follow.
A part is told by two words; what they are stands with each function.  The rules are those of
`monitor.collect`, so that a host looks the same whoever reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitor.model import key


@dataclass(slots=True)
class Instant:
    """What is known of a subject at `at`, in unix seconds."""

    at: float
    parts: dict[tuple[str, str], float] = field(default_factory=dict)

    def __getitem__(self, what: str) -> float:
        """The part of a subject that has no parts of its own; NaN where it is not there."""
        return self.parts.get(("", what), _NAN)


MADE = frozenset(
    {
        "system.cpu.utilization",
        "system.cpu.utilization.ordinary",
        "system.cpu.logical.count",
        "system.memory.usage",
        "system.memory.limit",
        "system.memory.utilization",
        "system.paging.usage",
        "system.paging.utilization",
        "system.filesystem.usage",
        "system.filesystem.limit",
        "system.filesystem.utilization",
        "system.filesystem.inodes.usage",
        "system.filesystem.inodes.utilization",
        "system.disk.utilization",
        "system.disk.queue",
        "system.disk.await",
        "system.network.utilization",
        "system.network.errors.ratio",
        "system.network.dropped.ratio",
        "hw.temperature.utilization",
        "system.linux.pressure",
        "system.file_descriptors.utilization",
        "system.network.conntrack.utilization",
        "system.tasks.utilization",
        "system.processes.count",
        "system.uptime",
    }
)
"""Every metric that some function here makes."""

WAITING_STATES = frozenset({"idle", "iowait"})
"""In which a processor does nothing."""

MEMORY_STATES = ("used", "free", "cached", "buffers")
"""Whose sum is the memory of a Linux host, as the Collector tells it."""

UNALLOCATED = "unallocated"
"""A filesystem's space that holds nothing, what only root may write among it: what is used is told
by it where only the size is told beside."""

FEWEST_PACKETS = 1000.0
"""Of fewer packets no share of bad ones is made: it is 0."""

ASSUMED_CELSIUS = 85.0
"""What is hot for a sensor that has no limit of its own."""

LOWEST_LIMIT_CELSIUS = 30.0
"""A limit below it is a driver's word for none."""

_BITS_PER_BYTE = 8
_NAN = math.nan


def processors(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From (processor, state): seconds.  A processor without a name is the whole host.

    What did not grow counts as no time, as idle and iowait may step back a little; a processor
    that has spent less time in all than before was reset, and nothing is known of it.
    """
    del name
    if before is None:
        return {}
    grown: dict[str, dict[str, float]] = {}
    sums: dict[str, float] = {}
    for (cpu, state), late in now.parts.items():
        more = late - before.parts.get((cpu, state), _NAN)
        if not math.isnan(more):
            grown.setdefault(cpu, {})[state] = max(0.0, more)
            sums[cpu] = sums.get(cpu, 0.0) + more
    grown = {cpu: spent for cpu, spent in grown.items() if sums[cpu] > 0}
    host = grown.pop("", None)
    if host is None:
        host = {}
        for spent in grown.values():
            for state, seconds in spent.items():
                host[state] = host.get(state, 0.0) + seconds
    nice = host.get("nice", 0.0)
    found = {
        "system.cpu.utilization": _busy(host),
        "system.cpu.utilization.ordinary": _busy(host) - _ratio(nice, sum(host.values())),
    }
    for cpu, spent in grown.items():
        found[key("system.cpu.utilization", cpu=cpu)] = _busy(spent)
    whole = sum(host.values())
    for state, seconds in host.items():
        found[key("system.cpu.utilization", state=state)] = _ratio(seconds, whole)
    names = {cpu for cpu, _ in now.parts if cpu}
    found["system.cpu.logical.count"] = float(len(names)) if names else _NAN
    return found


def _busy(spent: Mapping[str, float]) -> float:
    waited = sum(seconds for state, seconds in spent.items() if state in WAITING_STATES)
    whole = sum(spent.values())
    return _ratio(whole - waited, whole)


def memory(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From state, or ``limit``: bytes.

    The share is of what is not available to new work, reclaimable ARC counting as available;
    where a sender does not say what is available, it is the share that is used.  Where it says no
    limit, that is the sum of the states, once they are sure to be all of them.
    """
    del name
    used, available, limit = now["used"], now["available"], now["limit"]
    found = {}
    if math.isnan(limit):
        states = [now[state] for state in MEMORY_STATES]
        if before is not None:
            states = [size for size in states if math.isfinite(size)]
        whole = sum(states)  # of what somebody says: it may be more than a number can be
        limit = found["system.memory.limit"] = whole if 0 < whole < math.inf else _NAN
    taken = used
    if not math.isnan(available):
        if math.isnan(used):
            found[key("system.memory.usage", state="used")] = limit - available
        reclaimable = now["arc_reclaimable"]
        taken = limit - available - (0.0 if math.isnan(reclaimable) else reclaimable)
    found["system.memory.utilization"] = _ratio(taken, limit)
    return found


def swap(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From (device, state), or ``limit``: bytes; devices are summed."""
    del name, before
    devices = {device for device, state in now.parts if state in {"used", "free"}}
    used = _sum(now.parts.get((device, "used"), _NAN) for device in devices)
    free = _sum(now.parts.get((device, "free"), _NAN) for device in devices)
    limit = now["limit"]
    used = limit - free if math.isnan(used) else used
    limit = used + free if math.isnan(limit) else limit
    if not limit > 0:
        return {}
    return {
        key("system.paging.usage", state="used"): used,
        key("system.paging.usage", state="free"): free,
        "system.paging.utilization": _ratio(used, limit),
    }


def filesystem(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From state, or ``limit``: bytes.  The share is of what an ordinary user may write."""
    del before
    used, free, limit = now["used"], now["free"], now["limit"]
    found = {}
    if math.isnan(used):
        used = limit - now[UNALLOCATED]
        reserved = max(0.0, now[UNALLOCATED] - free)
        found[key("system.filesystem.usage", mountpoint=name, state="used")] = used
        found[key("system.filesystem.usage", mountpoint=name, state="reserved")] = reserved
    if math.isnan(limit):
        reserved = now["reserved"] if math.isfinite(now["reserved"]) else 0.0
        found[key("system.filesystem.limit", mountpoint=name)] = used + free + reserved
    found[key("system.filesystem.utilization", mountpoint=name)] = _ratio(used, used + free)
    return found


def inodes(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From state, or ``limit``: inodes."""
    del before
    used, free = now["used"], now["free"]
    found = {}
    if math.isnan(used):
        used = now["limit"] - free
        found[key("system.filesystem.inodes.usage", mountpoint=name, state="used")] = used
    share = _ratio(used, used + free)
    found[key("system.filesystem.inodes.utilization", mountpoint=name)] = share
    return found


def disk(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From ``busy`` and ``weighted``, (direction, ``time``): seconds; (direction, ``count``)."""
    if before is None:
        return {}
    elapsed_seconds = now.at - before.at
    grown = {part: _grown(before, now, part) for part in now.parts}
    busy = grown.get(("", "busy"), _NAN) / elapsed_seconds
    queue = grown.get(("", "weighted"), _NAN) / elapsed_seconds
    found = {
        key("system.disk.utilization", device=name): _at_most_one(busy),
        key("system.disk.queue", device=name): queue,
    }
    for direction, what in now.parts:
        if what == "time" and direction:
            mean = _ratio(grown[direction, what], grown.get((direction, "count"), _NAN))
            found[key("system.disk.await", device=name, direction=direction)] = mean
    return found


def network(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From ``receive`` and ``transmit``: bytes, and ``speed``: bits per second."""
    if before is None:
        return {}
    grown = [_grown(before, now, ("", direction)) for direction in ("receive", "transmit")]
    share = _ratio(max(grown) * _BITS_PER_BYTE / (now.at - before.at), now["speed"])
    known = not any(map(math.isnan, grown))
    return {
        key("system.network.utilization", interface=name): _at_most_one(share) if known else _NAN
    }


def packets(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From (direction, ``packets``, ``errors`` or ``dropped``): what share of them was bad."""
    if before is None:
        return {}
    found = {}
    for what in ("errors", "dropped"):
        shares = [
            _bad(_grown(before, now, (way, what)), _grown(before, now, (way, "packets")))
            for way in ("receive", "transmit")
            if (way, what) in now.parts
        ]
        if shares:
            found[key(f"system.network.{what}.ratio", interface=name)] = max(shares)
    return found


def _bad(bad: float, good: float) -> float:
    """0 of few packets, and where a counter went back."""
    whole = bad + good
    return bad / whole if bad > 0 and whole >= FEWEST_PACKETS else 0.0


def temperatures(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From (sensor, ``value``) and (sensor, kind of limit): degrees, of all sensors of a device."""
    del before
    found = {}
    for (sensor, what), degrees in now.parts.items():
        if what != "value":
            continue
        limits = {
            kind: limit
            for kind in ("high", "critical")
            if (limit := now.parts.get((sensor, kind), _NAN)) >= LOWEST_LIMIT_CELSIUS
        }
        for kind, limit in (limits or {"assumed": ASSUMED_CELSIUS}).items():
            text = key("hw.temperature.utilization", device=name, sensor=sensor, kind=kind)
            found[text] = degrees / limit
    return found


def pressure(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From kind: seconds of waiting.  The share is of the time since the instant before."""
    if before is None:
        return {}
    return {
        key("system.linux.pressure", kind=part[1], resource=name): _at_most_one(
            _grown(before, now, part) / (now.at - before.at)
        )
        for part in now.parts
        if part[1]
    }


def descriptors(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From ``count`` and ``limit``."""
    del name, before
    return {"system.file_descriptors.utilization": _ratio(now["count"], now["limit"])}


def conntrack(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From ``count`` and ``limit``."""
    del name, before
    return {"system.network.conntrack.utilization": _ratio(now["count"], now["limit"])}


def tasks(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From ``count`` and ``limit``."""
    del name, before
    return {"system.tasks.utilization": _ratio(now["count"], now["limit"])}


def processes(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From state: processes in it.  All of them, once the states are sure to be all."""
    del name
    states = [count for (_, state), count in now.parts.items() if state]
    whole = before is not None and ("", "") not in now.parts and len(states) > 1
    return {"system.processes.count": _sum(states) if whole else _NAN}


def uptime(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From ``boot``: when that was, in unix seconds."""
    del name, before
    return {"system.uptime": max(0.0, now.at - now["boot"]) if now["boot"] > 0 else _NAN}


def total(name: str, before: Instant | None, now: Instant) -> dict[str, float]:
    """From whatever there is: its sum, under the subject's own name."""
    del before
    return {name: _sum(now.parts.values())}


def _grown(before: Instant, now: Instant, part: tuple[str, str]) -> float:
    """How much a counter grew; NaN where it went back or is not known at both instants."""
    more = now.parts.get(part, _NAN) - before.parts.get(part, _NAN)
    return more if more >= 0 else _NAN


def _ratio(share: float, whole: float) -> float:
    return share / whole if whole > 0 else _NAN


def _at_most_one(share: float) -> float:
    return min(share, 1.0)  # NaN stays: min() keeps what stands first


def _sum(values: Iterable[float]) -> float:
    """The sum; NaN where there is nothing, or one of them is not known."""
    found = list(values)
    return sum(found) if found else _NAN
