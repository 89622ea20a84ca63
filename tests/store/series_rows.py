"""Rows for a store's file, written as its own writer would, without any history in them."""

from __future__ import annotations

from pathlib import Path

import apsw

from monitor.core.rollups import TIERS
from monitor.store import opening
from monitor.store.chunks import NewChunk, insert

HOUR = 3_600.0
DAY = 24 * HOUR
NOW = 1_800_000_000.0 // DAY * DAY

SPANS = (HOUR, 8 * HOUR, 2 * DAY, 14 * DAY, 28 * DAY)
"""How much of its host's time a chunk of each tier holds in these tests."""

STEPS = (0.0, *(tier.seconds for tier in TIERS))


def connected(folder: Path) -> apsw.Connection:
    """The writing connection of a store in a folder; made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    connection = opening.opened(folder)
    # What is tested here does not depend on when things reach the disk.
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def host(connection: apsw.Connection, number: int, rolled_to: float = NOW + 100 * DAY) -> None:
    """A host, whose coarser tiers go up to an instant."""
    connection.execute(
        "INSERT OR IGNORE INTO hosts (id, name, compacted_to, rolled_to, crc)"
        " VALUES (?, ?, ?, ?, 0)",
        (number, f"host-{number}", rolled_to, rolled_to),
    )


def chunk(
    connection: apsw.Connection,
    keep: int,
    first: float,
    last: float,
    size: int = 100,
    of: int = 1,
    is_open: bool = False,
    level: int | None = None,
) -> None:
    """A chunk of some bytes."""
    level = keep if level is None else level
    new = NewChunk(of, level, keep, is_open, first, last, 1, 1, b"x" * size)
    insert(connection, [new])


def table(connection: apsw.Connection, at: float, size: int = 100, of: int = 1) -> None:
    """A row of process tables."""
    connection.execute(
        "INSERT INTO snapshots (host, kind, first, last, tables, bytes, crc, data)"
        " VALUES (?, 'processes', ?, ?, 1, ?, 0, ?)",
        (of, at - 60, at, size, b"x" * size),
    )


def filled(
    connection: apsw.Connection,
    ages: tuple[float, ...],
    now: float = NOW,
    of: int = 1,
    size: int = 100,
    began: float = 0.0,
) -> None:
    """The history that a host would have at `now`, each tier at its full age, in whole chunks."""
    connection.execute("BEGIN")
    host(connection, of)
    for keep, (age, span) in enumerate(zip(ages, SPANS, strict=True)):
        first = max(now - age, began) // span * span
        while first < now:
            last = min(first + span, now) - max(STEPS[keep], 1.0)
            chunk(connection, keep, first, last, size, of)
            first += span
    connection.execute("COMMIT")


def held(connection: apsw.Connection) -> dict[int, list[tuple[float, float]]]:
    """The stretches of the chunks of each tier."""
    found: dict[int, list[tuple[float, float]]] = {keep: [] for keep in range(5)}
    for keep, first, last in connection.execute(
        "SELECT keep, first, last FROM chunks ORDER BY last"
    ):
        found[int(keep)].append((float(first), float(last)))
    return found
