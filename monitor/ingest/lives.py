"""Tells an agent that was started again from two that go on at once under one identity.

A copy of a machine has its agent's identity too, and then two speak for one host in turn.  An
agent that was started again has a new life, and the former one is heard no more; of a copy the
former one comes back, again and again.  Pure; instants are unix seconds.
"""

from __future__ import annotations

MOST_LIVES = 4
"""Lives that are remembered of one host, the latest."""

ALIVE_SECONDS = 60.0
"""Whoever was heard within so long goes on; an agent that is left alone is heard more often."""

RETURNS = 3
"""So often a former life speaks after a later one before it is believed that both go on: what was
on its way while an agent was started again comes back once or twice."""


class Lives:
    """One host's, by what its agent calls each of its lives."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        """When each was heard last, in the order in which they began."""
        self._last = ""
        self._returns = 0
        self._second = ""
        """The one that is taken for a copy."""

    def heard(self, boot_id: str, now: float) -> None:
        """A push of this life was accepted."""
        if boot_id != self._last:
            if self._is_alive(boot_id, now):
                self._returns += 1
            else:
                # It is new, or as good as: it comes after those that there are.
                self._heard.pop(boot_id, None)
            if self._returns >= RETURNS:
                self._second, self._returns = max(boot_id, self._last, key=self._order), 0
            self._last = boot_id
        self._heard[boot_id] = now
        while len(self._heard) > MOST_LIVES:
            del self._heard[next(iter(self._heard))]

    def is_second(self, boot_id: str, now: float) -> bool:
        """Whether this is the later one of two that go on at once."""
        if boot_id != self._second:
            return False
        elders = list(self._heard)[: self._order(boot_id)]
        return any(self._is_alive(elder, now) for elder in elders)

    def _order(self, boot_id: str) -> int:
        return list(self._heard).index(boot_id) if boot_id in self._heard else MOST_LIVES

    def _is_alive(self, boot_id: str, now: float) -> bool:
        return abs(now - self._heard.get(boot_id, float("-inf"))) < ALIVE_SECONDS
