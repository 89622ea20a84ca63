"""Every subject that is collected: the one list to which a new collector is added."""

from __future__ import annotations

import sys
from collections.abc import Callable

from monitor.collect.cgroups import Cgroups
from monitor.collect.clock import Clock
from monitor.collect.config import CollectConfig
from monitor.collect.conntrack import Conntrack
from monitor.collect.cpu import Cpu
from monitor.collect.descriptors import Descriptors
from monitor.collect.disk import Disk
from monitor.collect.edac import Edac
from monitor.collect.facts import Facts
from monitor.collect.files import Root
from monitor.collect.filesystem import Filesystem, RemoteFilesystem
from monitor.collect.frequency import Frequency
from monitor.collect.limits import Limits
from monitor.collect.load import Load
from monitor.collect.memory import Memory
from monitor.collect.network import Network
from monitor.collect.own import Own
from monitor.collect.paging import Paging
from monitor.collect.pressure import Pressure
from monitor.collect.processes import Processes
from monitor.collect.raid import Raid
from monitor.collect.reboot import Reboot
from monitor.collect.sensors import Sensors
from monitor.collect.sockets import Sockets
from monitor.collect.softnet import Softnet
from monitor.collect.uptime import Uptime
from monitor.collect.users import Users
from monitor.ports import Collector

Factory = Callable[[Root], Collector]
"""What makes a collector: its class, which takes the host's root."""

COLLECTORS: tuple[tuple[str, Factory], ...] = (
    ("cpu", Cpu),
    ("frequency", Frequency),
    ("load", Load),
    ("pressure", Pressure),
    ("memory", Memory),
    ("paging", Paging),
    ("filesystem", Filesystem),
    ("filesystem_remote", RemoteFilesystem),
    ("disk", Disk),
    ("network", Network),
    ("sockets", Sockets),
    ("conntrack", Conntrack),
    ("softnet", Softnet),
    ("descriptors", Descriptors),
    ("processes", Processes),
    ("limits", Limits),
    ("cgroups", Cgroups),
    ("sensors", Sensors),
    ("raid", Raid),
    ("edac", Edac),
    ("uptime", Uptime),
    ("users", Users),
    ("clock", Clock),
    ("reboot", Reboot),
    ("facts", Facts),
    ("own", Own),
)
"""The collectors of a Linux host by name, in the order of the frame's columns."""

PORTABLE_NAMES = ("portable", "portable_processes", "portable_slow")
"""The collectors of any other system, which are made where psutil is: see `_portable`."""

COLLECTOR_NAMES: tuple[str, ...] = (*(name for name, _ in COLLECTORS), *PORTABLE_NAMES)
"""Every name that ``[collect] disabled`` may hold."""


def build(
    config: CollectConfig, platform: str = sys.platform, *, table_seconds: float = 0.0
) -> list[Collector]:
    """The collectors of this host, those that the configuration disables left out.

    `table_seconds` is how often the table of processes is wanted; 0 is with every reading.
    """
    root = Root(config.root)
    if platform != "linux":
        return _portable(config, root)
    return [
        # This one has settings of its own.
        Processes(root, config.command_lines, table_seconds)
        if factory is Processes
        else factory(root)
        for name, factory in COLLECTORS
        if name not in config.disabled
    ]


def _portable(config: CollectConfig, root: Root) -> list[Collector]:
    """What psutil gives; on Linux it is neither needed nor loaded, for it is large."""
    from monitor.collect.portable import Portable, PortableSlow  # noqa: PLC0415
    from monitor.collect.portable_processes import PortableProcesses  # noqa: PLC0415

    made: tuple[Collector, ...] = (
        Portable(root),
        PortableProcesses(root, config.command_lines),
        PortableSlow(root),
    )
    return [
        collector
        for name, collector in zip(PORTABLE_NAMES, made, strict=True)
        if name not in config.disabled
    ]
