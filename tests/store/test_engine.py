"""It must be that the store's engine goes on, or says why it cannot, whatever goes wrong around it.

Faults in the midst of its work, hosts that are unlike all others, and everything at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import Unavailable
from monitor.store import appending, compaction, due, journal, keeper, keyed, opening, tiers
from monitor.store.changes import Change, Made
from monitor.store.config import RetentionConfig
from monitor.store.hosts import Host, HostView
from monitor.store.reading import SECONDS, Reader
from monitor.store.sqlite import SqliteStore, open_store
from tests.frames import frame, snapshot
from tests.store import test_model
from tests.store.test_model import BASE, Clock

PATIENCE_SECONDS = 20.0
"""No condition here takes a tenth of this."""


@pytest.fixture
def clock() -> Clock:
    return Clock(BASE)


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    made = await open_store(tmp_path, clock=clock)
    yield made
    await made.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come about."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends
        await asyncio.sleep(0.005)


async def averages(
    store: SqliteStore, key: str, start: float, end: float, host: str = "web-1", points: int = 0
) -> np.ndarray:
    """One number a second, unless so many points are asked for."""
    found = await store.range([(host, key)], start, end, points or round(end - start))
    return found.series[0].average


# Faults in the midst of its work


async def test_appends_are_refused_in_time_when_the_journal_is_not_worked_off(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a sender hears of a store that is behind, and may come again."""
    monkeypatch.setattr(appending, "MOST_JOURNAL_BYTES", -1)
    monkeypatch.setattr(appending, "RELIEF_SECONDS", 0.05)
    with pytest.raises(Unavailable) as refusal:
        await store.append([frame(BASE, {"a": 1})])
    assert (refusal.value.status, refusal.value.code) == (503, "store_busy")
    monkeypatch.setattr(appending, "MOST_JOURNAL_BYTES", 1_000_000)
    await store.append([frame(BASE, {"a": 2})])
    assert (await averages(store, "a", BASE, BASE + 1)).tolist() == [2]


async def test_a_store_whose_journal_is_too_long_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that closing stores what was begun instead of waiting for who is gone."""
    store = await open_store(tmp_path)
    monkeypatch.setattr(appending, "MOST_JOURNAL_BYTES", -1)
    begun = asyncio.create_task(store.append([frame(BASE, {"a": 1})]))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await store.close()
        await begun
    again = await open_store(tmp_path)
    assert (await averages(again, "a", BASE, BASE + 1)).tolist() == [1]
    await again.close()


async def test_what_cannot_be_stored_is_its_own_senders_alone(store: SqliteStore) -> None:
    """It must be that others' frames of the same commit are stored."""
    good = [asyncio.create_task(store.append([frame(BASE + n, {"a": n})])) for n in range(3)]
    half = asyncio.create_task(store.append([], [snapshot(BASE, "processes", {"name": "\ud800"})]))
    none = asyncio.create_task(store.append([frame(BASE, {"\ud800": 1.0})]))
    late = asyncio.create_task(store.append([frame(BASE + 3, {"a": 3})]))
    async with asyncio.timeout(5):
        for bad in (half, none):
            with pytest.raises(UnicodeEncodeError):
                await bad
        for each in (*good, late):
            await each
    assert (await averages(store, "a", BASE, BASE + 4)).tolist() == [0, 1, 2, 3]


async def test_a_frame_that_is_none_is_refused_and_harms_nobody(store: SqliteStore) -> None:
    wrong = frame(BASE, {"a": 1, "b": 2})
    wrong.values.pop()
    with pytest.raises(ValueError, match="one value for each KEY"):
        await store.append([wrong])
    await store.append([frame(BASE, {"a": 1, "b": 2})])
    assert (await averages(store, "b", BASE, BASE + 1)).tolist() == [2]


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, -5.0])
async def test_a_frame_of_no_instant_is_refused(store: SqliteStore, at: float) -> None:
    with pytest.raises(ValueError, match="unix seconds"):
        await store.append([frame(BASE, {"a": 1}), frame(at, {"a": 2})])
    await store.append([frame(BASE, {"a": 3})])
    await store.settle()
    assert (await averages(store, "a", BASE, BASE + 1)).tolist() == [3]


async def test_a_key_of_two_lines_is_refused(store: SqliteStore) -> None:
    """It must be that two schemas of the same text are the same: KEYs are joined by newlines."""
    with pytest.raises(ValueError, match="line breaks"):
        await store.append([frame(BASE, {"a\nb": 1, "c": 2})])
    await store.append([frame(BASE, {"c": 2})])
    assert await store.series("web-1") == ("c",)


