"""It must be that the store's engine goes on, or says why it cannot, whatever goes wrong around it.

Faults in the midst of its work, hosts that are unlike all others, and everything at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import Unavailable
from monitor.store import appending, keeper
from monitor.store.sqlite import SqliteStore, open_store
from tests.frames import frame, snapshot
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
    store: SqliteStore, key: str, start: float, end: float, host: str = "web-1"
) -> np.ndarray:
    """One number a second."""
    found = await store.range([(host, key)], start, end, round(end - start))
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
