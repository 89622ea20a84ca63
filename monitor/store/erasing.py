"""Erasing a host: everything that the file has of it, in small steps, and its number last.

First its row takes a name that no host can have, in one transaction: from then on there is no
such host, whatever still stands in the file, and one that comes under its name begins anew with
another number.  Then its rows go a little at a time.  Who is killed in between goes on with that
at the next start; the row itself goes last, so that its number means nobody else before.
"""

from __future__ import annotations

import zlib
from typing import Any

import apsw

from monitor.store import journal
from monitor.store.codec import ChunkDamaged
from monitor.store.hosts import Host

PREFIX = "erased/"
"""What the names of hosts begin with that are being erased."""

STEP_ROWS = 64
"""Rows of chunks or tables that go in one step: some milliseconds' work."""

STEP_JOURNAL_ROWS = 4
"""Rows of the journal that are gone through in one step: they hold about a megabyte each."""

_PARTS = (
    "DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE host = ? LIMIT ?)",
    "DELETE FROM snapshots WHERE id IN (SELECT id FROM snapshots WHERE host = ? LIMIT ?)",
    (
        "DELETE FROM quarantine WHERE id IN"
        " (SELECT id FROM quarantine WHERE host = ? AND level >= 0 LIMIT ?)"
    ),
)


def bury(connection: apsw.Connection, host: Host) -> None:
    """Within a transaction: from now on there is no such host."""
    gone = Host(host.id, f"{PREFIX}{host.id}")
    connection.execute(
        "UPDATE hosts SET name = ?, sealed = 0, compacted_to = 0, rolled_to = -1, spacing = 0,"
        " crc = ? WHERE id = ?",
        (gone.name, gone.crc, host.id),
    )


def step(connection: apsw.Connection, number: int, after: int) -> int | None:
    """Within a transaction: a little of a buried host goes; none when all of it has gone.

    `number` is the host's.  What it returns is to be given to the next step as `after`, which
    begins with 0: the row of the journal up to which nothing of the host is left.
    """
    for statement in _PARTS:
        connection.execute(statement, (number, STEP_ROWS))
        if connection.changes():
            return after
    rows: list[Any] = connection.execute(
        "SELECT id, crc, data FROM journal WHERE id > ? ORDER BY id LIMIT ?",
        (after, STEP_JOURNAL_ROWS),
    ).fetchall()
    for row, crc, data in rows:
        _without(connection, row, crc, data, number)
    if len(rows) == STEP_JOURNAL_ROWS:
        return int(rows[-1][0])
    connection.execute("DELETE FROM host_schemas WHERE host = ?", (number,))
    connection.execute("DELETE FROM hosts WHERE id = ?", (number,))
    return None


def _without(connection: apsw.Connection, row: int, crc: int, data: bytes, number: int) -> None:
    """A row of the journal without a host's frames; a damaged one is left for who mends."""
    try:
        left = journal.without(crc, data, number)
    except ChunkDamaged:
        return
    if not left:
        connection.execute("DELETE FROM journal WHERE id = ?", (row,))
    elif len(left) != len(data):
        connection.execute(
            "UPDATE journal SET crc = ?, data = ? WHERE id = ?", (zlib.crc32(left), left, row)
        )
