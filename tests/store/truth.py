"""What runs that are cut off give to a store, and whether a file holds that and nothing else.

A host's story is a fixed row of batches: which frames each has, and every value in them, follows
from the host's name and the batch's number alone.  So whoever checks need only know how many
batches were acknowledged.  Frames come late, twice, with other values for an instant that is
taken, in changing schemas and with holes; there is a counter that begins anew at times.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import apsw
import numpy as np
from numpy.typing import NDArray

from monitor.core.rollups import (
    EARLY_SECONDS,
    LAST,
    MAXIMUM,
    MINIMUM,
    TOTAL,
    WEIGHT,
    Rollup,
    joined,
    observed,
    rolled,
)
from monitor.core.series import LOOKBACK_SECONDS, Floats
from monitor.model import Frame, Schema, Snapshot, key
from monitor.store import snapshots
from monitor.store.hosts import HostView
from monitor.store.loading import Loaded, loaded
from monitor.store.reading import SECONDS, Reader
from monitor.store.shapes import counting
from tests.frames import frame, snapshot

BASE = 1_795_996_800.0
"""A midnight, and the beginning of a block."""

BATCH_SECONDS = 2_400.0
"""What one batch holds of a host's time: a block of twelve hours is 18 of them."""

BATCHES = 4_000
"""More than any run comes to."""

LONGEST_LATE = 30
"""Batches: 20 hours, a little less than what is accepted."""

RAW_SECONDS = 26 * 3_600.0
"""For how long runs keep rows: longer than frames are late, so that twice is always noticed."""

SPACINGS = {"eight": 8.0, "ten": 10.0, "minute": 60.0}
"""The hosts: one with every tier, and two whose rows stand in for one or two of them."""

COUNT = key("system.disk.io", device="vda", direction="read")
KEYS = ("load", "heat", "rare", COUNT)
COUNTERS = counting(KEYS)

COLUMNS: tuple[tuple[int, ...], ...] = ((0, 1, 3), (3, 0), (0, 1, 2, 3))
"""The KEYs that frames have, by turns."""

SCHEMAS = tuple(Schema(tuple(KEYS[column] for column in columns)) for columns in COLUMNS)

RIVAL = 1e6
"""The values of a second frame for an instant: more than any first one has."""

TABLES_OF = "eight"
TABLES_AT = (100.0, 300.0)
"""Which host sends tables, and when within a batch."""


@dataclass(frozen=True)
class Batch:
    """Frames of one append: rows of a story by number, and their values, NaN where they lack."""

    rows: NDArray[np.int64]
    values: Floats


class Story:
    """Everything that one host ever sends."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.spacing = SPACINGS[host]
        self.each = int(BATCH_SECONDS / self.spacing)
        chance = np.random.default_rng(zlib.crc32(host.encode()))
        rows = BATCHES * self.each
        self.at = BASE + np.arange(rows) * self.spacing + chance.integers(-4, 5, rows) / 1000
        load = np.round(chance.random(rows) * 100, 1)
        heat = chance.integers(0, 4, rows) * 10.0
        heat[chance.random(rows) < 0.05] = np.nan
        heat[chance.random(rows) < 0.003] = np.inf
        count = np.cumsum(chance.integers(0, 1_000, rows)).astype(float)
        count -= np.maximum.accumulate(np.where(chance.random(rows) < 0.002, count, 0.0))
        self.values = np.column_stack((load, heat, np.arange(rows) % 7.0, count))
        self.shapes = np.arange(rows) // 250 % len(COLUMNS)
        late = np.where(chance.random(rows) < 0.05, chance.integers(1, 5, rows), 0)
        late += np.where(chance.random(rows) < 0.003, chance.integers(1, LONGEST_LATE, rows), 0)
        self.batch_of = np.arange(rows) // self.each + np.minimum(late, LONGEST_LATE)
        silent = np.arange(rows) // 97 % 11 == 5
        self.batch_of[silent] = -1

    def batch(self, number: int) -> Batch:
        """What comes in one append."""
        chance = np.random.default_rng([zlib.crc32(self.host.encode()), number])
        first = max(0, number - LONGEST_LATE) * self.each
        here = first + np.flatnonzero(self.batch_of[first : (number + 1) * self.each] == number)
        # Repeats, and rivals of rows that came before; a rival has every KEY.
        of = self.batch_of[first : number * self.each]
        before = first + np.flatnonzero((of >= 0) & (of < number))
        again = np.unique(before[chance.integers(0, len(before), 10)]) if len(before) else before
        rows = np.concatenate((here, again))
        values = np.full((len(rows), len(KEYS)), np.nan)
        for place, row in enumerate(rows.tolist()):
            columns = list(COLUMNS[self.shapes[row]])
            values[place, columns] = self.values[row, columns]
        rivals = slice(len(here), len(here) + len(again) // 2)
        values[rivals] = RIVAL + np.arange(4)
        order = np.arange(len(rows))
        if number % 3 == 1:
            chance.shuffle(order)
        return Batch(rows[order], values[order])

    def frames(self, batch: Batch) -> list[Frame]:
        """The same as a sender sends them."""
        found = []
        for row, values in zip(batch.rows.tolist(), batch.values, strict=True):
            columns = COLUMNS[2] if values[0] >= RIVAL else COLUMNS[self.shapes[row]]
            named = {KEYS[column]: float(values[column]) for column in columns}
            found.append(frame(float(self.at[row]), named, self.host))
        return found

    def tables(self, number: int) -> list[Snapshot]:
        """The tables that come with a batch."""
        if self.host != TABLES_OF:
            return []
        at = BASE + number * BATCH_SECONDS
        return [
            snapshot(at + after, "processes", {"pid": number, "after": after}, host=self.host)
            for after in TABLES_AT
        ]


STORIES: dict[str, Story] = {}


def story(host: str) -> Story:
    """The story of a host, which is made once."""
    if host not in STORIES:
        STORIES[host] = Story(host)
    return STORIES[host]


@dataclass
class Truth:
    """What a host's store must hold after some batches."""

    story: Story
    batches: int = 0
    known: NDArray[np.bool_] = field(init=False)
    values: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.known = np.zeros(len(self.story.at), bool)
        self.values = np.full((len(self.known), len(KEYS)), np.nan)

    def take(self, batches: int) -> None:
        """So many batches have come, in order: the first value of an instant and KEY stands."""
        while self.batches < batches:
            batch = self.story.batch(self.batches)
            held = self.values[batch.rows]
            self.values[batch.rows] = np.where(np.isnan(held), batch.values, held)
            self.known[batch.rows] = True
            self.batches += 1

    def copied(self) -> Truth:
        """The same, to go on from."""
        found = Truth.__new__(Truth)
        found.story, found.batches = self.story, self.batches
        found.known, found.values = self.known.copy(), self.values.copy()
        return found

    @property
    def rows(self) -> tuple[Floats, Floats]:
        """Instants and values of all rows, ascending."""
        return self.story.at[self.known], self.values[self.known]


