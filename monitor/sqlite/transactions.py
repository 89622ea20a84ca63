"""Transactions of SQLite, and what a caller is told of one that failed.  It knows no tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import apsw

from monitor.errors import Unavailable

_T = TypeVar("_T")

FULL_SECONDS = 60.0
"""When to come again after a full disk: people make room, not programs."""

DAMAGE = (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)
"""How a file that is damaged shows itself: a text of ours is always Unicode."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How a file's errors speak: its name in sentences, the first word of its codes."""

    name: str
    code: str
    damaged: Callable[[object], Unavailable]
    """The error for a file that SQLite cannot make sense of; its argument is SQLite's reason."""

    def refusal(self, error: Exception) -> Unavailable:
        """What a caller is told where nothing was stored, or nothing could be read."""
        if isinstance(error, DAMAGE):
            return self.damaged(error)
        if isinstance(error, apsw.FullError):
            detail = "the disk is full; nothing was stored; make room in the data directory"
            code = f"{self.code}_full"
            return Unavailable(detail, code=code, status=507, retry_after=FULL_SECONDS)
        if isinstance(error, apsw.BusyError | apsw.LockedError):
            detail = f"another process is writing {self.name}; try again"
            return Unavailable(detail, code=f"{self.code}_busy")
        detail = f"{self.name} cannot be used: {error}"
        return Unavailable(detail, code=f"{self.code}_failed")

    def closed(self) -> Unavailable:
        """What who comes too late is told."""
        return Unavailable(f"{self.name} is closed", code=f"{self.code}_closed")

    def behind(self) -> Unavailable:
        """What who comes to a full queue is told."""
        return Unavailable(f"{self.name} is behind; try again", code=f"{self.code}_busy")

    def failure(self, why: str) -> Unavailable:
        """What everybody is told after an error that leaves the file not to be trusted."""
        detail = f"{self.name} has failed and the server must be started again: {why}"
        return Unavailable(detail, code=f"{self.code}_failed")


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


def viewed(connection: apsw.Connection, work: Callable[[apsw.Connection], _T], voice: Voice) -> _T:
    """Look at one unchanging view of the file.  Raises `Unavailable`."""
    try:
        connection.execute("BEGIN")
        try:
            return work(connection)
        finally:
            roll_back(connection)
    except (apsw.Error, UnicodeDecodeError) as error:
        raise voice.refusal(error) from error
