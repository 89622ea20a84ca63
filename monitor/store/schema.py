"""The tables of ``series.db``, as numbered steps from one version of the schema to the next.

`PRAGMA user_version` says how many of them a file has had.  A step that has been released is
never changed: what comes after is a step of its own.

A *chunk* is a stretch of one host's history.  `level` says what it holds: 0 is rows as they
were observed, 1 to 4 are the tiers of `monitor.core.rollups`.  `keep` says for how long: that
of its tier, or, for rows so far apart that a tier would only repeat them, the tier they stand
for.  An *open* one holds what has not been compacted yet.  `first` and `last` are the instants
of its first and last row, in unix seconds; `crc` is that of everything else in the row but the
data, which bring their own (`monitor.store.chunk`).
"""

from __future__ import annotations

APPLICATION_ID = 0x41774F53
"""Ours, in the file's header, so that another program's database is known for what it is."""

SNAPSHOTS = 5
"""What `totals` calls the tables, beside the five tiers."""

_CHUNKS = """
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    host INTEGER NOT NULL,
    level INTEGER NOT NULL,
    keep INTEGER NOT NULL,
    open INTEGER NOT NULL,
    first REAL NOT NULL,
    last REAL NOT NULL,
    rows INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT
"""

_SNAPSHOTS = """
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    host INTEGER NOT NULL,
    kind TEXT NOT NULL,
    first REAL NOT NULL,
    last REAL NOT NULL,
    tables INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT
"""

_HOSTS = """
CREATE TABLE hosts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sealed INTEGER NOT NULL DEFAULT 0,
    compacted_to REAL NOT NULL DEFAULT 0,
    rolled_to REAL NOT NULL DEFAULT -1,
    spacing REAL NOT NULL DEFAULT 0,
    crc INTEGER NOT NULL
) STRICT
"""

_QUARANTINE = """
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    found REAL NOT NULL,
    host INTEGER NOT NULL,
    level INTEGER NOT NULL,
    keep INTEGER NOT NULL,
    first REAL NOT NULL,
    last REAL NOT NULL,
    reason TEXT NOT NULL,
    data BLOB NOT NULL
) STRICT
"""


_SCHEMAS = """
CREATE TABLE schemas (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    keys BLOB NOT NULL
) STRICT
"""

_HOST_SCHEMAS = """
CREATE TABLE host_schemas (
    host INTEGER NOT NULL,
    schema INTEGER NOT NULL,
    PRIMARY KEY (host, schema)
) STRICT, WITHOUT ROWID
"""

_JOURNAL = """
CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT
"""

_CHUNK_CAME = """
CREATE TRIGGER chunk_came AFTER INSERT ON chunks BEGIN
    UPDATE totals SET bytes = bytes + new.bytes WHERE keep = new.keep;
END
"""

_CHUNK_WENT = """
CREATE TRIGGER chunk_went AFTER DELETE ON chunks BEGIN
    UPDATE totals SET bytes = bytes - old.bytes WHERE keep = old.keep;
END
"""

_TABLES_CAME = """
CREATE TRIGGER tables_came AFTER INSERT ON snapshots BEGIN
    UPDATE totals SET bytes = bytes + new.bytes WHERE keep = 5;
END
"""

_TABLES_WENT = """
CREATE TRIGGER tables_went AFTER DELETE ON snapshots BEGIN
    UPDATE totals SET bytes = bytes - old.bytes WHERE keep = 5;
END
"""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
        _HOSTS,
        # `keys` are the KEYs joined by newlines, deflated; `digest` is their SHA-256.
        _SCHEMAS,
        # Which schemas a host has had, so that its series are known without its chunks.
        _HOST_SCHEMAS,
        # Frames as they came, until they stand in chunks: see `monitor.store.journal`.
        _JOURNAL,
        _CHUNKS,
        "CREATE INDEX chunks_by_host ON chunks (host, level, keep, last, first)",
        "CREATE INDEX chunks_by_age ON chunks (keep, last)",
        "CREATE INDEX chunks_open ON chunks (host, first) WHERE open = 1",
        "CREATE INDEX chunks_by_schema ON chunks (schema, host)",
        _SNAPSHOTS,
        "CREATE INDEX snapshots_by_host ON snapshots (host, kind, first)",
        "CREATE INDEX snapshots_by_age ON snapshots (last)",
        "CREATE TABLE totals (keep INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT",
        "INSERT INTO totals VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)",
        # What the totals say is true at every moment, whoever inserts or deletes.
        _CHUNK_CAME,
        _CHUNK_WENT,
        _TABLES_CAME,
        _TABLES_WENT,
        _QUARANTINE,
    ),
)
"""Each is done in one transaction."""