class Ledger:
    """What was acknowledged of each host, over all runs on a directory."""

    def __init__(self, hosts: Sequence[str] = tuple(SPACINGS)) -> None:
        self.truths = {host: Truth(story(host)) for host in hosts}

    def copied(self) -> Ledger:
        """The same, to go on from."""
        found = Ledger(())
        found.truths = {host: truth.copied() for host, truth in self.truths.items()}
        return found

    @property
    def batches(self) -> dict[str, int]:
        """By host, how many batches were acknowledged."""
        return {host: truth.batches for host, truth in self.truths.items()}

    def faults(self, connection: apsw.Connection) -> list[str]:
        """What a file that is open has otherwise than it must; nothing where all is well.

        Where a batch was on its way it is there whole or not at all; if it is there it counts
        as acknowledged from now on.
        """
        found = loaded(connection, BASE)
        said = [f"complaint: {each}" for each in found.complaints]
        said += _whole(connection)
        newest = max(self.batches.values()) + 1
        cutoff = BASE + newest * BATCH_SECONDS - RAW_SECONDS
        for host in self.truths:
            said += [
                f"{host}: {each}" for each in self._host_faults(connection, found, host, cutoff)
            ]
        return said

    def _host_faults(
        self, connection: apsw.Connection, found: Loaded, name: str, cutoff: float
    ) -> Iterator[str]:
        truth = self.truths[name]
        host = found.hosts.by_name.get(name)
        if host is None:
            if truth.batches:
                yield "it is not there"
            return
        reader = Reader(connection, found.shapes)
        view = host.view()
        piece = reader.rows(view, KEYS, BASE - 3_600, truth.story.at[-1])
        at, values = truth.rows
        wrong = list(_row_faults(piece.at, piece.values, at, values, cutoff))
        if wrong:  # unless the next batch is there, too, and whole
            further = truth.copied()
            further.take(truth.batches + 1)
            if not any(_row_faults(piece.at, piece.values, *further.rows, cutoff)):
                self.truths[name] = truth = further
                at, values = truth.rows
            else:
                yield from wrong
        for level in range(1, len(SECONDS)):
            yield from _tier_faults(reader, view, level, at, values)
        if reader.damaged or reader.losses:
            yield f"damaged: {reader.damaged} {reader.losses}"
        yield from _table_faults(connection, host.id, truth, cutoff)


