"""Control groups of containers and services: cgroup v2 files.

A unit is what an operator would name: a service, a container, a virtual machine, a user's
session slice; not the slices around them, nor the groups that a unit makes inside itself.
The hierarchy is listed anew every half minute, and the files are read with kept descriptors
as far as this collector's share goes.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from monitor.collect.cgroup_units import Unit, find_units, hierarchy
from monitor.collect.descriptors_budget import CGROUPS_SHARE, kept_limit
from monitor.collect.files import Root
from monitor.collect.pace import Every
from monitor.collect.process_files import KeptDescriptors, ProcessFile
from monitor.errors import Absent
from monitor.model import Reading, Row, key

LISTING_SECONDS = 30.0
"""How often the hierarchy is listed."""

MOST_UNITS = 200
"""How many units are read."""

LONGEST_BYTES = 32_768
"""How much of one file is read: io.stat has a line for each disk."""

_NAN = math.nan

_FILES = (
    *("cpu.stat", "memory.current", "memory.max", "memory.events"),
    *("io.stat", "pids.current", "pids.max"),
)

_METRICS: tuple[tuple[str, dict[str, str]], ...] = (
    ("cgroup.cpu.time", {}),
    ("cgroup.cpu.throttled_time", {}),
    ("cgroup.cpu.throttled_periods", {}),
    ("cgroup.memory.usage", {}),
    ("cgroup.memory.limit", {}),
    ("cgroup.memory.utilization", {}),
    ("cgroup.memory.oom_kills", {}),
    ("cgroup.disk.io", {"direction": "read"}),
    ("cgroup.disk.io", {"direction": "write"}),
    ("cgroup.pids.count", {}),
    ("cgroup.pids.limit", {}),
)


@dataclass(frozen=True, slots=True)
class Usage:
    """One unit's numbers, NaN where its controller is off or it has no limit.

    Times are in seconds and sizes in bytes; the fields are in the order of the metrics.
    """

    cpu_seconds: float
    throttled_seconds: float
    throttled_periods: float
    memory_bytes: float
    memory_limit_bytes: float
    memory_ratio: float
    oom_kills: float
    read_bytes: float
    written_bytes: float
    pids: float
    pids_limit: float

    def values(self) -> tuple[float, ...]:
        """A value for each of a unit's metrics, in order."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


class Group:
    """A unit, its files, and what it had used at the reading before."""

    def __init__(self, unit: Unit, kept: KeptDescriptors) -> None:
        self.unit = unit
        self.files = [
            ProcessFile(f"{unit.directory}/{name}", kept, LONGEST_BYTES) for name in _FILES
        ]
        self.missing = [False] * len(_FILES)
        self.keys = tuple(key(name, unit=unit.name, **more) for name, more in _METRICS)
        self.before: tuple[float, Usage] | None = None

    def read(self) -> Usage:
        """Its present numbers."""
        cpu, memory, limit, events, io, pids, pids_limit = map(self._content, range(len(_FILES)))
        times = _fields(cpu)
        memory_bytes, memory_limit = _number(memory), _number(limit)
        read_bytes, written_bytes = _io(io)
        return Usage(
            cpu_seconds=times.get(b"usage_usec", _NAN) / 1e6,
            throttled_seconds=times.get(b"throttled_usec", _NAN) / 1e6,
            throttled_periods=times.get(b"nr_throttled", _NAN),
            memory_bytes=memory_bytes,
            memory_limit_bytes=memory_limit,
            memory_ratio=memory_bytes / memory_limit if memory_limit > 0 else _NAN,
            oom_kills=_fields(events).get(b"oom_kill", _NAN),
            read_bytes=read_bytes,
            written_bytes=written_bytes,
            pids=_number(pids),
            pids_limit=_number(pids_limit),
        )

    def forget_missing(self) -> None:
        """Look for every file again: a controller may have been switched on."""
        self.missing = [False] * len(_FILES)

    def close(self) -> None:
        """Give back the descriptors."""
        for file in self.files:
            file.close()

    def _content(self, place: int) -> bytes | None:
        if self.missing[place]:
            return None
        try:
            return self.files[place].read()
        except FileNotFoundError:
            self.missing[place] = True
            return None
        except OSError:
            # The group has ended; the next listing will say so.
            self.files[place].close()
            return None


