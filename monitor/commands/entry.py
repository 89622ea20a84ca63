"""Coming into the data directory for a command on accounts and tokens, beside a running server.

What a command writes there must stay the server's: it is made for its owner alone, and root does
it as whoever owns the data, so that no file locks the server out and no link leads further than
that one could go.  The server's lock is left to the server.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import os
import pwd
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from monitor.access.audit import Actor
from monitor.access.office import Office
from monitor.errors import StartError
from monitor.log.sqlite import open_log
from monitor.ports import Conflict, EventLog, Registry, Unknown

FILE = "log.db"
"""What tells by its owner whose data they are; before it is there, the directory does."""

LOCK = "lock"
"""The file that a running server holds, with its process's number."""

SEEN_SECONDS = 0.45
"""How long a command waits after a change where a server runs, which looks every 0.2 s: what was
made holds, and what was revoked is over, when the command has returned."""

PLACE = "command line"
"""From where the audit trail says that something was done."""

ESCAPES = "unicode_escape"
"""The codec by which errors show what was sent."""

_Result = TypeVar("_Result")


def inside(folder: Path, work: Callable[[Office, Actor], Awaitable[_Result]]) -> _Result:
    """Do something with accounts and tokens; what it returned.

    Raises a `MonitorError` with a sentence for the operator.
    """

    async def within(log: EventLog, registry: Registry, actor: Actor) -> _Result:
        office = Office(registry, log, time.time)
        await office.load()
        found = await work(office, actor)
        if office.audit.recorded and is_served(folder):
            await asyncio.sleep(SEEN_SECONDS)
        return found

    return inside_files(folder, within)


def inside_files(
    folder: Path, work: Callable[[EventLog, Registry, Actor], Awaitable[_Result]]
) -> _Result:
    """Do something with the log and the registry; what it returned.

    Raises a `MonitorError` with a sentence for the operator.
    """
    actor = Actor(_name(os.getuid()), PLACE)
    try:
        with as_owner(folder):
            return asyncio.run(_within(folder, lambda log, registry: work(log, registry, actor)))
    except Conflict:
        raise StartError("somebody else changed the same just now; look, and try again") from None
    except Unknown as error:
        detail = f"it is not known whether this was written ({error}); look before trying again"
        raise StartError(detail) from None


async def _within(
    folder: Path, work: Callable[[EventLog, Registry], Awaitable[_Result]]
) -> _Result:
    log, registry = await open_log(folder)
    try:
        return await work(log, registry)
    finally:
        await log.close()
        await registry.close()


def is_served(folder: Path) -> bool:
    """Whether a server runs on this data: its number stands in the lock while it does."""
    try:
        pid = int((folder / LOCK).read_text()[:16])
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


@contextlib.contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """Make the directory where it is missing, as the server does, and be its owner meanwhile.

    What is done meanwhile may find only those modules that were imported before.  Raises
    `StartError` where the directory cannot be used, or is another's and we are not root.
    """
    before = os.umask(0o077)
    try:
        with _as_owner(folder):
            yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def _as_owner(folder: Path) -> Iterator[None]:
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / FILE
        found = (file if file.exists() else folder).stat()
    except OSError as error:
        detail = f"cannot use the data directory {folder}{_whose(folder)}: {error.strerror}"
        raise StartError(f"{detail}; pass --data") from None
    if found.st_uid == os.geteuid():
        yield
        return
    if os.geteuid() != 0:
        owner = _name(found.st_uid)
        detail = f"the data in {folder} are {owner}'s: run this as sudo -u {owner} monitor …"
        raise StartError(f"{detail}, or pass --data")
    # The owner may not be allowed to read where Python is, which finds codecs when they are used.
    codecs.lookup(ESCAPES)
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(found.st_gid)
    os.seteuid(found.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _whose(folder: Path) -> str:
    """Whose a directory is, where it is another's and that can be seen."""
    try:
        owner = folder.stat().st_uid
    except OSError:
        return ""
    return "" if owner == os.geteuid() else f", which is {_name(owner)}'s"


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