def _whole(connection: apsw.Connection) -> Iterator[str]:
    """What must be true of any file."""
    if (said := connection.pragma("integrity_check")) != "ok":
        yield f"integrity: {said}"
    for keep, bytes_, there in connection.execute(
        "SELECT keep, bytes, (SELECT total(bytes) FROM chunks WHERE chunks.keep = totals.keep)"
        " FROM totals WHERE keep < 5"
    ):
        if bytes_ != there:
            yield f"totals say {bytes_} bytes of {keep}, there are {there}"
    before: tuple[int, int, float] | None = None
    for host, level, first, last, number in connection.execute(
        "SELECT host, level, first, last, id FROM chunks WHERE open = 0 ORDER BY host, level, first"
    ):
        if before is not None and before[:2] == (host, level) and first <= before[2]:
            yield f"chunk {number} of level {level} overlaps that before it, at {first - BASE}"
        before = (host, level, last)


def _row_faults(
    found_at: Floats, found: Floats, at: Floats, values: Floats, cutoff: float
) -> Iterator[str]:
    if not len(at):
        if len(found_at):
            yield f"{len(found_at)} rows that nobody sent"
        return
    missing = np.setdiff1d(at[at >= cutoff], found_at)
    if len(missing):
        ends = f"{missing[0] - BASE:.3f} to {missing[-1] - BASE:.3f}"
        yield f"{len(missing)} acknowledged rows are missing, {ends} after the base"
    if len(np.setdiff1d(found_at, at)):
        yield "there are rows that nobody sent"
        return
    if (np.diff(found_at) <= 0).any():
        yield "rows do not ascend"
    wanted = values[np.searchsorted(at, found_at)]
    if len(found_at) and not np.array_equal(found, wanted, equal_nan=True):
        wrong = ~((found == wanted) | (np.isnan(found) & np.isnan(wanted)))
        row, column = np.argwhere(wrong)[0]
        yield (
            f"{wrong.sum()} values are wrong, the first {KEYS[column]} at"
            f" {found_at[row] - BASE:.3f}: {found[row, column]}, not {wanted[row, column]}"
        )


def _tier_faults(
    reader: Reader, view: HostView, level: int, at: Floats, values: Floats
) -> Iterator[str]:
    """A level, as far as it has been made, must be what all rows make."""
    step = SECONDS[level]
    upto = view.compacted_to if level == 1 else view.rolled_to
    if not len(at) or not upto > BASE:
        return
    end = np.floor((upto + EARLY_SECONDS) / step) * step
    parts = reader.tier(view, KEYS, COUNTERS, level, BASE - step - EARLY_SECONDS, upto)
    parts = [part for part in parts if len(part.starts)]
    found = rolled(joined(parts), step) if parts else None
    wanted = _outside(rolled(observed(at, values, COUNTERS), step), view, step, end)
    if found is None:
        if len(wanted.starts):
            yield f"level {level} is empty"
        return
    found = _outside(found, view, step, end)
    if not np.array_equal(found.starts, wanted.starts):
        odd = np.setxor1d(found.starts, wanted.starts)
        yield f"level {level}: {len(odd)} buckets are missing or too many, from {odd[0] - BASE}"
        return
    for what, place, tolerance in (
        ("minimum", MINIMUM, 1e-3),
        ("maximum", MAXIMUM, 1e-3),
        ("total", TOTAL, 1e-9),
        ("weight", WEIGHT, 1e-9),
        ("last", LAST, 0.0),
    ):
        got, want = found.fields[place], wanted.fields[place]
        same = np.isclose(got, want, rtol=tolerance, atol=1e-5 if tolerance else 0, equal_nan=True)
        if not same.all():
            row, column = np.argwhere(~same)[0]
            yield (
                f"level {level}: {(~same).sum()} of {what} are wrong, the first of"
                f" {KEYS[column]} at {found.starts[row] - BASE}: {got[row, column]},"
                f" not {want[row, column]}"
            )
            return


def _outside(whole: Rollup, view: HostView, step: float, end: float) -> Rollup:
    """The buckets that are not waiting to be made anew, before `end`."""
    keep = whole.starts < end
    for first, last in view.late:
        keep &= (whole.starts >= last + LOOKBACK_SECONDS) | (whole.starts + step <= first)
    return Rollup(whole.starts[keep], whole.fields[:, keep])


def _table_faults(
    connection: apsw.Connection, host: int, truth: Truth, cutoff: float
) -> Iterator[str]:
    if truth.story.host != TABLES_OF:
        return
    for number in range(truth.batches):
        for table in truth.story.tables(number):
            if table.at < cutoff:
                continue
            got = snapshots.found(connection, host, table.host, table.kind, table.at)
            if got is None or (got.at, got.rows) != (table.at, table.rows):
                yield f"the table at {table.at - BASE} is {got and got.at - BASE}"
                return


def spent(batches: Mapping[str, int]) -> float:
    """The clock of a run that has given so many batches of each host, in unix seconds."""
    return BASE + (min(batches.values(), default=0) + 1) * BATCH_SECONDS
