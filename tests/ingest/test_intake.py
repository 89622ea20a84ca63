"""It must be that a push is stored once, whole, and for the host that it is of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from monitor.core.access import OPEN
from monitor.errors import InputError, MonitorError
from monitor.ingest import schemas, senders
from monitor.ingest.intake import LARGE_BYTES, PUSH_BURST, Intake, Receipt
from monitor.ingest.push import MOST_SERIES, Columns
from monitor.ingest.senders import Senders
from monitor.log.memory_registry import MemoryRegistry
from monitor.model import Frame, Introduction, Snapshot
from tests.ingest.documents import KEYS, encoded, frame, simple


class Store:
    """Keeps what it is given, slowly, and fails when told to."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.calls = 0
        self.failing = False

    async def accept(
        self, frames: Sequence[Frame], _snapshots: Sequence[Snapshot], _sent: float | None
    ) -> None:
        self.calls += 1
        await asyncio.sleep(0.001)
        if self.failing:
            raise OSError("the disk is full")
        self.frames += frames


class Hosts:
    """A fleet in which the first agent of a host is its own; it writes down what it is told."""

    def __init__(self) -> None:
        self.known: list[Introduction] = []
        self.left: list[str] = []
        self.turned_away: list[tuple[str, str, str]] = []
        self._agents: dict[str, str] = {}

    def require(self, said: Introduction) -> None:
        if said.host == "hub":
            raise InputError("it is mine", code="host_taken", field="host", status=409)
        if said.agent and self._agents.setdefault(said.host, said.agent) != said.agent:
            raise InputError("two machines?", code="host_taken", field="agent", status=409)

    async def met(self, said: Introduction) -> None:
        self.known.append(said)

    async def goodbye(self, host: str) -> None:
        self.left.append(host)

    def refused(self, said: Introduction, error: MonitorError, address: str = "") -> None:
        self.turned_away.append((said.host, error.code, address))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def fleet() -> Hosts:
    return Hosts()


@pytest.fixture
def intake(store: Store, fleet: Hosts) -> Intake:
    return Intake(store.accept, fleet, time.time)


async def refused(intake: Intake, body: bytes) -> tuple[int, str, str | None]:
    with pytest.raises(MonitorError) as error:
        await intake.push(body)
    return error.value.status, error.value.code, error.value.field


async def test_a_push_is_stored_before_it_is_acknowledged(
    intake: Intake, store: Store, fleet: Hosts
) -> None:
    at = time.time() - 5
    receipt = await intake.push(
        encoded(seq=7, frames=[frame(at), frame(at + 1)], labels={"role": "web"})
    )
    assert receipt == Receipt("web-1", 2, False, "b-1", 7)
    assert [each.at for each in store.frames] == [at, at + 1]
    assert [(each.host, each.labels) for each in fleet.known] == [("web-1", {"role": "web"})]
    assert intake.outcomes == {"accepted": 1}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (lambda now: {"sent": now + 3_600, "frames": [frame(now + 3_600)]}, "bad_time"),
        (lambda now: {"sent": int(now * 1000)}, "bad_time"),
        (lambda now: {"sent": 1.0}, "bad_time"),
        (lambda now: {"frames": [frame(7)]}, "bad_time"),
        (lambda now: {"sent": now - 1e8, "frames": [frame(now - 1e8)]}, "too_old"),
        (lambda now: {"sent": now, "frames": [frame(now - 1e8)]}, None),
        (lambda now: {"sent": now + 3_600, "frames": []}, None),
    ],
    ids=["ahead", "in milliseconds", "never set", "frame never set", "behind", "old", "other"],
)
async def test_whose_clock_is_wrong_is_told_of(
    store: Store, fleet: Hosts, changes: Callable[[float], dict[str, Any]], told: str | None
) -> None:
    intake = Intake(store.accept, fleet, time.time, oldest=lambda now: now - 86_400)
    with pytest.raises(InputError) as refusal:
        await intake.push(encoded(**changes(time.time())), address="192.0.2.1")
    assert fleet.turned_away == ([("web-1", told, "192.0.2.1")] if told else [])
    assert refusal.value.about == ("b-1", 1)
    assert store.frames == []


