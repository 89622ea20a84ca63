"""What every series store does; one more parameter for each store."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from monitor.model import Frame, Snapshot, key
from monitor.ports import SeriesStore
from monitor.store.memory import BLOCK_ROWS, LONGEST_SECONDS, MemoryStore, lasts
from monitor.store.sqlite import SqliteStore, open_store
from tests.frames import frame, snapshot

IO = key("system.disk.io", device="vda", direction="read")
STORES = ("memory", "sqlite", "settled")
"""The last one is compacted after each append, as if time went by."""


def of(host: str, *keys: str) -> list[tuple[str, str]]:
    """These series of one host, as a range wants them."""
    return [(host, key) for key in keys]


class _Settled:
    """A store that is compacted as soon as anything is in it."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def append(self, frames: Sequence[Frame], snapshots: Sequence[Snapshot] = ()) -> None:
        await self._store.append(frames, snapshots)
        await self._store.settle()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeriesStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    # A clock far ahead of all frames: every window is over at once.
    made = await open_store(tmp_path, clock=lambda: 1e9)
    yield made if request.param == "sqlite" else cast("SeriesStore", _Settled(made))
    await made.close()


async def test_a_range_gives_back_what_was_kept(store: SeriesStore) -> None:
    await store.append([frame(100 + n, {"a": n, "b": -n}) for n in range(300)])
    found = await store.range(of("web-1", "b", "a"), 100, 400, 300)
    assert found.step_seconds == 1
    assert found.starts.tolist() == list(range(100, 400))
    b, a = found.series
    assert (a.key, b.key) == ("a", "b")
    assert a.average.tolist() == list(range(300))
    assert b.minimum.tolist() == [-n for n in range(300)]


async def test_a_wide_range_is_cut_into_at_most_the_points_asked_for(store: SeriesStore) -> None:
    await store.append([frame(1000 + n, {"a": n % 10}) for n in range(600)])
    found = await store.range(of("web-1", "a"), 1000, 1600, 60)
    assert len(found.starts) <= 60
    assert found.step_seconds == 10
    assert set(found.series[0].minimum) == {0}
    assert set(found.series[0].maximum) == {9}
    assert set(found.series[0].average) == {4.5}


async def test_a_counter_comes_as_its_rate_and_raw_as_it_is(store: SeriesStore) -> None:
    await store.append([frame(100 + n, {IO: 1000 * n}) for n in range(10)])
    rated = (await store.range(of("web-1", IO), 105, 110, 5)).series[0]
    assert rated.average.tolist() == [1000] * 5
    counted = (await store.range(of("web-1", IO), 105, 110, 5, raw=True)).series[0]
    assert counted.average.tolist() == [5000, 6000, 7000, 8000, 9000]


async def test_what_was_not_observed_is_absent(store: SeriesStore) -> None:
    await store.append([frame(at, {"a": 1}) for at in (100, 101, 105)])
    found = (await store.range(of("web-1", "a", "never"), 100, 106, 6)).series
    np.testing.assert_array_equal(found[0].average, [1, 1, math.nan, math.nan, math.nan, 1])
    assert np.isnan(found[1].average).all()
    assert np.isnan((await store.range(of("nobody", "a"), 100, 106, 6)).series[0].average).all()


async def test_a_series_outlives_a_change_of_schema(store: SeriesStore) -> None:
    await store.append([frame(100, {"a": 1}), frame(101, {"b": 5, "a": 2}), frame(102, {"b": 6})])
    found = (await store.range(of("web-1", "a", "b"), 100, 103, 3)).series
    np.testing.assert_array_equal(found[0].average, [1, 2, math.nan])
    np.testing.assert_array_equal(found[1].average, [math.nan, 5, 6])
    assert await store.series("web-1") == ("a", "b")


async def test_a_frame_that_is_stored_twice_is_stored_once(store: SeriesStore) -> None:
    await store.append([frame(100, {"a": 1})])
    await store.append([frame(100, {"a": 1})])
    found = (await store.range(of("web-1", "a"), 100, 101, 1)).series[0]
    assert found.average.tolist() == [1]


async def test_what_comes_late_is_merged(store: SeriesStore) -> None:
    await store.append([frame(at, {"a": at}) for at in range(100, 110)])
    await store.append([frame(at, {"a": at}) for at in range(90, 103)])
    await store.append([frame(at, {"a": at}) for at in range(110, 115)])
    found = (await store.range(of("web-1", "a"), 90, 115, 25)).series[0]
    assert found.average.tolist() == list(range(90, 115))


