"""It must be that a write request is stored whole but for what is wrong with it, and fast."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.access import Caller, CallerKind, Right
from monitor.core.load import Load, Seen
from monitor.core.series import ENDED_BITS
from monitor.errors import InputError, MonitorError, Unavailable
from monitor.ingest import lanes as lanes_module
from monitor.ingest import remote_write_wire as wire
from monitor.ingest import written
from monitor.ingest.lanes import Lanes
from monitor.ingest.remote_write import Outcome, RemoteWrite
from monitor.ingest.schemas import Room
from monitor.model import Frame, Introduction, key
from tests.ingest import requests_written as made

NOW = 1_800_000_000.0
OWN = "main"


class House:
    """A server's other parts, and what they were given."""

    def __init__(self, most_series: int = 10_000) -> None:
        self.frames: list[Frame] = []
        self.met_hosts: list[str] = []
        self.turned_away: list[tuple[str, str]] = []
        self.failing: Exception | None = None
        self.load = Load(1_000)
        self.lanes = Lanes(self.load, Room(most_series))
        self.now = NOW
        self.remote_write = RemoteWrite(
            self.lanes, self.take, self, lambda: self.now, lambda now: now - 86_400
        )

    async def take(self, frames: Sequence[Frame]) -> None:
        if self.failing is not None:
            raise self.failing
        self.frames += frames

    def require(self, said: Introduction) -> None:
        if said.host == OWN:
            raise InputError("it is taken", code="host_taken", status=409)

    async def met(self, said: Introduction) -> None:
        self.met_hosts.append(said.host)

    def refused(self, said: Introduction, error: MonitorError) -> None:
        self.turned_away.append((said.host, error.code))

    async def write(self, *series: bytes, caller: Caller | None = None) -> Outcome:
        body = made.snappy(made.request(*series))
        if caller is None:
            return await self.remote_write.write(body)
        return await self.remote_write.write(body, caller)

    def values(self, host: str = "web-1") -> dict[tuple[float, str], float]:
        """Every value stored of a host, the first one where there are two."""
        found: dict[tuple[float, str], float] = {}
        for frame in self.frames:
            for text, value in zip(frame.schema.texts, frame.values, strict=False):
                if frame.host == host and not math.isnan(value):
                    found.setdefault((frame.at, text), value)
        return found


def series(name: str, *samples: tuple[float, float], **labels: str) -> bytes:
    return made.series({"__name__": name, "host": "web-1", **labels}, *samples)


async def test_series_become_columns_and_stay_the_same_ones() -> None:
    house = House()
    for number in range(3):
        at = NOW - 30 + 10 * number
        outcome = await house.write(
            series("queue_length", (number, at), job="app", queue="mail"),
            series("queue_length", (number + 0.5, at), job="app", queue="jobs"),
        )
        assert (outcome.written, outcome.refused) == (2, {})
    assert [frame.source for frame in house.frames] == ["write:app"] * 3
    assert house.frames[1].schema is house.frames[2].schema
    assert house.values()[NOW - 10, key("queue_length", job="app", queue="jobs")] == 2.5
    assert house.met_hosts == ["web-1"] * 3


async def test_one_request_of_many_hosts_jobs_and_instants() -> None:
    house = House()
    found = [
        made.series(
            {"__name__": "n", "instance": f"web-{host}:9100", "job": job},
            *((host + at, NOW - at) for at in (20, 10)),
        )
        for host in range(3)
        for job in ("a", "b")
    ]
    assert (await house.write(*found)).written == 12
    assert len(house.frames) == 12
    assert [frame.at for frame in house.frames] == sorted(frame.at for frame in house.frames)
    text = key("n", instance="web-2:9100", job="a")
    assert house.values("web-2")[NOW - 20, text] == 22


async def test_the_host_is_told_by_host_and_else_by_instance() -> None:
    house = House()
    for labels in (
        {"host": "db-1", "instance": "x:1"},
        {"instance": "db-2"},
        {"instance": "db-3.lan:443"},
        {"instance": "[fe80::1]:9100"},
    ):
        await house.write(made.series({"__name__": "n", **labels}, (1, NOW)))
    assert [frame.host for frame in house.frames] == ["db-1", "db-2", "db-3.lan", "fe80--1"]
    assert house.frames[0].schema.texts == (key("n", instance="x:1"),)