async def test_frames_without_a_column_are_no_trouble(tmp_path: Path, clock: Clock) -> None:
    """It must be that a host whose collectors all failed for a while is held like any other."""
    for n in range(3):
        store = await open_store(tmp_path, clock=clock)
        start = BASE + 100 * n
        await store.append([frame(start + m, {} if m < 5 else {"a": m}) for m in range(10)])
        assert (await averages(store, "a", start + 5, start + 10)).tolist() == [5, 6, 7, 8, 9]
        if n:
            clock.now += 90_000
            await store.settle()
        assert await store.series("web-1") == ("a",)
        assert store.warnings() == ()
        await store.close()


async def test_an_append_whose_caller_left_is_stored(store: SqliteStore) -> None:
    left = asyncio.create_task(store.append([frame(BASE, {"a": 1})]))
    await asyncio.sleep(0)
    left.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await left
    await store.append([frame(BASE + 1, {"a": 2})])
    assert (await averages(store, "a", BASE, BASE + 2)).tolist() == [1, 2]


async def test_schemas_that_change_with_every_frame_are_sealed_like_others(
    store: SqliteStore,
) -> None:
    """It must be that a host of many schemas does not fill the memory with small heads."""
    for n in range(0, 480, 20):
        await store.append([frame(BASE + m, {f"k{m}": 1.0, "a": m}) for m in range(n, n + 20)])
    host = store._hosts.by_name["web-1"]
    await until(lambda: sum(head.rows for head in host.heads.values()) < keeper.SEAL_ROWS)
    assert (await averages(store, "a", BASE, BASE + 480)).tolist() == list(range(480))


