"""What `[host]` and `[collect]` may say: who this machine is, and how it is read.

Plain dataclasses, so that an agent stays light; the roof reads the marks on the fields.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from monitor.core.labels import few_labels, label_name, label_value
from monitor.core.quantity import Between, Check, Seconds, shown

HOST_CHARACTERS = 253
"""The longest name of a host: that of DNS (RFC 1035)."""

SHORTEST_INTERVAL_SECONDS = 0.1
LONGEST_INTERVAL_SECONDS = 3600.0

_HOST_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{HOST_CHARACTERS}}}\Z")


def host_name(value: str) -> str:
    """A host's name as it is.  Raises `ValueError` where it is none."""
    if _HOST_NAME.match(value) is None or not value.strip("."):
        raise ValueError(
            f"expected a name of 1 to {HOST_CHARACTERS} letters, digits, dots, dashes or"
            f" underscores, got {shown(value)}"
        )
    return value


def default_host_name() -> str:
    """This machine's own name, with what a name may not hold written as dashes."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:HOST_CHARACTERS] or "localhost"


def existing_folder(value: Path) -> Path:
    """An absolute folder as it is.  Raises `ValueError` where there is none."""
    if not value.is_absolute():
        raise ValueError(f"expected an absolute path, got {shown(str(value))}")
    try:
        present = value.is_dir()
    except OSError as error:
        raise ValueError(f"cannot look at {shown(str(value))}: {error.strerror}") from None
    if not present:
        raise ValueError(f"expected a folder that exists, got {shown(str(value))}")
    return value


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Who this host is."""

    name: Annotated[str, Check(host_name)] = field(default_factory=default_host_name)
    """Its name; the machine's own where none is given."""
    labels: Annotated[
        Mapping[Annotated[str, Check(label_name)], Annotated[str, Check(label_value)]],
        Check(few_labels),
    ] = field(default_factory=dict)
    """What selectors find it by: ``{ role = "hub" }``."""


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """How this host is read."""

    interval: Annotated[Seconds, Between(SHORTEST_INTERVAL_SECONDS, LONGEST_INTERVAL_SECONDS)] = 1.0
    """Time between two frames, 100 ms to 1 h."""
    disabled: tuple[str, ...] = ()
    """Names of collectors that are not to run."""
    root: Annotated[Path, Check(existing_folder)] = Path("/")
    """Where the host's own /, /proc and /sys are found: /host in a container."""
    command_lines: bool = True
    """Whether process tables carry command lines (with secrets masked)."""