async def test_labels_may_be_called_as_anything() -> None:
    house = House()
    labels = {"name": "a", "cls": "b", "self": "c", "__meta": "d", "host": "web-1"}
    assert (await house.write(made.series({"__name__": "n", **labels}, (1, NOW)))).written == 1
    assert house.frames[0].schema.texts == ('n{__meta="d",cls="b",name="a",self="c"}',)


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        ({"__name__": "n"}, "no_host"),
        ({"__name__": "n", "host": "a b"}, "bad_host_name"),
        ({"__name__": "n", "instance": "http://x/"}, "bad_host_name"),
        ({"host": "web-1"}, "bad_labels"),
        ({"__name__": "n", "host": "web-1", "empty": ""}, "bad_labels"),
        ({"__name__": "n", "host": "web-1", "a-b": "x"}, "bad_labels"),
        ({"__name__": "1n", "host": "web-1"}, "bad_key"),
        ({"__name__": "n" * 300, "host": "web-1"}, "limit_name"),
        ({"__name__": "n", "host": "web-1", "long": "x" * 1_025}, "limit_labels"),
        ({"__name__": "n", "host": "web-1", **{f"l{n}": "x" for n in range(40)}}, "limit_labels"),
        ({"__name__": "n", "host": OWN}, "host_taken"),
    ],
)
async def test_a_series_that_is_wrong_is_refused_and_the_others_are_stored(
    labels: dict[str, str], code: str
) -> None:
    house = House()
    for _ in range(2):  # the second time it is known
        outcome = await house.write(series("good", (1, NOW)), made.series(labels, (1, NOW)))
        assert (outcome.written, outcome.refused) == (1, {code: 1})
        assert outcome.fault is not None
        assert outcome.passing is None
    assert {frame.host for frame in house.frames} == {"web-1"}


@pytest.mark.parametrize(
    "encoded",
    [
        made.label("__name__", "n") + made.label("host", "a") + made.label("host", "b"),
        made.label("host", "a") + made.label("__name__", "n"),
    ],
)
async def test_labels_that_are_not_sorted_or_stand_twice_are_refused(encoded: bytes) -> None:
    outcome = await House().write(encoded + made.sample(1, NOW))
    assert outcome.refused == {"bad_labels": 1}


async def test_a_series_has_samples_and_no_native_histograms() -> None:
    house = House()
    labels = made.labels({"__name__": "n", "host": "web-1"})
    histogram, exemplar = made.field(4, b""), made.field(3, b"")
    outcome = await house.write(
        labels, labels + histogram, labels + histogram + made.sample(1, NOW), labels + exemplar
    )
    assert outcome.refused == {"no_samples": 1, "unsupported_histogram": 2}
    assert house.frames == []


async def test_a_request_of_metadata_alone_is_well() -> None:
    house = House()
    body = made.snappy(made.field(3, b"\x08\x01\x12\x01n"))
    assert (await house.remote_write.write(body)).refused == {}
    assert house.frames == []


async def test_out_of_order_is_merged_and_the_first_of_two_values_stands() -> None:
    house = House()
    outcome = await house.write(
        series("n", (3, NOW), (1, NOW - 20), (2, NOW - 10)), series("n", (9, NOW))
    )
    assert (outcome.written, outcome.duplicates) == (4, 1)
    assert [frame.values[0] for frame in house.frames] == [1, 2, 3]


async def test_the_end_of_a_series_is_kept_bit_for_bit() -> None:
    house = House()
    await house.write(series("n", (1, NOW - 10)))
    await house.write(series("n", (made.STALE, NOW - 5)), series("m", (1, NOW - 5)))
    await house.write(series("n", (2, NOW - 4), (made.STALE, NOW)))
    bits = [np.array(frame.values).view(np.uint64)[0] for frame in house.frames]
    assert [found == ENDED_BITS for found in bits] == [False, True, False, True]


