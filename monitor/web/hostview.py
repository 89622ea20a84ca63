"""The host page as values: everything that a host's page and its text say.

It is made from one frozen copy of the host's state, by a worker thread.  A section whose
series the host does not send is none, and the page leaves it out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.core.state import HostState
from monitor.model import Row, SeriesKey, Snapshot, key
from monitor.web.charts import Drawing
from monitor.web.format import duration
from monitor.web.hosttables import (
    COLLECTORS,
    LIMITS,
    PROCESSES,
    UNITS,
    disks,
    filesystems,
    interfaces,
)
from monitor.web.rangebar import RangeBar, plain_bar
from monitor.web.sources import Sender, sender, skew_words
from monitor.web.tables import LiveTable, SnapshotTable, snapshot_table, words
from monitor.web.views import MOST_LABELS, Reader, Status, Value, natural, status_of

MOST_CORES = 256
MOST_SENSORS = 64
MOST_FAULTS = 4

_FAULTS = ("failing", "stuck")
"""What a collector may say of itself that somebody should look at."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline: one large value, and smaller ones with a word each."""

    label: str
    value: Value
    others: tuple[tuple[str, Value], ...] = ()
    note: str = ""
    """Words below; `note_of` says which live text they are, where they are one."""
    note_of: str = ""


@dataclass(frozen=True, slots=True)
class Named:
    """A row of values under a name: a resource's pressure, a sensor."""

    name: str
    values: tuple[Value | None, ...]


@dataclass(frozen=True, slots=True)
class HostPage:
    """One host's page."""

    name: str
    status: Status
    seen: str
    facts: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    notices: tuple[tuple[str, str], ...]
    uptime: Value
    period: float
    tiles: tuple[Tile, ...]
    charts: tuple[Drawing, ...]
    values: Mapping[str, Value]
    """The newest value of every series in the charts."""
    cores: tuple[Named, ...]
    filesystems: LiveTable | None
    disks: LiveTable | None
    interfaces: LiveTable | None
    pressure: tuple[Named, ...]
    processes: SnapshotTable | None
    units: SnapshotTable | None
    limits: SnapshotTable | None
    sensors: tuple[Named, ...]
    summary: tuple[tuple[str, Value], ...]
    collectors: SnapshotTable | None
    notes: Mapping[str, str]
    """What could not be read, by the collector's name."""
    bar: RangeBar
    """The range of the charts, and the ways to others."""
    sender: Sender


def host_page(
    host: HostState,
    drawings: Sequence[Drawing],
    now: float,
    sort: str,
    bar: RangeBar | None = None,
    then: Snapshot | None = None,
    own_host: str = "",
    agent: str | None = None,
) -> HostPage:
    """The page of a host at an instant; `sort` is how its processes are asked for.

    Without `bar` its charts are live.  `then` are the processes of the instant that the bar
    names; where it names one and there are none, the page has none.  `own_host` is the host that
    the server runs on, `agent` the id of this one's agent.
    """
    reader = Reader(host, now)
    tables = host.snapshots
    bar = bar or plain_bar(host.name, now)
    if then is not None:  # the newest before the instant may be much older than it
        bar = replace(bar, table_at=then.at)
    system = next(iter(_rows(host, "system")), {})
    return HostPage(
        name=host.name,
        status=status_of(host.status, host.since),
        seen=duration(reader.silent),
        facts=tuple(_facts(system)),
        labels=tuple(sorted(host.labels.items()))[:MOST_LABELS],
        notices=tuple(_notices(reader, own_host)),
        uptime=reader.value("system.uptime"),
        period=host.period_seconds,
        tiles=tuple(_tiles(reader)),
        charts=tuple(drawings),
        values={line.key: reader.value(line.key) for d in drawings for line in d.lines},
        cores=_cores(reader),
        filesystems=filesystems(reader),
        disks=disks(reader),
        interfaces=interfaces(reader),
        pressure=_pressure(reader),
        processes=snapshot_table(
            then if bar.asked.at else tables.get("processes"), PROCESSES, sort
        ),
        units=snapshot_table(tables.get("cgroups"), UNITS),
        limits=snapshot_table(tables.get("limits"), LIMITS),
        sensors=_sensors(reader),
        summary=tuple(_summary(reader)),
        collectors=snapshot_table(tables.get("collectors"), COLLECTORS),
        notes=_notes(_rows(host, "collectors")),
        bar=bar,
        sender=sender(host, now, own_host, agent),
    )


