"""What every event log does; one more entry in KINDS for each log."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from monitor.errors import InputError
from monitor.log.memory import MemoryLog
from monitor.log.records import MOST_PAGE_BYTES, RECORD_BYTES
from monitor.model import Event, EventType, RetentionClass
from monitor.ports import Conflict, EventLog, Gap, Registry
from tests.log.logs import KINDS, event, names, of, opened

EVERYTHING = 2.0**52
"""An instant after all events."""


@pytest.fixture(params=KINDS)
async def both(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[EventLog, Registry]]:
    async with opened(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def log(both: tuple[EventLog, Registry]) -> EventLog:
    return both[0]


@pytest.fixture
def registry(both: tuple[EventLog, Registry]) -> Registry:
    return both[1]


async def floor_of(log: EventLog, *topics: str) -> int:
    """The floor of these topics, or of everything."""
    last = await log.last()
    _, _, floor = await log.read(last, frozenset(topics) if topics else None, 1)
    return floor


async def test_positions_ascend_from_one_without_holes(log: EventLog) -> None:
    assert await log.last() == 0
    assert await log.append([event("a"), event("b")]) == 2
    assert await log.append([event("c")]) == 3
    events, searched, floor = await log.read(0, None, 10)
    assert [found.sequence for found in events] == [1, 2, 3]
    assert names(events) == ["a", "b", "c"]
    assert (searched, floor) == (3, 0)


async def test_an_event_comes_back_as_json_has_it(log: EventLog) -> None:
    data = {
        "text": "x\n\nevent: a\u2028\u0085\0 \U0001f600 \u202e",
        "list": (1, 2.5, None, True),
        "deep": {"a": {"b": [-0.0, 1e300, 2**53 - 1]}},
    }
    topics = ("fleet", "host:\0\u2028ü", "a,b", '"]')
    given = Event(EventType.ALERT, topics, data, 1_700_000_000.123456, "id-1")
    await log.append([given])
    ((found,), _, _) = await log.read(0, frozenset({topics[1]}), 10)
    expected = {**data, "list": [1, 2.5, None, True]}
    assert found == Event(EventType.ALERT, topics, expected, given.at, "id-1", 1)


async def test_an_event_that_is_changed_after_its_append_is_not_changed_in_the_log(
    log: EventLog,
) -> None:
    data: dict[str, object] = {"name": "before"}
    await log.append([Event(EventType.NOTICE, (), data, 1.0, "a")])
    data["name"] = "after"
    assert names((await log.read(0, None, 1))[0]) == ["before"]


async def test_reading_is_filtered_by_topic_and_says_how_far_it_searched(log: EventLog) -> None:
    await log.append([event("a", "x"), event("b", "y"), event("c", "x", "y"), event("d", "y")])
    events, searched, _ = await log.read(0, frozenset({"x"}), 10)
    assert names(events) == ["a", "c"]
    assert searched == 4
    events, searched, _ = await log.read(0, frozenset({"x"}), 1)
    assert names(events) == ["a"]
    assert 1 <= searched < 3
    events, searched, _ = await log.read(searched, frozenset({"x"}), 1)
    assert names(events) == ["c"]
    assert searched == 4


async def test_an_event_on_several_of_the_topics_asked_for_comes_once(log: EventLog) -> None:
    await log.append([event("a", "x", "y"), event("b", "y", "x", "x"), event("c", "z")])
    events, searched, _ = await log.read(0, frozenset({"x", "y", "none"}), 10)
    assert names(events) == ["a", "b"]
    assert searched == 3


async def test_no_topics_hear_nothing_and_all_is_searched(log: EventLog) -> None:
    await log.append([event("a", "x"), event("b")])
    assert await log.read(0, frozenset(), 10) == ([], 2, 0)


async def test_a_page_is_bounded_in_events_and_in_bytes(log: EventLog) -> None:
    for _ in range(2):
        await log.append([event("a")] * 1_000)
    events, searched, _ = await log.read(0, None, 5_000)
    assert (len(events), searched) == (1_000, 1_000)
    big = event("big", text="x" * 200_000)
    await log.append([big] * 30)
    events, searched, _ = await log.read(2_000, None, 1_000)
    assert len(events) == MOST_PAGE_BYTES // 200_000
    assert searched == 2_000 + len(events)
    events, searched, _ = await log.read(searched, None, 1_000)
    assert searched == 2_030


async def test_a_position_beyond_the_last_is_a_gap(log: EventLog) -> None:
    await log.append([event("a")])
    for after in (2, 2**62, -1):
        with pytest.raises(Gap) as caught:
            await log.read(after, None, 10)
        assert caught.value.floor == 0


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


async def test_a_scope_without_expectation_moves_it_and_an_expectation_without_scope_is_none(
    log: EventLog,
) -> None:
    await log.append([event("a")], scope="judge")
    assert await log.last("judge") == 1
    await log.append([event("b")], expect=77)
    assert await log.last("judge") == 1
    assert await log.last() == 2


async def test_of_many_scoped_appends_at_once_one_is_first(log: EventLog) -> None:
    outcomes = await asyncio.gather(
        *(log.append([event(str(n))], scope="judge", expect=0) for n in range(50)),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 49 + ["int"]
    assert await log.last() == 1


async def test_a_scopes_position_outlives_its_events(log: EventLog) -> None:
    await log.append([of(RetentionClass.HOSTS, "a"), of(RetentionClass.HOSTS, "b")], "judge", 0)
    assert await log.trim(RetentionClass.HOSTS, EVERYTHING) == 2
    assert await log.last("judge") == 2
    with pytest.raises(Conflict):
        await log.append([event("c")], "judge", 0)
    assert await log.append([event("c")], "judge", 2) == 3


@pytest.mark.parametrize("count", [0, 1001])
async def test_an_append_has_a_bound(log: EventLog, count: int) -> None:
    with pytest.raises(InputError):
        await log.append([event("a")] * count)
    assert await log.last() == 0


BAD = {
    "NaN": event("a", value=math.nan),
    "a lone surrogate": event("a", value="\ud800"),
    "bytes": event("a", value=b"x"),
    "a reserved key": event("a", timestamp="now"),
    "too large": event("a", text="x" * 262_144),
    "too deep": event(
        "a", value=[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
    ),
    "a topic that is no text": event("a", "\ud800"),
    "an empty topic": event("a", ""),
    "a long topic": event("a", "x" * 1_025),
    "many topics": event("a", *map(str, range(17))),
    "an id that is no text": Event(EventType.NOTICE, (), {}, 1.0, "\udfff"),
    "an empty id": Event(EventType.NOTICE, (), {}, 1.0, ""),
    "no instant": event("a", at=math.nan),
    "an endless instant": event("a", at=math.inf),
    "an instant beyond all": event("a", at=1e300),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_one_bad_event_and_none_is_stored(log: EventLog, bad: Event) -> None:
    with pytest.raises(InputError):
        await log.append([event("good"), bad])
    assert await log.last() == 0
    assert await log.append([event("next")]) == 1


async def test_names_that_are_no_text_are_refused_wherever_they_stand(log: EventLog) -> None:
    for call in (
        log.append([event("a")], "\ud800", 0),
        log.append([event("a")], "", 0),
        log.read(0, frozenset({"\ud800"}), 1),
        log.last("\ud800"),
        log.erase("\ud800"),
    ):
        with pytest.raises(InputError):
            await call
    assert await log.last() == 0


async def test_a_tail_has_no_hole_and_no_repeat(log: EventLog) -> None:
    await log.append([event(str(number)) for number in range(5)])
    found: list[Event] = []
    whole = asyncio.Event()

    async def follow() -> None:
        async for page in log.tail(2):
            assert page
            found.extend(page)
            if len(found) >= 3 + 40 + 1_000:
                whole.set()

    task = asyncio.create_task(follow())
    for number in range(5, 25):
        await log.append([event(str(number)), event("more")])
        await asyncio.sleep(0)
    await asyncio.gather(*(log.append([event("x")] * 10) for _ in range(100)))
    async with asyncio.timeout(5):
        await whole.wait()
    await log.close()
    await asyncio.wait_for(task, 1)
    assert [each.sequence for each in found] == list(range(3, 1_046))
    assert found[3].data == {"name": "5"}


async def test_a_tail_from_a_position_that_is_not_in_the_log_is_a_gap(log: EventLog) -> None:
    await log.append([of(RetentionClass.HOSTS, "a"), of(RetentionClass.HOSTS, "b")])
    await log.trim(RetentionClass.HOSTS, EVERYTHING)
    for after in (1, 3):
        with pytest.raises(Gap):
            await anext(aiter(log.tail(after)))


async def test_a_tail_ends_when_the_log_is_closed_and_when_it_is_left(log: EventLog) -> None:
    await log.append([event("a")])
    left = aiter(log.tail(0))
    assert names(list(await anext(left))) == ["a"]
    assert isinstance(left, AsyncGenerator)
    await left.aclose()
    waiting = asyncio.ensure_future(anext(aiter(log.tail(1))))
    await asyncio.sleep(0.01)
    await log.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 1)


async def test_an_append_whose_caller_has_gone_is_whole_or_not_at_all(log: EventLog) -> None:
    task = asyncio.create_task(log.append([event(str(n)) for n in range(100)]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    last = await log.append([event("next")])
    assert last in {1, 101}
    assert len((await log.read(0, None, 1_000))[0]) == last


# Floors


@pytest.mark.parametrize("class_", RetentionClass)
async def test_trimming_a_class_raises_the_floor_of_the_topics_it_can_stand_on(
    log: EventLog, class_: RetentionClass
) -> None:
    await log.append([of(each, each) for each in RetentionClass])
    position = list(RetentionClass).index(class_) + 1
    assert await log.trim(class_, EVERYTHING) == 1
    heard = {
        "fleet": {RetentionClass.HOSTS},
        "alerts": {RetentionClass.ALERTS},
        "approvals": {RetentionClass.AUDIT},
        "host:a": {RetentionClass.HOSTS, RetentionClass.ALERTS},
        "host:other": {RetentionClass.HOSTS, RetentionClass.ALERTS},
        "terminal:t": {RetentionClass.TERMINAL},
        "host": set(RetentionClass),
        "something": set(RetentionClass),
    }
    for topic, classes in heard.items():
        assert await floor_of(log, topic) == (position if class_ in classes else 0), topic
    assert await floor_of(log) == position
    assert await floor_of(log, "fleet", "alerts", "approvals", "terminal:t") == position
    events, _, _ = await log.read(4, None, 10)
    assert events == []
    left = frozenset({topic for topic, classes in heard.items() if class_ not in classes})
    assert str(class_) not in names((await log.read(0, left, 10))[0])


async def test_a_class_is_read_by_itself_and_as_far_back_as_its_own_floor(log: EventLog) -> None:
    for number in range(3):
        await log.append([of(each, f"{each} {number}", at=number) for each in RetentionClass])
    kept, trimmed = RetentionClass.AUDIT, RetentionClass.HOSTS
    first = list(RetentionClass).index(kept) + 1
    assert await log.trim(trimmed, before=2.0) == 2
    assert await log.erase("terminal:t") == 3
    with pytest.raises(Gap):
        await log.read(0, None, 10)
    events, searched, floor = await log.read(0, kept, 10)
    assert names(events) == ["audit 0", "audit 1", "audit 2"]
    assert [found.sequence for found in events] == [first, first + 4, first + 8]
    assert (searched, floor) == (12, 0)
    events, searched, _ = await log.read(first, kept, 1)
    assert (names(events), searched) == (["audit 1"], first + 7)
    with pytest.raises(Gap) as caught:
        await log.read(0, trimmed, 10)
    assert caught.value.floor == list(RetentionClass).index(trimmed) + 5
    assert names((await log.read(caught.value.floor, trimmed, 10))[0]) == ["hosts 2"]
    assert (await log.read(0, RetentionClass.TERMINAL, 10))[0] == []
    with pytest.raises(Gap):
        await log.read(13, kept, 10)


async def test_a_position_below_the_floor_is_a_gap_also_in_mid_replay(log: EventLog) -> None:
    await log.append([of(RetentionClass.HOSTS, str(number), at=number) for number in range(10)])
    events, searched, floor = await log.read(0, frozenset({"fleet"}), 3)
    assert (len(events), searched, floor) == (3, 3, 0)
    assert await log.trim(RetentionClass.HOSTS, before=5.0) == 5
    with pytest.raises(Gap) as caught:
        await log.read(searched, frozenset({"fleet"}), 3)
    assert caught.value.floor == 5
    events, _, floor = await log.read(5, frozenset({"fleet"}), 10)
    assert (names(events), floor) == (["5", "6", "7", "8", "9"], 5)
    assert (await log.read(searched, frozenset({"alerts"}), 3))[0] == []


async def test_trimming_takes_a_prefix_by_age(log: EventLog) -> None:
    ages = [1.0, 2.0, 9.0, 1.0, 9.0]
    await log.append([of(RetentionClass.HOSTS, str(n), at=at) for n, at in enumerate(ages)])
    assert await log.trim(RetentionClass.HOSTS, before=1.0) == 0
    assert await log.trim(RetentionClass.HOSTS, before=5.0) == 2
    assert names((await log.read(2, None, 10))[0]) == ["2", "3", "4"]
    assert await log.trim(RetentionClass.ALERTS, before=EVERYTHING) == 0


async def test_trimming_takes_a_prefix_by_size(log: EventLog) -> None:
    size = len(b'{"name":"0"}') + RECORD_BYTES
    for number in range(10):
        await log.append([of(RetentionClass.HOSTS, str(number)), of(RetentionClass.ALERTS, "x")])
    assert await log.trim(RetentionClass.HOSTS, before=0.0, max_bytes=10 * size) == 0
    assert await log.trim(RetentionClass.HOSTS, before=0.0, max_bytes=4 * size) == 6
    assert await log.trim(RetentionClass.HOSTS, before=0.0, max_bytes=4 * size) == 0
    assert await floor_of(log, "fleet") == 11
    assert await log.trim(RetentionClass.HOSTS, before=0.0, max_bytes=0) == 4
    assert await floor_of(log, "alerts") == 0
    assert len((await log.read(0, frozenset({"alerts"}), 100))[0]) == 10


async def test_trimming_never_passes_the_oldest_checkpoint(
    log: EventLog, registry: Registry
) -> None:
    await log.append([of(RetentionClass.HOSTS, str(number)) for number in range(10)])
    ahead = await registry.save("judge", b"", {"log": 8}, 0)
    behind = await registry.save("notifier", b"", {"log": 3, "other": 1}, 0)
    await registry.save("elsewhere", b"", {"frames": 1}, 0)
    assert await log.trim(RetentionClass.HOSTS, EVERYTHING, max_bytes=0) == 3
    assert [found.sequence for found in (await log.read(3, None, 1))[0]] == [4]
    behind = await registry.save("notifier", b"", {"log": 9}, behind)
    assert await log.trim(RetentionClass.HOSTS, EVERYTHING) == 5
    await registry.save("judge", b"", {"log": 10}, ahead)
    await registry.delete("checkpoint/notifier", behind)
    assert await log.trim(RetentionClass.HOSTS, EVERYTHING) == 2


async def test_a_checkpoint_that_cannot_be_read_stops_trimming(
    log: EventLog, registry: Registry
) -> None:
    await log.append([of(RetentionClass.HOSTS, "a")])
    await registry.put("checkpoint/broken", b"\xc1")
    assert await log.trim(RetentionClass.HOSTS, EVERYTHING) == 0
    await registry.delete("checkpoint/broken")
    assert await log.trim(RetentionClass.HOSTS, EVERYTHING) == 1


async def test_trimming_many_is_whole(log: EventLog) -> None:
    for _ in range(2):
        await log.append([of(RetentionClass.TERMINAL, "a")] * 700)
    assert await log.trim(RetentionClass.TERMINAL, EVERYTHING) == 1_400
    assert await log.read(1_400, None, 10) == ([], 1_400, 1_400)
    assert await log.append([event("next")]) == 1_401


async def test_erasing_raises_the_floor_of_every_topic_that_the_events_stood_on(
    log: EventLog,
) -> None:
    await log.append(
        [
            event("1", "terminal:a", "host:x"),
            event("2", "terminal:b", "host:x"),
            event("3", "terminal:a", "alerts"),
            event("4", "host:x", "alerts"),
        ]
    )
    assert await log.erase("terminal:a") == 2
    assert await log.erase("terminal:a") == 0
    assert await log.erase("nothing") == 0
    assert await floor_of(log, "terminal:a") == 3
    assert await floor_of(log, "alerts") == 3
    assert await floor_of(log, "host:x") == 1
    assert await floor_of(log, "terminal:b") == 0
    assert await floor_of(log, "host:y", "fleet") == 0
    assert await floor_of(log) == 3
    assert names((await log.read(1, frozenset({"host:x"}), 10))[0]) == ["2", "4"]
    with pytest.raises(Gap):
        await log.read(0, frozenset({"host:x"}), 10)
    assert names((await log.read(3, None, 10))[0]) == ["4"]


async def test_erasing_many_is_whole_and_counts_no_more_against_the_size(log: EventLog) -> None:
    for _ in range(2):
        await log.append([of(RetentionClass.TERMINAL, "a")] * 600)
    await log.append([of(RetentionClass.TERMINAL, "a", topics=("terminal:b",))])
    assert await log.erase("terminal:t") == 1_200
    assert await log.trim(RetentionClass.TERMINAL, before=0.0, max_bytes=1_000) == 0
    assert await floor_of(log, "terminal:b") == 0
    assert await floor_of(log, "terminal:t") == 1_200


async def test_an_erased_topics_floor_gives_way_to_its_classes(log: EventLog) -> None:
    await log.append([of(RetentionClass.TERMINAL, str(n), topics=(f"terminal:{n}",)) for n in "ab"])
    await log.erase("terminal:a")
    await log.trim(RetentionClass.TERMINAL, EVERYTHING)
    assert await floor_of(log, "terminal:a") == 2


async def test_an_event_on_a_topic_where_nobody_expects_its_class_is_missed_there_too(
    log: EventLog,
) -> None:
    await log.append([of(RetentionClass.AUDIT, "odd", topics=("fleet", "terminal:t"))])
    await log.trim(RetentionClass.AUDIT, EVERYTHING)
    assert await floor_of(log, "fleet") == 1
    assert await floor_of(log, "terminal:t") == 1
    assert await floor_of(log, "alerts") == 0


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
    assert await floor_of(log, "fleet") == 40


async def test_memory_has_a_new_epoch_at_each_start() -> None:
    assert MemoryLog().epoch != MemoryLog().epoch
