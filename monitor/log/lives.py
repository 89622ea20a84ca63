"""A store's epoch and lives: whether what is opened is what was closed, or an older copy of it.

The epoch is renewed where positions could be used again.  A *life* is a random value that each
opening writes into the store and into the marker: an older file has an older one.  It is read
from the file itself, past the write-ahead log, which may be of a later life than the file.

Each step leaves what the next start can go on from.  The marker is first to learn the new
epoch, so that a store that was not given it is found out, and it knows the life before until
the file is sure to have the new one.  It never refuses: at worst the epoch is renewed once more.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
from pathlib import Path

import apsw

from monitor.log import event_table, marker
from monitor.sqlite.transactions import begun, roll_back

logger = logging.getLogger(__name__)

_LIFE = re.compile(rb"life([0-9a-f]{32})", re.ASCII)
"""The row of the life as SQLite stores it: a name and a text, side by side."""


def begin(
    connection: apsw.Connection, folder: Path, said: marker.Said | None, has_wal: bool
) -> str:
    """Hold the store against its marker, and let it live on; its epoch.

    The marker was read before the store and never runs ahead of it, so beside a running server
    this renews nothing.  `has_wal` says whether there was something in the write-ahead log.
    """
    before = _life_in_file(connection)
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    if not (isinstance(meta.get("instance"), str) and isinstance(meta.get("epoch"), str)):
        raise apsw.CorruptError("it does not say which store it is")
    epoch, last = str(meta["epoch"]), event_table.last_position(connection)
    why = _why_anew(said, epoch, last)
    if not why and said is not None and said.lives and has_wal and before not in said.lives:
        why = "it lies beside the write-ahead log of another time"
    if why:
        epoch = secrets.token_hex(8)
        logger.warning("the log has a new epoch, and readers are told of a gap: %s", why)
    life = secrets.token_hex(16)
    if why or said is None or said.epoch is None:
        highest = last if why or said is None else said.highest
        both = life, before or life
        marker.write(folder, marker.Said(str(meta["instance"]), highest, epoch, both))
    mark = marker.opened(folder)
    try:
        mark.put_life(life, before or life)
        try:
            _put_life(connection, life, epoch)
        except apsw.FullError:
            # A full disk can still be read from; the marker knows the life before, too.
            if why:
                raise
        else:
            if _is_in_file(connection):
                mark.put_life(life, life)
    finally:
        mark.close()
    return epoch


def _why_anew(said: marker.Said | None, epoch: str, last: int) -> str:
    """Why positions could be used again; empty where they cannot."""
    if said is None:
        return "its marker is lost" if last > 0 else ""
    if said.is_copy:
        return "the data directory is a copy"
    if said.highest > last:
        return "it ends before what was acknowledged"
    if said.epoch is not None and said.epoch != epoch:
        return "it is of another epoch than its marker"
    return ""


def _life_in_file(connection: apsw.Connection) -> str | None:
    """The life in the file itself, whatever the write-ahead log says; none if it is not there."""
    root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'meta'").get
    size = int(connection.pragma("page_size"))
    _, page = connection.read("main", 0, (int(root) - 1) * size, size)
    found = _LIFE.findall(page)
    return found[0].decode() if len(found) == 1 else None


def _put_life(connection: apsw.Connection, life: str, epoch: str) -> None:
    """In one transaction, durable on return: the store's life and epoch."""
    with begun(connection):
        connection.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('life', ?)", (life,))
    try:
        connection.execute("COMMIT")
    finally:
        roll_back(connection)


def _is_in_file(connection: apsw.Connection) -> bool:
    """Bring the write-ahead log into the file, waiting for nobody: whether all of it is there."""
    with contextlib.suppress(apsw.BusyError, apsw.LockedError, apsw.FullError):
        pages, moved = connection.wal_checkpoint(None, apsw.SQLITE_CHECKPOINT_PASSIVE)
        return pages == moved
    return False


def renew(connection: apsw.Connection) -> str:
    """A new epoch, within a transaction: every position that anybody remembers is unknown."""
    epoch = secrets.token_hex(8)
    connection.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
    return epoch