class Cgroups:
    """Processor, memory, input/output and tasks of every container and service."""

    name = "cgroups"
    interval_seconds = 5.0
    budget_seconds = 0.2

    def __init__(self, root: Root) -> None:
        self.note = ""
        self._root = root
        self._listing_due = Every(LISTING_SECONDS)
        self._kept = KeptDescriptors(kept_limit(CGROUPS_SHARE))
        self._groups: dict[str, Group] = {}
        self._count = 0

    def collect(self, now: float) -> Reading:
        """Read them all.  Raises `Absent` where there is no cgroup v2 to be read."""
        if self._listing_due.due(now):
            try:
                self._list()
            except Absent:
                self._listing_due = Every(LISTING_SECONDS)
                raise
        moment = time.monotonic()
        values: dict[str, float] = {}
        rows: list[Row] = []
        fullest = _NAN
        for group in self._groups.values():
            usage = group.read()
            values.update(zip(group.keys, usage.values(), strict=True))
            if usage.pids_limit > 0:
                ratio = usage.pids / usage.pids_limit
                fullest = ratio if math.isnan(fullest) else max(fullest, ratio)
            rows.append(_row(group, usage, moment))
            group.before = (moment, usage)
        values["system.cgroups.pids.utilization"] = fullest
        values["system.cgroups.count"] = float(self._count)
        return Reading(values, {"cgroups": rows})

    def close(self) -> None:
        """Give back every descriptor."""
        for group in self._groups.values():
            group.close()
        self._groups.clear()
        self._listing_due = Every(LISTING_SECONDS)

    def _list(self) -> None:
        units, cut = find_units(hierarchy(self._root))
        self._count = len(units)
        chosen = {unit.path: unit for unit in units[:MOST_UNITS]}
        notes = []
        if len(units) > MOST_UNITS:
            notes.append(f"{len(units) - MOST_UNITS} control groups have no series")
        if cut:
            notes.append("the hierarchy is too large to be listed whole")
        self.note = "; ".join(notes)
        for path in self._groups.keys() - chosen.keys():
            self._groups.pop(path).close()
        for group in self._groups.values():
            group.forget_missing()
        known = self._groups
        self._groups = {
            path: known.get(path) or Group(unit, self._kept) for path, unit in chosen.items()
        }


def _row(group: Group, usage: Usage, moment: float) -> Row:
    cpu = io = throttled = None
    if group.before is not None and moment > group.before[0]:
        elapsed, before = moment - group.before[0], group.before[1]
        cpu = _rate(usage.cpu_seconds, before.cpu_seconds, elapsed)
        throttled = _rate(usage.throttled_seconds, before.throttled_seconds, elapsed)
        read_rate = _rate(usage.read_bytes, before.read_bytes, elapsed)
        write_rate = _rate(usage.written_bytes, before.written_bytes, elapsed)
        if read_rate is not None and write_rate is not None:
            io = read_rate + write_rate
    return {
        "unit": group.unit.name,
        "path": group.unit.path,
        "cpu": cpu,
        "memory": _known(usage.memory_bytes),
        "memory_limit": _known(usage.memory_limit_bytes),
        "io": io,
        "pids": _known(usage.pids),
        "throttled": throttled,
    }


def _rate(after: float, before: float, elapsed: float) -> float | None:
    change = after - before
    return None if math.isnan(change) else max(0.0, change) / elapsed


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(content: bytes | None) -> float:
    """The number in a file of one; NaN for ``max`` and for a file that is not there."""
    content = (content or b"").strip()
    return float(content) if content.isdigit() and len(content) < 32 else _NAN


def _fields(content: bytes | None) -> dict[bytes, float]:
    """A flat-keyed file: a name and a number a line."""
    words = (content or b"").split()
    return {
        name: float(value)
        for name, value in zip(words[::2], words[1::2], strict=False)
        if value.isdigit() and len(value) < 32
    }


def _io(content: bytes | None) -> tuple[float, float]:
    """Bytes read and written, of all devices; zero for a group that has done none."""
    if content is None:
        return _NAN, _NAN
    read_bytes = written_bytes = 0.0
    for word in content.split():
        name, _, value = word.partition(b"=")
        if value.isdigit() and len(value) < 32:
            if name == b"rbytes":
                read_bytes += float(value)
            elif name == b"wbytes":
                written_bytes += float(value)
    return read_bytes, written_bytes
