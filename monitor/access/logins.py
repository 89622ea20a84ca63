"""How often somebody may fail to log in: ten times a minute, a name and an address each.

It counts failures only, in a window that slides; names are counted whether or not there is such
an account, so that the limit tells nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque

MOST_FAILURES = 10
WINDOW_SECONDS = 60.0

MOST_KEYS = 10_000
"""Names and addresses that are remembered; the one that failed longest ago goes first."""

KEY_CHARACTERS = 128
"""What is remembered of one: more than any name or address has, whatever somebody sends."""


class Failures:
    """Failures by key; times are monotonic seconds."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, keys: tuple[str, ...], now: float) -> float:
        """How long these must wait before they may try again, 0 where they may now."""
        return max((self._wait(key, now) for key in keys), default=0.0)

    def add(self, keys: tuple[str, ...], now: float) -> None:
        """Somebody failed."""
        for key in (each[:KEY_CHARACTERS] for each in keys):
            failed = self._failed.setdefault(key, deque(maxlen=MOST_FAILURES))
            failed.append(now)
            self._failed.move_to_end(key)
        while len(self._failed) > MOST_KEYS:
            self._failed.popitem(last=False)

    def withdraw(self, keys: tuple[str, ...], at: float) -> None:
        """What was added at an instant was no failure after all."""
        for key in (each[:KEY_CHARACTERS] for each in keys):
            failed = self._failed.get(key)
            if failed is not None and at in failed:
                failed.remove(at)
                if not failed:
                    del self._failed[key]

    def forget(self, key: str) -> None:
        """Somebody came in."""
        self._failed.pop(key[:KEY_CHARACTERS], None)

    def _wait(self, key: str, now: float) -> float:
        failed = self._failed.get(key[:KEY_CHARACTERS])
        if failed is None or len(failed) < MOST_FAILURES:
            return 0.0
        return max(0.0, failed[0] + WINDOW_SECONDS - now)
