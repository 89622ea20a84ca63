"""`monitor channel`: by which ways people are told, adding one, and trying one.

Channels stand in the configuration; what is done here is done by `monitor.commands.channelwork`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from monitor.commands.places import loaded, with_places
from monitor.commands.tables import NOTHING, instant, show, show_json

FAILED = 1

LONGEST_URL = 64 * 1024


@click.group()
def channel() -> None:
    """Channels: by which ways people are told of alerts."""


@channel.command("create")
@with_places
@click.argument("name", metavar="NAME")
@click.argument("url", metavar="URL")
def create_channel(path: Path | None, data: str | None, name: str, url: str) -> None:
    """Add a channel: writes conf.d/NAME.toml, and beside it the address, for nobody else to read.

    URL is http(s)://… for the webhook, mailto://USER:PASSWORD@HOST?to=…, alertmanager://HOST, or
    another service's; with - it is read from the standard input, and stays out of the shell's
    history and the list of processes.
    """
    settings = loaded(path, data)
    from monitor.commands import channelwork  # noqa: PLC0415 - as in `monitor.__main__`

    text = sys.stdin.readline(LONGEST_URL).strip() if url == "-" else url
    made = channelwork.create(settings, path, name, text)
    for line in made.written:
        click.echo(line)
    click.echo(f"{name} tells {made.target} ({made.kind}); try it: monitor channel test {name}")
    for line in made.hints:
        click.echo(line, err=True)


@channel.command("list")
@with_places
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_channels(path: Path | None, data: str | None, as_json: bool) -> None:
    """List the channels, and what came of them last."""
    settings = loaded(path, data)
    from monitor.commands import channelwork  # noqa: PLC0415 - as in `monitor.__main__`

    found = channelwork.listing(settings)
    if as_json:
        show_json(each.document() for each in found)
        return
    show(
        ("NAME", "KIND", "LAST", "OUTCOME", "TARGET"),
        (
            (each.name, each.kind, instant(each.last_at), each.outcome or NOTHING, each.target)
            for each in found
        ),
    )


@channel.command("test")
@with_places
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.pass_context
def test_channels(
    ctx: click.Context, path: Path | None, data: str | None, names: tuple[str, ...]
) -> None:
    """Send a marked message through channels, once; exit 1 where one does not arrive."""
    settings = loaded(path, data)
    from monitor.commands import channelwork  # noqa: PLC0415 - as in `monitor.__main__`

    results = channelwork.tried(settings, list(dict.fromkeys(names)))
    for name, why in results.items():
        click.echo(f"{name}: not told: {why}" if why else f"{name}: told")
    ctx.exit(FAILED if any(results.values()) else 0)