async def test_a_repeat_is_known_and_another_with_its_number_conflicts(
    intake: Intake, store: Store
) -> None:
    at = time.time() - 5
    await intake.push(encoded(frames=[frame(at)]))
    repeat = await intake.push(encoded(frames=[frame(at)], sent=time.time()))
    assert repeat == Receipt("web-1", 0, True, "b-1", 1)
    conflict = await refused(intake, encoded(frames=[frame(at + 1)]))
    assert conflict == (409, "seq_conflict", "seq")
    assert len(store.frames) == 1
    other_boot = await intake.push(encoded(boot_id="b-2", frames=[frame(at + 1)]))
    assert other_boot == Receipt("web-1", 1, False, "b-2", 1)


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
    assert await intake.push(body) == Receipt("web-1", 1, False, "b-1", 1)


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


async def test_a_refused_push_leaves_nothing(intake: Intake, store: Store, fleet: Hosts) -> None:
    frames = [frame(), frame(), frame(at=5)]
    status, code, field = await refused(intake, encoded(frames=frames, labels={"a": "b"}))
    assert (status, code, field) == (400, "bad_time", "frames[2].at")
    assert not store.calls
    assert not fleet.known
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


async def test_a_copy_of_a_machine_is_turned_away_and_told_of(
    intake: Intake, store: Store, fleet: Hosts
) -> None:
    accepted = {"b-1": 0, "b-2": 0}
    for seq in range(1, 9):
        for boot_id in accepted:
            body = encoded(agent="spool-1", boot_id=boot_id, seq=seq)
            if seq > 4 and boot_id == "b-2":
                assert await refused(intake, body) == (409, "host_taken", "boot_id")
            else:
                with contextlib.suppress(InputError):
                    accepted[boot_id] += (await intake.push(body)).accepted
    assert accepted["b-1"] == 8
    assert 1 <= accepted["b-2"] <= 3
    assert len(store.frames) == sum(accepted.values())
    assert ("web-1", "host_taken", "") in fleet.turned_away


async def test_what_several_scripts_send_is_a_lane_beside_what_an_agent_sends(
    intake: Intake, store: Store
) -> None:
    await intake.push(simple(app_queue=1))
    await intake.push(simple(app_users=2))
    last = store.frames[-1]
    assert (last.source, last.schema.texts) == ("simple", ("app.queue", "app.users"))
    assert math.isnan(last.values[0])
    assert last.values[1] == 2
    for seq in (1, 2):
        await intake.push(encoded(seq=seq))
    agents = store.frames[-1]
    assert (agents.source, agents.schema.texts) == ("", KEYS)
    assert list(agents.values) == [1.5, 1000]
    assert agents.schema is store.frames[-2].schema
    await intake.push(simple(app_queue=3))
    assert store.frames[-1].schema is last.schema
    assert store.frames[-1].values[0] == 3


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
    lists = schemas.Lists(schemas.Room(10))
    first, second = schemas.Schemas(lists), schemas.Schemas(lists)
    first.agree(Columns.of(tuple(f"a{n}" for n in range(6))))
    with pytest.raises(MonitorError) as full:
        second.agree(Columns.of(tuple(f"b{n}" for n in range(5))))
    assert (full.value.code, full.value.limit) == ("series_limit", 10)
    # The host's own older schema gives way to its newer one.
    newer = first.agree(Columns.of(tuple(f"c{n}" for n in range(8))))
    assert first.known(newer.schema.digest) is newer
    assert lists.find(tuple(f"a{n}" for n in range(6))) is None


async def test_a_list_that_many_hosts_have_is_kept_once_and_as_long_as_one_has_it() -> None:
    lists = schemas.Lists(schemas.Room(24))
    hosts = [schemas.Schemas(lists) for _ in range(9)]
    columns = [host.agree(Columns.of(tuple(f"a{n}" for n in range(16)))) for host in hosts[:4]]
    assert all(each is columns[0] for each in columns)
    with pytest.raises(MonitorError):
        hosts[4].agree(Columns.of(tuple(f"a{n}" for n in range(16))))
    for host in hosts[:3]:
        host.close()
        assert lists.find(columns[0].schema.texts) is columns[0]
    hosts[3].close()
    assert lists.find(columns[0].schema.texts) is None
    lists.room.take(24)  # all of it has come back


