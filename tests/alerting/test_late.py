"""What came late, against a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.alerting import late as late_room
from monitor.alerting.late import (
    HOSTS_AT_ONCE,
    LONGEST_WAIT_SECONDS,
    MOST_RANGES,
    QUIET_SECONDS,
    Breach,
    Late,
)
from monitor.core.book import Book
from monitor.core.messages import Alert, event
from monitor.core.rules.reading import read
from monitor.core.rules.ruleset import RuleSet
from monitor.core.state import LiveState
from monitor.errors import Unavailable
from monitor.model import Frame
from monitor.store.sqlite import SqliteStore, open_store
from tests.frames import frame

NOW = 1_789_948_800.0
CPU = "system.cpu.utilization"
PERIOD = 10.0

RULES = RuleSet(
    dict(
        read(
            {
                "cpu": {
                    "metric": CPU,
                    "warning": {"above": "90%", "clear_below": "80%"},
                    "for": "2m",
                },
                "fills": {"metric": CPU, "warning": {"fills_within": "1h"}},
            }
        )[0].rules
    )
)


class Scene:
    """A host that sends every ten seconds, was cut off, and comes back with what it kept."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.state = LiveState()
        self.book = Book()
        self.late = Late(store, self.state, lambda: RULES, self.book)

    async def live(
        self, start: float, end: float, value: Callable[[float], float], host: str = "db-1"
    ) -> None:
        for each in frames(start, end, value, host):
            await self.store.append([each])
            self.state.fold(each, [], each.at)

    async def filled(
        self,
        start: float,
        end: float,
        value: Callable[[float], float],
        now: float,
        host: str = "db-1",
    ) -> None:
        found = frames(start, end, value, host)
        await self.store.append(found)
        self.late.note(found, now)

    async def told(self, now: float) -> list[tuple[str, float, float]]:
        return [(each.host, each.start - NOW, each.end - NOW) for each in await self.late.look(now)]


def frames(
    start: float, end: float, value: Callable[[float], float], host: str = "db-1"
) -> list[Frame]:
    count = int((end - start) / PERIOD)
    instants = [start + number * PERIOD for number in range(count)]
    return [frame(at, {CPU: value(at - NOW)}, host) for at in instants]


def idle(_: float) -> float:
    return 0.1


def busy(_: float) -> float:
    return 0.95


def between(first: float, last: float) -> Callable[[float], float]:
    """Busy from `first` to `last`, in seconds from NOW."""
    return lambda at: 0.95 if first <= at < last else 0.1


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    store = await open_store(tmp_path, clock=lambda: NOW + 7_200)
    yield Scene(store)
    await store.close()


async def test_what_was_breached_and_over_is_told(scene: Scene) -> None:
    """It must be that a breach within the silence is found, with when it was and its peak."""
    await scene.live(NOW - 600, NOW, idle)
    await scene.live(NOW + 1_800, NOW + 1_860, idle)
    await scene.filled(NOW, NOW + 1_800, between(600, 1_200), NOW + 1_860)
    assert await scene.late.look(NOW + 1_860 + QUIET_SECONDS - 1) == []
    (breach,) = await scene.late.look(NOW + 1_860 + QUIET_SECONDS)
    assert (breach.rule.name, breach.host, breach.key, breach.severity) == (
        "cpu",
        "db-1",
        CPU,
        "warning",
    )
    assert (breach.start - NOW, breach.end - NOW) == (730, 1_210)
    assert breach.peak == pytest.approx(0.95)
    assert await scene.late.look(NOW + 3_600) == []


async def test_what_goes_on_is_the_live_judges(scene: Scene) -> None:
    """It must be that a breach that lasts until now is not told twice."""
    await scene.live(NOW - 600, NOW, idle)
    await scene.live(NOW + 1_800, NOW + 2_000, busy)
    await scene.filled(NOW, NOW + 1_800, between(600, 9_000), NOW + 1_860)
    assert await scene.told(NOW + 2_000) == []


async def test_what_fired_before_is_the_live_judges(scene: Scene) -> None:
    """It must be that an alert that was on before the silence is not told as late."""
    await scene.live(NOW - 600, NOW, between(-500, 0))
    await scene.live(NOW + 1_800, NOW + 1_900, idle)
    await scene.filled(NOW, NOW + 1_800, between(-600, 900), NOW + 1_860)
    assert await scene.told(NOW + 1_900) == []


async def test_a_breach_in_live_time_is_not_told(scene: Scene) -> None:
    """It must be that the live judge has the word where it had data."""
    await scene.live(NOW - 3_000, NOW, between(-2_000, -1_000))
    await scene.live(NOW + 1_800, NOW + 2_700, between(1_900, 2_500))
    await scene.filled(NOW, NOW + 1_800, idle, NOW + 2_700)
    assert await scene.told(NOW + 2_720) == []


async def test_a_host_that_fell_silent_again_is_told_of(scene: Scene) -> None:
    """It must be that nobody else would tell of what was on when it left."""
    await scene.live(NOW - 600, NOW, idle)
    await scene.filled(NOW, NOW + 1_800, between(600, 9_000), NOW + 1_860)
    assert await scene.told(NOW + 1_900) == [("db-1", 730, 1_800)]