def _rows(host: HostState, kind: str) -> tuple[Row, ...]:
    found = host.snapshots.get(kind)
    return found.rows if found else ()


def _facts(system: Row) -> list[tuple[str, str]]:
    wanted = (
        ("os", "System"),
        ("kernel", "Kernel"),
        ("architecture", "Architecture"),
        ("cpu_model", "Processor"),
        ("virtualization", "Runs in"),
        ("hostname", "Host name"),
    )
    return [(label, found) for name, label in wanted if (found := words(system.get(name)))]


def _notices(reader: Reader, own_host: str) -> list[tuple[str, str]]:
    """What the host itself reports as out of order: a class for its shape, and words."""
    found = [
        ("warn", f"RAID {device} is degraded")
        for device in reader.attributes("system.linux.raid.degraded", "device")
        if reader.raw(key("system.linux.raid.degraded", device=device)) >= 0.5
    ]
    found += [
        ("warn", f"Collector {words(row.get('collector'))} is {row['status']}")
        for row in _rows(reader.host, "collectors")
        if row.get("status") in _FAULTS
    ][:MOST_FAULTS]
    skew = skew_words(reader.host.skew_seconds)
    if skew and reader.host.name != own_host:
        found.append(("warn", f"Its {skew}"))
    if reader.raw("system.clock.synchronized") < 0.5:
        found.append(("info", "The clock is not synchronised"))
    if reader.raw("system.reboot_required") >= 0.5:
        found.append(("info", "A reboot is required"))
    return found


def _tiles(reader: Reader) -> list[Tile]:
    headlines = reader.headlines()

    def some(resource: str) -> Value:
        return headlines[key("system.linux.pressure", kind="some", resource=resource)]

    tiles = [Tile("CPU", headlines["system.cpu.utilization"], _cpu_others(reader))]
    memory = headlines["system.memory.utilization"]
    tiles.append(Tile("Memory", memory, _of(reader, "system.memory")))
    if math.isfinite(reader.raw("system.paging.utilization")):
        swap = headlines["system.paging.utilization"]
        tiles.append(Tile("Swap", swap, _present(reader, ("used", "system.paging.usage", "used"))))
    disk = headlines["system.filesystem.utilization"]
    tiles.append(Tile("Fullest disk", disk, (), fullest(reader), "fullest"))
    loads = tuple(
        (m, reader.value(f"system.cpu.load_average.{m}"))
        for m in ("5m", "15m")
        if reader.has(f"system.cpu.load_average.{m}")
    )
    tiles.append(Tile("Load", headlines["system.cpu.load_average.1m"], loads))
    if reader.host.schema.columns_by_name.get("system.linux.pressure"):
        tiles.append(
            Tile("CPU pressure", some("cpu"), (("memory", some("memory")), ("IO", some("io"))))
        )
    received = headlines[key("system.network.io", direction="receive")]
    sent = headlines[key("system.network.io", direction="transmit")]
    tiles.append(Tile("Network in", received, (("out", sent),)))
    return [tile for tile in tiles if tile.value.number != "–" or reader.has(tile.value.key)]


def _cpu_others(reader: Reader) -> tuple[tuple[str, Value], ...]:
    wanted = (("IO wait", "iowait"), ("steal", "steal"))
    return tuple(
        (label, reader.value(text))
        for label, state in wanted
        if reader.has(text := key("system.cpu.utilization", state=state))
    )


def _of(reader: Reader, name: str) -> tuple[tuple[str, Value], ...]:
    used = key(f"{name}.usage", state="used")
    found = [("used", reader.value(used))] if reader.has(used) else []
    if reader.has(f"{name}.limit"):
        found.append(("of", reader.value(f"{name}.limit")))
    return tuple(found)


def _present(reader: Reader, *wanted: tuple[str, str, str]) -> tuple[tuple[str, Value], ...]:
    keys = [(label, key(name, state=state)) for label, name, state in wanted]
    return tuple((label, reader.value(text)) for label, text in keys if reader.has(text))


