"""node_exporter's metrics as the catalog's KEYs: its host has the page that our agent's has.

A table by metric.  What a page needs beside is made of these by `monitor.ingest.deriving`: shares,
what is used where only size and free are told.  The exclusions are those of `monitor.collect`.
Metrics that are not here keep their names.  The names: node_exporter 1.x on Linux, its README and
the text of its collectors; https://github.com/prometheus/node_exporter.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from monitor.ingest.shares import UNALLOCATED
from monitor.model import key

Labels: TypeAlias = Mapping[str, str]


class Shape(enum.Enum):
    """What becomes of a KEY's value once it is summed."""

    AS_IS = "as it is"
    POSITIVE = "positive"
    """Absent where it is not above 0: a speed that is not known is told as -1."""
    FLAG = "flag"
    """1 where it is above 0, else 0."""
    HIDDEN = "hidden"
    """Not stored: something else is derived from it."""


class Part(NamedTuple):
    """What one sample adds to a KEY: its value times `factor`.

    The parts of a KEY that come at one instant are summed: packets dropped by each processor,
    datagrams of either internet protocol.
    """

    key: str
    factor: float = 1.0
    shape: Shape = Shape.AS_IS


NOTHING: tuple[Part, ...] = ()
"""Of a sample that the table knows and that is not kept."""

_Rule: TypeAlias = Callable[[Labels], tuple[Part, ...]]

NO_STORAGE = frozenset(
    b"""autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs erofs
    fusectl fuse.lxcfs fuse.snapfuse hugetlbfs iso9660 mqueue nsfs overlay proc procfs pstore ramfs
    rootfs rpc_pipefs securityfs selinuxfs squashfs sysfs tmpfs tracefs""".decode().split()
)
"""Filesystems in memory or made of nothing, and images, which are always full."""

_BITS_PER_BYTE = 8.0
_BYTES_PER_KIB = 1024.0
_PERCENT = 0.01
_NO_DISK = re.compile(
    r"(?:loop|ram|zram)\d+|(?:[hsv]|xv)d[a-z]+\d+|(?:nvme\d+n|mmcblk|md|nbd)\d+p\d+", re.ASCII
)
"""Partitions, and what is made of a file or of memory."""

MEMORY_STATES = {
    "MemFree": "free",
    "MemAvailable": "available",
    "Buffers": "buffers",
    "Cached": "cached",
    "Shmem": "shared",
    "Slab": "slab",
    "SUnreclaim": "slab_unreclaimable",
    "Active": "active",
    "Inactive": "inactive",
    "Dirty": "dirty",
    "Writeback": "writeback",
    "AnonPages": "anonymous",
    "Mapped": "mapped",
    "PageTables": "page_tables",
    "KernelStack": "kernel_stack",
    "Unevictable": "unevictable",
    "Mlocked": "locked",
    "SwapCached": "swap_cached",
    "Committed_AS": "committed",
    "Hugetlb": "hugepages",
}
"""The lines of /proc/meminfo that are a state of memory each."""

SOCKETS = (
    "sockets_used",
    "TCP_inuse",
    "TCP_orphan",
    "TCP_tw",
    "TCP_alloc",
    "TCP_mem",
    "UDP_inuse",
    "UDP_mem",
    "RAW_inuse",
    "FRAG_inuse",
    "TCP6_inuse",
    "UDP6_inuse",
)

PROCESS_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "blocked",
    "T": "stopped",
    "t": "stopped",
    "Z": "zombie",
    "I": "idle",
}


def mapped(name: str, labels: Labels) -> tuple[Part, ...] | None:
    """What a sample of a metric with these labels is part of; none where the table has not got it.

    Labels of the target itself (``job``, ``instance``) do not matter and may be there.
    """
    rule = _RULES.get(name)
    return None if rule is None else rule(labels)


def _plain(name: str, factor: float = 1.0, shape: Shape = Shape.AS_IS, **attributes: str) -> _Rule:
    parts = (Part(key(name, **attributes), factor, shape),)
    return lambda _: parts


def _all(*rules: _Rule) -> _Rule:
    return lambda labels: tuple(part for rule in rules for part in rule(labels))


