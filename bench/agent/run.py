"""``python -m bench agent [--quick]``: what our agent takes of its host, and how it catches up.

It pushes to a `monitor serve` on this machine, whose cost is not counted, beside node_exporter,
collectd, netdata and glances, with at least a hundred processes to tell of.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass

from bench.agent import tables
from bench.agent.costs import measured
from bench.agent.replay import replayed


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    seconds: float
    spool_seconds: int


FULL = Plan(300.0, 86_400)
QUICK = Plan(60.0, 7_200)


def main() -> None:
    """Measure and print."""
    # Whatever ends this process, what it started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = QUICK if "--quick" in sys.argv else FULL
    began = time.monotonic()
    machine = measured(plan.seconds)
    tables.costs(machine)
    row = replayed(plan.spool_seconds)
    tables.replayed(row)
    tables.targets(machine, row)
    print(f"\n{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
