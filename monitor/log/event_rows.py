"""The row of an event: what is stored of it, its check sum, and the event read back from it.

A row is believed no further than it can be read: SQLite finds a torn page, and not a byte that
was changed within a document.  It knows the columns of one table and runs no statement.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import msgspec

from monitor.log.records import LATEST_SECONDS, Record, topics_from, topics_text
from monitor.model import Event, EventType

INSERT = """
INSERT INTO events (sequence, type, topics, document, at, event_id, class, crc)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

# Texts come as bytes: of one that is not UTF-8, SQLite's wrapper would give the whole row up.
SELECT = """
SELECT sequence, CAST(type AS BLOB), topics, document, at, CAST(event_id AS BLOB), crc
FROM events
"""

Row = tuple[int, Any, Any, Any, Any, Any, Any]
"""What `SELECT` brings.  Where the file is damaged a column may hold anything."""

_TYPES = {str(type_).encode(): type_ for type_ in EventType}
_decoder = msgspec.json.Decoder()
_instant = struct.Struct("<d")


class Unreadable(Exception):
    """A row is not what was written; the text says how that is known."""


def values(sequence: int, record: Record) -> tuple[object, ...]:
    """What `INSERT` stores of a record."""
    topics = topics_text(record.topics)
    type_, event_id = record.type.value, record.event_id
    sum_ = checksum(type_.encode(), event_id.encode(), record.at, topics, record.document)
    at, class_ = record.at, record.class_.value
    return sequence, type_, topics, record.document, at, event_id, class_, sum_


def checksum(type_: bytes, event_id: bytes, at: float, topics: bytes, document: bytes) -> int:
    """CRC-32 of everything that a reader is told of an event but its position."""
    # SQLite keeps no negative zero; adding zero makes it the one that comes back.
    head = b"\0".join((type_, event_id, _instant.pack(at + 0.0), topics, b""))
    return zlib.crc32(document, zlib.crc32(head))


def event(row: Row) -> Event:
    """The event of a row.  Raises `Unreadable` where it is not what was written."""
    sequence, type_, topics, document, at, event_id, sum_ = row
    try:
        # Rows from before there were check sums have none.
        if sum_ is not None and checksum(type_, event_id, at, topics, document) != sum_:
            raise Unreadable("its check sum is another")
        data = _decoder.decode(document)
        if not isinstance(data, dict) or not 0 <= at <= LATEST_SECONDS:
            raise Unreadable("it is of another shape")
        return Event(
            _TYPES[type_], topics_from(topics), data, float(at), event_id.decode(), sequence
        )
    except (
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
        msgspec.MsgspecError,
        struct.error,
    ) as error:
        # Whatever a column holds instead of what it should is one of these.
        raise Unreadable(f"{type(error).__name__}: {error}"[:200]) from None


def weight(row: Row) -> int:
    """How long a row's document is, in bytes."""
    return len(row[3]) if isinstance(row[3], bytes) else 0


def instant(row: Row) -> float:
    """A row's instant, or 1970 where that is none."""
    at = row[4]
    return float(at) if isinstance(at, float) and 0 <= at <= LATEST_SECONDS else 0.0


def topics(encoded: object) -> tuple[str, ...]:
    """A row's topics, as far as they can be read."""
    try:
        return topics_from(encoded) if isinstance(encoded, bytes) else ()
    except (UnicodeDecodeError, msgspec.MsgspecError):
        return ()


def can_read(encoded: object) -> bool:
    """Whether a row's topics are a list of texts."""
    try:
        return isinstance(encoded, bytes) and topics_from(encoded) is not None
    except (UnicodeDecodeError, msgspec.MsgspecError):
        return False
