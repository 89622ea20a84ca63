"""The hub: what each reader is owed, and when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from monitor.core import events
from monitor.core.state import LiveState
from monitor.log.memory import MemoryLog
from monitor.model import Event, EventType
from monitor.stream import hub as hub_module
from monitor.stream import speech
from monitor.stream.hub import EventPublisher
from monitor.stream.reader import Audience, SSEClient
from tests.frames import frame, snapshot

Message = tuple[str, str, dict[str, Any]]


class Stand:
    """A hub with its log and its state."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.state = LiveState()
        self.hub = EventPublisher(self.log, self.state, lambda: 1_700_000_000.0)
        self.sent = 0

    def fold(self, at: float, host: str = "web-1", **values: float) -> None:
        self.state.fold(frame(at, values, host), [], at)
        self.hub.offer()

    async def happen(self, host: str = "web-1", count: int = 1) -> None:
        for _ in range(count):
            self.sent += 1
            topics = ("fleet", f"host:{host}")
            data = {"host": host, "n": self.sent}
            await self.log.append(
                [Event(EventType.HOST_UPDATE, topics, data, 1.0, f"e{self.sent}")]
            )


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    await made.hub.start()
    yield made
    await made.hub.stop()


class Reader:
    """Reads a stream message by message."""

    def __init__(self, hub: EventPublisher, client: SSEClient) -> None:
        self._stream = hub.stream(client)
        self._buffer: list[str] = []

    async def block(self) -> str:
        while not self._buffer:
            chunk = await asyncio.wait_for(anext(self._stream), 2)
            self._buffer = chunk.decode().removesuffix("\n\n").split("\n\n")
        return self._buffer.pop(0)

    async def message(self) -> Message:
        """The next message: its type, id and payload; retry and comments are passed over."""
        while True:
            block = await self.block()
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "event" in fields:
                return fields["event"], fields.get("id", ""), json.loads(fields["data"])

    async def messages(self, count: int) -> list[Message]:
        return [await self.message() for _ in range(count)]

    async def close(self) -> None:
        await self._stream.aclose()  # type: ignore[attr-defined]


async def read(stand: Stand, *topics: str, after: str | None = None) -> Reader:
    client = await stand.hub.subscribe(frozenset(topics), last_event_id=after)
    return Reader(stand.hub, client)


async def test_the_first_bytes_are_retry_and_then_connected(stand: Stand) -> None:
    reader = await read(stand, "fleet")
    first = await reader.block()
    assert first.startswith("retry: ")
    assert first.removeprefix("retry: ").isdigit()
    kind, identity, data = await reader.message()
    assert kind == "connected"
    assert identity == f"{stand.log.epoch}-0"
    assert data["topics"] == ["fleet"]
    assert data["position"] == identity
    assert "gap" not in data
    assert {"timestamp", "event_id"} <= set(data)


async def test_a_new_reader_has_a_snapshot_before_its_first_change(stand: Stand) -> None:
    stand.fold(10, a=1, b=2)
    reader = await read(stand, "host:web-1")
    (_, (kind, identity, data)) = await reader.messages(2)
    assert (kind, identity) == ("metric_update", "")
    assert data["metrics"] == {"a": 1, "b": 2}
    stand.fold(11, a=3, b=float("nan"))
    _, _, data = await reader.message()
    assert data["metrics"] == {"a": 3}
    assert data["at"] == 11


async def test_a_reader_that_fell_behind_gets_newest_state_and_every_event(stand: Stand) -> None:
    reader = await read(stand, "host:web-1")
    await reader.message()
    for at in range(50):
        stand.fold(at + 1, a=at)
        await stand.happen()
    await asyncio.sleep(0.12)
    found = await reader.messages(51)
    events = [data["n"] for kind, _, data in found if kind == "host_update"]
    states = [data["metrics"] for kind, _, data in found if kind == "metric_update"]
    assert events == list(range(1, 51))
    assert states == [{"a": 49}]


async def test_fleet_state_carries_the_headline_of_changed_hosts_only(stand: Stand) -> None:
    stand.fold(10, "one", **{"system.cpu.utilization": 0.5})
    stand.fold(10, "two", **{"system.cpu.utilization": 0.25})
    reader = await read(stand, "fleet")
    (_, (_, _, data)) = await reader.messages(2)
    column = data["metrics"].index("system.cpu.utilization")
    assert {host: row[column] for host, row in data["hosts"].items()} == {"one": 0.5, "two": 0.25}
    assert None in data["hosts"]["one"]
    stand.fold(11, "two", **{"system.cpu.utilization": 0.75})
    _, _, data = await reader.message()
    assert list(data["hosts"]) == ["two"]


