"""Publishing: what is taken, what is refused to the publisher, and who hears it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from monitor.core import messages
from monitor.errors import InputError
from monitor.model import Event, EventType
from monitor.stream import delivery
from monitor.stream import hub as hub_module
from monitor.stream.hub import EventPublisher
from monitor.stream.ring import Hearing
from tests.frames import frame
from tests.stream.test_hub import Reader, Stand, read, stand

__all__ = ["stand"]

FIRING = messages.Alert(
    alert="a1",
    rule="disk_space",
    host="web-1",
    attributes={"mountpoint": "/"},
    state="firing",
    was=None,
    severity="critical",
    value=0.99,
    since=1.0,
)


def happened(message: messages.Message = FIRING, event_id: str = "e1") -> Event:
    return messages.event(message, 1_700_000_000.25, event_id)


async def test_a_published_event_is_logged_and_heard_with_its_own_time_and_id(
    stand: Stand,
) -> None:
    reader = await read(stand, "alerts")
    await reader.message()
    assert await stand.hub.publish(happened()) == 1
    kind, identity, data = await reader.message()
    assert (kind, identity) == ("alert", f"{stand.log.epoch}-1")
    assert data["timestamp"] == "2023-11-14T22:13:20.250Z"
    assert data["event_id"] == "e1"
    assert data["attributes"] == {"mountpoint": "/"}
    events, _, _ = await stand.log.read(0, None, 10)
    assert events[0].event_id == "e1"


async def test_an_event_on_several_of_a_readers_topics_comes_once(stand: Stand) -> None:
    stand.fold(1, a=1)
    reader = await read(stand, "alerts", "host:web-1", "log")
    await reader.messages(2)
    await stand.hub.publish(happened())
    await stand.hub.publish(happened(event_id="e2"))
    assert [data["event_id"] for _, _, data in await reader.messages(2)] == ["e1", "e2"]


async def test_a_topic_replaces_the_events_own(stand: Stand) -> None:
    reader, other = await read(stand, "approvals"), await read(stand, "alerts")
    await reader.message()
    await other.message()
    await stand.hub.publish(happened(), topic="approvals")
    await stand.hub.publish(happened(event_id="e2"))
    assert (await reader.message())[2]["event_id"] == "e1"
    assert (await other.message())[2]["event_id"] == "e2"


@pytest.mark.parametrize("topic", ["", "everybody", "host:", "host:a b", "log", "alerts\n", "*"])
async def test_an_unknown_topic_is_an_error_and_nobody_hears(stand: Stand, topic: str) -> None:
    with pytest.raises(InputError) as caught:
        await stand.hub.publish(happened(), topic=topic)
    assert caught.value.code == "unknown_topic"
    assert await stand.log.last() == 0


BAD: list[dict[str, Any]] = [
    {"value": float("nan")},
    {"value": float("inf")},
    {"evidence": {"when": object()}},
    {"evidence": {"raw": b"bytes"}},
    {"evidence": {"text": "\ud800"}},
    {"evidence": {"text": "a" * 262_144}},
    {"host": "web-1\n\nevent: alert\ndata: {}"},
    {"timestamp": "2026-01-01"},
    {"event_id": "mine"},
    {"severity": "very"},
]


@pytest.mark.parametrize("change", BAD, ids=[str(index) for index in range(len(BAD))])
async def test_what_cannot_be_sent_is_an_error_to_the_publisher_and_readers_get_the_next(
    stand: Stand, change: dict[str, Any]
) -> None:
    readers = [await read(stand, "alerts") for _ in range(3)]
    for reader in readers:
        await reader.message()
    event = happened()
    with pytest.raises(InputError):
        await stand.hub.publish(replace(event, data={**event.data, **change}))
    await stand.hub.publish(happened(event_id="next"))
    for reader in readers:
        assert (await reader.message())[2]["event_id"] == "next"


async def test_an_error_is_said_to_the_readers_named_and_to_nobody_where_none_are(
    stand: Stand,
) -> None:
    clients = [await stand.hub.subscribe(frozenset({"alerts"})) for _ in range(3)]
    readers = [Reader(stand.hub, client) for client in clients]
    for reader in readers:
        await reader.message()
    said = Event(EventType.ERROR, (), {"code": "unavailable", "detail": "Not now."}, 1.0, "e1")
    assert await stand.hub.publish(said, client_ids=[]) == 0
    assert await stand.hub.publish(said, client_ids=["nobody", clients[1].id]) == 1
    kind, identity, data = await readers[1].message()
    assert (kind, identity, data["code"]) == ("error", "", "unavailable")
    assert await stand.log.last() == 0
    await stand.hub.publish(happened(event_id="all"))
    for reader in readers:
        assert (await reader.message())[2]["event_id"] == "all"


async def test_a_logged_type_cannot_be_said_to_some_readers_alone(stand: Stand) -> None:
    with pytest.raises(InputError) as caught:
        await stand.hub.publish(happened(), client_ids=["x"])
    assert caught.value.code == "not_for_clients"


async def test_what_is_shown_comes_without_an_id_newest_only_and_to_newcomers(
    stand: Stand,
) -> None:
    reader = await read(stand, "alerts")
    await reader.message()
    pending = {**happened().data, "state": "pending"}
    for value in (0.91, 0.92, 0.93):
        stand.hub.show("alerts", "a1", EventType.ALERT, {**pending, "value": value})
    kind, identity, data = await reader.message()
    assert (kind, identity, data["value"]) == ("alert", "", 0.93)
    newcomer = await read(stand, "alerts")
    assert [kind for kind, _, _ in await newcomer.messages(2)] == ["connected", "alert"]
    stand.hub.hide("alerts", "a1")
    await stand.hub.publish(happened(event_id="fired"))
    assert (await reader.message())[2]["event_id"] == "fired"
    later = await read(stand, "alerts")
    await later.message()
    await stand.hub.publish(happened(event_id="again"))
    assert (await later.message())[2]["event_id"] == "again"


@pytest.mark.parametrize(
    ("topic", "change"),
    [("nowhere", {}), ("alerts", {"state": "burning"}), ("alerts", {"value": float("nan")})],
)
async def test_what_cannot_be_shown_is_an_error_to_whoever_shows_it(
    stand: Stand, topic: str, change: dict[str, Any]
) -> None:
    with pytest.raises(InputError):
        stand.hub.show(topic, "a1", EventType.ALERT, {**happened().data, **change})


async def test_a_lease_ends_a_stream_with_its_reason(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LEASE_SECONDS", (0.2, 0.3))
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    await stand.hub.stop()
    stand.hub = EventPublisher(stand.log, stand.state, lambda: 1.0)
    await stand.hub.start()
    gone: list[str] = []
    stand.hub.on_disconnect(lambda client: gone.append(client.id))
    client = await stand.hub.subscribe(frozenset({"alerts"}))
    reader = Reader(stand.hub, client)
    await reader.message()
    kind, identity, data = await reader.message()
    assert (kind, identity, data["reason"]) == ("disconnected", "", "lease")
    with pytest.raises(StopAsyncIteration):
        await reader.message()
    assert gone == [client.id]
    assert stand.hub.client_count == 0
    assert stand.hub.counters.evictions_total == {"lease": 1}


async def test_a_quiet_readers_position_is_advanced_by_an_id_alone(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    await stand.hub.stop()
    stand.hub = EventPublisher(stand.log, stand.state, lambda: 1.0)
    await stand.hub.start()
    reader = await read(stand, "approvals")
    await reader.message()
    await stand.happen(count=7)
    assert await reader.block() == f"id: {stand.log.epoch}-7"
    assert await reader.block() == ":"


async def test_readers_of_large_state_are_told_positions_too(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be so although each large flush puts all of them behind for a moment."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.4)
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "PIECE_BYTES", 512)
    await stand.hub.stop()
    stand.hub = EventPublisher(stand.log, stand.state, lambda: 1.0)
    await stand.hub.start()
    reader = await read(stand, "host:web-1")
    await reader.message()
    blocks: list[str] = []

    async def listen() -> None:
        while f"id: {stand.log.epoch}-9" not in blocks:
            blocks.append(await reader.block())

    listening = asyncio.create_task(listen())
    for at in range(40):
        values = {f"metric_{number}": number / 3 + at for number in range(100)}
        stand.state.fold(frame(at + 1, values), [], at)
        stand.hub.offer()
        if at < 9:
            await stand.happen(host="web-2")
        await asyncio.sleep(0.06)
        if listening.done():
            break
    await asyncio.wait_for(listening, 2)


async def test_goodbye_is_said_although_the_newest_state_cannot_be(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader = await read(stand, "host:web-1")
    await reader.message()
    stand.fold(1, a=1)

    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(stand.hub._state, "changes", fail)
    await stand.hub.stop()
    kind, _, data = await reader.message()
    assert (kind, data["reason"]) == ("disconnected", "shutdown")
    assert "was not sent" in caplog.text


async def test_a_page_of_the_log_is_made_once_for_readers_at_one_position(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.happen(count=30)
    await stand.hub.stop()
    monkeypatch.setattr(hub_module, "MOST_EVENTS", 1)
    stand.hub = EventPublisher(stand.log, stand.state, lambda: 1.0)
    await stand.hub.start()
    made: list[int] = []
    original = stand.hub._delivery._page

    def counted(events: list[Event], hearing: Hearing) -> object:
        made.append(len(events))
        return original(events, hearing)

    monkeypatch.setattr(stand.hub._delivery.replay, "_made", counted)
    readers = [await read(stand, "log", after=f"{stand.log.epoch}-0") for _ in range(20)]
    waiting = [asyncio.create_task(reader.messages(31)) for reader in readers]
    for found in await asyncio.gather(*waiting):
        assert [data["n"] for kind, _, data in found if kind == "host_update"] == list(range(1, 31))
    assert len(made) == 1
    assert not stand.hub._delivery.replay._pages, "nobody waits, so nothing is kept"


async def test_who_asks_once_gets_the_state_as_it_is_at_that_moment(stand: Stand) -> None:
    for at in range(1, 5):
        stand.fold(at, a=at)
        client = await stand.hub.subscribe(frozenset({"host:web-1", "fleet"}))
        assert f'"a":{at}.0' in (await stand.hub.once(client)).decode()