async def test_hosts_with_other_paces_share_one_set_of_buckets(store: SeriesStore) -> None:
    await store.append([frame(at, {"a": 1}, "fast") for at in range(600)])
    await store.append([frame(at, {"a": 2}, "slow") for at in range(0, 600, 10)])
    found = await store.range([("fast", "a"), ("slow", "a")], 0, 600, 600)
    assert found.step_seconds == 10
    for series in found.series:
        assert len(series.average) == len(found.starts) == 60
        assert np.isfinite(series.average).all()


async def test_hosts_are_kept_apart(store: SeriesStore) -> None:
    await store.append([frame(100, {"a": 1}, "one"), frame(100, {"a": 2}, "two")])
    assert (await store.range(of("two", "a"), 100, 101, 1)).series[0].average.tolist() == [2]


async def test_a_table_is_found_by_the_instant(store: SeriesStore) -> None:
    for at in (100.0, 110.0):
        await store.append([], [snapshot(at, "processes", {"pid": int(at)})])
    assert await store.snapshot_at("web-1", "processes", 99) is None
    for at, pid in ((100, 100), (109.9, 100), (110, 110), (500, 110)):
        found = await store.snapshot_at("web-1", "processes", at)
        assert found is not None
        assert found.rows[0]["pid"] == pid
    assert await store.snapshot_at("web-1", "other", 500) is None


async def test_memory_lets_the_oldest_go_when_it_is_full() -> None:
    row = 8 * 101
    store = MemoryStore(most_bytes=row * BLOCK_ROWS * 4)
    values = {f"s{number}": 1.0 for number in range(100)}
    await store.append([frame(at, values) for at in range(BLOCK_ROWS * 10)])
    end = BLOCK_ROWS * 10
    found = (await store.range(of("web-1", "s7"), 0, end, end)).series[0]
    kept = int(np.isfinite(found.average).sum())
    assert BLOCK_ROWS * 3 <= kept <= BLOCK_ROWS * 4
    assert np.isfinite(found.average[-kept:]).all()


async def test_memory_is_not_wasted_on_a_schema_that_keeps_changing() -> None:
    values = {f"s{number}": 1.0 for number in range(100)}
    store = MemoryStore(most_bytes=8 * 101 * 1_000)
    for at in range(3_000):
        changing = {f"unit-{at // 5}": 1.0}
        await store.append([frame(at, values | changing)])
    found = (await store.range(of("web-1", "s7"), 0, 3_000, 3_000)).series[0]
    assert int(np.isfinite(found.average).sum()) > 700


async def test_memory_keeps_nothing_older_than_its_longest_time() -> None:
    store = MemoryStore()
    await store.append([frame(at * 10, {"a": 1}) for at in range(2000)])
    found = (await store.range(of("web-1", "a"), 0, 20_000, 2000)).series[0]
    age = 20_000 - 10 * int(np.flatnonzero(~np.isnan(found.average))[0])
    assert LONGEST_SECONDS <= age <= LONGEST_SECONDS + 10 * BLOCK_ROWS + 10


@pytest.mark.parametrize(
    ("series", "interval", "at_least"), [(370, 1.0, 3600), (10_000, 1.0, 300), (0, 1.0, 3600)]
)
def test_how_long_memory_lasts_can_be_told(series: int, interval: float, at_least: float) -> None:
    assert LONGEST_SECONDS >= lasts(series, interval) >= at_least


async def test_a_host_that_is_forgotten_is_gone_with_all_that_there_was_of_it(
    store: SeriesStore,
) -> None:
    for host in ("web-1", "web-2"):
        frames = [frame(100 + n, {"a": n}, host=host) for n in range(300)]
        await store.append(frames, [snapshot(150, "processes", host=host)])
    await store.forget("web-1")
    found = await store.range(of("web-1", "a") + of("web-2", "a"), 100, 400, 300)
    assert np.isnan(found.series[0].average).all()
    assert found.series[1].average.tolist() == list(range(300))
    assert await store.series("web-1") == ()
    assert await store.series("web-2") == ("a",)
    assert await store.snapshot_at("web-1", "processes", 200) is None
    assert await store.snapshot_at("web-2", "processes", 200) is not None


async def test_a_host_that_comes_again_after_it_was_forgotten_begins_anew(
    store: SeriesStore,
) -> None:
    await store.append([frame(100 + n, {"a": n, "b": n}) for n in range(10)])
    await store.forget("web-1")
    await store.forget("web-1")
    await store.forget("nobody")
    await store.append([frame(105, {"a": 7})])
    found = await store.range(of("web-1", "a"), 100, 110, 10)
    there = found.series[0].average
    assert there[~np.isnan(there)].tolist() == [7]
    assert await store.series("web-1") == ("a",)
