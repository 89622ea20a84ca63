"""The file ``log.db``: opened, held against its marker, brought to our schema, and written.

A `Database` is one connection.  The server has one for writing, in its writer's thread, and
one for reading; a command opens one of its own, whether or not the server runs, and what it
writes the server sees within 500 ms.  It knows no event loop.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import apsw

from monitor.errors import StartError, Unavailable
from monitor.log import event_table, marker, registry_table
from monitor.log.records import key_text, records, text, value_bytes
from monitor.log.schema import APPLICATION_ID, STEPS
from monitor.model import Event
from monitor.ports import Entry, Unknown

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

_T = TypeVar("_T")


class Database:
    """One connection to the log's file.  Use it as a context, from one thread at a time."""

    def __init__(self, folder: Path, connection: apsw.Connection, epoch: str) -> None:
        self.connection = connection
        self.epoch = epoch
        self.marker = marker.opened(folder)

    @classmethod
    def open(cls, folder: Path) -> Database:
        """Open the store in a data directory, and make it where there never was one.

        Raises `StartError` where it is not to be used: it has vanished or been emptied, is no
        store of ours or another one's, is newer than this program, or is damaged.
        """
        require_sqlite(apsw.sqlite_lib_version())
        path = folder / NAME
        try:
            with _alone(folder):
                there, said = marker.read(folder)
                _require_file(path, there)
                connection = _connected(path)
                try:
                    _migrate(connection, path)
                    _set_wal(connection)
                    epoch = _agree(connection, folder, said)
                    return cls(folder, connection, epoch)
                except BaseException:
                    connection.close()
                    raise
        except (apsw.NotADBError, apsw.CorruptError):
            detail = f"{path} is no database, or a damaged one"
            raise StartError(f"{detail}; put it back from a backup{ELSEWHERE}") from None
        except (apsw.Error, OSError) as error:
            raise StartError(f"{path} cannot be used: {error}{ELSEWHERE}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the file; the marker reaches the disk."""
        try:
            self.connection.close()
        finally:
            self.marker.close()

    # What commands use; the server's writer has `monitor.log.writer`.

    def append(
        self, events: Sequence[Event], scope: str | None = None, expect: int | None = None
    ) -> int:
        """Append all or none, as `monitor.ports.EventLog.append` does."""
        kept = records(events)
        if scope is not None:
            text(scope, "scope")
        done = self.write(lambda held: event_table.append(held, kept, scope, expect))
        self.marker.raise_to(done.last)
        return done.last

    def get(self, key: str) -> Entry | None:
        """The newest value of a key, or none."""
        return self.read(lambda held: registry_table.get(held, key_text(key)))

    def keys(self, prefix: str) -> list[str]:
        """Every key that begins so, sorted."""
        return self.read(lambda held: registry_table.keys(held, prefix))

    def create(self, key: str, value: bytes) -> int:
        """Set a key that is not there; its revision.  Raises `Conflict` where it is."""
        return self._put(key, value, 0)

    def update(self, key: str, value: bytes, revision: int) -> int:
        """Set a key that is still at this revision; the new one.  Raises `Conflict`."""
        return self._put(key, value, registry_table.named(revision))

    def put(self, key: str, value: bytes) -> int:
        """Set a key, whatever it was; its revision."""
        return self._put(key, value, None)

    def _put(self, key: str, value: bytes, expect: int | None) -> int:
        key_text(key)
        value = value_bytes(value)
        return self.write(lambda held: registry_table.put(held, key, value, expect)).revision

    def delete(self, key: str, revision: int | None = None) -> None:
        """Remove a key; with a revision only if it is still there at it, else `Conflict`."""
        key_text(key)
        self.write(lambda held: registry_table.delete(held, key, revision))

    def renew_epoch(self) -> str:
        """Make every position that anybody remembers unknown; the new epoch."""
        self.epoch = self.write(_renew)
        return self.epoch

    def write(self, work: Callable[[apsw.Connection], _T]) -> _T:
        """Do something in a transaction of its own, durable on return.

        Raises `Unavailable` where nothing was stored, `Unknown` where something may have been.
        """
        try:
            with begun(self.connection):
                result = work(self.connection)
        except apsw.Error as error:
            raise refusal(error) from error
        try:
            self.connection.execute("COMMIT")
        except apsw.Error as error:
            roll_back(self.connection)
            if isinstance(error, apsw.FullError):
                raise refusal(error) from error
            raise Unknown(str(error)) from error
        return result

    def read(self, work: Callable[[apsw.Connection], _T]) -> _T:
        """Do something over one unchanging view of the file.  Raises `Unavailable`."""
        try:
            self.connection.execute("BEGIN")
            try:
                return work(self.connection)
            finally:
                roll_back(self.connection)
        except apsw.Error as error:
            raise refusal(error) from error


@contextlib.contextmanager
def begun(connection: apsw.Connection) -> Iterator[None]:
    """A transaction that holds the right to write, rolled back on any error, not yet committed."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: apsw.Connection) -> None:
    """End a transaction; SQLite has ended it already after some errors."""
    if connection.in_transaction:
        with contextlib.suppress(apsw.Error):
            connection.execute("ROLLBACK")


def refusal(error: apsw.Error) -> Unavailable:
    """What a caller is told where nothing was stored."""
    if isinstance(error, apsw.FullError):
        detail = "the disk is full; nothing was stored; make room in the data directory"
        return Unavailable(detail, code="log_full", status=507)
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Unavailable("another process is writing the log; try again", code="log_busy")
    return Unavailable(f"the log cannot be used: {error}", code="log_failed")


def require_sqlite(version: str) -> None:
    """Raise `StartError` unless this version of SQLite is safe for us."""
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        needed = ".".join(str(part) for part in OLDEST_SQLITE)
        detail = f"SQLite {version} can corrupt the log; install an apsw that brings {needed}"
        raise StartError(detail)


def reading(folder: Path) -> apsw.Connection:
    """A second connection, for reading only, to a store that `Database.open` has opened."""
    connection = _connected(folder / NAME)
    connection.execute("PRAGMA query_only = ON")
    return connection


def renew_epoch(folder: Path) -> str:
    """Renew the epoch of a store whose server does not run: after it was put back.

    A store that comes from elsewhere has another marker: remove that file first, and opening
    the store makes a new one and a new epoch by itself.
    """
    with Database.open(folder) as database:
        return database.renew_epoch()


def _require_file(path: Path, marked: bool) -> None:
    """Raise `StartError` where there was a store and now there is none, or an empty file.

    The file is not opened: closing it would let go of the locks that this process has on it.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = -1
    if size <= 0 and marked:
        what = "has been emptied" if size == 0 else "has vanished"
        raise StartError(
            f"{path} {what}; put it back from a backup, or remove what is left of it and "
            f"{path.with_name(marker.NAME)} to begin with an empty log"
        )


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


def _migrate(connection: apsw.Connection, path: Path) -> None:
    """Bring the file to our schema, one transaction a step; judged within the transaction."""
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = connection.pragma("user_version")
            _require_ours(connection, path, version)
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


def _agree(connection: apsw.Connection, folder: Path, said: marker.Said | None) -> str:
    """Hold the store against its marker, and the marker against the store; the epoch.

    The epoch is renewed where positions could be used again: the store ends before the
    highest that was acknowledged, or nobody knows what was.  The marker was read before the
    store and never runs ahead of it, so beside a running server this renews nothing.
    """
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    if said is not None and said.instance != meta["instance"]:
        raise StartError(
            f"{folder / NAME} is not the store that belongs to this data directory; put that "
            f"one back, or remove {folder / marker.NAME} to go on with this one"
        )
    last = event_table.last_position(connection)
    epoch = str(meta["epoch"])
    if (said is None and last > 0) or (said is not None and said.highest > last):
        with begun(connection):
            epoch = _renew(connection)
        connection.execute("COMMIT")
        said = None
    if said is None:
        marker.write(folder, marker.Said(str(meta["instance"]), last))
    return epoch


def _renew(connection: apsw.Connection) -> str:
    epoch = secrets.token_hex(8)
    connection.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
    return epoch
