"""Accept and tick: the order of the flow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.state import LiveState
from monitor.errors import Unavailable
from monitor.log.memory import MemoryLog
from monitor.model import Event, HostStatus
from monitor.pipeline import PAUSE_SECONDS, Pipeline
from monitor.store.memory import MemoryStore
from tests.frames import frame, snapshot


class House:
    """A pipeline with its rooms, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.state = LiveState()
        self.store = MemoryStore()
        self.log = MemoryLog()
        self.offered = 0
        self.pipeline = Pipeline(self.state, self.store, self.log, self._offer, lambda: self.now)

    def _offer(self) -> None:
        self.offered += 1

    async def accept(self, at: float, value: float = 1, host: str = "web-1") -> None:
        await self.pipeline.accept(frame(at, {"a": value}, host), [])

    async def live(self, seconds: int, host: str | None = "web-1") -> None:
        """Let time pass second by second, with or without frames."""
        for _ in range(seconds):
            self.now += 1
            if host:
                await self.accept(self.now, host=host)
            await self.pipeline.tick(self.now)

    async def told(self) -> list[tuple[object, object, object]]:
        events: list[Event] = (await self.log.read(0, None, 1000))[0]
        return [(one.data["host"], one.data["was"], one.data["status"]) for one in events]


async def test_frames_of_a_backlog_are_stored_all_and_offered_once() -> None:
    house = House()
    frames = [frame(900 + at, {"a": at}) for at in range(100)]
    table = snapshot(999, "processes", {"pid": 1})
    await house.pipeline.accept_all(frames, [table])
    stored = (await house.store.range([("web-1", "a")], 900, 1000, 100)).series[0]
    assert stored.average.tolist() == list(range(100))
    assert house.state.hosts["web-1"].metrics() == {"a": 99}
    assert house.state.hosts["web-1"].snapshots == {"processes": table}
    assert house.offered == 1


async def test_of_a_backlog_only_what_is_newer_becomes_the_present() -> None:
    house = House()
    await house.accept(995, 7)
    await house.pipeline.accept_all([frame(at, {"a": at}) for at in (993, 994)], [])
    assert house.state.hosts["web-1"].metrics() == {"a": 7}
    assert house.offered == 1
    await house.pipeline.accept_all([frame(at, {"a": at}) for at in (994.5, 996)], [])
    assert house.state.hosts["web-1"].metrics() == {"a": 996}
    assert house.offered == 2


async def test_a_frame_is_stored_folded_and_offered() -> None:
    house = House()
    await house.pipeline.accept(frame(1000, {"a": 7}), [snapshot(1000, "processes", {"pid": 1})])
    stored = (await house.store.range([("web-1", "a")], 1000, 1001, 1)).series[0]
    assert stored.average.tolist() == [7]
    assert house.state.hosts["web-1"].metrics() == {"a": 7}
    assert await house.store.snapshot_at("web-1", "processes", 1000) is not None
    assert house.offered == 1


async def test_a_frame_that_is_not_newer_stays_out_of_live_state() -> None:
    house = House()
    await house.accept(1000, 5)
    await house.accept(999, 4)
    await house.accept(1000, 3)
    assert house.state.hosts["web-1"].metrics() == {"a": 5}
    assert house.offered == 1


async def test_a_host_comes_goes_stale_goes_down_and_returns_each_told_once() -> None:
    house = House()
    await house.live(5)
    await house.live(120, host=None)
    await house.live(5)
    assert await house.told() == [
        ("web-1", None, "up"),
        ("web-1", "up", "stale"),
        ("web-1", "stale", "down"),
        ("web-1", "down", "up"),
    ]
    assert house.state.hosts["web-1"].status is HostStatus.UP


async def test_one_silent_host_says_nothing_of_another() -> None:
    house = House()
    await house.live(3, "one")
    await house.live(30, "two")
    assert ("one", "up", "stale") in await house.told()
    assert house.state.hosts["two"].status is HostStatus.UP


