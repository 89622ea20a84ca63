"""What a log keeps of an event, checked before anything is stored.

Every log refuses the same events with the same errors, and gives back the same ones, because
all of them go through here.  It knows no place where records are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from monitor.core.events import document
from monitor.errors import InputError
from monitor.model import Event, EventType, RetentionClass, retention_class
from monitor.ports import LONGEST_VALUE_BYTES, MOST_EVENTS_AT_ONCE

MOST_TOPICS = 16
"""Topics of one event; the types that there are have two."""

LONGEST_TEXT_BYTES = 1024
"""A topic, an event's id, a scope or a key of the registry, in UTF-8; host names have 253."""

LATEST_SECONDS = 253_402_300_799.0
"""An event's instant lies from 1970 to the end of the year 9999: ISO 8601 can say it."""

RECORD_BYTES = 256
"""What an event costs besides its document: its row, its topics, and their indexes."""

MOST_PAGE_BYTES = 4 * 1024 * 1024
"""Documents in one page of a read, so that 1,000 events of 256 KiB are not held at once."""

TOPIC_LISTS_KEPT = 4_096
"""Lists of topics kept decoded: every host has its own, and most events have one of them."""

_decoder = msgspec.json.Decoder()
_topics_decoder = msgspec.json.Decoder(tuple[str, ...])
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Record:
    """An event as a log keeps it: its data as JSON, and its retention class."""

    type: EventType
    class_: RetentionClass
    topics: tuple[str, ...]
    document: bytes
    at: float
    event_id: str

    @property
    def size(self) -> int:
        """Bytes that count against the class's share of the disk."""
        return len(self.document) + RECORD_BYTES

    def event(self, sequence: int) -> Event:
        """The event, at its position."""
        data = _decoder.decode(self.document)
        return Event(self.type, self.topics, data, self.at, self.event_id, sequence)


def records(events: Sequence[Event]) -> list[Record]:
    """What to keep of 1 to 1,000 events.  Raises `InputError` where one cannot be kept."""
    if not 1 <= len(events) <= MOST_EVENTS_AT_ONCE:
        detail = f"an append holds 1 to {MOST_EVENTS_AT_ONCE:,} events"
        raise InputError(detail, code="bad_append", limit=MOST_EVENTS_AT_ONCE)
    return [_record(event) for event in events]


def _record(event: Event) -> Record:
    text(event.event_id, "event_id")
    if len(event.topics) > MOST_TOPICS:
        detail = "an event stands on too many topics"
        raise InputError(detail, code="bad_append", field="topics", limit=MOST_TOPICS)
    for topic in event.topics:
        text(topic, "topics")
    at = float(event.at)
    if not 0 <= at <= LATEST_SECONDS:  # which NaN is not either
        raise InputError("an event's instant is no time", code="bad_append", field="at")
    encoded = document(event.data, event.event_id)
    topics = tuple(dict.fromkeys(event.topics))
    return Record(event.type, retention_class(event), topics, encoded, at, event.event_id)


def text(value: str, field: str) -> str:
    """A text that every log can keep.  Raises `InputError` where it is empty, long or broken."""
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise InputError(f"the {field} is no Unicode text", code="bad_text", field=field) from None
    if not 1 <= length <= LONGEST_TEXT_BYTES:
        detail = f"the {field} has 1 to {LONGEST_TEXT_BYTES:,} bytes"
        raise InputError(detail, code="bad_text", field=field, limit=LONGEST_TEXT_BYTES)
    return value


def topic_texts(topics: Iterable[str] | None) -> None:
    """Raise `InputError` where one of these can be no topic."""
    for topic in topics or ():
        text(topic, "topics")


def key_text(key: str) -> str:
    """A key that every registry can keep.  Raises `InputError` where it is none."""
    if "\0" in key:
        raise InputError("a key holds no NUL", code="bad_text", field="key")
    return text(key, "key")


def value_bytes(value: bytes) -> bytes:
    """A value that every registry can keep.  Raises `InputError` where it is larger."""
    if len(value) > LONGEST_VALUE_BYTES:
        detail = "a value of the registry is too large"
        raise InputError(detail, code="value_too_large", field="value", limit=LONGEST_VALUE_BYTES)
    return bytes(value)


def topics_text(topics: tuple[str, ...]) -> bytes:
    """A list of topics as JSON."""
    return _encoder.encode(topics)


@lru_cache(maxsize=TOPIC_LISTS_KEPT)
def topics_from(encoded: bytes) -> tuple[str, ...]:
    """The topics in a list that `topics_text` wrote."""
    return _topics_decoder.decode(encoded)


def page_size(limit: int) -> int:
    """How many events a read that asks for `limit` gets at most: 1 to 1,000."""
    return max(1, min(limit, MOST_EVENTS_AT_ONCE))
