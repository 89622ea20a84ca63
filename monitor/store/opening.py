"""Opening ``series.db``: whether it is to be used at all, its schema, and its marker.

The marker, ``series.instance``, lies beside the file and says which store belongs to this data
directory, so that one that has vanished, been emptied or been exchanged is refused and never
silently replaced.  What is refused is left as it was found.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from pathlib import Path
from typing import IO

import apsw

from monitor.errors import StartError
from monitor.sqlite.connecting import ELSEWHERE, alone, connected, require_sqlite, set_wal, size
from monitor.sqlite.transactions import DAMAGE, roll_back
from monitor.store.schema import APPLICATION_ID, STEPS

NAME = "series.db"
"""The file in the data directory; ``-wal`` and ``-shm`` beside it belong to it."""

MARKER = "series.instance"
"""The file beside it."""

_MARK = re.compile(r"awoooi-monitor series 1 ([0-9a-f]{32})\n", re.ASCII)

PAGE_BYTES = 16_384
"""Chunks are tens of kilobytes: larger pages are fewer steps from one to the next."""

CACHE_KIB = 16 * 1024
"""Pages that one connection keeps in memory."""

WAL_KEPT_BYTES = 64 * 1024 * 1024
"""The write-ahead log is cut to this, or four times what it may hold, after it was longer."""

WAL_PAGES = 1_000
"""So many pages in the write-ahead log are brought into the file: 16 MB."""

LEAST_WAL_PAGES = 16
WAL_SHARE = 1 / 64
"""On a small file system it is fewer: a write-ahead log that fills it could not be brought in."""

PRAGMAS = (f"cache_size = -{CACHE_KIB}",)

NEW_PRAGMAS = (
    f"page_size = {PAGE_BYTES}",
    # So that what retention lets go of can be given back to the file system.
    "auto_vacuum = INCREMENTAL",
)
"""What is said to a file that is empty; to another one it would be a write, which needs room."""


def opened(folder: Path) -> apsw.Connection:
    """The connection that writes the store of a data directory; made where there never was one.

    Raises `StartError` where it is not to be used: it has vanished or been emptied, is no store
    of ours or another one's, is newer than this program, or is damaged.
    """
    require_sqlite(apsw.sqlite_lib_version())
    path = folder / NAME
    try:
        with alone(folder, path):
            said = _read_marker(folder)
            _require_file(path, marked=said is not None)
            connection = connected(path, PRAGMAS)
            try:
                pages = _wal_pages(folder)
                kept = min(WAL_KEPT_BYTES, 4 * pages * PAGE_BYTES)
                connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
                connection.execute(f"PRAGMA journal_size_limit = {kept}").fetchall()
                if not connection.pragma("page_count"):
                    for pragma in NEW_PRAGMAS:
                        connection.execute(f"PRAGMA {pragma}")
                _migrate(connection, path, said)
                set_wal(connection, "the history")
                if said is None:
                    _write_marker(folder, instance(connection))
            except BaseException:
                connection.close()
                raise
            return connection
    except DAMAGE:
        raise StartError(
            f"{path} is no database, or a damaged one; put it back from a backup{ELSEWHERE}"
        ) from None
    except (apsw.Error, OSError) as error:
        raise StartError(f"{path} cannot be used: {error}{ELSEWHERE}") from error


def reading(folder: Path) -> apsw.Connection:
    """A further connection, for reading only, to a store that `opened` has opened."""
    try:
        connection = connected(folder / NAME, PRAGMAS)
        connection.execute("PRAGMA query_only = ON")
    except apsw.Error as error:
        raise StartError(f"{folder / NAME} cannot be used: {error}{ELSEWHERE}") from error
    return connection


def held(folder: Path) -> IO[bytes]:
    """The right to use the store alone, which lasts while the file that is given is open.

    Two that append would give the same numbers to different hosts.  Raises `StartError` where
    another has it.
    """
    marker = open(folder / MARKER, "rb")  # noqa: SIM115 - held for as long as the store is
    try:
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        marker.close()
        raise StartError(f"{folder / NAME} is in use by another process{ELSEWHERE}") from None
    return marker


def instance(connection: apsw.Connection) -> str:
    """The store's id, 32 hex digits."""
    said = connection.execute("SELECT value FROM meta WHERE name = 'instance'").get
    if not isinstance(said, str):
        raise apsw.CorruptError("it does not say which store it is")
    return said


def _wal_pages(folder: Path) -> int:
    """How many pages the write-ahead log may have on this file system."""
    found = os.statvfs(folder)
    share = int(found.f_blocks * found.f_frsize * WAL_SHARE) // PAGE_BYTES
    return max(LEAST_WAL_PAGES, min(WAL_PAGES, share))


def _require_file(path: Path, *, marked: bool) -> None:
    there = size(path)
    if there <= 0 and marked:
        what = "has been emptied" if there == 0 else "has vanished"
        raise StartError(
            f"{path} {what}; put it back from a backup, or remove what is left of it and "
            f"{path.with_name(MARKER)} to begin with an empty history"
        )


def _read_marker(folder: Path) -> str | None:
    """What the marker says: empty where it is damaged, none where there is none."""
    try:
        found = _MARK.fullmatch((folder / MARKER).read_bytes()[:256].decode("ascii", "replace"))
    except FileNotFoundError:
        return None
    return found[1] if found else ""


def _write_marker(folder: Path, said: str) -> None:
    """Put a marker there, whole or not at all, and on the disk."""
    temporary = folder / f"{MARKER}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, f"awoooi-monitor series 1 {said}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, folder / MARKER)  # noqa: PTH104 - beside the other calls of its kind
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _migrate(connection: apsw.Connection, path: Path, said: str | None) -> None:
    """Bring the file to our schema, one transaction a step; judged within the transaction."""
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.pragma("user_version")
            _require_ours(connection, path, version)
            if version and said is not None and instance(connection) != said:
                raise StartError(
                    f"{path} is not the store that belongs to this data directory; put that one "
                    f"back, or remove {path.with_name(MARKER)} to go on with this one"
                )
            if version == len(STEPS):
                return
            for statement in STEPS[version]:
                connection.execute(statement)
            if version == 0:
                given = secrets.token_hex(16)
                connection.execute("INSERT INTO meta VALUES ('instance', ?)", (given,))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        finally:
            roll_back(connection)


def _require_ours(connection: apsw.Connection, path: Path, version: int) -> None:
    application = connection.pragma("application_id")
    holds = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if version < 0 or (application != APPLICATION_ID and (application or version or holds)):
        raise StartError(f"{path} is another program's database; move it away{ELSEWHERE}")
    if version > len(STEPS):
        raise StartError(
            f"{path} was written by a newer version of this program (schema {version}, "
            f"ours is {len(STEPS)}); install that version, or put back an older backup"
        )


def remove_marker(folder: Path) -> None:
    """Let the next opening take whatever store is there for the one that belongs here."""
    with contextlib.suppress(FileNotFoundError):
        (folder / MARKER).unlink()


def identity(folder: Path) -> tuple[int, int]:
    """Which file the store is now: its device and inode; zeros where it has vanished or is empty.

    Raises `OSError` where that cannot be told.
    """
    try:
        found = (folder / NAME).stat()
    except FileNotFoundError:
        return 0, 0
    return (found.st_dev, found.st_ino) if found.st_size else (0, 0)
