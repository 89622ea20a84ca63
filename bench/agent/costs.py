"""What each program takes of the machine.

All run at once, so that what disturbs one disturbs the others.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from bench.agent import programs
from bench.agent.programs import NotThere, Program
from bench.collect import PROCESSES, sleepers
from bench.door.house import People, house
from bench.ingest.fleet import PLACE
from bench.stream.accounts import cpu
from bench.tables import cpu_seconds

WARM_SECONDS = 10.0
"""Caches fill, and what is done once is done."""

WINDOW_SECONDS = 10.0

OURS = "awoooi-monitor, monitor agent"
OURS_BARE = "awoooi-monitor, python -m monitor.agent"


@dataclass(frozen=True)
class Cost:
    """What a program took."""

    name: str
    milliseconds: float
    """Of a processor, each second."""
    windows: tuple[float, float, float]
    """The same in windows of ten seconds: least, median and most."""
    rss_mib: float
    anonymous_mib: float
    """Of that, what is nobody else's: no program text, no shared libraries."""
    processes: int
    series: int


@dataclass(frozen=True)
class Machine:
    """What there was to tell of."""

    processes: int
    seconds: float
    costs: tuple[Cost, ...]


def measured(seconds: float) -> Machine:
    """Every program that there is, for so long."""
    with ExitStack() as stack:
        stack.enter_context(sleepers(PROCESSES))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".bench-", dir=PLACE)))
        server = stack.enter_context(house(People(agents=2, readers=1), place=PLACE))
        kinds: list[Callable[[], AbstractContextManager[Program]]] = [
            partial(programs.ours, OURS, ["monitor", "agent"], folder / "ours", server, 0),
            partial(programs.ours, OURS_BARE, ["monitor.agent"], folder / "bare", server, 1),
            partial(programs.node_exporter, folder / "node_exporter"),
            partial(programs.collectd, folder / "collectd", writes=False),
            partial(programs.collectd, folder / "collectd-csv", writes=True),
            partial(programs.netdata, folder / "netdata"),
            partial(programs.glances, folder / "glances"),
        ]
        running = list(_entered(stack, kinds))
        time.sleep(WARM_SECONDS)
        count = len(psutil.pids())
        windows: list[list[float]] = [[] for _ in running]
        began = then = time.monotonic()
        before = [_scheduled(each) for each in running]
        first = [_used(each) for each in running]
        for _ in range(max(1, round(seconds / WINDOW_SECONDS))):
            time.sleep(WINDOW_SECONDS)
            now, used = time.monotonic(), [_scheduled(each) for each in running]
            for place, window in enumerate(windows):
                window.append(1e3 * (used[place] - before[place]) / (now - then))
            before, then = used, now
        took = time.monotonic() - began
        means = [1e3 * (_used(each) - was) / took for each, was in zip(running, first, strict=True)]
        return Machine(count, seconds, tuple(map(_cost, running, means, windows)))


def _scheduled(program: Program) -> float:
    """Processor seconds of its threads that live, to the nanosecond: for short windows."""
    total = 0.0
    for pid in program.pids:
        with contextlib.suppress(OSError):
            total += cpu([pid])
    return total


def _used(program: Program) -> float:
    """The same with threads that have ended, in hundredths of a second."""
    total = 0.0
    for pid in program.pids:
        with contextlib.suppress(OSError):
            total += cpu_seconds(pid)
    return total


def _entered(
    stack: ExitStack, kinds: list[Callable[[], AbstractContextManager[Program]]]
) -> Iterator[Program]:
    for kind in kinds:
        try:
            yield stack.enter_context(kind())
        except NotThere as error:
            print(f"left out: {error}", file=sys.stderr)


def _cost(program: Program, mean: float, windows: list[float]) -> Cost:
    total = anonymous = 0.0
    pids = program.pids
    for pid in pids:
        with contextlib.suppress(OSError):
            own, apart = memory(pid)
            total, anonymous = total + own, anonymous + apart
    try:
        series = program.series()
    except (OSError, ValueError) as error:
        print(f"{program.name}: its series cannot be counted: {error}", file=sys.stderr)
        series = 0
    spread = min(windows), statistics.median(windows), max(windows)
    return Cost(program.name, mean, spread, total, anonymous, len(pids), series)


def memory(pid: int) -> tuple[float, float]:
    """Resident memory of a process in MiB, and how much of it is anonymous."""
    kib = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"VmRSS", "RssAnon"}:
            kib[name] = int(value.split()[0])
    return kib.get("VmRSS", 0) / 1024, kib.get("RssAnon", 0) / 1024
