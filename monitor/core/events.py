"""Events on the wire: ids, framing, and the payloads of the stream.

`SSEEvent` is the seed's name for one message of an event stream; its text is made in one
place, so that no value from outside can end a line, a field or an event.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from monitor.errors import InputError
from monitor.model import EventType

LONGEST_EVENT_BYTES = 256 * 1024
"""An event is at most so long once encoded (DESIGN section 5)."""

RESERVED = ("timestamp", "event_id")
"""Keys of a payload that are ours to set."""

ADDED_BYTES = len(b',"timestamp":"2026-01-01T00:00:00.000Z","event_id":""')
"""What these keys add to a document, the id's own text not counted."""

DEEPEST = 32
"""How deeply an event may be nested."""

MOST_WHOLE, LEAST_WHOLE = 2**53 - 1, -(2**53 - 1)
"""Whole numbers that a browser reads as they were written (RFC 8259, section 6)."""

_LINE_ENDS = tuple(
    (text.encode(), b"\\u%04x" % ord(text)) for text in ("\u0085", "\u2028", "\u2029")
)
"""What JSON allows in a text and some readers of lines take for the end of one."""

_POSITION = re.compile(r"([0-9a-f]{16})-(0|[1-9][0-9]{0,18})", re.ASCII)
_EVENT_ID = re.compile(r"[ !#-\[\]-~]*", re.ASCII)
"""Printable, and nothing that JSON escapes; its length is for who keeps it to judge."""

_UNSAFE = re.compile(r"[\r\n\0]")
_encoder = msgspec.json.Encoder()


def position_text(epoch: str, sequence: int) -> str:
    """A position as the stream writes it: ``EPOCH-SEQ``."""
    return f"{epoch}-{sequence}"


def parse_position(text: str, epoch: str) -> int | None:
    """The sequence in a position of this epoch, or none where it is anything else."""
    found = _POSITION.fullmatch(text)
    if found is None or found[1] != epoch:
        return None
    return int(found[2])


def document(data: Mapping[str, object], event_id: str) -> bytes:
    """What an event says as one JSON object: what a log keeps of it.

    Raises `InputError` where `data` uses a reserved key, where JSON cannot carry a value of it
    exactly (NaN, dates, bytes, lone surrogates), where the event's id would not stand in a JSON
    text as it is, or where its payload would be larger than 256 KiB: so a publisher hears of it
    and no reader does.
    """
    if _EVENT_ID.fullmatch(event_id) is None:
        raise InputError("an event's id is plain ASCII", code="bad_event", field="event_id")
    for name in RESERVED:
        if name in data:
            raise InputError(f"the key {name} is reserved", code="reserved_key", field=name)
    _require_plain(data, 0)
    encoded = _encoded(data)
    if len(encoded) + len(event_id) + ADDED_BYTES > LONGEST_EVENT_BYTES:
        detail = "the event is too large"
        raise InputError(detail, code="event_too_large", limit=LONGEST_EVENT_BYTES)
    return encoded


def payload(encoded: bytes, timestamp: str, event_id: str) -> bytes:
    """A document with our two keys added: what stands in one ``data:`` line."""
    comma = b"" if encoded == b"{}" else b","
    added = b'%b"timestamp":"%b","event_id":"%b"}' % (comma, timestamp.encode(), event_id.encode())
    return encoded[:-1] + added


def state_document(data: Mapping[str, object]) -> bytes:
    """State as JSON: of our own making, in which what was not observed is null."""
    return _encoded(data)


def _encoded(data: Mapping[str, object]) -> bytes:
    """JSON in which nothing that some client takes for the end of a line stands as itself."""
    try:
        encoded = _encoder.encode(data)
    except (TypeError, ValueError, UnicodeEncodeError) as error:
        raise InputError(f"it cannot be encoded: {error}", code="not_encodable") from None
    for found, escaped in _LINE_ENDS:
        if found in encoded:
            encoded = encoded.replace(found, escaped)
    return encoded


def _require_plain(value: object, depth: int) -> None:
    """Raise `InputError` unless JSON carries this value exactly."""
    if depth > DEEPEST:
        raise InputError("an event is nested too deeply", code="not_encodable", limit=DEEPEST)
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError("JSON has no such number", code="not_encodable")
    elif isinstance(value, int):
        if not LEAST_WHOLE <= value <= MOST_WHOLE:
            detail = "a whole number is outside of what every reader can hold"
            raise InputError(detail, code="not_encodable", limit=MOST_WHOLE)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise InputError("a key of an event is not a text", code="not_encodable")
            _require_plain(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _require_plain(inner, depth + 1)
    else:
        detail = f"an event cannot hold a {type(value).__name__}"
        raise InputError(detail, code="not_encodable")


@dataclass(frozen=True, slots=True)
class SSEEvent:
    """One message of an event stream.

    `data` is a JSON document without line breaks; `id` only stands on logged events; `retry`
    is milliseconds.
    """

    type: EventType
    data: bytes
    id: str = ""
    retry: int | None = None

    def to_sse_format(self) -> bytes:
        """The bytes of the event stream.  Raises `InputError` on an id or data with a line end."""
        if _UNSAFE.search(self.id) or b"\n" in self.data or b"\r" in self.data:
            raise InputError("an event's id and data are single lines", code="bad_event")
        parts = [b"event: ", self.type.value.encode(), b"\n"]
        if self.id:
            parts += [b"id: ", self.id.encode(), b"\n"]
        if self.retry is not None:
            parts += [b"retry: ", str(int(self.retry)).encode(), b"\n"]
        parts += [b"data: ", self.data, b"\n\n"]
        return b"".join(parts)
