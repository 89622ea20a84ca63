"""What a collector does less often than it is read: limits, speeds and names seldom change."""

from __future__ import annotations


class Every:
    """Says once in so many seconds that something is due, and at the first asking."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._last: float | None = None

    def due(self, now: float) -> bool:
        """Whether it is time again.  A clock that went back makes it due at once."""
        if self._last is not None and 0 <= now - self._last < self.seconds:
            return False
        self._last = now
        return True
