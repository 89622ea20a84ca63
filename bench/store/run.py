"""``python -m bench store [--quick]``: the series store beside its peers, in one run.

Every store gets the same samples and the same questions, one store after the other, minutes
apart on the same machine.  What is told of a store is what its own process used.
"""

from __future__ import annotations

import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np

from bench.recording import recording
from bench.store import tables
from bench.store.ours import Ours
from bench.store.peer import NotFetched
from bench.store.peers import Prometheus, VictoriaMetrics
from bench.store.plan import FULL, QUICK, Plan, Sets, questions
from bench.store.samples import Samples
from bench.store.shapes import Fed, Question, Store

PLACE = Path(__file__).resolve().parent.parent.parent
"""A disk, where /tmp may be memory."""

SAME = 1e-12
"""Values that differ by less are the same: VictoriaMetrics keeps decimal numbers."""

CHECKED = 5
"""Series of each set that are compared with what was given."""

MOST_CHECKED = 5_000
"""Rows of such a series."""

Kind = type[Ours] | type[VictoriaMetrics] | type[Prometheus]


def main() -> None:
    """Measure and print."""
    # Whatever ends this process, the peers that it started end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = QUICK if "--quick" in sys.argv else FULL
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=PLACE))
    try:
        bench = _Bench(folder, plan)
        pushes = bench.ingest()
        tables.ingest(pushes)
        loads = list(bench.loads())
        tables.sizes(loads)
        tables.latencies(loads)
        large = [load for load in loads if load.samples == bench.sets.most_samples]
        large = large or bench.each(bench.sets.large(), weigh=True)
        tables.starts([*(load for load in loads if load.samples == bench.sets.most_series), *large])
        tables.targets(pushes, loads, large)
    finally:
        shutil.rmtree(folder)
    print(f"\n{time.monotonic() - began:.0f} s in all; medians of {plan.runs}")


class _Bench:
    """What is measured, of every store that is there."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._number = count(1)
        self._kinds: list[Kind] = [Ours]
        for kind in (VictoriaMetrics, Prometheus):
            try:
                kind(folder / "there")
            except NotFetched as error:
                print(f"left out: {error}", file=sys.stderr)
            else:
                self._kinds.append(kind)
        source = recording()
        varying = int(np.sum(np.ptp(source.values, axis=0) > 0))
        print(f"{source.origin}: {len(source.keys)} series, {varying} of them ever change")
        self.sets = Sets(folder, source, plan)

    @contextmanager
    def _running(self, kind: Kind, samples: Samples) -> Iterator[Store]:
        """A new store; its folder goes with it."""
        folder = self._folder / f"store-{next(self._number)}"
        store = kind(folder)
        try:
            store.start(samples)
            yield store
        finally:
            store.close()
            shutil.rmtree(folder)

    def ingest(self) -> list[tables.Ingest]:
        """What taking samples costs, one push at a time and many at once."""
        samples = self.sets.fleet()
        rows = []
        for singly in (True, False):
            for kind in self._kinds:
                whole = kind is Ours or not singly
                last = samples.rows if whole else self._plan.peers_rows
                runs = [
                    self._taken(kind, samples, last, singly=singly) for _ in range(self._plan.runs)
                ]
                rows.append(_middle(kind, runs, singly=singly))
        self._forget(samples)
        return rows

    def _taken(self, kind: Kind, samples: Samples, last: int, *, singly: bool) -> tuple[Fed, Fed]:
        """What rows up to this one cost a new store, and with compaction."""
        with self._running(kind, samples) as store:
            fed = store.feed(samples, 0, last, singly=singly)
            return fed, fed + store.settle()

    def loads(self) -> Iterator[tables.Load]:
        """Each set in each store: what it weighs on the disk, and how fast it is read."""
        for samples in self.sets.various():
            yield from self.each(samples)

    def each(self, samples: Samples, *, weigh: bool = False) -> list[tables.Load]:
        """A set in every store; a peer that cannot take it is named and left out."""
        rows = []
        for kind in self._kinds:
            try:
                with self._running(kind, samples) as store:
                    rows.append(self._load(store, samples, weigh=weigh))
            except RuntimeError as error:
                if kind is Ours:
                    raise
                print(f"{kind.name} fails at {samples.name}: {error}", file=sys.stderr)
        self._forget(samples)
        return rows

    def _load(self, store: Store, samples: Samples, *, weigh: bool) -> tables.Load:
        empty = store.weight()
        fed = store.feed(samples, 0, samples.rows, singly=False)
        fed_weight = store.weight()
        settled = store.settle()
        faults = _faults(store, samples)
        asked = list(questions(samples, self._plan)) if not weigh else []
        waits = {each.text: store.ask(each.questions) for each in asked}
        last, starts = store.weight(), []
        for _ in range(self._plan.runs if weigh else 1):
            store.close()
            starts.append(store.start(samples, _some(samples)))
        return tables.Load(
            store=store.name,
            samples=samples.name,
            count=samples.count,
            fed=fed,
            settled=settled,
            sizes=store.sizes(),
            waits=waits,
            start_seconds=statistics.median(starts),
            faults=faults,
            weights=(empty, fed_weight, last, store.weight()),
        )

    def _forget(self, samples: Samples) -> None:
        Path(samples.path).unlink()


def _middle(kind: Kind, runs: Sequence[tuple[Fed, Fed]], *, singly: bool) -> tables.Ingest:
    return tables.Ingest(
        kind.name,
        singly,
        statistics.median(fed.per_cpu_second for fed, _ in runs),
        statistics.median(settled.per_cpu_second for _, settled in runs),
        statistics.median(fed.samples / fed.seconds for fed, _ in runs),
    )


def _some(samples: Samples) -> Question:
    """A chart of one series' last hour."""
    return Question(samples.hosts[-1:], (0,), samples.end - 3_600, samples.end, 60)


def _faults(store: Store, samples: Samples) -> int:
    """How many series of some do not come back as they were given: who loses samples is fast."""
    chance = np.random.default_rng(1)
    faults = 0
    for _ in range(CHECKED):
        host = int(chance.integers(len(samples.hosts)))
        column = int(chance.integers(len(samples.keys)))
        first = int(chance.integers(samples.rows // 2))
        last = min(samples.rows, first + MOST_CHECKED)
        _, values = samples.stretch(host, first, last)
        start, end = (samples.start + row * samples.step_seconds for row in (first, last))
        found = store.values(samples.hosts[host], column, start, end)
        given = values[:, column]
        if len(found) != len(given) or not np.allclose(found, given, rtol=SAME, atol=0):
            print(
                f"{store.name} gave {len(found)} values, of {len(given)} given, or others:"
                f" {samples.name}, {samples.hosts[host]}, {samples.keys[column]},"
                f" rows {first} to {last}",
                file=sys.stderr,
            )
            faults += 1
    return faults


if __name__ == "__main__":
    main()
