"""Transactions of SQLite, and what a caller is told of one that failed.  It knows no tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import apsw

from monitor.errors import Unavailable
from monitor.log.damage import file_damaged

_T = TypeVar("_T")


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


DAMAGE = (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)
"""How a file that is damaged shows itself: a text of ours is always Unicode."""


def refusal(error: Exception) -> Unavailable:
    """What a caller is told where nothing was stored, or nothing could be read."""
    if isinstance(error, DAMAGE):
        return file_damaged(error)
    if isinstance(error, apsw.FullError):
        detail = "the disk is full; nothing was stored; make room in the data directory"
        return Unavailable(detail, code="log_full", status=507)
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Unavailable("another process is writing the log; try again", code="log_busy")
    return Unavailable(f"the log cannot be used: {error}", code="log_failed")


def viewed(connection: apsw.Connection, work: Callable[[apsw.Connection], _T]) -> _T:
    """Look at one unchanging view of the file.  Raises `Unavailable`."""
    try:
        connection.execute("BEGIN")
        try:
            return work(connection)
        finally:
            roll_back(connection)
    except (apsw.Error, UnicodeDecodeError) as error:
        raise refusal(error) from error
