"""How many seeds tests of faults go through; `MONITOR_SEEDS` says how many times more."""

from __future__ import annotations

import os

TIMES = max(1, int(os.environ.get("MONITOR_SEEDS") or 1))
"""`make faults` sets it; a run of the suite goes through each number once."""


def rounds(usual: int) -> int:
    """How many to go through, of which the suite does `usual`."""
    return usual * TIMES
