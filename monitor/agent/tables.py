"""Which tables go with which frame: those of processes often, facts when they changed.

A table costs more than all the numbers of a frame.  Each kind has a pace of its own; what seldom
changes goes when it has, and once in a while, and all of it goes after a connection was made,
for the server may be another one or have forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgpack  # type: ignore[import-untyped]

from monitor.model import Cell, Row, Snapshot

MOST_ROWS = 200
"""Rows of one table; a server takes no more."""

EARLY_SECONDS = 0.5
"""Frames do not come to the millisecond: so much early is in time."""

AGAIN_SECONDS = 60.0
"""What has not changed is said again so often; and what has, while no server hears it."""

PROCESSES_SECONDS = 5.0

PACES: Mapping[str, float] = {
    "processes": PROCESSES_SECONDS,
    "cgroups": 10.0,
    "limits": 30.0,
    "collectors": 30.0,
    "filesystems": 10.0,
    "system": 10.0,
}
"""How often at most each kind is sent, in seconds; other kinds the protocol does not know."""


@dataclass(slots=True)
class _Table:
    """The newest rows of a kind, and what has been sent of it."""

    rows: tuple[Row, ...]
    is_new: bool = True
    """Whether they are other than those that were sent."""
    is_wanted: bool = False
    """Whether they go with the next frame, sent or not."""
    sent_at: float = -math.inf
    """When they were sent in their turn."""


class Tables:
    """One sender's."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}

    def take(self, snapshots: Iterable[Snapshot]) -> None:
        """These are the newest."""
        for snapshot in snapshots:
            if snapshot.kind not in PACES:
                continue
            known = self._tables.get(snapshot.kind)
            if known is None:
                self._tables[snapshot.kind] = _Table(snapshot.rows)
            elif snapshot.rows != known.rows:
                known.rows, known.is_new = snapshot.rows, True

    def renew(self) -> None:
        """Whoever hears us may know nothing."""
        for table in self._tables.values():
            table.is_wanted = True

    def due(self, at: float, *, is_heard: bool) -> bytes | None:
        """What goes with the frame of this instant, packed; none where nothing does.

        While nobody hears us the backlog need not hold what changes all the time; processes it
        does, for they are what is asked for after a fault.
        """
        found = {}
        for kind, table in self._tables.items():
            is_often = table.is_new and (is_heard or kind == "processes")
            wait = PACES[kind] if is_often else AGAIN_SECONDS
            is_its_turn = not 0 <= at - table.sent_at < wait - EARLY_SECONDS
            if is_its_turn or table.is_wanted:
                # What goes again out of turn does not put off what comes.
                if is_its_turn:
                    table.sent_at = at
                table.is_new = table.is_wanted = False
                found[kind] = table.rows
        return packed(found) if found else None


def packed(tables: Mapping[str, Sequence[Row]]) -> bytes:
    """Tables by kind; a number that is none is null, as among the values."""
    made: bytes = msgpack.packb(
        {
            kind: [{name: _cell(cell) for name, cell in row.items()} for row in rows[:MOST_ROWS]]
            for kind, rows in tables.items()
        }
    )
    return made


def newest(packs: Sequence[bytes | None]) -> bytes | None:
    """Of each kind the table that came last."""
    found = [each for each in packs if each is not None]
    if len(found) < 2:
        return found[0] if found else None
    together: dict[str, object] = {}
    for each in found:
        together |= msgpack.unpackb(each)
    made: bytes = msgpack.packb(together)
    return made


def kinds(pack: bytes | None) -> frozenset[str]:
    """Which tables these are."""
    return frozenset() if pack is None else frozenset(msgpack.unpackb(pack))


def without(pack: bytes | None, unwanted: frozenset[str]) -> bytes | None:
    """The others; none where there are none."""
    if pack is None or not unwanted:
        return pack
    left = {kind: rows for kind, rows in msgpack.unpackb(pack).items() if kind not in unwanted}
    made: bytes | None = msgpack.packb(left) if left else None
    return made


def _cell(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
