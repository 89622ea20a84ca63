"""Resuming: exactly what was missed, or one honest gap (STREAM section 5, cases 13 to 20)."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import math
import random
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from monitor.log.memory import MemoryLog
from monitor.model import Event, RetentionClass
from monitor.stream import delivery as delivery_module
from monitor.stream import hub as hub_module
from monitor.stream import ring as ring_module
from monitor.stream import speech as speech_module
from tests.browser.rig import Rig
from tests.stream.making import (
    CPU,
    alert,
    eventually,
    happen,
    host_update,
    notice,
    notices,
    position,
)
from tests.stream.node import listening
from tests.stream.reading import Block, Reader, stream


def texts(found: list[Block]) -> list[str]:
    """What notices said."""
    return [block.data["text"] for block in found]


def counted(start: int, end: int) -> list[str]:
    """The texts of the notices of these numbers."""
    return [f"{number}" for number in range(start, end)]


@pytest.fixture(params=[2_048, 16], ids=["from the ring", "from the log"])
def ring_events(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many events the hub holds: all that a test logs, or nearly none."""
    events: int = request.param
    monkeypatch.setattr(ring_module, "MOST_EVENTS", events)
    return events


async def test_case_13_who_was_cut_off_gets_exactly_the_rest_and_then_what_is_live(
    ring_events: int, rig: Rig
) -> None:
    first = await Reader.open(rig.url, stream("log"))
    await first.message("connected")
    await notices(rig, counted(1, 201))
    found = await first.messages(57, "notice")
    assert texts(found) == counted(1, 58)
    first.reset()
    await notices(rig, counted(201, 701))
    second = await Reader.open(rig.url, stream("log"), last_event_id=found[-1].id)
    connected = await second.message()
    assert (connected.type, connected.id) == ("connected", found[-1].id)
    assert "gap" not in connected.data
    await notices(rig, counted(701, 711))
    assert texts(await second.messages(653, "notice")) == counted(58, 711)
    assert rig.hub.counters.gaps_total == 0


async def test_case_13_undici_comes_back_by_itself_and_misses_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_module.retry, "__defaults__", ((50, 100),))
    types = "connected", "notice", "disconnected"
    async with listening(rig.url + stream("log"), "the end", *types) as listener:
        await listener.message("connected")
        heard = []
        for round_ in range(4):
            await notices(rig, counted(20 * round_, 20 * round_ + 20))
            heard += await listener.messages(20, "notice")
            rig.services.connections.abort()
            await notices(rig, counted(1_000 + round_, 1_001 + round_))
            heard += await listener.messages(1, "notice")
        await notices(rig, ["the end"])
        heard.append(await listener.message("notice"))
    numbers = [int(each["id"].rpartition("-")[2]) for each in heard]
    assert numbers == list(range(1, 86))


async def test_case_14_a_position_may_stand_in_the_query_and_the_header_wins(rig: Rig) -> None:
    await notices(rig, counted(1, 11))
    by_query = stream("log", last_event_id=position(rig, 7))
    reader = await Reader.open(rig.url, by_query)
    assert texts(await reader.messages(3, "notice")) == counted(8, 11)
    reader = await Reader.open(rig.url, by_query, last_event_id=position(rig, 9))
    assert texts(await reader.messages(1, "notice")) == counted(10, 11)


async def require_one_gap(rig: Rig, reader: Reader, from_: str | None) -> None:
    """It must be one gap, then the snapshot, then what is live, and nothing of before."""
    last = position(rig, await rig.log.last())
    connected = await reader.message()
    assert (connected.type, connected.id) == ("connected", last)
    assert connected.data["gap"] == {"from": from_, "to": last}
    assert (await reader.message()).type == "metric_update"
    await happen(rig, notice("live"))
    event = await reader.message("notice", "connected")
    assert (event.type, event.data["text"]) == ("notice", "live")


async def test_case_15_a_position_older_than_the_log_is_one_gap() -> None:
    rig = Rig("web-1")
    rig.know("web-1")
    rig.log = MemoryLog(most_events=100)
    rig.hub._log = rig.hub._delivery.replay._log = rig.log
    rig.hub._speech._epoch = lambda: rig.log.epoch
    async with rig.serving():
        await rig.send({CPU: 0.5})
        await notices(rig, counted(1, 501))
        await eventually(lambda: rig.hub._delivery.position == 500)
        for sequence in (0, 1, 399):
            old = position(rig, sequence)
            reader = await Reader.open(rig.url, stream("log", "fleet"), last_event_id=old)
            await require_one_gap(rig, reader, old)
            reader.close()
        assert rig.hub.counters.gaps_total == 3
        whole = await Reader.open(
            rig.url, stream("log"), last_event_id=position(rig, 410), accept_encoding="gzip"
        )
        assert "gap" not in (await whole.message("connected")).data
        assert texts(await whole.messages(2)) == ["411", "412"]
        whole.close()


