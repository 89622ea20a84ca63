"""What is said of a log that is damaged: its errors and the event that stands in for another.

It knows no file and no table; who finds damage says where it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitor.errors import StartError, Unavailable
from monitor.model import Event, EventType

CODE = "log_damaged"


class Damaged(Unavailable, StartError):
    """The store holds something that cannot be what was written.

    It is both errors on purpose: what is found at the start ends the start with its sentence,
    and what is found later is a 503 for who asked.
    """

    code = CODE


def file_damaged(why: object) -> Damaged:
    """The error for a file that SQLite cannot make sense of; `why` is SQLite's."""
    return Damaged(
        f"log.db in the data directory is damaged ({why}): put it back from a backup, or move "
        "it and the file instance away to begin with an empty log"
    )


def stand_in(sequence: int, topics: Iterable[str], at: float) -> Event:
    """The notice that is shown at the position of an event that cannot be shown.

    Its id is its own, so that no reader takes it for an event that it has seen.
    """
    said = f"the event at position {sequence} is damaged and cannot be shown"
    data: dict[str, object] = {"kind": "server", "text": said}
    return Event(EventType.NOTICE, tuple(topics), data, at, f"damaged-{sequence}", sequence)
