"""Sending.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from monitor.agent import pacing
from monitor.agent import sender as sending
from monitor.agent.backlog import Backlog
from monitor.agent.carriers import Carrier, Ears
from monitor.agent.encoding import Encoder
from monitor.agent.link import Cut, Problem, Refused
from monitor.agent.sender import Sender
from monitor.agent.spoolfile import Kept
from monitor.model import Schema

SCHEMA = Schema(("a", "b"))
OTHER = Schema(("a", "b", "c"))
TABLES: bytes = msgpack.packb({"processes": [{"pid": 1, "name": "init"}]})

Answer = Callable[["Wire", dict[str, Any]], None]


def _kept(number: int, schema: Schema = SCHEMA, tables: bytes | None = None) -> Kept:
    values = array("d", [float(number), *[0.5] * (len(schema) - 1)])
    return Kept(number, 1_700_000_000.0 + number, schema, values, tables)


def _acknowledge(wire: Wire, document: dict[str, Any]) -> None:
    wire.ears.acknowledged(document["seq"])


@dataclass
class Wire:
    """A carrier that answers as it is told to, in the next turn of the loop."""

    ears: Ears
    answer: Answer
    documents: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    goodbye: dict[str, Any] | None = None
    is_closed: bool = False
    name: str = "wire"

    def send(self, seq: int, message: bytes, *, is_live: bool) -> None:
        document = msgpack.unpackb(message)
        assert document["seq"] == seq
        document["live"] = is_live
        self.documents.append(document)
        self.raw.append(message)
        asyncio.get_running_loop().call_soon(self.answer, self, document)

    async def close(self, goodbye: bytes | None = None) -> None:
        self.is_closed = True
        self.goodbye = None if goodbye is None else msgpack.unpackb(goodbye)

    @property
    def instants(self) -> list[int]:
        """The numbers of the frames that were sent, in their order."""
        return [
            int(frame["values"][0]) for document in self.documents for frame in document["frames"]
        ]


class Store:
    """What was kept, in memory."""

    def __init__(self, frames: Sequence[Kept] = ()) -> None:
        self.frames = {frame.number: frame for frame in frames}
        self.fails = 0

    async def read(self, first: int, last: int, most: int) -> list[Kept]:
        if self.fails:
            self.fails -= 1
            raise OSError("the disk")
        found = [self.frames[n] for n in sorted(self.frames) if first <= n <= last][:most]
        return list(takewhile(lambda each: each.schema is found[0].schema, found))

    def acknowledged(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            del self.frames[number]


@dataclass
class Rig:
    """A sender on wires; `dials` are what each try to connect comes to, the last for ever."""

    sender: Sender
    store: Store
    wires: list[Wire]
    dials: list[Answer | Exception]

    def offer(self, *numbers: int, schema: Schema = SCHEMA, tables: bytes | None = None) -> None:
        for number in numbers:
            kept = _kept(number, schema, tables)
            self.store.frames[number] = kept
            self.sender.offer(kept)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110 - of anything at all
                await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def rig(
    *dials: Answer | Exception, kept: Sequence[Kept] = (), batch: float = 0.0
) -> AsyncIterator[Rig]:
    wires: list[Wire] = []
    remaining = list(dials) or [_acknowledge]

    async def dial(ears: Ears) -> Carrier:
        await asyncio.sleep(0)
        found = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(found, Exception):
            raise found
        wires.append(Wire(ears, found))
        return wires[-1]

    store = Store(kept)
    numbers = [each.number for each in kept]
    backlog = Backlog(min(numbers), max(numbers)) if numbers else Backlog()
    encoder = Encoder("web-1", "agent", "boot", {"role": "web"}, {"version": "1"})
    sender = Sender(dial, encoder, store, backlog, batch, chance=lambda: 0.0)
    running = asyncio.create_task(sender.run())
    try:
        yield Rig(sender, store, wires, remaining)
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short: what is waited for is the same."""
    monkeypatch.setattr(pacing, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(pacing, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(pacing, "FRAMES_PER_SECOND", 20_000)
    monkeypatch.setattr(sending, "DISK_SECONDS", 0.01)


async def test_a_frame_is_sent_at_once_and_let_go_of_when_the_server_has_it() -> None:
    async with rig() as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1, tables=TABLES)
        it.offer(2)
        await it.until(lambda: not it.store.frames)
        first, second = it.wires[0].documents
        assert first["schema"] == ["a", "b"]
        assert second["schema"] == SCHEMA.digest
        assert (first["host"], first["agent"], first["boot_id"]) == ("web-1", "agent", "boot")
        assert (first["protocol"], first["labels"]) == (1, {"role": "web"})
        assert first["info"] == {"version": "1"}
        assert "info" not in second
        assert first["snapshots"] == {"processes": [{"pid": 1, "name": "init"}]}
        assert "snapshots" not in second
        assert first["frames"] == [{"at": 1_700_000_001.0, "values": [1.0, 0.5]}]
        assert abs(first["sent"] - time.time()) < 60
        assert it.sender.waiting == 0


async def test_a_retry_says_the_same_under_the_same_number() -> None:
    def cut(wire: Wire, document: dict[str, Any]) -> None:
        wire.ears.ended(Cut("gone"))

    async with rig(cut, _acknowledge) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1, 2, tables=TABLES)
        await it.until(lambda: not it.store.frames)
        once, again = it.wires[0].documents[0], it.wires[1].documents[0]
        for name in ("boot_id", "seq", "frames", "snapshots"):
            assert once[name] == again[name]
        assert again["schema"] == ["a", "b"], "another connection has not heard the list"
        assert "info" in again


