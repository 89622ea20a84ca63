"""`monitor tls`: the certificates of the server's own making, without starting it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.places import data_dir, loaded, with_places
from monitor.errors import MonitorError

if TYPE_CHECKING:
    from monitor.access.audit import Actor
    from monitor.ports import EventLog, Registry


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
    if force:
        _record(folder, found.authority_fingerprint)
    if config.tls == "off" or config.tls_cert is not None:
        click.echo("the server does not use it: see [server] tls and tls_cert", err=True)


def _record(folder: Path, fingerprint: str) -> None:
    """Leave in the audit trail that whom agents trust was replaced.

    It has been: where the log cannot be written, that is said and nothing else.
    """
    from monitor.access.audit import Audit  # noqa: PLC0415 - as above
    from monitor.commands.entry import inside_files  # noqa: PLC0415 - as above

    async def work(log: EventLog, _: Registry, actor: Actor) -> None:
        await Audit(log, time.time).record(actor, "tls.authority", fingerprint)

    try:
        inside_files(folder, work)
    except MonitorError as error:
        click.echo(f"not written to the audit trail: {error.detail}", err=True)
