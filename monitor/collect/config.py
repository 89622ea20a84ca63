"""What `[collect]` may say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitor.core.quantity import Seconds


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """How this host is read."""

    interval: Seconds = 1.0
    """Time between two frames, 100 ms to 1 h."""
    disabled: tuple[str, ...] = ()
    """Names of collectors that are not to run."""
    root: Path = Path("/")
    """Where the host's own /, /proc and /sys are found: /host in a container."""
    command_lines: bool = True
    """Whether process tables carry command lines (with secrets masked)."""
