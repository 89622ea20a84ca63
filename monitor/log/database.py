"""The file ``log.db`` as one connection sees it, without an event loop.

The server has one for writing, in its writer's thread; a command opens one of its own, whether
or not the server runs, and what it writes the server sees within 500 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import apsw

from monitor.log import event_table, lives, marker, opening, registry_table
from monitor.log.records import key_text, records, text, value_bytes
from monitor.log.voice import VOICE
from monitor.model import Event
from monitor.ports import Entry, Unknown
from monitor.sqlite.transactions import begun, roll_back, viewed

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
        connection, epoch = opening.opened(folder)
        try:
            return cls(folder, connection, epoch)
        except BaseException:
            connection.close()
            raise

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
        self.epoch = self.write(lives.renew)
        self.marker.put_epoch(self.epoch)
        return self.epoch

    def write(self, work: Callable[[apsw.Connection], _T]) -> _T:
        """Do something in a transaction of its own, durable on return.

        Raises `Unavailable` where nothing was stored, `Unknown` where something may have been.
        """
        try:
            with begun(self.connection):
                result = work(self.connection)
        except (apsw.Error, UnicodeDecodeError) as error:
            raise VOICE.refusal(error) from error
        try:
            self.connection.execute("COMMIT")
        except apsw.Error as error:
            roll_back(self.connection)
            if isinstance(error, apsw.FullError):
                raise VOICE.refusal(error) from error
            raise Unknown(str(error)) from error
        return result

    def read(self, work: Callable[[apsw.Connection], _T]) -> _T:
        """Do something over one unchanging view of the file.  Raises `Unavailable`."""
        return viewed(self.connection, work, VOICE)


def renew_epoch(folder: Path) -> str:
    """Renew the epoch of a store whose server does not run: after it was put back.

    A store that comes from elsewhere has another marker: remove that file first, and opening
    the store makes a new one and a new epoch by itself.
    """
    with Database.open(folder) as database:
        return database.renew_epoch()
