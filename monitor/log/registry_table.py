"""The registry in SQLite: the statements, each function within its caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from monitor.log.records import MOST_PAGE_BYTES
from monitor.log.watching import MOST_TOMBSTONES, PAGE_CHANGES, Changes
from monitor.ports import Conflict, Deleted, Entry


@dataclass(frozen=True, slots=True)
class Revised:
    """What a change of the registry leads to: its revision."""

    revision: int


def named(revision: int) -> int:
    """A revision that a caller names; one below 1 is nobody's, and not that a key is absent."""
    return revision if revision > 0 else -1


def newest_revision(connection: apsw.Connection) -> int:
    """The revision of the newest change, 0 before the first."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'revision'").get
    if not isinstance(found, int):
        raise apsw.CorruptError("the registry's newest revision is not there")
    return found


def get(connection: apsw.Connection, key: str) -> Entry | None:
    """The newest value of a key, or none."""
    for value, revision in connection.execute(
        "SELECT value, revision FROM registry WHERE key = ? AND value IS NOT NULL", (key,)
    ):
        return Entry(key, value, revision)
    return None


def keys(connection: apsw.Connection, prefix: str) -> list[str]:
    """Every key that begins so, sorted."""
    found: list[str] = []
    for (key,) in connection.execute(
        "SELECT key FROM registry WHERE key >= ? AND value IS NOT NULL ORDER BY key", (prefix,)
    ):
        if not key.startswith(prefix):
            break
        found.append(key)
    return found


def put(connection: apsw.Connection, key: str, value: bytes, expect: int | None) -> Revised:
    """Set a key, whose revision is `expect` where one is given (0: it is not there).

    Raises `Conflict` before anything is written.
    """
    at = _revision(connection, key)
    if expect is not None and at != expect:
        raise Conflict(at)
    revision = _next_revision(connection)
    connection.execute(
        "INSERT INTO registry VALUES (?1, ?2, ?3)"
        " ON CONFLICT DO UPDATE SET value = ?2, revision = ?3",
        (key, value, revision),
    )
    return Revised(revision)


def delete(connection: apsw.Connection, key: str, expect: int | None) -> Revised:
    """Remove a key, whose revision is `expect` where one is given.

    Raises `Conflict` before anything is written.
    """
    at = _revision(connection, key)
    if expect is not None and (at == 0 or at != expect):
        raise Conflict(at)
    if at == 0:
        return Revised(newest_revision(connection))
    revision = _next_revision(connection)
    connection.execute(
        "UPDATE registry SET value = NULL, revision = ? WHERE key = ?", (revision, key)
    )
    oldest = connection.execute(
        "SELECT revision FROM registry WHERE value IS NULL ORDER BY revision DESC LIMIT 1 OFFSET ?",
        (MOST_TOMBSTONES,),
    ).get
    if oldest is not None:
        connection.execute("DELETE FROM registry WHERE value IS NULL AND revision <= ?", (oldest,))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'forgotten'", (oldest,))
    return Revised(revision)


def changes(connection: apsw.Connection, prefix: str, since: int) -> Changes:
    """What changed below a prefix since a revision: one page."""
    newest = searched = newest_revision(connection)
    forgotten = connection.execute("SELECT value FROM meta WHERE name = 'forgotten'").get
    rows: list[Entry | Deleted] = []
    weight = 0
    for key, value, revision in connection.execute(
        "SELECT key, value, revision FROM registry"
        " WHERE revision > ?1 AND substr(key, 1, length(?2)) = ?2 ORDER BY revision LIMIT ?3",
        (since, prefix, PAGE_CHANGES + 1),
    ):
        weight += len(value or b"")
        if len(rows) == PAGE_CHANGES or (rows and weight > MOST_PAGE_BYTES):
            searched = rows[-1].revision
            break
        rows.append(Deleted(key, revision) if value is None else Entry(key, value, revision))
    return Changes(rows, searched, newest, forgotten)


def _revision(connection: apsw.Connection, key: str) -> int:
    """The revision of a key that is there, else 0."""
    found = connection.execute(
        "SELECT revision FROM registry WHERE key = ? AND value IS NOT NULL", (key,)
    ).get
    return int(found or 0)


def _next_revision(connection: apsw.Connection) -> int:
    revision = newest_revision(connection) + 1
    connection.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (revision,))
    return revision
