"""The series of a simulated host: those of a real one with four processors, in their order."""

from __future__ import annotations

from collections.abc import Sequence

CPUS = 4
STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def _series(name: str, *pairs: str) -> str:
    return f"{name}{{{','.join(pairs)}}}"


def _states(name: str, states: Sequence[str], *pairs: str) -> tuple[str, ...]:
    return tuple(_series(name, *pairs, f'state="{state}"') for state in states)


CPU_TIME = tuple(
    _series("system.cpu.time", f'cpu="{cpu}"', f'state="{state}"')
    for cpu in range(CPUS)
    for state in STATES
)
CPU = (
    "system.cpu.utilization",
    *(_series("system.cpu.utilization", f'cpu="{cpu}"') for cpu in range(CPUS)),
    *_states("system.cpu.utilization", STATES),
    "system.cpu.logical.count",
    *(f"system.cpu.load_average.{length}" for length in ("1m", "5m", "15m")),
)
TASKS = (
    "system.tasks.running",
    "system.tasks.blocked",
    "system.tasks.count",
    "system.tasks.limit",
)
PRESSURE = tuple(
    _series(name, f'kind="{kind}"', f'resource="{resource}"')
    for resource in ("cpu", "memory", "io")
    for kind in ("some", "full")
    for name in ("system.linux.pressure", "system.linux.pressure.time")
)
MEMORY = (
    *_states(
        "system.memory.usage",
        (
            "used",
            "free",
            "available",
            "buffers",
            "cached",
            "shared",
            "slab",
            "slab_reclaimable",
            "slab_unreclaimable",
            "active",
            "inactive",
            "dirty",
            "writeback",
            "anonymous",
        ),
    ),
    "system.memory.limit",
    "system.memory.utilization",
)
PAGING = (
    _series("system.paging.faults", 'kind="major"'),
    _series("system.paging.faults", 'kind="minor"'),
    _series("system.paging.operations", 'direction="in"'),
    _series("system.paging.operations", 'direction="out"'),
    "system.memory.oom_kills",
)
FILESYSTEM = tuple(
    key
    for mountpoint in ("/", "/srv")
    for pair in (f'mountpoint="{mountpoint}"',)
    for key in (
        *_states("system.filesystem.usage", ("used", "free", "reserved"), pair),
        _series("system.filesystem.limit", pair),
        _series("system.filesystem.utilization", pair),
        *_states("system.filesystem.inodes.usage", ("used", "free"), pair),
        _series("system.filesystem.inodes.utilization", pair),
        _series("system.filesystem.readonly", pair),
    )
)
_DEVICE = 'device="nvme0n1"'
DISK = (
    *(
        _series(name, _DEVICE, f'direction="{direction}"')
        for name in ("system.disk.io", "system.disk.operations")
        for direction in ("read", "write")
    ),
    _series("system.disk.io_time", _DEVICE),
    _series("system.disk.weighted_io_time", _DEVICE),
    *(_series("system.disk.await", _DEVICE, f'direction="{d}"') for d in ("read", "write")),
    _series("system.disk.utilization", _DEVICE),
    _series("system.disk.queue", _DEVICE),
    _series("system.disk.pending_operations", _DEVICE),
)
NETWORK = tuple(
    key
    for interface in ("eth0", "lo")
    for pair in (f'interface="{interface}"',)
    for key in (
        *(
            _series(f"system.network.{what}", f'direction="{direction}"', pair)
            for what in ("io", "packets", "errors", "dropped")
            for direction in ("receive", "transmit")
        ),
        _series("system.network.up", pair),
    )
)
REST = (
    "system.cpu.interrupts",
    "system.cpu.context_switches",
    "system.processes.created",
    *(
        _series("system.network.sockets", f'kind="{kind}"')
        for kind in ("sockets.used", "tcp.inuse", "tcp.tw")
    ),
    "system.network.tcp.established",
    "system.reboot_required",
    "system.file_descriptors.count",
    "system.file_descriptors.limit",
    "system.file_descriptors.utilization",
    "system.processes.count",
    *_states("system.processes.count", ("running", "sleeping", "blocked", "zombie")),
    "system.uptime",
    "system.boot_time",
    "system.clock.synchronized",
    "system.clock.offset",
    "system.clock.max_error",
)
