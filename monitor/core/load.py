"""Overload: what is let go of first, and when, so that what matters most goes on.

Two things are watched, this process's memory against its bound and how late the event loop is.
Each has a threshold for every step of the order in which is shed: series that are new, queries,
new streams, and last the pushes of what is known.  Health, logins, streams that are open and what
is judged of the hosts are never shed.

Steps are climbed at once and come down one at a time, after a while below, so that a load at a
threshold does not flicker.  It knows no clock and no process: both are told to it.
"""

from __future__ import annotations

import enum
import random
from collections import Counter
from dataclasses import dataclass

from monitor.errors import MonitorError


class Shed(enum.IntEnum):
    """What is shed, in the order in which it is; each step includes those before it."""

    NOTHING = 0
    NEW_SERIES = 1
    QUERIES = 2
    STREAMS = 3
    PUSHES = 4


MEMORY_SHARES = (0.80, 0.87, 0.93, 0.97)
"""Of the bound, at which each step begins."""

LAG_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""How late the event loop is at each step; a page takes some 0.05 s of it, on a bad day."""

CALM = 0.95
"""A step ends below this share of where it began."""

CALM_SECONDS = 5.0
"""And only after so long."""

RETRY_SECONDS = (5.0, 15.0)
"""When to come again; random, so that all do not come at once."""

_SAID = {
    Shed.NEW_SERIES: "new series and hosts are refused",
    Shed.QUERIES: "new series and queries of the history are refused",
    Shed.STREAMS: "new series, queries and new event streams are refused",
    Shed.PUSHES: "new series, queries, new event streams and pushes are refused",
}

_STATUS = {Shed.QUERIES: 503}
"""What is not answered with 429: a query is not the sender's fault."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How it stands: bytes of this process, and how late the event loop was."""

    memory_bytes: int
    lag_seconds: float


class Load:
    """One process's."""

    def __init__(self, most_memory_bytes: int) -> None:
        self.most_memory_bytes = most_memory_bytes
        self.level = Shed.NOTHING
        self.seen = Seen(0, 0.0)
        self.shed_total: Counter[Shed] = Counter()
        """How often something was refused."""
        self._calm_since: float | None = None

    def update(self, seen: Seen, now: float) -> Shed:
        """The step that holds from now, in seconds of a clock that does not jump."""
        self.seen = seen
        due = self._step(seen, 1.0)
        if due >= self.level:
            self.level, self._calm_since = due, None
        elif self._step(seen, CALM) >= self.level:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= CALM_SECONDS:
            self.level, self._calm_since = Shed(self.level - 1), now
        return self.level

    def require(self, wanted: Shed) -> None:
        """Raise a `MonitorError`, ``overloaded``, where this is shed now."""
        if self.level < wanted:
            return
        self.shed_total[wanted] += 1
        raise MonitorError(
            f"this server has too much to do: {_SAID[self.level]} for now",
            code="overloaded",
            status=_STATUS.get(wanted, 429),
            retry_after=random.uniform(*RETRY_SECONDS),  # noqa: S311 - it only spreads load
        )

    def warning(self) -> str:
        """What its operator should know now; empty where all is well."""
        if self.level is Shed.NOTHING:
            return ""
        return (
            f"Overload: {_SAID[self.level]}. Memory {self.seen.memory_bytes >> 20} of"
            f" {self.most_memory_bytes >> 20} MiB, event loop {self.seen.lag_seconds:.1f} s late;"
            " raise [server] max_memory, or send less."
        )

    def _step(self, seen: Seen, ease: float) -> Shed:
        share = seen.memory_bytes / self.most_memory_bytes
        memory = sum(share >= threshold * ease for threshold in MEMORY_SHARES)
        lag = sum(seen.lag_seconds >= threshold * ease for threshold in LAG_SECONDS)
        return Shed(max(memory, lag))


def most_memory(configured: int | None, machine_bytes: int) -> int:
    """The bound: what is configured, or half of what there is, at most `DEFAULT_MOST_BYTES`."""
    return configured or max(LEAST_BYTES, min(DEFAULT_MOST_BYTES, machine_bytes // 2))


LEAST_BYTES = 256 * 1024 * 1024
"""Under this nothing goes: an empty server takes 100 MB."""

DEFAULT_MOST_BYTES = 2 * 1024 * 1024 * 1024
"""Some three times what a thousand hosts take."""
