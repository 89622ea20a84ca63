"""It must be that damage costs as little as it can, and is never passed off as what was measured.

A small file with something in every table is damaged in every page, at some places each.  Then a
start ends with one sentence, or every value that is read is right, or absent with a word of it:
a loss in the answer, a warning, or what the check of the whole file finds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.core.rollups import cut, observed
from monitor.core.series import LOOKBACK_SECONDS, Floats
from monitor.errors import StartError, Unavailable
from monitor.ports import Buckets
from monitor.store import due, keeper, opening
from monitor.store.reading import SECONDS, widened
from monitor.store.sqlite import SqliteStore, open_store
from tests.frames import frame
from tests.seeds import rounds
from tests.store.child import CONFIG, Feeding, hastened
from tests.store.test_power import damaged
from tests.store.truth import (
    BASE,
    BATCH_SECONDS,
    COUNTERS,
    KEYS,
    RIVAL,
    Ledger,
    Truth,
    story,
)

BATCHES = 20
"""Thirteen hours: a block is rolled up."""

END = BASE + BATCHES * BATCH_SECONDS
LATER = END + 7 * 86_400.0

ASIDE = "1 stretches of history are damaged and shown as gaps.  monitor doctor says which"
"""What is said of the file without any damage: one chunk had been put aside."""

POINTS = (5_000, 800, 8)
"""How many buckets are asked for: of rows, of minutes, of two hours."""


# The file, and what it says


async def fed(folder: Path) -> None:
    """A store with something in every table, its journal included, as a kill leaves it."""
    feeding = Feeding(folder, Ledger().batches, lambda host, number: None)
    await feeding.begin()
    await damaged(feeding.store)
    for number in range(BATCHES - 1):
        await feeding.round()
        if number % 4 == 3:
            await feeding.store.settle()
    await feeding.store.settle()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper, "SEAL_ROWS", 10_000)
        patch.setattr(due, "GRACE_SECONDS", 1e9)
        await feeding.round()
        await feeding.store.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "whole"
    folder.mkdir()
    with hastened():
        asyncio.run(fed(folder))
    with contextlib.closing(apsw.Connection(str(folder / opening.NAME))) as connection:
        tables = ("hosts", "schemas", "journal", "chunks", "snapshots", "quarantine")
        for table in tables:
            assert connection.execute(f"SELECT count(*) FROM {table}").get, table
        assert connection.execute("SELECT count(DISTINCT level) FROM chunks").get == len(SECONDS)
    return folder


class Expected:
    """What each host's ranges are where nothing is damaged, worked out from the story."""

    def __init__(self) -> None:
        self._truths = {}
        for host in Ledger().truths:
            self._truths[host] = truth = Truth(story(host))
            truth.take(BATCHES)
        self._known: dict[tuple[object, ...], list[Floats]] = {}

    def of(self, host: str, found: Buckets, counters: NDArray[np.bool_]) -> list[Floats]:
        """Minimum, average and maximum, each (buckets, KEYS)."""
        step, count, source = found.step_seconds, len(found.starts), found.source_seconds
        asked = (host, float(found.starts[0]), step, count, source, bool(counters.any()))
        if asked not in self._known:
            low, high = widened(BASE, END, SECONDS.index(source))
            at, values = self._truths[host].rows
            seen = observed(at[at < high], values[at < high], counters, low)
            self._known[asked] = list(cut([seen], round(found.starts[0] / step), step, count))
        return self._known[asked]


EXPECTED = Expected()


