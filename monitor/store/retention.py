"""What goes when: history that is older than its tier is kept, and the oldest above a size.

Work on a connection inside a transaction of its writer's, in small steps, so that nothing that
waits for the writer waits long.  What would delete much at once is held back by
`monitor.store.brake`; what is carried out is written down with the first chunk that goes.

An open chunk, or rows that the coarser tiers have not got yet, are no tier's to let go of: they
are kept until those have them, at most as long as the coarsest tier.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apsw

from monitor.core.quantity import format_about, format_about_bytes
from monitor.ports import StoreWarning
from monitor.store import coverage
from monitor.store.brake import Applied, Brake, Held, Judged, record, since_start, totals
from monitor.store.config import TIERS, RetentionConfig
from monitor.store.coverage import LEVELS
from monitor.store.schema import SNAPSHOTS
from monitor.store.shares import SHARES

STEP_CHUNKS = 64
"""Rows of the store that go in one step."""

STEP_BYTES = 8 * 1024 * 1024
"""What they hold together: some milliseconds' work, beyond the first."""

HELD = "retention_held"
"""The code of the warning that something is not deleted until somebody says so."""

_CLOSED_BY_AGE = """
SELECT chunks.id, bytes, host FROM chunks LEFT JOIN hosts ON hosts.id = chunks.host
WHERE keep = :keep AND last < :cutoff
  AND (last < :coarsest
       OR (open = 0 AND (level > 1 OR last < coalesce(rolled_to, last + 1))))
ORDER BY last LIMIT :most
"""
_SNAPSHOTS_BY_AGE = """
SELECT id, bytes, host FROM snapshots WHERE last < :cutoff ORDER BY last LIMIT :most
"""
_OLDEST_CHUNK = """
SELECT id, bytes, host FROM chunks WHERE keep = :keep AND open = :open ORDER BY last LIMIT 1
"""
_OLDEST_SNAPSHOT = "SELECT id, bytes, host FROM snapshots ORDER BY last LIMIT 1"
_QUARANTINE_BY_AGE = """
DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine WHERE last < ? LIMIT ?)
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is let go of: what ends before its tier's cutoff, and the oldest above a size.

    `cutoffs` are unix seconds by how long a chunk is kept, from raw to the coarsest tier.
    """

    cutoffs: tuple[float, ...]
    most_bytes: int
    held: StoreWarning | None


@dataclass(frozen=True, slots=True)
class _Going:
    """A row that goes: its table, number and bytes, and its host."""

    table: str
    id: int
    bytes: int
    host: int


