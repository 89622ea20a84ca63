"""How sending fares, as series of the host: what waits, and what was let go of."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.model import Reading, key

WAITING = "monitor.agent.frames.waiting"
DROPPED = "monitor.agent.frames.dropped"

REASONS = ("age", "damage", "disk", "refused", "size")
"""Why frames are let go of; all have a series from the start, so that columns stay."""


@dataclass(slots=True)
class Fares:
    """The numbers, written by whoever sends and read by the collector's thread."""

    waiting: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))


class Sending:
    """The collector of these numbers."""

    name = "sending"
    interval_seconds = 5.0
    budget_seconds = 0.05

    def __init__(self, fares: Fares) -> None:
        self.note = ""
        self._fares = fares

    def collect(self, now: float) -> Reading:
        """Read them."""
        del now
        values = {WAITING: float(self._fares.waiting)}
        for reason in REASONS:
            values[key(DROPPED, reason=reason)] = float(self._fares.dropped[reason])
        return Reading(values)

    def close(self) -> None:
        """Nothing is kept."""
