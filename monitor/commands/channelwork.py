"""What `monitor channel` does: with the files of the configuration, and with the channels.

A channel is written as two files in ``conf.d``: the table, and the address, which is a secret.
Either all of it is written and the configuration holds with it, or nothing is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monitor.access.audit import Actor, Audit
from monitor.commands import alertwork
from monitor.commands.entry import FILE, inside_files
from monitor.commands.places import data_dir
from monitor.config import Settings, find, load
from monitor.config.names import table_name
from monitor.config.settings import SYSTEM_CONFIG
from monitor.core.messages import Alert
from monitor.core.secret import Secret
from monitor.errors import ConfigError, InputError, StartError, excerpt
from monitor.model import EventType
from monitor.notify.channel import Channel, Notification, Result, Told
from monitor.notify.channels.making import make
from monitor.notify.config import ChannelConfig
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.ports import EventLog, Registry

FOLDER = "conf.d"
"""Beside the first file of the configuration."""

INCLUDE = f'include = ["{FOLDER}/*.toml"]\n'

PRIVATE_MODE, OPEN_MODE, FOLDER_MODE = 0o600, 0o644, 0o755


@dataclass(frozen=True, slots=True)
class Made:
    """A channel that was written: what was done and what else is to be known, in lines."""

    kind: str
    target: str
    written: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Listed:
    """A channel, and what came of it last, as far as the log tells."""

    name: str
    kind: str
    target: str
    last_at: float | None = None
    outcome: str = ""
    reason: str = ""

    def document(self) -> dict[str, object]:
        """It for scripts."""
        return {
            "name": self.name,
            "kind": self.kind,
            "target": self.target,
            "last_at": self.last_at,
            "outcome": self.outcome or None,
            "reason": self.reason,
        }


def create(settings: Settings, path: Path | None, name: str, url: str) -> Made:
    """Write a channel.  Raises `InputError` where it may not be, `StartError` where it cannot."""
    try:
        table_name(name)
    except ValueError as error:
        raise InputError(str(error), code="bad_name", field="name") from None
    if name in settings.channels:
        where = settings.origins.get(f"channels.{name}", "the configuration")
        detail = f"there is a channel {name} already, in {where}"
        raise InputError(detail, code="channel_exists", field="name", status=409)
    if not url or not url.isprintable():
        raise InputError("a channel's address is one line of text", code="bad_url", field="url")
    channel = _made(settings, name, ChannelConfig(url=Secret(url)))
    main = find(path) or _new_main()
    writing = _Writing(_owner(settings))
    try:
        _write(writing, main, name, url)
        after = load(main)
        _require_included(after, main, name)
    except OSError as error:
        writing.undo()
        detail = f"{error.filename or main} cannot be written: {error.strerror}"
        raise StartError(detail) from None
    except (ConfigError, InputError):
        writing.undo()
        raise
    return Made(channel.kind, channel.target, writing.said, list(_hints(after, name, writing)))


def listing(settings: Settings) -> list[Listed]:
    """Every channel."""

    async def work(log: EventLog, _: Registry, __: Actor) -> dict[str, tuple[float, str, str]]:
        found: dict[str, tuple[float, str, str]] = {}
        for event in await alertwork.events(log):
            details = event.data.get("details")
            is_notice = event.type is EventType.NOTICE and event.data.get("kind") == "delivery"
            if is_notice and isinstance(details, Mapping):
                outcome, reason = str(details.get("outcome")), str(details.get("reason") or "")
                found[str(details.get("channel"))] = event.at, outcome, reason
        return found

    latest = inside_files(data_dir(settings), work) if settings.channels else {}
    listed = []
    for name, config in settings.channels.items():
        channel = _made(settings, name, config)
        listed.append(Listed(name, channel.kind, channel.target, *latest.get(name, ())))
    return listed


def tried(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """Send a marked message through each, once; by name why it did not arrive, or nothing."""
    for name in names:
        if name not in settings.channels:
            known = ", ".join(settings.channels) or "there is none"
            detail = f"there is no channel {excerpt(name)} ({excerpt(known)})"
            raise InputError(detail, code="unknown_channel", field="channel")

    async def work(log: EventLog, _: Registry, actor: Actor) -> dict[str, str]:
        found = {}
        for name in names:
            channel = _made(settings, name, settings.channels[name])
            try:
                outcome = await channel.deliver(_message(settings, name, actor.name))
            finally:
                await channel.close()
            is_told = outcome.result is Result.DELIVERED
            found[name] = "" if is_told else (outcome.reason or outcome.result.value)
            audit = Audit(log, time.time)
            await audit.record(actor, "channel.test", name, outcome.result.value)
        return found

    return inside_files(data_dir(settings), work)


def _made(settings: Settings, name: str, config: ChannelConfig) -> Channel:
    guard = Guard(settings.outbound.networks)
    return make(name, config, guard, Resolver(), settings.server.public_url or "")


def _message(settings: Settings, channel: str, by: str) -> Notification:
    now = time.time()
    said = Alert(
        alert=f"test-{secrets.token_hex(8)}",
        rule="channel_test",
        host=settings.host.name,
        attributes={"channel": channel},
        state="firing",
        was=None,
        severity="info",
        value=None,
        since=now,
        summary=f"{by} tries the channel {channel}: it works, and nothing is wrong",
        fired=now,
        is_drill=True,
    )
    return Notification(said.alert, channel, now, (Told(said, now),), is_drill=True)


# Files


class _Writing:
    """Files that are written one after the other, and can be taken back together."""

    def __init__(self, owner: tuple[int, int] | None) -> None:
        self._owner = owner
        self._before: list[tuple[Path, bytes | None]] = []
        self._folders: list[Path] = []
        self.said: list[str] = []
        self.is_new_main = False

    def folder(self, path: Path) -> None:
        """Make a folder where there is none."""
        if not path.is_dir():
            path.mkdir(FOLDER_MODE)
            self._folders.append(path)

    def new(self, path: Path, text: str, *, is_private: bool = False) -> None:
        """Write a file that is not there."""
        mode = PRIVATE_MODE if is_private else OPEN_MODE
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        self._before.append((path, None))
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            if is_private and self._owner is not None:
                os.fchown(descriptor, *self._owner)
            file.write(text)

    def changed(self, path: Path, content: bytes) -> None:
        """Write a file anew, at once: it keeps its mode and its owner."""
        before, found = path.read_bytes(), path.stat()
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(
                fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_MODE
            )
            with open(descriptor, "wb") as file:
                file.write(content)
                if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, found.st_uid, found.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
            fresh.replace(path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        self._before.append((path, before))

    def undo(self) -> None:
        """Take back what was written, the last first, as far as that can be."""
        for path, before in reversed(self._before):
            with contextlib.suppress(OSError):
                if before is None:
                    path.unlink()
                else:
                    path.write_bytes(before)
        for path in reversed(self._folders):
            with contextlib.suppress(OSError):
                path.rmdir()


def _write(writing: _Writing, main: Path, name: str, url: str) -> None:
    """The address, the table, and that the first file includes it.

    In this order, since a running server looks at whatever changes.
    """
    folder = main.resolve().parent / FOLDER
    writing.folder(folder)
    secret, table = folder / f"{name}.url", folder / f"{name}.toml"
    for each in (secret, table):
        if each.exists() or each.is_symlink():
            detail = f"{each} is there already; take it away, or choose another name"
            raise InputError(detail, code="channel_exists", field="name", status=409)
    writing.new(secret, f"{url}\n", is_private=True)
    text = f'# Made by monitor channel create.\n[channels.{name}]\nurl_file = "{secret.name}"\n'
    writing.new(table, text)
    writing.said += [f"{table} is written", f"{secret} holds the address, for the server alone"]
    if not main.exists():
        writing.new(main, INCLUDE)
        writing.is_new_main = True
        writing.said.append(f"{main} is written: it includes {FOLDER}/*.toml")
    elif not _includes(main):
        content = main.read_bytes()
        writing.changed(main.resolve(), INCLUDE.encode() + content)
        writing.said.append(f"{main} includes {FOLDER}/*.toml now, by a line at its top")


def _require_included(settings: Settings, main: Path, name: str) -> None:
    if name not in settings.channels:
        detail = (
            f"{main}: what it includes does not cover {FOLDER}/{name}.toml; add"
            f' "{FOLDER}/*.toml" to include there, and try again'
        )
        raise InputError(detail, code="not_included", field="include")


def _includes(main: Path) -> bool:
    """Whether the first file includes others; it was read before, and so is TOML."""
    return "include" in tomllib.loads(main.read_text(encoding="utf-8"))


def _new_main() -> Path:
    """Where the first file is to be where there is none: the machine's place, or here."""
    if os.geteuid() == 0 and SYSTEM_CONFIG.parent.is_dir():
        return SYSTEM_CONFIG
    return Path("config.toml")


def _owner(settings: Settings) -> tuple[int, int] | None:
    """Whose the data are, where root writes for somebody else: the server must read the address."""
    if os.geteuid() != 0:
        return None
    folder = data_dir(settings)
    for path in (folder / FILE, folder):
        with contextlib.suppress(OSError):
            found = path.stat()
            return (found.st_uid, found.st_gid) if found.st_uid else None
    return None


def _hints(settings: Settings, name: str, writing: _Writing) -> Iterator[str]:
    if settings.routes:
        if not any(name in route.channels for route in settings.routes):
            yield f"no route names {name} yet: nobody is told through it until one does"
    else:
        yield "it is told of every warning and critical alert: there are no routes"
    if writing.is_new_main:
        yield "a server that was started without a configuration is to be started again"
