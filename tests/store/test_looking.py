"""Looking at a store's file beside whoever writes it."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import numpy as np
import pytest

from monitor.care import files
from monitor.errors import StartError
from monitor.model import Frame, Schema
from monitor.store import opening
from monitor.store.looking import Look
from monitor.store.sqlite import SqliteStore, open_store

START = 1_700_000_000.0
SCHEMA = Schema(("app.a", "app.b"))


def frames(count: int, host: str = "web-1", first: int = 0) -> list[Frame]:
    """A frame a second."""
    places = range(first, first + count)
    return [Frame(host, START + place, SCHEMA, array("d", [place, -place])) for place in places]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteStore]:
    """A store whose clock stands where its frames are."""
    store = await open_store(folder, clock=lambda: START + 100)
    try:
        yield store
    finally:
        await store.close()


async def test_it_gives_what_the_store_gives(tmp_path: Path) -> None:
    """It must be that what is not sealed yet and what is are both seen, as the store sees them."""
    async with opened(tmp_path) as store:
        await store.append([*frames(50), *frames(5, "db-1")])
        await store.settle()
        await store.append(frames(10, first=50))
        wanted = [("web-1", "app.a"), ("db-1", "app.b"), ("web-1", "app.none"), ("none", "app.a")]
        own = await store.range(wanted, START, START + 60, 60)
        with files.looked_at(tmp_path / opening.NAME) as connection:
            assert connection is not None
            look = Look(connection, START + 100)
            found = await look.range(wanted, START, START + 60, 60)
            assert await look.series("web-1") == ("app.a", "app.b")
            assert await look.series("none") == ()
            look.close()
    assert np.array_equal(found.starts, own.starts)
    for one, other in zip(found.series, own.series, strict=True):
        assert (one.host, one.key) == (other.host, other.key)
        assert np.array_equal(one.average, other.average, equal_nan=True)
    assert np.isfinite(found.series[0].average).all()


async def test_what_comes_meanwhile_is_not_seen(tmp_path: Path) -> None:
    """It must be that it is one moment, and that the store goes on beside it."""
    async with opened(tmp_path) as store:
        await store.append(frames(10))
        with files.looked_at(tmp_path / opening.NAME) as connection:
            assert connection is not None
            look = Look(connection, START + 100)
            await store.append([*frames(10, first=10), *frames(10, "db-1")])
            await store.settle()
            found = await look.range([("web-1", "app.a")], START, START + 20, 20)
            assert await look.series("db-1") == ()
            look.close()
        assert np.isfinite(found.series[0].average).sum() == 10
        own = await store.range([("web-1", "app.a")], START, START + 20, 20)
        assert np.isfinite(own.series[0].average).sum() == 20


async def test_what_is_damaged_is_left_to_the_server(tmp_path: Path) -> None:
    """It must be that nothing is put aside by whoever only looks."""
    async with opened(tmp_path) as store:
        await store.append(frames(10))
    connection = apsw.Connection(str(tmp_path / opening.NAME))
    connection.execute("UPDATE journal SET crc = crc + 1")
    connection.close()
    before = (tmp_path / opening.NAME).read_bytes()
    with files.looked_at(tmp_path / opening.NAME) as looked:
        assert looked is not None
        with pytest.raises(StartError, match="monitor doctor"):
            Look(looked, START + 100)
    assert (tmp_path / opening.NAME).read_bytes() == before
