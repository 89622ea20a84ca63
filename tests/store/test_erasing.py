"""Erasing a host: nothing of it is left or comes back, and nobody else loses anything."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import apsw
import pytest

from monitor.errors import Unavailable
from monitor.store import erasing, journal, opening
from monitor.store.loading import loaded
from monitor.store.sqlite import SqliteStore, open_store
from tests.frames import frame, snapshot
from tests.seeds import rounds

ROOT = Path(__file__).parents[2]
BASE = 1_700_000_000.0
ROWS = 900
"""Some of them in chunks, the last ones in the journal."""


async def filled(folder: Path) -> SqliteStore:
    """A store with two hosts, of which each has closed chunks, tables and journal rows."""
    store = await open_store(folder, clock=lambda: BASE + 40_000)
    for begin in range(0, ROWS, 300):
        for host in ("gone", "kept"):
            numbers = range(begin, begin + 300)
            frames = [frame(BASE + n * 30, {"a": n, "b": -n}, host=host) for n in numbers]
            await store.append(frames, [snapshot(BASE + begin * 30, "processes", host=host)])
        if begin < 600:
            await store.settle()
    both = [frame(BASE + 30_000 + n, {"a": n}, host=h) for n in range(9) for h in ("gone", "kept")]
    await store.append(both)
    return store


async def values(store: SqliteStore, host: str) -> list[float]:
    """What a host has of its first series, without gaps."""
    found = await store.range([(host, "a")], BASE, BASE + ROWS * 30, ROWS * 30)
    average = found.series[0].average
    return [float(value) for value in average if not math.isnan(value)]


def traces(folder: Path, name: str = "gone") -> list[str]:
    """In which tables of the file there is anything of a host that was the first, or all of it."""
    with contextlib.closing(apsw.Connection(str(folder / opening.NAME))) as connection:
        assert connection.pragma("integrity_check") == "ok"
        numbers = {number for (number,) in connection.execute("SELECT id FROM hosts")}
        found = [
            table
            for table in ("chunks", "snapshots", "host_schemas", "quarantine")
            for (host,) in connection.execute(f"SELECT DISTINCT host FROM {table}")
            if host not in numbers
        ]
        for crc, data in connection.execute("SELECT crc, data FROM journal"):
            hosts = {record.host for record in journal.unpacked(crc, data)}
            found += ["journal"] if hosts - numbers else []
        said = (name, f"{erasing.PREFIX}%")
        found += [
            "hosts"
            for _ in connection.execute("SELECT 1 FROM hosts WHERE name = ? OR name LIKE ?", said)
        ]
    return found


async def test_nothing_of_it_is_left_in_the_file(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    await store.forget("gone")
    kept = await values(store, "kept")
    await store.close()
    assert traces(tmp_path) == []
    store = await open_store(tmp_path, clock=lambda: BASE + 40_000)
    assert await store.series("gone") == ()
    assert await values(store, "kept") == kept == [float(n) for n in range(ROWS)]
    assert await store.check() == []
    await store.close()


async def test_who_is_killed_at_any_step_goes_on_with_it(tmp_path: Path) -> None:
    """It must be that between any two transactions the host is gone, and later its rows."""
    store = await filled(tmp_path)
    await store.close()
    before = (tmp_path / opening.NAME).read_bytes()
    steps = 0
    while True:
        (tmp_path / opening.NAME).write_bytes(before)
        is_done = begun_and_killed(tmp_path, steps)
        store = await open_store(tmp_path, clock=lambda: BASE + 40_000)
        assert await store.series("gone") == (), steps
        assert await values(store, "kept") == [float(n) for n in range(ROWS)], steps
        await store.keeper.erase()
        await store.append([frame(BASE, {"new": 1}, host="gone")])
        assert await store.series("gone") == ("new",)
        await store.close()
        assert set(traces(tmp_path)) <= {"hosts"}, steps
        if is_done:
            break
        steps += 1
    assert steps >= 3


def begun_and_killed(folder: Path, steps: int) -> bool:
    """Erase by so many transactions beyond the first; whether that was all."""
    with contextlib.closing(opening.opened(folder)) as connection:
        host = loaded(connection, BASE).hosts.by_name["gone"]
        with connection:
            erasing.bury(connection, host)
        after: int | None = 0
        for _ in range(steps):
            assert after is not None
            with connection:
                after = erasing.step(connection, host.id, after)
            if after is None:
                return True
    return False


async def test_what_comes_meanwhile_is_whole_or_new(tmp_path: Path) -> None:
    """It must be that frames acknowledged after it was forgotten are there after a restart."""
    store = await filled(tmp_path)
    acknowledged: list[int] = []
    forgotten = asyncio.Event()

    async def push() -> None:
        for number in range(200):
            is_after = forgotten.is_set()
            await store.append([frame(BASE + 31_000 + number, {"n": number}, host="gone")])
            if is_after:
                acknowledged.append(number)
            elif number > 150:
                await forgotten.wait()

    async def read() -> None:
        while not forgotten.is_set():
            await values(store, "gone")
            await store.series("gone")

    pushing, reading = asyncio.create_task(push()), asyncio.create_task(read())
    await asyncio.sleep(0)
    await store.forget("gone")
    forgotten.set()
    await pushing
    await reading
    await store.close()
    store = await open_store(tmp_path, clock=lambda: BASE + 40_000)
    found = await store.range([("gone", "n"), ("gone", "a")], BASE + 31_000, BASE + 31_200, 200)
    there = set(found.series[0].average.tolist())
    assert acknowledged
    assert set(acknowledged) <= there
    assert await store.series("gone") == ("n",)
    assert await values(store, "kept") == [float(n) for n in range(ROWS)]
    await store.close()


async def test_one_that_is_not_waited_for_is_carried_out(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    task = asyncio.create_task(store.forget("gone"))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await store.forget("nobody")  # one after the other
    await store.keeper.erase()
    assert await store.series("gone") == ()
    await store.close()
    assert traces(tmp_path) == []


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.close()
    with pytest.raises(Unavailable):
        await store.forget("gone")


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.store.test_erasing import filled
from tests.frames import frame

async def main():
    store = await filled(Path(sys.argv[1]))
    print("ready", flush=True)
    await store.forget("gone")
    print("forgotten", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_it_does_not_come_back_from_a_kill(tmp_path: Path) -> None:
    """It must be that whoever is killed has the host as it was, or nothing of it ever again."""
    chance = random.Random()
    ends = []
    for number in range(rounds(4)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 0.06))
            process.kill()
            ends.append("forgotten" in process.stdout.read())
        asyncio.run(looked_at(folder, ends[-1]))


async def looked_at(folder: Path, is_forgotten: bool) -> None:
    """What a directory has after the kill."""
    store = await open_store(folder, clock=lambda: BASE + 40_000)
    there = await values(store, "gone")
    assert there in ([], [float(n) for n in range(ROWS)])
    assert not (is_forgotten and there)
    assert await values(store, "kept") == [float(n) for n in range(ROWS)]
    await store.keeper.erase()
    await store.close()
    assert there or traces(folder) == []
