"""The wire: what a correct stream looks like, byte by byte (STREAM section 5, cases 1 to 12)."""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import httpx_sse
import pytest

from monitor.core.events import ADDED_BYTES, LONGEST_EVENT_BYTES, SSEEvent, document
from monitor.errors import InputError
from monitor.model import Event, EventType
from monitor.stream import hub as hub_module
from tests.browser.rig import Rig
from tests.stream.making import (
    CPU,
    HARD_TEXTS,
    alert,
    at_once,
    event_id,
    eventually,
    happen,
    notice,
    position,
)
from tests.stream.node import listening
from tests.stream.reading import Block, Reader, stream


async def test_case_1_the_head_is_exact(rig: Rig) -> None:
    for encoding in ("", "identity, br"):
        reader = await Reader.open(
            rig.url, stream("alerts"), accept="text/event-stream", accept_encoding=encoding
        )
        assert reader.status == 200
        assert reader.headers["content-type"] == "text/event-stream"
        assert reader.headers["cache-control"] == "no-cache, no-transform"
        assert reader.headers["x-accel-buffering"] == "no"
        assert "content-length" not in reader.headers
        assert "content-encoding" not in reader.headers
        assert reader.headers["transfer-encoding"] == "chunked"
        assert (await reader.message()).type == "connected"
        reader.close()


async def test_case_1_compression_comes_only_where_it_was_asked_for(rig: Rig) -> None:
    for accepted, encoding in (
        ("gzip", "gzip"),
        ("br, GZIP;q=0.5", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0", None),
        ("", None),
        ("deflate", None),
    ):
        reader = await Reader.open(rig.url, stream("fleet"), accept_encoding=accepted)
        assert reader.headers.get("content-encoding") == encoding, accepted
        assert "Accept-Encoding" in reader.headers["vary"]
        assert (await reader.message("metric_update")).data["hosts"].keys() == {"web-1", "web-2"}
        reader.close()


async def test_case_1_a_reader_of_http_1_0_gets_no_chunks(rig: Rig) -> None:
    for encoding in ("identity", "gzip"):
        reader = await Reader.open(rig.url, stream("log"), version="1.0", accept_encoding=encoding)
        assert "transfer-encoding" not in reader.headers
        assert "content-length" not in reader.headers
        assert (await reader.message()).type == "connected"
        await happen(rig, notice(encoding))
        assert (await reader.message()).data["text"] == encoding
        rig.hub.end(rig.hub._delivery.crowd.clients()[0], "lease")
        assert [block.type for block in await reader.rest()] == ["disconnected"]


async def test_case_2_the_first_bytes_come_within_200_ms_on_a_silent_system(rig: Rig) -> None:
    took = []
    for _ in range(5):
        began = time.monotonic()
        reader = await Reader.open(rig.url, stream("alerts"))
        first = await reader.block()
        assert first is not None
        assert first.retry > 0
        assert (await reader.block()).type == "connected"  # type: ignore[union-attr]
        took.append(time.monotonic() - began)
        reader.close()
    assert statistics.median(took) < 0.2


async def say_hard_texts(rig: Rig) -> list[str]:
    """Have every hard text said as a value, and as a label's name and value; what was said."""
    for text in HARD_TEXTS:
        await happen(
            rig, notice(text, **{text: [text]}), alert(attributes={text: text}, rule=text[:200])
        )
    await happen(rig, notice("the end"))
    return [*HARD_TEXTS, "the end"]


def require_hard_texts(found: list[tuple[str, str, dict[str, Any]]]) -> None:
    """What a client heard (type, id, payload) must be what `say_hard_texts` said, and no more."""
    notices = [data for type_, _, data in found if type_ == "notice"]
    assert [data["text"] for data in notices] == [*HARD_TEXTS, "the end"]
    for data, text in zip(notices[:-1], HARD_TEXTS, strict=True):
        assert data["details"] == {text: [text]}
    alerts = [data for type_, _, data in found if type_ == "alert"]
    assert [data["attributes"] for data in alerts] == [{text: text} for text in HARD_TEXTS]
    assert [data["rule"] for data in alerts] == [text[:200] for text in HARD_TEXTS]
    assert len(found) == 2 * len(HARD_TEXTS) + 1
    numbers = [int(identity.rpartition("-")[2]) for _, identity, _ in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(found)))


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_cases_3_4_and_6_every_text_comes_out_as_it_went_in(rig: Rig, encoding: str) -> None:
    """It must be that no text ends a line, adds a field, or makes an event of its own."""
    reader = await Reader.open(rig.url, stream("log"), accept_encoding=encoding)
    await reader.message("connected")
    said = await say_hard_texts(rig)
    found = await reader.messages(2 * len(said) - 1)
    for block in found:
        assert [name for name, _ in block.fields] == ["event", "id", "data"]
        for _, value in block.fields:
            assert not set(value) & set("\r\x00\x0b\x0c\u0085\u2028\u2029")
    require_hard_texts([(block.type, block.id, block.data) for block in found])
    with pytest.raises(TimeoutError):
        await reader.message(seconds=0.2)


