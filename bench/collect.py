"""What reading this host costs: processor time of each collector, and of all, a tick.

Every collector is run in this process, one second apart as in the server, at its own
interval; a tick's cost is a run's cost divided by the ticks between two runs.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

from bench.tables import table
from monitor.collect import subjects
from monitor.collect.config import CollectConfig
from monitor.errors import Absent
from monitor.ports import Collector

TICKS = 30
"""Ticks measured, each a second of real time apart in the values but not in waiting."""

PROCESSES = 100
"""The targets are stated for so many processes: sleepers make up what is missing."""

TARGET_MS = {"all but processes": 2.5, "processes": 2.0}


def main() -> None:
    """Measure and print."""
    with sleepers(PROCESSES):
        count = _process_count()
        rows = [row for collector in subjects.build(CollectConfig()) if (row := _row(collector))]
    rows.sort(key=lambda row: -row[4])
    table(
        f"Collectors: CPU ms, {TICKS} runs each, {count} processes",
        ("collector", "every s", "ms a run (median)", "ms a run (max)", "ms a tick", "series"),
        rows,
    )
    processes = sum(row[4] for row in rows if row[0] == "processes")
    others = sum(row[4] for row in rows if row[0] != "processes")
    table(
        "Against the targets",
        ("what", "ms a tick", "target", "ratio"),
        [
            (name, value, TARGET_MS[name], value / TARGET_MS[name])
            for name, value in (("all but processes", others), ("processes", processes))
        ],
    )


def _row(collector: Collector) -> tuple[str, float, float, float, float, int] | None:
    costs = []
    series = 0
    try:
        for _ in range(TICKS):
            began = time.thread_time()
            reading = collector.collect(time.time())
            costs.append((time.thread_time() - began) * 1e3)
            series = len(reading.values)
            time.sleep(0.02)
    except Absent:
        return None
    finally:
        collector.close()
    every = max(collector.interval_seconds, 1.0)
    median = statistics.median(costs[1:])
    return collector.name, every, median, max(costs), median / every, series


def _process_count() -> int:
    return len(psutil.pids())


@contextlib.contextmanager
def sleepers(wanted: int) -> Iterator[None]:
    """See to it that at least so many processes are there."""
    missing = max(0, wanted - _process_count())
    sleepers = [
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        for _ in range(missing)
    ]
    try:
        time.sleep(0.5 if sleepers else 0)
        yield
    finally:
        for sleeper in sleepers:
            sleeper.kill()
        for sleeper in sleepers:
            sleeper.wait()


if __name__ == "__main__":
    main()
