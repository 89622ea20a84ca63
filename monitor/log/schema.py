"""The tables of ``log.db``, as numbered steps from one version of the schema to the next.

`PRAGMA user_version` says how many of them a file has had.  A step that has been released is
never changed: what comes after is a step of its own.
"""

from __future__ import annotations

APPLICATION_ID = 0x41774F4F
"""Ours, in the file's header, so that another program's database is known for what it is."""

_EVENTS = """
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    class TEXT NOT NULL,
    at REAL NOT NULL,
    type TEXT NOT NULL,
    event_id TEXT NOT NULL,
    topics BLOB NOT NULL,
    document BLOB NOT NULL
) STRICT
"""

_EVENT_TOPICS = """
CREATE TABLE event_topics (
    topic TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (topic, sequence)
) STRICT, WITHOUT ROWID
"""

_REGISTRY = """
CREATE TABLE registry (
    key TEXT NOT NULL PRIMARY KEY,
    value BLOB,
    revision INTEGER NOT NULL
) STRICT
"""

_CLASSES = """
CREATE TABLE classes (
    class TEXT NOT NULL PRIMARY KEY,
    floor INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""

_CLASS_ROWS = """
INSERT INTO classes VALUES
    ('alerts', 0, 0), ('hosts', 0, 0), ('audit', 0, 0), ('terminal', 0, 0)
"""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
        "INSERT INTO meta VALUES ('revision', 0), ('forgotten', 0)",
        _EVENTS,
        "CREATE INDEX events_by_class ON events (class, sequence)",
        _EVENT_TOPICS,
        "CREATE TABLE scopes (scope TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE erased (topic TEXT PRIMARY KEY, floor INTEGER NOT NULL) STRICT,WITHOUT ROWID",
        _CLASSES,
        _CLASS_ROWS,
        # A key without a value is one that was deleted, kept so that watchers hear of it.
        _REGISTRY,
        "CREATE UNIQUE INDEX registry_by_revision ON registry (revision)",
        "CREATE INDEX registry_deleted ON registry (revision) WHERE value IS NULL",
    ),
    # CRC-32 of what a reader is told: `monitor.log.event_rows`.  Older events have none.
    ("ALTER TABLE events ADD COLUMN crc INTEGER",),
)
"""Each is done in one transaction."""