async def test_what_was_told_live_is_not_told_again(scene: Scene) -> None:
    """It must be that the book is asked."""
    await scene.live(NOW - 600, NOW, idle)
    await scene.live(NOW + 1_800, NOW + 1_900, idle)
    await scene.filled(NOW, NOW + 1_800, between(600, 1_200), NOW + 1_860)
    said = Alert(
        alert="a1",
        rule="cpu",
        host="db-1",
        attributes={},
        state="firing",
        was=None,
        severity="warning",
        value=0.95,
        since=NOW + 740,
        fired=NOW + 740,
    )
    scene.book.fold(event(said, NOW + 740, "e1"))
    assert await scene.told(NOW + 1_900) == []


async def test_several_silences_are_ranges_of_their_own(scene: Scene) -> None:
    """It must be that what lies between two back-fills is not taken for late."""
    await scene.live(NOW - 600, NOW, idle)
    await scene.live(NOW + 1_000, NOW + 2_000, between(1_200, 1_700))
    await scene.live(NOW + 3_000, NOW + 3_060, idle)
    await scene.filled(NOW, NOW + 1_000, between(300, 600), NOW + 3_060)
    await scene.filled(NOW + 2_000, NOW + 3_000, between(2_300, 2_600), NOW + 3_060)
    found = await scene.told(NOW + 3_100)
    found += await scene.told(NOW + 3_101)
    assert [round(start, -2) for _, start, _ in found] == [400, 2_400]


async def test_a_back_fill_that_does_not_end_is_looked_at_on_its_way(scene: Scene) -> None:
    """It must be that what is over is told, and what is not waits for the rest."""
    await scene.live(NOW - 600, NOW, idle)
    await scene.live(NOW + 5_000, NOW + 5_060, idle)
    value = between(600, 2_000)
    clock = NOW + 5_060
    await scene.filled(NOW, NOW + 1_000, value, clock)
    await scene.filled(NOW + 1_000, NOW + 1_500, value, clock + LONGEST_WAIT_SECONDS)
    assert await scene.told(clock + LONGEST_WAIT_SECONDS) == []
    await scene.filled(NOW + 1_500, NOW + 5_000, value, clock + LONGEST_WAIT_SECONDS + 1)
    (told,) = await scene.told(clock + LONGEST_WAIT_SECONDS + 60)
    assert told[1] == pytest.approx(730, abs=20)
    assert told[2] == pytest.approx(2_010, abs=20)


async def test_hosts_that_were_cut_off_together_are_looked_at_together(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a network's outage does not cost a look a host."""
    hosts = [f"h-{number}" for number in range(5)]
    for host in hosts:
        await scene.filled(NOW, NOW + 900, between(200, 600), NOW + 900, host)
        scene.state.label(host, {}).at = NOW + 900
    looks: list[int] = []
    judged = late_room._judged

    def counted(*arguments: Any) -> Any:
        looks.append(len(arguments[1]))
        return judged(*arguments)

    monkeypatch.setattr(late_room, "_judged", counted)
    assert {host for host, _, _ in await scene.told(NOW + 1_000)} == set(hosts)
    assert looks == [5]
    assert HOSTS_AT_ONCE >= 5


async def test_ranges_of_a_host_are_bounded(scene: Scene) -> None:
    """It must be that a host that comes and goes makes few ranges, the nearest being joined."""
    for number in range(2 * MOST_RANGES):
        scene.late.note([frame(NOW + number * 1_000 + number**2, {CPU: 0.1})], NOW)
    ranges = scene.late._noted["web-1"].ranges
    assert len(ranges) == MOST_RANGES
    assert min(first for first, _ in ranges) == NOW
    assert max(last for _, last in ranges) == NOW + 15_000 + 225


async def test_hosts_are_bounded_and_can_be_forgotten(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that nobody fills the memory with names, and that a deleted host is gone."""
    monkeypatch.setattr(late_room, "MOST_HOSTS", 2)
    for host in ("a", "b", "c"):
        scene.late.note([frame(NOW, {CPU: 0.1}, host)], NOW)
    assert scene.late.unlooked == 1
    scene.late.forget("a")
    assert list(scene.late._noted) == ["b"]


class _Broken:
    """A store that cannot be read."""

    async def series(self, host: str) -> Sequence[str]:
        raise Unavailable("not now")


async def test_a_store_that_cannot_be_read_is_survived() -> None:
    """It must be that what cannot be looked at is counted, and nothing else happens."""
    late = Late(_Broken(), LiveState(), lambda: RULES, Book())  # type: ignore[arg-type]
    late.note([frame(NOW, {CPU: 0.1})], NOW)
    assert await late.look(NOW + 60) == []
    assert late.unlooked == 1


async def test_whoever_gives_up_ends_the_work(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a server that ends does not wait for it."""
    await scene.filled(NOW, NOW + 900, busy, NOW + 900)
    began, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*arguments: Any) -> list[Breach]:
        loop.call_soon_threadsafe(began.set)
        while not arguments[-1]():
            pass
        loop.call_soon_threadsafe(ended.set)
        return []

    monkeypatch.setattr(late_room, "_judged", slow)
    task = asyncio.create_task(scene.late.look(NOW + 1_000))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), 10)