@pytest.mark.parametrize("at", [0.0, -1.0, NOW * 1000, 9e12, NOW + 3_600, -(2.0**53)])
async def test_an_instant_that_is_none_is_refused(at: float) -> None:
    house = House()
    outcome = await house.write(series("n", (1, at), (2, NOW)))
    assert (outcome.written, outcome.refused) == (1, {"bad_time": 1})
    assert house.turned_away == ([("web-1", "bad_time")] if at > NOW else [])


async def test_a_clock_is_told_of_where_the_token_writes_that_host() -> None:
    house = House()
    caller = Caller(CallerKind.TOKEN, "t", frozenset({Right.PUSH}), ("web-*",))
    ahead = [series("n", (1, NOW + 3_600), host=host) for host in ("web-1", "web-2", "db-1")]
    await house.write(*ahead, caller=caller)
    assert house.turned_away == [("web-1", "bad_time"), ("web-2", "bad_time")]


async def test_labels_that_are_too_long_are_refused_and_not_remembered() -> None:
    house = House()
    outcome = await house.write(series("n", (1, NOW)), series("n", (1, NOW), x="y" * 100_000))
    assert (outcome.written, outcome.refused) == (1, {"limit_labels": 1})
    assert len(house.remote_write._table) == 1


async def test_what_is_older_than_what_is_kept_is_refused() -> None:
    house = House()
    outcome = await house.write(series("n", (1, NOW - 90_000), (2, NOW)))
    assert (outcome.written, outcome.refused) == (1, {"too_old": 1})


async def test_the_very_same_request_again_has_the_same_counts() -> None:
    house = House()
    wrong = made.series({"__name__": "n"}, (1, NOW))
    found = [await house.write(series("n", (1, NOW)), wrong) for _ in range(2)]
    assert [(each.written, each.refused) for each in found] == [(1, {"no_host": 1})] * 2
    assert house.frames[0].values == house.frames[1].values


async def test_a_token_writes_its_hosts_and_nobody_elses() -> None:
    caller = Caller(CallerKind.TOKEN, "t", frozenset({Right.PUSH}), ("web-*",))
    house = House()
    foreign = made.series({"__name__": "n", "host": "db-1"}, (1, NOW))
    outcome = await house.write(series("n", (1, NOW)), foreign, caller=caller)
    assert (outcome.written, outcome.refused) == (1, {"host_mismatch": 1})
    assert house.turned_away == []


async def test_series_without_room_are_the_senders_fault_and_the_others_go_on() -> None:
    house = House(most_series=1)
    await house.write(series("known", (1, NOW - 1)))
    outcome = await house.write(series("known", (2, NOW)), series("new", (2, NOW)))
    assert (outcome.written, outcome.refused) == (1, {"series_limit": 1})
    assert outcome.fault is not None


async def test_series_that_are_shed_are_to_be_sent_again_and_the_others_go_on() -> None:
    house = House()
    await house.write(series("known", (1, NOW - 1)))
    house.load.update(Seen(850, 0.0), 0.0)
    outcome = await house.write(series("known", (2, NOW)), series("new", (2, NOW)))
    assert (outcome.written, outcome.refused) == (1, {"overloaded": 1})
    assert outcome.passing is not None
    house.load.level = house.load.level.NOTHING
    assert (await house.write(series("new", (2, NOW)))).written == 1


async def test_a_store_that_takes_nothing_is_told_and_the_retry_is_whole() -> None:
    house = House()
    house.failing = Unavailable("full", status=507)
    with pytest.raises(Unavailable):
        await house.write(series("n", (1, NOW)))
    house.failing = None
    assert (await house.write(series("n", (1, NOW)))).written == 1