def _none(labels: Labels) -> tuple[Part, ...]:
    del labels
    return NOTHING


def _cpu(name: str, attribute: str = "") -> _Rule:
    def rule(labels: Labels) -> tuple[Part, ...]:
        attributes = {"state": labels.get(attribute, "")} if attribute else {}
        return _part(name, cpu=labels.get("cpu", ""), **attributes)

    return rule


def _part(
    name: str, factor: float = 1.0, shape: Shape = Shape.AS_IS, /, **attributes: str
) -> tuple[Part, ...]:
    """A part of a KEY; nothing where one of its attributes is not there."""
    if not all(attributes.values()):
        return NOTHING
    return (Part(key(name, **attributes), factor, shape),)


def _filesystem(
    name: str, factor: float = 1.0, shape: Shape = Shape.AS_IS, **attributes: str
) -> _Rule:
    def rule(labels: Labels) -> tuple[Part, ...]:
        if labels.get("fstype", "") in NO_STORAGE:
            return NOTHING
        return _part(name, factor, shape, mountpoint=labels.get("mountpoint", ""), **attributes)

    return rule


def _disk(name: str, **attributes: str) -> _Rule:
    def rule(labels: Labels) -> tuple[Part, ...]:
        device = labels.get("device", "")
        return (
            NOTHING if _NO_DISK.fullmatch(device) else _part(name, 1.0, device=device, **attributes)
        )

    return rule


def _interface(
    name: str, factor: float = 1.0, shape: Shape = Shape.AS_IS, **attributes: str
) -> _Rule:
    def rule(labels: Labels) -> tuple[Part, ...]:
        device = labels.get("device", "")
        # The inner ends of containers' cables: what they carry is seen on the bridge.
        if device.startswith("veth"):
            return NOTHING
        return _part(name, factor, shape, interface=device, **attributes)

    return rule


def _up(labels: Labels) -> tuple[Part, ...]:
    # The kernel never says more of loopback than "unknown"; its carrier says that it is up.
    if labels.get("device") == "lo":
        return NOTHING
    return interface_up(labels)


def _carrier(labels: Labels) -> tuple[Part, ...]:
    return _part("system.network.up", interface="lo") if labels.get("device") == "lo" else NOTHING


def _sensor(name: str, **attributes: str) -> _Rule:
    def rule(labels: Labels) -> tuple[Part, ...]:
        device, sensor = labels.get("chip", ""), labels.get("sensor", "")
        return _part(name, device=device, sensor=sensor, **attributes)

    return rule


def _state(labels: Labels) -> tuple[Part, ...]:
    state = PROCESS_STATES.get(labels.get("state", ""), "")
    return _part("system.processes.count", state=state)


def _raid(labels: Labels) -> tuple[Part, ...]:
    device, state = labels.get("device", ""), labels.get("state", "")
    found = _part("system.linux.raid.devices", device=device, state=state)
    if state == "active":
        found += _part("system.linux.raid.degraded", -1.0, Shape.FLAG, device=device)
    return found


def _raid_required(labels: Labels) -> tuple[Part, ...]:
    device = labels.get("device", "")
    return _part("system.linux.raid.devices", device=device, state="required") + _part(
        "system.linux.raid.degraded", 1.0, Shape.FLAG, device=device
    )


def _zone(labels: Labels) -> tuple[Part, ...]:
    sensor = " ".join(filter(None, (labels.get("type", ""), labels.get("zone", ""))))
    return _part("hw.temperature", device="thermal", sensor=sensor)


def _battery(labels: Labels) -> tuple[Part, ...]:
    device = labels.get("power_supply", "")
    return _part("hw.battery.charge", _PERCENT, device=device, kind="battery")


def _memory() -> dict[str, _Rule]:
    usage = "system.memory.usage"
    rules = {f"{line}_bytes": _plain(usage, state=state) for line, state in MEMORY_STATES.items()}
    rules["SReclaimable_bytes"] = _all(
        _plain(usage, state="slab_reclaimable"),
        # As free and psutil have it: what of the slab can be reclaimed is cache.
        _plain(usage, state="cached"),
    )
    rules["MemTotal_bytes"] = _plain("system.memory.limit")
    rules["SwapTotal_bytes"] = _plain("system.paging.limit", shape=Shape.HIDDEN)
    rules["SwapFree_bytes"] = _plain("system.paging.usage", state="free")
    return {f"node_memory_{name}": rule for name, rule in rules.items()}


