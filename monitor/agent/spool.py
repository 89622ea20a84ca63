"""The spool beside the event loop: one thread writes and reads it, in the order of asking.

Acknowledged frames are deleted in the transaction that keeps the next frame, so that an agent that
is well costs one commit an interval.  While the disk refuses, the newest frames are held in memory.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Sequence
from itertools import takewhile

from monitor.agent.backlog import ranges
from monitor.agent.spoolfile import Kept, SpoolFile
from monitor.agent.threads import OneThread

MOST_SPARE = 600
"""Frames held in memory while the disk refuses them: ten minutes, some 2 MB."""

MOST_WAITING = 60
"""Writes that may wait for a disk that does not answer; what comes on top is not kept."""

TOLD_EVERY_SECONDS = 60.0
"""How often at most dropped frames are spoken of."""

logger = logging.getLogger("monitor.agent")


class Spool:
    """What is not acknowledged, by number.  `dropped` counts what was let go of, by reason."""

    def __init__(self, file: SpoolFile) -> None:
        self.agent = file.agent
        self.first, self.last = file.numbers()
        self.dropped: Counter[str] = Counter()
        self._file = file
        self._thread = OneThread("monitor-spool")
        self._done: list[int] = []
        self._undone: list[tuple[int, int]] = []
        """Of those that were done the ones that the disk has not let go of, as ranges: for as long
        as it refuses they become no more."""
        self._spare: deque[Kept] = deque()
        self._waiting = 0
        self._is_refusing = False
        self._told: Counter[str] = Counter()
        self._told_at = float("-inf")
        self._tell_notes()

    async def keep(self, frame: Kept) -> None:
        """Keep a frame: on return it outlives this process, or is one of the spare ones."""
        if self._waiting >= MOST_WAITING:
            self.dropped["disk"] += 1
            self._tell_dropped()
            return
        # While the server takes what comes, this frame too goes with the next one's transaction.
        is_brief = bool(self._done) and not self._spare
        done = self._take_done()
        frames = [*self._spare, frame]
        self._spare.clear()
        self._waiting += 1
        try:
            await self._thread.run(lambda: self._file.write(frames, done, is_brief=is_brief))
        except OSError as error:
            self._undone = ranges((), [*done, *self._undone])
            self._spare.extendleft(reversed(frames))
            while len(self._spare) > MOST_SPARE:
                self._spare.popleft()
                self.dropped["disk"] += 1
            self._note_refusing(str(error))
        else:
            self._note_refusing("")
        finally:
            self._waiting -= 1
        self._tell_notes()
        self._tell_dropped()

    def acknowledged(self, numbers: Sequence[int]) -> None:
        """These frames are the server's now; they go with the next that is kept."""
        self._done.extend(numbers)
        if self._spare:
            gone = set(numbers)
            self._spare = deque(each for each in self._spare if each.number not in gone)

    def _take_done(self) -> list[tuple[int, int]]:
        done = ranges(self._done, self._undone)
        self._done, self._undone = [], []
        return done

    async def read(self, first: int, last: int, most: int) -> list[Kept]:
        """The oldest kept frames numbered from `first` to `last`, all of one schema.

        Raises `OSError` where the disk does not give them now.
        """
        try:
            found = await self._thread.run(lambda: self._file.read(first, last, most))
        except OSError as error:
            self._note_refusing(str(error))
            if not self._spare:
                raise
            found = []
        self._tell_notes()
        if found:
            return found
        spare = [each for each in self._spare if first <= each.number <= last][:most]
        return list(takewhile(lambda each: each.schema is spare[0].schema, spare))

    async def size_bytes(self) -> int:
        """What the kept frames take on disk."""
        return await self._thread.run(self._file.size_bytes)

    async def close(self) -> None:
        """Write what is left to be written, and end the thread."""
        done = self._take_done()
        spare = list(self._spare)
        with contextlib.suppress(OSError):
            await self._thread.run(lambda: self._file.write(spare, done))
        await self._thread.run(self._file.close)
        self._thread.end()

    def _note_refusing(self, fault: str) -> None:
        if bool(fault) == self._is_refusing:
            return
        self._is_refusing = bool(fault)
        if fault:
            logger.error("%s; the newest %d frames are held in memory", fault, MOST_SPARE)
        else:
            logger.info("the spool takes frames again")

    def _tell_notes(self) -> None:
        notes, self._file.notes = self._file.notes, []
        for note in notes:
            logger.error("%s", note)

    def _tell_dropped(self) -> None:
        for reason, count in self._file.dropped.items():
            if count:
                self.dropped[reason] = count
        if self.dropped == self._told or time.monotonic() < self._told_at + TOLD_EVERY_SECONDS:
            return
        self._told_at = time.monotonic()
        for reason, count in (self.dropped - self._told).items():
            logger.warning("%d frames were let go of unsent: %s", count, REASONS[reason])
        self._told = Counter(self.dropped)


REASONS = {
    "size": "the spool has its size (spool_size)",
    "age": "they were older than spool_age",
    "damage": "the spool was damaged",
    "disk": "the disk did not take them",
}
"""Why a frame was let go of, in words."""