async def test_a_host_that_names_other_series_each_time_leaves_room_for_others() -> None:
    lists = schemas.Lists(schemas.Room(schemas.MOST_SERIES_OF_A_HOST * 2))
    churning, other = schemas.Schemas(lists), schemas.Schemas(lists)
    for n in range(7):
        churning.agree(Columns.of(tuple(f"a{n}.{m}" for m in range(6_000))))
        held = sum(churning.known(each) is not None for each in tuple(churning._columns))
        assert held == min(n + 1, 3)
    other.agree(Columns.of(tuple(f"b{m}" for m in range(10_000))))
    churning.close()
    other.close()
    lists.room.take(schemas.MOST_SERIES_OF_A_HOST * 2)  # all of it has come back


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


async def test_there_is_a_bound_of_hosts_and_one_long_silent_gives_way(
    store: Store, fleet: Hosts
) -> None:
    now = time.time()
    few = Senders(lambda: now, most_hosts=1)
    intake = Intake(store.accept, fleet, lambda: now, senders=few)
    await intake.push(encoded(host="a"))
    assert await refused(intake, encoded(host="b")) == (400, "host_limit", "host")
    assert (await intake.push(encoded(host="a", seq=2))).accepted == 1
    now += senders.YIELD_SECONDS + 1
    assert (await intake.push(encoded(host="b"))).accepted == 1
    assert len(few) == 1


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


async def test_what_a_sender_says_of_itself_reaches_the_fleet(intake: Intake, fleet: Hosts) -> None:
    info = {"version": "0.2", "os": "Debian 13", "interval": 10, "ephemeral": True, "x": [1]}
    caller = replace(OPEN, labels={"team": "a"})
    body = encoded(agent="spool-1", protocol=1, info=info, labels={"role": "db"}, sent=time.time())
    await intake.push(body, caller)
    (said,) = fleet.known
    assert said.info == {"version": "0.2", "os": "Debian 13"}
    assert (said.agent, said.interval_seconds, said.is_ephemeral) == ("spool-1", 10, True)
    assert (said.labels, said.given_labels) == ({"role": "db"}, {"team": "a"})
    assert abs(said.skew_seconds) < 5


@pytest.mark.parametrize("version", [0, 2, 99])
async def test_a_protocol_that_is_not_spoken_is_refused_with_ours_and_told_of(
    intake: Intake, store: Store, fleet: Hosts, version: int
) -> None:
    body = encoded(protocol=version, info={"version": "9"}, frames=[{"strange": 1}])
    with pytest.raises(MonitorError) as error:
        await intake.push(body, address="192.0.2.1")
    assert (error.value.code, error.value.field) == ("schema_version", "protocol")
    assert (error.value.limit, error.value.about) == (1, ("b-1", 1))
    assert fleet.turned_away == [("web-1", "schema_version", "192.0.2.1")]
    assert not store.calls


async def test_who_is_turned_away_is_told_of_and_whoever_may_not_write_is_not(
    intake: Intake, fleet: Hosts
) -> None:
    await refused(intake, encoded(host="hub"))
    assert fleet.turned_away == [("hub", "host_taken", "")]
    stranger = replace(OPEN, hosts=("db-*",))
    for body in (encoded(), encoded(protocol=2), encoded(host="hub"), simple(a=1)):
        with pytest.raises(MonitorError) as error:
            await intake.push(body, stranger)
        assert (error.value.status, error.value.code) == (403, "host_mismatch")
    assert len(fleet.turned_away) == 1