async def test_columns_that_were_let_go_of_are_found_again() -> None:
    house = House()
    await house.write(series("n", (1, NOW)), series("m", (1, NOW)))
    house.now = NOW + lanes_module.FORGET_SECONDS + lanes_module.LOOK_SECONDS
    await house.write(series("m", (2, house.now)))
    assert house.frames[-1].schema.texts == ("m",)
    await house.write(series("n", (3, house.now)), series("m", (3, house.now)))
    assert dict(zip(house.frames[-1].schema.texts, house.frames[-1].values, strict=True)) == {
        "m": 3,
        "n": 3,
    }
    house.lanes.forget("web-1")
    await house.write(series("n", (4, house.now)))
    assert house.values()[house.now, "n"] == 3
    assert list(house.frames[-1].values) == [4]


async def test_a_full_table_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written.Table, "MOST_SERIES", 10)
    house = House()
    for number in range(40):
        await house.write(series(f"n{number}", (number, NOW)), series("all", (number, NOW)))
    assert len(house.remote_write._table) <= 10
    monkeypatch.setattr(written.Table, "MOST_BYTES", 100)
    for number in range(40):
        await house.write(series(f"n{number}", (number, NOW)))
    assert house.remote_write._table.size_bytes < 200
    assert house.values()[NOW, "n39"] == 39


# node_exporter's


def node(name: str, *samples: tuple[float, float], **labels: str) -> bytes:
    found = {"__name__": f"node_{name}", "instance": "web-1:9100", "job": "node", **labels}
    return made.series(found, *samples)


def machine(at: float, busy: float) -> list[bytes]:
    """What a node_exporter tells of a small machine."""
    return [
        node("cpu_seconds_total", (busy, at), cpu="0", mode="user"),
        node("cpu_seconds_total", (1000 - busy, at), cpu="0", mode="idle"),
        node("memory_MemTotal_bytes", (8e9, at)),
        node("memory_MemAvailable_bytes", (6e9, at)),
        node("memory_Cached_bytes", (1e9, at)),
        node("memory_SReclaimable_bytes", (5e8, at)),
        node("filesystem_size_bytes", (100e9, at), device="/dev/a", fstype="ext4", mountpoint="/"),
        node("filesystem_avail_bytes", (45e9, at), device="/dev/a", fstype="ext4", mountpoint="/"),
        node("filesystem_free_bytes", (50e9, at), device="/dev/a", fstype="ext4", mountpoint="/"),
        node("boot_time_seconds", (at - 500, at)),
        node("uname_info", (1, at), release="6.1"),
        node("something_else", (7, at)),
    ]


async def test_a_node_exporter_is_a_host_of_the_catalog() -> None:
    house = House()
    for at, busy in ((NOW - 10, 0.0), (NOW, 2.5)):
        series = [*machine(at, busy)]
        series[1] = node(
            "cpu_seconds_total", (10 * (at - NOW + 20) - busy, at), cpu="0", mode="idle"
        )
        outcome = await house.write(*series)
        assert (outcome.written, outcome.refused) == (12, {})
    found = {text: value for (at, text), value in house.values().items() if at == NOW}
    assert found["system.memory.utilization"] == pytest.approx(0.25)
    assert found["system.cpu.utilization"] == pytest.approx(2.5 / 100)
    assert found[key("system.memory.usage", state="cached")] == 1.5e9
    assert found[key("system.filesystem.utilization", mountpoint="/")] == pytest.approx(50 / 95)
    assert found["system.uptime"] == 500
    assert found[key("node_something_else", instance="web-1:9100", job="node")] == 7
    assert not any("unallocated" in text or "uname" in text for text in found)


async def test_pieces_of_a_node_exporter_that_come_apart_make_the_same() -> None:
    house, apart = House(), House()
    for number in range(3):
        at = NOW - 20 + 10 * number
        series = machine(at, 2.0 * number)
        await house.write(*series)
        await apart.write(*series[::2])
        await apart.write(*series[1::2])
    wanted = {at_text: value for at_text, value in house.values().items() if at_text[0] == NOW}
    found = {at_text: value for at_text, value in apart.values().items() if at_text[0] == NOW}
    assert found == wanted


async def test_our_own_names_come_back_as_keys() -> None:
    house = House()
    labels = {"instance": "mon:8460", "job": "awoooi", "cpu": "0", "state": "idle"}
    await house.write(series("system_cpu_time_seconds_total", (5, NOW), **labels))
    assert house.frames[0].schema.texts == (key("system.cpu.time", cpu="0", state="idle"),)


