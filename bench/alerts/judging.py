"""Judging a fleet, in a process of its own: ``python -m bench.alerts.judging``.

The evaluator is the server's; there is no server around it.  A tick is two parts: what came is
copied to the board, host by host, and every rule is judged.  Processor time is the process's own.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from bench.alerts.shapes import Size, Values, host, median, metrics, rules
from bench.ingest.hosts import keys
from bench.recording import Floats
from bench.store.calling import ROOT
from bench.tables import rss_mib
from monitor.alerting.shipped import shipped
from monitor.core.board import Board
from monitor.core.rules.judging import RuleJudge
from monitor.core.rules.matching import Columns
from monitor.core.rules.model import Rule
from monitor.core.rules.reading import read_layers
from monitor.model import Schema

TICK_SECONDS = 1.0
START = 1_000_000.0
"""Unix seconds of the first tick."""


@dataclass(frozen=True)
class Judged:
    """Medians of ticks, in milliseconds of processor time, and what it took to begin."""

    what: str
    copying_ms: float
    judging_ms: float
    worst_ms: float
    """Judging at most."""
    pending: int
    """Rows that held after the last tick."""


@dataclass(frozen=True)
class Fleet:
    """What a fleet costs to be known."""

    judged: tuple[Judged, ...]
    rules: int
    rows: int
    """Series that are judged, a rule's on a host each."""
    placing_seconds: float
    """Processor time to find every rule's series on every host, once."""
    board_mib: float
    rules_mib: float
    """What the process holds for rows and their state, the board not counted."""


class Judging:
    """A board with hosts on it, and rules that look at them."""

    def __init__(self, size: Size, *, is_shipped: bool = False) -> None:
        """With the rules of the bench, or those that are shipped over series of a real host."""
        self.size = size
        self._now = START
        before = _held_mib()
        self._board = Board()
        own, made = Schema(keys(size.series) if is_shipped else metrics(size)), Schema(())
        names = [host(number) for number in range(size.hosts)]
        self._places = [self._board.place(name, size.series) for name in names]
        self._periods = np.full(size.series, TICK_SECONDS)
        self._copy(Values(size).usual())
        on_board = _held_mib()
        began = time.process_time()
        self._rules = [
            RuleJudge(rule, TICK_SECONDS)
            for rule in (shipped_rules() if is_shipped else rules(size))
        ]
        columns = Columns(made, own)
        for name, place in zip(names, self._places, strict=True):
            for rule in self._rules:
                rule.place(name, {}, columns, place)
        self.placing_seconds = time.process_time() - began
        self.board_mib, self.rules_mib = on_board - before, _held_mib() - on_board

    def _copy(self, values: Floats) -> None:
        self._now += TICK_SECONDS
        board, instants = self._board, np.full(self.size.series, self._now)
        for place, row in zip(self._places, values, strict=True):
            board.put(place, row, instants, self._periods)
            board.clock(place, self._now, self._now)

    def tick(self, values: Floats) -> tuple[float, float]:
        """A tick with these values; milliseconds of copying and of judging."""
        began = time.process_time()
        self._copy(values)
        copied = time.process_time()
        for rule in self._rules:
            rule.judge(self._board, self._now, TICK_SECONDS)
        return (copied - began) * 1e3, (time.process_time() - copied) * 1e3

    def run(self, what: str, ticks: int, values: Callable[[int], Floats]) -> Judged:
        """So many ticks, and one before them that does not count."""
        self.tick(values(0))
        copied, judged = zip(
            *(self.tick(values(number)) for number in range(1, ticks + 1)), strict=True
        )
        pending = sum(1 for rule in self._rules for _ in rule.pending())
        return Judged(what, median(copied), median(judged), max(judged), pending)

    @property
    def rules(self) -> int:
        """Rules of which there is anything to judge."""
        return sum(rule.series > 0 for rule in self._rules)

    @property
    def rows(self) -> int:
        """Series that they judge."""
        return sum(rule.series for rule in self._rules)


def shipped_rules() -> list[Rule]:
    """The rules that are on from the first start."""
    return list(read_layers([shipped()])[0])


def _held_mib() -> float:
    gc.collect()
    return rss_mib(os.getpid())


def judged(size: Size, ticks: int, *, is_shipped: bool = False) -> Fleet:
    """A fleet in a process of its own."""
    asked = json.dumps({"size": asdict(size), "ticks": ticks, "is_shipped": is_shipped})
    said = subprocess.run(
        [sys.executable, "-m", "bench.alerts.judging"],
        cwd=ROOT,
        input=asked,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    found = json.loads(said)
    return Fleet(**{**found, "judged": tuple(Judged(**each) for each in found["judged"])})


def main() -> None:
    """Do as the line on standard input says."""
    asked = json.loads(sys.stdin.readline())
    size, ticks, is_shipped = Size(**asked["size"]), asked["ticks"], asked["is_shipped"]
    judging, values = Judging(size, is_shipped=is_shipped), Values(size)
    rows = [judging.run("few beyond a limit", ticks, lambda _: values.usual())]
    if not is_shipped:
        rows += [
            judging.run("all but few beyond, and staying", ticks, lambda _: values.breaching()),
            judging.run("nearly all change sides each tick", ticks, values.turning),
        ]
    fleet = Fleet(
        tuple(rows),
        judging.rules,
        judging.rows,
        judging.placing_seconds,
        judging.board_mib,
        judging.rules_mib,
    )
    print(json.dumps(asdict(fleet)))


if __name__ == "__main__":
    main()
