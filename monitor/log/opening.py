"""Opening ``log.db``: whether it is to be used at all, and its schema.

What is refused is refused with what to do about it, and is left as it was found.  Whether the
store is the one that it was is for `monitor.log.lives`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from monitor.errors import StartError
from monitor.log import lives, marker
from monitor.log.schema import APPLICATION_ID, STEPS
from monitor.log.transactions import DAMAGE, roll_back

NAME = "log.db"
"""The file in the data directory; ``-wal`` and ``-shm`` beside it belong to it."""

OLDEST_SQLITE = (3, 51, 3)
"""Before this, a WAL with several connections could corrupt its database."""

BUSY_SECONDS = 5.0
"""How long another process may hold the file: a command's writes take milliseconds."""

CACHE_KIB = 16 * 1024
"""Pages that one connection keeps in memory."""

WAL_KEPT_BYTES = 32 * 1024 * 1024
"""The write-ahead log is cut to this after it was longer."""

ELSEWHERE = ", or name another data directory with --data"
"""What an operator can always do."""


def opened(folder: Path) -> tuple[apsw.Connection, str]:
    """A connection to the store of a data directory, and its epoch: see `Database.open`."""
    require_sqlite(apsw.sqlite_lib_version())
    path, has_wal = folder / NAME, False
    try:
        with _alone(folder):
            there, said = marker.read(folder)
            _require_file(path, there)
            has_wal = _size(path.with_name(f"{NAME}-wal")) > 0
            connection = _connected(path)
            try:
                _migrate(connection, path, said)
                _set_wal(connection)
                return connection, lives.begin(connection, folder, said, has_wal)
            except BaseException:
                connection.close()
                raise
    except DAMAGE:
        detail = f"{path} is no database, or a damaged one; put it back from a backup"
        if has_wal:
            # The likeliest cause: it has just been put back beside what belonged to another.
            detail += f", and remove {NAME}-wal and {NAME}-shm where they are not the backup's"
        raise StartError(f"{detail}{ELSEWHERE}") from None
    except (apsw.Error, OSError) as error:
        raise StartError(f"{path} cannot be used: {error}{ELSEWHERE}") from error


def reading(folder: Path) -> apsw.Connection:
    """A second connection, for reading only, to a store that `Database.open` has opened."""
    try:
        connection = _connected(folder / NAME)
        connection.execute("PRAGMA query_only = ON")
    except apsw.Error as error:
        raise StartError(f"{folder / NAME} cannot be used: {error}{ELSEWHERE}") from error
    return connection


def require_sqlite(version: str) -> None:
    """Raise `StartError` unless this version of SQLite is safe for us."""
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        needed = ".".join(str(part) for part in OLDEST_SQLITE)
        detail = f"SQLite {version} can corrupt the log; install an apsw that brings {needed}"
        raise StartError(detail)


def _require_file(path: Path, marked: bool) -> None:
    """Raise `StartError` where there was a store and now there is none, or an empty file.

    The file is not opened: closing it would let go of the locks that this process has on it.
    """
    size = _size(path)
    if size <= 0 and marked:
        what = "has been emptied" if size == 0 else "has vanished"
        raise StartError(
            f"{path} {what}; put it back from a backup, or remove what is left of it and "
            f"{path.with_name(marker.NAME)} to begin with an empty log"
        )


def _size(path: Path) -> int:
    """How many bytes a file has, or -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time opens the store, so that two do not both renew its epoch."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StartError(f"another process is opening {folder / NAME}") from None
                time.sleep(0.01)
            else:
                break
        yield
    finally:
        os.close(descriptor)


def _connected(path: Path) -> apsw.Connection:
    # Made here, so that nobody else may read it whatever the umask says.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    for pragma in (
        "synchronous = FULL",
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "temp_store = MEMORY",
        f"cache_size = -{CACHE_KIB}",
        f"journal_size_limit = {WAL_KEPT_BYTES}",
        # What is erased is overwritten and not only let go.
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _migrate(connection: apsw.Connection, path: Path, said: marker.Said | None) -> None:
    """Bring the file to our schema, one transaction a step; judged within the transaction."""
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.pragma("user_version")
            _require_ours(connection, path, version)
            if version and said is not None:
                _require_instance(connection, path, said)
            if version == len(STEPS):
                return
            for statement in STEPS[version]:
                connection.execute(statement)
            if version == 0:
                connection.execute(
                    "INSERT INTO meta VALUES ('instance', ?), ('epoch', ?)",
                    (secrets.token_hex(16), secrets.token_hex(8)),
                )
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        finally:
            roll_back(connection)


def _require_ours(connection: apsw.Connection, path: Path, version: int) -> None:
    application = connection.pragma("application_id")
    holds = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application != APPLICATION_ID and (application or version or holds):
        raise StartError(f"{path} is another program's database; move it away{ELSEWHERE}")
    if version > len(STEPS):
        raise StartError(
            f"{path} was written by a newer version of this program (schema {version}, "
            f"ours is {len(STEPS)}); install that version, or put back an older backup"
        )


def _require_instance(connection: apsw.Connection, path: Path, said: marker.Said) -> None:
    if connection.execute("SELECT value FROM meta WHERE name = 'instance'").get != said.instance:
        raise StartError(
            f"{path} is not the store that belongs to this data directory; put that "
            f"one back, or remove {path.with_name(marker.NAME)} to go on with this one"
        )


def _set_wal(connection: apsw.Connection) -> None:
    """Switch to a write-ahead log, once in a file's life; SQLite does not wait for others here."""
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
                detail = "the data directory is on a file system that cannot hold the log"
                raise StartError(f"{detail}{ELSEWHERE}")
            return
