"""The settings, the places where they are looked for, and how they are loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from monitor.alerting.config import DefaultsConfig
from monitor.collect.config import CollectConfig, HostConfig
from monitor.config.checking import check
from monitor.config.files import Complaint, Origin, merged, printable
from monitor.config.layering import shipped_rules
from monitor.config.names import few_tables, host_glob, listed, table_name
from monitor.core.quantity import Check
from monitor.core.rules.ruleset import RuleSet
from monitor.errors import ConfigError
from monitor.fleet.config import HostsConfig
from monitor.forward.config import RemoteWriteConfig
from monitor.logs import LoggingConfig
from monitor.notify.config import (
    MOST_ROUTES,
    MOST_SILENCES,
    ChannelConfig,
    HeartbeatConfig,
    RouteConfig,
    SilenceConfig,
)
from monitor.outbound.guard import OutboundConfig
from monitor.scrape.config import ScrapeConfig
from monitor.store.config import RetentionConfig
from monitor.web.config import ServerConfig

SYSTEM_CONFIG = Path("/etc/awoooi-monitor/config.toml")
"""Where a package or an operator puts the configuration of a whole machine."""

RELOADED = frozenset({"rules", "defaults", "channels", "routes", "silences", "heartbeat"})
"""Sections that hold anew when the configuration is read while the server runs."""

MOST_COMPLAINTS = 100
"""How many complaints are told; the rest are counted."""


@dataclass(frozen=True)
class Settings:
    """Everything that was configured, one attribute a section.

    Of tables by name it is a mapping, in the order in which they were written; a table that a
    later file adds to stays where it was.  Of lists of tables it is a tuple.
    """

    server: ServerConfig = field(default_factory=ServerConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    host: HostConfig = field(default_factory=HostConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    outbound: OutboundConfig = field(default_factory=OutboundConfig)
    hosts: Annotated[Mapping[Annotated[str, Check(host_glob)], HostsConfig], Check(few_tables)] = (
        field(default_factory=dict)
    )
    scrape: Annotated[
        Mapping[Annotated[str, Check(table_name)], ScrapeConfig], Check(few_tables)
    ] = field(default_factory=dict)
    remote_write: Annotated[
        Mapping[Annotated[str, Check(table_name)], RemoteWriteConfig], Check(few_tables)
    ] = field(default_factory=dict)
    defaults: DefaultsConfig = field(default_factory=DefaultsConfig)
    channels: Annotated[
        Mapping[Annotated[str, Check(table_name)], ChannelConfig], Check(few_tables)
    ] = field(default_factory=dict)
    routes: Annotated[tuple[RouteConfig, ...], Check(listed(MOST_ROUTES))] = ()
    silences: Annotated[tuple[SilenceConfig, ...], Check(listed(MOST_SILENCES))] = ()
    heartbeat: HeartbeatConfig = field(default_factory=HeartbeatConfig)
    rules: RuleSet = field(default_factory=shipped_rules)
    files: tuple[Path, ...] = ()
    """The files that were read, in the order in which they were merged."""
    watched: tuple[Path, ...] = ()
    """What says that the configuration changed: the files that were read, those of secrets too, and
    folders in which another may come."""
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where each key was set, as ``file:line``; what is not here is a default."""
    warnings: tuple[str, ...] = ()
    """What is odd and holds all the same, a line each."""


def find(
    explicit: Path | None, *, cwd: Path | None = None, system: Path | None = None
) -> Path | None:
    """The file to load: the explicit one, ``./config.toml``, the machine's, or none.

    The machine's is `SYSTEM_CONFIG`, unless `system` is given.  Raises `ConfigError` where
    the explicit one does not exist.  One that exists and cannot be read is found, so that
    `load` complains instead of passing it over.
    """
    folder = Path.cwd() if cwd is None else cwd
    if explicit is not None:
        if not _present(folder / explicit):
            raise ConfigError([f"{printable(str(explicit))}: there is no such file"])
        return explicit
    if _present(folder / "config.toml"):
        return Path("config.toml")
    system = SYSTEM_CONFIG if system is None else system
    return system if _present(system) else None


def load(
    path: Path | None,
    *,
    cwd: Path | None = None,
    overrides: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType({}),
) -> Settings:
    """The settings of this file and those it includes; the defaults without one.

    `overrides` are values from the command line: (section, key) to (option, value).  They
    win over every file and are complained about by the option's name.  Relative paths in a
    file are relative to it, those in an override to `cwd`.  Raises `ConfigError` with every
    complaint there is, up to `MOST_COMPLAINTS`.
    """
    folder = Path.cwd() if cwd is None else cwd
    complaints: list[Complaint] = []
    document = merged(path, folder, complaints)
    for (section, key), (option, value) in overrides.items():
        table = document.table.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
            document.origins[section, key] = Origin(option, folder)
    values = check(Settings, document, complaints)
    if complaints:
        raise ConfigError(_told(complaints))
    origins = {
        ".".join(map(str, path)): origin.short
        for path, origin in document.origins.items()
        if len(path) > 1
    }
    return Settings(
        **values,
        files=tuple(document.files),
        watched=tuple(dict.fromkeys([*document.files, *document.referred, *document.folders])),
        origins=MappingProxyType(origins),
        warnings=tuple(document.warnings),
    )


def default_data_dir() -> Path:
    """Where the data are kept when nobody says otherwise: the machine's place, or the user's."""
    if os.geteuid() == 0:
        return Path("/var/lib/awoooi-monitor")
    try:
        return Path.home() / ".local/state/awoooi-monitor"
    except RuntimeError:
        # A user without a home, as in a container started with a bare number.
        raise ConfigError(
            ["--data: this user has no home folder; say where to keep data"]
        ) from None


def _present(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def _told(complaints: list[Complaint]) -> list[str]:
    """The complaints as lines, in the order of the files, without repeats."""
    names = list(dict.fromkeys(complaint.origin.name for complaint in complaints))
    complaints.sort(key=lambda complaint: (names.index(complaint.origin.name), complaint.origin.at))
    lines = list(dict.fromkeys(complaint.line for complaint in complaints))
    if len(lines) > MOST_COMPLAINTS:
        more = len(lines) - MOST_COMPLAINTS
        return [*lines[:MOST_COMPLAINTS], f"… and {more} more complaints"]
    return lines
