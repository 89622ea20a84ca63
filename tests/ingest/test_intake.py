"""It must be that a push is stored once, whole, and for the host that it is of."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from monitor.errors import MonitorError
from monitor.ingest import schemas, senders
from monitor.ingest.intake import LARGE_BYTES, Intake, Receipt
from monitor.ingest.push import MOST_SERIES, Columns
from monitor.ingest.senders import Senders
from monitor.model import Frame, Snapshot
from tests.ingest.documents import KEYS, encoded, frame, simple


class Store:
    """Keeps what it is given, slowly, and fails when told to."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.calls = 0
        self.failing = False
        self.labels: dict[str, Mapping[str, str]] = {}

    async def accept(
        self, frames: Sequence[Frame], snapshots: Sequence[Snapshot], sent: float | None
    ) -> None:
        self.calls += 1
        await asyncio.sleep(0.001)
        if self.failing:
            raise OSError("the disk is full")
        self.frames += frames

    async def label(self, host: str, labels: Mapping[str, str]) -> None:
        self.labels[host] = labels


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def intake(store: Store) -> Intake:
    return Intake(store.accept, store.label, "hub", time.time)


async def refused(intake: Intake, body: bytes) -> tuple[int, str, str | None]:
    with pytest.raises(MonitorError) as error:
        await intake.push(body)
    return error.value.status, error.value.code, error.value.field


async def test_a_push_is_stored_before_it_is_acknowledged(intake: Intake, store: Store) -> None:
    at = time.time() - 5
    receipt = await intake.push(
        encoded(seq=7, frames=[frame(at), frame(at + 1)], labels={"role": "web"})
    )
    assert receipt == Receipt(2, False, 7)
    assert [each.at for each in store.frames] == [at, at + 1]
    assert store.labels == {"web-1": {"role": "web"}}
    assert intake.outcomes == {"accepted": 1}


async def test_a_repeat_is_known_and_another_with_its_number_conflicts(
    intake: Intake, store: Store
) -> None:
    at = time.time() - 5
    await intake.push(encoded(frames=[frame(at)]))
    repeat = await intake.push(encoded(frames=[frame(at)], sent=time.time()))
    assert repeat == Receipt(0, True, 1)
    conflict = await refused(intake, encoded(frames=[frame(at + 1)]))
    assert conflict == (409, "seq_conflict", "seq")
    assert len(store.frames) == 1
    other_boot = await intake.push(encoded(boot_id="b-2", frames=[frame(at + 1)]))
    assert other_boot == Receipt(1, False, 1)


async def test_of_ten_equal_pushes_at_once_one_is_stored(intake: Intake, store: Store) -> None:
    body = encoded()
    receipts = await asyncio.gather(*(intake.push(body) for _ in range(10)))
    assert sorted(receipt.duplicate for receipt in receipts) == [False] + [True] * 9
    assert store.calls == 1


async def test_of_two_different_pushes_of_one_number_one_conflicts(
    intake: Intake, store: Store
) -> None:
    bodies = [encoded(frames=[frame(values=(n, 1))]) for n in range(2)]
    found = await asyncio.gather(*map(intake.push, bodies), return_exceptions=True)
    assert sum(isinstance(each, Receipt) for each in found) == 1
    assert [each.code for each in found if isinstance(each, MonitorError)] == ["seq_conflict"]
    assert store.calls == 1


async def test_a_push_that_could_not_be_stored_may_come_again(intake: Intake, store: Store) -> None:
    body = encoded()
    store.failing = True
    waiting = asyncio.gather(intake.push(body), intake.push(body), return_exceptions=True)
    assert [type(each) for each in await waiting] == [OSError, OSError]
    store.failing = False
    assert await intake.push(body) == Receipt(1, False, 1)


async def test_numbers_come_in_any_order_and_gaps_are_counted(intake: Intake) -> None:
    for seq in (5, 3, 9):
        assert not (await intake.push(encoded(seq=seq, frames=[frame()]))).duplicate
    assert intake.senders.missing == 4
    assert not (await intake.push(encoded(seq=4))).duplicate
    assert intake.senders.missing == 3


async def test_a_schema_that_was_sent_can_be_named_by_its_digest(
    intake: Intake, store: Store
) -> None:
    await intake.push(encoded())
    digest = store.frames[0].schema.digest
    await intake.push(encoded(seq=2, schema=digest))
    assert store.frames[1].schema is store.frames[0].schema
    other = await refused(intake, encoded(host="web-2", schema=digest))
    assert other == (409, "unknown_schema", "schema")


async def test_a_refused_push_leaves_nothing(intake: Intake, store: Store) -> None:
    frames = [frame(), frame(), frame(at=5)]
    status, code, field = await refused(intake, encoded(frames=frames, labels={"a": "b"}))
    assert (status, code, field) == (400, "bad_time", "frames[2].at")
    assert not store.calls
    assert not store.labels
    assert not len(intake.senders)


