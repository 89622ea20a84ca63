"""`monitor rule`: which rules hold, testing them, and judging one against the past.

Rules are written in files only.  What is done here is done by `monitor.commands.rulework`.
"""

from __future__ import annotations

import math
from pathlib import Path

import click

from monitor.commands.places import loaded, with_places
from monitor.commands.tables import NOTHING, instant, listed, show, show_json

FAILED = 1

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group()
def rule() -> None:
    """Rules: which hold, and what one would have done."""


@rule.command("list")
@with_places
@click.option("--noise", is_flag=True, help="How often each fired, and what might be changed.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_rules(path: Path | None, data: str | None, noise: bool, as_json: bool) -> None:
    """List the rules of the configuration and the shipped ones."""
    settings = loaded(path, data)
    from monitor.commands import rulework  # noqa: PLC0415 - as in `monitor.__main__`

    found = rulework.listing(settings, with_noise=noise)
    if as_json:
        show_json(each.document() for each in found)
        return
    headings = ["NAME", "SEVERITY", "FIRING", "WHERE", "CONDITION"]
    rows = [
        [
            each.rule.name,
            each.rule.severity.value,
            str(each.firing) if each.firing else NOTHING,
            each.rule.origin or NOTHING,
            "; ".join(each.words),
        ]
        for each in found
    ]
    if noise:
        headings[3:] = ["A WEEK", "MEDIAN", "SHORT", "ACKED", "SUGGESTION"]
        for row, each in zip(rows, found, strict=True):
            row[3:] = each.noise_words()
    show(headings, rows)


@rule.command("test")
@with_places
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=_FILE)
@click.pass_context
def test_rules(
    ctx: click.Context, path: Path | None, data: str | None, files: tuple[Path, ...]
) -> None:
    """Run unit tests of the rules, on series that a file makes up; exit 1 where one fails."""
    settings = loaded(path, data)
    from monitor.commands import rulework  # noqa: PLC0415 - as in `monitor.__main__`

    is_passed = True
    for file in files:
        lines, passed = rulework.tested(settings, file)
        is_passed = is_passed and passed
        click.echo("\n".join(lines))
    ctx.exit(0 if is_passed else FAILED)


@rule.command("backtest")
@with_places
@click.argument("file", metavar="FILE", type=_FILE)
@click.option("--since", default="14d", show_default=True, help="How far back.")
@click.option("--match", metavar="SELECTOR", help='Of which hosts: "role=db".')
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def backtest_rules(
    path: Path | None, data: str | None, file: Path, since: str, match: str | None, as_json: bool
) -> None:
    """Judge the rules of a file against what was stored: how often each would have fired."""
    settings = loaded(path, data)
    from monitor.commands import rulework  # noqa: PLC0415 - as in `monitor.__main__`

    found = rulework.backtested(settings, file, since, match)
    if as_json:
        show_json(rulework.document(each) for each in found)
        return
    for each in found:
        history = rulework.duration(each.history_seconds) if each.history_seconds else "none"
        click.echo(f"{each.rule.name}: {each.summary}")
        click.echo(f"  judged: {each.judged or 'nothing'}; history: {history}")
        if each.firings:
            show(
                ("  HOST", "OF", "SEVERITY", "FROM", "FOR", "PEAK"),
                (
                    (
                        f"  {firing.host}",
                        listed([f"{name}={value}" for name, value in firing.attributes]),
                        firing.severity.value,
                        instant(firing.start),
                        rulework.duration((firing.end or each.end) - firing.start),
                        f"{firing.peak:g}" if math.isfinite(firing.peak) else NOTHING,
                    )
                    for firing in each.firings
                ),
            )
        for left in each.left_out:
            click.echo(f"  left out: {left.host}: {left.reason}", err=True)


@rule.command("drill")
@with_places
@click.argument("name", metavar="NAME")
@click.option("--host", required=True, help="The host that it is about.")
@click.pass_context
def drill(ctx: click.Context, path: Path | None, data: str | None, name: str, host: str) -> None:
    """Send a marked drill of a rule through routes and channels; exit 1 where nobody was told."""
    settings = loaded(path, data)
    from monitor.commands import rulework  # noqa: PLC0415 - as in `monitor.__main__`

    told = rulework.drilled(settings, name, host, click.echo)
    ctx.exit(0 if told else FAILED)