async def test_the_keeper_goes_on_after_a_fault_and_says_so(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a fault that nobody thought of stops nothing for good, and is told."""

    def broken(host: Host) -> bool:
        raise ZeroDivisionError(f"of {host.name}")

    await store.append([frame(BASE, {"a": 1})])
    monkeypatch.setattr(store.keeper._due, "is_due", broken)
    await until(lambda: "store_behind" in {warning.code for warning in store.warnings()})
    monkeypatch.undo()
    await store.append([frame(BASE + n, {"a": n}) for n in range(300)])
    await until(lambda: store._hosts.by_name["web-1"].rows == 0)
    await until(lambda: store.warnings() == ())


async def test_a_host_whose_work_fails_holds_up_nobody_else(
    store: SqliteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that others are compacted, and that it is said who is not."""

    def broken(reader: Reader, view: HostView, start: float, end: float, *, late: bool) -> Change:
        if view.name == "bad":
            raise ValueError("a bug")
        return compaction.compacted(reader, view, start, end, late=late)

    monkeypatch.setattr(keeper, "compacted", broken)
    monkeypatch.setattr(due, "SILENT_SECONDS", 0.1)  # by time that goes here, too
    for host in ("bad", "good"):
        await store.append([frame(BASE + n, {"a": n}, host) for n in range(100)])
    clock.now = BASE + 10_000
    await until(lambda: store._hosts.by_name["good"].compacted_to > 0)
    await until(lambda: any("bad: a bug" in warning.text for warning in store.warnings()))
    assert store._hosts.by_name["bad"].compacted_to == 0
    for host in ("bad", "good"):
        assert (await averages(store, "a", BASE, BASE + 100, host)).tolist() == list(range(100))
    monkeypatch.setattr(keeper, "compacted", compaction.compacted)
    store.keeper._troubled = dict.fromkeys(store.keeper._troubled, (0.0, ""))
    await until(lambda: store._hosts.by_name["bad"].compacted_to > 0)
    await until(lambda: store.warnings() == ())


async def test_frames_that_no_chunk_can_be_made_of_are_put_aside(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that they do not hold the journal, and are shown as lost."""

    def broken(view: HostView, keys: Sequence[tuple[str, ...]]) -> list[Made]:
        if ("b",) in keys:
            raise ValueError("a bug")
        return compaction.sealed(view, keys)

    monkeypatch.setattr(keeper, "sealed", broken)
    await store.append([frame(BASE + n, {"a" if n < 150 else "b": n}) for n in range(300)])
    await until(lambda: store._hosts.by_name["web-1"].rows == 0)
    assert (await averages(store, "a", BASE, BASE + 150)).tolist() == list(range(150))
    found = await store.range([("web-1", "b")], BASE, BASE + 300, 300)
    assert [(loss.start, loss.end) for loss in found.losses] == [(BASE + 150, BASE + 299)]
    assert "store_damaged" in {warning.code for warning in store.warnings()}
    with contextlib.closing(opening.reading(tmp_path)) as connection:
        assert connection.execute("SELECT count(*) FROM journal").get == 0
        data = connection.execute("SELECT data FROM quarantine").get
    rows = list(journal.unpacked(zlib.crc32(data), data))
    assert [row.at for row in rows] == [BASE + n for n in range(150, 300)]
    assert rows[0].values.tolist() == [150]


async def test_a_store_closes_while_everything_is_under_way(tmp_path: Path) -> None:
    """It must be that whatever runs then ends, with an answer or with a store that is closed."""
    for steps in range(12):
        folder = tmp_path / str(steps)
        folder.mkdir()
        clock = Clock(BASE + 90_000)
        store = await open_store(folder, RetentionConfig(raw=3_600.0), clock=clock)
        await store.append([frame(BASE + n, {"a": n}) for n in range(0, 80_000, 20)])

        async def ranges(store: SqliteStore = store) -> None:
            while True:
                await store.range([("web-1", "a")], BASE, BASE + 80_000, 1_000)

        async def appends(store: SqliteStore = store) -> None:
            for number in itertools.count():
                await store.append([frame(BASE + 100 + number, {"a": number, "b": 1})])

        async def trims(store: SqliteStore = store) -> None:
            for number in itertools.count():
                await store.trim(BASE + 200_000 + number)
                await asyncio.sleep(0.001)  # one that is closed has nothing to wait for
                if store._closed:
                    break

        tasks = [asyncio.create_task(each()) for each in (ranges, appends, trims, store.settle)]
        for _ in range(steps * 10):
            await asyncio.sleep(0.001)
        async with asyncio.timeout(10):
            await store.close()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert result is None or isinstance(result, Unavailable), repr(result)


# What has gone, and what comes for it


async def without_rows(store: SqliteStore, before: float) -> None:
    """Let the rows of closed chunks from before an instant go, as retention would."""
    await store._writer.submit(
        lambda connection: connection.execute(
            "DELETE FROM chunks WHERE level = 0 AND last < ?", (before,)
        )
    )
    await store.keeper.floors({host.id for host in store._hosts.by_name.values()})


async def minutes(store: SqliteStore, start: float, end: float) -> np.ndarray:
    """The averages of minutes."""
    found = await store.range([("web-1", "a")], start, end, round((end - start) / 60))
    assert found.step_seconds == 60
    return found.series[0].average


@pytest.mark.parametrize("spacing", [1, 20])
@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_what_comes_late_for_rows_that_are_gone_leaves_what_is_rolled_up_of_them(
    store: SqliteStore, clock: Clock, gone: int, spacing: int
) -> None:
    """It must be that late frames beside rows that have gone add to it."""
    hour = 3_600
    rows = [n for n in range(3 * hour) if n % hour < 3_000]
    await store.append([frame(BASE + n, {"a": 1}) for n in rows])
    clock.now = BASE + 86_400
    await store.settle()
    await without_rows(store, BASE + gone * hour)
    for late in (3_300, 3_400, hour + 3_300):
        at = BASE + late
        await store.append([frame(at + n, {"a": 7}) for n in range(0, 60, spacing)])
        await store.settle()
    wanted = np.array([1.0] * 50 + [math.nan] * 10)
    found = await minutes(store, BASE, BASE + 3 * hour)
    for n in range(3):
        here = found[n * 60 : n * 60 + 60]
        seen = ~np.isnan(wanted)
        np.testing.assert_array_equal(here[seen], wanted[seen], err_msg=f"hour {n}")
    assert found[55] == found[60 + 55] == 7
    assert found[57] == 7
    # And again, after more has come for the same hours.
    await store.append([frame(BASE + n, {"a": 7}) for n in (3_500, hour + 3_500)])
    await store.settle()
    again = await minutes(store, BASE, BASE + 3 * hour)
    np.testing.assert_array_equal(np.delete(again, (58, 118)), np.delete(found, (58, 118)))
    assert again[58] == again[118] == 7


async def test_a_damaged_chunk_of_rows_leaves_what_is_rolled_up_of_it(
    store: SqliteStore, clock: Clock, tmp_path: Path
) -> None:
    """It must be that late frames for an hour whose rows are damaged do not replace its tier."""
    await store.append([frame(BASE + n, {"a": n % 60}) for n in range(3_000)])
    clock.now = BASE + 86_400
    await store.settle()
    await store._writer.submit(
        lambda connection: connection.execute("UPDATE chunks SET crc = crc + 1 WHERE level = 0")
    )
    for late in (3_300, 3_400):
        await store.append([frame(BASE + late, {"a": 7})])
        await store.settle()
    found = await averages(store, "a", BASE, BASE + 3_600, points=360)
    assert found[:6].tolist() == [4.5, 14.5, 24.5, 34.5, 44.5, 54.5]
    assert not np.isnan(found[:300]).any()
    assert found[330] == found[340] == 7


@pytest.mark.parametrize("level", [1, 2])
async def test_what_comes_late_for_a_tier_that_is_gone_leaves_the_coarser_ones(
    store: SqliteStore, clock: Clock, level: int
) -> None:
    """It must be that a block is not rolled up anew from the little that is left of it."""
    await store.append([frame(BASE + n, {"a": 1}) for n in range(0, 30_000, 2)])
    clock.now = BASE + 86_400
    await store.settle()
    await store._writer.submit(
        lambda connection: connection.execute(
            "DELETE FROM chunks WHERE level <= ? AND first < ?", (level, BASE + 10_800)
        )
    )
    await store.keeper.floors({1})
    await store.append([frame(BASE + n, {"a": 1}) for n in (1, 7_201, 29_999, 30_301)])
    await store.settle()
    step = SECONDS[level + 1]
    found = await store.range([("web-1", "a")], BASE, BASE + 30_000, round(30_000 / step))
    assert found.source_seconds == step
    assert (found.series[0].average == 1).all()


# Hosts that are unlike all others


@pytest.mark.parametrize("seed", range(100, 104))
async def test_a_host_of_more_series_than_a_chunk_has_is_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """It must be that its columns may stand in several chunks of one stretch."""
    for module in (keyed, tiers):
        monkeypatch.setattr(module, "MOST_KEYS", 2)
    monkeypatch.setattr(compaction, "MOST_COLUMNS", 2)
    for module in (compaction, tiers):
        monkeypatch.setattr(module, "MOST_OBSERVED", 1)
    await test_model.test_a_store_holds_what_it_was_given(tmp_path, seed)


@pytest.mark.parametrize("spacing", [5, 60])
async def test_series_that_come_and_go_make_no_endless_chunk(
    store: SqliteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, spacing: int
) -> None:
    """It must be that a month of short-lived containers is never in the memory all at once."""
    for module in (keyed, tiers):
        monkeypatch.setattr(module, "MOST_KEYS", 16)
    each, count = 3_600, 60
    for container in range(count):
        start = BASE + container * each
        names = {"a": 1.0, f"k{container}": container, f"l{container}": -container}
        await store.append([frame(start + n, names) for n in range(0, each, spacing)])
        if container % 10 == 9:
            clock.now = start + 2 * each
            await store.settle()
    clock.now = BASE + 10 * 86_400
    await store.settle()
    with contextlib.closing(opening.reading(store._folder)) as connection:
        for schema, level in connection.execute("SELECT schema, level FROM chunks"):
            shape = store._shapes.shape(connection, schema)
            assert len(shape.keys) <= 16 or level == 0
            assert len(set(shape.keys)) == len(shape.keys)
    end = BASE + count * each
    for points, step in ((240, 900), (30, 7_200)):
        keys = ["a", *(f"k{container}" for container in range(count))]
        found = await store.range([("web-1", key) for key in keys], BASE, end, points)
        assert found.step_seconds == found.source_seconds == step
        assert (found.series[0].average == 1).all()
        for container, series in enumerate(found.series[1:]):
            seen = np.flatnonzero(~np.isnan(series.average))
            bucket = each / step
            assert seen[0] == int(container * bucket)
            assert (series.average[seen] == container).all()
            assert len(seen) == max(1, bucket)


async def test_a_file_that_vanishes_while_it_is_used_takes_nothing_more(
    store: SqliteStore, tmp_path: Path
) -> None:
    """It must be that nothing is acknowledged that the next start cannot find."""
    await store.append([frame(BASE, {"a": 1})])
    (tmp_path / opening.NAME).rename(tmp_path / "gone")
    await until(lambda: "store_failed" in {warning.code for warning in store.warnings()})
    with pytest.raises(Unavailable) as caught:
        await store.append([frame(BASE + 1, {"a": 2})])
    assert caught.value.code == "store_failed"
    assert "has vanished" in caught.value.detail
    assert (await averages(store, "a", BASE, BASE + 1)).tolist() == [1]
