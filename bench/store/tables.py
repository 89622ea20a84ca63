"""What is printed of a run, and how it stands to the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.store.shapes import Fed, Weight
from bench.tables import table

OURS = "awoooi-monitor"
VICTORIA = "VictoriaMetrics"

RAW, SAMPLES = "raw chunks", "samples"
"""What is compared of two stores: their samples, without an index of names or coarser tiers."""

MOST_MS = {"24 h of 1 series": 1.0, "24 h of 100 series": 15.0, "1 y of 1 series": 5.0}
"""Medians in process."""

LEAST_MILLIONS = 2.0
LEAST_TIMES_INGEST, LEAST_TIMES_READS = 2.0, 5.0
"""Against VictoriaMetrics."""

MOST_START_SECONDS = 2.0


@dataclass(frozen=True)
class Ingest:
    """What a store took in, in millions of samples for each second of its processor time."""

    store: str
    singly: bool
    millions: float
    settled_millions: float
    per_second: float


@dataclass(frozen=True)
class Load:
    """A set in a store."""

    store: str
    samples: str
    count: int
    fed: Fed
    settled: Fed
    sizes: Mapping[str, int]
    waits: Mapping[str, Sequence[float]]
    start_seconds: float
    """From the start with this set until the first answer."""
    faults: int
    """Series, of some, that did not come back as they were given."""
    weights: tuple[Weight, Weight, Weight, Weight]
    """Empty, fed, at the end, and started anew."""


def ingest(rows: Sequence[Ingest]) -> None:
    """The processor time of taking samples."""
    shown = []
    for row in rows:
        ours = next(each for each in rows if each.store == OURS and each.singly == row.singly)
        shown.append(
            (
                f"{row.store}, {'a frame a request' if row.singly else 'many at once'}",
                row.millions,
                row.settled_millions,
                f"{row.per_second:,.0f}",
                ours.millions / row.millions,
                ours.settled_millions / row.settled_millions,
            )
        )
    table(
        "Taking an hour at 1 s: millions of samples for each second of the store's processor time",
        ("", "acknowledged", "and compacted", "samples/s", "ours / its", "ours / its, compacted"),
        shown,
    )


def sizes(loads: Sequence[Load]) -> None:
    """Bytes a sample on disk."""
    shown = []
    for load in loads:
        ours = _of(loads, load.samples, OURS)
        for what, size in load.sizes.items():
            each = size / load.count
            shown.append(
                (
                    f"{load.samples}: {load.store}, {what}",
                    f"{load.count / 1e6:.2f}",
                    each,
                    each * load.count / ours.sizes[RAW],
                )
            )
    table(
        "On disk after compaction",
        ("", "M samples", "bytes a sample", "its / our raw chunks"),
        shown,
    )


def latencies(loads: Sequence[Load]) -> None:
    """How long answers took: ours in process, the peers' over HTTP."""
    shown = []
    for ours in (load for load in loads if load.store == OURS):
        same = [load for load in loads if load.samples == ours.samples]
        for text, own in ours.waits.items():
            for load in same:
                waits = load.waits[text]
                middle = float(np.median(waits))
                shown.append(
                    (
                        f"{text}: {load.store}",
                        len(waits),
                        middle,
                        float(np.percentile(waits, 99)),
                        middle / float(np.median(own)),
                    )
                )
    table(
        "Answers, ms; of 300 points but for every row (ours: min, average, max; theirs: average)",
        ("", "asked", "p50", "p99", "its p50 / ours"),
        shown,
    )


def starts(loads: Sequence[Load]) -> None:
    """Starting with a large set, and what it weighs."""
    shown = []
    for load in loads:
        empty, fed, last, anew = load.weights
        shown.append(
            (
                f"{load.samples}: {load.store}",
                load.count / 1e6,
                load.start_seconds,
                load.fed.per_cpu_second,
                (load.fed + load.settled).per_cpu_second,
                empty.now_mib,
                fed.now_mib,
                last.peak_mib,
                anew.now_mib,
            )
        )
    table(
        "Until the first answer after a start, and memory in MiB",
        (
            "",
            "M samples",
            "s",
            "M samples/CPU-s",
            "and compacted",
            "empty",
            "fed",
            "peak",
            "started anew",
        ),
        shown,
    )


def targets(pushes: Sequence[Ingest], loads: Sequence[Load], large: Sequence[Load]) -> None:
    """Whether the targets are met in this run."""
    table(
        "Against the targets",
        ("", "measured", "target", ""),
        [
            (what, value, wanted, "met" if met else "missed")
            for what, value, wanted, met in _targets(pushes, loads, large)
        ],
    )


def _targets(
    pushes: Sequence[Ingest], loads: Sequence[Load], large: Sequence[Load]
) -> Iterator[tuple[str, float, str, bool]]:
    for row in pushes:
        how = "a frame a request" if row.singly else "many at once"
        ours = next(each for each in pushes if each.store == OURS and each.singly == row.singly)
        if row.store == OURS:
            yield _least(f"M samples/CPU-s, {how}", row.millions, LEAST_MILLIONS)
        if row.store == VICTORIA:
            times = ours.settled_millions / row.settled_millions
            yield _least(f"times {VICTORIA}'s, {how}, compacted", times, LEAST_TIMES_INGEST)
    for load in loads:
        own = _of(loads, load.samples, OURS)
        if load.store == VICTORIA:
            theirs, size = (each / load.count for each in (load.sizes[SAMPLES], own.sizes[RAW]))
            yield f"bytes a sample, {load.samples}", size, f"below {theirs:.3f}", size < theirs
        for text, waits in load.waits.items():
            middle, ours_ms = float(np.median(waits)), float(np.median(own.waits[text]))
            if load.store == OURS and text in MOST_MS:
                yield _most(f"ms, {text}", middle, MOST_MS[text])
            if load.store == VICTORIA:
                times = middle / ours_ms
                yield _least(f"times as fast as {VICTORIA}, {text}", times, LEAST_TIMES_READS)
    for load in (*loads, *large):
        if load.faults:
            what = f"series of {load.samples} that {load.store} gives otherwise"
            yield _most(what, float(load.faults), 0)
    for load in large:
        if load.store == OURS:
            text = f"s until ready, {load.count / 1e6:.0f} M samples"
            yield _most(text, load.start_seconds, MOST_START_SECONDS)


def _least(what: str, value: float, least: float) -> tuple[str, float, str, bool]:
    return what, value, f"at least {least:.0f}", value >= least


def _most(what: str, value: float, most: float) -> tuple[str, float, str, bool]:
    return what, value, f"at most {most:.0f}", value <= most


def _of(loads: Sequence[Load], samples: str, store: str) -> Load:
    return next(load for load in loads if (load.samples, load.store) == (samples, store))
