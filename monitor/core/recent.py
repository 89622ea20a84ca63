"""What each host's processor did over the last ten minutes, ten seconds a point, in memory.

A page of a thousand hosts draws a small line of each, and reading those from the store costs more
than all the rest of the page.  `Recent.look` takes every host's newest value now and then; what
was before this process is filled in once, by whoever read it from the store.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from monitor.core.series import Floats
from monitor.core.state import HostState

RECENT_KEY = "system.cpu.utilization"
POINTS = 60
POINT_SECONDS = 10.0
LOOK_SECONDS = 2.0
"""How often values are taken: five make a point, and a thousand hosts cost a millisecond."""


@dataclass(slots=True)
class _Line:
    """One host's points, the newest last; that one is still being made."""

    host: HostState
    points: Floats = field(default_factory=lambda: np.full(POINTS, np.nan))
    version: int = 0
    total: float = 0.0
    count: int = 0
    is_filled: bool = False

    def move(self, points: int) -> None:
        """Begin a new point, `points` after the one that was being made."""
        kept = self.points[points:].copy() if points < POINTS else self.points[:0]
        self.points[:] = np.nan
        self.points[: len(kept)] = kept
        self.total, self.count = 0.0, 0

    def add(self, ratio: float) -> None:
        """Take one value into the newest point."""
        self.total += ratio
        self.count += 1
        self.points[-1] = self.total / self.count


class Recent:
    """The lines of all hosts: as many as there are hosts, which the fleet bounds."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._looked_at = 0.0
        self._bucket = 0

    def look(self, hosts: Mapping[str, HostState], now: float) -> None:
        """Take what is new of every host at `now`, unix seconds; too soon it does nothing."""
        if 0 <= now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        self._move(hosts, bucket_of(now))
        for name, host in hosts.items():
            line = self._lines.get(name)
            if line is None or line.host is not host:  # deleted, and there again
                line = self._lines[name] = _Line(host)
            column = host.schema.index.get(RECENT_KEY)
            if column is None or line.version == host.version:
                continue
            line.version = host.version
            ratio = float(host.shown[column])
            if math.isfinite(ratio) and host.at - host.observed_at[column] < POINT_SECONDS:
                line.add(ratio)

    def _move(self, hosts: Mapping[str, HostState], bucket: int) -> None:
        passed = bucket - self._bucket
        self._bucket = bucket
        if passed == 0:
            return
        self._lines = {name: line for name, line in self._lines.items() if name in hosts}
        for line in self._lines.values():
            line.move(passed if passed > 0 else POINTS)  # the clock stepped back

    def lacking(self, names: Iterable[str]) -> list[str]:
        """Those of which nobody has said yet what was before this process."""
        lines = self._lines
        return [name for name in names if name in lines and not lines[name].is_filled]

    def fill(self, name: str, starts: Floats, ratios: Floats) -> None:
        """Say what was: a ratio for each instant at which a point starts, unix seconds."""
        line = self._lines.get(name)
        if line is None:
            return
        line.is_filled = True
        places = (starts // POINT_SECONDS).astype(int) - self._bucket + POINTS - 1
        fits = (places >= 0) & (places < POINTS)
        places, ratios = places[fits], ratios[fits]
        unknown = np.isnan(line.points[places])
        line.points[places[unknown]] = ratios[unknown]

    def of(self, names: Iterable[str]) -> dict[str, Floats]:
        """A copy of each host's points, the newest last."""
        lines = self._lines
        return {name: lines[name].points.copy() for name in names if name in lines}


def bucket_of(at: float) -> int:
    """The number of the point in which an instant lies."""
    return int(at // POINT_SECONDS)
