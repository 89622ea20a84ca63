"""`monitor alert`: which alerts there are, one of them, and acknowledging it.

It prints what `monitor.commands.alertwork` finds in the log, whether or not the server runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor.commands.places import loaded, with_places
from monitor.commands.tables import NOTHING, instant, listed, show, show_json

if TYPE_CHECKING:
    from monitor.commands.alertwork import Desk, Standing

STATES = ("open", "firing", "held", "silenced", "acknowledged", "resolved", "all")
"""Which ones are listed; open are all that are not over."""

MOST_LISTED = 1_000


@click.group()
def alert() -> None:
    """Alerts: which there are, and that somebody has seen one."""


@alert.command("list")
@with_places
@click.option("--state", type=click.Choice(STATES), default="open", help="Which ones.")
@click.option("--match", metavar="SELECTOR", help='Such as "env=prod, severity=critical".')
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_alerts(
    path: Path | None, data: str | None, state: str, match: str | None, as_json: bool
) -> None:
    """List alerts, the worst first."""
    settings = loaded(path, data)
    from monitor.commands import alertwork  # noqa: PLC0415 - as in `monitor.__main__`

    async def work(desk: Desk) -> list[Standing]:
        return await chosen(desk, state, match)

    found = alertwork.inside(settings, work)
    if len(found) > MOST_LISTED:
        click.echo(f"the first {MOST_LISTED:,} of {len(found):,}: --match chooses", err=True)
        del found[MOST_LISTED:]
    if as_json:
        show_json(_document(each) for each in found)
        return
    show(
        ("ID", "SEVERITY", "STATE", "HOST", "RULE", "OF", "SINCE", "WHAT"),
        (
            (
                each.alert.id,
                each.alert.said.severity,
                each.state,
                each.alert.host,
                each.alert.rule,
                listed([f"{name}={value}" for name, value in each.alert.said.attributes.items()]),
                instant(each.alert.fired_at),
                each.alert.said.summary or each.alert.said.limit or NOTHING,
            )
            for each in found
        ),
    )


async def chosen(desk: Desk, state: str, match: str | None) -> list[Standing]:
    """The alerts in a state that a selector takes: the worst first, then the newest."""
    from monitor.core.rules.model import Severity  # noqa: PLC0415 - as in `monitor.__main__`
    from monitor.core.selectors import Selector  # noqa: PLC0415

    selector = Selector.parse(match) if match is not None else None
    opened = [] if state == "resolved" else list(desk.book.open.values())
    over = list(desk.book.resolved()) if state in {"resolved", "all"} else []
    opened.sort(key=lambda each: (-Severity(each.said.severity).rank, -each.fired_at))
    wanted = [
        each for each in (*opened, *over) if selector is None or selector.matches(each.labels)
    ]
    found = await desk.standing(wanted)
    if state not in {"open", "resolved", "all"}:
        found = [each for each in found if each.state == state]
    return found


@alert.command("show")
@with_places
@click.argument("id_", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="For scripts, with its evidence.")
def show_alert(path: Path | None, data: str | None, id_: str, as_json: bool) -> None:
    """Show one alert."""
    settings = loaded(path, data)
    from monitor.commands import alertwork  # noqa: PLC0415 - as in `monitor.__main__`

    async def work(desk: Desk) -> tuple[Standing, Any]:
        found = desk.alert(id_)
        events, _, _ = await desk.log.read(found.first_sequence - 1, None, 1)
        evidence = events[0].data.get("evidence") if events else None
        return (await desk.standing([found]))[0], evidence

    standing, evidence = alertwork.inside(settings, work)
    if as_json:
        click.echo(json.dumps(_document(standing) | {"evidence": evidence}, indent=2))
        return
    found, said = standing.alert, standing.alert.said
    ack, silence = standing.ack, standing.silence
    rows = [
        ("alert", found.id),
        ("what", said.summary or NOTHING),
        ("state", standing.state),
        ("severity", said.severity),
        ("host", found.host),
        ("rule", found.rule),
        ("of", _pairs(found.attributes)),
        ("value", NOTHING if said.value is None else f"{said.value:g}"),
        ("limit", said.limit or NOTHING),
        ("fired", instant(found.fired_at)),
        ("over", instant(found.resolved_at or None)),
        ("labels", _pairs(said.labels)),
        ("acknowledged", f"by {ack.by} at {instant(ack.at)} {ack.note}" if ack else NOTHING),
        ("silenced by", f"{silence.id} ({silence.match.text})" if silence else NOTHING),
        ("held back by", standing.holder or NOTHING),
        ("runbook", said.runbook_url or NOTHING),
    ]
    show(("", ""), rows)


@alert.command("ack")
@with_places
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@click.option("--note", default="", help="What others should know.")
@click.option("--undo", is_flag=True, help="Take the acknowledgement back.")
def acknowledge(
    path: Path | None, data: str | None, ids: tuple[str, ...], note: str, undo: bool
) -> None:
    """Say that somebody has seen alerts: they are not told again unless they get worse."""
    settings = loaded(path, data)
    from monitor.commands import alertwork  # noqa: PLC0415 - as in `monitor.__main__`

    async def work(desk: Desk) -> None:
        for id_ in dict.fromkeys(ids):
            found = desk.alert(id_)
            if undo:
                await desk.acks.take_back(desk.actor, found)
                click.echo(f"{id_} is told again")
            else:
                await desk.acks.acknowledge(desk.actor, found, note)
                click.echo(f"{id_} is acknowledged ({found.rule} of {found.host})")

    alertwork.inside(settings, work)


def _pairs(labels: Any) -> str:
    return listed([f"{name}={value}" for name, value in sorted(labels.items())])


def _document(standing: Standing) -> dict[str, object]:
    import msgspec  # noqa: PLC0415 - as in `monitor.__main__`

    found, ack = standing.alert, standing.ack
    said: dict[str, object] = msgspec.to_builtins(found.said)
    return said | {
        "fired_at": found.fired_at,
        "resolved_at": found.resolved_at or None,
        "standing": standing.state,
        "acknowledged": msgspec.to_builtins(ack) if ack else None,
        "silenced_by": standing.silence.id if standing.silence else None,
        "held_back_by": standing.holder or None,
    }
