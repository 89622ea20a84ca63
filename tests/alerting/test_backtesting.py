"""Backtests of a rule against a real store."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.alerting import backtesting
from monitor.alerting.backtesting import backtest
from monitor.alerting.backtestwords import duration
from monitor.core.rules.model import Rule
from monitor.core.rules.reading import read
from monitor.core.state import LiveState
from monitor.store.sqlite import SqliteStore, open_store
from tests.frames import frame

NOW = 1_789_948_800.0
DAY = 86_400.0
START = NOW - DAY
CPU = "system.cpu.utilization"
DISK = 'system.filesystem.utilization{mountpoint="/var"}'


def rule(**tables: Any) -> Rule:
    found, faults = read({"tried": tables})
    assert not faults
    (made,) = found
    return made


BUSY = rule(metric=CPU, warning={"above": "90%", "clear_below": "80%"}, **{"for": "5m"})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await open_store(tmp_path, clock=lambda: NOW)
    yield made
    await made.close()


@pytest.fixture
def state() -> LiveState:
    made = LiveState()
    made.label("db-1", {"role": "db"})
    made.label("web-3", {"role": "web"})
    return made


async def live(
    store: SqliteStore,
    host: str,
    key: str,
    value: Callable[[float], float],
    period: float = 60.0,
    start: float = START,
) -> None:
    """A host that sent this value of its clock for as long as history goes."""
    count = int((NOW - start) / period)
    frames = [frame(at, {key: value(at - START)}, host) for at in _instants(start, period, count)]
    for first in range(0, count, 1_000):
        await store.append(frames[first : first + 1_000])


def _instants(start: float, period: float, count: int) -> list[float]:
    return [start + number * period for number in range(count)]


def bursts(at: float) -> float:
    """95 % for ten minutes in every three hours, shaking about the limit in the middle."""
    inside = at % 10_800
    return 0.3 if inside >= 600 else 0.85 if 240 <= inside < 360 else 0.95


async def test_a_rule_is_tried_on_what_was(store: SqliteStore, state: LiveState) -> None:
    """It must be that it says how often, where, how long, and what hysteresis does."""
    await live(store, "web-3", CPU, bursts)
    await live(store, "db-1", CPU, lambda at: 0.97 if 3_600 <= at < 6_120 else 0.1)
    await live(store, "web-9", CPU, lambda at: 0.99)
    found = await backtest(store, state, BUSY, START, NOW, {"web-3", "db-1"})
    assert found.summary == (
        "would have fired 9 times on web-3 and db-1, longest 37 min; without hysteresis 1"
    )
    assert found.count == len(found.firings) == 9
    assert found.without_hysteresis == 1
    assert {firing.host for firing in found.firings} == {"web-3", "db-1"}
    (long_,) = [firing for firing in found.firings if firing.host == "db-1"]
    assert (long_.start - START, long_.end and long_.end - START) == (3_960, 6_180)
    assert long_.peak == pytest.approx(0.97)
    assert (found.resolution_seconds, found.hosts, found.series) == (60, 2, 2)
    assert found.history_seconds == DAY
    assert found.judged == "averages of 1 min"
    assert found.left_out == ()


async def test_what_fired_is_there_to_be_drawn(store: SqliteStore, state: LiveState) -> None:
    """It must be that the series that fired come with it, and no others."""
    await live(store, "web-3", CPU, bursts)
    await live(store, "db-1", CPU, lambda at: 0.1)
    found = await backtest(store, state, BUSY, START, NOW, {"web-3", "db-1"})
    (drawn,) = found.drawn
    assert (drawn.host, drawn.key) == ("web-3", CPU)
    assert len(drawn.t) == len(drawn.average) == len(drawn.maximum) <= backtesting.DRAWN_POINTS
    assert drawn.maximum.max() == pytest.approx(0.95)


async def test_a_rule_that_never_fired_says_so(store: SqliteStore, state: LiveState) -> None:
    """It must be that silence is told as such, with how much there was to judge."""
    await live(store, "db-1", CPU, lambda at: 0.1, start=NOW - 7_200)
    found = await backtest(store, state, BUSY, START, NOW, {"db-1", "web-3"})
    assert found.summary == "would not have fired on 1 host"
    assert found.history_seconds == 7_200
    assert (found.firings, found.drawn, found.without_hysteresis) == ((), (), 0)


async def test_without_history_nothing_is_said_of_a_rule(
    store: SqliteStore, state: LiveState
) -> None:
    """It must be that a rule about what nobody has is not called quiet."""
    await live(store, "db-1", DISK, lambda at: 0.1, start=NOW - 7_200)
    found = await backtest(store, state, BUSY, START, NOW, {"db-1", "web-3"})
    assert found.summary == "there is no history of what it looks at"
    assert (found.hosts, found.history_seconds, found.resolution_seconds) == (0, 0, 0)


async def test_what_is_never_kept_is_named(store: SqliteStore, state: LiveState) -> None:
    """It must be that a rule about what the judge makes is not called quiet."""
    await live(store, "db-1", CPU, lambda at: 0.99, start=NOW - 7_200)
    away = rule(metric="monitor.host.down", critical={"equals": 1})
    found = await backtest(store, state, away, START, NOW, {"db-1"})
    assert found.summary == (
        "there is no history of what it looks at; monitor.host.down is made while judging and not"
        " kept, so that it could not be judged"
    )


async def test_hosts_that_it_is_not_about_are_not_counted(
    store: SqliteStore, state: LiveState
) -> None:
    """It must be that a host with half of what a rule needs is none on which it was quiet."""
    await live(store, "db-1", CPU, lambda at: 0.99, start=NOW - 7_200)
    both = rule(
        all=[{"metric": "app.queue", "above": 1}, {"metric": CPU, "above": "90%"}],
        severity="warning",
    )
    found = await backtest(store, state, both, START, NOW, {"db-1"})
    assert found.hosts == 0


async def test_only_hosts_that_may_be_seen_and_that_it_takes_are_read(
    store: SqliteStore, state: LiveState
) -> None:
    """It must be that labels select, and that a name that was not given is not read."""
    for host in ("db-1", "web-3", "web-9"):
        await live(store, host, CPU, lambda at: 0.99, start=NOW - 7_200)
    of_web = rule(metric=CPU, warning={"above": "90%"}, hosts="role=web")
    found = await backtest(store, state, of_web, START, NOW, {"db-1", "web-3"})
    assert [firing.host for firing in found.firings] == ["web-3"]
    assert found.hosts == 1


async def test_hosts_that_send_at_different_paces_are_judged_at_their_own(
    store: SqliteStore, state: LiveState
) -> None:
    """It must be that a slow host does not coarsen a quick one."""
    start = NOW - 14_400
    await live(store, "db-1", CPU, lambda at: 0.99, start=start)
    await live(store, "web-3", CPU, lambda at: 0.99, period=600, start=start)
    found = await backtest(store, state, BUSY, start, NOW, {"db-1", "web-3"})
    assert found.resolution_seconds == 600
    assert [(f.host, f.start - start) for f in found.firings] == [("db-1", 360), ("web-3", 1_200)]


def _busy(_: float) -> float:
    return 0.9


def _idle(_: float) -> float:
    return 0.1


async def test_peers_are_judged_together_whatever_their_pace(
    store: SqliteStore, state: LiveState
) -> None:
    """It must be that a fleet is compared in the same buckets."""
    start = NOW - 14_400
    hosts = [f"web-{number}" for number in range(6)]
    for number, host in enumerate(hosts):
        state.label(host, {"role": "web"})
        period = 600.0 if number == 0 else 60.0
        await live(store, host, CPU, _busy if number == 5 else _idle, period, start)
    odd = rule(metric=CPU, warning={"differs_from_peers": 6})
    found = await backtest(store, state, odd, start, NOW, hosts)
    assert [firing.host for firing in found.firings] == ["web-5"]
    assert (found.resolution_seconds, found.hosts, found.series) == (600, 6, 6)


async def test_a_series_that_is_no_more_does_not_fire_for_ever(
    store: SqliteStore, state: LiveState
) -> None:
    """It must be that a disk that was taken away ended its alert, as it does live."""
    full = rule(metric="system.filesystem.utilization", warning={"above": "90%"})
    taken = [frame(START + at * 60.0, {CPU: 0.1, DISK: 0.99}, "db-1") for at in range(120)]
    left = [frame(START + at * 60.0, {CPU: 0.1}, "db-1") for at in range(120, 1_440)]
    await store.append(taken)
    await store.append(left[:700])
    await store.append(left[700:])
    state.fold(left[-1], [], NOW)
    found = await backtest(store, state, full, START, NOW, {"db-1"})
    (firing,) = found.firings
    assert firing.attributes == (("mountpoint", "/var"),)
    assert firing.end == START + 120 * 60 + 300


async def test_a_silence_in_history_neither_adds_nor_ends(
    store: SqliteStore, state: LiveState
) -> None:
    """It must be that a gap in history is judged as a host that is silent is."""
    start = NOW - 7_200
    await live(
        store,
        "db-1",
        CPU,
        lambda at: 0.99 if (at - (start - START)) < 3_600 else 0.1,
        start=start,
    )
    before = rule(metric=CPU, warning={"above": "90%"}, **{"for": "45m"})
    found = await backtest(store, state, before, start, NOW, {"db-1"})
    (firing,) = found.firings
    assert firing.start == start + 46 * 60
    assert not math.isnan(firing.peak)


async def test_too_much_is_left_out_and_named(
    store: SqliteStore, state: LiveState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that bounds hold, and that what they cost is told."""
    await live(store, "db-1", CPU, lambda at: 0.1, start=NOW - 7_200)
    await live(store, "web-3", CPU, lambda at: 0.1, start=NOW - 7_200)
    monkeypatch.setattr(backtesting, "MOST_CELLS", backtesting.LEAST_STEPS)
    found = await backtest(store, state, BUSY, START, NOW, {"db-1", "web-3"})
    assert [each.host for each in found.left_out] == ["web-3"]
    assert found.summary == "would not have fired on 1 host; 1 host was left out"
    monkeypatch.setattr(backtesting, "LONGEST_SECONDS", 0.0)
    found = await backtest(store, state, BUSY, START, NOW, {"db-1"})
    assert [each.host for each in found.left_out] == ["db-1"]


async def test_very_many_series_are_judged_in_wider_buckets() -> None:
    """It must be that the range is cut into fewer, down to a bound."""
    points = backtesting._Run._points
    assert points(1) == backtesting.MOST_STEPS
    assert points(4_000) == 10_000
    assert points(10**7) == backtesting.LEAST_STEPS


async def test_whoever_gives_up_ends_the_work(
    store: SqliteStore, state: LiveState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that cancelling stops the thread, too."""
    await live(store, "db-1", CPU, lambda at: 0.1, start=NOW - 7_200)
    began, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*arguments: Any) -> list[Any]:
        loop.call_soon_threadsafe(began.set)
        while not arguments[-1]():
            pass
        loop.call_soon_threadsafe(ended.set)
        return []

    monkeypatch.setattr(backtesting, "judged", slow)
    task = asyncio.create_task(backtest(store, state, BUSY, START, NOW, {"db-1"}))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (42, "42 s"),
        (60, "1 min"),
        (2_520, "42 min"),
        (90, "1 min 30 s"),
        (11_400, "3 h 10 min"),
        (172_800, "2 d"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    """It must be that two units are enough."""
    assert duration(seconds) == text
