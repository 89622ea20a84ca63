"""It must be that a disk that is full costs nothing that was acknowledged, and ends by itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from email.message import Message
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import Unavailable
from monitor.store import opening
from monitor.store.loading import loaded
from monitor.store.reading import Reader
from monitor.store.sqlite import SqliteStore, open_store
from tests import serving
from tests.frames import frame
from tests.serving import Server
from tests.store.test_space import tmpfs

SERIES = 60
"""An hour of them is a tenth of the disk, as it may well be."""

PATIENCE_SECONDS = 45.0
"""How long a store may take to notice that there is room: it looks every second."""


def values(number: int) -> dict[str, float]:
    """What does not compress."""
    drawn = np.random.default_rng(number).random(SERIES)
    return {f"k{column}": float(each) for column, each in enumerate(drawn)}


STUCK_SECONDS = 5.0
"""How long it is tried to trim a full disk that has nothing to trim."""


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
            if time.monotonic() >= until:
                raise
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
            # On a disk so small a write-ahead log may be left that nothing can bring in, about one
            # time in twenty; there is nothing to let go of yet, and it must pass with the room.
            with contextlib.suppress(Unavailable):
                await trimmed(store, time.monotonic() + STUCK_SECONDS)
            (folder / "filler").unlink()
            until = time.monotonic() + PATIENCE_SECONDS
            await trimmed(store, until)
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


def fill(path: Path) -> None:
    """Take all the space that there is, as somebody else might at any moment."""
    found = os.statvfs(path.parent)
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        size = found.f_bavail * found.f_frsize
        while size >= found.f_frsize:
            try:
                os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, size)
            except OSError:
                size //= 2
    finally:
        os.close(descriptor)


async def test_a_disk_that_somebody_else_fills_amid_appends_costs_nothing_that_was_taken(
    tmp_path: Path,
) -> None:
    """It must be that an append is refused whole or kept, at whichever write the space ended."""
    with tmpfs(tmp_path / "small", "16m") as folder:
        start = time.time() // 3_600 * 3_600 - 36_000
        store = await open_store(folder)
        taken: list[int] = []
        codes: set[str] = set()
        ever: set[str] = set()
        numbers = itertools.count()
        ending = False

        async def feed() -> None:
            while not ending:
                number = next(numbers)
                try:
                    await store.append([frame(start + number, values(number), "a")])
                    taken.append(number)
                except Unavailable as error:
                    codes.add(f"{error.status} {error.code}")
                    await asyncio.sleep(0.01)

        feeding = [asyncio.create_task(feed()) for _ in range(4)]
        try:
            for cycle in range(4):
                enough = len(taken) + 30
                await until(lambda enough=enough: len(taken) > enough, feeding)  # type: ignore[misc]
                await asyncio.sleep(0.013 * cycle)
                await asyncio.to_thread(fill, folder / "filler")
                ever |= codes
                codes.clear()
                await until(lambda: bool(codes), feeding)
                found = await store.range([("a", "k0")], start, start + 100, 100)
                assert np.count_nonzero(~np.isnan(found.series[0].average)) > 20
                with contextlib.suppress(Unavailable):
                    await store.trim(time.time())
                (folder / "filler").unlink()
            enough = len(taken) + 10
            await until(lambda: len(taken) > enough, feeding)
            ever |= codes
            ending = True
            await asyncio.gather(*feeding)
            assert ever <= {"507 disk_low", "507 store_full"}
        finally:
            ending = True
            await store.close()
        assert missing(folder, start, taken) == []


async def until(what: Callable[[], bool], tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until something is so, while these tasks go on."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not what():
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)


def missing(folder: Path, start: float, taken: Sequence[int]) -> list[int]:
    """The frames of host a that were taken and are not there with their values."""
    with contextlib.closing(opening.opened(folder)) as connection:
        assert connection.pragma("integrity_check") == "ok"
        found = loaded(connection, start)
        reader = Reader(connection, found.shapes)
        view = found.hosts.by_name["a"].view()
        keys = tuple(values(0))
        piece = reader.rows(view, keys, start, start + 1e6)
    there = dict(zip((piece.at - start).tolist(), piece.values.tolist(), strict=True))
    return [number for number in taken if there.get(number) != list(values(number).values())]


def asked(url: str, body: dict[str, object] | None = None) -> tuple[int, str, Message]:
    """Status, body and headers of an answer to a GET, or to a POST of JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


class Pushing:
    """Pushes of host a, and what of them was taken."""

    def __init__(self, start: float) -> None:
        self.taken: list[int] = []
        self._start, self._next = start, 0

    def push(self, url: str) -> tuple[int, str, Message]:
        """Push twenty frames."""
        numbers = range(self._next, self._next + 20)
        document: dict[str, object] = {
            "host": "a",
            "boot_id": "b",
            "seq": self._next,
            "schema": list(values(0)),
            "frames": [
                {"at": self._start + n, "values": list(values(n).values())} for n in numbers
            ],
        }
        answer = asked(f"{url}/api/v1/push", document)
        if answer[0] < 300:
            self.taken += numbers
            self._next = numbers.stop
        return answer

    def refused(self, url: str) -> None:
        """Push until it is refused, which must be for the disk, with when to come again."""
        while (answer := self.push(url))[0] < 300:
            assert len(self.taken) < 100_000
        assert answer[0] == 507, answer
        assert json.loads(answer[1])["code"] in {"disk_low", "store_full"}
        assert int(answer[2]["Retry-After"] or 0) > 0, answer


def goes_on(server: Server, start: float) -> None:
    """What a server on a full disk still does."""
    for path in ("/healthz", "/", "/hosts/a", "/api/v1/hosts"):
        assert asked(f"{server.url}{path}")[0] == 200, path
    query = f"host=a&metric=k0&start={start}&end={start + 60}&points=60"
    status, body, _ = asked(f"{server.url}/api/v1/history?{query}")
    assert status == 200
    assert sum(value is not None for value in json.loads(body)["series"][0]["avg"]) >= 30


@pytest.mark.timeout(0)
def test_a_server_on_a_full_disk_serves_is_killed_starts_again_and_goes_on(tmp_path: Path) -> None:
    """It must be that only pushes wait for room, and nothing that was answered is lost."""
    start = time.time() // 3_600 * 3_600 - 36_000
    with tmpfs(tmp_path / "data", "16m") as folder:
        (folder / "filler").write_bytes(bytes(5 * 1024 * 1024))
        folder.chmod(0o700)
        pushing = Pushing(start)
        server = serving.start(tmp_path)
        try:
            pushing.refused(server.url)
            fill(folder / "another")
            pushing.refused(server.url)
            goes_on(server, start)
            server.process.kill()
            server.process.wait()
            server = serving.start(tmp_path)
            pushing.refused(server.url)
            goes_on(server, start)
            (folder / "filler").unlink()
            (folder / "another").unlink()
            until_ = time.monotonic() + PATIENCE_SECONDS
            while pushing.push(server.url)[0] >= 300:
                assert time.monotonic() < until_
                time.sleep(0.1)
            assert server.end() == 0
        finally:
            server.process.kill()
            server.process.wait()
        assert missing(folder, start, pushing.taken) == []