async def test_a_table_is_sent_when_it_is_new_and_not_again(stand: Stand) -> None:
    reader = await read(stand, "host:web-1")
    stand.state.fold(frame(1, {"a": 1}), [snapshot(1, "processes", {"pid": 7})], 1)
    stand.hub.offer()
    (_, (_, _, data)) = await reader.messages(2)
    assert data["snapshots"] == {"processes": [{"pid": 7}]}
    stand.fold(2, a=2)
    _, _, data = await reader.message()
    assert data["snapshots"] == {}


async def test_it_resumes_after_a_position_with_no_hole_and_no_repeat(stand: Stand) -> None:
    await stand.happen(count=600)
    reader = await read(stand, "log", after=f"{stand.log.epoch}-100")
    kind, identity, data = await reader.message()
    assert (kind, identity) == ("connected", f"{stand.log.epoch}-100")
    assert "gap" not in data
    await stand.happen(count=5)
    found = [(kind, data["n"]) for kind, _, data in await reader.messages(505)]
    assert found == [("host_update", number) for number in range(101, 606)]


async def test_replay_honours_the_topics(stand: Stand) -> None:
    for _ in range(400):
        await stand.happen("one")
        await stand.happen("two")
    reader = await read(stand, "host:two", after=f"{stand.log.epoch}-0")
    found = await reader.messages(401)
    assert {data["host"] for kind, _, data in found if kind == "host_update"} == {"two"}


@pytest.mark.parametrize("position", ["", "nonsense", "ffffffffffffffff-3", "-1", "😀", "x" * 100])
async def test_an_unknown_position_is_one_gap_then_the_snapshot(
    stand: Stand, position: str
) -> None:
    stand.fold(10, a=1)
    await stand.happen(count=3)
    reader = await read(stand, "host:web-1", after=position)
    ((kind, identity, data), (second, _, _)) = await reader.messages(2)
    assert (kind, identity) == ("connected", f"{stand.log.epoch}-3")
    assert data["gap"] == {"from": None, "to": f"{stand.log.epoch}-3"}
    assert second == "metric_update"


async def test_a_position_below_the_floor_or_beyond_the_last_is_a_gap() -> None:
    stand = Stand()
    stand.log = MemoryLog(most_events=10)
    stand.hub = EventPublisher(stand.log, stand.state, lambda: 1.0)
    await stand.hub.start()
    await stand.happen(count=50)
    for sequence in (5, 51):
        reader = await read(stand, "log", after=f"{stand.log.epoch}-{sequence}")
        _, _, data = await reader.message()
        assert data["gap"]["to"] == f"{stand.log.epoch}-50"
        assert data["gap"]["from"] == f"{stand.log.epoch}-{sequence}"
    await stand.hub.stop()


async def test_readers_are_told_of_a_gap_when_the_log_outruns_the_hub() -> None:
    stand = Stand()
    stand.log = MemoryLog(most_events=10)
    stand.hub = EventPublisher(stand.log, stand.state, lambda: 1.0)
    await stand.hub.start()
    reader = await read(stand, "log")
    await reader.message()
    await stand.happen(count=50)
    kind, _, data = await reader.message()
    assert (kind, data["gap"]["to"]) == ("connected", f"{stand.log.epoch}-50")
    await stand.happen()
    kind, _, data = await reader.message()
    assert (kind, data["n"]) == ("host_update", 51)
    await stand.hub.stop()


async def test_an_event_on_several_of_a_readers_topics_comes_once(stand: Stand) -> None:
    reader = await read(stand, "fleet", "host:web-1", "log")
    await reader.message()
    await stand.happen()
    await stand.happen()
    assert [data["n"] for _, _, data in await reader.messages(2)] == [1, 2]


async def test_what_nobody_asked_for_reaches_nobody(stand: Stand) -> None:
    reader = await read(stand, "host:other")
    await reader.message()
    stand.fold(1, a=1)
    await stand.happen()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.block(), 0.3)


async def test_an_idle_stream_gets_a_comment_and_on_request_an_event(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.2)
    await stand.hub.stop()
    stand.hub = EventPublisher(stand.log, stand.state, lambda: 1.0)
    await stand.hub.start()
    plain = await read(stand, "alerts")
    await plain.message()
    assert await plain.block() == ":"
    audience = Audience(frozenset({"alerts"}), heartbeat_events=True)
    client = await stand.hub.subscribe(audience.topics, audience=audience)
    asking = Reader(stand.hub, client)
    assert [kind for kind, _, _ in await asking.messages(2)] == ["connected", "heartbeat"]