async def test_case_4_names_and_values_of_state_never_make_a_second_event(rig: Rig) -> None:
    evil = "x\n\nevent: alert\ndata: {}\r\n\r\nid: 5\n\n\u2028"
    reader = await Reader.open(rig.url, stream("host:web-1", "fleet"))
    await reader.messages(3)
    await rig.send({CPU: 0.5}, {"processes": [{"pid": 1, evil: evil}], evil: [{"a": 1}]})
    found = await reader.messages(2)
    assert [block.type for block in found] == ["metric_update"] * 2
    (of_host,) = [block.data for block in found if "host" in block.data]
    assert of_host["snapshots"] == {"processes": [{"pid": 1, evil: evil}], evil: [{"a": 1}]}
    with pytest.raises(TimeoutError):
        await reader.message(seconds=0.2)


async def test_cases_3_and_6_httpx_sse_hears_every_text_as_it_was_said(rig: Rig) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        target = rig.url + stream("log")
        async with httpx_sse.aconnect_sse(client, "GET", target) as source:
            assert source.response.headers["content-encoding"] == "gzip"
            found = []
            async for event in source.aiter_sse():
                if not event.data:  # a block without data is an event to this client alone
                    continue
                if event.event == "connected":
                    await say_hard_texts(rig)
                    continue
                found.append((event.event, event.id, event.json()))
                if event.json().get("text") == "the end":
                    break
    require_hard_texts(found)


async def test_cases_3_and_6_undici_hears_every_text_as_it_was_said(rig: Rig) -> None:
    types = "connected", "notice", "alert", "message"
    async with listening(rig.url + stream("log"), "the end", *types) as listener:
        await listener.message("connected")
        said = await say_hard_texts(rig)
        found = await listener.messages(2 * len(said) - 1, *types)
    require_hard_texts([(each["type"], each["id"], each["data"]) for each in found])


@pytest.mark.parametrize("evil", ["a\nb", "a\rb", "a\0b", "\n", 'a"b', "a\\", "\u2028", "😀\ud800"])
async def test_case_5_an_id_that_could_end_a_line_is_refused_to_the_publisher(
    rig: Rig, evil: str
) -> None:
    """It must be that no id of a producer's breaks a line, or the JSON in which it stands."""
    reader = await Reader.open(rig.url, stream("log"))
    await reader.message("connected")
    event = notice("evil")
    bad = Event(event.type, event.topics, event.data, event.at, evil)
    for publishing in (rig.hub.publish(bad), rig.hub.publish(bad, client_ids=["nobody"])):
        with pytest.raises(InputError):
            await publishing
    with pytest.raises(InputError):
        SSEEvent(EventType.ALERT, b"{}", id="x\n").to_sse_format()
    with pytest.raises(InputError):
        SSEEvent(EventType.ALERT, b"{}\r").to_sse_format()
    await rig.hub.publish(notice("good"))
    assert (await reader.message()).data["text"] == "good"


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        math.nan,
        math.inf,
        -math.inf,
        datetime.now(UTC),
        b"x",
        {1: 2},
        {3},
        2**60,
    ],
    ids=lambda value: ascii(value)[:20],
)
async def test_case_7_what_json_cannot_carry_is_an_error_to_the_publisher_alone(
    rig: Rig, value: object
) -> None:
    """It must be that every reader still gets the next event."""
    readers = await at_once(*(Reader.open(rig.url, stream("log", "alerts")) for _ in range(5)))
    for reader in readers:
        await reader.message("connected")
    plain = notice("never")
    data = {**plain.data, "details": {"value": value}}
    bad = Event(plain.type, plain.topics, data, plain.at, event_id())
    with pytest.raises(InputError):
        await rig.hub.publish(bad)
    with pytest.raises(InputError):
        await rig.log.append([notice("with it"), bad])
    with pytest.raises(InputError):
        rig.hub.show("alerts", "a", EventType.NOTICE, data)
    await rig.hub.publish(notice("next"))
    for reader in readers:
        assert (await reader.message()).data["text"] == "next"


