"""The runner, with small collectors that fail, hang, dawdle and change.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable

import pytest

from monitor.collect import runner as runner_module
from monitor.collect.runner import Runner
from monitor.errors import Absent
from monitor.model import Frame, Reading, Row, Snapshot


def workers() -> int:
    """How many threads of runners there are."""
    return sum(thread.name == "monitor-collect" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def alone() -> None:
    """Wait until the threads of the test before have ended."""
    ends = time.monotonic() + 5
    while workers() and time.monotonic() < ends:
        time.sleep(0.005)


class Canned:
    """A collector that answers what it is told to."""

    def __init__(
        self,
        name: str,
        answer: Callable[[float], Reading],
        interval_seconds: float = 0.0,
        budget_seconds: float = 1.0,
    ) -> None:
        self.name = name
        self.interval_seconds = interval_seconds
        self.budget_seconds = budget_seconds
        self.note = ""
        self.answer = answer
        self.calls = 0
        self.closed = 0

    def collect(self, now: float) -> Reading:
        self.calls += 1
        return self.answer(now)

    def close(self) -> None:
        self.closed += 1


def steady(name: str, *keys: str, interval_seconds: float = 0.0) -> Canned:
    """A collector whose keys all hold 1."""
    return Canned(name, lambda _: Reading(dict.fromkeys(keys, 1.0)), interval_seconds)


class Sink:
    """Where frames go."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.snapshots: list[Snapshot] = []

    async def __call__(self, frame: Frame, snapshots: list[Snapshot]) -> None:
        self.frames.append(frame)
        self.snapshots.extend(snapshots)

    def value(self, text: str, frame: int = -1) -> float:
        """The value of a KEY in a frame."""
        return self.frames[frame].values[self.frames[frame].schema.index[text]]

    def rows(self, kind: str = "collectors") -> list[Row]:
        """The rows of the last snapshot of a kind."""
        return list([found for found in self.snapshots if found.kind == kind][-1].rows)


def duration(name: str) -> str:
    return f'monitor.collector.duration{{collector="{name}"}}'


def success(name: str) -> str:
    return f'monitor.collector.success{{collector="{name}"}}'


async def test_a_frame_carries_every_collectors_values_and_its_own_two() -> None:
    sink = Sink()
    runner = Runner([steady("a", "x"), steady("b", "y", "z")], "web-1", 1.0, sink)
    await runner.tick(100.0)
    frame = sink.frames[0]
    assert (frame.host, frame.at) == ("web-1", 100.0)
    assert frame.schema.texts == (
        *("x", "y", "z"),
        *(duration("a"), success("a"), duration("b"), success("b")),
    )
    assert list(frame.values[:3]) == [1.0, 1.0, 1.0]
    assert sink.value(success("a")) == 1.0
    assert 0.0 <= sink.value(duration("a")) < 0.5
    runner.close()


async def test_the_schema_object_is_the_same_while_no_key_changes() -> None:
    keys = ["x"]
    sink = Sink()
    changing = Canned("a", lambda _: Reading(dict.fromkeys(keys, 2.0)))
    runner = Runner([changing, steady("b", "y")], "h", 1.0, sink)
    for now in (1.0, 2.0):
        await runner.tick(now)
    keys.append("w")
    for now in (3.0, 4.0):
        await runner.tick(now)
    keys.remove("x")
    await runner.tick(5.0)
    schemas = [frame.schema for frame in sink.frames]
    assert schemas[0] is schemas[1]
    assert schemas[2] is schemas[3]
    assert schemas[0] is not schemas[2]
    assert schemas[2].texts[:3] == ("x", "w", "y")
    assert schemas[4].texts[:2] == ("w", "y")
    assert all(len(frame.values) == len(frame.schema) for frame in sink.frames)
    runner.close()


async def test_one_that_fails_keeps_its_keys_as_nan_and_costs_only_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "monitor.collect")
    broken = threading.Event()

    def answer(_: float) -> Reading:
        if broken.is_set():
            raise ValueError("line\nbroken")
        return Reading({"x": 3.0})

    sink = Sink()
    runner = Runner([Canned("a", answer), steady("b", "y")], "h", 1.0, sink)
    await runner.tick(1.0)
    broken.set()
    for now in (2.0, 3.0, 4.0):
        await runner.tick(now)
    assert math.isnan(sink.value("x"))
    assert sink.value("y") == 1.0
    assert sink.value(success("a")) == 0.0
    assert sink.frames[0].schema is sink.frames[3].schema
    broken.clear()
    await runner.tick(5.0)
    assert sink.value("x") == 3.0
    # One line a change of state, and no raw input's newline in it.
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "line\\nbroken" in lines[0]
    assert "ok again" in lines[1]
    runner.close()


