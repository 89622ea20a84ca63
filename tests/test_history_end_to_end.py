"""History end to end: what is pushed, killed over and asked for again must be what comes back.

Beside a server in its own process stand the few turns of time that only a store with a clock of
its own can show: hours and days that pass, tables of an outage that come later, a policy that is
accepted in passing.
"""

from __future__ import annotations

import math
import random
import time
from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from monitor.model import Frame, Schema, Snapshot, key
from monitor.store.config import RetentionConfig
from monitor.store.sqlite import SqliteStore, open_store
from tests import serving

GAUGE = "load"
COUNT = key("system.disk.io", device="vda", direction="read")
MIDNIGHT = 1_795_996_800.0
HOUR = 3_600.0

Row = tuple[float, float, float]
"""An instant, the gauge, the count."""
Answer = dict[float, tuple[float, float, float]]
"""By a bucket's start: minimum, average, maximum."""


def pushed(every: float, seconds: float, chance: random.Random) -> list[Row]:
    """A host's past up to a minute ago, with a reset and a silence in it."""
    rows: list[Row] = []
    count = 0
    first = math.floor((time.time() - 60 - seconds) / every) * every
    for place in range(int(seconds / every)):
        count = 0 if place == 700 else count + chance.randrange(500)
        if not 400 <= place < 450:
            rows.append((first + place * every + 0.3, chance.randrange(1_000) / 8, float(count)))
    return rows


def wanted(rows: Sequence[Row], name: str, step: float) -> Answer:
    """The same in buckets, by nothing but sums and comparisons."""
    found: dict[float, list[tuple[float, float, float]]] = {}
    for before, (at, gauge, count) in pairwise([(-math.inf, 0.0, 0.0), *rows]):
        start = math.floor((at + min(0.1, step / 100)) / step) * step
        apart, more = at - before[0], count - before[2]
        if name == GAUGE:
            found.setdefault(start, []).append((gauge, gauge, 1.0))
        elif apart <= 300:
            more = count if more < 0 else more
            found.setdefault(start, []).append((more / apart, more, apart))
    return {
        start: (
            min(value for value, _, _ in of),
            sum(total for _, total, _ in of) / sum(weight for _, _, weight in of),
            max(value for value, _, _ in of),
        )
        for start, of in found.items()
    }


def asked(url: str, host: str, name: str, rows: Sequence[Row], points: int) -> tuple[Answer, float]:
    """What the API says of all of it, and the width of a bucket; its gaps are left out."""
    start, end = rows[0][0] - 10_000, rows[-1][0] + 10_000
    query: dict[str, str | float] = {"host": host, "metric": name, "start": start, "end": end}
    query["points"] = points
    answer = httpx.get(f"{url}/api/v1/history", params=query, trust_env=False)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert len(said["t"]) <= points
    assert said["t"] == sorted(set(said["t"]))
    assert said["losses"] == []
    (one,) = said["series"]
    buckets = zip(said["t"], one["min"], one["avg"], one["max"], strict=True)
    return {at: (low, mean, high) for at, low, mean, high in buckets if low is not None}, said[
        "step"
    ]


def require_all(url: str, hosts: dict[str, list[Row]]) -> None:
    for host, rows in hosts.items():
        for name in (GAUGE, COUNT):
            for points in (1, 7, 300, 11_000):
                found, step = asked(url, host, name, rows, points)
                right = wanted(rows, name, step)
                assert found.keys() == right.keys(), (host, name, step)
                # Extremes of rates are kept with three digits, and lie outside what was.
                rough = 1e-9 if name == GAUGE else 2e-3
                for at, (low, mean, high) in right.items():
                    near = pytest.approx((low, high), rel=rough)
                    assert (found[at][0], found[at][2]) == near, (host, name, step, at)
                    assert found[at][1] == pytest.approx(mean, rel=1e-9), (host, name, step, at)


def again(before: serving.Server) -> serving.Server:
    return serving.start(before.data.parent)


@pytest.fixture
def server(tmp_path: Path) -> serving.Server:
    """A server that the test itself ends."""
    return serving.start(tmp_path)


def test_what_is_pushed_in_any_order_comes_back_through_kills(server: serving.Server) -> None:
    """It must be that each acknowledged value is in every answer, at every width, once."""
    chance = random.Random(4)
    hosts = {
        "every-ten": pushed(10.0, 20 * HOUR, chance),
        "-odd_.": pushed(1.0, 2 * HOUR, chance),
        "minutes": pushed(60.0, 30 * HOUR, chance),
    }
    batches = [
        (host, rows[begin : begin + 180])
        for host, rows in hosts.items()
        for begin in range(0, len(rows), 180)
    ]
    chance.shuffle(batches)
    batches += chance.sample(batches, 5)  # what comes twice counts once
    for number, (host, rows) in enumerate(batches):
        if number in {20, 60}:
            server.process.kill()
            server.process.wait()
            server = again(server)
        frames = [{"at": at, "values": [gauge, count]} for at, gauge, count in rows]
        document = {"host": host, "boot_id": "b", "seq": number, "schema": [GAUGE, COUNT]}
        answer = httpx.post(
            f"{server.url}/api/v1/push", json={**document, "frames": frames}, trust_env=False
        )
        assert answer.status_code == 200, answer.text
    require_all(server.url, hosts)
    server.process.kill()
    server.process.wait()
    server = again(server)
    require_all(server.url, hosts)
    assert server.end() == 0
    assert "Traceback" not in server.said()


