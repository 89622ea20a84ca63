"""It must be that a disk that is full costs nothing that was acknowledged, and ends by itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import Unavailable
from monitor.store.sqlite import SqliteStore, open_store
from tests.frames import frame
from tests.store.test_space import tmpfs

SERIES = 60
"""An hour of them is a tenth of the disk, as it may well be."""

PATIENCE_SECONDS = 20.0
"""How long a store may take to notice that there is room: it looks every second."""


def values(number: int) -> dict[str, float]:
    """What does not compress."""
    drawn = np.random.default_rng(number).random(SERIES)
    return {f"k{column}": float(each) for column, each in enumerate(drawn)}


async def filled(store: SqliteStore, start: float, first: int) -> tuple[int, int]:
    """Append until it is refused: the number that was not taken, and the error's status."""
    number = first
    while True:
        batch = [frame(start + n, values(n), "a") for n in range(number, number + 20)]
        try:
            await store.append(batch)
        except Unavailable as error:
            return number, error.status
        number += 20
        assert number < 100_000


async def trimmed(store: SqliteStore, until: float) -> None:
    """Trim; a compaction that was under way may have the room that it needs for a moment."""
    while True:
        try:
            await store.trim(time.time())
        except Unavailable:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
        else:
            return


async def test_sixteen_megabytes_filled_and_freed(tmp_path: Path) -> None:
    """It must be that what was taken can be read on a full disk, and more is once there is room."""
    with tmpfs(tmp_path / "small", "16m") as folder:
        (folder / "filler").write_bytes(bytes(5 * 1024 * 1024))
        start = time.time() // 3_600 * 3_600 - 36_000
        store = await open_store(folder)
        try:
            taken, status = await filled(store, start, 0)
            assert status == 507
            assert taken > 100
            await asyncio.sleep(0)
            # What came until then is there, and what was refused is not.
            found = await store.range([("a", "k0")], start, start + taken + 40, taken + 40)
            seen = np.flatnonzero(~np.isnan(found.series[0].average))
            assert len(seen) == taken
            until = time.monotonic() + PATIENCE_SECONDS
            while "disk_low" not in {warning.code for warning in store.warnings()}:
                assert time.monotonic() < until
                with contextlib.suppress(Unavailable):
                    await store.append([frame(start + taken, values(taken), "a")])
                    taken += 1
                await asyncio.sleep(0.05)
            with pytest.raises(Unavailable) as refusal:
                await store.append([frame(start + taken, values(taken), "a")])
            assert (refusal.value.code, refusal.value.status) == ("disk_low", 507)
            assert refusal.value.retry_after
            await trimmed(store, until)
            (folder / "filler").unlink()
            while True:
                try:
                    await store.append([frame(start + taken, values(taken), "a")])
                    break
                except Unavailable:
                    assert time.monotonic() < until
                    await asyncio.sleep(0.1)
            taken += 1
        finally:
            await store.close()
        again = await open_store(folder)
        try:
            found = await again.range([("a", "k0")], start, start + taken, taken)
            assert not np.isnan(found.series[0].average).any()
            exact = [values(number)["k0"] for number in range(taken)]
            assert np.allclose(found.series[0].average, exact)
        finally:
            await again.close()