async def test_what_is_absent_has_no_series_and_is_asked_again_after_a_minute() -> None:
    moment = [0.0]
    there = threading.Event()

    def answer(_: float) -> Reading:
        if not there.is_set():
            raise Absent("no such device")
        return Reading({"x": 1.0})

    sink = Sink()
    seldom = Canned("a", answer)
    runner = Runner([seldom, steady("b", "y")], "h", 1.0, sink, monotonic=lambda: moment[0])
    await runner.tick(0.0)
    assert sink.frames[-1].schema.texts == ("y", duration("b"), success("b"))
    assert sink.rows()[0]["status"] == "absent"
    assert sink.rows()[0]["note"] == "no such device"
    there.set()
    for moment[0] in (1.0, 30.0, 59.0):
        await runner.tick(moment[0])
    assert seldom.calls == 1
    moment[0] = 60.0
    await runner.tick(60.0)
    assert sink.value("x") == 1.0
    assert sink.value(success("a")) == 1.0
    runner.close()


async def test_one_that_hangs_is_stuck_once_and_the_others_are_read_in_the_same_tick() -> None:
    release = threading.Event()
    hang = [True]

    def answer(_: float) -> Reading:
        if hang[0]:
            release.wait(20)
        return Reading({"x": 1.0})

    sink = Sink()
    hanging = Canned("a", answer)
    runner = Runner([hanging, steady("b", "y")], "h", 0.2, sink)
    before = workers()
    for now in (1.0, 2.0, 3.0):
        await runner.tick(now)
        assert sink.value("y") == 1.0
        assert sink.value(success("a")) == 0.0
        assert sink.value(duration("a")) > 0.0
    assert hanging.calls == 1
    assert workers() - before == 2
    assert sink.rows()[0]["status"] == "stuck"
    hang[0] = False
    release.set()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if workers() - before == 1:
            break
    await runner.tick(4.0)
    # What it read in the end is not too old to be used.
    assert sink.value("x") == 1.0
    await runner.tick(5.0)
    assert sink.value("x") == 1.0
    assert hanging.calls == 2
    runner.close()


async def test_several_that_hang_leave_one_thread_each() -> None:
    release = threading.Event()

    def answer(_: float) -> Reading:
        release.wait(20)
        return Reading()

    sink = Sink()
    before = workers()
    hanging = [Canned(f"h{number}", answer) for number in range(3)]
    runner = Runner([*hanging, steady("b", "y")], "h", 0.1, sink)
    for now in range(6):
        await runner.tick(float(now))
    assert [found.calls for found in hanging] == [1, 1, 1]
    assert workers() - before == 4
    assert sink.value("y") == 1.0
    runner.close()
    release.set()
    for _ in range(200):
        await asyncio.sleep(0.01)
        if all(found.closed for found in hanging):
            break
    assert [found.closed for found in hanging] == [1, 1, 1]


async def test_one_that_is_slow_three_times_is_read_less_often_and_comes_back() -> None:
    moment = [0.0]
    slow = [True]

    def answer(_: float) -> Reading:
        if slow[0]:
            time.sleep(0.25)
        return Reading({"x": 1.0})

    sink = Sink()
    dawdling = Canned("a", answer, budget_seconds=0.1)
    runner = Runner([dawdling], "h", 1.0, sink, monotonic=lambda: moment[0])
    for second in range(3):
        moment[0] = float(second)
        await runner.tick(moment[0])
    assert dawdling.calls == 3
    for second in (3, 4):
        moment[0] = float(second)
        await runner.tick(moment[0])
        assert math.isnan(sink.value("x"))
        assert math.isnan(sink.value(success("a")))
    assert dawdling.calls == 3
    moment[0] = 5.0
    await runner.tick(5.0)
    assert dawdling.calls == 4
    assert sink.rows()[0]["status"] == "slow"
    slow[0] = False
    for second in range(6, 14):
        moment[0] = float(second)
        await runner.tick(moment[0])
    assert sink.value("x") == 1.0
    assert dawdling.calls >= 8
    assert sink.rows()[0]["status"] == "ok"
    runner.close()


