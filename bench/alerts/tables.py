"""How what was found is printed."""

from __future__ import annotations

from collections.abc import Sequence

from bench.alerts.arrival import GROUP_WAIT_SECONDS, Arrived
from bench.alerts.beside import Beside
from bench.alerts.judging import Fleet
from bench.alerts.past import Past
from bench.alerts.shapes import Size
from bench.tables import table

MOST_TICK_MS = 50.0
MOST_ARRIVAL_MS = 1_100.0
MOST_PAST_SECONDS = 5.0


def judged(what: str, size: Size, fleet: Fleet) -> None:
    """Print what a tick takes."""
    table(
        f"{fleet.rules} {what} over {size.hosts:,} hosts of {size.series} series:"
        f" {fleet.rows:,} judgements a tick",
        ("values", "copying, CPU ms", "judging, CPU ms", "at most", "both", "pending rows"),
        [
            (
                row.what,
                f"{row.copying_ms:.1f}",
                f"{row.judging_ms:.1f}",
                f"{row.worst_ms:.1f}",
                f"{row.copying_ms + row.judging_ms:.1f}",
                f"{row.pending:,}",
            )
            for row in fleet.judged
        ],
    )
    print(
        f"to place all hosts once: {fleet.placing_seconds:.1f} s of a processor;"
        f" RSS: {fleet.board_mib:.0f} MiB the board, {fleet.rules_mib:.0f} MiB rows and their state"
        f" ({fleet.rules_mib * 2**20 / fleet.rows:.0f} bytes a row);"
        f" target of a tick: {MOST_TICK_MS:.0f} ms"
    )


def arrived(rows: Sequence[Arrived]) -> None:
    """Print how soon an alert is known."""
    table(
        "From the push of a breaching sample; the server's tick is a second",
        ("until it is", "breaches", "p50 ms", "p99 ms", "at most", "missing"),
        [
            (
                row.where,
                row.count,
                f"{row.p50_ms:.0f}",
                f"{row.p99_ms:.0f}",
                f"{row.most_ms:.0f}",
                row.missing,
            )
            for row in rows
        ],
    )
    print(
        f"target: {MOST_ARRIVAL_MS:.0f} ms to a reader (p99);"
        f" the webhook's group waits {GROUP_WAIT_SECONDS:.0f} s"
    )


def past(hosts: int, days: float, rows: Sequence[Past]) -> None:
    """Print what backtests take."""
    table(
        f"A backtest of one rule over {days:.0f} days of {hosts} hosts",
        ("rule", "series", "buckets", "of s", "would have fired", "s", "CPU s"),
        [
            (
                row.what,
                row.series,
                f"{row.steps:,}",
                f"{row.resolution_seconds:.0f}",
                row.firings,
                f"{row.seconds:.2f}",
                f"{row.cpu_seconds:.2f}",
            )
            for row in rows
        ],
    )
    print(f"target: {MOST_PAST_SECONDS:.0f} s")


def beside(size: Size, rows: Sequence[Beside]) -> None:
    """Print ours and Prometheus."""
    table(
        f"Debian's Prometheus, {size.rules} rules, {size.hosts:,} hosts:"
        " processor time of a series held against one limit",
        ("values", "ours ns", "Prometheus ns", "its / ours", "it missed", "its RSS MiB"),
        [
            (
                row.what,
                f"{row.ours_ns:.0f}",
                f"{row.theirs_ns:,.0f}",
                f"{row.ratio:,.0f}",
                row.missed,
                f"{row.their_mib:.0f}",
            )
            for row in rows
        ],
    )
