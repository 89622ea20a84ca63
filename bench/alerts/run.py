"""``python -m bench alerts [--quick]``: what judging costs, and how soon an alert is known.

First the evaluator over a large fleet, then a running server from a sample to those who are told,
then two weeks judged again, then beside Prometheus, which judges the same series.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass

from bench.alerts import tables
from bench.alerts.arrival import arrival
from bench.alerts.beside import beside
from bench.alerts.judging import judged
from bench.alerts.past import past
from bench.alerts.shapes import Size
from tests.nginx import NotFetched


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    fleet: Size
    ticks: int
    breaches: int
    backtests: int
    """Of each rule."""
    beside: Size
    rounds: int
    """Of each kind of values beside Prometheus."""
    times: int
    """Judgements of Prometheus in a round."""


FULL = Plan(Size(10_000, 150, 100), 60, 200, 5, Size(1_000, 100, 100), 5, 5)
QUICK = Plan(Size(10_000, 150, 100), 12, 40, 1, Size(250, 100, 100), 3, 2)

PAST_HOSTS, PAST_DAYS = 100, 14.0


def main() -> None:
    """Measure and print."""
    # Whatever ends this process, what it started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = QUICK if "--quick" in sys.argv else FULL
    began = time.monotonic()
    fleet, ticks = plan.fleet, plan.ticks
    tables.judged("rules of two severities", fleet, judged(fleet, ticks))
    tables.judged("shipped rules", fleet, judged(fleet, ticks, is_shipped=True))
    try:
        tables.arrived(arrival(plan.breaches))
    except (AssertionError, RuntimeError) as error:  # the rest takes minutes, and is worth having
        print(f"how soon an alert is known was not measured: {error}", file=sys.stderr)
    tables.past(PAST_HOSTS, PAST_DAYS, past(PAST_HOSTS, PAST_DAYS, plan.backtests))
    try:
        tables.beside(plan.beside, beside(plan.beside, plan.rounds, plan.times))
    except NotFetched as error:
        print(error, file=sys.stderr)
    print(f"\n{time.monotonic() - began:.0f} s in all; medians")
