"""`monitor silence`: telling nobody of some alerts, for a while or on a schedule.

It changes what lies in the registry, which a running server follows.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.places import loaded, with_places
from monitor.commands.tables import NOTHING, instant, show, show_json

if TYPE_CHECKING:
    from monitor.commands.alertwork import Desk
    from monitor.notify.silence import Silence


@click.group()
def silence() -> None:
    """Silences: of which alerts nobody is told."""


@silence.command("create")
@with_places
@click.option(
    "--match", required=True, metavar="SELECTOR", help='What it takes: "host=web-*, env=prod".'
)
@click.option("--for", "duration", metavar="DURATION", help="How long: 30m, 8h, 2d.")
@click.option("--until", metavar="INSTANT", help="Or until when, as ISO 8601; UTC without a zone.")
@click.option(
    "--schedule", metavar="TEXT", help='Or when, again and again: "Sat,Sun 02:00-04:00 UTC".'
)
@click.option("--comment", default="", help="Why.")
def create_silence(
    path: Path | None,
    data: str | None,
    match: str,
    duration: str | None,
    until: str | None,
    schedule: str | None,
    comment: str,
) -> None:
    """Tell nobody of what a selector takes; stdout has the silence's id."""
    settings = loaded(path, data)
    if duration is not None and until is not None:
        raise click.UsageError("--for and --until: say one of them")
    from monitor.commands import alertwork  # noqa: PLC0415 - as in `monitor.__main__`
    from monitor.core.selectors import Selector  # noqa: PLC0415
    from monitor.notify.schedules import Schedule, parse_until  # noqa: PLC0415
    from monitor.notify.silences import Wish  # noqa: PLC0415

    text = duration or until
    try:
        wish = Wish(
            Selector.parse(match),
            parse_until(text, time.time() if duration else None) if text is not None else None,
            Schedule.parse(schedule) if schedule is not None else None,
            comment,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    async def work(desk: Desk) -> tuple[Silence, int]:
        made = await desk.silences.create(desk.actor, wish)
        return made, sum(made.match.matches(each.labels) for each in desk.book.open.values())

    made, taken = alertwork.inside(settings, work)
    end = f"until {instant(made.until)}" if made.until else "until it is ended"
    when = f"on the schedule {made.schedule.text}, {end}" if made.schedule else end
    alerts = "1 alert that fires" if taken == 1 else f"{taken} alerts that fire"
    click.echo(f"silenced {when}; it takes {alerts} now", err=True)
    click.echo(made.id)


@silence.command("list")
@with_places
@click.option("--all", "with_old", is_flag=True, help="Those that are over too.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_silences(path: Path | None, data: str | None, with_old: bool, as_json: bool) -> None:
    """List silences."""
    settings = loaded(path, data)
    from monitor.commands import alertwork  # noqa: PLC0415 - as in `monitor.__main__`

    async def work(desk: Desk) -> tuple[Silence, ...]:
        return desk.silences.all()

    now = time.time()
    found = [each for each in alertwork.inside(settings, work) if with_old or not each.is_over(now)]
    if as_json:
        show_json(_document(each, now) for each in found)
        return
    show(
        ("ID", "STATE", "UNTIL", "SCHEDULE", "BY", "MATCH", "COMMENT"),
        (
            (
                each.id,
                each.state(now),
                instant(each.until),
                each.schedule.text if each.schedule else NOTHING,
                each.origin or each.by,
                each.match.text,
                each.comment or NOTHING,
            )
            for each in found
        ),
    )


@silence.command("delete")
@with_places
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
def delete_silence(path: Path | None, data: str | None, ids: tuple[str, ...]) -> None:
    """End silences now."""
    settings = loaded(path, data)
    from monitor.commands import alertwork  # noqa: PLC0415 - as in `monitor.__main__`

    async def work(desk: Desk) -> None:
        for id_ in dict.fromkeys(ids):
            ended = await desk.silences.delete(desk.actor, id_)
            click.echo(f"{id_} is over ({ended.match.text})")

    alertwork.inside(settings, work)


def _document(each: Silence, now: float) -> dict[str, object]:
    return {
        "id": each.id,
        "match": each.match.text,
        "state": each.state(now),
        "starts": each.starts if each.created else None,
        "until": each.until,
        "schedule": each.schedule.text if each.schedule else None,
        "comment": each.comment,
        "by": each.by,
        "created": each.created or None,
        "ended_by": each.ended_by or None,
        "origin": each.origin or None,
    }
