"""What `[retention]` may say: how long each tier of history is kept, and how large all is at most.

A plain dataclass, as every room's Config is; the roof reads the marks on the fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from monitor.core.quantity import Between, Bytes, Seconds, Written, format_seconds

HOUR_SECONDS = 3_600.0
DAY_SECONDS = 86_400.0

LONGEST_SECONDS = 100 * 365 * DAY_SECONDS
"""No instant that a database or a calendar has trouble with comes of it."""

LEAST_BYTES = 64_000_000
"""A day of one host at 1 s with room to compact it; less would forget within the hour."""

MOST_BYTES = 10**15
"""Far more than one file of SQLite may hold, and nothing overflows."""

_Age = Annotated[Seconds, Between(HOUR_SECONDS, LONGEST_SECONDS)]


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """How long history is kept, tier by tier, and how large it may be.

    One host of 370 series at 1 s makes about 16 MB of raw rows a day, and fills a third of a
    gigabyte with every tier at its full age: there the ages decide.  A thousand of them pass
    20 GB in a day or two: there the size decides, and each tier gets its share of it.
    """

    raw: _Age = 2 * DAY_SECONDS
    """Every frame as it came: last night, looked at the morning after the next."""
    ten_seconds: Annotated[_Age, Written("10s")] = 14 * DAY_SECONDS
    """This week laid over the last one."""
    one_minute: Annotated[_Age, Written("1m")] = 90 * DAY_SECONDS
    """A quarter: what a release changed, and a month to compare it with."""
    fifteen_minutes: Annotated[_Age, Written("15m")] = 366 * DAY_SECONDS
    """A year, and the day of last year that is being looked back upon."""
    two_hours: Annotated[_Age, Written("2h")] = 5 * 365 * DAY_SECONDS
    """As long as hardware lives: some 25 MB a host."""
    size: Annotated[Bytes, Between(LEAST_BYTES, MOST_BYTES)] = 20 * 10**9
    """All tiers and tables of processes together, in bytes: a share of a small server's disk."""

    @property
    def ages(self) -> tuple[float, ...]:
        """How long each tier is kept, in seconds, from raw to the coarsest."""
        return (
            self.raw,
            self.ten_seconds,
            self.one_minute,
            self.fifteen_minutes,
            self.two_hours,
        )

    def faults(self) -> Iterator[tuple[tuple[str, str], str]]:
        """What is wrong between keys: the two that disagree, as they are written, and a sentence.

        A coarser tier that ended before a finer one would hold nothing that is not there already.
        """
        pairs = zip(TIERS, self.ages, TIERS[1:], self.ages[1:], strict=False)
        for finer, short, coarser, long in pairs:
            if long < short:
                sentence = (
                    f'"{coarser}" is kept for {format_seconds(long)}, and the finer "{finer}" for'
                    f" {format_seconds(short)}: make it at least as long"
                )
                yield (coarser, finer), sentence


TIERS = ("raw", "10s", "1m", "15m", "2h")
"""The tiers by the name that people write, in the order of their numbers in the store."""
