"""`monitor agent`: the agent, in a process that has nothing of the server's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

import monitor

SLIM = ("-OO", "-X", "no_debug_ranges")
"""Without docstrings and the columns of tracebacks the agent takes 3 MB less."""


@click.command(
    "agent",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def agent(arguments: tuple[str, ...]) -> None:
    """Collect on this host and send to a server, or be polled."""
    # This process has loaded what configures a server, more than an agent may weigh.  The new
    # one finds this very package, and nothing in whatever folder it is started from.
    root = str(Path(monitor.__file__).resolve().parent.parent)
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
    line = [sys.executable, "-P", *SLIM, "-m", "monitor.agent", *arguments]
    os.execve(sys.executable, line, environment)  # noqa: S606  # nosec B606 - our own
