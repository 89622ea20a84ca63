"""What every event log does; one more parameter for each log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from monitor.errors import InputError
from monitor.log.memory import MemoryLog
from monitor.model import Event, EventType
from monitor.ports import Conflict, EventLog, Gap

LOGS: list[Callable[[], EventLog]] = [MemoryLog]


@pytest.fixture(params=LOGS)
async def log(request: pytest.FixtureRequest) -> EventLog:
    made: EventLog = request.param()
    return made


def event(name: str, *topics: str) -> Event:
    return Event(EventType.NOTICE, topics or ("fleet",), {"name": name}, 1.0, name)


def names(events: list[Event]) -> list[object]:
    return [found.data["name"] for found in events]


async def test_positions_ascend_from_one_without_holes(log: EventLog) -> None:
    assert await log.last() == 0
    assert await log.append([event("a"), event("b")]) == 2
    assert await log.append([event("c")]) == 3
    events, searched, floor = await log.read(0, None, 10)
    assert [found.sequence for found in events] == [1, 2, 3]
    assert names(events) == ["a", "b", "c"]
    assert (searched, floor) == (3, 0)


async def test_reading_is_filtered_by_topic_and_says_how_far_it_searched(log: EventLog) -> None:
    await log.append([event("a", "x"), event("b", "y"), event("c", "x", "y"), event("d", "y")])
    events, searched, _ = await log.read(0, frozenset({"x"}), 10)
    assert names(events) == ["a", "c"]
    assert searched == 4
    events, searched, _ = await log.read(0, frozenset({"x"}), 1)
    assert names(events) == ["a"]
    events, searched, _ = await log.read(searched, frozenset({"x"}), 1)
    assert names(events) == ["c"]
    assert searched == 4


async def test_a_position_beyond_the_last_is_a_gap(log: EventLog) -> None:
    await log.append([event("a")])
    with pytest.raises(Gap):
        await log.read(2, None, 10)


async def test_a_scoped_append_is_refused_when_somebody_was_there_before(log: EventLog) -> None:
    assert await log.append([event("a")], scope="judge", expect=0) == 1
    await log.append([event("b")])
    assert await log.append([event("c")], scope="judge", expect=1) == 3
    with pytest.raises(Conflict) as caught:
        await log.append([event("d")], scope="judge", expect=1)
    assert caught.value.last == 3
    assert await log.last() == 3
    assert await log.last("judge") == 3
    assert await log.last("other") == 0


@pytest.mark.parametrize("count", [0, 1001])
async def test_an_append_has_a_bound(log: EventLog, count: int) -> None:
    with pytest.raises(InputError):
        await log.append([event("a")] * count)
    assert await log.last() == 0


async def test_a_tail_has_no_hole_and_no_repeat(log: EventLog) -> None:
    await log.append([event(str(number)) for number in range(5)])
    found: list[int] = []

    async def follow() -> None:
        async for page in log.tail(2):
            found.extend(each.sequence for each in page)

    task = asyncio.create_task(follow())
    for number in range(20):
        await log.append([event(str(number)), event("more")])
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    await log.close()
    await asyncio.wait_for(task, 1)
    assert found == list(range(3, 46))


async def test_the_epoch_is_sixteen_hex_digits(log: EventLog) -> None:
    assert len(log.epoch) == 16
    int(log.epoch, 16)


async def test_memory_is_bounded_and_says_what_it_let_go() -> None:
    log = MemoryLog(most_events=10)
    for number in range(50):
        await log.append([event(str(number))])
    with pytest.raises(Gap) as caught:
        await log.read(39, None, 100)
    assert caught.value.floor == 40
    events, _, floor = await log.read(40, None, 100)
    assert floor == 40
    assert names(events) == [str(number) for number in range(40, 50)]


async def test_memory_has_a_new_epoch_at_each_start() -> None:
    assert MemoryLog().epoch != MemoryLog().epoch
