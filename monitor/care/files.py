"""The two files of a data directory, looked at from outside and never changed.

A file beside which a server writes is read as SQLite means it.  One that nobody has open and
that has nothing in a write-ahead log is opened as what it is, a file that does not change, so
that nothing is made beside it; otherwise SQLite may make its ``-shm`` there, as any reader does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import apsw

from monitor.log import marker as log_marker
from monitor.log import opening as log_opening
from monitor.log import schema as log_schema
from monitor.store import opening as store_opening
from monitor.store import schema as store_schema

LOCK = "lock"
"""The file that a server holds: see `monitor.bootstrap.locked`."""

BUSY_MILLISECONDS = 5_000

_HEADER = b"SQLite format 3\0"
_HEADER_BYTES = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """One of the files: its name, its marker's, and how it is known to be ours."""

    name: str
    marker: str
    application_id: int
    schema: int
    what: str

    @property
    def beside(self) -> tuple[str, ...]:
        """What belongs to the file and to no other that is put in its place."""
        return (f"{self.name}-wal", f"{self.name}-shm", self.marker)


FILES = (
    Kept(
        log_opening.NAME,
        log_marker.NAME,
        log_schema.APPLICATION_ID,
        len(log_schema.STEPS),
        "the log",
    ),
    Kept(
        store_opening.NAME,
        store_opening.MARKER,
        store_schema.APPLICATION_ID,
        len(store_schema.STEPS),
        "the history",
    ),
)


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes of a database say, past any write-ahead log."""

    page_bytes: int
    pages: int
    schema: int
    application_id: int


def header(path: Path) -> Header | None:
    """The header of a file; none where it is no database.  Raises `OSError`."""
    with path.open("rb") as file:
        found = file.read(_HEADER_BYTES)
    if len(found) < _HEADER_BYTES or not found.startswith(_HEADER):
        return None
    page = int.from_bytes(found[16:18])
    return Header(
        page_bytes=65_536 if page == 1 else page,
        pages=int.from_bytes(found[28:32]),
        schema=int.from_bytes(found[60:64]),
        application_id=int.from_bytes(found[68:72]),
    )


def running(folder: Path) -> int | None:
    """The process that serves a data directory, 0 where its number is not known; none if none."""
    try:
        with (folder / LOCK).open("rb") as lock:
            said = lock.read(16).strip()
            if not said:
                return None
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(said) if said.isdigit() else 0
            return None
    except OSError:
        return None


def opened(path: Path) -> apsw.Connection:
    """A connection that only reads.  Raises `apsw.Error`, or `OSError` where there is no file.

    That it is a database is not known before something is asked of it.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} is no regular file")
    is_still = not _size(path.with_name(f"{path.name}-wal")) and running(path.parent) is None
    return _connected(path, is_still)


def opened_alone(path: Path) -> apsw.Connection:
    """A connection that only reads a file that nobody else knows.  Raises `apsw.Error`."""
    return _connected(path, is_still=True)


def _connected(path: Path, is_still: bool) -> apsw.Connection:
    options = "mode=ro&immutable=1" if is_still else "mode=ro"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(f"file:{quote(str(path.absolute()))}?{options}", flags=flags)
    try:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        # A signal is heard while SQLite works.
        connection.set_progress_handler(lambda: False, 100_000)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def looked_at(path: Path) -> Iterator[apsw.Connection | None]:
    """One unchanging view of a file; none where there is none of ours that can be opened."""
    try:
        found = header(path)
        known = {kept.name: kept.application_id for kept in FILES}
        ours = found is not None and found.application_id == known.get(path.name)
        connection = opened(path) if ours else None
    except (apsw.Error, OSError):
        connection = None
    if connection is None:
        yield None
        return
    with contextlib.closing(connection):
        yield connection


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
