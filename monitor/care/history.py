"""What the doctor sees in ``series.db``: tiers, what waits to be compacted, what was put aside."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import apsw

from monitor.care.report import Report
from monitor.core.quantity import format_about, format_about_bytes
from monitor.errors import excerpt
from monitor.store import opening
from monitor.store.config import TIERS, RetentionConfig
from monitor.store.lasting import Figures, estimated, figures, lasting, measured
from monitor.store.retention import Retention

NAME = opening.NAME

MOST_ASIDE = 20
"""Damaged chunks that are told one by one."""

MOST_JOURNAL_BYTES = 512 * 1024 * 1024
"""A longer journal is a sign that nothing is compacted."""


def examine(
    report: Report,
    connection: apsw.Connection,
    retention: RetentionConfig,
    now: float,
    into: dict[str, Any],
) -> None:
    """Add what is found to a report, and the figures to `into`.  Raises `apsw.Error`."""
    found = figures(connection)
    into |= {"hosts": found.hosts, "series": found.series}
    _tiers(report, found, retention, into)
    _waiting(report, connection, into)
    _aside(report, connection, into)
    _held(report, connection, retention, now, into)


def _tiers(
    report: Report, found: Figures, retention: RetentionConfig, into: dict[str, Any]
) -> None:
    names = (*TIERS, "process tables")
    rates = measured(found, estimated(found.hosts, found.series, 1.0))
    into["tiers"] = {}
    for keep, (name, lasts) in enumerate(zip(names, lasting(rates, retention), strict=True)):
        first, last = found.firsts[keep], found.lasts[keep]
        into["tiers"][name] = {
            "bytes": found.sizes[keep],
            "chunks": found.rows[keep],
            "oldest": _finite(first),
            "newest": _finite(last),
            "lasts_seconds": lasts.seconds,
            "ends_by": "size" if lasts.by_size else "age",
        }
        if not found.rows[keep]:
            report.well(f"tier {name}", "nothing is in it yet")
            continue
        ends = "by size" if lasts.by_size else "by age"
        report.well(
            f"tier {name}",
            f"{format_about_bytes(found.sizes[keep])} in {found.rows[keep]} chunks,"
            f" {instant(first)} to {instant(last)}; lasts {format_about(lasts.seconds)} ({ends})",
        )
    report.well("hosts", f"{found.hosts}, with {found.series} series")


def _waiting(report: Report, connection: apsw.Connection, into: dict[str, Any]) -> None:
    waiting: list[Any] = connection.execute(
        "SELECT count(*), total(bytes) FROM chunks WHERE open = 1"
    ).fetchall()
    journal: list[Any] = connection.execute(
        "SELECT count(*), total(length(data)) FROM journal"
    ).fetchall()
    (chunks, chunk_bytes), (rows, row_bytes) = waiting[0], journal[0]
    into["open"] = {"chunks": chunks, "bytes": int(chunk_bytes)}
    into["journal"] = {"rows": rows, "bytes": int(row_bytes)}
    text = (
        f"{chunks} open chunks ({format_about_bytes(chunk_bytes)}),"
        f" journal {format_about_bytes(row_bytes)}"
    )
    if row_bytes > MOST_JOURNAL_BYTES:
        report.wrong("not yet compacted", text, "look into the server's log for why it is behind")
    else:
        report.well("not yet compacted", text)


def _aside(report: Report, connection: apsw.Connection, into: dict[str, Any]) -> None:
    count: Any = connection.execute("SELECT count(*) FROM quarantine").get
    rows: list[Any] = connection.execute(
        "SELECT coalesce(name, host), level, first, last, reason FROM quarantine"
        " LEFT JOIN hosts ON hosts.id = quarantine.host ORDER BY found DESC LIMIT ?",
        (MOST_ASIDE,),
    ).fetchall()
    into["quarantine"] = {
        "chunks": count,
        "newest": [
            {
                "host": str(host),
                "tier": _tier(level),
                "first": _finite(first),
                "last": _finite(last),
                "reason": str(why),
            }
            for host, level, first, last, why in rows
        ],
    }
    if not count:
        report.well("damaged chunks", "none")
        return
    told = "; ".join(
        f"{excerpt(str(host))} {_tier(level)} {instant(first)} to {instant(last)}:"
        f" {excerpt(str(why))}"
        for host, level, first, last, why in rows
    )
    more = f" and {count - len(rows)} more" if count > len(rows) else ""
    report.wrong(
        "damaged chunks",
        f"{count} were put aside and are shown as gaps: {told}{more}",
        "look after the disk; a backup from before may still have these stretches",
    )


def _held(
    report: Report,
    connection: apsw.Connection,
    retention: RetentionConfig,
    now: float,
    into: dict[str, Any],
) -> None:
    held = Retention(retention).plan(connection, now).held
    into["retention_held"] = held.text if held else None
    if held is None:
        report.well("retention", "nothing is held back")
    else:
        report.wrong("retention", held.text, "see docs/care.md, section Retention")


def _tier(level: Any) -> str:
    return TIERS[level] if isinstance(level, int) and 0 <= level < len(TIERS) else "?"


def _finite(at: Any) -> float | None:
    """An instant that JSON can say."""
    return at if isinstance(at, float) and math.isfinite(at) else None


def instant(at: float) -> str:
    """An instant for people, in UTC to the minute."""
    try:
        return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%MZ}"
    except (ValueError, OverflowError, OSError, TypeError):
        return f"the instant {at}"
