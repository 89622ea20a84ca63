"""How what was found is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.door.costs import Alone, Asked
from bench.door.siege import Besieged, Flooded, LoggedIn, Overloaded
from bench.tables import table

MOST_MORE_MICROSECONDS = 200.0
"""The target: what a cached session may add to a request."""


def alone(rows: Sequence[Alone]) -> None:
    """Print the door by itself."""
    table(
        "The door by itself, in this process",
        ("who", "µs", "target"),
        [(row.name, f"{row.microseconds:.1f}", f"{MOST_MORE_MICROSECONDS:.0f}") for row in rows],
    )


def asked(title: str, rows: Sequence[Asked]) -> None:
    """Print costs of requests."""
    table(
        title,
        ("request", "server CPU µs", "more than bare"),
        [(row.name, f"{row.microseconds:.0f}", f"{row.more_than_open:+.0f}") for row in rows],
    )


def floods(rows: Sequence[Flooded]) -> None:
    """Print what good senders saw."""
    table(
        "99 good senders, 1 push/s each, while somebody floods",
        ("flood", "p50 ms", "p99 ms", "p99 / quiet p99", "good answers", "flood's answers"),
        [
            (
                row.name,
                f"{row.p50_ms:.1f}",
                f"{row.p99_ms:.1f}",
                f"{row.ratio:.2f}",
                _counts(row.good),
                _counts(row.flood),
            )
            for row in rows
        ],
    )
    print("target: one agent at 100/s at most 2 times quiet")


def overloaded(rows: Sequence[Overloaded]) -> None:
    """Print ten times the load."""
    table(
        f"{rows[0].hosts:,} hosts of 150 series, each second, for {rows[0].seconds:.0f} s",
        (
            "max_memory",
            "RSS MiB before",
            "at most",
            "at the end",
            "% of a core",
            "p99 ms of 200",
            "answers",
            "not sent",
        ),
        [
            (
                row.name,
                f"{row.before_mib:.0f}",
                f"{row.peak_mib:.0f}",
                f"{row.end_mib:.0f}",
                f"{100 * row.core_ratio:.0f}",
                f"{row.p99_ms:.0f}",
                _counts(row.statuses),
                f"{row.left_out:,}",
            )
            for row in rows
        ],
    )


def besieged(rows: Sequence[Besieged]) -> None:
    """Print sieges."""
    table(
        "20 good senders, 1 push/s each, and /healthz 20 times a second, beside",
        (
            "what",
            "push p50 ms",
            "p99 ms",
            "pushes",
            "health p99 ms",
            "health",
            "RSS MiB before, most, after",
            "sockets before, most, last, after",
        ),
        [
            (
                row.name,
                f"{row.push['p50_ms']:.1f}",
                f"{row.push['p99_ms']:.1f}",
                _counts(row.push["statuses"]),
                f"{row.health['p99_ms']:.1f}",
                _counts(row.health["statuses"]),
                " ".join(f"{each:.0f}" for each in row.rss_mib),
                " ".join(map(str, row.connections)),
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.load:
            print(f"{row.name}: {_counts(row.load)}")


def logged_in(row: LoggedIn) -> None:
    """Print logins."""
    print(f"\nargon2id: {row.hash_ms:.0f} ms of a processor and {row.hash_mib:.0f} MiB a hash")
    table(
        "50 logins at once",
        ("until", "s to the last", "answers", "quiet /healthz p99 ms", "p99", "max", "RSS MiB"),
        [
            (
                "all are answered",
                f"{row.seconds:.1f}",
                _counts(row.statuses),
                f"{row.quiet_p99_ms:.1f}",
                f"{row.p99_ms:.1f}",
                f"{row.max_ms:.1f}",
                " to ".join(f"{each:.0f}" for each in row.rss_mib),
            )
        ],
    )


def _counts(found: Mapping[str, Any]) -> str:
    parts = []
    for name, count in sorted(found.items()):
        said = f"({_counts(count)})" if isinstance(count, Mapping) else f"{count:,}"
        parts.append(f"{name}: {said}")
    return ", ".join(parts) or "-"
