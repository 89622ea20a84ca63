"""``python -m bench door [--quick]``: what the door costs, and what stands when one leans on it.

The server is `monitor serve` in a process of its own, with accounts and tokens; every load is a
process too.  What is compared is measured in turns within one run, and medians are given.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from bench.door import costs, peer, siege, tables
from bench.stream.control import allow_many_descriptors
from tests.nginx import NotFetched


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    runs: int
    """Of the door by itself."""
    windows: int
    requests: int
    """Of a window; not more than 900, after which a connection ends."""
    rounds: int
    flood_seconds: float
    overload_seconds: float
    siege_seconds: float
    crowd: int = 1_000


FULL = Plan(9, 30, 150, 3, 20.0, 600.0, 60.0)
QUICK = Plan(5, 10, 100, 3, 6.0, 30.0, 25.0)

SMALL_BOUND = "256MiB"
"""A `max_memory` that ten times the load comes to, as it does not come to the default."""


def main() -> None:
    """Measure and print."""
    plan = QUICK if "--quick" in sys.argv else FULL
    allow_many_descriptors()
    began = time.monotonic()
    tables.alone(costs.alone(plan.runs))
    tables.asked("A request over HTTP", costs.over_http(plan.windows, plan.requests))
    try:
        rows = peer.passwords(plan.windows, plan.requests)
        tables.asked("Who asks, ours and Prometheus (bcrypt, cost 10)", rows)
    except NotFetched as error:
        print(error, file=sys.stderr)
    tables.floods(siege.floods(plan.rounds, plan.flood_seconds))
    tables.overloaded(
        [
            siege.overload("", plan.overload_seconds),
            siege.overload(SMALL_BOUND, plan.overload_seconds, is_polite=False),
        ]
    )
    tables.besieged(siege.besieged(plan.siege_seconds, plan.crowd))
    tables.logged_in(siege.logins())
    print(f"\n{time.monotonic() - began:.0f} s in all; medians of {plan.rounds} or more windows")
