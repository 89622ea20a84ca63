"""Putting aside what is no longer any use where it is: damaged chunks, rows of no chunk.

It stays in the file for who mends, out of the way, and is shown as a gap with its reason.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from monitor.model import Frame, Schema
from monitor.store import journal
from monitor.store.hosts import HeadView, Host, Lost
from monitor.store.journal import Entry


@dataclass(frozen=True, slots=True)
class Aside:
    """Rows of a head that no chunk can be made of, and why."""

    head: HeadView
    why: str

    @property
    def lost(self) -> Lost:
        """What is missing then."""
        _, at, _ = self.head
        return Lost(0, 0, float(at.min()), float(at.max()), self.why)


def put_aside(connection: apsw.Connection, host: Host, aside: Sequence[Aside], now: float) -> None:
    """Within a transaction: keep what no chunk could be made of, as the journal had it."""
    for each in aside:
        schema, at, values = each.head
        data = b"".join(
            row
            for _, row in journal.packed(
                Entry(host.id, schema, Frame(host.name, when, Schema(()), array("d", row)))
                for when, row in zip(at.tolist(), values.tolist(), strict=True)
            )
        )
        lost = each.lost
        connection.execute(
            "INSERT INTO quarantine (found, host, level, keep, first, last, reason, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (now, host.id, lost.level, lost.keep, lost.first, lost.last, lost.reason, data),
        )


def quarantined(
    number: int, why: str, now: float, connection: apsw.Connection
) -> tuple[str, Lost] | None:
    """Within a transaction: move a chunk aside; its host and what is lost, if it was there."""
    row = connection.execute(
        "SELECT host, level, keep, first, last, data FROM chunks WHERE id = ?", (number,)
    ).fetchone()
    if row is None:
        return None
    host, level, keep, first, last, data = row
    connection.execute(
        "INSERT INTO quarantine (found, host, level, keep, first, last, reason, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (now, host, level, keep, first, last, why, data),
    )
    connection.execute("DELETE FROM chunks WHERE id = ?", (number,))
    name = connection.execute("SELECT name FROM hosts WHERE id = ?", (host,)).get
    return str(name), Lost(level, keep, first, last, why)
