"""What was acknowledged against what the store has once its server has been killed.

The ledger is a series that counts each host's frames, so that a bucket of one frame must hold
exactly one number, and all rows together must be as many as were sent.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from bench.door.house import host as named
from bench.ingest.hosts import LEDGER
from bench.recording import Floats
from monitor.store.config import LONGEST_SECONDS, MOST_BYTES, RetentionConfig
from monitor.store.sqlite import SqliteStore, open_store

KEEP = RetentionConfig(*(LONGEST_SECONDS,) * 5, size=MOST_BYTES)
"""Nothing goes while it is counted."""


@dataclass(frozen=True)
class Audit:
    """How a ledger and a store agree."""

    sent: int
    acked: int
    lost: int
    """Acknowledged, and not in the store as it was sent."""
    unasked: int
    """In the store without having been acknowledged: the kill came between."""
    doubled: int
    """Rows of the store beyond one for each frame that was sent."""


def audit(data: Path, path: Path, others: int) -> Audit:
    """Compare the ledger in `path` with the store of a server that has ended.

    The frames are a second apart; `others` a host were sent before those of the ledger.
    """
    return asyncio.run(_audit(data, path, others))


async def _audit(data: Path, path: Path, others: int) -> Audit:
    told: dict[str, Any] = dict(np.load(path))
    sent, acked, at = told["sent"], told["acked"], told["at"]
    values = told["counted"][:, None] + np.cumsum(sent, axis=1) - 1
    store = await open_store(data, KEEP)
    try:
        found = np.zeros(sent.shape, bool)
        for number, instants in enumerate(at):
            stored = await ledger(store, named(number), float(instants[0]), len(instants))
            found[number] = stored == values[number]
        await store.settle()
    finally:
        await store.close()
    rows = stored_rows(data, [named(number) for number in range(len(at))])
    expected = others * len(at) + int(np.count_nonzero(sent & found))
    return Audit(
        int(sent.sum()),
        int(acked.sum()),
        int(np.count_nonzero(acked & ~found)),
        int(np.count_nonzero(~acked & sent & found)),
        max(0, rows - expected),
    )


async def ledger(store: SqliteStore, host: str, first: float, count: int) -> Floats:
    """The ledger's value in each of so many seconds; NaN where there is none, or more than one."""
    start = float(math.floor(first))
    found = await store.range([(host, LEDGER)], start, start + count, count, raw=True)
    if len(found.starts) != count or found.starts[0] != start:
        raise RuntimeError(f"{count} seconds came in {len(found.starts)} buckets")
    series = found.series[0]
    values: Floats = np.where(series.minimum == series.maximum, series.average, np.nan)
    return values


def stored_rows(data: Path, names: Sequence[str], end: float = math.inf) -> int:
    """Rows of these hosts in chunks of rows that begin before an instant."""
    select = (
        "SELECT hosts.name, total(chunks.rows) FROM chunks JOIN hosts ON hosts.id = chunks.host"
        " WHERE level = 0 AND first < ? GROUP BY hosts.name"
    )
    with closing(apsw.Connection(str(data / "series.db"), flags=apsw.SQLITE_OPEN_READONLY)) as file:
        rows = {str(name): int(count) for name, count in file.execute(select, (end,))}
    return sum(rows.get(name, 0) for name in names)


def gone(pid: int) -> None:
    """Wait until a child of this process has ended with all of its threads; it stays a child."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