# The bytes


@given(st.binary(max_size=400))
def test_no_bytes_are_a_fault_of_ours(body: bytes) -> None:
    for undo in (wire.unpacked, wire.series_of, wire.whole):
        try:
            undo(body)
        except InputError:
            continue
        wire.split([body])


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.text(max_size=20), st.text(max_size=200)), max_size=5),
            st.lists(
                st.tuples(st.floats(), st.integers(-(2**63), 2**63 - 1)), min_size=0, max_size=3
            ),
        ),
        max_size=5,
    )
)
def test_looking_at_the_end_of_a_series_says_what_parsing_says(
    found: list[tuple[list[tuple[str, str]], list[tuple[float, int]]]],
) -> None:
    encoded = [
        b"".join(made.label(name, value) for name, value in labels)
        + b"".join(made.sample(value, at / 1000) for value, at in samples)
        for labels, samples in found
    ]
    assert list(wire.series_of(made.request(*encoded))) == encoded
    split = wire.split(encoded)
    for place, each in enumerate(encoded):
        whole = wire.whole(each)
        if split.plain[place] and split.heads[place] == whole.head:
            assert whole.milliseconds == [split.milliseconds[place]]
            same = np.array([whole.values[0]]).view(np.uint64)
            assert same[0] == split.values[place : place + 1].view(np.uint64)[0]


async def test_a_label_that_looks_like_a_sample_is_a_label() -> None:
    house = House()
    trap = made.sample(666, NOW).decode("latin-1")
    labels = {"__name__": "n", "host": "web-1", "z": trap}
    # Its last bytes are a sample's, and what stands before them is no whole labels.
    await house.write(made.labels(labels))
    outcome = await house.write(made.labels(labels))
    assert outcome.refused == {"no_samples": 1}
    assert house.frames == []


NO_REQUESTS = [
    (b"", "bad_snappy", 400),
    (b"no snappy", "bad_snappy", 400),
    (b"\xff\x06\x00\x00sNaPpY", "bad_snappy", 400),
    (b"\xff\xff\xff\xff\x0f", "inflated_too_large", 413),
    (b"\xff\xff\xff\x07\x00", "bad_snappy", 400),
    (made.snappy(b"\0" * (wire.MOST_BYTES + 1)), "inflated_too_large", 413),
    (made.snappy(b"\x0a\x00" * (wire.MOST_SERIES + 1)), "too_many_series", 413),
    (made.snappy(b"\x0a\x00" * 1_000_000), "too_many_series", 413),
    (made.snappy(b"\x0a\x05abc"), "bad_protobuf", 400),
    (made.snappy(b"\x08\x01"), "bad_protobuf", 400),
    (made.snappy(made.request(b"\x0a\x02\x08\x01")), "bad_protobuf", 400),
    (made.snappy(made.request(b"\x10\x01")), "bad_protobuf", 400),
    (made.snappy(made.request(made.field(1, b"\x0a\x01\xff"))), "bad_protobuf", 400),
    (made.snappy(b"\x7b" * 10_000), "bad_protobuf", 400),
]


@pytest.mark.parametrize(
    ("body", "code", "status"),
    NO_REQUESTS,
    ids=[f"{code}-{number}" for number, (_, code, _) in enumerate(NO_REQUESTS)],
)
async def test_a_body_that_is_no_request_is_refused(body: bytes, code: str, status: int) -> None:
    with pytest.raises(InputError) as caught:
        await House().remote_write.write(body)
    assert (caught.value.code, caught.value.status) == (code, status)


async def test_fields_that_nobody_knows_are_let_be() -> None:
    house = House()
    body = made.field(9, b"new") + made.request(made.field(8, b"new") + series("n", (1, NOW)))
    assert (await house.remote_write.write(made.snappy(body))).written == 1


async def test_too_many_samples_are_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_SAMPLES", 5)
    with pytest.raises(InputError, match="5 samples"):
        await House().write(series("n", *((1, NOW - number) for number in range(6))))