async def test_one_that_is_not_due_is_nan_in_between() -> None:
    moment = [0.0]
    sink = Sink()
    seldom = steady("a", "x", interval_seconds=5.0)
    runner = Runner([seldom, steady("b", "y")], "h", 1.0, sink, monotonic=lambda: moment[0])
    for second in range(11):
        # Ticks come a little early and a little late.
        moment[0] = second + (0.02 if second % 2 else -0.02)
        await runner.tick(float(second))
    read = [index for index in range(11) if not math.isnan(sink.value("x", index))]
    assert read == [0, 5, 10]
    assert len({id(frame.schema) for frame in sink.frames}) == 1
    assert math.isnan(sink.value(success("a"), 1))
    runner.close()


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, "1", None, 10**400, [1], 1 + 2j, b"1"]
)
async def test_what_is_no_finite_number_becomes_nan(value: object) -> None:
    sink = Sink()
    odd = Canned("a", lambda _: Reading({"x": value, "y": 2.0, "z": True}))  # type: ignore[dict-item]
    runner = Runner([odd], "h", 1.0, sink)
    await runner.tick(1.0)
    assert math.isnan(sink.value("x"))
    assert (sink.value("y"), sink.value("z")) == (2.0, 1.0)
    assert sink.value(success("a")) == 1.0
    runner.close()


async def test_the_first_collector_that_brings_a_key_owns_it() -> None:
    sink = Sink()
    first = Canned("a", lambda _: Reading({"x": 1.0, "y": 1.0}))
    second = Canned("b", lambda _: Reading({"w": 2.0, "y": 2.0, "z": 2.0}))
    runner = Runner([first, second], "h", 1.0, sink)
    for now in (1.0, 2.0):
        await runner.tick(now)
    assert sink.frames[-1].schema.texts[:4] == ("x", "y", "w", "z")
    assert list(sink.frames[-1].values[:4]) == [1.0, 1.0, 2.0, 2.0]
    runner.close()


@pytest.mark.parametrize("text", ["", "{", "x{", 'x{a="1}', "x{a=1}", "\udcff", 7, None])
async def test_what_is_no_key_is_left_out(text: object) -> None:
    sink = Sink()
    odd = Canned("a", lambda _: Reading({text: 1.0, "y": 2.0}))  # type: ignore[dict-item]
    runner = Runner([odd], "h", 1.0, sink)
    await runner.tick(1.0)
    assert sink.frames[0].schema.texts[0] == "y"
    assert sink.frames[0].schema.digest
    assert sink.value("y") == 2.0
    runner.close()


@pytest.mark.parametrize("answer", [None, 7, Reading(None), Reading({}, {"k": 3})])  # type: ignore[arg-type, dict-item]
async def test_what_is_no_reading_is_a_failure(answer: object) -> None:
    sink = Sink()
    odd = Canned("a", lambda _: answer)  # type: ignore[arg-type, return-value]
    runner = Runner([odd, steady("b", "y")], "h", 1.0, sink)
    await runner.tick(1.0)
    assert sink.value(success("a")) == 0.0
    assert sink.value("y") == 1.0
    runner.close()


async def test_system_exit_in_a_collector_is_a_failure_too() -> None:
    def answer(_: float) -> Reading:
        raise SystemExit(3)

    sink = Sink()
    runner = Runner([Canned("a", answer), steady("b", "y")], "h", 1.0, sink)
    await runner.tick(1.0)
    await runner.tick(2.0)
    assert (sink.value(success("a")), sink.value("y")) == (0.0, 1.0)
    runner.close()


async def test_snapshots_travel_with_the_frame() -> None:
    sink = Sink()
    table = Canned("a", lambda _: Reading({}, {"processes": [{"pid": 1}]}))
    runner = Runner([table], "h", 1.0, sink)
    await runner.tick(7.0)
    found = sink.snapshots[0]
    assert (found.host, found.at, found.kind, found.rows) == ("h", 7.0, "processes", ({"pid": 1},))
    row = sink.rows()[0]
    assert list(row) == ["collector", "status", "interval", "duration", "cpu", "note"]
    assert row["status"] == "ok"
    runner.close()


async def test_the_table_of_collectors_comes_every_five_seconds() -> None:
    moment = [0.0]
    sink = Sink()
    runner = Runner([steady("a", "x")], "h", 1.0, sink, monotonic=lambda: moment[0])
    for second in range(11):
        moment[0] = float(second)
        await runner.tick(moment[0])
    assert [found.at for found in sink.snapshots] == [0.0, 5.0, 10.0]
    runner.close()


async def test_a_tick_that_has_no_time_left_reads_the_rest_in_the_next() -> None:
    def answer(_: float) -> Reading:
        time.sleep(0.04)
        return Reading({"x": 1.0})

    sink = Sink()
    first = Canned("a", answer, interval_seconds=0.15)
    others = [Canned(f"b{number}", answer, interval_seconds=0.15) for number in range(5)]
    runner = Runner([first, *others], "h", 0.1, sink)
    await runner.tick(1.0)
    assert [found.calls for found in others][-1] == 0
    for now in (2.0, 3.0, 4.0):
        await runner.tick(now)
    assert min(found.calls for found in others) >= 1
    runner.close()


