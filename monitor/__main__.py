"""The command line: `monitor serve`, `monitor config check` and what follows from them.

It reads options, loads settings and prints; what runs is built in `monitor.bootstrap`.
Exit status: 0 done, 1 cannot start, 2 wrong usage, 78 wrong configuration (EX_CONFIG of
sysexits.h), 130 interrupted from the keyboard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from monitor import __version__
from monitor.config import Settings, default_data_dir, find, load, render
from monitor.core.quantity import format_about, format_seconds
from monitor.errors import ConfigError, StartError

EXIT_CANNOT_START = 1
EXIT_BAD_CONFIG = 78
EXIT_INTERRUPTED = 130

_Command = TypeVar("_Command", bound=Callable[..., object])


class _Commands(click.Group):
    """A group that ends with the status and the lines that our errors ask for."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command; a traceback is left for faults that nobody foresaw."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for complaint in error.complaints:
                click.echo(complaint, err=True)
            ctx.exit(EXIT_BAD_CONFIG)
        except StartError as error:
            click.echo(error.detail, err=True)
            ctx.exit(EXIT_CANNOT_START)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)


def _with_places(command: _Command) -> _Command:
    """The options that every command has: which configuration, and which data."""
    config = click.option(
        "--config",
        "path",
        type=click.Path(path_type=Path, readable=False),
        metavar="FILE",
        help="Configuration.",
    )
    data = click.option("--data", metavar="DIR", help="Where the data are kept.")
    return config(data(command))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="monitor")
def main() -> None:
    """Awoooi Monitor: every host live, second by second."""


@main.command()
@_with_places
@click.option("--listen", metavar="HOST:PORT", help="Address; port 0 picks a free one.")
@click.pass_context
def serve(ctx: click.Context, path: Path | None, data: str | None, listen: str | None) -> None:
    """Serve the pages and the API, and watch this host."""
    settings = _load(path, data, listen)
    # Imported here, because `monitor config check` has no use for a web server, which takes
    # longer to import than a configuration to check.
    from monitor import bootstrap  # noqa: PLC0415

    ctx.exit(bootstrap.serve(settings, settings.server.data_dir or default_data_dir()))


@main.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@_with_places
def check(path: Path | None, data: str | None) -> None:
    """Check the configuration; print what holds and how long history lasts."""
    settings = _load(path, data, None)
    click.echo(render(settings))
    click.echo(_retention(settings))


main.add_command(check)


def _load(path: Path | None, data: str | None, listen: str | None) -> Settings:
    """The settings, with what the command line says laid over the files."""
    options = {("server", "listen"): ("--listen", listen), ("server", "data_dir"): ("--data", data)}
    overrides = {
        key: (option, value) for key, (option, value) in options.items() if value is not None
    }
    return load(find(path), overrides=overrides)


def _retention(settings: Settings) -> str:
    """How long the history lasts for the fleet that there is: one host, read once to count."""
    # numpy comes with the store: see `serve`.
    from monitor import capacity  # noqa: PLC0415

    series, seconds = asyncio.run(capacity.history_lasts(settings))
    return (
        f"# History is kept in memory: {format_about(seconds)} of 1 host with {series} series"
        f" every {format_seconds(settings.collect.interval)}."
    )


if __name__ == "__main__":
    main()