async def test_nobody_pushes_for_the_server_s_own_host(intake: Intake, store: Store) -> None:
    assert await refused(intake, encoded(host="hub")) == (409, "host_taken", "host")
    body = json.dumps({"host": "hub", "metrics": {"a": 1}}).encode()
    assert await refused(intake, body) == (409, "host_taken", "host")
    assert not store.calls


async def test_two_machines_of_one_name_are_told_apart_by_their_agents(intake: Intake) -> None:
    await intake.push(encoded(agent="spool-1"))
    taken = await refused(intake, encoded(agent="spool-2", boot_id="b-2"))
    assert taken == (409, "host_taken", "agent")
    await intake.push(simple(app_queue=1))  # a script beside the agent
    assert (await intake.push(encoded(agent="spool-1", seq=2))).accepted == 1


async def test_what_several_scripts_send_stays_beside_what_an_agent_sends(
    intake: Intake, store: Store
) -> None:
    await intake.push(simple(app_queue=1))
    await intake.push(simple(app_users=2))
    last = store.frames[-1]
    assert last.schema.texts == ("app.queue", "app.users")
    assert math.isnan(last.values[0])
    assert last.values[1] == 2
    for seq in (1, 2):
        await intake.push(encoded(seq=seq))
    agents = store.frames[-1]
    assert agents.schema.texts == (*KEYS, "app.queue", "app.users")
    assert list(agents.values[:2]) == [1.5, 1000]
    assert all(map(math.isnan, agents.values[2:]))
    assert agents.schema is store.frames[-2].schema
    await intake.push(simple(app_queue=3))
    assert store.frames[-1].schema is agents.schema
    assert store.frames[-1].values[2] == 3


async def test_a_host_has_a_bounded_number_of_series_also_in_the_simple_form(
    intake: Intake,
) -> None:
    half = MOST_SERIES // 2
    for letter in "ab":
        metrics = {f"{letter}{n}": 1 for n in range(half)}
        await intake.push(json.dumps({"host": "web-1", "metrics": metrics}).encode())
    assert (await refused(intake, simple(c=1)))[1] == "series_limit"
    assert (await intake.push(simple(a1=2))).accepted == 1


async def test_all_hosts_together_have_a_bounded_number_of_series() -> None:
    room = schemas.Room(10)
    first, second = schemas.Schemas(room), schemas.Schemas(room)
    first.agree(Columns.of(tuple(f"a{n}" for n in range(6))))
    with pytest.raises(MonitorError) as full:
        second.agree(Columns.of(tuple(f"b{n}" for n in range(5))))
    assert (full.value.code, full.value.limit) == ("series_limit", 10)
    # The host's own older schema gives way to its newer one.
    newer = first.agree(Columns.of(tuple(f"c{n}" for n in range(10))))
    assert first.known(newer.schema.digest) is newer
    assert first.known(tuple(f"a{n}" for n in range(6))) is None


async def test_of_one_host_few_schemas_and_few_lives_are_remembered(
    intake: Intake, store: Store
) -> None:
    for n in range(schemas.MOST_SCHEMAS + 1):
        key = [f"metric.{n}"]
        await intake.push(encoded(boot_id=f"b-{n}", schema=key, frames=[frame(values=(1,))]))
    oldest = store.frames[0].schema.digest
    assert (await refused(intake, encoded(seq=2, schema=oldest)))[1] == "unknown_schema"
    boots = await intake.push(
        encoded(boot_id="b-0", schema=["metric.0"], frames=[frame(values=(2,))])
    )
    assert not boots.duplicate  # that life is forgotten: it is stored once more
    assert len(intake.senders._senders["web-1"]._boots) == senders.MOST_BOOTS


async def test_there_is_a_bound_of_hosts() -> None:
    few = Senders("hub", most_hosts=1)
    intake = Intake(Store().accept, Store().label, "hub", time.time)
    intake.senders = few
    await intake.push(encoded(host="a"))
    assert await refused(intake, encoded(host="b")) == (400, "host_limit", "host")
    assert (await intake.push(encoded(host="a", seq=2))).accepted == 1


async def test_a_large_push_does_not_stop_the_loop(intake: Intake) -> None:
    keys = [f'app.value{{part="{n:04}"}}' for n in range(5_000)]
    frames: list[Any] = [frame(time.time() - n, [0.123456789 + n] * 5_000) for n in range(1, 9)]
    body = encoded(schema=keys, frames=frames)
    assert len(body) > 10 * LARGE_BYTES
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    turns = 0
    assert (await intake.push(body)).accepted == 8
    watching.cancel()
    # Decoding takes some 50 ms.  On the loop it would leave room for a turn or two, in the store.
    assert turns >= 5