async def test_what_was_kept_is_sent_oldest_first_beside_live_frames() -> None:
    async with rig(kept=[_kept(n) for n in range(1, 2001)]) as it:
        await it.until(lambda: it.wires and len(it.wires[0].documents) > 3)
        it.offer(2001)
        await it.until(lambda: not it.store.frames)
        late = [each for each in it.wires[0].documents if not each["live"]]
        assert [f["values"][0] for each in late for f in each["frames"]] == list(range(1, 2001))
        assert max(len(each["frames"]) for each in late) == 60
        order = it.wires[0].instants
        assert order.index(2001) < len(order) - 100, "live frames wait for nothing"


async def test_frames_of_an_outage_are_back_filled_without_a_gap() -> None:
    async with rig(Cut("down"), Cut("down"), Cut("down"), _acknowledge) as it:
        it.offer(*range(1, 300))
        await it.until(lambda: it.sender.is_connected)
        it.offer(300)
        await it.until(lambda: not it.store.frames)
        assert sorted(it.wires[0].instants) == list(range(1, 301))


async def test_tables_of_late_frames_are_those_of_the_documents_last_frame() -> None:
    kept = [_kept(n, tables=TABLES if n % 5 == 0 else None) for n in range(1, 61)]
    async with rig(kept=kept) as it:
        await it.until(lambda: not it.store.frames)
        for document in it.wires[0].documents:
            assert ("snapshots" in document) == (document["frames"][-1]["values"][0] % 5 == 0)
        assert "snapshots" in it.wires[0].documents[0]


async def test_frames_that_wait_for_each_other_bring_the_newest_table_of_each_kind() -> None:
    facts = msgpack.packb({"system": [{"os": "linux"}], "processes": []})
    async with rig(batch=3600.0) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1)
        it.offer(2, tables=facts)
        it.offer(3)
        it.offer(4, tables=TABLES)
        it.sender.watched(True)
        await it.until(lambda: not it.store.frames)
        assert it.wires[0].documents[-1]["snapshots"] == {
            "processes": [{"pid": 1, "name": "init"}],
            "system": [{"os": "linux"}],
        }


async def test_a_table_that_an_older_server_does_not_know_costs_no_frame_and_no_other_table() -> (
    None
):
    many = msgpack.packb({"new": [], "system": [{}], "processes": [{"pid": 1, "name": "init"}]})

    def old(wire: Wire, document: dict[str, Any]) -> None:
        for kind in document.get("snapshots", ()):
            if kind != "processes":
                problem = Problem("unknown_snapshot", "", 400, field=f"snapshots.{kind}")
                wire.ears.refused(document["seq"], problem)
                return
        _acknowledge(wire, document)

    def newer(wire: Wire, document: dict[str, Any]) -> None:
        _acknowledge(wire, document)

    async with rig(old, newer) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1, tables=many)
        await it.until(lambda: not it.store.frames)
        said = it.wires[0].documents
        assert [set(each["snapshots"]) for each in said] == [
            {"new", "system", "processes"},
            {"system", "processes"},
            {"processes"},
        ]
        assert "info" in said[-1], "of what was refused nothing was kept"
        it.offer(2, tables=many)
        await it.until(lambda: not it.store.frames)
        assert set(said[-1]["snapshots"]) == {"processes"}
        assert len(said) == 4, "over this connection the server is not asked again"
        it.wires[0].ears.ended(Cut("gone"))
        await it.until(lambda: len(it.wires) == 2 and it.sender.is_connected)
        assert it.sender.connections == 2
        it.offer(3, tables=many)
        await it.until(lambda: not it.store.frames)
        assert len(it.wires[1].documents[0]["snapshots"]) == 3
        assert not it.sender.dropped