def _network() -> dict[str, _Rule]:
    rules: dict[str, _Rule] = {}
    for direction in ("receive", "transmit"):
        for name, what in (
            ("bytes", "io"),
            ("packets", "packets"),
            ("errs", "errors"),
            ("drop", "dropped"),
        ):
            metric = f"system.network.{what}"
            rules[f"node_network_{direction}_{name}_total"] = _interface(
                metric, direction=direction
            )
    rules["node_network_speed_bytes"] = _interface(
        "system.network.speed", _BITS_PER_BYTE, Shape.POSITIVE
    )
    rules["node_network_up"] = _up
    rules["node_network_carrier"] = _carrier
    return rules


def _protocols() -> dict[str, _Rule]:
    rules = {
        f"node_sockstat_{name}": _plain(
            "system.network.sockets", kind=name.lower().replace("_", ".", 1)
        )
        for name in SOCKETS
    }
    tcp, udp = "system.network.tcp", "system.network.udp"
    netstat: dict[str, _Rule] = {
        "Tcp_CurrEstab": _plain(f"{tcp}.established"),
        "Tcp_InSegs": _plain(f"{tcp}.segments", direction="receive"),
        "Tcp_OutSegs": _plain(f"{tcp}.segments", direction="transmit"),
        "Tcp_RetransSegs": _plain(f"{tcp}.retransmits"),
        "Tcp_OutRsts": _plain(f"{tcp}.resets"),
        "TcpExt_ListenOverflows": _plain(f"{tcp}.listen_overflows"),
    }
    for protocol in ("Udp", "Udp6"):
        netstat |= {
            f"{protocol}_InDatagrams": _plain(f"{udp}.datagrams", direction="receive"),
            f"{protocol}_OutDatagrams": _plain(f"{udp}.datagrams", direction="transmit"),
            f"{protocol}_RcvbufErrors": _plain(f"{udp}.errors", kind="receive_buffer"),
            f"{protocol}_SndbufErrors": _plain(f"{udp}.errors", kind="send_buffer"),
            f"{protocol}_InCsumErrors": _plain(f"{udp}.errors", kind="checksum"),
            f"{protocol}_NoPorts": _plain(f"{udp}.errors", kind="no_port"),
        }
    return rules | {f"node_netstat_{name}": rule for name, rule in netstat.items()}


def _disks() -> dict[str, _Rule]:
    read, write = {"direction": "read"}, {"direction": "write"}
    return {
        "node_disk_read_bytes_total": _disk("system.disk.io", **read),
        "node_disk_written_bytes_total": _disk("system.disk.io", **write),
        "node_disk_reads_completed_total": _disk("system.disk.operations", **read),
        "node_disk_writes_completed_total": _disk("system.disk.operations", **write),
        "node_disk_reads_merged_total": _disk("system.disk.merged", **read),
        "node_disk_writes_merged_total": _disk("system.disk.merged", **write),
        "node_disk_read_time_seconds_total": _disk("system.disk.operation_time", **read),
        "node_disk_write_time_seconds_total": _disk("system.disk.operation_time", **write),
        "node_disk_io_time_seconds_total": _disk("system.disk.io_time"),
        "node_disk_io_time_weighted_seconds_total": _disk("system.disk.weighted_io_time"),
        "node_disk_io_now": _disk("system.disk.pending_operations"),
    }


def _filesystems() -> dict[str, _Rule]:
    usage, inodes = "system.filesystem.usage", "system.filesystem.inodes"
    return {
        "node_filesystem_size_bytes": _filesystem("system.filesystem.limit"),
        "node_filesystem_avail_bytes": _filesystem(usage, state="free"),
        "node_filesystem_free_bytes": _filesystem(usage, 1.0, Shape.HIDDEN, state=UNALLOCATED),
        "node_filesystem_files": _filesystem(f"{inodes}.limit", 1.0, Shape.HIDDEN),
        "node_filesystem_files_free": _filesystem(f"{inodes}.usage", state="free"),
        "node_filesystem_readonly": _filesystem("system.filesystem.readonly"),
    }


