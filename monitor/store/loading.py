"""From the file to the memory, at the start: hosts, what is open of each, and the journal again.

It reads no chunk's data, so that it takes as long with a year of history as with a day.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import apsw

from monitor.store import chunks, erasing, journal
from monitor.store.appending import Hosts
from monitor.store.codec import ChunkDamaged
from monitor.store.hosts import LEVELS, Host, Lost
from monitor.store.shapes import Shapes

logger = logging.getLogger(__name__)

MOST_LOST = 10_000
"""Damaged chunks that are remembered as gaps; a file with more is beyond gaps."""

ODD = (ArithmeticError, AttributeError, TypeError, ValueError)
"""What values of other types than their table has come to: SQLite looks at types as it writes."""


@dataclass(slots=True)
class Loaded:
    """What a store begins with."""

    hosts: Hosts = field(default_factory=Hosts)
    shapes: Shapes = field(default_factory=Shapes)
    journal_last: int = 0
    journal_bytes: int = 0
    complaints: list[str] = field(default_factory=list)
    """What is damaged, in words."""
    erasing: set[int] = field(default_factory=set)
    """The numbers of hosts that are being erased."""


def loaded(connection: apsw.Connection, now: float) -> Loaded:
    """Everything that is kept in memory; what is damaged is put aside, `now` in unix seconds.

    Raises what SQLite raises.
    """
    try:
        return _loaded(connection, now)
    except ODD as error:
        raise apsw.CorruptError(f"a table has rows of another: {error}") from error


def _loaded(connection: apsw.Connection, now: float) -> Loaded:
    found = Loaded()
    found.shapes.load(connection)
    by_id = _load_hosts(connection, found)
    for host, schema in connection.execute("SELECT host, schema FROM host_schemas"):
        if host in by_id:
            by_id[host].schemas.add(schema)
    for host, first, last in connection.execute(
        "SELECT host, first, last FROM chunks WHERE open = 1"
    ):
        if host in by_id:
            by_id[host].noted(first, last)
    for host, kind, newest in connection.execute(
        "SELECT host, kind, max(first) FROM snapshots GROUP BY host, kind"
    ):
        if host in by_id:
            by_id[host].tables_at[kind] = newest
    for number, *lost in connection.execute(
        "SELECT host, level, keep, first, last, reason FROM quarantine"
        " WHERE level >= 0 ORDER BY id DESC LIMIT ?",
        (MOST_LOST,),
    ):
        if number in by_id:
            by_id[number].lost.append(Lost(*lost))
    for host in by_id.values():
        kept = chunks.floors(connection, host.id, LEVELS)
        host.floors = [min(pair) for pair in zip(kept, host.floors, strict=True)]
        host.newest = max(host.newest, chunks.newest(connection, host.id))
    _replay(connection, found, by_id, now)
    return found


def _load_hosts(connection: apsw.Connection, found: Loaded) -> dict[int, Host]:
    by_id: dict[int, Host] = {}
    damaged: list[tuple[int]] = []
    for number, name, sealed, compacted_to, rolled_to, spacing, crc in connection.execute(
        "SELECT id, name, sealed, compacted_to, rolled_to, spacing, crc FROM hosts"
    ):
        host = Host(number, name, sealed, compacted_to, rolled_to, saved=True, spacing=spacing)
        if host.crc != crc:
            damaged.append((number,))
            found.complaints.append(f"the row of host number {number} is damaged")
            found.hosts.reserve(number)
            continue
        if name.startswith(erasing.PREFIX):
            found.erasing.add(number)
            found.hosts.reserve(number)
            continue
        by_id[number] = host
        found.hosts.put(host)
    # Out of the way of a host of the same name, which begins anew; its chunks stay for who mends.
    connection.executemany("UPDATE hosts SET name = 'damaged/' || id WHERE id = ?", damaged)
    return by_id


def _replay(connection: apsw.Connection, found: Loaded, by_id: dict[int, Host], now: float) -> None:
    bad: list[tuple[int, str]] = []
    unknown: dict[int, str] = {}
    for row, crc, data in connection.execute("SELECT id, crc, data FROM journal ORDER BY id"):
        found.journal_last = row
        found.journal_bytes += len(data)
        try:
            for record in journal.unpacked(crc, data):
                host = by_id.get(record.host)
                if host is None or row <= host.sealed:
                    continue
                if _has_shape(connection, found, record.schema, unknown):
                    host.add(record.schema, record.at, record.values, row)
        except ChunkDamaged as error:
            bad.append((row, str(error)))
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").get
    found.journal_last = max(found.journal_last, int(last or 0))
    sealed = max((host.sealed for host in by_id.values()), default=0)
    if sealed > found.journal_last:
        # Rows that got a number again would be taken for those that stand in chunks.
        found.complaints.append("the numbering of the journal is damaged")
        found.journal_last = sealed
        with connection:
            connection.execute("DELETE FROM sqlite_sequence WHERE name = 'journal'")
            connection.execute("INSERT INTO sqlite_sequence VALUES ('journal', ?)", (sealed,))
    found.complaints += [f"frames in the journal: {why}" for why in unknown.values()]
    _put_aside(connection, found, bad, now)


def _has_shape(
    connection: apsw.Connection, found: Loaded, schema: int, unknown: dict[int, str]
) -> bool:
    """Whether the KEYs of these frames are known: without them their values are nobody's."""
    if schema in unknown:
        return False
    try:
        found.shapes.shape(connection, schema)
    except ChunkDamaged as error:
        unknown[schema] = str(error)
        return False
    return True


def _put_aside(
    connection: apsw.Connection, found: Loaded, bad: Sequence[tuple[int, str]], now: float
) -> None:
    for row, why in bad:
        logger.error("row %d of the history's journal is damaged and put aside: %s", row, why)
        found.complaints.append(f"row {row} of the journal is damaged")
        with connection:
            connection.execute(
                "INSERT INTO quarantine (found, host, level, keep, first, last, reason, data)"
                " SELECT ?, 0, -1, 0, 0, 0, ?, data FROM journal WHERE id = ?",
                (now, why, row),
            )
            connection.execute("DELETE FROM journal WHERE id = ?", (row,))
