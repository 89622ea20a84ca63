"""How long each tier of history lasts: to its full age, or until its part of the size is full.

From what a store has gathered so far, or from an estimate where it has not gathered enough.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from monitor.core.rollups import TIERS
from monitor.store.brake import totals
from monitor.store.config import RetentionConfig
from monitor.store.coverage import LEVELS
from monitor.store.schema import SNAPSHOTS
from monitor.store.shares import levelled
from monitor.store.snapshots import EVERY_SECONDS

VALUE_BYTES = 0.5
"""Of one observed number in a compressed chunk.  Hosts differ: 0.15 to 0.8 have been seen."""

BUCKET_BYTES = 2.5
"""Of a bucket of one series with its five numbers: 1 to 2.5 have been seen in full chunks."""

TABLE_BYTES = 500.0
"""Of a table of some 25 processes, packed with those beside it."""

MEASURED_SECONDS = 10_800.0
MEASURED_BUCKETS = 20
"""A tier that spans less has not gathered enough to be measured by."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a store holds, by how long it is kept: raw, the four tiers, and the tables.

    `firsts` and `lasts` are unix seconds, NaN where there is nothing; a `size` is in bytes.
    """

    hosts: int
    series: int
    sizes: tuple[int, ...]
    rows: tuple[int, ...]
    firsts: tuple[float, ...]
    lasts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Lasting:
    """How long a tier lasts, and whether its age ends it or the size does."""

    seconds: float
    by_size: bool


def figures(connection: apsw.Connection) -> Figures:
    """What a store holds.  Raises `apsw.Error` where it cannot be read."""
    rows, firsts, lasts = [], [], []
    for keep in range(LEVELS + 1):
        table, where = ("snapshots", "1") if keep == SNAPSHOTS else ("chunks", f"keep = {keep}")
        found = f"FROM {table} WHERE {where}"  # our own words and a number
        count: Any = connection.execute(f"SELECT count(*) {found}").get
        first: Any = connection.execute(f"SELECT first {found} ORDER BY last LIMIT 1").get
        last: Any = connection.execute(f"SELECT max(last) {found}").get
        rows.append(int(count))
        firsts.append(float(first) if first is not None else math.nan)
        lasts.append(float(last) if last is not None else math.nan)
    hosts: Any = connection.execute("SELECT count(*) FROM hosts").get
    return Figures(
        hosts,
        _series(connection),
        tuple(totals(connection)),
        tuple(rows),
        tuple(firsts),
        tuple(lasts),
    )


def _series(connection: apsw.Connection) -> int:
    """How many series all hosts send now: the columns of each one's newest rows.

    Where none stand in a chunk yet, its newest schema counts.

    Raises `ValueError` where a schema is damaged.
    """
    columns: dict[int, int] = {}
    series = 0
    newest: list[Any] = connection.execute(
        "SELECT coalesce((SELECT schema FROM chunks WHERE host = hosts.id AND level = 0"
        " ORDER BY last DESC LIMIT 1),"
        " (SELECT max(schema) FROM host_schemas WHERE host = hosts.id)) FROM hosts"
    ).fetchall()
    for (schema,) in newest:
        if schema is not None and schema not in columns:
            keys: Any = connection.execute("SELECT keys FROM schemas WHERE id = ?", (schema,)).get
            try:
                columns[schema] = zlib.decompress(keys).count(b"\n") + 1 if keys else 0
            except (zlib.error, TypeError) as error:
                raise ValueError(f"schema {schema} is damaged: {error}") from None
        series += columns.get(schema, 0)
    return series


def estimated(hosts: int, series: int, interval_seconds: float) -> list[float]:
    """Bytes a second of raw, the four tiers and the tables, for so many hosts and series."""
    rates = [VALUE_BYTES * series / interval_seconds]
    rates += [BUCKET_BYTES * series / max(tier.seconds, interval_seconds) for tier in TIERS]
    return [*rates, TABLE_BYTES * hosts / max(EVERY_SECONDS, interval_seconds)]


def measured(found: Figures, otherwise: Sequence[float]) -> list[float]:
    """Bytes a second as the store gathered them; where it spans too little, as `otherwise`."""
    rates = []
    for keep, estimate in enumerate(otherwise):
        step = TIERS[keep - 1].seconds if 0 < keep < LEVELS else 0.0
        span = found.lasts[keep] - found.firsts[keep] + step
        enough = span >= max(MEASURED_SECONDS, MEASURED_BUCKETS * step)
        rates.append(found.sizes[keep] / span if enough else estimate)
    return rates


def lasting(rates: Sequence[float], config: RetentionConfig) -> list[Lasting]:
    """How long each of raw, the tiers and the tables lasts at these rates in bytes a second."""
    ages = [*config.ages, config.raw]
    needs = [rate * age for rate, age in zip(rates, ages, strict=True)]
    found = []
    for need, given, rate, age in zip(
        needs, levelled(needs, config.size), rates, ages, strict=True
    ):
        by_size = given < need
        found.append(Lasting(given / rate if by_size else age, by_size))
    return found
