"""`monitor host`: who is in the fleet, and how one leaves it, from the command line.

It prints what `monitor.commands.hostwork` finds in the files, whether or not the server runs.  How
a host's values are now, how wrong its clock is, who sends for it and who was turned away only a
running server knows: its API and pages say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.places import loaded, with_places
from monitor.commands.tables import NOTHING, instant, listed, show, show_json

if TYPE_CHECKING:
    from monitor.core.state import HostState

DONE = {
    "retire": "is retired until it sends again",
    "adopt": "is spoken for by the machine that was turned away, or by whoever comes next",
    "delete": "is deleted, with all of its history",
}


@click.group()
def host() -> None:
    """The fleet: who is in it, and how one leaves."""


@host.command("list")
@with_places
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_hosts(path: Path | None, data: str | None, as_json: bool) -> None:
    """List the hosts."""
    settings = loaded(path, data)
    from monitor.commands import hostwork  # noqa: PLC0415 - as in `monitor.__main__`

    found = hostwork.read(settings)
    if as_json:
        show_json(_document(each, agent) for each, agent in found)
        return
    show(
        ("NAME", "STATUS", "SINCE", "VERSION", "LABELS"),
        (
            (
                each.name,
                _status(each),
                instant(each.since or None),
                each.info.get("version") or NOTHING,
                _labels(each.labels),
            )
            for each, _ in found
        ),
    )


@host.command("show")
@with_places
@click.argument("name", metavar="HOST")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def show_host(path: Path | None, data: str | None, name: str, as_json: bool) -> None:
    """Show what is known of one host."""
    settings = loaded(path, data)
    from monitor.commands import hostwork  # noqa: PLC0415 - as in `monitor.__main__`

    found = {each.name: (each, agent) for each, agent in hostwork.read(settings)}
    if name not in found:
        raise hostwork.unknown(name)
    each, agent = found[name]
    if as_json:
        show_json([_document(each, agent)])
        return
    rows = [
        ("name", each.name),
        ("status", f"{_status(each)} since {instant(each.since or None)}"),
        ("labels", _labels(each.labels)),
        ("agent", agent or NOTHING),
        *sorted(each.info.items()),
        ("when silent", "retires" if each.is_ephemeral else "goes down"),
    ]
    show(("", ""), rows)


def _status(found: HostState) -> str:
    return found.status.value if found.status else NOTHING


def _labels(labels: Mapping[str, str]) -> str:
    return listed([f"{name}={value}" for name, value in sorted(labels.items())])


def _document(found: HostState, agent: str | None) -> dict[str, object]:
    return {
        "name": found.name,
        "status": found.status.value if found.status else None,
        "since": found.since or None,
        "labels": found.labels,
        "agent": agent,
        "info": found.info,
        "ephemeral": found.is_ephemeral,
    }


def _verb(verb: str, sentence: str, more: str = "") -> None:
    """Add the command of this verb."""

    @host.command(verb, help=f"{sentence}{more}", short_help=sentence)
    @with_places
    @click.argument("names", metavar="HOST…", nargs=-1, required=True)
    def command(path: Path | None, data: str | None, names: tuple[str, ...]) -> None:
        settings = loaded(path, data)
        from monitor.commands import hostwork  # noqa: PLC0415 - as in `monitor.__main__`

        for name in dict.fromkeys(names):
            hostwork.do(settings, verb, name)
            click.echo(f"{name} {DONE[verb]}")


_verb("retire", "Wait for hosts no more, until they send again.")
_verb(
    "adopt",
    "Accept another machine under a host's name.",
    "  It is the one that was turned away last; where none was since the server started, whoever"
    " comes next.",
)
_verb("delete", "Forget hosts, with all of their history.")
