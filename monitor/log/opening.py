"""Opening ``log.db``: whether it is to be used at all, and its schema.

What is refused is refused with what to do about it, and is left as it was found.  Whether the
store is the one that it was is for `monitor.log.lives`.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import apsw

from monitor.errors import StartError
from monitor.log import lives, marker
from monitor.log.schema import APPLICATION_ID, STEPS
from monitor.sqlite.connecting import ELSEWHERE, alone, connected, require_sqlite, set_wal, size
from monitor.sqlite.transactions import DAMAGE, roll_back

NAME = "log.db"
"""The file in the data directory; ``-wal`` and ``-shm`` beside it belong to it."""

CACHE_KIB = 16 * 1024
"""Pages that one connection keeps in memory."""

WAL_KEPT_BYTES = 32 * 1024 * 1024
"""The write-ahead log is cut to this after it was longer."""

PRAGMAS = (
    f"cache_size = -{CACHE_KIB}",
    f"journal_size_limit = {WAL_KEPT_BYTES}",
    # What is erased is overwritten and not only let go.
    "secure_delete = ON",
)
"""What holds for this file beside what holds for each of ours."""


def opened(folder: Path) -> tuple[apsw.Connection, str]:
    """A connection to the store of a data directory, and its epoch: see `Database.open`."""
    require_sqlite(apsw.sqlite_lib_version())
    path, has_wal = folder / NAME, False
    try:
        with alone(folder, path):
            there, said = marker.read(folder)
            _require_file(path, there)
            has_wal = size(path.with_name(f"{NAME}-wal")) > 0
            connection = _connected(path)
            try:
                _migrate(connection, path, said)
                set_wal(connection, "the log")
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


def _require_file(path: Path, marked: bool) -> None:
    """Raise `StartError` where there was a store and now there is none, or an empty file.

    The file is not opened: closing it would let go of the locks that this process has on it.
    """
    there = size(path)
    if there <= 0 and marked:
        what = "has been emptied" if there == 0 else "has vanished"
        raise StartError(
            f"{path} {what}; put it back from a backup, or remove what is left of it and "
            f"{path.with_name(marker.NAME)} to begin with an empty log"
        )


def _connected(path: Path) -> apsw.Connection:
    return connected(path, PRAGMAS)


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