class Verdict:
    """What was found of one damaged file."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        """Values that nobody measured, and errors that are none of ours."""
        self.less: list[str] = []
        """What is missing without a word of it in the answer."""
        self.refused: str | None = None
        self.said: list[str] = []


async def examined(folder: Path) -> Verdict:
    """Start on a file, ask for everything, write something, let it be compacted, ask again."""
    verdict = Verdict()
    try:
        store = await open_store(folder, CONFIG, clock=lambda: END)
    except StartError as error:
        verdict.refused = error.detail
        return verdict
    try:
        await read(store, verdict)
        with contextlib.suppress(Unavailable):
            await store.append([frame(END, {"load": 12.5}, "new")])
            verdict.wrong += await taken(store)
        with contextlib.suppress(Unavailable):
            await store.settle()
        await read(store, verdict, POINTS[1:])
        with contextlib.suppress(Unavailable):
            await store.trim(END)
        verdict.said += [warning.text for warning in store.warnings()]
        verdict.said += await store.check()
        verdict.said += [warning.text for warning in store.warnings()]
    finally:
        await store.close()
    return verdict


async def taken(store: SqliteStore) -> list[str]:
    """What was acknowledged just now must be there, whatever else is damaged."""
    found = await store.range([("new", "load")], END, END + 1, 1)
    value = found.series[0].average[0]
    return [] if value == 12.5 else [f"what was acknowledged is {value}"]


async def read(store: SqliteStore, verdict: Verdict, every: Sequence[int] = POINTS) -> None:
    """Every host at every resolution, and every table."""
    for host in Ledger().truths:
        for points, raw in ((every[0], True), *((points, False) for points in every)):
            try:
                wanted = [(host, key) for key in KEYS]
                found = await store.range(wanted, BASE, END, points, raw)
            except Unavailable as error:
                verdict.said.append(error.detail)
                continue
            judge(verdict, host, found, COUNTERS & (not raw))
        try:
            if not set(await store.series(host)) <= set(KEYS):
                verdict.wrong.append(f"{host} has KEYs that it never had")
            for number in range(BATCHES):
                for table in story(host).tables(number):
                    got = await store.snapshot_at(host, table.kind, table.at)
                    if got is None or got.at < table.at:
                        verdict.less.append(f"the table of {table.at - BASE}")
                    elif got.rows != table.rows:
                        verdict.wrong.append(f"the table of {table.at - BASE} is {got.rows}")
        except Unavailable as error:
            verdict.said.append(error.detail)


def judge(verdict: Verdict, host: str, found: Buckets, counters: NDArray[np.bool_]) -> None:
    """Compare a range with what it must be; of `counters` it gives rates.

    Where rows are missing, a bucket is made of what is left: it lies within the true one.  But a
    rate then reaches over the gap, and the second frame of an instant stands for the first.
    """
    minimum, average, maximum = EXPECTED.of(host, found, counters)
    got = [
        np.column_stack([getattr(one, name) for one in found.series])
        for name in ("minimum", "average", "maximum")
    ]
    # A counter as counts is kept by its last one in tiers.
    strict = ~COUNTERS if found.source_seconds else ~counters
    with np.errstate(invalid="ignore"):
        slack = 1e-9 * np.abs(np.nan_to_num(maximum)) + 1e-6
        outside = (got[0] < minimum - slack) | (got[2] > maximum + slack) | np.isnan(maximum)
        outside |= (got[1] < minimum - slack) | (got[1] > maximum + slack)
        odd = ~np.isnan(got[2]) & outside & strict & (got[2] < RIVAL)
    less = np.zeros_like(odd)
    for one, other in zip(got, (minimum, average, maximum), strict=True):
        less |= ~np.isclose(one, other, rtol=2e-3, atol=1e-6, equal_nan=True)
    less &= strict | (counters & ~strict)
    step = found.step_seconds
    for loss in found.losses:
        near = found.starts + step > loss.start - step
        near &= found.starts <= loss.end + LOOKBACK_SECONDS + step
        less &= ~near[:, None]
    for what, where in ((verdict.wrong, odd), (verdict.less, less & ~odd)):
        if where.any():
            row, column = np.argwhere(where)[0]
            what.append(
                f"{host}, {step:g} s from {found.source_seconds:g} s: {int(where.sum())} values,"
                f" the first {KEYS[column]} at {found.starts[row] - BASE:g}:"
                f" {[float(each[row, column]) for each in got]}, not"
                f" {[float(each[row, column]) for each in (minimum, average, maximum)]}"
            )


def faults(folder: Path, *, of_this_time: bool = True) -> list[str]:
    """What is not as it must be of a start on a damaged file.

    Of a file that is not `of_this_time` nobody can say what is missing.
    """
    try:
        with hastened():
            verdict = asyncio.run(examined(folder))
    except Exception as error:  # noqa: BLE001 - said with its seed
        return [f"an error of no kind of ours: {error!r}"]
    if verdict.refused is not None:
        one = opening.NAME in verdict.refused and "\n" not in verdict.refused
        return [] if one else [f"refused with {verdict.refused!r}"]
    if verdict.wrong:
        return verdict.wrong
    if of_this_time and verdict.less and set(verdict.said) <= {ASIDE}:
        return [f"nothing is said of {verdict.less}"]
    return []


def test_what_is_whole_is_whole(whole: Path, tmp_path: Path) -> None:
    """It must be that an undamaged file gives no cause for any word, or the rest proves nothing."""
    shutil.copytree(whole, tmp_path / "same")
    with hastened():
        verdict = asyncio.run(examined(tmp_path / "same"))
    assert verdict.wrong == []
    assert verdict.less == []
    # Of the one chunk that was put aside there is.
    assert set(verdict.said) == {ASIDE}


# Every page


def flipped(
    content: bytearray, chance: random.Random, size: int
) -> Iterator[tuple[str, bytearray]]:
    """The file with one bit turned over, in each page: in its head or anywhere."""
    for page in range(len(content) // size):
        at = page * size + chance.randrange(chance.choice((128, size)))
        bit = chance.randrange(8)
        copy = bytearray(content)
        copy[at] ^= 1 << bit
        yield f"bit {bit} of byte {at} (page {page + 1}, {at % size})", copy


def replaced(
    content: bytearray, chance: random.Random, size: int
) -> Iterator[tuple[str, bytearray]]:
    """Whole pages: of zeros, of noise, or another page in its place."""
    count = len(content) // size
    for page in range(count):
        here = slice(page * size, (page + 1) * size)
        other = chance.randrange(count)
        there = slice(other * size, (other + 1) * size)
        name, data = chance.choice(
            (
                ("of zeros", bytes(size)),
                ("of noise", chance.randbytes(size)),
                (f"that is page {other + 1}", content[there]),
                (f"that is page {other + 1}", content[there]),
            )
        )
        copy = bytearray(content)
        copy[here] = data
        yield f"page {page + 1} {name}", copy


@pytest.mark.timeout(0)
@pytest.mark.parametrize("damage", [flipped, replaced])
def test_no_damaged_page_is_passed_off_as_what_was_measured(
    whole: Path, tmp_path: Path, damage: Callable[..., Iterator[tuple[str, bytearray]]]
) -> None:
    logging.disable(logging.CRITICAL)
    try:
        content = bytearray((whole / opening.NAME).read_bytes())
        said = []
        chance = random.Random(damage.__name__)
        for _ in range(rounds(1)):
            for what, copy in damage(content, chance, opening.PAGE_BYTES):
                folder = tmp_path / "damaged"
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(whole, folder)
                (folder / opening.NAME).write_bytes(copy)
                said += [f"{what}: {each}" for each in faults(folder)]
    finally:
        logging.disable(logging.NOTSET)
    assert said == []


# Single things


def raw(folder: Path, *statements: str) -> None:
    """Change the file behind our back."""
    with contextlib.closing(apsw.Connection(str(folder / opening.NAME))) as connection:
        for statement in statements:
            connection.execute(statement).fetchall()


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The file again, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


async def test_frames_are_kept_though_the_numbering_of_the_journal_is_lost(copy: Path) -> None:
    """It must be that no new row is taken for one that stands in a chunk already."""
    raw(copy, "DELETE FROM journal", "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'journal'")
    store = await open_store(copy, CONFIG, clock=lambda: END)
    assert "numbering" in str(store.warnings())
    await store.append([frame(END, {"load": 12.5}, "ten")])
    await store.close()
    again = await open_store(copy, CONFIG, clock=lambda: END)
    found = await again.range([("ten", "load")], END, END + 1, 1)
    assert found.series[0].average[0] == 12.5
    await again.close()


async def test_a_schema_that_is_damaged_costs_only_what_had_it(copy: Path) -> None:
    raw(copy, "UPDATE schemas SET keys = zeroblob(20) WHERE id = 2")
    with hastened():
        verdict = await examined(copy)
    assert verdict.refused is None
    assert verdict.wrong == []
    assert "schema 2" in str(verdict.said)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE snapshots SET data = zeroblob(50) WHERE id % 3 = 0",
        "UPDATE snapshots SET kind = 'other' WHERE id % 3 = 0",
        "UPDATE chunks SET first = first + 8000, last = last + 8000 WHERE id % 5 = 0",
        "UPDATE chunks SET host = host % 3 + 1 WHERE id % 5 = 0",
        "UPDATE chunks SET level = (level + 1) % 5 WHERE id % 5 = 0",
        "UPDATE chunks SET keep = (keep + 1) % 5 WHERE id % 5 = 0",
        "UPDATE chunks SET open = 1 - open",
        "UPDATE chunks SET schema = schema % 4 + 1",
        "UPDATE hosts SET compacted_to = compacted_to + 3600",
        "UPDATE hosts SET rolled_to = rolled_to + 43200",
        "UPDATE hosts SET sealed = sealed + 1000",
        "UPDATE hosts SET name = 'ten2' WHERE name = 'ten'",
        "UPDATE journal SET data = zeroblob(length(data))",
        "DELETE FROM hosts WHERE name = 'ten'",
        "DELETE FROM schemas WHERE id = 2",
        "DELETE FROM host_schemas",
        "UPDATE meta SET value = 'x' WHERE name <> 'instance'",
        "UPDATE totals SET bytes = -5",
    ],
)
def test_a_row_that_says_something_else_is_noticed(copy: Path, statement: str) -> None:
    raw(copy, statement)
    assert faults(copy) == []


# The file as a whole


def sentence(folder: Path) -> str:
    """Why a start is refused."""
    with pytest.raises(StartError) as refusal:
        asyncio.run(open_store(folder))
    said = refusal.value.detail
    assert opening.NAME in said
    assert "\n" not in said
    return said


def test_one_that_has_vanished_or_been_emptied_is_refused(copy: Path) -> None:
    (copy / opening.NAME).write_bytes(b"")
    assert "has been emptied" in sentence(copy)
    assert (copy / opening.NAME).read_bytes() == b""
    (copy / opening.NAME).unlink()
    assert "has vanished" in sentence(copy)
    assert not (copy / opening.NAME).exists()


def test_one_of_another_program_or_directory_is_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    opening.opened(tmp_path / "other").close()
    mine = (copy / opening.NAME).read_bytes()
    (copy / opening.NAME).write_bytes((tmp_path / "other" / opening.NAME).read_bytes())
    assert "is not the store that belongs to this data directory" in sentence(copy)
    (copy / opening.NAME).write_bytes(b"something else " * 5_000)
    assert "is no database, or a damaged one" in sentence(copy)
    (copy / opening.NAME).unlink()
    raw(copy, "CREATE TABLE notes (text)", "PRAGMA user_version = 1")
    assert "another program's database" in sentence(copy)
    (copy / opening.NAME).write_bytes(mine)
    opening.opened(copy).close()


def test_one_that_is_cut_short_is_no_good_or_says_so(whole: Path, tmp_path: Path) -> None:
    content = (whole / opening.NAME).read_bytes()
    chance = random.Random(1)
    said = []
    for number in range(rounds(8)):
        folder = Path(shutil.copytree(whole, tmp_path / str(number)))
        pages = chance.randrange(1, len(content) // opening.PAGE_BYTES)
        size = pages * opening.PAGE_BYTES + chance.choice([0, 0, 512, 9_999])
        (folder / opening.NAME).write_bytes(content[:size])
        said += [f"{size} bytes: {each}" for each in faults(folder)]
    assert said == []


async def in_use(folder: Path, then: Callable[[int], None]) -> None:
    """Feed a store without bringing its write-ahead log in, saying at times how far it is."""
    feeding = Feeding(folder, Ledger().batches, lambda host, number: None)
    await feeding.begin()
    feeding.store._connection.wal_autocheckpoint(0)
    for number in range(12):
        await feeding.round()
        if number % 4 == 3:
            await feeding.store.settle()
        then(number)
    await feeding.store.close()


def test_a_write_ahead_log_of_another_file_or_time_brings_no_value_that_was_not_measured(
    whole: Path, tmp_path: Path
) -> None:
    """It must be that what it makes of the file is refused, or right as of another time.

    SQLite takes any log that is whole and fits: a store of an earlier time cannot be told from
    one that had no more in it.
    """
    wal = f"{opening.NAME}-wal"
    logs: list[bytes] = []
    source = tmp_path / "source"
    source.mkdir()
    with hastened():
        asyncio.run(in_use(source, lambda number: logs.append((source / wal).read_bytes())))
    assert len(logs[-1]) > 30 * opening.PAGE_BYTES
    said = []
    for of in (whole, source):
        for number, content in enumerate((logs[2], logs[7], logs[-1][:99_999])):
            folder = tmp_path / "mixed"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(of, folder)
            (folder / wal).write_bytes(content)
            said += [f"{of.name} {number}: {each}" for each in faults(folder, of_this_time=False)]
    assert said == []