async def test_a_reader_that_takes_no_write_is_cut_and_one_that_is_idle_is_not(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.1)
    await stand.hub.stop()
    stand.hub = EventPublisher(stand.log, stand.state, lambda: 1.0)
    await stand.hub.start()
    gone: list[str] = []
    stand.hub.on_disconnect(lambda client: gone.append(client.metadata["name"]))
    stuck = await stand.hub.subscribe(frozenset({"host:web-1"}), {"name": "stuck"})
    never_read_on = stand.hub.stream(stuck)
    await anext(never_read_on)  # takes one piece and never asks for the next
    idle = await stand.hub.subscribe(frozenset({"fleet"}), {"name": "idle"})
    reader = Reader(stand.hub, idle)
    await reader.message()
    at = 0
    while not stuck.is_slow:
        at += 1
        values = {f"metric.{number}": number / 3 for number in range(3_000)}
        stand.state.fold(frame(at, values), [], at)
        stand.hub.offer()
        await reader.message()
    waiting = asyncio.create_task(reader.message())
    await asyncio.sleep(1)
    assert gone == ["stuck"]
    assert stand.hub.counters.stalls_total == 1
    stand.fold(at + 1, a=1)
    await waiting


async def test_a_large_host_comes_in_several_messages_and_whole(stand: Stand) -> None:
    values = {f"metric.{number}": float(number) for number in range(5_000)}
    stand.state.fold(frame(1, values), [snapshot(1, "processes", {"pid": 1})], 1)
    reader = await read(stand, "host:web-1")
    (_, *updates) = await reader.messages(4)
    found: dict[str, float] = {}
    for _, _, data in updates:
        found |= data["metrics"]
    assert found == values
    assert [len(data["snapshots"]) for _, _, data in updates] == [1, 0, 0]


async def test_a_table_that_cannot_be_encoded_ends_no_stream(stand: Stand) -> None:
    reader = await read(stand, "host:web-1")
    await reader.message()
    stand.state.fold(frame(1, {"a": 1}), [snapshot(1, "processes", {"name": "\ud800"})], 1)
    stand.hub.offer()
    await asyncio.sleep(0.1)
    stand.state.fold(frame(2, {"a": 2}), [snapshot(2, "processes", {"name": "ok"})], 2)
    stand.hub.offer()
    _, _, data = await reader.message()
    assert data["metrics"] == {"a": 2}


async def test_a_task_that_died_does_not_keep_the_hub_from_stopping(stand: Stand) -> None:
    async def fail() -> None:
        raise RuntimeError("a fault")

    stand.hub._tasks.append(asyncio.create_task(fail()))
    await asyncio.sleep(0)
    await stand.hub.stop()
    assert not stand.hub.is_running


async def test_stopping_says_goodbye_and_ends_every_stream(stand: Stand) -> None:
    readers = [await read(stand, "fleet") for _ in range(5)]
    for reader in readers:
        await reader.message()
    await stand.happen()
    await asyncio.sleep(0.01)
    await stand.hub.stop()
    for reader in readers:
        kinds = [kind for kind, _, _ in await reader.messages(2)]
        assert kinds == ["host_update", "disconnected"]
        with pytest.raises(StopAsyncIteration):
            await reader.block()
    assert stand.hub.client_count == 0
    assert not stand.hub.is_running


async def test_a_subscription_that_never_streams_leaves_nothing_behind(stand: Stand) -> None:
    await stand.hub.subscribe(frozenset({"fleet"}))
    assert stand.hub.client_count == 0
    reader = await read(stand, "fleet")
    await reader.message()
    assert stand.hub.client_count == 1
    await reader.close()
    assert stand.hub.client_count == 0


async def test_the_same_state_is_encoded_once_for_all_who_saw_the_same(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    original = events.state_document

    def counted(*arguments: Any) -> bytes:
        nonlocal calls
        calls += "metrics" in arguments[0]
        return original(*arguments)

    monkeypatch.setattr(speech, "state_document", counted)
    readers = [await read(stand, "host:web-1") for _ in range(20)]
    for reader in readers:
        await reader.message()
    waiting = [asyncio.create_task(reader.message()) for reader in readers]
    await asyncio.sleep(0.02)
    stand.fold(1, a=1)
    updates = await asyncio.gather(*waiting)
    assert len({json.dumps(update) for update in updates}) == 1
    assert calls == 1
