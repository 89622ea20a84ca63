"""What the stream itself says, as bytes: greeting, heartbeat, goodbye, positions, state, events.

It knows the epoch and the clock, and nothing of readers or connections.
"""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from monitor.core.access import clearance
from monitor.core.events import (
    SSEEvent,
    document,
    parse_position,
    payload,
    position_text,
    state_document,
)
from monitor.core.messages import Disconnected, Heartbeat, Message
from monitor.errors import InputError
from monitor.model import Event, EventType
from monitor.stream.ring import Ringed

RETRY_MILLISECONDS = (1_000, 4_000)
"""How long a browser waits before it comes back; random, so that all do not come at once."""

BUSY_RETRY_MILLISECONDS = (5_000, 30_000)
"""The same where the server has no room for it now."""

LARGEST_STATE_BYTES = 4 * 1024 * 1024
"""One message of state; the values and rows that may stand in one are bounded before."""

COMMENT = b":\n\n"

logger = logging.getLogger("monitor.stream")


def timestamp(at: float) -> str:
    """Unix seconds as ISO 8601 UTC with milliseconds: always 24 characters."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


class Speech:
    """Everything of one log's stream that is said."""

    def __init__(self, epoch: Callable[[], str], clock: Callable[[], float]) -> None:
        self._epoch = epoch
        self._clock = clock

    def parse(self, text: str) -> int | None:
        """The sequence in a position of this log's epoch, or none."""
        return parse_position(text, self._epoch())

    def position(self, sequence: int) -> str:
        """A sequence as the stream writes it."""
        return position_text(self._epoch(), sequence)

    def greeting(
        self, topics: frozenset[str], sequence: int, gap_from: str | None, *, has_gap: bool
    ) -> bytes:
        """``retry:`` and ``connected``, with the gap where there is one."""
        data: dict[str, object] = {"topics": sorted(topics), "position": self.position(sequence)}
        if has_gap:
            data["gap"] = {"from": gap_from, "to": self.position(sequence)}
        return retry() + self._said(EventType.CONNECTED, data, self.position(sequence))

    def goodbye(self, reason: str) -> bytes:
        """``disconnected``, with when to come back."""
        wait = random.randint(*RETRY_MILLISECONDS)  # noqa: S311 - it only spreads load
        return self.message(EventType.DISCONNECTED, Disconnected(reason=reason), retry_=wait)

    def heartbeat(self, sequence: int) -> bytes:
        """``heartbeat``, for readers that cannot hear a comment, with their position."""
        return self.message(EventType.HEARTBEAT, Heartbeat(), self.position(sequence))

    def advance(self, sequence: int) -> bytes:
        """An id by itself: it moves a quiet reader's position and fires nothing."""
        return b"id: %b\n\n" % self.position(sequence).encode()

    def passing(self, event: Event) -> bytes:
        """An event that is said to some readers and not logged."""
        return SSEEvent(event.type, _data(event)).to_sse_format()

    def message(
        self, type_: EventType, message: Message, id_: str = "", retry_: int | None = None
    ) -> bytes:
        """A message that is not logged."""
        return self._said(type_, msgspec.to_builtins(message), id_, retry_)

    def state(self, type_: EventType, data: Mapping[str, object]) -> bytes:
        """State; what cannot be encoded costs nobody their stream."""
        try:
            encoded = state_document(data)
        except InputError as error:
            logger.warning("state was not sent: %s", error.detail)
            return b""
        if len(encoded) > LARGEST_STATE_BYTES:
            logger.warning("state of %d bytes was not sent", len(encoded))
            return b""
        return SSEEvent(type_, self._stamped(encoded)).to_sse_format()

    def logged(self, event: Event) -> Ringed:
        """An event of the log; one that cannot be encoded must not end the tail for everybody."""
        cleared = clearance(event.type, event.data)
        try:
            said = SSEEvent(event.type, _data(event), self.position(event.sequence)).to_sse_format()
        except InputError as error:
            logger.error("event %d was not sent: %s", event.sequence, error.detail)  # noqa: TRY400
            return Ringed(event.sequence, event.topics, b"", cleared)
        return Ringed(event.sequence, event.topics, said, cleared)

    def _said(
        self,
        type_: EventType,
        data: Mapping[str, object],
        id_: str = "",
        retry_: int | None = None,
    ) -> bytes:
        stamped = self._stamped(document(data, ""))
        return SSEEvent(type_, stamped, id_, retry_).to_sse_format()

    def _stamped(self, encoded: bytes) -> bytes:
        return payload(encoded, timestamp(self._clock()), secrets.token_hex(8))


def _data(event: Event) -> bytes:
    """What stands in an event's ``data:`` line.  Raises `InputError` where it cannot be said."""
    try:
        at = timestamp(event.at)
    except (ValueError, OverflowError, OSError):
        raise InputError("an event's instant is no time", code="bad_event", field="at") from None
    return payload(document(event.data, event.event_id), at, event.event_id)


def retry(bounds: tuple[int, int] = RETRY_MILLISECONDS) -> bytes:
    """A ``retry:`` of its own for every connection."""
    return b"retry: %d\n\n" % random.randint(*bounds)  # noqa: S311 - it only spreads load
