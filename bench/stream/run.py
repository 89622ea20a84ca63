"""``python -m bench stream [--quick]``: the event stream beside its peers, in one run.

Every program gets the same events, the same readers and the same questions, one after the
other; each figure is the median of three windows, and what is compared was measured minutes
apart on the same machine.  Load comes from a process of its own on loopback.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from bench.stream import accounts, tables
from bench.stream.control import allow_many_descriptors
from bench.stream.payloads import BURST
from bench.stream.programs import (
    NCHAN,
    OURS,
    OURS_IN_MEMORY,
    PROGRAMS,
    SEPARATE,
    LoadProcess,
    Program,
)
from tests.nginx import NotFetched

OPEN_SECONDS = 60.0
"""How long all readers may take to be served; the slowest peer needs some ten seconds."""

IN_FLIGHT = 2
"""Publications under way at once at the maximum: the next waits while one is written, and no
two are joined into one write, so that single events stay single."""

MODERATE_PER_SECOND = 10_000
"""Deliveries a second at a moderate pace, however many readers share them."""

SETTLE_SECONDS = 1.0
"""Between the last connection and the look at memory."""

VOLUME_TIMES = 4
"""Publications of each kind whose bytes are counted: they differ little."""

GZIP = "Accept-Encoding: gzip\r\n"


Row = TypeVar("Row")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    readers: tuple[int, ...]
    runs: int
    moderate_seconds: float
    full_seconds: float
    watched_seconds: float
    watched_readers: int = 1_000
    storm_readers: int = 4_000
    volume_readers: int = 20


FULL = Plan((100, 1_000, 4_000), 3, 1.3, 1.0, 6.0)
QUICK = Plan((100, 1_000), 1, 1.0, 0.7, 4.0, storm_readers=1_000)


def main() -> None:
    """Measure and print."""
    plan = QUICK if "--quick" in sys.argv else FULL
    allow_many_descriptors()
    began = time.monotonic()
    programs = _there(PROGRAMS)
    for readers in plan.readers:
        tables.deliveries(readers, _each(programs, partial(_delivered, readers, plan)))
    programs.remove(OURS_IN_MEMORY)  # what follows does not lean on the log
    plain = _each(programs, partial(_volume, plan, ""))
    tables.volumes([*plain, _volume(plan, GZIP, OURS)])
    tables.watched(_each(programs, partial(_watched, plan)), plan.watched_readers)
    tables.storms(_each(programs, partial(_storm, plan)), plan.storm_readers)
    print(f"\n{time.monotonic() - began:.0f} s in all; medians of {plan.runs}")


def _there(programs: tuple[Program, ...]) -> list[Program]:
    """The programs that this machine can run; says which it cannot, and why."""
    found = list(programs)
    try:
        with NCHAN.running():
            pass
    except (NotFetched, AssertionError) as error:
        print(f"{NCHAN.name} is left out: {error}", file=sys.stderr)
        found.remove(NCHAN)
    return found


def _each(programs: list[Program], measure: Callable[[Program], Row]) -> list[Row]:
    """A row for each program; a peer that cannot do it is named and has none."""
    rows = []
    for program in programs:
        try:
            rows.append(measure(program))
        except RuntimeError as error:
            if program is OURS:
                raise
            print(f"{program.name} fails: {error}", file=sys.stderr)
    return rows


def _median(answers: list[dict[str, Any]], *names: str) -> float:
    """The median of one figure over some windows; a figure inside others by its path."""
    values = []
    for answer in answers:
        value: Any = answer
        for name in names:
            value = value[name]
        values.append(float(value))
    return statistics.median(values)


def _per_delivery(answers: list[dict[str, Any]]) -> float:
    """Median of server CPU per delivered event, in microseconds."""
    costs = [float(answer["cpu"]) / max(1, int(answer["deliveries"])) for answer in answers]
    return 1e6 * statistics.median(costs)


def _lost(answers: list[dict[str, Any]]) -> int:
    return sum(int(answer["expected"] - answer["deliveries"]) for answer in answers)


def _delivered(readers: int, plan: Plan, program: Program) -> tables.Delivered:
    with program.running() as server, LoadProcess() as load:
        before = accounts.rss_kib(server.pids)
        load.open(server, readers, OPEN_SECONDS)
        load.call("settle", seconds=SETTLE_SECONDS)
        idle = (accounts.rss_kib(server.pids) - before) / readers
        rate = MODERATE_PER_SECOND / readers
        moderate, singles, bursts, separate = [], [], [], []
        for _ in range(plan.runs):
            moderate.append(
                load.call("paced", streams=[("s", 1, rate)], seconds=plan.moderate_seconds)
            )
            singles.append(_full(load, "s", 1, plan))
            bursts.append(_full(load, "b", BURST, plan))
            if SEPARATE in server.triggers:
                separate.append(_full(load, SEPARATE, BURST, plan))
    return tables.Delivered(
        name=program.name,
        idle_kib=idle,
        moderate_us=_per_delivery(moderate),
        single_us=_per_delivery(singles),
        single_per_second=statistics.median(
            answer["deliveries"] / answer["seconds"] for answer in singles
        ),
        burst_us=_per_delivery(bursts) * BURST,
        separate_us=_per_delivery(separate) * BURST if separate else None,
        dropped=_lost(moderate) + _lost(singles) + _lost(bursts) + _lost(separate),
    )


def _full(load: LoadProcess, trigger: str, alerts: int, plan: Plan) -> dict[str, Any]:
    return load.call(
        "closed", trigger=trigger, alerts=alerts, window=IN_FLIGHT, seconds=plan.full_seconds
    )


def _volume(plan: Plan, headers: str, program: Program) -> tables.Volume:
    sizes, due = {}, 0
    with program.running() as server, LoadProcess() as load:
        load.open(server, plan.volume_readers, OPEN_SECONDS, headers, keep=True)
        load.call("settle", seconds=SETTLE_SECONDS)
        for trigger, alerts in (("s", 1), ("b", BURST), ("t", 0)):
            answer = load.call("volume", trigger=trigger, times=VOLUME_TIMES)
            due += alerts * VOLUME_TIMES
            if answer["kept_alerts"] != due or answer["compressed"] != bool(headers):
                raise RuntimeError(f"{program.name}: {answer}, and {due} alerts were due")
            sizes[trigger] = answer["bytes"]
    name = f"{program.name}, gzip" if headers else program.name
    return tables.Volume(name, sizes["s"], sizes["b"], sizes["t"])


def _watched(plan: Plan, program: Program) -> tables.Watched:
    """A tick a second and ten alerts a second, as a fleet in trouble has them."""
    streams = [("t", 0, 1.0), ("s", 1, 10.0)]
    with program.running() as server, LoadProcess() as load:
        load.open(server, plan.watched_readers, OPEN_SECONDS)
        load.call("settle", seconds=SETTLE_SECONDS)
        answers = [
            load.call("paced", streams=streams, seconds=plan.watched_seconds / plan.runs)
            for _ in range(plan.runs)
        ]
    return tables.Watched(
        name=program.name,
        p50_ms=_median(answers, "alerts", "p50"),
        p99_ms=_median(answers, "alerts", "p99"),
        tick_p99_ms=_median(answers, "ticks", "p99"),
        core_ratio=statistics.median(answer["cpu"] / answer["seconds"] for answer in answers),
        dropped=_lost(answers),
    )


def _storm(plan: Plan, program: Program) -> tables.Storm:
    with program.running() as server, LoadProcess() as load:
        load.open(server, plan.storm_readers, OPEN_SECONDS)
        load.call("settle", seconds=SETTLE_SECONDS)
        answers = []
        for _ in range(plan.runs):
            answers.append(load.call("reopen", limit=OPEN_SECONDS))
            load.call("settle", seconds=0.3)
    return tables.Storm(
        name=program.name,
        seconds=_median(answers, "seconds"),
        cpu_us=1e6 * _median(answers, "cpu") / plan.storm_readers,
        readers=plan.storm_readers,
    )


if __name__ == "__main__":
    main()
