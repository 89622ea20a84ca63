"""What a run found, and how it is printed: our figures, the peers', and the ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.stream.payloads import BURST
from bench.tables import table


@dataclass(frozen=True)
class Delivered:
    """A program's cost of deliveries at one number of readers."""

    name: str
    idle_kib: float
    """Resident memory for each idle reader."""
    moderate_us: float
    """Server CPU for each delivered event, at a moderate pace."""
    single_us: float
    """The same at the maximum."""
    single_per_second: float
    burst_us: float
    """Server CPU for each reader's burst."""
    separate_us: float | None
    """The same where a burst is published as separate events, if it is not anyway."""
    dropped: int
    """Events that were due and never came."""

    @property
    def events_per_cpu_second(self) -> float:
        """Events delivered in bursts for a second of server CPU."""
        return 1e6 * BURST / self.burst_us


@dataclass(frozen=True)
class Volume:
    """Bytes on the wire for each reader."""

    name: str
    single: float
    burst: float
    tick: float


@dataclass(frozen=True)
class Watched:
    """A tick each second and ten alerts a second."""

    name: str
    p50_ms: float
    p99_ms: float
    tick_p99_ms: float
    core_ratio: float
    dropped: int


@dataclass(frozen=True)
class Storm:
    """Every reader comes back at once."""

    name: str
    seconds: float
    cpu_us: float
    readers: int


def deliveries(readers: int, rows: Sequence[Delivered]) -> None:
    """Print one number of readers; the first row is ours."""
    ours = rows[0]
    table(
        f"{readers:,} readers: events of 300 B, one by one and {BURST} at once",
        (
            "program",
            "CPU µs, moderate",
            "CPU µs, maximum",
            "deliveries/s",
            f"µs a burst of {BURST}",
            "M events/CPU-s in bursts",
            "KiB an idle reader",
            "dropped",
        ),
        [
            (
                row.name,
                f"{row.moderate_us:.1f}",
                f"{row.single_us:.2f}",
                f"{row.single_per_second:,.0f}",
                f"{row.burst_us:.1f}",
                f"{row.events_per_cpu_second / 1e6:.2f}",
                f"{row.idle_kib:.1f}",
                f"{row.dropped:,}",
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.separate_us is not None:
            print(
                f"{row.name}, whose burst is one event of {BURST} lines; as {BURST} events:"
                f" {row.separate_us:.1f} µs, {BURST / row.separate_us:.2f} M events/CPU-s,"
                f" {row.separate_us / ours.burst_us:.2f} times ours"
            )
    table(
        f"{readers:,} readers: how many times better we are (below 1: worse)",
        ("than", "moderate", "maximum", "deliveries/s", "bursts", "memory"),
        [
            (
                row.name,
                f"{row.moderate_us / ours.moderate_us:.2f}",
                f"{row.single_us / ours.single_us:.2f}",
                f"{ours.single_per_second / row.single_per_second:.2f}",
                f"{row.burst_us / ours.burst_us:.2f}",
                f"{row.idle_kib / max(0.1, ours.idle_kib):.2f}",
            )
            for row in rows[1:]
        ],
    )


def volumes(rows: Sequence[Volume]) -> None:
    """Print bytes; the last row is ours, compressed."""
    ours = rows[0]
    table(
        "Bytes for each reader",
        ("program", "an alert", f"a burst of {BURST}", "a tick of 50 hosts", "of our plain tick"),
        [
            (
                row.name,
                f"{row.single:,.0f}",
                f"{row.burst:,.0f}",
                f"{row.tick:,.0f}",
                f"{100 * row.tick / ours.tick:.0f} %",
            )
            for row in rows
        ],
    )


def watched(rows: Sequence[Watched], readers: int) -> None:
    """Print latencies; the first row is ours."""
    ours = rows[0]
    table(
        f"{readers:,} readers, a tick of 50 hosts each second and 10 alerts/s",
        (
            "program",
            "alert p50 ms",
            "alert p99 ms",
            "tick p99 ms",
            "% of a core",
            "its CPU / ours",
            "dropped",
        ),
        [
            (
                row.name,
                f"{row.p50_ms:.1f}",
                f"{row.p99_ms:.1f}",
                f"{row.tick_p99_ms:.1f}" if row.tick_p99_ms else "-",
                f"{100 * row.core_ratio:.1f}",
                f"{row.core_ratio / ours.core_ratio:.2f}",
                f"{row.dropped:,}",
            )
            for row in rows
        ],
    )


def storms(rows: Sequence[Storm], readers: int) -> None:
    """Print the storm; the first row is ours."""
    ours = rows[0]
    table(
        f"{readers:,} readers leave and come back at once, until each has its first event",
        ("program", "seconds", "readers/s", "CPU µs a reader", "its time / ours"),
        [
            (
                row.name,
                f"{row.seconds:.2f}",
                f"{row.readers / row.seconds:,.0f}",
                f"{row.cpu_us:.0f}",
                f"{row.seconds / ours.seconds:.2f}",
            )
            for row in rows
        ],
    )