async def test_case_15_only_the_floors_of_the_topics_asked_for_count(rig: Rig) -> None:
    """It must be that trimming one kind of event is no gap to readers of another."""
    await happen(rig, *(alert() for _ in range(50)))
    await happen(rig, *(notice(f"{number}") for number in range(10)))
    await rig.log.trim(RetentionClass.ALERTS, time.time() + 1_000)
    start = position(rig, 0)
    trimmed = await Reader.open(rig.url, stream("alerts", "fleet"), last_event_id=start)
    assert (await trimmed.message()).data["gap"]["from"] == start
    whole = await Reader.open(rig.url, stream("approvals"), last_event_id=start)
    assert "gap" not in (await whole.message()).data


async def test_case_15_a_log_that_lets_go_during_a_replay_is_a_gap_and_never_a_hole(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a replay which began whole says so where it does not stay whole."""
    monkeypatch.setattr(ring_module, "MOST_EVENTS", 16)
    await notices(rig, [f"{number}{'x' * 2_000}" for number in range(2_000)])
    slow = await Reader.open(
        rig.url,
        stream("log", "fleet"),
        last_event_id=position(rig, 0),
        receive_buffer=4_096,
    )
    assert "gap" not in (await slow.message("connected")).data
    await asyncio.sleep(0.3)  # until it holds as much as it takes
    await rig.log.trim(RetentionClass.AUDIT, time.time() + 1_000)
    found: list[Block] = []
    while (block := await slow.message()).type == "notice":
        found.append(block)
    assert [each.sequence for each in found] == list(range(1, len(found) + 1))
    assert 0 < len(found) < 1_984
    assert block.type == "connected"
    assert block.data["gap"]["to"] == block.id == position(rig, 2_000)
    # What it says it has is what was told last; a page that it passed over would be a hole.
    assert block.data["gap"]["from"] == found[-1].id
    assert (await slow.message()).type == "metric_update"
    await happen(rig, notice("live"))
    assert texts(await slow.messages(1, "notice", "connected")) == ["live"]


async def test_case_16_another_logs_epoch_is_one_gap(rig: Rig) -> None:
    await notices(rig, counted(1, 6))
    for other in ("0123456789abcdef-3", f"{rig.log.epoch[::-1]}-3"):
        reader = await Reader.open(rig.url, stream("log", "fleet"), last_event_id=other)
        await require_one_gap(rig, reader, None)


BAD_POSITIONS = {
    "empty": "",
    "nonsense": "nonsense",
    "number": "7",
    "negative": "-1",
    "sql": "' OR 1=1; DROP TABLE events; --",
    "uppercase": "ABCDEFABCDEFABCD-1",
    "plus": "{epoch}-+1",
    "zeros": "{epoch}-007",
    "space": "{epoch}- 1",
    "other digits": "{epoch}-\N{ARABIC-INDIC DIGIT ONE}",
    "huge": "{epoch}-" + "9" * 19,
    "huger": "{epoch}-" + "9" * 4_000,
    "future": "{epoch}-999",
    "twice": "{epoch}-1,{epoch}-2",
    "emoji": "😀" * 20,
    "nul": "{epoch}-1\0",
    "lines": "{epoch}-1\r\nid: 5\n\nevent: alert",
}


@pytest.mark.parametrize("name", BAD_POSITIONS)
async def test_case_17_a_bad_position_is_a_gap_by_header_and_by_query(rig: Rig, name: str) -> None:
    """It must be 200 with one gap, in bounded time, whatever stands there."""
    await notices(rig, counted(1, 6))
    bad = BAD_POSITIONS[name].replace("{epoch}", rig.log.epoch)
    from_ = bad if name in {"future", "huge"} else None
    began = time.monotonic()
    by_query = await Reader.open(rig.url, stream("log", "fleet", last_event_id=quote(bad, safe="")))
    assert by_query.status == 200
    await require_one_gap(rig, by_query, from_)
    if not set(bad) & set("\r\n\0"):  # which no header can hold
        text = bad.encode().decode("latin-1")
        by_header = await Reader.open(rig.url, stream("log", "fleet"), last_event_id=text)
        assert by_header.status == 200
        await require_one_gap(rig, by_header, from_)
    assert time.monotonic() - began < 2


async def test_case_17_a_position_of_64_kib_is_a_gap_and_one_over_the_limits_is_refused(
    rig: Rig,
) -> None:
    reader = await Reader.open(rig.url, stream("log", "fleet"), last_event_id="x" * 65_536)
    assert reader.status == 200
    await require_one_gap(rig, reader, None)
    too_long = await Reader.open(rig.url, stream("log"), last_event_id="x" * 100_000)
    assert too_long.status == 431
    in_the_url = await Reader.open(rig.url, stream("log", last_event_id="x" * 65_536))
    assert in_the_url.status == 414
    after = await Reader.open(rig.url, stream("log"))
    assert (await after.message()).type == "connected"


async def test_case_18_a_replay_honours_the_topics(ring_events: int, rig: Rig) -> None:
    """It must be that a replay brings what one would have heard; who may hear comes later."""
    for number in range(300):
        await happen(
            rig,
            alert(host=f"web-{number % 2 + 1}", attributes={"n": f"{number}"}),
            notice(f"{number}"),
            host_update("web-1", f"{number}"),
        )
    start = position(rig, 0)
    alerts = await Reader.open(rig.url, stream("alerts"), last_event_id=start)
    host = await Reader.open(rig.url, stream("host:web-2"), last_event_id=start)
    fleet = await Reader.open(rig.url, stream("fleet"), last_event_id=start)
    nothing = await Reader.open(rig.url, stream("approvals"), last_event_id=start)
    found = await alerts.messages(300, "alert", "notice", "host_update")
    assert [block.data["attributes"]["n"] for block in found] == counted(0, 300)
    found = await host.messages(150, "alert", "notice", "host_update")
    assert [block.data["attributes"]["n"] for block in found] == counted(0, 300)[1::2]
    found = await fleet.messages(300, "alert", "notice", "host_update")
    assert [block.data["reason"] for block in found] == counted(0, 300)
    await happen(rig, alert(host="web-2", attributes={"n": "live"}))
    for reader in (alerts, host):
        found = await reader.messages(1, "alert", "notice", "host_update")
        assert found[0].data["attributes"] == {"n": "live"}
    assert (await nothing.message()).type == "connected"
    with pytest.raises(TimeoutError):
        await nothing.message(seconds=0.1)


async def test_case_20_a_newcomer_has_the_snapshot_before_its_first_change(rig: Rig) -> None:
    """It must be that whoever comes while everything changes has all values first."""
    values = {f"metric.{number}": float(number) for number in range(50)}
    unseen = dict.fromkeys(values, math.nan)
    await rig.send(values)

    async def change() -> None:
        for step in itertools.count():
            await rig.send(unseen | {f"metric.{step % 50}": step + 1_000.0})
            await asyncio.sleep(0.002)

    changing = asyncio.create_task(change())
    try:
        for _ in range(20):
            reader = await Reader.open(rig.url, stream("host:web-1"), accept_encoding="gzip")
            first, second, third = await reader.messages(3)
            assert first.type == "connected"
            assert set(values) <= set(second.data["metrics"])
            assert len(third.data["metrics"]) < 50
            reader.close()
    finally:
        changing.cancel()


async def once(
    rig: Rig, *topics: str, after: str | None = None, encoding: str = "identity"
) -> list[Block]:
    """One complete answer of ``follow=0``, which must end by itself."""
    query = {"follow": "0"} | ({} if after is None else {"last_event_id": after})
    reader = await Reader.open(
        rig.url, stream(*topics, **query), accept_encoding=encoding, connection="close"
    )
    assert reader.status == 200
    assert reader.headers["content-type"] == "text/event-stream"
    body = await reader.body()
    if encoding == "gzip":
        body = gzip.decompress(body)
    assert body.endswith(b"\n\n")
    return [Block.parsed(block) for block in body.decode().removesuffix("\n\n").split("\n\n")]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_polling_misses_nothing_and_repeats_nothing_while_events_flow(
    rig: Rig, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "MOST_ONCE_EVENTS", 64)
    total = 700

    async def flow() -> None:
        for start in range(0, total, 10):
            await notices(rig, counted(start, start + 10))
            await rig.send({CPU: start / total})
            await asyncio.sleep(0.002)

    flowing = asyncio.create_task(flow())
    heard: list[Block] = []
    at: str | None = position(rig, 0)
    async with asyncio.timeout(30):
        while len(heard) < total:
            blocks = await once(rig, "log", "fleet", after=at, encoding=encoding)
            assert blocks[0].retry > 0
            assert (blocks[1].type, blocks[1].id) == ("connected", at)
            assert "gap" not in blocks[1].data
            assert [name for name, _ in blocks[-1].fields] == ["id"]
            events = [block for block in blocks if block.type == "notice"]
            states = [block for block in blocks if block.type == "metric_update"]
            assert len(events) <= 64
            assert set(states[0].data["hosts"]) == {"web-1", "web-2"}
            heard += events
            assert not events or events[-1].sequence <= blocks[-1].sequence
            at = blocks[-1].id
    await flowing
    assert texts(heard) == counted(0, total)
    assert rig.hub.client_count == 0


async def test_polling_from_an_unknown_position_is_one_gap(rig: Rig) -> None:
    await notices(rig, counted(0, 5))
    blocks = await once(rig, "log", after="nonsense")
    assert blocks[1].data["gap"] == {"from": None, "to": position(rig, 5)}
    assert blocks[-1].id == position(rig, 5)
    assert len(blocks) == 3


async def test_a_reader_that_paused_through_a_burst_gets_all_of_it_once_and_in_order(
    ring_events: int, rig: Rig
) -> None:
    readers = [
        await Reader.open(
            rig.url, stream("log", "fleet"), accept_encoding=encoding, receive_buffer=4_096
        )
        for encoding in ("identity", "gzip", "identity")
    ]
    for reader in readers:
        await reader.message("connected")
    filling = random.Random(1).randbytes(300).hex()
    await notices(rig, [f"{number} {filling}" for number in range(3_000)])
    await rig.send({CPU: 0.875})
    await eventually(lambda: rig.hub._delivery.position == 3_000)
    await asyncio.sleep(0.2)
    for reader in readers:
        found = await reader.messages(3_000, "notice", "connected")
        assert [int(text.split()[0]) for text in texts(found)] == list(range(3_000))
    assert rig.hub.counters.gaps_total == 0


async def test_a_reader_of_64_topics_hears_each_event_once(rig: Rig) -> None:
    hosts = [f"host-{number}" for number in range(61)]
    rig.know(*hosts)
    for host in hosts:
        await rig.send({CPU: 0.5}, host=host)
    topics = ["fleet", "alerts", "log", *(f"host:{host}" for host in hosts)]
    reader = await Reader.open(rig.url, stream(*topics), accept_encoding="gzip")
    connected = await reader.message()
    assert connected.data["topics"] == sorted(topics)
    states = await reader.messages(62)
    assert {block.data.get("host") for block in states} == {None, *hosts}
    for host in hosts:
        await happen(rig, alert(host=host), host_update(host))
    found = await reader.messages(122, "alert", "host_update")
    assert [block.sequence for block in found] == list(range(1, 123))
    with pytest.raises(TimeoutError):
        await reader.message(seconds=0.2)


class Follower:
    """A reader that comes, reads, stands still, is cut off and comes back, as chance will."""

    def __init__(self, rig: Rig, topics: tuple[str, ...], chance: random.Random) -> None:
        self.rig = rig
        self.topics = topics
        self.chance = chance
        self.heard: list[int] = []
        self.state: dict[str, Any] = {}
        self.begin = 0
        self.at: str | None = None
        self.reader: Reader | None = None
        self.ended = False

    async def come(self) -> None:
        """Open a stream, from where it was."""
        after = {} if self.at is None else {"last_event_id": self.at}
        encoding = self.chance.choice(["gzip", "identity"])
        version = self.chance.choice(["1.0", "1.1"])
        self.reader = await Reader.open(
            self.rig.url,
            stream(*self.topics, **after),
            version=version,
            receive_buffer=self.chance.choice([4_096, None]),
            accept_encoding=encoding,
        )
        connected = await self.reader.message()
        assert "gap" not in connected.data
        self.ended = False
        if self.at is None:
            self.begin = connected.sequence
        self.at = connected.id

    def take(self, block: Block) -> None:
        """Remember what a block said."""
        assert not self.ended, block
        if block.type == "disconnected":
            self.ended = True
        elif block.type == "metric_update":
            if "host" in block.data:
                self.state |= block.data["metrics"]
        elif block.type:
            assert not self.heard or block.sequence > self.heard[-1], block
            self.heard.append(block.sequence)
        if block.id:
            assert self.at is not None
            assert block.sequence >= int(self.at.rpartition("-")[2])
            self.at = block.id

    async def live(self, ending: asyncio.Event) -> None:
        """Go on as chance will until it is enough."""
        while not ending.is_set():
            if self.reader is None:
                await asyncio.sleep(self.chance.random() * 0.3)
                await self.come()
                continue
            what = self.chance.random()
            if what < 0.05:
                self.leave()
            elif what < 0.15:
                await asyncio.sleep(self.chance.random() * 0.4)
            else:
                await self.read(self.chance.random() * 0.1)

    def leave(self) -> None:
        """Be cut off, or go."""
        assert self.reader is not None
        self.chance.choice([self.reader.close, self.reader.reset])()
        self.reader = None

    async def read(self, seconds: float) -> None:
        """Read for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                block = await self.reader.block(left)  # type: ignore[union-attr]
            except TimeoutError:
                return
            if block is None:  # the server ended it
                assert self.ended
                self.leave()
                return
            self.take(block)

    async def finish(self, holds: Callable[[], bool]) -> None:
        """Read to the end."""
        if self.reader is None:
            await self.come()
        assert self.reader is not None
        while not holds():
            block = await self.reader.block(10)
            if block is None:
                assert self.ended
                self.leave()
                await self.come()
            else:
                self.take(block)


async def flow(rig: Rig, chance: random.Random, seconds: float) -> dict[str, float]:
    """Let events and state happen in bursts; the values in the end."""
    end = time.monotonic() + seconds
    values = {f"metric.{number}": 0.5 for number in range(70)}
    unseen = dict.fromkeys(values, math.nan)
    await rig.send(values)
    for number in itertools.count():
        events: list[Event] = []
        for _ in range(chance.choice([0, 1, 1, 5, 60])):
            filling = "x" * chance.choice([0, 10, 1_000, 20_000])
            events.append(
                chance.choice(
                    [notice(filling), alert(attributes={"filling": filling}), host_update("web-2")]
                )
            )
        if events:
            await happen(rig, *events)
        change = {f"metric.{number % 70}": float(number)}
        values |= change
        await rig.send(unseen | change)
        if chance.random() < 0.1 and (clients := rig.hub._delivery.crowd.clients()):
            rig.hub.end(chance.choice(clients), "lease")
        if time.monotonic() > end:
            return values
        await asyncio.sleep(chance.random() * 0.02)
    raise AssertionError


@pytest.fixture
def slow_log(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A server whose log takes its time, as one on a disk does."""
    read = rig.log.read

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(0.01)
        return await read(*arguments)

    monkeypatch.setattr(rig.log, "read", slowly)
    return rig


@pytest.mark.parametrize("seed", [2])
async def test_who_comes_stands_still_and_goes_at_random_misses_nothing(
    ring_events: int,
    slow_log: Rig,
    seed: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It must be that every reader hears every event of its topics once, in order.

    And that the state which it has in the end is the server's.
    """
    monkeypatch.setattr(delivery_module, "WRITES_AT_ONCE", 3)
    rig = slow_log
    chance = random.Random(seed)
    kinds = [("log",), ("log", "host:web-1"), ("alerts", "host:web-1"), ("fleet",), ("approvals",)]
    followers = [
        Follower(rig, kinds[number % len(kinds)], random.Random(seed * 1_000 + number))
        for number in range(60)
    ]
    for follower in followers:
        await follower.come()
    ending = asyncio.Event()
    living = [asyncio.create_task(follower.live(ending)) for follower in followers]
    values = await flow(rig, chance, 2.0)
    ending.set()
    await asyncio.gather(*living)
    everything: list[Event] = []
    last = 0
    while last < await rig.log.last():
        page, last, _ = await rig.log.read(last, None, 1_000)
        everything += page

    async def finish(follower: Follower) -> None:
        due = [
            event.sequence
            for event in everything
            if event.sequence > follower.begin
            and ("log" in follower.topics or set(event.topics) & set(follower.topics))
        ]
        wanted = values if "host:web-1" in follower.topics else {}
        await follower.finish(
            lambda: (
                len(follower.heard) >= len(due)
                and all(follower.state.get(key) == value for key, value in wanted.items())
            )
        )
        assert follower.heard == due
        follower.leave()

    # Together: who waits for the others to be done would stand still and be cut.
    await asyncio.gather(*(finish(follower) for follower in followers))
    await eventually(lambda: rig.hub.client_count == 0)
    assert not rig.hub._delivery.crowd.groups()
    assert not rig.hub._delivery.crowd.behind()
    assert len(rig.services.connections) == 0
    assert "Traceback" not in caplog.text


async def test_a_position_that_a_quiet_reader_passed_is_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that who comes back from long ago is told where it is now.

    Where nothing happened on its topics it would search all of that again, and find a gap
    one day.
    """
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.3)
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    await asyncio.sleep(1.1)  # until the hub's next sweep, which is the first of these
    await notices(rig, counted(0, 500))
    old = position(rig, 5)
    reader = await Reader.open(rig.url, stream("approvals"), last_event_id=old)
    assert (await reader.message()).id == old
    while not (block := await reader.block()) or not block.id:
        pass
    assert block.fields == (("id", position(rig, 500)),)
