"""The agent's command line: the one table of its options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor import __version__

PROGRAM = "monitor agent"

MOST_SIMULATED = 10_000
"""Hosts of one simulated fleet: what a laptop can be."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option, the key of ``[agent]`` that it sets, and what it is for."""

    name: str
    key: str
    metavar: str
    help: str


OPTIONS: tuple[Option, ...] = (
    Option("--server", "server", "URL", "The server, such as https://monitor.example:8460."),
    Option("--token-file", "token_file", "FILE", "The agent's token, or one to enrol with."),
    Option("--spool", "spool", "DIR", "Where frames are kept until the server has them."),
    Option("--name", "name", "HOST", "This host's name; the machine's own by default."),
    Option("--pin", "pin", "sha256:HEX", "The server's certificate, or its authority's."),
    Option("--ca", "ca", "FILE", "Authorities to believe instead of the system's."),
    Option("--listen", "listen", "HOST:PORT", "Serve OpenMetrics here, to be polled."),
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the command line says: a file, and values of ``[agent]`` with their options."""

    config: Path | None
    options: dict[str, tuple[str, object]]
    simulate: int | None = None
    faults: str = ""


def parser() -> argparse.ArgumentParser:
    """The parser of the agent's options."""
    made = argparse.ArgumentParser(
        prog=PROGRAM,
        allow_abbrev=False,
        description="Collect on this host and send to a server, or serve to be polled.",
    )
    made.add_argument("--config", type=Path, metavar="FILE", help="Configuration (TOML).")
    for option in OPTIONS:
        made.add_argument(option.name, dest=option.key, metavar=option.metavar, help=option.help)
    made.add_argument(
        "--simulate", type=_count, metavar="N", help="Be a fleet of N hosts that are not there."
    )
    made.add_argument(
        "--faults", default="", metavar="FAULT[=N],…", help="Of --simulate: what goes wrong there."
    )
    made.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return made


def parse(arguments: Sequence[str]) -> Arguments:
    """What these arguments say; wrong ones end the program with status 2."""
    found = parser().parse_args(arguments)
    options: dict[str, tuple[str, object]] = {}
    for option in OPTIONS:
        value = getattr(found, option.key)
        if value is not None:
            options[option.key] = (option.name, value)
    return Arguments(found.config, options, found.simulate, found.faults)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= MOST_SIMULATED):
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_SIMULATED} hosts")
    return int(text[:6])
