"""The faults of this project's seed, each held down by name (STREAM section 4).

Readers are within the process where the hub alone is concerned, and on sockets elsewhere.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from monitor.core import events
from monitor.core.state import LiveState
from monitor.errors import InputError
from monitor.log.memory import MemoryLog
from monitor.model import Event, EventType
from monitor.stream import hub as hub_module
from monitor.stream import speech
from monitor.stream.hub import EventPublisher
from monitor.stream.reader import SSEClient
from tests.browser.rig import Rig
from tests.stream.making import CPU, alert, at_once, eventually, happen, notice, notices, position
from tests.stream.reading import Reader, stream


async def test_ids_are_positions_and_not_random(rig: Rig) -> None:
    reader = await Reader.open(rig.url, stream("log"))
    assert (await reader.message()).id == position(rig, 0)
    await notices(rig, ["one", "two"])
    assert [block.id for block in await reader.messages(2)] == [position(rig, n) for n in (1, 2)]


async def test_heartbeats_have_no_id_of_their_own(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a heartbeat's id is a position from which one can come back."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    reader = await Reader.open(rig.url, stream("approvals", heartbeat="event"))
    heartbeat = await reader.message("heartbeat")
    assert heartbeat.id in {"", position(rig, 0)}
    await notices(rig, ["one", "two"])
    while (heartbeat := await reader.message("heartbeat")).id != position(rig, 2):
        pass
    again = await Reader.open(rig.url, stream("log"), last_event_id=heartbeat.id)
    assert "gap" not in (await again.message("connected")).data


async def test_there_is_replay_and_gap_and_snapshot(rig: Rig) -> None:
    await notices(rig, ["one", "two", "three"])
    replayed = await Reader.open(rig.url, stream("log"), last_event_id=position(rig, 1))
    assert "gap" not in (await replayed.message("connected")).data
    assert [b.data["text"] for b in await replayed.messages(2)] == ["two", "three"]
    lost = await Reader.open(rig.url, stream("log", "fleet"), last_event_id="0" * 16 + "-1")
    connected, snapshot = await lost.messages(2)
    assert connected.data["gap"]["to"] == position(rig, 3)
    assert set(snapshot.data["hosts"]) == {"web-1", "web-2"}


@pytest.mark.parametrize("topic", ["nonsense", "", "log", "host:", "host:a b", "terminal:"])
async def test_publishing_to_an_unknown_topic_is_an_error_and_reaches_nobody(
    rig: Rig, topic: str
) -> None:
    reader = await Reader.open(rig.url, stream("log", "fleet", "alerts"))
    await reader.messages(2)
    with pytest.raises(InputError) as found:
        await rig.hub.publish(notice("x"), topic=topic)
    assert found.value.code == "unknown_topic"
    event = alert()
    with pytest.raises(InputError):
        await rig.hub.publish(Event(event.type, (topic,), event.data, event.at, event.event_id))
    assert await rig.log.last() == 0
    with pytest.raises(TimeoutError):
        await reader.block(0.1)


async def test_publishing_to_an_empty_list_of_readers_reaches_nobody(rig: Rig) -> None:
    reader = await Reader.open(rig.url, stream("log", "fleet", "alerts"))
    await reader.messages(2)
    event = Event(EventType.ERROR, (), {"code": "c", "detail": "d"}, time.time(), "e1")
    assert await rig.hub.publish(event, client_ids=[]) == 0
    assert await rig.hub.publish(event, client_ids=["unknown"]) == 0
    with pytest.raises(TimeoutError):
        await reader.block(0.1)
    (client,) = rig.hub._delivery.crowd.clients()
    assert await rig.hub.publish(event, client_ids=[client.id]) == 1
    said = await reader.message()
    assert (said.type, said.id, said.data["code"]) == ("error", "", "c")


async def test_what_is_logged_cannot_be_said_to_some_readers_only(rig: Rig) -> None:
    with pytest.raises(InputError):
        await rig.hub.publish(notice("x"), client_ids=["any"])


async def test_one_event_that_cannot_be_encoded_ends_nobodys_stream(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It must be so even where the log itself brings one, as a damaged file might."""
    reader = await Reader.open(rig.url, stream("log"))
    await reader.message("connected")
    tail = rig.log.read

    async def damaged(*arguments: Any) -> Any:
        found, searched, floor = await tail(*arguments)
        broken: list[dict[str, Any]] = [
            {"data": {"text": math.nan}},
            {"at": math.nan},
            {"at": 1e300},
            {"event_id": 'x"\n'},
            {"data": {"timestamp": 1}},
        ]
        spoilt = [
            replace(event, **broken[event.sequence - 1]) if event.sequence <= len(broken) else event
            for event in found
        ]
        return spoilt, searched, floor

    monkeypatch.setattr(rig.log, "read", damaged)
    await notices(rig, [f"{number}" for number in range(1, 8)])
    assert [b.data["text"] for b in await reader.messages(2)] == ["6", "7"]
    assert not any(task.done() for task in rig.hub.tasks)
    assert caplog.text.count("was not sent") == 5


