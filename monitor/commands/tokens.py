"""`monitor token`: what machines and scripts come in with, from the command line.

A token's text is standard output, alone: what to do with it is said beside it.  The line to paste
holds it only where standard output is a terminal, on which it stands anyway; else it names a file
in its place, since standard error goes into logs.
"""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.access import commas
from monitor.commands.places import data_dir, loaded, with_places
from monitor.commands.tables import NOTHING, instant, listed, show, show_json
from monitor.config import Settings
from monitor.core.access import ALL_HOSTS, SCOPES, TokenKind
from monitor.core.quantity import parse_seconds
from monitor.web.config import parse_listen

if TYPE_CHECKING:
    from monitor.access.audit import Actor
    from monitor.access.office import Office
    from monitor.access.records import Token
    from monitor.web.trust import Trust

ENROLMENT_USES = 1
"""How often an enrolment token is exchanged unless somebody says otherwise."""

ENROLMENT_EXPIRES = "24h"
"""How long an enrolment token holds unless somebody says otherwise: it opens the door to more."""

NEVER = "never"
"""Said for a token that does not expire."""

OVERLAP = "24h"
"""How long a token that was rotated still holds, unless somebody says otherwise."""

ANY = "\0any"
"""Stands for the value of an option that was given without one; nobody can type it."""

ANY_ADDRESS = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of `monitor token create` as they were given."""

    host: str | None
    enroll: bool
    ingest: str | None
    api: str | None
    hosts: tuple[str, ...]
    scopes: tuple[str, ...]
    uses: int | None
    expires: str | None
    labels: tuple[str, ...]

    @property
    def kind(self) -> TokenKind:
        """The one kind that was asked for.  Raises `click.UsageError`."""
        given = {
            TokenKind.AGENT: self.host is not None,
            TokenKind.ENROLL: self.enroll,
            TokenKind.INGEST: self.ingest is not None,
            TokenKind.API: self.api is not None,
        }
        kinds = [kind for kind, is_given in given.items() if is_given]
        if len(kinds) != 1:
            raise click.UsageError("say what it is for: one of --host, --enroll, --ingest, --api")
        return kinds[0]

    def require_fitting(self) -> None:
        """Raise `click.UsageError` where an option is none of this kind's."""
        for option, value, kinds in (
            ("--uses", self.uses, (TokenKind.ENROLL,)),
            ("--labels", self.labels, (TokenKind.AGENT, TokenKind.ENROLL)),
            ("--scope", self.scopes, (TokenKind.API,)),
            ("--hosts", self.hosts, (TokenKind.ENROLL, TokenKind.INGEST, TokenKind.API)),
        ):
            if value and self.kind not in kinds:
                raise click.UsageError(f"{option} is not for --{_OPTIONS[self.kind]}")

    @property
    def globs(self) -> tuple[str, ...]:
        """The hosts that the token is for."""
        if self.host is not None:
            return (self.host,)
        said = () if self.ingest in (None, ANY) else (str(self.ingest),)
        return commas((*said, *self.hosts)) if (said or self.hosts) else ALL_HOSTS

    @property
    def purposes(self) -> tuple[str, ...]:
        """An API token's scopes."""
        if self.api is None:
            return ()
        said = () if self.api == ANY else (self.api,)
        return commas((*said, *self.scopes)) or ("read",)

    def until(self, now: float) -> float | None:
        """When it expires, in unix seconds.  Raises `click.BadParameter`."""
        text = self.expires or (ENROLMENT_EXPIRES if self.enroll else NEVER)
        return None if text == NEVER else now + _seconds(text, "--expires")

    def pairs(self) -> dict[str, str]:
        """The labels.  Raises `click.BadParameter`."""
        found: dict[str, str] = {}
        for each in commas(self.labels):
            name, equals, value = (part.strip() for part in each.partition("="))
            if not equals or name in found:
                raise click.BadParameter(
                    "expected k=v,… with each name once", param_hint="--labels"
                )
            found[name] = value
        return found


_OPTIONS = {
    TokenKind.AGENT: "host",
    TokenKind.ENROLL: "enroll",
    TokenKind.INGEST: "ingest",
    TokenKind.API: "api",
}


@click.group()
def token() -> None:
    """What agents, senders and scripts come in with."""


