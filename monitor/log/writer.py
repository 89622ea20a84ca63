"""The log's writer: what every writer of ours does, and the marker besides.

The marker learns of an append before its caller does, and reaches the disk at a slower pace.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from monitor.log.database import Database
from monitor.log.event_table import Appended
from monitor.log.voice import VOICE
from monitor.sqlite.writer import Outcome, Writer

logger = logging.getLogger(__name__)

MARKER_SECONDS = 5.0
"""How far the marker on the disk may lag behind what was acknowledged."""


class LogWriter(Writer):
    """The thread that writes ``log.db`` and its marker."""

    def __init__(self, database: Database, committed: Callable[[Sequence[Any]], None]) -> None:
        self._marker = database.marker
        self._marker_synced = time.monotonic()
        self._marker_failed = False
        super().__init__(database.connection, VOICE, committed)

    def _after_commit(self, outcomes: Sequence[Outcome]) -> None:
        last = max((done.last for done in outcomes if isinstance(done, Appended)), default=0)
        try:
            self._marker.raise_to(last)
        except OSError as error:
            self._complain_of_marker(error)

    def _patience(self) -> float | None:
        return MARKER_SECONDS if self._marker.is_dirty else None

    def _rest(self, *, at_the_end: bool = False) -> None:
        now = time.monotonic()
        due = at_the_end or now - self._marker_synced >= MARKER_SECONDS
        if self._marker.is_dirty and due:
            self._marker_synced = now
            try:
                self._marker.sync()
            except OSError as error:
                self._complain_of_marker(error)

    def _complain_of_marker(self, error: OSError) -> None:
        """Once: the events are safe, only an older copy put back would not be noticed."""
        if not self._marker_failed:
            self._marker_failed = True
            logger.error("the log's marker cannot be written: %s", error)
