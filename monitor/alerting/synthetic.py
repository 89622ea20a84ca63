"""What this server knows of itself as series of its own host, for rules on the monitor itself.

They are made for judging and not stored.  Where the numbers come from is told by whoever builds
this: it knows no store, no channels and no stream, only how to ask.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.model import key

SPACE_SECONDS = 10.0
"""How often the disk of the data is measured."""

DROPPED_SECONDS = 600.0
"""The time in which readers that were let go are counted."""

MOST_CHANNELS = 100
"""Channels that are told of one by one."""

DATA_FREE = "monitor.data.free"
DATA_UTILIZATION = "monitor.data.utilization"
STORE_LAG = "monitor.store.lag"
RELOAD_FAILED = "monitor.config.reload_failed"
READERS_DROPPED = "monitor.stream.readers_dropped"
CHANNEL_FAILING = "monitor.channel.failing"

Statvfs = Callable[[Path], os.statvfs_result]


def _nothing() -> dict[str, bool]:
    return {}


@dataclass(frozen=True, slots=True)
class Readers:
    """How to ask for each number; what is not known is NaN.

    `lag_seconds` is how late what arrives is stored, `failing` says of each channel whether it
    has failed for long, `reload_failed` whether the files have faults and were not taken, and
    `readers_dropped` how many readers of the stream were ever let go because they were too slow.
    """

    lag_seconds: Callable[[], float] = lambda: math.nan
    failing: Callable[[], Mapping[str, bool]] = _nothing
    reload_failed: Callable[[], bool] = lambda: False
    readers_dropped: Callable[[], int] = lambda: 0


class Own:
    """The series of this server's own host."""

    METRICS = (
        *(DATA_FREE, DATA_UTILIZATION, STORE_LAG),
        *(RELOAD_FAILED, READERS_DROPPED, CHANNEL_FAILING),
    )
    """What they are of; those of channels have one a channel."""

    def __init__(self, data: Path, readers: Readers, statvfs: Statvfs = os.statvfs) -> None:
        self._data = data
        self._readers = readers
        self._statvfs = statvfs
        self._space = (math.nan, math.nan)
        self._measured_at = -math.inf
        self._dropped: deque[tuple[float, int]] = deque()

    def values(self, now: float) -> dict[str, float]:
        """Every KEY's value at `now`, NaN where it is not known."""
        if not 0 <= now - self._measured_at < SPACE_SECONDS:
            self._measured_at = now
            self._space = self._measure()
        found = {
            DATA_FREE: self._space[0],
            DATA_UTILIZATION: self._space[1],
            STORE_LAG: self._readers.lag_seconds(),
            RELOAD_FAILED: float(self._readers.reload_failed()),
            READERS_DROPPED: self._dropped_lately(now),
        }
        for name, fails in list(self._readers.failing().items())[:MOST_CHANNELS]:
            found[key(CHANNEL_FAILING, channel=name)] = float(fails)
        return found

    def _measure(self) -> tuple[float, float]:
        """Bytes that we may still write, and the share of the space that is used, as df."""
        try:
            found = self._statvfs(self._data)
        except OSError:
            return math.nan, math.nan
        used = max(0, found.f_blocks - found.f_bfree)
        free = max(0, found.f_bavail)
        writable = used + free
        return float(free * found.f_frsize), used / writable if writable else math.nan

    def _dropped_lately(self, now: float) -> float:
        """Readers let go within the last minutes: the count now less the count before them."""
        marks = self._dropped
        count = self._readers.readers_dropped()
        if not marks or count != marks[-1][1]:
            marks.append((now, count))
        while len(marks) > 1 and now - marks[1][0] > DROPPED_SECONDS:
            marks.popleft()
        if len(marks) > 1 and len(marks) > MOST_CHANNELS:
            marks.popleft()
        return float(count - marks[0][1])