@token.command("create")
@with_places
@click.option("--host", metavar="HOST", help="For the agent of one host.")
@click.option("--enroll", is_flag=True, help="To be exchanged for hosts' own tokens.")
@click.option(
    "--ingest", is_flag=False, flag_value=ANY, metavar="[GLOB]", help="To write many hosts."
)
@click.option(
    "--api",
    is_flag=False,
    flag_value=ANY,
    metavar="[SCOPE,…]",
    help=f"For scripts that read or operate: {', '.join(SCOPES)}.",
)
@click.option("--hosts", multiple=True, metavar="GLOB,…", help="The hosts that it is for.")
@click.option("--scope", "--scopes", "scopes", multiple=True, metavar="SCOPE,…", help="As --api.")
@click.option("--uses", type=int, metavar="N", help=f"Of --enroll; {ENROLMENT_USES} by default.")
@click.option(
    "--expires",
    metavar="DURATION",
    help=f'Such as 30d, or "{NEVER}", which it is but for --enroll: {ENROLMENT_EXPIRES}.',
)
@click.option("--labels", multiple=True, metavar="K=V,…", help="Of the host, or hosts.")
@click.option("--note", default="", metavar="TEXT", help="What it is for, to remember.")
def create_token(
    path: Path | None,
    data: str | None,
    host: str | None,
    enroll: bool,
    ingest: str | None,
    api: str | None,
    hosts: tuple[str, ...],
    scopes: tuple[str, ...],
    uses: int | None,
    expires: str | None,
    labels: tuple[str, ...],
    note: str,
) -> None:
    """Make a token: it is standard output, alone, and is not shown again."""
    asked = _Asked(host, enroll, ingest, api, hosts, scopes, uses, expires, labels)
    kind = asked.kind
    asked.require_fitting()
    until, pairs = asked.until(time.time()), asked.pairs()
    settings = loaded(path, data)
    trust = _trust(settings) if kind in (TokenKind.AGENT, TokenKind.ENROLL) else None
    from monitor.access.tokens import Wish  # noqa: PLC0415 - as in `monitor.__main__`
    from monitor.commands.entry import inside  # noqa: PLC0415
    from monitor.ingest.names import labels as require_labels  # noqa: PLC0415

    wish = Wish(
        kind,
        asked.globs,
        asked.purposes,
        require_labels(pairs),
        until,
        (ENROLMENT_USES if uses is None else uses) if enroll else None,
        note,
    )
    text, made = inside(data_dir(settings), lambda office, actor: office.tokens.create(actor, wish))
    _hand_over(text, made, settings, trust)


@token.command("list")
@with_places
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_tokens(path: Path | None, data: str | None, as_json: bool) -> None:
    """List the tokens: what each is for, never what it is."""
    folder = data_dir(loaded(path, data))
    from monitor.commands.entry import inside  # noqa: PLC0415

    async def work(office: Office, _: Actor) -> list[tuple[Token, int | None]]:
        return [(each, office.usage.at(each.id)) for each in office.tokens.all()]

    found = inside(folder, work)
    if as_json:
        show_json(
            {
                "id": each.id,
                "kind": each.kind.value,
                "hosts": each.hosts,
                "scopes": each.scopes,
                "labels": each.labels,
                "created": each.created,
                "by": each.by,
                "last_used": used,
                "expires": each.expires,
                "uses_left": each.uses,
                "note": each.note,
            }
            for each, used in found
        )
        return
    show(
        (
            "ID",
            "KIND",
            "HOSTS",
            "SCOPES",
            "CREATED",
            "BY",
            "LAST USED",
            "EXPIRES",
            "USES LEFT",
            "NOTE",
        ),
        (
            (
                each.id,
                each.kind.value,
                listed(each.hosts),
                listed(each.scopes),
                instant(each.created),
                each.by,
                instant(used),
                instant(each.expires),
                NOTHING if each.uses is None else str(each.uses),
                each.note or NOTHING,
            )
            for each, used in found
        ),
    )


@token.command("delete")
@with_places
@click.argument("id_", metavar="ID")
def delete_token(path: Path | None, data: str | None, id_: str) -> None:
    """End a token: whoever has it is nobody from now on."""
    folder = data_dir(loaded(path, data))
    from monitor.commands.entry import inside  # noqa: PLC0415

    inside(folder, lambda office, actor: office.tokens.revoke(actor, id_))
    click.echo(f"the token {id_} holds no more")