async def test_an_agent_says_goodbye_and_a_former_life_of_it_does_not(
    intake: Intake, fleet: Hosts
) -> None:
    def bye(boot_id: str) -> bytes:
        document = {"host": "web-1", "agent": "a", "boot_id": boot_id, "bye": True}
        return json.dumps(document).encode()

    for boot_id in ("b-1", "b-2"):
        await intake.push(encoded(agent="a", boot_id=boot_id))
    assert await intake.push(bye("b-1")) == Receipt("web-1")
    assert fleet.left == []
    await intake.push(bye("b-2"))
    assert fleet.left == ["web-1"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bye": False}, "bye"),
        ({"bye": 1}, "bye"),
        ({"frames": []}, "bye"),
        ({"agent": None}, "agent"),
        ({"boot_id": None}, "boot_id"),
    ],
)
async def test_a_goodbye_has_its_form(
    intake: Intake, fleet: Hosts, changes: dict[str, Any], field: str
) -> None:
    document = {"host": "web-1", "agent": "a", "boot_id": "b", "bye": True} | changes
    status, _, named = await refused(intake, json.dumps(document).encode())
    assert (status, named) == (400, field)
    assert not fleet.left


async def flood(intake: Intake, body: bytes) -> None:
    for _ in range(10_000):
        await intake.push(body)


async def test_a_host_that_floods_is_told_to_wait_and_no_other_is(intake: Intake) -> None:
    body = encoded(host="loud")
    for _ in range(int(PUSH_BURST)):
        await intake.push(body)
    with pytest.raises(MonitorError) as error:
        await flood(intake, body)
    assert (error.value.status, error.value.code) == (429, "too_many_requests")
    assert error.value.retry_after
    assert (await intake.push(encoded(host="quiet"))).accepted == 1


async def test_a_repeat_is_known_after_a_restart(store: Store, fleet: Hosts) -> None:
    """It must be that what was accepted is known again, in any order, for at least a day."""
    registry, now = MemoryRegistry(), time.time()
    sent = {seq: encoded(seq=seq, frames=[frame(now - seq)]) for seq in (1, 2, 3, 7, 500)}
    first = Intake(store.accept, fleet, lambda: now, senders=Senders(lambda: now, registry))
    for body in sent.values():
        await first.push(body)
    await first.senders.keep(everything=True)
    now += 86_400
    again = Intake(store.accept, fleet, lambda: now, senders=Senders(lambda: now, registry))
    await again.senders.load()
    for seq, body in reversed(sent.items()):
        assert (await again.push(body)).duplicate, seq
    assert again.senders.missing == 3 + 492
    conflict = encoded(seq=2, frames=[frame(now - 9)])
    assert await refused(again, conflict) == (409, "seq_conflict", "seq")
    assert len(store.frames) == len(sent)
    assert not (await again.push(encoded(seq=4))).duplicate


async def test_records_are_written_a_few_at_a_time_and_those_of_the_gone_are_dropped(
    store: Store, fleet: Hosts
) -> None:
    registry, now = MemoryRegistry(), time.time()
    kept = Senders(lambda: now, registry)
    intake = Intake(store.accept, fleet, lambda: now, senders=kept)
    for number in range(50):
        await intake.push(encoded(host=f"h-{number:02}"))
    await kept.keep()
    now += 1
    await kept.keep()
    written = len(await registry.keys(senders.RECORDS))
    assert written <= senders.MOST_KEPT_AT_ONCE + senders.KEPT_A_SECOND
    await kept.keep(everything=True)
    assert len(await registry.keys(senders.RECORDS)) == 50
    await kept.forget("h-07")
    now += senders.FORGET_SECONDS / 2
    await intake.push(encoded(host="h-01", seq=2))
    await kept.keep(everything=True)
    now += senders.FORGET_SECONDS / 2 + 1
    await registry.put(senders.RECORDS + "broken", b"\xc1")
    later = Senders(lambda: now, registry)
    await later.load()
    assert await registry.keys(senders.RECORDS) == [senders.RECORDS + "h-01"]
    assert len(later) == 1


async def test_a_host_s_record_is_written_no_more_often_than_it_must_be(
    store: Store, fleet: Hosts
) -> None:
    registry, now = MemoryRegistry(), 1.7e9
    kept = Senders(lambda: now, registry)
    intake = Intake(store.accept, fleet, lambda: now, senders=kept)
    revisions = set()
    for seq in range(20):
        await intake.push(encoded(seq=seq, frames=[frame(now)]))
        await kept.keep()
        entry = await registry.get(senders.RECORDS + "web-1")
        assert entry is not None
        revisions.add(entry.revision)
        now += 1
    assert len(revisions) == 4
