"""What every command has in common: which configuration, and which data.

It knows the two options and what they lead to.  What a command does there is its own concern.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from monitor.config import Settings, default_data_dir, find, load

_Command = TypeVar("_Command", bound=Callable[..., object])


def with_places(command: _Command) -> _Command:
    """The options that every command has, as its arguments `path` and `data`."""
    config = click.option(
        "--config",
        "path",
        type=click.Path(path_type=Path, readable=False),
        metavar="FILE",
        help="Configuration.",
    )
    data = click.option("--data", metavar="DIR", help="Where the data are kept.")
    return config(data(command))


def loaded(path: Path | None, data: str | None, listen: str | None = None) -> Settings:
    """The settings, with what the command line says laid over the files."""
    options = {("server", "listen"): ("--listen", listen), ("server", "data_dir"): ("--data", data)}
    overrides = {
        key: (option, value) for key, (option, value) in options.items() if value is not None
    }
    settings = load(find(path), overrides=overrides)
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    return settings


def data_dir(settings: Settings) -> Path:
    """The data directory that settings mean."""
    return settings.server.data_dir or default_data_dir()
