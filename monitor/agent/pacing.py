"""How soon to try again, and how fast to send what was kept; pure, with time as an argument."""

from __future__ import annotations

import math
from collections.abc import Callable

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0
"""The first wait after a connection is lost, and the longest after many."""

MOST_FRAMES = 60
"""Frames of one document that is sent late."""

FIRST_FRAMES = 8
"""Frames of the first of them: a thin link shows itself before it is filled."""

FRAMES_PER_SECOND = 360
"""The most that is sent late: 24 hours of one second's frames within four minutes."""

QUICK_SECONDS = 0.3
SLOW_SECONDS = 1.0
"""An answer sooner makes the next document larger, one later makes it smaller."""

WAITING_SECONDS = 0.5
"""While a live frame has waited this long for its answer, nothing late is sent."""

MOST_VALUES = 40_000
"""Values of one document; a server takes 50,000."""


class Backoff:
    """Waits between tries: doubling, at most `LONGEST_SECONDS`, each shortened by chance.

    `chance` gives numbers from 0 to 1; without it many agents would come back as one.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._next = FIRST_SECONDS

    def wait(self, at_least: float = 0.0) -> float:
        """Seconds until the next try; `at_least` is what the server asked for."""
        bound, self._next = self._next, min(self._next * 2, LONGEST_SECONDS)
        return max(at_least, bound * (0.5 + self._chance() / 2))

    def slow(self) -> float:
        """Seconds until the next try where trying soon is pointless: somebody must act first."""
        self._next = LONGEST_SECONDS
        return self.wait()

    def reset(self) -> None:
        """It worked: the next wait is the first again."""
        self._next = FIRST_SECONDS


class Pace:
    """How much is sent late, and when: beside live frames, never before them."""

    def __init__(self) -> None:
        self._frames = FIRST_FRAMES
        self._next_at = -math.inf

    def frames(self, columns: int) -> int:
        """How many frames of so many columns the next document may have."""
        return max(1, min(self._frames, MOST_VALUES // max(1, columns)))

    def wait(self, now: float, live_since: float | None) -> float:
        """Seconds until the next may be sent.

        `live_since` is when the oldest live frame was sent that has no answer.
        """
        if live_since is not None and now - live_since > WAITING_SECONDS:
            return WAITING_SECONDS / 2
        return max(0.0, self._next_at - now)

    def sent(self, now: float, frames: int) -> None:
        """A document of so many frames was sent."""
        self._next_at = max(now, self._next_at) + frames / FRAMES_PER_SECOND

    def answered(self, took_seconds: float) -> None:
        """Its answer came after so long."""
        if took_seconds <= QUICK_SECONDS:
            self._frames = min(MOST_FRAMES, self._frames * 2)
        elif took_seconds >= SLOW_SECONDS:
            self._frames = max(1, self._frames // 2)