@pytest.mark.parametrize("instant", [math.nan, math.inf, -1e11, 1e12, 1e18, -1e300])
async def test_case_7_an_instant_that_is_none_ends_nobodys_stream(rig: Rig, instant: float) -> None:
    reader = await Reader.open(rig.url, stream("log"))
    await reader.message("connected")
    event = notice("never")
    with pytest.raises(InputError):
        await rig.hub.publish(Event(event.type, (), event.data, instant, event_id()))
    await rig.hub.publish(notice("next"))
    assert (await reader.message()).data["text"] == "next"
    assert not any(task.done() for task in rig.hub.tasks)


async def test_case_8_there_is_no_byte_order_mark(rig: Rig) -> None:
    reader = await Reader.open(rig.url, stream("alerts"), version="1.0")
    first = await asyncio.wait_for(reader._reader.read(7), 5)
    assert first == b"retry: "


async def test_case_9_an_event_at_the_limit_arrives_whole_and_one_over_is_refused(
    rig: Rig,
) -> None:
    """It must be that 256 KiB come to live, late, slow, plain and compressed readers alike."""
    target = stream("log")
    live = [
        await Reader.open(rig.url, target, accept_encoding=encoding, receive_buffer=4_096)
        for encoding in ("identity", "gzip")
    ]
    for reader in live:
        await reader.message("connected")
    told = [at_the_limit(filling) for filling in ("x", "é", "ab\n")]
    for event in told:
        await rig.hub.publish(event)
        longer = Event(
            event.type,
            event.topics,
            {**event.data, "text": f"{event.data['text']}x"},
            event.at,
            event.event_id,
        )
        with pytest.raises(InputError, match="too large"):
            await rig.hub.publish(longer)
    start = position(rig, 0)
    late = [
        await Reader.open(rig.url, target, last_event_id=start, accept_encoding=encoding)
        for encoding in ("identity", "gzip")
    ]
    for found in await at_once(*(each.messages(3, "notice") for each in live + late)):
        assert [block.data["text"] for block in found] == [event.data["text"] for event in told]
        assert len(found[0].one("data").encode()) == LONGEST_EVENT_BYTES