async def test_a_delivery_that_fails_does_not_stop_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    delivered: list[float] = []

    async def deliver(frame: Frame, _: list[Snapshot]) -> None:
        if frame.at < 3.0:
            raise OSError("disk full")
        delivered.append(frame.at)

    runner = Runner([steady("a", "x")], "h", 1.0, deliver)
    for now in (1.0, 2.0, 3.0):
        await runner.tick(now)
    assert delivered == [3.0]
    assert len([r for r in caplog.records if "disk full" in r.getMessage()]) == 1
    runner.close()


async def test_a_delivery_that_hangs_is_given_up_and_never_piles_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner_module, "DELIVER_SECONDS", 0.05)
    release = asyncio.Event()
    begun: list[float] = []

    async def deliver(frame: Frame, _: list[Snapshot]) -> None:
        begun.append(frame.at)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue  # as stubborn as can be

    collector = steady("a", "x")
    runner = Runner([collector], "h", 1.0, deliver)
    for now in (1.0, 2.0, 3.0):
        await runner.tick(now)
    assert begun == [1.0]
    assert collector.calls == 3
    release.set()
    await asyncio.sleep(0.01)
    await runner.tick(4.0)
    assert begun == [1.0, 4.0]
    runner.close()


async def test_the_first_tick_is_at_once_and_the_others_at_whole_multiples() -> None:
    sink = Sink()
    runner = Runner([steady("a", "x")], "h", 0.1, sink)
    began = time.time()
    task = asyncio.create_task(runner.run())
    await asyncio.sleep(0.65)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ats = [frame.at for frame in sink.frames]
    assert ats[0] - began < 0.09
    assert 4 <= len(ats) <= 8
    # On a busy machine a tick or two begin late; most do not.
    off = sorted(min(at % 0.1, 0.1 - at % 0.1) for at in ats[1:])
    assert off[len(off) // 2] < 0.04
    runner.close()


@pytest.mark.parametrize("step", [-86_400.03, 86_400.03, -0.02])
async def test_a_clock_that_steps_neither_spins_nor_stalls_the_beat(step: float) -> None:
    offset = [0.0]
    sink = Sink()
    runner = Runner([steady("a", "x")], "h", 0.1, sink, clock=lambda: time.time() + offset[0])
    task = asyncio.create_task(runner.run())
    for _ in range(6):
        await asyncio.sleep(0.1)
        offset[0] += step
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 3 <= len(sink.frames) <= 13
    runner.close()


async def test_missed_ticks_are_skipped() -> None:
    ats: list[float] = []

    async def deliver(frame: Frame, _: list[Snapshot]) -> None:
        ats.append(frame.at)
        if len(ats) == 2:
            await asyncio.sleep(0.35)

    runner = Runner([steady("a", "x")], "h", 0.1, deliver)
    task = asyncio.create_task(runner.run())
    await asyncio.sleep(0.9)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gaps = [later - earlier for earlier, later in itertools.pairwise(ats)]
    assert max(gaps) > 0.3
    assert min(gaps) > 0.04
    runner.close()


def test_the_program_ends_promptly_though_a_collector_hangs() -> None:
    release = threading.Event()

    def answer(_: float) -> Reading:
        release.wait(20)
        return Reading()

    async def main() -> None:
        runner = Runner([Canned("a", answer), steady("b", "y")], "h", 1.0, Sink())
        task = asyncio.create_task(runner.run())
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait((task,))
        runner.close()

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 1.0
    release.set()


async def test_a_cancelled_tick_leaves_a_runner_that_ticks_on_and_never_calls_twice() -> None:
    release = threading.Event()
    inside = [0]
    most = [0]

    def answer(_: float) -> Reading:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        release.wait(20)
        inside[0] -= 1
        return Reading({"x": 1.0})

    sink = Sink()
    runner = Runner([Canned("a", answer), steady("b", "y")], "h", 1.0, sink)
    task = asyncio.create_task(runner.tick(1.0))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait((task,))
    await runner.tick(2.0)
    assert sink.value("y") == 1.0
    assert sink.value(success("a")) == 0.0
    release.set()
    await asyncio.sleep(0.05)
    await runner.tick(3.0)
    assert sink.value("x") == 1.0
    assert most == [1]
    runner.close()


async def test_close_closes_each_collector_once_and_ends_the_thread() -> None:
    before = workers()
    collectors = [steady("a", "x"), steady("b", "y")]
    sink = Sink()
    runner = Runner(collectors, "h", 1.0, sink)
    await runner.tick(1.0)
    runner.close()
    runner.close()
    await runner.tick(2.0)
    assert len(sink.frames) == 1
    assert [found.closed for found in collectors] == [1, 1]
    for _ in range(100):
        await asyncio.sleep(0.01)
        if workers() == before:
            break
    assert workers() == before