@pytest.mark.parametrize(
    ("field", "left"), [("snapshots.system[0].os", {"processes"}), ("snapshots", None)]
)
async def test_a_table_with_a_fault_goes_and_the_next_is_tried_again(
    field: str, left: set[str] | None
) -> None:
    many = msgpack.packb({"system": [{"os": 1}], "processes": []})
    async with rig(_refusing(1, Problem("bad_type", "", 400, field=field))) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1, tables=many)
        await it.until(lambda: not it.store.frames)
        again = it.wires[0].documents[1]
        assert (set(again["snapshots"]) if "snapshots" in again else None) == left
        it.offer(2, tables=many)
        await it.until(lambda: not it.store.frames)
        assert len(it.wires[0].documents[-1]["snapshots"]) == 2


async def test_no_document_mixes_schemas() -> None:
    kept = [_kept(n, OTHER if 10 < n <= 20 else SCHEMA) for n in range(1, 31)]
    async with rig(kept=kept) as it:
        await it.until(lambda: not it.store.frames)
        assert sorted(it.wires[0].instants) == list(range(1, 31))
        lists = [d["schema"] for d in it.wires[0].documents if isinstance(d["schema"], list)]
        assert lists == [["a", "b"], ["a", "b", "c"]]


async def test_a_server_that_does_not_keep_up_is_not_flooded() -> None:
    def silent(wire: Wire, document: dict[str, Any]) -> None:
        pass

    async with rig(silent, kept=[_kept(n) for n in range(1, 500)]) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(*range(500, 600))
        await asyncio.sleep(0.05)
        assert len(it.wires[0].documents) <= 16
        assert sum(not each["live"] for each in it.wires[0].documents) <= 2
        it.wires[0].answer = _acknowledge
        for document in tuple(it.wires[0].documents):
            it.sender.acknowledged(document["seq"])
        await it.until(lambda: not it.store.frames)
        assert sorted(it.wires[0].instants) == list(range(1, 600))


async def test_a_server_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ANSWER_SECONDS", 0.05)

    def silent(wire: Wire, document: dict[str, Any]) -> None:
        pass

    async with rig(silent, _acknowledge) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1)
        await it.until(lambda: not it.store.frames)
        assert it.wires[0].is_closed
        assert it.wires[0].documents[0]["seq"] == it.wires[1].documents[0]["seq"]


def _refusing(times: int, problem: Problem, when: Callable[[Any], bool] = lambda _: True) -> Answer:
    left = [times]

    def answer(wire: Wire, document: dict[str, Any]) -> None:
        if left[0] and when(document):
            left[0] -= 1
            wire.ears.refused(document["seq"], problem)
        else:
            wire.ears.acknowledged(document["seq"])

    return answer


async def test_a_frame_that_is_refused_by_name_is_dropped_and_the_rest_sent() -> None:
    problem = Problem("too_old", "it is too old", 400, "frames[3].at")
    kept = [_kept(n) for n in range(1, 9)]
    async with rig(_refusing(1, problem), kept=kept) as it:
        await it.until(lambda: not it.store.frames)
        once, again = it.wires[0].documents
        assert [f["values"][0] for f in again["frames"]] == [1, 2, 3, 5, 6, 7, 8]
        assert again["seq"] != once["seq"]
        assert it.sender.dropped == {"too_old": 1}


async def test_halves_find_the_frame_at_fault() -> None:
    def answer(wire: Wire, document: dict[str, Any]) -> None:
        if any(f["values"][0] == 5 for f in document["frames"]):
            wire.ears.refused(document["seq"], Problem("bad_value", "", 400))
        else:
            wire.ears.acknowledged(document["seq"])

    async with rig(answer, kept=[_kept(n) for n in range(1, 9)]) as it:
        await it.until(lambda: not it.store.frames)
        assert it.sender.dropped == {"bad_value": 1}


async def test_a_forgotten_schema_is_sent_once_as_a_list() -> None:
    async with rig() as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1)
        await it.until(lambda: not it.store.frames)
        problem = Problem("unknown_schema", "", 409)
        it.wires[0].answer = _refusing(1, problem)
        it.offer(2)
        await it.until(lambda: not it.store.frames)
        _, digest, listed = it.wires[0].documents
        assert digest["schema"] == SCHEMA.digest
        assert listed["schema"] == ["a", "b"]
        assert (digest["seq"], digest["frames"]) == (listed["seq"], listed["frames"])


async def test_a_server_that_never_knows_a_schema_is_not_asked_for_ever() -> None:
    async with rig(_refusing(99, Problem("unknown_schema", "", 409))) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1)
        await it.until(lambda: not it.store.frames)
        assert it.sender.dropped == {"unknown_schema": 1}


async def test_a_number_that_was_used_is_replaced() -> None:
    async with rig(_refusing(1, Problem("seq_conflict", "", 409))) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1, tables=TABLES)
        await it.until(lambda: not it.store.frames)
        once, again = it.wires[0].documents
        assert once["seq"] != again["seq"]
        assert once["frames"] == again["frames"]
        assert once["snapshots"] == again["snapshots"]


