"""What an agent says of itself and its machine when it introduces itself."""

from __future__ import annotations

import platform

from monitor import __version__
from monitor.collect.files import read_text

LONGEST_CHARACTERS = 256
"""Of one fact; a server takes no longer ones."""


def introduction(interval_seconds: float, *, is_ephemeral: bool) -> dict[str, object]:
    """The `info` of a push: facts of this machine, and how often is sent."""
    facts = {
        "version": __version__,
        "os": _system(),
        "kernel": platform.release(),
        "arch": platform.machine(),
        "machine_id": read_text("/etc/machine-id"),
        "python": platform.python_version(),
    }
    told: dict[str, object] = {
        name: shown for name, fact in facts.items() if (shown := _shown(fact))
    }
    told["interval"] = interval_seconds
    told["ephemeral"] = is_ephemeral
    return told


def _system() -> str:
    for line in read_text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip("\"'")
    return platform.system()


def _shown(fact: str) -> str:
    return "".join(c for c in fact if c.isprintable())[:LONGEST_CHARACTERS].strip()