@pytest.mark.parametrize("key", ["timestamp", "event_id"])
async def test_a_callers_timestamp_is_an_error_and_never_overwritten(rig: Rig, key: str) -> None:
    event = notice("x")
    data = {**event.data, key: "mine"}
    with pytest.raises(InputError):
        await rig.hub.publish(Event(event.type, (), data, event.at, event.event_id))
    with pytest.raises(InputError):
        await rig.log.append([Event(event.type, (), data, event.at, event.event_id)])
    assert await rig.log.last() == 0


async def test_no_event_is_dropped_when_a_reader_is_full_and_alerts_least_of_all(
    rig: Rig,
) -> None:
    reader = await Reader.open(rig.url, stream("alerts", "host:web-1"), receive_buffer=4_096)
    await reader.message("connected")
    for number in range(200):
        await happen(rig, alert(attributes={"n": f"{number}", "filling": "x" * 3_000}))
        if number % 5 == 0:
            await rig.send({f"metric.{key}": number / 3 for key in range(500)})
    found = await reader.messages(200, "alert", "connected")
    assert [block.data["attributes"]["n"] for block in found] == [f"{n}" for n in range(200)]


async def test_heartbeats_are_not_queued_as_events(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a reader which does not read heaps up none, and that traffic resets them."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    reader = await Reader.open(rig.url, stream("log", heartbeat="event"), receive_buffer=4_096)
    await reader.message("connected")
    await notices(rig, [f"{number}{'x' * 5_000}" for number in range(200)])
    await eventually(lambda: all(c.is_slow for c in rig.hub._delivery.crowd.clients()))
    await asyncio.sleep(0.5)  # time for five
    found = await reader.messages(200, "notice", "heartbeat")
    assert sum(block.type == "heartbeat" for block in found) <= 1


async def test_an_event_is_encoded_once_for_all_readers(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = await at_once(
        *(
            Reader.open(rig.url, stream("log"), accept_encoding=encoding)
            for encoding in ("gzip", "identity")
            for _ in range(20)
        )
    )
    for reader in readers:
        await reader.message("connected")
    calls = [0]

    def counted(data: dict[str, object], event_id: str) -> bytes:
        calls[0] += 1
        return events.document(data, event_id)

    monkeypatch.setattr(speech, "document", counted)
    await notices(rig, ["one", "two", "three"])
    heard = await at_once(*(reader.messages(3) for reader in readers))
    assert all(found == heard[0] for found in heard)
    assert calls == [3]


@pytest.mark.parametrize("evil", ["\r", "\n", "\0", "a\r\nb", '"'])
async def test_no_line_end_reaches_an_id(rig: Rig, evil: str) -> None:
    event = notice("x")
    for identity in (evil, f"a{evil}", f"{evil}b"):
        with pytest.raises(InputError):
            await rig.hub.publish(Event(event.type, (), event.data, event.at, identity))
        with pytest.raises(InputError):
            events.document(event.data, identity)
    with pytest.raises(InputError):
        events.SSEEvent(EventType.NOTICE, b"{}", id="\0").to_sse_format()


async def test_nan_never_reaches_a_browser(rig: Rig) -> None:
    """It must be that a value which was not observed is absent, and null in a table."""
    values = {CPU: math.nan, "metric.a": math.inf, "metric.b": -math.inf, "metric.c": 1.0}
    reader = await Reader.open(rig.url, stream("host:web-1", "fleet"))
    await reader.messages(3)
    await rig.send(values, {"processes": [{"pid": 1, "cpu": math.nan}]})
    for block in await reader.messages(2):  # which refuse NaN
        if "host" in block.data:
            assert set(block.data["metrics"]) == {"metric.c"}
            assert block.data["snapshots"] == {"processes": [{"pid": 1, "cpu": None}]}


async def test_activity_is_what_was_taken_and_not_what_was_handed_over(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a reader for whom more and more is due still counts as stalled."""
    monkeypatch.setattr(hub_module, "STALL_SECONDS", 0.6)
    reader = await Reader.open(rig.url, stream("log"), receive_buffer=4_096)
    await reader.message("connected")
    ending = asyncio.Event()

    async def busy() -> None:
        while not ending.is_set():
            await happen(rig, *(notice("x" * 5_000) for _ in range(10)))
            await asyncio.sleep(0.05)

    busying = asyncio.create_task(busy())
    await eventually(lambda: rig.hub.client_count == 0, 5)
    ending.set()
    await busying
    assert rig.hub.counters.stalls_total == 1


async def test_a_response_that_fails_leaks_no_subscription(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a subscription costs nothing until its stream has begun."""
    await rig.hub.subscribe(frozenset({"fleet"}))
    assert rig.hub.client_count == 0
    assert rig.hub._delivery.crowd.behind() == ()
    monkeypatch.setattr(rig.services.connections, "take_over", lambda *_: None)
    reader = await Reader.open(rig.url, stream("fleet"))
    await reader._reader.read()
    assert rig.hub.client_count == 0
    await eventually(lambda: len(rig.services.connections) == 0)


async def test_topics_that_nobody_reads_are_pruned(rig: Rig) -> None:
    for number in range(50):
        await rig.send({CPU: 0.5}, host=f"host-{number}")
    readers = await at_once(
        *(Reader.open(rig.url, stream(f"host:host-{number}")) for number in range(50))
    )
    for reader in readers:
        await reader.messages(2)
    await eventually(lambda: len(rig.hub._delivery.crowd.groups()) == 50)
    for reader in readers:
        reader.close()
    await eventually(lambda: rig.hub.client_count == 0)
    assert rig.hub._delivery.crowd.groups() == ()
    rig.hub.show("alerts", "a", EventType.ALERT, alert().data)
    rig.hub.hide("alerts", "a")
    assert rig.hub._delivery._state._board == {}


async def test_a_reader_that_does_not_read_holds_nobody_up(rig: Rig) -> None:
    """It must be that a fan-out holds no lock for which a slow reader is waited."""
    stuck = [await Reader.open(rig.url, stream("log"), receive_buffer=4_096) for _ in range(20)]
    healthy = await Reader.open(rig.url, stream("log"))
    await healthy.message("connected")
    for number in range(100):
        began = time.monotonic()
        await rig.hub.publish(notice(f"{number}{'x' * 10_000}"))
        await healthy.message("notice", seconds=2)
        assert time.monotonic() - began < 2
    crowd = rig.hub._delivery.crowd
    await eventually(lambda: [c.is_slow for c in crowd.behind()] == [True] * len(stuck))
    newcomer = await Reader.open(rig.url, stream("log"))
    assert (await newcomer.message(seconds=2)).type == "connected"


async def test_cleanup_finds_whoever_it_is_to_end(rig: Rig) -> None:
    """It must be that ends, by whomever, are told once and leave nothing behind."""
    gone: list[SSEClient] = []
    rig.hub.on_disconnect(gone.append)
    readers = await at_once(*(Reader.open(rig.url, stream("fleet")) for _ in range(3)))
    for reader in readers:
        await reader.messages(2)
    first, second, third = rig.hub._delivery.crowd.clients()
    readers[0].reset()
    rig.hub.end(second, "revoked")
    rig.hub.unsubscribe(third)
    await eventually(lambda: len(gone) == 3)
    for client in (first, second, third):
        rig.hub.unsubscribe(client)
        rig.hub.end(client, "again")
    assert len(gone) == 3
    assert set(gone) == {first, second, third}
    assert rig.hub.client_count == 0
    assert rig.hub._delivery.crowd.groups() == ()


async def test_a_lease_ends_a_stream_which_comes_back_where_it_was(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    reader = await Reader.open(rig.url, stream("log"))
    await notices(rig, ["one"])
    last = await reader.message("notice")
    (client,) = rig.hub._delivery.crowd.clients()
    client.expires_at = 0.0
    farewell = (await reader.rest())[-1]
    assert (farewell.type, farewell.data["reason"]) == ("disconnected", "lease")
    assert farewell.retry > 0
    await notices(rig, ["two"])
    again = await Reader.open(rig.url, stream("log"), last_event_id=last.id)
    assert (await again.message("notice")).data["text"] == "two"


async def test_stopping_ends_streams_at_once_and_not_after_20_seconds(rig: Rig) -> None:
    readers = await at_once(*(Reader.open(rig.url, stream("fleet")) for _ in range(20)))
    for reader in readers:
        await reader.messages(2)
    began = time.monotonic()
    await rig.hub.stop()
    for reader in readers:
        assert (await reader.rest())[-1].type == "disconnected"
    assert time.monotonic() - began < 2
    assert not rig.hub.is_running
    assert rig.hub.tasks == ()


@pytest.fixture
async def two_hubs() -> AsyncIterator[tuple[EventPublisher, EventPublisher]]:
    """Two publishers in one process and one loop."""
    hubs = [EventPublisher(MemoryLog(), LiveState(), time.time) for _ in range(2)]
    for hub in hubs:
        await hub.start()
    yield hubs[0], hubs[1]
    for hub in hubs:
        await hub.stop()


async def test_there_is_no_global_publisher(
    two_hubs: tuple[EventPublisher, EventPublisher],
) -> None:
    """It must be that several live beside each other, and one after another in other loops."""
    first, second = two_hubs
    client = await second.subscribe(frozenset({"log"}))
    reading = second.stream(client)
    await anext(reading)
    await first.publish(notice("for the first"))
    await second.publish(notice("for the second"))
    assert b"for the second" in await asyncio.wait_for(anext(reading), 2)
    await reading.aclose()  # type: ignore[attr-defined]
    assert (first.counters.events_total, second.counters.events_total) == (1, 1)


def test_a_publisher_is_bound_to_no_loop() -> None:
    async def live() -> int:
        hub = EventPublisher(MemoryLog(), LiveState(), time.time)
        await hub.start()
        found = await hub.publish(notice("x"))
        await hub.stop()
        return found

    assert [asyncio.run(live()) for _ in range(2)] == [1, 1]
