"""The tables of a host's page: which columns each has, and how it is sorted at first."""

from __future__ import annotations

from monitor.web.tables import Column, Field, LiveTable, SnapshotTable, live_table
from monitor.web.views import Reader

MOST_PROCESSES = 40
MOST_UNITS = 60

PROCESSES = SnapshotTable(
    "processes",
    "Processes",
    (
        Field("pid", "PID", "identity"),
        Field("name", "Name"),
        Field("user", "User", minor=True),
        Field("cpu", "CPU", "percent"),
        Field("rss", "Memory", "bytes"),
        Field("io", "Disk", "bytes_per_second", minor=True),
        Field("command", "Command", minor=True, wide=True),
    ),
    (),
    "cpu",
    True,
    "pid",
    MOST_PROCESSES,
    sortable=True,
)
UNITS = SnapshotTable(
    "cgroups",
    "Services and containers",
    (
        Field("unit", "Unit"),
        Field("cpu", "CPU", "percent"),
        Field("throttled", "Throttled", "percent"),
        Field("memory", "Memory", "bytes"),
        Field("memory_limit", "Limit", "bytes"),
        Field("io", "Disk", "bytes_per_second"),
        Field("pids", "Tasks", "number"),
    ),
    (),
    "cpu",
    True,
    "path",
    MOST_UNITS,
)
LIMITS = SnapshotTable(
    "limits",
    "Nearest to their limit of open files",
    (
        Field("pid", "PID", "identity"),
        Field("name", "Name"),
        Field("open", "Open", "number"),
        Field("limit", "Limit", "number"),
        Field("ratio", "Used", "percent"),
    ),
    (),
    "ratio",
    True,
    "pid",
    10,
)
COLLECTORS = SnapshotTable(
    "collectors",
    "Collectors",
    (
        Field("collector", "Collector"),
        Field("status", "Status"),
        Field("duration", "Took", "seconds"),
        Field("cpu", "CPU time", "seconds"),
        Field("interval", "Every", "seconds"),
        Field("note", "Note", wide=True),
    ),
    (),
    "collector",
    False,
    "collector",
    64,
)


def filesystems(reader: Reader) -> LiveTable | None:
    """Space and inodes of every filesystem, and what it lies on."""
    usage = "system.filesystem.usage"
    columns = (
        Column("Used", "system.filesystem.utilization", bar=True),
        Column("Space used", usage, (("state", "used"),), minor=True),
        Column("Free", usage, (("state", "free"),)),
        Column("Size", "system.filesystem.limit"),
        Column("Inodes", "system.filesystem.inodes.utilization"),
        Column("Read-only", "system.filesystem.readonly", minor=True),
        Column("Type", fact="type", minor=True),
        Column("Device", fact="device", minor=True),
    )
    lead = "system.filesystem.utilization"
    return live_table(
        reader,
        "filesystems",
        "Filesystems",
        "Mounted on",
        "mountpoint",
        lead,
        columns,
        "filesystems",
    )


def disks(reader: Reader) -> LiveTable | None:
    """What every disk does, and how long it takes."""
    read, write = (("direction", "read"),), (("direction", "write"),)
    columns = (
        Column("Busy", "system.disk.utilization", bar=True),
        Column("Read", "system.disk.io", read),
        Column("Write", "system.disk.io", write),
        Column("Reads", "system.disk.operations", read, minor=True),
        Column("Writes", "system.disk.operations", write, minor=True),
        Column("Read takes", "system.disk.await", read),
        Column("Write takes", "system.disk.await", write),
        Column("Queue", "system.disk.queue", minor=True),
        Column("Rotating", "system.disk.rotational", minor=True),
    )
    lead = "system.disk.utilization"
    return live_table(reader, "disks", "Disks", "Device", "device", lead, columns)


def interfaces(reader: Reader) -> LiveTable | None:
    """What every network interface carries and loses."""
    inward, outward = (("direction", "receive"),), (("direction", "transmit"),)
    columns = (
        Column("In", "system.network.io", inward),
        Column("Out", "system.network.io", outward),
        Column("Packets in", "system.network.packets", inward, minor=True),
        Column("Packets out", "system.network.packets", outward, minor=True),
        Column("Errors in", "system.network.errors", inward, minor=True),
        Column("Errors out", "system.network.errors", outward, minor=True),
        Column("Drops in", "system.network.dropped", inward, minor=True),
        Column("Drops out", "system.network.dropped", outward, minor=True),
        Column("Speed", "system.network.speed", minor=True),
        Column("Busy", "system.network.utilization"),
        Column("Up", "system.network.up"),
    )
    lead = "system.network.io"
    return live_table(
        reader, "interfaces", "Network interfaces", "Interface", "interface", lead, columns
    )
