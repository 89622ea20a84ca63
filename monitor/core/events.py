"""Events on the wire: ids, framing, and the payloads of the stream.

`SSEEvent` is the seed's name for one message of an event stream; its text is made in one
place, so that no value from outside can end a line, a field or an event.
"""

from __future__ import annotations

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

_POSITION = re.compile(r"([0-9a-f]{16})-(0|[1-9][0-9]{0,18})", re.ASCII)
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


def payload(
    data: Mapping[str, object], timestamp: str, event_id: str, limit: int = LONGEST_EVENT_BYTES
) -> bytes:
    """One JSON object with our two keys added, of at most `limit` bytes.

    Raises `InputError` where `data` uses a reserved key or cannot be encoded, so that a
    publisher hears of it and no reader does.
    """
    for name in RESERVED:
        if name in data:
            raise InputError(f"the key {name} is reserved", code="reserved_key", field=name)
    try:
        encoded = _encoder.encode({**data, "timestamp": timestamp, "event_id": event_id})
    except (TypeError, ValueError, UnicodeEncodeError) as error:
        raise InputError(f"the event cannot be encoded: {error}", code="not_encodable") from None
    if len(encoded) > limit:
        raise InputError("the event is too large", code="event_too_large", limit=limit)
    return encoded


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