def fullest(reader: Reader) -> str:
    """The mountpoint of the fullest filesystem."""
    name = "system.filesystem.utilization"
    found = [
        (reader.raw(key(name, mountpoint=mount)), mount)
        for mount in reader.attributes(name, "mountpoint")
    ]
    found = [pair for pair in found if math.isfinite(pair[0])]
    return max(found, key=lambda pair: pair[0])[1] if found else ""


def _cores(reader: Reader) -> tuple[Named, ...]:
    name = "system.cpu.utilization"
    return tuple(
        Named(cpu, (reader.value(key(name, cpu=cpu)),))
        for cpu in reader.attributes(name, "cpu")[:MOST_CORES]
    )


def _pressure(reader: Reader) -> tuple[Named, ...]:
    name = "system.linux.pressure"
    rows = []
    for resource, label in (("cpu", "CPU"), ("memory", "Memory"), ("io", "IO"), ("irq", "IRQ")):
        for kind in ("some", "full"):
            attributes = {"resource": resource, "kind": kind}
            if not reader.has(key(name, **attributes)):
                continue
            spans = (name, f"{name}.avg60", f"{name}.avg300")
            values = tuple(reader.value(key(span, **attributes)) for span in spans)
            rows.append(Named(f"{label}, {kind}", values))
    return tuple(rows)


def _sensors(reader: Reader) -> tuple[Named, ...]:
    """Temperatures with the sensor's own limits, fans, batteries."""
    rows = []
    for series in reader.keys("hw.temperature"):
        limits = dict(series.attributes)
        high = key("hw.temperature.limit", **limits, kind="high")
        critical = key("hw.temperature.limit", **limits, kind="critical")
        values = (reader.value(str(series)), _maybe(reader, high), _maybe(reader, critical))
        rows.append(Named(_sensor(series), values))
    for name in ("hw.fan.speed", "hw.battery.charge"):
        rows += [
            Named(_sensor(series), (reader.value(str(series)), None, None))
            for series in reader.keys(name)
        ]
    return tuple(sorted(rows, key=lambda row: natural(row.name))[:MOST_SENSORS])


def _maybe(reader: Reader, text: str) -> Value | None:
    return reader.value(text) if reader.has(text) else None


def _sensor(series: SeriesKey) -> str:
    kind = {"hw.fan.speed": "fan", "hw.battery.charge": "charge"}.get(series.name, "")
    parts = (series.get("device"), series.get("sensor") or series.get("kind"), kind)
    return " ".join(part for part in parts if part)


_SUMMARY = (
    ("Processes", "system.processes.count"),
    ("Tasks", "system.tasks.count"),
    ("Tasks running", "system.tasks.running"),
    ("Tasks blocked", "system.tasks.blocked"),
    ("Task limit used", "system.tasks.utilization"),
    ("Open files", "system.file_descriptors.count"),
    ("Open files, of limit", "system.file_descriptors.utilization"),
    ("Context switches", "system.cpu.context_switches"),
    ("Interrupts", "system.cpu.interrupts"),
    ("Processes started", "system.processes.created"),
    ("TCP established", "system.network.tcp.established"),
    ("TCP retransmits", "system.network.tcp.retransmits"),
    ("Connections tracked", "system.network.conntrack.count"),
    ("Users logged in", "system.users.count"),
    ("Clock offset", "system.clock.offset"),
    ("Killed for want of memory", "system.memory.oom_kills"),
)


def _summary(reader: Reader) -> list[tuple[str, Value]]:
    found = [(label, reader.value(text)) for label, text in _SUMMARY if reader.has(text)]
    found += [
        (f"Processes {series.get('state')}", reader.value(str(series)))
        for series in reader.keys("system.processes.count")
        if series.get("state")
    ]
    found += [
        (f"Sockets, {series.get('kind').replace('_', ' ')}", reader.value(str(series)))
        for series in reader.keys("system.network.sockets")
    ]
    return found


def _notes(rows: Sequence[Row]) -> dict[str, str]:
    """What collectors say of what they could not read; what a machine has not got is no news."""
    return {
        words(row.get("collector")): words(row.get("note"))
        for row in rows
        if words(row.get("note")) and row.get("status") != "absent"
    }
