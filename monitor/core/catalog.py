"""Every metric we know: name, kind, unit, attributes, how it is shown, one sentence of help.

Names are OpenTelemetry's semantic conventions for system metrics, with the short attribute
names of the contract; what OpenTelemetry leaves out (pressure, control groups, our own cost)
is named in the same manner.  Units are UCUM's, as OpenTelemetry writes them.  A name that is
not here is a gauge, shown as a plain number.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """What the numbers mean: a level, or a count that only grows until it is reset."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Style(enum.StrEnum):
    """How a value is written for people; a counter's style is its rate's."""

    NUMBER = "number"
    DECIMAL = "decimal"
    PERCENT = "percent"
    BYTES = "bytes"
    BYTES_PER_SECOND = "bytes_per_second"
    PER_SECOND = "per_second"
    BITS_PER_SECOND = "bits_per_second"
    SECONDS = "seconds"
    DURATION = "duration"
    INSTANT = "instant"
    HERTZ = "hertz"
    CELSIUS = "celsius"
    RPM = "rpm"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalog."""

    name: str
    kind: Kind
    unit: str
    attributes: tuple[str, ...]
    style: Style
    help: str


def _gauge(name: str, unit: str, style: Style, help: str, *attributes: str) -> Metric:
    return Metric(name, Kind.GAUGE, unit, attributes, style, help)


def _counter(name: str, unit: str, style: Style, help: str, *attributes: str) -> Metric:
    return Metric(name, Kind.COUNTER, unit, attributes, style, help)


_PERCENT = Style.PERCENT
_BYTES = Style.BYTES
_RATE = Style.PER_SECOND
_BYTES_RATE = Style.BYTES_PER_SECOND
_NUMBER = Style.NUMBER
_FLAG = Style.FLAG

METRICS: tuple[Metric, ...] = (
    # Processor
    _counter(
        "system.cpu.time",
        "s",
        _PERCENT,
        "Time each logical processor spent in each state.",
        "cpu",
        "state",
    ),
    _gauge(
        "system.cpu.utilization",
        "1",
        _PERCENT,
        "Share of processor time that was not idle or waiting for input/output: of the whole"
        " host, of one logical processor (cpu), or of the whole host in one state (state).",
        "cpu",
        "state",
    ),
    _gauge(
        "system.cpu.utilization.ordinary",
        "1",
        _PERCENT,
        "Share of processor time of the whole host that was busy with work of ordinary priority:"
        " what was told to be nice is left out.",
    ),
    _gauge("system.cpu.frequency", "Hz", Style.HERTZ, "Present clock frequency.", "cpu"),
    _gauge("system.cpu.logical.count", "{cpu}", _NUMBER, "Logical processors."),
    _gauge(
        "system.cpu.load_average.1m", "{thread}", Style.DECIMAL, "Load average over one minute."
    ),
    _gauge(
        "system.cpu.load_average.5m", "{thread}", Style.DECIMAL, "Load average over five minutes."
    ),
    _gauge(
        "system.cpu.load_average.15m", "{thread}", Style.DECIMAL, "Load average over 15 minutes."
    ),
    _counter("system.cpu.context_switches", "{switch}", _RATE, "Context switches."),
    _counter("system.cpu.interrupts", "{interrupt}", _RATE, "Hardware interrupts."),
    _counter("system.cpu.soft_interrupts", "{interrupt}", _RATE, "Soft interrupts."),
    # Pressure
    _gauge(
        "system.linux.pressure",
        "1",
        _PERCENT,
        "Share of the last ten seconds in which some (or all) tasks waited for a resource.",
        "resource",
        "kind",
    ),
    _gauge(
        "system.linux.pressure.avg60",
        "1",
        _PERCENT,
        "The same over the last minute.",
        "resource",
        "kind",
    ),
    _gauge(
        "system.linux.pressure.avg300",
        "1",
        _PERCENT,
        "The same over the last five minutes.",
        "resource",
        "kind",
    ),
    _counter(
        "system.linux.pressure.time",
        "s",
        _PERCENT,
        "Time in which some (or all) tasks waited for a resource.",
        "resource",
        "kind",
    ),
    # Memory
    _gauge("system.memory.usage", "By", _BYTES, "Memory in each state.", "state"),
    _gauge("system.memory.limit", "By", _BYTES, "Memory of the whole host."),
    _gauge(
        "system.memory.utilization",
        "1",
        _PERCENT,
        "Share of memory that is not available to new work; reclaimable ARC counts as available.",
    ),
    _gauge("system.paging.usage", "By", _BYTES, "Swap in each state.", "state"),
    _gauge("system.paging.utilization", "1", _PERCENT, "Share of swap in use."),
    _counter("system.paging.operations", "{page}", _RATE, "Pages swapped in and out.", "direction"),
    _counter("system.paging.io", "By", _BYTES_RATE, "Bytes paged in and out.", "direction"),
    _counter("system.paging.faults", "{fault}", _RATE, "Page faults.", "kind"),
    _counter(
        "system.paging.refaults",
        "{page}",
        _RATE,
        "Pages read again soon after they had been given up: memory is too small for the work.",
        "kind",
    ),
    _counter(
        "system.memory.oom_kills",
        "{process}",
        _RATE,
        "Processes killed for want of memory: all, or those where the whole host had none left"
        " (system), or a control group reached its limit (group).",
        "kind",
    ),
    _gauge(
        "system.paging.churn",
        "1",
        _PERCENT,
        "Share of memory that was swapped in and out within ten minutes; not where swap is itself"
        " in memory.",
    ),
    # Filesystems
    _gauge(
        "system.filesystem.usage",
        "By",
        _BYTES,
        "Space of a filesystem in each state; free is what an ordinary user may still write.",
        "mountpoint",
        "state",
    ),
    _gauge("system.filesystem.limit", "By", _BYTES, "Size of a filesystem.", "mountpoint"),
    _gauge(
        "system.filesystem.utilization",
        "1",
        _PERCENT,
        "Share of the space an ordinary user may write that is used, as df shows it.",
        "mountpoint",
    ),
    _gauge("system.filesystem.inodes.usage", "{inode}", _NUMBER, "Inodes.", "mountpoint", "state"),
    _gauge(
        "system.filesystem.inodes.utilization", "1", _PERCENT, "Share of inodes used.", "mountpoint"
    ),
    _gauge("system.filesystem.readonly", "1", _FLAG, "1 where a mount is read-only.", "mountpoint"),
    _gauge(
        "system.filesystem.shared",
        "1",
        _FLAG,
        "1 where a filesystem's free space is its pool's, and another one shows it already.",
        "mountpoint",
    ),
    _gauge(
        "system.filesystem.flipped",
        "1",
        _FLAG,
        "1 where the kernel no longer writes to what is mounted to be written, as after an error.",
        "mountpoint",
    ),
    # Disks
    _counter("system.disk.io", "By", _BYTES_RATE, "Bytes transferred.", "device", "direction"),
    _counter(
        "system.disk.operations",
        "{operation}",
        _RATE,
        "Finished operations.",
        "device",
        "direction",
    ),
    _counter(
        "system.disk.merged", "{operation}", _RATE, "Operations merged.", "device", "direction"
    ),
    _counter(
        "system.disk.operation_time",
        "s",
        _NUMBER,
        "Time spent in operations, summed over all of them.",
        "device",
        "direction",
    ),
    _counter("system.disk.io_time", "s", _PERCENT, "Time in which a disk was busy.", "device"),
    _counter(
        "system.disk.weighted_io_time",
        "s",
        _NUMBER,
        "Busy time weighted by the number of operations in flight; its rate is the mean queue.",
        "device",
    ),
    _gauge(
        "system.disk.pending_operations", "{operation}", _NUMBER, "Operations in flight.", "device"
    ),
    _gauge("system.disk.utilization", "1", _PERCENT, "Share of time a disk was busy.", "device"),
    _gauge(
        "system.disk.await",
        "s",
        Style.SECONDS,
        "Mean time an operation took, queueing included; absent where there were none.",
        "device",
        "direction",
    ),
    _gauge(
        "system.disk.queue", "{operation}", Style.DECIMAL, "Mean operations in flight.", "device"
    ),
    _gauge("system.disk.rotational", "1", _FLAG, "1 where a disk has rotating parts.", "device"),
    # Network
    _counter("system.network.io", "By", _BYTES_RATE, "Bytes carried.", "interface", "direction"),
    _counter(
        "system.network.packets", "{packet}", _RATE, "Packets carried.", "interface", "direction"
    ),
    _counter(
        "system.network.errors", "{error}", _RATE, "Packets in error.", "interface", "direction"
    ),
    _counter(
        "system.network.dropped", "{packet}", _RATE, "Packets dropped.", "interface", "direction"
    ),
    _gauge(
        "system.network.speed", "bit/s", Style.BITS_PER_SECOND, "Speed of the link.", "interface"
    ),
    _gauge(
        "system.network.utilization",
        "1",
        _PERCENT,
        "Share of the link's speed in use, in the busier direction.",
        "interface",
    ),
    _gauge(
        "system.network.errors.ratio",
        "1",
        _PERCENT,
        "Share of a minute's packets that were in error, in the worse direction; 0 where there"
        " were fewer than a thousand.",
        "interface",
    ),
    _gauge(
        "system.network.dropped.ratio",
        "1",
        _PERCENT,
        "Share of a minute's packets that were dropped, in the worse direction; 0 where there"
        " were fewer than a thousand.",
        "interface",
    ),
    _gauge("system.network.up", "1", _FLAG, "1 where an interface is up.", "interface"),
    _gauge("system.network.sockets", "{socket}", _NUMBER, "Sockets, and pages they hold.", "kind"),
    _gauge(
        "system.network.tcp.established", "{connection}", _NUMBER, "TCP connections established."
    ),
    _counter("system.network.tcp.segments", "{segment}", _RATE, "TCP segments.", "direction"),
    _counter("system.network.tcp.retransmits", "{segment}", _RATE, "TCP segments sent once more."),
    _counter("system.network.tcp.resets", "{segment}", _RATE, "TCP resets sent."),
    _counter(
        "system.network.tcp.listen_overflows",
        "{connection}",
        _RATE,
        "Connections dropped because a program did not accept them in time.",
    ),
    _counter("system.network.udp.datagrams", "{datagram}", _RATE, "UDP datagrams.", "direction"),
    _counter(
        "system.network.udp.errors", "{datagram}", _RATE, "UDP datagrams lost on this host.", "kind"
    ),
    _gauge("system.network.conntrack.count", "{connection}", _NUMBER, "Connections tracked."),
    _gauge("system.network.conntrack.max", "{connection}", _NUMBER, "Most that can be tracked."),
    _gauge("system.network.conntrack.utilization", "1", _PERCENT, "Share of that in use."),
    _counter(
        "system.network.softnet.dropped", "{packet}", _RATE, "Packets dropped before any protocol."
    ),
    _counter(
        "system.network.softnet.squeezed", "{event}", _RATE, "Times the network budget ran out."
    ),
    # Descriptors, tasks, processes
    _gauge("system.file_descriptors.count", "{descriptor}", _NUMBER, "Open file descriptors."),
    _gauge("system.file_descriptors.limit", "{descriptor}", _NUMBER, "Most that can be open."),
    _gauge("system.file_descriptors.utilization", "1", _PERCENT, "Share of that in use."),
    _gauge(
        "system.processes.file_descriptors.utilization",
        "1",
        _PERCENT,
        "The highest share of its own soft limit that any process has open.",
    ),
    _gauge(
        "system.processes.count",
        "{process}",
        _NUMBER,
        "Processes: all, or in one state; blocked is uninterruptible sleep (D).",
        "state",
    ),
    _counter("system.processes.created", "{process}", _RATE, "Processes and threads started."),
    _gauge("system.tasks.count", "{thread}", _NUMBER, "Tasks: every thread of every process."),
    _gauge("system.tasks.limit", "{thread}", _NUMBER, "Most tasks that can exist."),
    _gauge("system.tasks.utilization", "1", _PERCENT, "Share of that in use."),
    _gauge("system.tasks.running", "{thread}", _NUMBER, "Tasks running or ready to run."),
    _gauge("system.tasks.blocked", "{thread}", _NUMBER, "Tasks waiting for input/output."),
    # Control groups
    _counter("cgroup.cpu.time", "s", _PERCENT, "Processor time of a control group.", "unit"),
    _counter(
        "cgroup.cpu.throttled_time", "s", _PERCENT, "Time a control group was throttled.", "unit"
    ),
    _counter("cgroup.cpu.throttled_periods", "{period}", _RATE, "Periods with throttling.", "unit"),
    _gauge("cgroup.memory.usage", "By", _BYTES, "Memory of a control group.", "unit"),
    _gauge("cgroup.memory.limit", "By", _BYTES, "Its limit, where it has one.", "unit"),
    _gauge("cgroup.memory.utilization", "1", _PERCENT, "Share of that limit in use.", "unit"),
    _counter("cgroup.memory.oom_kills", "{process}", _RATE, "Processes killed in it.", "unit"),
    _counter("cgroup.disk.io", "By", _BYTES_RATE, "Bytes it read and wrote.", "unit", "direction"),
    _gauge("cgroup.pids.count", "{thread}", _NUMBER, "Tasks of a control group.", "unit"),
    _gauge("cgroup.pids.limit", "{thread}", _NUMBER, "Its limit, where it has one.", "unit"),
    _gauge(
        "system.cgroups.pids.utilization",
        "1",
        _PERCENT,
        "The highest share of its own task limit that any control group uses.",
    ),
    _gauge("system.cgroups.count", "{group}", _NUMBER, "Containers and services found."),
    # Hardware
    _gauge("hw.temperature", "Cel", Style.CELSIUS, "Temperature of a sensor.", "device", "sensor"),
    _gauge(
        "hw.temperature.limit",
        "Cel",
        Style.CELSIUS,
        "The sensor's own limits: high and critical.",
        "device",
        "sensor",
        "kind",
    ),
    _gauge(
        "hw.temperature.utilization",
        "1",
        _PERCENT,
        "Temperature as a share of the sensor's own limit, high or critical; of 85 °C (assumed)"
        " where it has none.",
        "device",
        "sensor",
        "kind",
    ),
    _counter(
        "hw.memory.errors",
        "{error}",
        _RATE,
        "Errors of memory modules: corrected, and uncorrectable.",
        "device",
        "kind",
    ),
    _gauge("hw.fan.speed", "rpm", Style.RPM, "Speed of a fan.", "device", "sensor"),
    _gauge("hw.battery.charge", "1", _PERCENT, "Charge of a battery or UPS.", "device", "kind"),
    _gauge("hw.battery.discharging", "1", _FLAG, "1 while it discharges.", "device", "kind"),
    _gauge("hw.battery.time_left", "s", Style.DURATION, "Time it will last.", "device", "kind"),
    # The host as a whole
    _gauge("system.uptime", "s", Style.DURATION, "Time since boot."),
    _gauge("system.boot_time", "s", Style.INSTANT, "When the host booted."),
    _gauge("system.users.count", "{user}", _NUMBER, "People logged in."),
    _gauge("system.clock.synchronized", "1", _FLAG, "1 where the clock is kept by a time source."),
    _gauge("system.clock.offset", "s", Style.SECONDS, "The kernel's estimate of its offset."),
    _gauge("system.clock.max_error", "s", Style.SECONDS, "The most that it may be off."),
    _gauge("system.reboot_required", "1", _FLAG, "1 where updates wait for a reboot."),
    _gauge(
        "system.linux.raid.devices",
        "{device}",
        _NUMBER,
        "Members of a software RAID: required, active, failed, spare.",
        "device",
        "state",
    ),
    _gauge(
        "system.linux.raid.degraded", "1", _FLAG, "1 where it has fewer than required.", "device"
    ),
    # Ourselves
    _gauge(
        "monitor.collector.duration", "s", Style.SECONDS, "How long a collector ran.", "collector"
    ),
    _gauge("monitor.collector.success", "1", _FLAG, "1 where it succeeded.", "collector"),
    _gauge("monitor.agent.frames.waiting", "{frame}", _NUMBER, "Frames not acknowledged yet."),
    _counter(
        "monitor.agent.frames.dropped", "{frame}", _RATE, "Frames let go of unsent.", "reason"
    ),
    # What only rules see: made by the server of what it knows, and not stored
    _gauge("monitor.host.down", "1", _FLAG, "1 while a host is down."),
    _gauge("monitor.host.silence", "s", Style.DURATION, "How long nothing came from a host."),
    _gauge("monitor.host.clock.skew", "s", Style.SECONDS, "How far a host's clock is off ours."),
    _gauge("monitor.host.boots", "{boot}", _NUMBER, "Times that a host booted within an hour."),
    _gauge(
        "monitor.host.unclean_boot",
        "1",
        _FLAG,
        "1 for ten minutes after a host booted that had not been shut down.",
    ),
    _gauge(
        "monitor.host.kernel_changed",
        "1",
        _FLAG,
        "1 for ten minutes after a host was first seen with another kernel.",
    ),
    _gauge(
        "monitor.fleet.down_ratio", "1", _PERCENT, "Share of hosts that went down within a minute."
    ),
    _gauge("monitor.channel.failing", "1", _FLAG, "1 while a channel does not deliver.", "channel"),
    _gauge(
        "monitor.config.reload_failed", "1", _FLAG, "1 while a changed configuration has faults."
    ),
    _gauge("monitor.data.free", "By", _BYTES, "Space left on the disk of the server's data."),
    _gauge("monitor.data.utilization", "1", _PERCENT, "Share of that disk's space in use."),
    _gauge("monitor.store.lag", "s", Style.SECONDS, "How late what arrives is stored."),
    _gauge(
        "monitor.stream.readers_dropped",
        "{reader}",
        _NUMBER,
        "Readers of the stream let go within ten minutes because they were too slow.",
    ),
    _counter("process.cpu.time", "s", _PERCENT, "Processor time of this program.", "state"),
    _gauge("process.memory.usage", "By", _BYTES, "Resident memory of this program."),
    _gauge("process.open_file_descriptors", "{descriptor}", _NUMBER, "Descriptors it has open."),
    _gauge("process.threads", "{thread}", _NUMBER, "Threads of this program."),
    _gauge("process.uptime", "s", Style.DURATION, "Time since a program started.", "process"),
)

CATALOG: dict[str, Metric] = {metric.name: metric for metric in METRICS}


def metric(name: str) -> Metric:
    """The entry for `name`; a plain gauge where it is not known."""
    known = CATALOG.get(name)
    return known or Metric(name, Kind.GAUGE, "1", (), Style.NUMBER, "")


def is_counter(name: str) -> bool:
    """Whether values of `name` are counts, whose rate is what people want to see."""
    known = CATALOG.get(name)
    return known is not None and known.kind is Kind.COUNTER