def test_a_push_with_a_frame_that_is_too_old_leaves_nothing(server: serving.Server) -> None:
    """It must be that the refusal names the frame, and that none of the push is stored."""
    now = time.time()
    frames = [{"at": at, "values": [1]} for at in (now - 5, now - 3 * 86_400)]
    document = {"host": "late", "boot_id": "b", "seq": 1, "schema": [GAUGE], "frames": frames}
    answer = httpx.post(f"{server.url}/api/v1/push", json=document, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["code"] == "too_old"
    assert answer.json()["field"].startswith("frames[")
    hosts = httpx.get(f"{server.url}/api/v1/hosts", trust_env=False).json()
    assert "late" not in [host["host"] for host in hosts]
    assert server.end() == 0


# What takes time


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def counted(at: float, count: float, host: str = "h") -> Frame:
    return Frame(host, at, Schema((COUNT,)), array("d", [count]))


async def test_a_counter_goes_on_between_windows_that_are_kept_differently(tmp_path: Path) -> None:
    """It must be that no rate is lost where rows in every bucket follow on a tier."""
    clock = Clock(MIDNIGHT + 13 * HOUR)
    store = await open_store(tmp_path, clock=clock)
    frames = [counted(MIDNIGHT + place * 10, place * 100.0) for place in range(12 * 360)]
    frames.append(counted(MIDNIGHT + HOUR + 5, 36_050.0))  # so the first six hours are a tier
    await store.append(sorted(frames, key=lambda frame: frame.at))
    clock.now += 86_400
    await store.settle()
    for points in (4_320, 720, 48, 6):
        found = await store.range([("h", COUNT)], MIDNIGHT, MIDNIGHT + 12 * HOUR, points)
        averages = found.series[0].average[1:].tolist()
        assert averages == pytest.approx([10.0] * (len(found.starts) - 1)), found.step_seconds
    await store.close()


async def test_what_comes_late_is_shown_though_a_host_had_nothing_so_early(tmp_path: Path) -> None:
    """It must be that an acknowledged row is seen at once, wherever tiers begin."""
    clock = Clock(MIDNIGHT + 30 * HOUR)
    store = await open_store(tmp_path, clock=clock)
    await store.append([counted(MIDNIGHT + 4_000 + n * 60, n) for n in range(1_400)])
    await store.settle()
    await store.append([counted(MIDNIGHT + 600 + n * 60, n) for n in range(10)])
    for points in (100, 50, 12):
        found = await store.range([("h", COUNT)], MIDNIGHT, MIDNIGHT + 24 * HOUR, points)
        assert found.source_seconds >= 60
        assert found.series[0].average[0] == found.series[0].average[0], found.step_seconds
    await store.close()


async def send_tables(store: SqliteStore, first: int, last: int, known: list[int]) -> None:
    for after in range(first, last, 10):
        known.append(after)
        table = Snapshot("h", MIDNIGHT + after, "processes", ({"pid": after},))
        await store.append([counted(MIDNIGHT + after, after)], [table])


async def test_tables_of_an_outage_hide_no_newer_ones(tmp_path: Path) -> None:
    """It must be that the newest table before an instant is found, however they came."""
    clock = Clock(MIDNIGHT + 3 * HOUR)
    store = await open_store(tmp_path, clock=clock)
    known: list[int] = []
    await send_tables(store, 600, 2_000, known)
    clock.now = MIDNIGHT + 7 * HOUR
    await store.settle()
    await send_tables(store, 100, 600, known)  # the agent's spool, after what was live
    await send_tables(store, 22_000, 22_500, known)
    clock.now = MIDNIGHT + 14 * HOUR
    await store.settle()
    for after in range(105, 24_000, 95):
        found = await store.snapshot_at("h", "processes", MIDNIGHT + after)
        assert found is not None
        assert found.rows[0]["pid"] == max(each for each in known if each <= after)
    await store.close()


async def test_what_was_accepted_of_retention_holds_however_short_the_run(tmp_path: Path) -> None:
    """It must be that a start with --accept-retention is enough, whenever it ends."""
    month, day = (RetentionConfig(age, age, age, age, age) for age in (30 * 86_400.0, 86_400.0))
    clock = Clock(MIDNIGHT + 21 * 86_400)
    store = await open_store(tmp_path, month, clock=clock)
    await store.append([counted(MIDNIGHT + n * 600, n) for n in range(20 * 144)])
    await store.settle()
    await store.trim(clock.now)
    await store.close()
    said = []
    for accept in (False, True, False):
        store = await open_store(tmp_path, day, clock=clock, accept_retention=accept)
        said.append([warning.code for warning in store.warnings()])
        await store.close()
    assert said == [["retention_held"], [], []]