async def test_who_is_asked_to_wait_waits_and_sends_the_same() -> None:
    problem = Problem("too_many_requests", "slowly", 429, retry_after=0.05)
    async with rig(_refusing(1, problem)) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1)
        await it.until(lambda: len(it.wires[0].documents) == 1)
        await asyncio.sleep(0)
        began = time.monotonic()
        it.offer(2)
        assert len(it.wires[0].documents) == 1
        await it.until(lambda: not it.store.frames)
        assert time.monotonic() - began > 0.03
        assert it.wires[0].documents[0]["seq"] == it.wires[0].documents[1]["seq"]


@pytest.mark.parametrize("code", ["host_taken", "auth_required", "schema_version"])
async def test_who_is_not_wanted_keeps_everything_and_says_it_once(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    refused = Refused(Problem(code, "not you", {"auth_required": 401}.get(code, 409)))
    hang_up = _refusing(99, Problem(code, "not you", {"auth_required": 401}.get(code, 409)))
    async with rig(refused, refused, hang_up, hang_up, _acknowledge) as it:
        it.offer(*range(1, 50))
        await it.until(lambda: not it.store.frames)
        assert not it.sender.dropped
        assert set(it.wires[-1].instants) == set(range(1, 50))
    said = [record.message for record in caplog.records if code in record.message]
    assert len(said) == 1
    assert "not you" in said[0]


async def test_batches_are_sent_together_and_each_frame_while_somebody_looks() -> None:
    async with rig(batch=3600.0) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1)
        await it.until(lambda: not it.store.frames)
        it.offer(2, 3, 4)
        await asyncio.sleep(0.01)
        assert len(it.wires[0].documents) == 1
        it.wires[0].ears.watched(True)
        await it.until(lambda: not it.store.frames)
        assert it.wires[0].instants == [1, 2, 3, 4]
        assert len(it.wires[0].documents) == 2
        it.offer(5)
        await it.until(lambda: not it.store.frames)
        it.wires[0].ears.watched(False)
        it.offer(6, 7)
        await asyncio.sleep(0.01)
        assert it.wires[0].instants == [1, 2, 3, 4, 5]
        it.offer(*range(8, 66))
        await it.until(lambda: not it.store.frames)
        assert len(it.wires[0].documents[-1]["frames"]) == 60, "and never more than a document has"


async def test_the_end_sends_what_is_held_and_says_goodbye() -> None:
    async with rig(batch=3600.0) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1)
        it.offer(2, 3)
        await it.sender.finish(5.0)
        assert not it.store.frames
        assert it.wires[0].goodbye == {
            "host": "web-1",
            "agent": "agent",
            "boot_id": "boot",
            "bye": True,
        }


async def test_the_end_does_not_wait_for_ever() -> None:
    def silent(wire: Wire, document: dict[str, Any]) -> None:
        pass

    async with rig(silent) as it:
        await it.until(lambda: it.sender.is_connected)
        it.offer(1)
        await it.sender.finish(0.05)
        assert it.store.frames
        assert it.wires[0].goodbye is not None
    async with rig(Cut("down")) as it:
        it.offer(1)
        await it.sender.finish(5.0)


async def test_a_disk_that_cannot_be_read_is_asked_again() -> None:
    async with rig(kept=[_kept(1), _kept(2)]) as it:
        it.store.fails = 3
        await it.until(lambda: not it.store.frames)


async def test_frames_that_were_dropped_meanwhile_are_not_waited_for() -> None:
    kept = [_kept(n) for n in (1, 2, 500, 501)]
    async with rig(kept=kept) as it:
        await it.until(lambda: not it.store.frames)
        assert it.wires[0].instants == [1, 2, 500, 501]
        assert it.sender.waiting == 0


async def test_each_reason_of_an_outage_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Cut("the server stops"), Cut("its certificate is not the pinned one")
    async with rig(_acknowledge, second, first, second, _acknowledge) as it:
        it.offer(1)
        await it.until(lambda: not it.store.frames)
        it.sender.ended(first)
        await it.until(lambda: len(it.wires) == 2)
    said = [each.message for each in caplog.records if "not connected" in each.message]
    assert [("pinned" in each) for each in said] == [False, True]


async def test_a_token_that_ends_is_read_again_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ended = Refused(Problem("auth_required", "the credential holds no more", 401))
    async with rig() as it:
        it.offer(1)
        await it.until(lambda: not it.store.frames)
        it.sender.ended(ended)
        await it.until(lambda: len(it.wires) == 2)
        it.offer(2)
        await it.until(lambda: not it.store.frames)
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