def _pressures() -> dict[str, _Rule]:
    rules = {}
    for resource in ("cpu", "memory", "io", "irq"):
        for word, kind in (("waiting", "some"), ("stalled", "full")):
            rules[f"node_pressure_{resource}_{word}_seconds_total"] = _plain(
                "system.linux.pressure.time", kind=kind, resource=resource
            )
    return rules


def _swaps() -> dict[str, _Rule]:
    operations, moved, faults = "system.paging.operations", "system.paging.io", "major"
    return {
        "node_vmstat_pswpin": _plain(operations, direction="in"),
        "node_vmstat_pswpout": _plain(operations, direction="out"),
        "node_vmstat_pgpgin": _plain(moved, _BYTES_PER_KIB, direction="in"),
        "node_vmstat_pgpgout": _plain(moved, _BYTES_PER_KIB, direction="out"),
        "node_vmstat_pgmajfault": _all(
            _plain("system.paging.faults", kind=faults),
            _plain("system.paging.faults", -1.0, kind="minor"),
        ),
        "node_vmstat_pgfault": _plain("system.paging.faults", kind="minor"),
        "node_vmstat_oom_kill": _plain("system.memory.oom_kills"),
    }


_RULES: dict[str, _Rule] = {
    "node_cpu_seconds_total": _cpu("system.cpu.time", "mode"),
    "node_cpu_scaling_frequency_hertz": _cpu("system.cpu.frequency"),
    "node_load1": _plain("system.cpu.load_average.1m"),
    "node_load5": _plain("system.cpu.load_average.5m"),
    "node_load15": _plain("system.cpu.load_average.15m"),
    "node_context_switches_total": _plain("system.cpu.context_switches"),
    "node_intr_total": _plain("system.cpu.interrupts"),
    "node_forks_total": _plain("system.processes.created"),
    "node_procs_running": _plain("system.tasks.running"),
    "node_procs_blocked": _plain("system.tasks.blocked"),
    "node_processes_pids": _plain("system.processes.count"),
    "node_processes_state": _state,
    "node_processes_threads": _plain("system.tasks.count"),
    "node_processes_max_threads": _plain("system.tasks.limit"),
    "node_filefd_allocated": _plain("system.file_descriptors.count"),
    "node_filefd_maximum": _plain("system.file_descriptors.limit"),
    "node_nf_conntrack_entries": _plain("system.network.conntrack.count"),
    "node_nf_conntrack_entries_limit": _plain("system.network.conntrack.max"),
    "node_softnet_dropped_total": _plain("system.network.softnet.dropped"),
    "node_softnet_times_squeezed_total": _plain("system.network.softnet.squeezed"),
    "node_boot_time_seconds": _plain("system.boot_time"),
    "node_timex_sync_status": _plain("system.clock.synchronized"),
    "node_timex_offset_seconds": _plain("system.clock.offset"),
    "node_timex_maxerror_seconds": _plain("system.clock.max_error"),
    "node_hwmon_temp_celsius": _sensor("hw.temperature"),
    "node_hwmon_temp_max_celsius": _sensor("hw.temperature.limit", kind="high"),
    "node_hwmon_temp_crit_celsius": _sensor("hw.temperature.limit", kind="critical"),
    "node_hwmon_fan_rpm": _sensor("hw.fan.speed"),
    "node_thermal_zone_temp": _zone,
    "node_power_supply_capacity": _battery,
    "node_md_disks": _raid,
    "node_md_disks_required": _raid_required,
    "node_uname_info": _none,
    "node_os_info": _none,
    "node_dmi_info": _none,
    "node_hwmon_sensor_label": _none,
    "node_hwmon_chip_names": _none,
    **_memory(),
    **_network(),
    **_protocols(),
    **_disks(),
    **_filesystems(),
    **_pressures(),
    **_swaps(),
}

NAMES = frozenset(_RULES)
"""Every metric that the table has."""


def interface_up(labels: Labels) -> tuple[Part, ...]:
    """What says that an interface is up, of a sample that is 1 where it is."""
    return _interface("system.network.up")(labels)
