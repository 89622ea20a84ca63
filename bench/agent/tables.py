"""How what was found is printed."""

from __future__ import annotations

from bench.agent.costs import OURS, OURS_BARE, Machine
from bench.agent.replay import Replayed
from bench.tables import table

MOST_MS = 4.0
MOST_RSS_MIB = 30.0
LEAST_TIMES = 200.0
MOST_LIVE_MS = 2_000.0


def costs(machine: Machine) -> None:
    """Print what each program takes."""
    ours = next((row for row in machine.costs if row.name in {OURS, OURS_BARE}), None)
    rows = []
    for row in machine.costs:
        least, median, most = row.windows
        rows.append(
            (
                row.name,
                f"{row.milliseconds:.2f}",
                f"{least:.2f} {median:.2f} {most:.2f}",
                "-" if ours is None else f"{ours.milliseconds / row.milliseconds:.2f}",
                f"{row.rss_mib:.1f}",
                f"{row.anonymous_mib:.1f}",
                row.processes,
                row.series or "-",
            )
        )
    table(
        f"At 1 s for {machine.seconds:.0f} s, {machine.processes} processes on the machine",
        (
            "program",
            "CPU ms a second",
            "windows: least, median, most",
            "ours / its",
            "RSS MiB",
            "anonymous",
            "processes",
            "series",
        ),
        rows,
    )


def replayed(row: Replayed) -> None:
    """Print how a spool was brought in."""
    median, high, most = row.live_ms
    table(
        f"A spool of {row.frames:,} s at 1 s, {row.series} series, {row.spool_mib:.0f} MiB",
        (
            "until",
            "s",
            "times real time",
            "live late ms, median",
            "p99",
            "most",
            "agent, % of a core",
            "server",
            "agent RSS MiB",
            "missing",
            "double",
        ),
        [
            (
                "all is stored" if not row.left else f"given up, {row.left:,} left",
                f"{row.seconds:.0f}",
                f"{row.times:.0f}",
                f"{median:.0f}",
                f"{high:.0f}",
                f"{most:.0f}",
                f"{100 * row.agent_core:.0f}",
                f"{100 * row.server_core:.0f}",
                f"{row.agent_rss_mib:.1f}",
                row.missing,
                row.doubled,
            )
        ],
    )


def targets(machine: Machine, row: Replayed) -> None:
    """Print how it stands to what is promised."""
    ours = [each for each in machine.costs if each.name in {OURS, OURS_BARE}]
    peers = [each for each in machine.costs if each.name not in {OURS, OURS_BARE}]
    print()
    for each in ours:
        cheaper = [peer.name for peer in peers if peer.milliseconds <= each.milliseconds]
        print(
            f"{each.name}: {each.milliseconds:.2f} ms a second of {MOST_MS:.0f},"
            f" {each.rss_mib:.1f} MiB of {MOST_RSS_MIB:.0f};"
            f" cheaper: {', '.join(cheaper) or 'nobody'}"
        )
    print(
        f"replay: {row.times:.0f} times real time of {LEAST_TIMES:.0f}, live at most"
        f" {row.live_ms[2]:.0f} ms late of {MOST_LIVE_MS:.0f}, {row.missing} missing,"
        f" {row.doubled} double of 0"
    )