class Retention:
    """The retention of one store, as its writer carries it out.

    With `accept` what the brake would hold is carried out once, and written down.
    """

    def __init__(
        self,
        config: RetentionConfig,
        accept: bool = False,
        since_start: Callable[[], float] = since_start,
    ) -> None:
        self._brake = Brake(config, accept, since_start)
        self._ages = config.ages
        self._planned: tuple[float, Plan, Applied | None] | None = None
        self._frozen: Applied | None = None
        self.held: StoreWarning | None = None
        """What is not deleted until somebody says so; none where all is as it is configured."""
        self.touched: set[int] = set()
        """The hosts that lost something in the last step, by their numbers in the store."""

    def plan(self, connection: apsw.Connection, now: float) -> Plan:
        """What is to go at `now`, in unix seconds; it only looks."""
        judged = self._brake.judge(connection, now)
        self.held = self._warning(connection, judged) if judged.held else None
        by_clock = any(held.clock_ahead_seconds for held in judged.held)
        self._frozen = judged.applied if by_clock else None
        self._ages = judged.applied.ages
        plan = Plan(judged.applied.cutoffs, judged.applied.size, self.held)
        self._planned = (now, plan, None if by_clock else judged.applied)
        return plan

    def write_down(self, connection: apsw.Connection) -> None:
        """Within a transaction: what was planned holds from now on, however soon this run ends."""
        if self._planned is not None and self._planned[2] is not None:
            record(connection, self._planned[2])

    def step(self, connection: apsw.Connection, now: float) -> int:
        """Let a little go, within a transaction; how many bytes went, 0 when all is done.

        The plan is made anew whenever `now` is another.
        """
        if self._planned is None or self._planned[0] != now:
            self.plan(connection, now)
        if self._planned is None:
            raise AssertionError
        _, plan, carried_out = self._planned
        if carried_out is not None:
            record(connection, carried_out)
        gone, rows = 0, 0
        self.touched = set()
        for going in self._next(connection, plan):
            if rows >= STEP_CHUNKS or (rows and gone + going.bytes > STEP_BYTES):
                break
            # The names of tables are constants of this package.
            connection.execute(f"DELETE FROM {going.table} WHERE id = ?", (going.id,))  # noqa: S608
            gone, rows = gone + going.bytes, rows + 1
            self.touched.add(going.host)
        if not rows:
            connection.execute(_QUARANTINE_BY_AGE, (min(plan.cutoffs), STEP_CHUNKS))
            self._brake.accepted()
        return max(gone, 1) if rows else 0

    def oldest_accepted(self, now: float) -> float:
        """A frame from before this instant would be let go of at once.

        While a clock that has jumped is not believed, what it was before still holds.
        """
        if self._frozen is not None:
            return min(*self._frozen.cutoffs, now - max(self._ages))
        return now - max(self._ages)

    def _next(self, connection: apsw.Connection, plan: Plan) -> Iterator[_Going]:
        """What goes next, one after the other; whoever takes one deletes it before the next."""
        coarsest = min(plan.cutoffs)
        for keep, cutoff in enumerate(plan.cutoffs):
            asked = {"keep": keep, "cutoff": cutoff, "coarsest": coarsest, "most": STEP_CHUNKS}
            yield from _rows(connection, "chunks", _CLOSED_BY_AGE, asked)
        asked = {"cutoff": plan.cutoffs[0], "most": STEP_CHUNKS}
        yield from _rows(connection, "snapshots", _SNAPSHOTS_BY_AGE, asked)
        while sum(there := totals(connection)) > plan.most_bytes:
            going = _by_size(connection, there)
            if going is None:
                break
            yield going

    def _warning(self, connection: apsw.Connection, judged: Judged) -> StoreWarning:
        """What is held, in one text."""
        there, bytes_ = coverage.read(connection), totals(connection)
        said = [_sentence(held, there, bytes_) for held in judged.held]
        said.append(
            "Nothing of that was deleted.  If it is meant, run the server once with"
            " --accept-retention"
        )
        return StoreWarning(HELD, " ".join(said))


def _rows(
    connection: apsw.Connection, table: str, query: str, asked: Mapping[str, float]
) -> Iterator[_Going]:
    found: list[Any] = connection.execute(query, asked).fetchall()
    for number, size, host in found:
        yield _Going(table, number, size, host)


def _by_size(connection: apsw.Connection, there: list[int]) -> _Going | None:
    """The oldest of the tier that is fullest for its share; open chunks when all else is gone."""
    fullest = sorted(range(len(there)), key=lambda keep: there[keep] / SHARES[keep], reverse=True)
    for is_open in (0, 1):
        for keep in fullest:
            if keep == SNAPSHOTS:
                table, query, asked = "snapshots", _OLDEST_SNAPSHOT, {}
            else:
                table, query, asked = "chunks", _OLDEST_CHUNK, {"keep": keep, "open": is_open}
            if found := next(_rows(connection, table, query, asked), None):
                return found
    return None


# What is said of what is held


def _sentence(held: Held, there: coverage.Coverage, bytes_: list[int]) -> str:
    going = "; ".join(_what_would_go(held, there, bytes_))
    if held.clock_ahead_seconds:
        return (
            f"This machine's clock is {format_about(held.clock_ahead_seconds)} further than"
            " expected: it is wrong, or the server was off for long, or a backup was put back."
            f" By it {held.lost:.0%} of some tier's history would be too old: {going}."
            " If it is wrong, set it right and nothing is lost; if it is right, what coarser"
            " tiers keep, too, goes after a day."
        )
    asked = "size" if held.size is not None else "ages"
    return (
        f"The {asked} in [retention] would delete {held.lost:.0%} of the history that no coarser"
        f" tier keeps: {going}.  What was in force before still is."
    )


def _what_would_go(held: Held, there: coverage.Coverage, bytes_: list[int]) -> Iterator[str]:
    for keep in range(LEVELS):
        stretches = there.going(keep, held.cutoffs[keep])
        if len(stretches):
            start, end = float(stretches[:, 0].min()), float(stretches[:, 1].max())
            about = bytes_[keep] * len(stretches) / max(1, there.closed(keep))
            yield (
                f"{TIERS[keep]} from {_date(start)} to {_date(end)}"
                f" (about {format_about_bytes(about)})"
            )


def _date(at: float) -> str:
    """An instant for people, in UTC to the minute."""
    try:
        return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"the instant {at:.0f}"
