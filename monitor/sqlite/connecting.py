"""Connecting to a SQLite file the way that ours are used, and what is asked of SQLite itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from monitor.errors import StartError

OLDEST_SQLITE = (3, 51, 3)
"""Before this, a WAL with several connections could corrupt its database."""

BUSY_SECONDS = 5.0
"""How long another process may hold the file: a command's writes take milliseconds."""

ELSEWHERE = ", or name another data directory with --data"
"""What an operator can always do."""

PRAGMAS = (
    # NORMAL lost every acknowledged commit in a simulated power cut, FULL none.
    "synchronous = FULL",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "temp_store = MEMORY",
)
"""What holds for every connection."""


def require_sqlite(version: str) -> None:
    """Raise `StartError` unless this version of SQLite is safe for us."""
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        needed = ".".join(str(part) for part in OLDEST_SQLITE)
        detail = f"SQLite {version} can corrupt its files; install an apsw that brings {needed}"
        raise StartError(detail)


def connected(path: Path, pragmas: tuple[str, ...]) -> apsw.Connection:
    """A connection to a file, which is made for its owner alone where it is missing.

    `pragmas` are those of this file, beside `PRAGMAS`; they are said before anything is read.
    """
    # Made here, so that nobody else may read it whatever the umask says.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
        for pragma in (*PRAGMAS, *pragmas):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def set_wal(connection: apsw.Connection, name: str) -> None:
    """Switch to a write-ahead log, once in a file's life; SQLite does not wait for others here.

    `name` is what the file is called in sentences.
    """
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            if mode != "wal":
                detail = f"the data directory is on a file system that cannot hold {name}"
                raise StartError(f"{detail}{ELSEWHERE}")
            return


@contextlib.contextmanager
def alone(folder: Path, path: Path) -> Iterator[None]:
    """Only one process at a time opens the stores of a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StartError(f"another process is opening {path}") from None
                time.sleep(0.01)
            else:
                break
        yield
    finally:
        os.close(descriptor)


def size(path: Path) -> int:
    """How many bytes a file has, or -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
