"""Markers: when a host booted or a program started, told from how long it had been up.

Whoever has been up for u seconds at instant t began at t − u, always the same instant, until it
begins anew.  History keeps minima and maxima of buckets rather than instants, so what is known of
a beginning is between which two instants it lies; every further bucket of the same life narrows
that.  It knows arrays and no host.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.core.series import Floats

TOLERANCE_SECONDS = 60.0
"""Beginnings that are no further apart are one: clocks are slewed and set."""

MOST_MARKERS = 200
"""Of one range; a thing that begins more often is seen as such, and the newest are kept."""


@dataclass(slots=True)
class _Life:
    """One life: it began between `earliest` and `latest`, in unix seconds."""

    earliest: float
    latest: float

    def is_before(self, other: _Life) -> bool:
        """Whether the other one began certainly later, and so anew."""
        return other.earliest > self.latest + TOLERANCE_SECONDS

    def learn(self, other: _Life) -> None:
        """The same life seen again; where the two disagree a clock moved, and the newer counts."""
        earliest = max(self.earliest, other.earliest)
        latest = min(self.latest, other.latest)
        if earliest <= latest:
            self.earliest, self.latest = earliest, latest
        else:
            self.earliest, self.latest = other.earliest, other.latest

    @property
    def instant(self) -> float:
        """The middle of what is known."""
        return (self.earliest + self.latest) / 2


def beginnings(
    starts: Floats, step: float, least: Floats, most: Floats, first: float, end: float
) -> list[float]:
    """When something began within [first, end), ascending, at most `MOST_MARKERS`.

    `starts` are buckets of `step` seconds, and `least` and `most` the shortest and the longest
    time that it had been up in each, in seconds; NaN is a gap.  Each instant is right within one
    bucket, and beginnings of one bucket are one.
    """
    lives: list[_Life] = []
    usable = np.isfinite(least) & np.isfinite(most) & (least >= 0) & (most >= least)
    columns = (array[usable].tolist() for array in (starts, least, most))
    for start, short, long in zip(*columns, strict=True):
        for life in _seen(start, step, short, long):
            if not lives or lives[-1].is_before(life):
                lives.append(life)
            else:
                lives[-1].learn(life)
    found = [life.instant for life in lives if first <= life.instant < end]
    return found[-MOST_MARKERS:]


def _seen(start: float, step: float, short: float, long: float) -> tuple[_Life, ...]:
    """What one bucket tells: one life, or the one that ended in it and the one that began.

    Its observations lie in [start, end): whoever was then `short` old began after start − short,
    and whoever was `long` old before end − long.
    """
    end = start + step
    earliest, latest = start - short, end - long
    if long - short <= step + TOLERANCE_SECONDS:
        return (_Life(min(earliest, latest), max(earliest, latest)),)
    # Nobody ages by more than a bucket in a bucket: a life ended in it, and another began.
    if short > step + TOLERANCE_SECONDS:
        return ()  # that one is older than the bucket: two senders share a name
    return (_Life(start - long, latest), _Life(start, max(start, end - short)))
