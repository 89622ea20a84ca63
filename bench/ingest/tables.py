"""How what was found is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.ingest.decoding import Decoded
from bench.ingest.fleet import HOSTS, Pushed, Step
from bench.ingest.written import OURS, Plan, Row
from bench.tables import table

LEAST_NATIVE_MILLIONS = 2.0
LEAST_WRITTEN_MILLIONS = 0.3
GOOD_WRITTEN_MILLIONS = 0.9
MOST_CORE = 0.5
MOST_RSS_MIB = 600.0
MOST_P99_MS = 100.0


def decoded(rows: Sequence[Decoded]) -> None:
    """Print what forms cost."""
    table(
        "Frames of bytes, in this process, nothing behind them",
        ("form", "read by", "M samples/CPU-s", "µs a body", "samples", "bytes a sample"),
        [
            (
                row.form,
                row.how,
                f"{row.millions:.3f}",
                f"{row.microseconds:.0f}",
                row.samples,
                f"{row.bytes / row.samples:.1f}",
            )
            for row in rows
        ],
    )


def pushed(rows: Sequence[Pushed]) -> None:
    """Print fleets that push at their pace."""
    table(
        "150 series a second of each host into the durable store, with the rest of the server",
        (
            "over",
            "hosts",
            "s",
            "% of a core",
            "idle",
            "% waited for one",
            "µs a push",
            "RSS MiB before, most, end",
            "p50 ms",
            "p99 ms",
            "most ms",
            "sender late p99",
            "sent",
            "left out",
            "refused",
        ),
        [
            (
                row.over,
                f"{row.hosts:,}",
                f"{row.seconds:.0f}",
                f"{100 * row.core:.1f}",
                f"{100 * row.idle_core:.1f}",
                f"{100 * row.waited:.1f}",
                f"{row.microseconds:.0f}",
                " ".join(f"{each:.0f}" for each in row.rss_mib),
                *(f"{row.saw[name]:.1f}" for name in ("p50_ms", "p99_ms", "max_ms")),
                f"{row.saw['late_p99_ms']:.1f}",
                f"{row.saw['sent']:,}",
                f"{row.saw['left_out']:,}",
                counts(row.saw["refused"]),
            )
            for row in rows
        ],
    )
    table(
        "The store after the server was killed (-9), against what was acknowledged",
        ("over", "sent", "acknowledged", "of those lost", "stored unacknowledged", "double"),
        [
            (
                row.over,
                f"{row.audit.sent:,}",
                f"{row.audit.acked:,}",
                row.audit.lost,
                row.audit.unasked,
                row.audit.doubled,
            )
            for row in rows
        ],
    )


def climbed(hosts: int, seconds: float, rows: Sequence[Step]) -> None:
    """Print how fast it could go."""
    table(
        f"{hosts:,} hosts faster and faster, {seconds:.0f} s each",
        (
            "pushes/s",
            "samples/s",
            "% of a core",
            "% waited for one",
            "RSS MiB",
            "p50 ms",
            "p99 ms",
            "acknowledged",
            "first over its bound",
        ),
        [
            (
                f"{hosts * row.per_second:,.0f}",
                f"{hosts * row.per_second * 150:,.0f}",
                f"{100 * row.core:.0f}",
                f"{100 * row.waited:.0f}",
                f"{row.rss_mib:.0f}",
                f"{row.saw['p50_ms']:.1f}",
                f"{row.saw['p99_ms']:.1f}",
                f"{row.saw['acked']:,} of {row.saw['sent']:,}",
                row.over or "-",
            )
            for row in rows
        ],
    )


def written(plan: Plan, rows: Sequence[Row]) -> None:
    """Print three receivers of remote write."""
    ours = next((row for row in rows if row.name == OURS), None)
    table(
        f"Remote write of {plan.series:,} series, {plan.instants} instants a round,"
        f" median of {plan.rounds} rounds in turns",
        (
            "receiver",
            "M samples/CPU-s",
            "ours / its",
            "M/CPU-s when new",
            "M samples/s",
            "RSS MiB, most",
            "read back",
        ),
        [
            (
                row.name,
                f"{row.per_cpu_second / 1e6:.3f}",
                "-" if ours is None else f"{ours.per_cpu_second / row.per_cpu_second:.2f}",
                f"{row.new_per_cpu_second / 1e6:.3f}",
                f"{row.per_second / 1e6:.3f}",
                f"{row.rss_mib:.0f}",
                row.found,
            )
            for row in rows
        ],
    )


def targets(forms: Sequence[Decoded], fleets: Sequence[Pushed], rows: Sequence[Row]) -> None:
    """Print how it stands to what is promised."""
    print()
    for row in forms:
        if row.how.startswith("ours") and row.form.startswith("native MessagePack"):
            print(
                f"{row.form}, {row.how}: {row.millions:.2f} M samples/CPU-s"
                f" of {LEAST_NATIVE_MILLIONS}"
            )
    for fleet in fleets:
        if fleet.hosts == HOSTS:
            print(
                f"{fleet.hosts:,} agents: {fleet.core:.2f} of a core of {MOST_CORE},"
                f" {fleet.rss_mib[1]:.0f} MiB of {MOST_RSS_MIB:.0f},"
                f" p99 {fleet.saw['p99_ms']:.0f} ms of {MOST_P99_MS:.0f},"
                f" {fleet.audit.lost} lost and {fleet.audit.doubled} double of 0"
            )
    for receiver in rows:
        if receiver.name == OURS:
            print(
                f"remote write: {receiver.per_cpu_second / 1e6:.2f} M samples/CPU-s of"
                f" {LEAST_WRITTEN_MILLIONS}, then {GOOD_WRITTEN_MILLIONS}"
            )


def counts(found: Mapping[str, int]) -> str:
    """Counts by what they are of."""
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(found.items())) or "-"
