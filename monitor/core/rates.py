"""How often somebody may do something: a rate and a burst for each key.

The generic cell rate algorithm (ITU-T I.371, annex A): of each key one instant is remembered, at
which all that it has taken would be paid for at the sustained rate.  It knows no clock, no
address and no person: a key is what its caller makes it, and time is an argument.

The number of keys is bounded, because strangers choose them.  Where there are too many, those
that owe least are forgotten: whoever sprays keys frees none that is held back at the moment.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import nsmallest

FORGOTTEN_SHARE = 4
"""A quarter of the keys goes at once where there is no room, so that looking for them costs each
new key a few steps only."""

ROUNDING_SECONDS = 1e-9
"""What the addition of instants may be off, so that who waits as long as he was told has waited
long enough."""


class Rates:
    """At most `burst` at once, and `rate` a second in the long run, for each of `most_keys` keys.

    In any span of time a key is granted no more than ``burst + rate * seconds``.
    """

    def __init__(self, rate: float, burst: float, most_keys: int) -> None:
        if not (rate > 0 and burst >= 1 and most_keys >= 1):
            raise ValueError("a rate is above 0, a burst and a number of keys at least 1")
        self._interval = 1 / rate
        self._tolerance = (burst - 1) * self._interval
        self._most_keys = most_keys
        self._paid_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._paid_at)

    def take(self, key: Hashable, now: float) -> float:
        """Take one for a key: 0.0 where it is granted, else the seconds until it would be.

        What is refused costs nothing.  `now` is of a clock that does not jump.
        """
        paid_at = self._owed(key, now)
        wait = paid_at - now - self._tolerance
        if wait > ROUNDING_SECONDS:
            return wait
        if key not in self._paid_at and len(self._paid_at) >= self._most_keys:
            self._forget(now)
        self._paid_at[key] = paid_at + self._interval
        return 0.0

    def wait(self, key: Hashable, now: float) -> float:
        """What `take` would say, without taking: for whom only failures count."""
        wait = self._owed(key, now) - now - self._tolerance
        return wait if wait > ROUNDING_SECONDS else 0.0

    def _owed(self, key: Hashable, now: float) -> float:
        paid_at = self._paid_at.get(key, now)
        # The upper bound holds by itself, unless the clock has gone back.
        return min(max(paid_at, now), now + self._tolerance + self._interval)

    def _forget(self, now: float) -> None:
        self._paid_at = {key: at for key, at in self._paid_at.items() if at > now}
        if len(self._paid_at) < self._most_keys:
            return
        count = max(1, self._most_keys // FORGOTTEN_SHARE)
        for key in nsmallest(count, self._paid_at, key=self._paid_at.__getitem__):
            del self._paid_at[key]