async def test_a_server_that_stood_still_blames_no_host() -> None:
    house = House()
    await house.live(5)
    house.now += 300
    await house.pipeline.tick(house.now)
    await house.live(int(PAUSE_SECONDS), host=None)
    assert await house.told() == [("web-1", None, "up")]
    await house.live(60, host=None)
    assert (await house.told())[-1] == ("web-1", "stale", "down")


async def test_now_never_goes_back() -> None:
    house = House()
    await house.live(5)
    await house.pipeline.tick(house.now - 3600)
    await house.live(30, host=None)
    assert await house.told() == [("web-1", None, "up"), ("web-1", "up", "stale")]


async def test_a_clock_that_is_set_back_moves_what_was_heard() -> None:
    """It must be that an hour back tells of nothing, and that silence is then found as ever."""
    house = House()
    house.now = 10_000.0
    await house.live(5)
    await house.live(5, host=None)
    house.now -= 3_600
    await house.live(1, host=None)
    host = house.state.hosts["web-1"]
    assert house.now - host.seen_at == pytest.approx(6, abs=1)
    assert host.since <= house.now
    await house.live(10)
    assert house.state.hosts["web-1"].metrics() == {"a": 1}
    assert await house.told() == [("web-1", None, "up")]
    await house.live(70, host=None)
    assert (await house.told())[1:] == [("web-1", "up", "stale"), ("web-1", "stale", "down")]


async def test_frames_after_a_clock_was_set_back_are_the_present_before_any_tick() -> None:
    house = House()
    house.now = 10_000.0
    await house.live(5)
    house.now -= 3_600
    await house.accept(house.now + 0.5, 42)
    assert house.state.hosts["web-1"].metrics() == {"a": 42}
    assert house.state.hosts["web-1"].seen_at <= house.now + 1


async def test_a_clock_that_is_set_forward_blames_no_host() -> None:
    house = House()
    await house.live(5)
    house.now += 3_600
    await house.pipeline.tick(house.now)
    await house.live(10)
    assert await house.told() == [("web-1", None, "up")]


async def test_a_clock_that_drifts_a_little_moves_nothing() -> None:
    house = House()
    await house.live(5)
    seen = house.state.hosts["web-1"].seen_at
    await house.pipeline.tick(house.now - 0.5)
    assert house.state.hosts["web-1"].seen_at == seen


async def test_an_event_is_heard_on_the_fleet_and_on_its_host() -> None:
    house = House()
    await house.live(1)
    event = (await house.log.read(0, None, 10))[0][0]
    assert event.topics == ("fleet", "host:web-1")
    assert event.data["reason"] == "first frame"


async def test_a_push_that_is_tried_again_is_acknowledged_only_once_the_log_knows_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    append = house.log.append

    async def full(*_: object) -> int:
        raise Unavailable("the disk is full", code="log_full", status=507)

    monkeypatch.setattr(house.log, "append", full)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await house.accept(999)
    monkeypatch.setattr(house.log, "append", append)
    await house.accept(999)
    assert await house.told() == [("web-1", None, "up")]


async def test_what_says_that_a_host_was_not_reached_is_no_sign_of_it() -> None:
    """It must be that such a frame is stored and shown, and that its host falls silent."""
    house = House()
    await house.live(3)
    for _ in range(70):
        house.now += 1
        unreached = replace(frame(house.now, {"up": 0}), heard=False, source="scrape:node")
        await house.pipeline.accept(unreached, [])
        await house.pipeline.tick(house.now)
    assert [status for _, _, status in await house.told()] == ["up", "stale", "down"]
    assert house.state.hosts["web-1"].value("up") == 0
    stored = (await house.store.range([("web-1", "up")], 1003, 1073, 70)).series[0]
    assert stored.average.tolist()[-1] == 0
    unknown = replace(frame(house.now, {"up": 0}, "web-2"), heard=False)
    await house.pipeline.accept(unknown, [])
    assert "web-2" not in house.state.hosts
