"""`monitor backup`: both files as they are at one moment, in one archive, while a server writes.

Each file is copied under a read transaction, which sees what was committed when it began and
holds up nobody; the copy is checked before it goes into the archive.  The archive stands under
its name whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import apsw

from monitor import __version__
from monitor.care import files
from monitor.care.archive import FORMAT, Manifest, Member, Writer
from monitor.care.files import FILES, Kept
from monitor.errors import StartError

STEP_PAGES = 256
"""Pages copied at a time, up to 4 MB: a signal is heard between them."""

MOST_FAULTS = 3
"""Of a damaged file, so many are told."""

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links say."""


def backup(folder: Path, target: Path) -> Manifest:
    """Write an archive of a data directory, which must not be there yet; what it holds.

    Raises `StartError` where it cannot be made; nothing of it is left then.
    """
    if os.path.lexists(target):
        raise StartError(f"{target} is there already; name a file that is not")
    try:
        with _views(folder) as views, _part(target) as (part, file):
            manifest = _written(views, part, file)
            _put(part, target)
    except OSError as error:
        raise StartError(f"{target} cannot be written: {error.strerror or error}") from error
    except apsw.FullError:  # SQLite calls it "not an error"
        raise StartError(f"{target} cannot be written: no space left beside it") from None
    except apsw.Error as error:
        raise StartError(f"the backup of {folder} cannot be made: {error}") from error
    return manifest


@contextlib.contextmanager
def _views(folder: Path) -> Iterator[dict[str, apsw.Connection]]:
    """Each file as it is at one moment, and the moments next to each other."""
    with contextlib.ExitStack() as held:
        found = {}
        for kept in FILES:
            found[kept.name] = held.enter_context(contextlib.closing(_opened(folder, kept)))
        for kept in FILES:
            found[kept.name].execute("BEGIN")
            _require_ours(found[kept.name], folder / kept.name, kept)
        yield found


def _opened(folder: Path, kept: Kept) -> apsw.Connection:
    path = folder / kept.name
    try:
        return files.opened(path)
    except FileNotFoundError:
        raise StartError(
            f"there is no {path}: name the data directory with --data, or start the server once"
        ) from None
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror or error}") from error


def _require_ours(connection: apsw.Connection, path: Path, kept: Kept) -> None:
    """The first thing that is read: from here on the view does not change."""
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").get  # noqa: B018
        ours = connection.pragma("application_id") == kept.application_id
    except (apsw.NotADBError, apsw.CorruptError):
        ours = False
    if not ours:
        raise StartError(f"{path} is damaged, or no file of ours; monitor doctor says more")


@contextlib.contextmanager
def _part(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A file beside the target that is gone afterwards, with all that was made beside it."""
    part = target.with_name(f".{target.name}.part")
    descriptor = os.open(part, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another backup is writing {target}") from None
        try:
            # What an earlier one left that was killed.
            file.truncate(0)
            yield part, file
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)  # noqa: PTH108 - as in monitor.care.restore


def _written(views: dict[str, apsw.Connection], part: Path, file: BinaryIO) -> Manifest:
    made = time.time()
    writer = Writer(file, made)
    members = {}
    for kept in FILES:
        copy = part.with_name(f"{part.name}.{kept.name}")
        try:
            _copy(views[kept.name], copy)
            schema, instance = _checked(copy, kept)
            size, digest = writer.add(kept.name, copy)
        finally:
            for suffix in ("", "-journal", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{copy}{suffix}")  # noqa: PTH108
        members[kept.name] = Member(size, digest, schema, instance)
    manifest = Manifest(FORMAT, __version__, made, members)
    writer.finish(manifest)
    return manifest


def _copy(view: apsw.Connection, copy: Path) -> None:
    """A database's pages as the view sees them, into a file of its own."""
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with contextlib.closing(apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READWRITE)) as into:
        # It is read again before anybody relies on it, and gone after a crash.
        into.execute("PRAGMA synchronous = OFF")
        with into.backup("main", view, "main") as copying:
            while not copying.done:
                copying.step(STEP_PAGES)


def _checked(copy: Path, kept: Kept) -> tuple[int, str]:
    """The schema and the instance of a copy that is whole.  Raises `StartError`."""
    with contextlib.closing(files.opened_alone(copy)) as connection:
        faults = faults_of(connection)
        instance: Any = connection.execute("SELECT value FROM meta WHERE name = 'instance'").get
        schema = int(connection.pragma("user_version"))
    if faults or not isinstance(instance, str):
        why = "; ".join(faults) or "it does not say which store it is"
        raise StartError(
            f"{kept.name} is damaged and was not backed up ({why}); monitor doctor says more"
        )
    return schema, instance


def faults_of(connection: apsw.Connection) -> list[str]:
    """What SQLite's quick check finds wrong with a file, a few words each; empty if nothing."""
    try:
        found = connection.execute(f"PRAGMA quick_check({MOST_FAULTS})").fetchall()
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return [str(error)]
    return [str(row[0]).replace("\n", " ") for row in found if row != ("ok",)]


def _put(part: Path, target: Path) -> None:
    """Let a whole file be seen under its name, in nobody's place."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise StartError(f"{target} has come to be there; name a file that is not") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(part, target)  # noqa: PTH104
    files.sync_folder(target.parent)
