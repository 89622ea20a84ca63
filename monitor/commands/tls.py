"""`monitor tls`: the certificates of the server's own making, without starting it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click

from monitor.commands.places import data_dir, loaded, with_places


@click.group()
def tls() -> None:
    """Certificates of the server's own making."""


@tls.command("init")
@with_places
@click.option(
    "--force",
    is_flag=True,
    help="Make a new authority; all agents have to be told its fingerprint.",
)
def init(path: Path | None, data: str | None, force: bool) -> None:
    """Make the certificate authority and the certificate, or show those that there are."""
    settings = loaded(path, data)
    # cryptography takes longer to import than `monitor --help` may take.
    from monitor.commands.entry import as_owner  # noqa: PLC0415
    from monitor.web.certificates import made  # noqa: PLC0415
    from monitor.web.listening import listening  # noqa: PLC0415

    config, folder = settings.server, data_dir(settings)
    place = listening(config)
    with as_owner(folder):
        found = made(config, place, folder, time.time(), anew=force)
    ends = datetime.fromtimestamp(found.ends_at, UTC).date()
    click.echo(f"certificate authority: {found.authority}, {found.authority_fingerprint}")
    click.echo(f"certificate: {found.server}, {found.fingerprint}, until {ends}")
    click.echo(f"names: {', '.join(sorted(found.names))}")
    if config.tls == "off" or config.tls_cert is not None:
        click.echo("the server does not use it: see [server] tls and tls_cert", err=True)
