"""`monitor user` and `monitor session`: people, from the command line.

Whoever may write the data directory may do everything here: the first administrator is made so.
A running server knows of each change within half a second.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.places import data_dir, loaded, with_places
from monitor.commands.tables import NOTHING, instant, listed, show, show_json
from monitor.core.access import ALL_HOSTS, Role
from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.access.audit import Actor
    from monitor.access.office import Office
    from monitor.access.records import Account, Session

# The rooms are imported where they are used, as in `monitor.__main__`: argon2, SQLite and their
# like take longer to import than `monitor --help` may take.

MOST_PASSWORD_BYTES = 4_096
"""More than any password has; what comes on top is not read."""

ROLE = click.Choice([role.value for role in Role])


def commas(values: tuple[str, ...]) -> tuple[str, ...]:
    """The values of an option that takes several, after commas or as several options."""
    return tuple(each.strip() for value in values for each in value.split(",") if each.strip())


def with_password(prompt: str) -> str:
    """A password from the terminal, asked twice and not shown.  Raises `InputError` elsewhere."""
    if not sys.stdin.isatty():
        detail = "there is no terminal to ask for the password: pipe it in with --password-stdin"
        raise InputError(detail, code="no_terminal", field="password")
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True))


def read_password() -> str:
    """A password from standard input, without the newline at its end.  Raises `InputError`."""
    content = sys.stdin.buffer.read(MOST_PASSWORD_BYTES + 1)
    if len(content) > MOST_PASSWORD_BYTES:
        detail = f"a password has at most {MOST_PASSWORD_BYTES} bytes"
        raise InputError(detail, code="weak_password", field="password")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InputError("the password is not UTF-8", code="weak_password") from None
    return text.removesuffix("\n").removesuffix("\r")


@click.group()
def user() -> None:
    """People who may log in."""


PASSWORD_STDIN = click.option(
    "--password-stdin", "from_stdin", is_flag=True, help="Read the password from standard input."
)


@user.command("create")
@with_places
@click.argument("name")
@click.option("--role", type=ROLE, required=True, help="What the account may do.")
@PASSWORD_STDIN
@click.option("--hosts", multiple=True, metavar="GLOB,…", help="The hosts that it sees.")
def create_user(
    path: Path | None,
    data: str | None,
    name: str,
    role: str,
    from_stdin: bool,
    hosts: tuple[str, ...],
) -> None:
    """Make an account; the first one ends that everybody may come in."""
    folder = data_dir(loaded(path, data))
    from monitor.access.passwords import require_good  # noqa: PLC0415
    from monitor.access.records import account_name, require_globs  # noqa: PLC0415
    from monitor.commands.entry import inside  # noqa: PLC0415

    name = account_name(name)
    globs = commas(hosts) if hosts else ALL_HOSTS
    require_globs(globs)
    password = read_password() if from_stdin else with_password(f"Password of {name}")
    require_good(password, name)

    async def work(office: Office, actor: Actor) -> tuple[bool, bool]:
        was_open = not office.directory.has_account
        await office.accounts.create(actor, name, Role(role), password, globs)
        return was_open, bool(office.directory.admins())

    was_open, has_admin = inside(folder, work)
    click.echo(f"{name} may log in as {role}")
    if was_open:
        click.echo("from now on the server asks everybody who comes to log in", err=True)
    if not has_admin:
        click.echo(
            "there is no administrator: monitor user create NAME --role admin makes one", err=True
        )


@user.command("list")
@with_places
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_users(path: Path | None, data: str | None, as_json: bool) -> None:
    """List the accounts."""
    folder = data_dir(loaded(path, data))
    from monitor.commands.entry import inside  # noqa: PLC0415

    async def work(office: Office, _: Actor) -> list[tuple[Account, int]]:
        found = (each for _, each in sorted(office.directory.accounts.items()))
        return [(each, len(office.accounts.sessions_of(each.name))) for each in found]

    found = inside(folder, work)
    if as_json:
        show_json(
            {
                "name": each.name,
                "role": each.role.value,
                "sessions": sessions,
                "created": each.created,
                "password_set": each.changed,
                "hosts": each.hosts,
            }
            for each, sessions in found
        )
        return
    show(
        ("NAME", "ROLE", "SESSIONS", "CREATED", "PASSWORD SET", "HOSTS"),
        (
            (
                each.name,
                each.role.value,
                str(sessions),
                instant(each.created),
                instant(each.changed),
                listed(each.hosts),
            )
            for each, sessions in found
        ),
    )


@user.command("delete")
@with_places
@click.argument("name")
def delete_user(path: Path | None, data: str | None, name: str) -> None:
    """Remove an account and end its sessions."""
    folder = data_dir(loaded(path, data))
    from monitor.commands.entry import inside  # noqa: PLC0415

    inside(folder, lambda office, actor: office.accounts.delete(actor, name))
    click.echo(f"{name.lower()} is removed, and its sessions have ended")


@user.command("role")
@with_places
@click.argument("name")
@click.argument("role", type=ROLE)
def set_role(path: Path | None, data: str | None, name: str, role: str) -> None:
    """Give an account another role."""
    folder = data_dir(loaded(path, data))
    from monitor.commands.entry import inside  # noqa: PLC0415

    inside(folder, lambda office, actor: office.accounts.set_role(actor, name, Role(role)))
    click.echo(f"{name.lower()} is {role} now")


@user.command("password")
@with_places
@click.argument("name")
@PASSWORD_STDIN
def set_password(path: Path | None, data: str | None, name: str, from_stdin: bool) -> None:
    """Give an account another password; its sessions end."""
    folder = data_dir(loaded(path, data))
    from monitor.access.passwords import require_good  # noqa: PLC0415
    from monitor.access.records import account_name  # noqa: PLC0415
    from monitor.commands.entry import inside  # noqa: PLC0415

    name = account_name(name)
    password = read_password() if from_stdin else with_password(f"New password of {name}")
    require_good(password, name)
    inside(folder, lambda office, actor: office.accounts.set_password(actor, name, password))
    click.echo(f"{name} has another password, and its sessions have ended")


@click.group()
def session() -> None:
    """Who is logged in, and on which device."""


@session.command("list")
@with_places
@click.argument("name", metavar="[USER]", required=False)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_sessions(path: Path | None, data: str | None, name: str | None, as_json: bool) -> None:
    """List the sessions that have not expired, of everybody or of one account."""
    folder = data_dir(loaded(path, data))
    from monitor.commands.entry import inside  # noqa: PLC0415

    async def work(office: Office, _: Actor) -> list[tuple[Session, int | None]]:
        names = sorted(office.directory.accounts)
        if name is not None:
            names = [office.accounts.found(name).name]
        found = (each for account in names for each in office.accounts.sessions_of(account))
        return [(each, office.usage.at(each.id)) for each in found]

    found = inside(folder, work)
    if as_json:
        show_json(
            {
                "id": each.id,
                "account": each.account,
                "created": each.created,
                "expires": each.expires,
                "last_used": used,
                "address": each.address,
                "agent": each.agent,
            }
            for each, used in found
        )
        return
    show(
        ("ID", "USER", "CREATED", "EXPIRES", "LAST USED", "ADDRESS", "DEVICE"),
        (
            (
                each.id,
                each.account,
                instant(each.created),
                instant(each.expires),
                instant(used),
                each.address or NOTHING,
                each.agent or NOTHING,
            )
            for each, used in found
        ),
    )


@session.command("delete")
@with_places
@click.argument("id_", metavar="ID")
def delete_session(path: Path | None, data: str | None, id_: str) -> None:
    """End a session: its device must log in again."""
    folder = data_dir(loaded(path, data))
    from monitor.commands.entry import inside  # noqa: PLC0415

    inside(folder, lambda office, actor: office.accounts.end_session(actor, id_))
    click.echo(f"the session {id_} has ended")
