"""What is measured: which sets of samples, which questions, how often."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.recording import Recording
from bench.store.samples import Samples, as_it_is, stretched
from bench.store.shapes import Question

HOUR, DAY = 3_600, 86_400

FEW = 10
"""Hosts of the sets that last a day."""

MANY = 100
"""Series of a question about many."""

LATE = "the same, some ms late"
"""Whose rows are not on the beat, as those of agents are not.  Nothing is asked of it."""

POINTS = 300
"""As a chart asks for."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    runs: int
    fleet: int
    """Hosts that push at 1 s for an hour, in the first table: what our store compacts by."""
    peers_rows: int
    """Of that, the seconds that peers get a request a frame of: more says nothing more."""
    fleet_hour: tuple[int, int]
    """Hosts, and rows at 10 s, of the set with the most series."""
    month_hosts: int
    year_minutes: int
    """Between two rows of the set that lasts a year."""
    large_hosts: int
    """Hosts of the set that is started with: a day at 10 s."""
    few_asks: int
    """Times that a question about many series is asked; one about one is asked more often."""

    @property
    def asks(self) -> int:
        """Times that a question about one series is asked."""
        return self.few_asks * 5


FULL = Plan(3, 50, 240, (1_000, 360), 2, 5, 101, 40)
QUICK = Plan(1, 10, 60, (200, 120), 1, 15, FEW, 10)


@dataclass(frozen=True)
class Asked:
    """A question, asked in many places."""

    text: str
    questions: tuple[Question, ...]


class Sets:
    """The sets of samples, made below a folder when they are asked for.  All end today."""

    def __init__(self, folder: Path, source: Recording, plan: Plan) -> None:
        self._folder = folder
        self._source = source
        self._plan = plan
        # Everything is over, so that everything can be compacted, and nothing is too old.
        self._end = time.time() // DAY * DAY

    def fleet(self) -> Samples:
        """Hosts that push each second, for an hour."""
        return self._hosts("pushes", self._plan.fleet, HOUR, 1)

    @property
    def most_series(self) -> str:
        """The name of the set with the most hosts, which is where memory shows."""
        hosts, rows = self._plan.fleet_hour
        return f"{rows // 6} min at 10 s, {hosts:,} hosts"

    def various(self) -> Iterator[Samples]:
        """One after the other: what is stored and asked for."""
        plan, seconds = self._plan, len(self._source.values)
        yield as_it_is(self._folder, "recording as it is", self._source, self._end - DAY)
        yield self._hosts(f"{seconds:,} s at 1 s, 20 hosts", 20, seconds, 1)
        yield self._hosts(_day(FEW), FEW, DAY // 10, 10)
        yield self._hosts(LATE, FEW, DAY // 10, 10, late=True)
        yield self._hosts(
            f"30 d at 60 s, hosts: {plan.month_hosts}", plan.month_hosts, 30 * DAY // 60, 60
        )
        yield self._hosts(self.most_series, *plan.fleet_hour, 10)
        minutes = plan.year_minutes
        rows = 365 * DAY // 60 // minutes
        yield self._hosts(f"1 y at {minutes} min, 1 host", 1, rows, 60 * minutes)

    @property
    def most_samples(self) -> str:
        """The name of the set that a store is started with."""
        return _day(self._plan.large_hosts)

    def large(self) -> Samples:
        """That set."""
        return self._hosts(self.most_samples, self._plan.large_hosts, DAY // 10, 10)

    def _hosts(
        self, name: str, hosts: int, rows: int, step_seconds: int, *, late: bool = False
    ) -> Samples:
        start = (self._end - rows * step_seconds) // DAY * DAY
        return stretched(
            self._folder, name, self._source, hosts, rows, step_seconds, start, late=late
        )


def _day(hosts: int) -> str:
    return f"24 h at 10 s, {hosts} hosts"


def questions(samples: Samples, plan: Plan) -> Iterator[Asked]:
    """What is asked of a set, by how long it is and how many hosts it has."""
    if samples.name == LATE:
        return
    if len(samples.hosts) >= MANY:
        yield _asked("1 h of one series of 100 hosts", samples, HOUR, plan, hosts=MANY)
        return
    span = round(samples.end - samples.start)
    if span == DAY:
        for length, text in ((HOUR, "1 h"), (DAY, "24 h")):
            yield _asked(f"{text} of 1 series", samples, length, plan)
            yield _asked(f"{text} of 100 series", samples, length, plan, columns=MANY)
        yield _asked("24 h of 1 series, every row", samples, DAY, plan, points=0)
        yield _asked("24 h of 100 series, every row", samples, DAY, plan, columns=MANY, points=0)
    elif span == 30 * DAY:
        yield _asked("30 d of 1 series", samples, span, plan)
        yield _asked("30 d of 100 series", samples, span, plan, columns=MANY)
    elif span == 365 * DAY:
        yield _asked("1 y of 1 series", samples, span, plan)


def _asked(
    text: str,
    samples: Samples,
    length: int,
    plan: Plan,
    *,
    hosts: int = 1,
    columns: int = 1,
    points: int = POINTS,
) -> Asked:
    """The same question about other hosts, other series and other times, the same for everybody."""
    chance = np.random.default_rng(len(text))
    span = round(samples.end - samples.start)
    made = []
    for _ in range(plan.asks if hosts == columns == 1 else plan.few_asks):
        start = samples.start + chance.integers(max(0, span - length) + 1) // 10 * 10
        whom = chance.choice(samples.hosts, hosts, replace=False)
        which = chance.choice(len(samples.keys), min(columns, len(samples.keys)), replace=False)
        made.append(
            Question(
                tuple(str(host) for host in whom),
                tuple(int(column) for column in sorted(which)),
                float(start),
                float(start + length),
                points,
            )
        )
    return Asked(text, tuple(made))
