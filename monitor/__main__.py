"""The command line: `monitor serve`, `monitor config check`, and the care of the files.

It reads options, loads settings and prints; what runs is built in `monitor.bootstrap`.
Exit status: 0 done, 1 cannot start, 2 wrong usage, 78 wrong configuration (EX_CONFIG of
sysexits.h), 130 interrupted from the keyboard.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from monitor import __version__
from monitor.commands.access import session, user
from monitor.commands.agent import agent
from monitor.commands.alert import alert
from monitor.commands.channel import channel
from monitor.commands.host import host
from monitor.commands.places import data_dir, loaded, with_places
from monitor.commands.rule import rule
from monitor.commands.silence import silence
from monitor.commands.tls import tls
from monitor.commands.tokens import token
from monitor.config import Settings, render
from monitor.core.quantity import format_about, format_about_bytes
from monitor.errors import ConfigError, MonitorError

EXIT_CANNOT_START = 1
EXIT_FOUND_WRONG = 1
EXIT_BAD_CONFIG = 78
EXIT_INTERRUPTED = 130

ENDLESS_SECONDS = 30 * 86_400.0
"""Longer than any check of a file takes."""


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
        except MonitorError as error:
            click.echo(error.detail, err=True)
            ctx.exit(EXIT_CANNOT_START)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="monitor")
def main() -> None:
    """Awoooi Monitor: every host live, second by second."""


@main.command()
@with_places
@click.option("--listen", metavar="HOST:PORT", help="Address; port 0 picks a free one.")
@click.option(
    "--accept-retention", is_flag=True, help="Let go, once, of history that retention holds back."
)
@click.pass_context
def serve(
    ctx: click.Context,
    path: Path | None,
    data: str | None,
    listen: str | None,
    accept_retention: bool,
) -> None:
    """Serve the pages and the API, and watch this host."""
    settings = loaded(path, data, listen)
    # Imported here, because `monitor config check` has no use for a web server, which takes
    # longer to import than a configuration to check.
    from monitor import bootstrap  # noqa: PLC0415

    status = bootstrap.serve(
        settings,
        data_dir(settings),
        accept_retention=accept_retention,
        reread=lambda: loaded(path, data, listen),
    )
    ctx.exit(status)


@main.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@with_places
def check(path: Path | None, data: str | None) -> None:
    """Check the configuration; print what holds and how long history lasts."""
    settings = loaded(path, data)
    click.echo(render(settings))
    click.echo(_encryption(settings))
    click.echo(_retention(settings))


main.add_command(check)
main.add_command(agent)
main.add_command(user)
main.add_command(session)
main.add_command(token)
main.add_command(host)
main.add_command(alert)
main.add_command(silence)
main.add_command(rule)
main.add_command(channel)
main.add_command(tls)


@main.command()
@with_places
@click.argument("target", metavar="DEST", type=click.Path(path_type=Path))
def backup(path: Path | None, data: str | None, target: Path) -> None:
    """Write an archive of all data to DEST, whether or not the server runs."""
    folder = data_dir(loaded(path, data))
    from monitor.care.backup import backup as written  # noqa: PLC0415 - as in `serve`

    with _ended_by_a_signal():
        manifest = written(folder, target)
    for name, member in manifest.members.items():
        click.echo(f"{name}: {format_about_bytes(member.size)}, SHA-256 {member.sha256}")
    click.echo(f"{target} is written")


@main.command()
@with_places
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
def restore(path: Path | None, data: str | None, source: Path) -> None:
    """Put a backup in the place of the data; the server must be stopped."""
    folder = data_dir(loaded(path, data))
    from monitor import bootstrap  # noqa: PLC0415 - as in `serve`
    from monitor.access.records import ACCOUNTS  # noqa: PLC0415
    from monitor.care.restore import has_key  # noqa: PLC0415
    from monitor.care.restore import restore as put_back  # noqa: PLC0415
    from monitor.web.listening import FIRST_ACCOUNT  # noqa: PLC0415

    with bootstrap.locked(folder), _ended_by_a_signal():
        manifest, replaced = put_back(folder, source, time.time())
        has_account = has_key(folder, ACCOUNTS)
    made = format_about(max(0.0, time.time() - manifest.made))
    click.echo(f"{folder} holds the backup of {made} ago; start the server to go on from there")
    for name in replaced:
        click.echo(f"what was there is kept: {folder / name}")
    if not has_account:
        click.echo(
            "the backup holds no account, so on loopback whoever connects is administrator; before"
            f" you start the server, make one: {FIRST_ACCOUNT}",
            err=True,
        )


@main.command()
@with_places
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.option("--full", is_flag=True, help="Check the files however long it takes.")
@click.pass_context
def doctor(
    ctx: click.Context, path: Path | None, data: str | None, as_json: bool, full: bool
) -> None:
    """Explain the state of the data, and what to do; exit 1 where something is wrong."""
    settings = loaded(path, data)
    from monitor.care.doctor import examine  # noqa: PLC0415 - as in `serve`

    seconds = ENDLESS_SECONDS if full else None
    report = examine(data_dir(settings), settings.retention, time.time(), seconds)
    if as_json:
        click.echo(json.dumps(report.document(), indent=2))
    else:
        click.echo("\n".join(report.lines()))
    ctx.exit(0 if report.is_well else EXIT_FOUND_WRONG)


@contextlib.contextmanager
def _ended_by_a_signal() -> Iterator[None]:
    """SIGTERM ends what runs as Ctrl-C does: what was begun is cleared away."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _encryption(settings: Settings) -> str:
    """How connections are encrypted; an operator's certificate is looked at."""
    from monitor.web.listening import described  # noqa: PLC0415 - as in `serve`

    if settings.server.tls_cert is not None:
        from monitor.web.certificates import require_usable  # noqa: PLC0415 - cryptography

        require_usable(settings.server, time.time)
    return f"# {described(settings.server)}"


def _retention(settings: Settings) -> str:
    """How long the history lasts for the fleet that there is."""
    # numpy comes with the store: see `serve`.
    from monitor import capacity  # noqa: PLC0415

    return "\n".join(asyncio.run(capacity.history_lasts(settings, data_dir(settings))))


if __name__ == "__main__":
    main()