@token.command("rotate")
@with_places
@click.argument("id_", metavar="ID")
@click.option("--overlap", default=OVERLAP, metavar="DURATION", help="How long the old one holds.")
def rotate_token(path: Path | None, data: str | None, id_: str, overlap: str) -> None:
    """Make another token of the same rights; the old one goes on for a while."""
    seconds = _seconds(overlap, "--overlap")
    settings = loaded(path, data)
    from monitor.commands.entry import inside  # noqa: PLC0415

    text, made = inside(
        data_dir(settings), lambda office, actor: office.tokens.rotate(actor, id_, seconds)
    )
    is_over = seconds == 0 or made.kind is TokenKind.ENROLL
    ends = "holds no more" if is_over else f"holds for {overlap} more"
    click.echo(f"the old one, {id_}, {ends}", err=True)
    _hand_over(text, made, settings, _trust(settings) if made.kind is TokenKind.AGENT else None)


def _seconds(text: str, option: str) -> float:
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _hand_over(text: str, made: Token, settings: Settings, trust: Trust | None) -> None:
    """Print a token, alone; beside it what it is, and the line to paste."""
    what, line = _use(made, settings, trust, text if _is_terminal() else None)
    until = f", until {instant(made.expires)}" if made.expires is not None else ""
    click.echo(f"token {made.id}: {what}{until}; it is shown once, so keep it in a file", err=True)
    click.echo(line, err=True)
    click.echo(text)


def _use(made: Token, settings: Settings, trust: Trust | None, text: str | None) -> tuple[str, str]:
    """What a token is for, in words, and the line that uses it, with its text where that is given.

    The line that enrols begins with a space, which keeps it out of most shells' history.
    """
    from monitor.web import pasting  # noqa: PLC0415 - as in `monitor.__main__`

    url = _url(settings)
    hosts = "every host" if made.hosts == ALL_HOSTS else ", ".join(made.hosts)
    header = '-H "Authorization: Bearer $(cat FILE)"'
    match made.kind:
        case TokenKind.AGENT:
            line = pasting.enrolment(url, trust, made, text or pasting.FILE)
            return f"the agent of {hosts}", line
        case TokenKind.ENROLL:
            times = "once" if made.uses == 1 else f"{made.uses} times"
            line = pasting.enrolment(url, trust, made, text or pasting.FILE)
            return f"exchanged {times} for a token of {hosts}", line
        case TokenKind.INGEST:
            line = (
                f"remote_write: [{{url: {url}/api/v1/write,"
                " authorization: {credentials_file: FILE}}]"
            )
            return f"writes {hosts}", line
        case TokenKind.API:
            scopes = ", ".join(made.scopes)
            path = "/metrics" if made.scopes == ("metrics",) else "/api/v1/hosts"
            return f"for {scopes}, on {hosts}", f"curl {header} {url}{path}"


def _is_terminal() -> bool:
    """Whether standard output is shown to somebody and kept nowhere."""
    return sys.stdout.isatty()


def _trust(settings: Settings) -> Trust | None:
    """By what hosts know the server, made now where it has not been started yet.

    Raises a `MonitorError` where its certificate cannot be used or made.
    """
    from monitor.web.listening import Tls, listening  # noqa: PLC0415 - as in `monitor.__main__`
    from monitor.web.trust import is_behind_a_proxy, trust  # noqa: PLC0415

    config, folder = settings.server, data_dir(settings)
    place = listening(config)
    if place.tls is Tls.OFF or is_behind_a_proxy(config):
        return None
    from monitor.commands.entry import as_owner  # noqa: PLC0415 - cryptography
    from monitor.web.certificates import made, require_usable  # noqa: PLC0415

    if place.tls is Tls.OWN:
        require_usable(config, time.time)
        return trust(config, folder, is_local=place.is_loopback)
    with as_owner(folder):
        made(config, place, folder, time.time())
        return trust(config, folder, is_local=place.is_loopback)


def _url(settings: Settings) -> str:
    """Where others find the server, as far as its configuration tells."""
    from monitor.web.listening import Tls, tls_mode  # noqa: PLC0415 - as in `monitor.__main__`

    config = settings.server
    if config.public_url:
        return config.public_url
    host, port = parse_listen(config.listen)
    if host in ANY_ADDRESS:
        host = socket.gethostname()
    is_plain = tls_mode(config, is_local=config.is_local()) is Tls.OFF
    name = f"[{host}]" if ":" in host else host
    return f"{'http' if is_plain else 'https'}://{name}:{port or 'PORT'}"
