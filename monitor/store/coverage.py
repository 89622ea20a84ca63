"""What stretches of which hosts' time a store covers, and how much of it would be lost.

Coverage is time × hosts: an hour of one host that two tiers hold is covered once.  It is told
from the chunks' first and last instants alone, which two indexes hold, so that no chunk is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import apsw
import numpy as np
from numpy.typing import NDArray

from monitor.core.rollups import TIERS
from monitor.core.series import Floats

LEVELS = 1 + len(TIERS)
"""Rows, and the tiers above them."""

_STEPS = np.array([0.0, *(tier.seconds for tier in TIERS)])
"""How far the last bucket of a chunk reaches beyond its start, by level."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """One entry a chunk: its host, for how long it is kept, and its stretch in unix seconds.

    An open chunk is kept as long as the coarsest tier until it is compacted: see `Retention`.
    """

    hosts: NDArray[np.int64]
    keeps: NDArray[np.int64]
    starts: Floats
    ends: Floats
    lasts: Floats
    is_open: NDArray[np.bool_]

    def seconds(self, cutoffs: Sequence[float], keep: int | None = None) -> float:
        """The time × hosts that is covered from each tier's cutoff on, by one tier or by all."""
        kept = np.where(self.is_open, LEVELS - 1, self.keeps)
        starts = np.maximum(self.starts, np.asarray(cutoffs, dtype=np.float64)[kept])
        seen = self.ends > starts
        if keep is not None:
            seen &= self.keeps == keep
        if not seen.any():
            return 0.0
        starts, ends, hosts = starts[seen], self.ends[seen], self.hosts[seen]
        # The hosts' times are laid one after the other, so that one pass serves them all.
        begin, span = starts.min(), ends.max() - starts.min() + 1.0
        offsets = np.unique(hosts, return_inverse=True)[1] * span - begin
        starts, ends = starts + offsets, ends + offsets
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
        reached = np.concatenate([[-1.0], np.maximum.accumulate(ends)[:-1]])
        return float(np.maximum(ends - np.maximum(starts, reached), 0.0).sum())

    def without_oldest(self, counts: Sequence[int]) -> Coverage:
        """What is left when so many of each tier's oldest closed chunks are gone."""
        stays = np.ones(len(self.hosts), dtype=bool)
        for keep, count in enumerate(counts):
            here = np.flatnonzero((self.keeps == keep) & ~self.is_open)
            stays[here[np.argsort(self.lasts[here], kind="stable")][:count]] = False
        return replace(
            self,
            hosts=self.hosts[stays],
            keeps=self.keeps[stays],
            starts=self.starts[stays],
            ends=self.ends[stays],
            lasts=self.lasts[stays],
            is_open=self.is_open[stays],
        )

    def closed(self, keep: int) -> int:
        """How many closed chunks a tier has."""
        return int(((self.keeps == keep) & ~self.is_open).sum())

    def going(self, keep: int, cutoff: float) -> Floats:
        """First and last instants of a tier's closed chunks that end before a cutoff, (n, 2)."""
        here = (self.keeps == keep) & ~self.is_open & (self.lasts < cutoff)
        return np.stack([self.starts[here], self.lasts[here]], axis=1)


def read(connection: apsw.Connection) -> Coverage:
    """The coverage of a store.  A row whose columns cannot be right is left out."""
    rows = np.array(
        connection.execute(
            "SELECT id, host, level, first, last FROM chunks INDEXED BY chunks_by_host"
        ).fetchall(),
        dtype=np.float64,
    ).reshape(-1, 5)
    rows = rows[np.argsort(rows[:, 0])]
    keeps = rows[:, 2].astype(np.int64)
    # A chunk of rows that is kept as long as a tier says so only in the other index.
    longer = _numbers(connection, "SELECT id, keep FROM chunks WHERE keep > 0", 2)
    longer = longer[np.isin(longer[:, 0], rows[:, 0])]
    keeps[np.searchsorted(rows[:, 0], longer[:, 0])] = longer[:, 1].astype(np.int64)
    waiting = _numbers(connection, "SELECT id FROM chunks WHERE open = 1", 1)
    is_open = np.isin(rows[:, 0], waiting[:, 0])
    levels = rows[:, 2].astype(np.int64)
    good = (levels >= 0) & (levels < LEVELS) & (keeps >= 0) & (keeps < LEVELS)
    good &= np.isfinite(rows[:, 3]) & np.isfinite(rows[:, 4])
    rows, keeps, is_open, levels = rows[good], keeps[good], is_open[good], levels[good]
    return Coverage(
        hosts=rows[:, 1].astype(np.int64),
        keeps=keeps,
        starts=rows[:, 3],
        ends=rows[:, 4] + _STEPS[levels],
        lasts=rows[:, 4],
        is_open=is_open,
    )


def _numbers(connection: apsw.Connection, query: str, columns: int) -> Floats:
    found = np.array(connection.execute(query).fetchall(), dtype=np.float64)
    return found.reshape(-1, columns)
