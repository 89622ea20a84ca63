"""``python -m bench ingest [--quick]``: what it costs to take in what a fleet sends.

First the forms alone, then a running server with a thousand agents, then the same server faster
and faster, then remote write of the same requests into this server and two others.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass

from bench.ingest import fleet, tables, written
from bench.ingest.decoding import decoded
from bench.stream.control import allow_many_descriptors


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    runs: int
    """Of the forms alone."""
    seconds: float
    step_seconds: float
    posts_seconds: float
    written: written.Plan
    hosts: int = fleet.HOSTS


FULL = Plan(9, 300.0, 20.0, 60.0, written.Plan(30_000, 40, 3))
QUICK = Plan(3, 60.0, 8.0, 15.0, written.Plan(20_000, 20, 3))


def main() -> None:
    """Measure and print."""
    # Whatever ends this process, what it started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = QUICK if "--quick" in sys.argv else FULL
    allow_many_descriptors()
    began = time.monotonic()
    forms = decoded(plan.runs)
    tables.decoded(forms)
    fleets = [
        fleet.pushed("websocket", plan.hosts, plan.seconds),
        fleet.pushed("websocket", plan.hosts // 10, plan.posts_seconds),
        fleet.pushed("post", plan.hosts // 10, plan.posts_seconds),
    ]
    tables.pushed(fleets)
    tables.climbed(plan.hosts, plan.step_seconds, fleet.climbed(plan.hosts, plan.step_seconds))
    rows = list(written.compared(plan.written))
    tables.written(plan.written, rows)
    tables.targets(forms, fleets, rows)
    print(f"\n{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
