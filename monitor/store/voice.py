"""How the history's file speaks of its errors."""

from __future__ import annotations

from monitor.errors import StartError, Unavailable
from monitor.sqlite.transactions import Voice


class Damaged(Unavailable, StartError):
    """The file holds something that cannot be what was written.

    It is both errors on purpose: what is found at the start ends the start with its sentence,
    and what is found later is a 503 for who asked.
    """

    code = "store_damaged"


def file_damaged(why: object) -> Damaged:
    """The error for a file that SQLite cannot make sense of; `why` is SQLite's."""
    return Damaged(
        f"series.db in the data directory is damaged ({why}): put it back from a backup, or "
        "move it and the file series.instance away to begin with an empty history"
    )


VOICE = Voice("the history", "store", file_damaged)