def at_the_limit(filling: str) -> Event:
    """A notice whose payload is as long as one may be."""
    event = notice("")
    room = LONGEST_EVENT_BYTES - ADDED_BYTES - len(event.event_id)
    room -= len(document(event.data, event.event_id))
    encoded = len(json.dumps(filling, ensure_ascii=False).encode()) - 2
    text = filling * (room // encoded) + "y" * (room % encoded)
    return Event(event.type, event.topics, {**event.data, "text": text}, event.at, event.event_id)


async def test_case_10_retry_is_spread_over_a_thousand_connections(rig: Rig) -> None:
    """It must be that readers do not all come back at once.

    950 subscribe within the process, since it is the hub that draws the number, and 50 over
    sockets.
    """
    found = []
    for _ in range(950):
        client = await rig.hub.subscribe(frozenset({"alerts"}))
        opened = rig.hub.stream(client)
        first = (await anext(opened)).decode()
        found.append(Block.parsed(first.partition("\n\n")[0]).retry)
        await opened.aclose()  # type: ignore[attr-defined]
    readers = await at_once(*(Reader.open(rig.url, stream("alerts")) for _ in range(50)))
    for reader in readers:
        found.append((await reader.block()).retry)
        reader.close()
    assert len(set(found)) > 500
    assert min(found) >= 1_000
    tenths = {(retry - min(found)) * 10 // (max(found) - min(found) + 1) for retry in found}
    assert tenths == set(range(10))


async def test_case_11_ids_strictly_increase_and_are_epoch_and_sequence(rig: Rig) -> None:
    reader = await Reader.open(rig.url, stream("log", "fleet"))
    connected = await reader.message("connected")
    assert connected.data["position"] == connected.id == position(rig, 0)
    for number in range(300):
        await happen(rig, *(notice(f"{number}") for _ in range(number % 5 + 1)))
        await rig.send({CPU: number / 300})
    last = await rig.log.last()
    found: list[Block] = []
    while not found or not found[-1].id or found[-1].sequence < last:
        found.append(await reader.message())
    ids = [block.id for block in found if block.type != "metric_update"]
    assert ids == [position(rig, number) for number in range(1, last + 1)]
    assert all(len(identity) < 128 for identity in ids)
    assert not any(block.id for block in found if block.type == "metric_update")


@pytest.fixture
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> float:
    """Heartbeats after a second rather than 15."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 1.0)
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    return 1.0


async def test_case_12_an_idle_reader_hears_a_comment_and_a_busy_one_none(
    quick_heartbeats: float, rig: Rig
) -> None:
    """It must be that the wait is the heartbeat's within a fifth.

    The heartbeat is a second here; `test_cases_deploy` sees the real one, of 15.
    """
    idle = await Reader.open(rig.url, stream("approvals"))
    busy = await Reader.open(rig.url, stream("host:web-1"))
    asking = await Reader.open(rig.url, stream("alerts", heartbeat="event"))
    for reader in (idle, busy, asking):
        await reader.message("connected")
    ending = asyncio.create_task(keep_busy(rig, 3.5))
    began = time.monotonic()
    comments: list[float] = []
    while len(comments) < 3:
        block = await idle.block()
        assert block is not None
        assert block.is_comment, block
        comments.append(time.monotonic() - began)
    waits = [after - before for before, after in zip([0.0, *comments], comments, strict=False)]
    assert all(0.8 <= wait <= 1.2 for wait in waits), waits
    heartbeats = await asking.messages(2)
    assert [block.type for block in heartbeats] == ["heartbeat"] * 2
    await ending
    while (block := await busy.block()) is not None:
        if block.type == "metric_update" and block.data["metrics"].get(CPU) == 1.0:
            break
        assert not block.is_comment


async def keep_busy(rig: Rig, seconds: float) -> None:
    """Let a host change all the time, and say at last that it is enough."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await rig.send({CPU: 0.5})
        await asyncio.sleep(0.1)
    await rig.send({CPU: 1.0})


async def test_case_12_a_quiet_readers_position_is_advanced(
    quick_heartbeats: float, rig: Rig
) -> None:
    """It must be that who hears nothing still comes back from near the end of the log."""
    plain = await Reader.open(rig.url, stream("approvals"))
    asking = await Reader.open(rig.url, stream("approvals", heartbeat="event"))
    for reader in (plain, asking):
        await reader.message("connected")
    await happen(rig, *(notice("not for them") for _ in range(100)))
    while not (block := await plain.block()) or not block.id:
        pass
    assert block.fields == (("id", position(rig, 100)),)
    assert (await asking.message("heartbeat")).id == position(rig, 100)


async def test_readers_of_gzip_and_of_plain_text_hear_the_same_whenever_they_come(
    rig: Rig,
) -> None:
    """It must be that a block that was compressed once can be read by who came later."""
    readers: list[Reader] = []
    for number in range(40):
        for encoding in ("gzip", "identity") if number % 5 == 0 else ():
            reader = await Reader.open(
                rig.url,
                stream("fleet", "log", "host:web-2"),
                accept_encoding=encoding,
                last_event_id=position(rig, 0),
            )
            readers.append(reader)
        await happen(rig, notice(f"{number}", filling="x" * 100 * number))
        await rig.send({CPU: number / 40}, host="web-2")
        await asyncio.sleep(0.01)
    heard = await at_once(*(reader.messages(40, "notice") for reader in readers))
    for found in heard:
        assert found == heard[0]
    gzipped, plain = readers[0], readers[1]
    assert gzipped.decoder.sent < plain.decoder.sent / 2
    await rig.send({CPU: 0.125}, host="web-2")
    for reader in readers:
        while (await reader.message("metric_update")).data.get("metrics") != {CPU: 0.125}:
            pass
    await eventually(lambda: rig.hub.client_count == len(readers))


async def test_a_stream_may_be_the_second_request_of_a_connection(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection(*rig.url.removeprefix("http://").split(":"))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
    writer.write(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    opened = Reader(reader, writer, await reader.readuntil(b"\r\n\r\n"))
    assert (await opened.message()).type == "connected"


async def test_a_request_that_comes_in_pieces_opens_a_stream(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection(*rig.url.removeprefix("http://").split(":"))
    for byte in b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n":
        writer.write(bytes([byte]))
        await asyncio.sleep(0.001)
    opened = Reader(reader, writer, await reader.readuntil(b"\r\n\r\n"))
    assert (await opened.message()).type == "connected"
