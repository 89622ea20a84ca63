"""It must be that OTLP metrics become hosts of the catalog, and what is not kept is said."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.access import Caller, CallerKind, Right
from monitor.core.catalog import CATALOG
from monitor.core.load import Load, Seen
from monitor.core.series import ENDED_BITS
from monitor.errors import InputError, MonitorError, Unavailable
from monitor.ingest import otlp as otlp_module
from monitor.ingest import otlp_wire
from monitor.ingest.lanes import Lanes
from monitor.ingest.otel_names import told
from monitor.ingest.otlp import Otlp, together
from monitor.ingest.otlp_points import Outcome
from monitor.model import Frame, Introduction, SeriesKey, key
from tests.ingest.hostmetrics import CUMULATIVE, DELTA, GIB, Request, attributes, machine

NOW = 1_800_000_000.0
OWN = "main"


class House:
    """A server's other parts, and what they were given."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.known: list[Introduction] = []
        self.turned_away: list[tuple[str, str]] = []
        self.failing: Exception | None = None
        self.load = Load(1_000)
        self.lanes = Lanes(self.load)
        self.otlp = Otlp(self.lanes, self.take, self, lambda: NOW, lambda now: now - 86_400)

    async def take(self, frames: Sequence[Frame]) -> None:
        if self.failing is not None:
            raise self.failing
        self.frames += frames

    def require(self, said: Introduction) -> None:
        if said.host == OWN:
            raise InputError("it is taken", code="host_taken", status=409)

    async def met(self, said: Introduction) -> None:
        self.known.append(said)

    def refused(self, said: Introduction, error: MonitorError) -> None:
        self.turned_away.append((said.host, error.code))

    async def send(self, request: Request | bytes, **more: Any) -> Outcome:
        body = request if isinstance(request, bytes) else request.encoded()
        return await self.otlp.export(body, **{"is_json": False, **more})

    def last(self, host: str) -> dict[str, float]:
        """The values of a host's newest frame."""
        frame = [each for each in self.frames if each.host == host][-1]
        pairs = zip(frame.schema.texts, frame.values, strict=True)
        return {text: found for text, found in pairs if not math.isnan(found)}


def one(at: float = NOW, **resource: str) -> Request:
    return Request(at, **({"host__name": "web-1"} | resource))


async def test_the_collector_is_a_host_with_all_that_a_page_needs() -> None:
    house = House()
    for at, busy, idle in ((NOW - 10, 0.0, 0.0), (NOW, 2.5, 7.5)):
        outcome = await house.send(machine(at, busy, idle))
        assert (outcome.rejected, outcome.message) == ({}, "")
    assert len(house.frames) == 2, "a look is one frame"
    found = house.last("otel-1")
    assert {text: found[text] for text in wanted()} == pytest.approx(wanted())
    names = {SeriesKey.parse(text).name for text in found} - {"system.network.connections"}
    assert names <= CATALOG.keys()
    unwanted = ("loop0", "sda1", "veth", "/run", "tmpfs", 'minor",direction', "interrupt", 'wait"')
    assert not [text for text in found if any(word in text for word in unwanted[:-1])]
    assert key("system.cpu.time", cpu="0", state="iowait") in found
    assert house.known[-1].info == {"os": "linux", "arch": "amd64"}


def wanted() -> dict[str, float]:
    """Headlines and one of each table of a host's page."""
    disk, net = {"device": "sda"}, {"interface": "eth0"}
    return {
        "system.cpu.utilization": 0.25,
        key("system.cpu.utilization", cpu="1"): 0.25,
        key("system.cpu.utilization", state="user"): 0.25,
        "system.cpu.logical.count": 2,
        "system.cpu.load_average.1m": 0.5,
        "system.memory.limit": 16 * GIB,
        "system.memory.utilization": 6 / 16,
        key("system.memory.usage", state="buffers"): GIB,
        "system.paging.utilization": 0.25,
        key("system.paging.usage", state="used"): GIB,
        key("system.paging.operations", direction="in"): 2,
        key("system.paging.faults", kind="major"): 7,
        key("system.filesystem.utilization", mountpoint="/data"): 45 / 95,
        key("system.filesystem.limit", mountpoint="/"): 100 * GIB,
        key("system.filesystem.inodes.utilization", mountpoint="/"): 0.4,
        key("system.disk.utilization", **disk): 0.25,
        key("system.disk.queue", **disk): 0.25,
        key("system.disk.io", direction="read", **disk): 10 * 4096 + NOW,
        key("system.network.io", direction="transmit", **net): NOW * 1000,
        key("system.network.packets", direction="receive", **net): NOW,
        "system.network.tcp.established": 12,
        key("system.processes.count", state="blocked"): 1,
        key("system.processes.count", state="zombie"): 0,
        "system.processes.count": 93,
        "system.processes.created": 1000 + NOW,
        "system.uptime": 5000,
    }


@pytest.mark.parametrize(
    ("name", "found", "text"),
    [
        (
            "system.cpu.time",
            {"cpu.logical_number": "3", "cpu.mode": "iowait"},
            key("system.cpu.time", cpu="3", state="iowait"),
        ),
        (
            "system.memory.usage",
            {"system.memory.state": "buffers"},
            key("system.memory.usage", state="buffers"),
        ),
        (
            "system.linux.memory.available",
            {},
            key("system.memory.usage", state="available"),
        ),
        (
            "system.linux.memory.slab.usage",
            {"linux.memory.slab.state": "reclaimable"},
            key("system.memory.usage", state="slab_reclaimable"),
        ),
        (
            "system.disk.io",
            {"system.device": "nvme0n1", "disk.io.direction": "read"},
            key("system.disk.io", device="nvme0n1", direction="read"),
        ),
        (
            "system.filesystem.usage",
            {
                "system.device": "/dev/sda1",
                "system.filesystem.mode": "rw",
                "system.filesystem.mountpoint": "/",
                "system.filesystem.type": "ext4",
                "system.filesystem.state": "used",
            },
            key("system.filesystem.usage", mountpoint="/", state="used"),
        ),
        (
            "system.network.packet.count",
            {"system.device": "eth0", "network.io.direction": "transmit"},
            key("system.network.packets", direction="transmit", interface="eth0"),
        ),
        (
            "system.network.io",
            {"network.interface.name": "eth0", "network.io.direction": "receive"},
            key("system.network.io", direction="receive", interface="eth0"),
        ),
        (
            "system.process.count",
            {"process.state": "defunct"},
            key("system.processes.count", state="zombie"),
        ),
        ("system.cpu.time", {"more": "x"}, key("system.cpu.time", more="x")),
        ("n", {"name": "a", "cls": "b"}, 'n{cls="b",name="a"}'),
        (
            "http.server.request.duration",
            {"http.request.method": "GET"},
            'http.server.request.duration{http.request.method="GET"}',
        ),
    ],
)
def test_both_generations_of_names_are_the_same_keys(
    name: str, found: dict[str, str], text: str
) -> None:
    made = told(name, found)
    assert made is not None
    assert str(made.key) == text


async def test_programs_on_one_host_are_told_apart() -> None:
    house = House()
    for service in ("shop", "mail"):
        request = one(service__name=service, service__instance__id="1")
        request.add("queue.length", 5 if service == "shop" else 7, gauge=True, queue="in")
        await house.send(request)
    assert {frame.source for frame in house.frames} == {"otlp:shop", "otlp:mail"}
    assert house.last("web-1") == {
        'queue.length{queue="in",service.instance.id="1",service.name="mail"}': 7
    }


async def test_histograms_are_kept_as_their_count_and_sum() -> None:
    house = House()
    request = one()
    histogram = request.metric("latency").histogram
    histogram.aggregation_temporality = CUMULATIVE
    histogram.data_points.add(time_unix_nano=int(NOW * 1e9), count=4, sum=2.5, bucket_counts=[4])
    histogram.data_points.add(time_unix_nano=int((NOW - 5) * 1e9), count=3)
    outcome = await house.send(request)
    assert (outcome.accepted, outcome.rejected) == (2, {})
    assert house.last("web-1") == {"latency_count": 4, "latency_sum": 2.5}


async def test_what_is_not_kept_is_counted_and_said_and_the_others_are_stored() -> None:
    house = House()
    request = one()
    request.add("good", 1, gauge=True)
    request.add("grown", 1, temporality=DELTA)
    request.metric("spread").histogram.aggregation_temporality = DELTA
    request.metric("spread").histogram.data_points.add(time_unix_nano=int(NOW * 1e9), count=1)
    request.metric("fine").exponential_histogram.data_points.add(time_unix_nano=int(NOW * 1e9))
    request.metric("old").summary.data_points.add(time_unix_nano=int(NOW * 1e9))
    request.add("unsaid", 1, temporality=0)  # type: ignore[arg-type]
    request.metric("good").gauge.data_points[0].exemplars.add(as_int=3)
    outcome = await house.send(request)
    assert outcome.accepted == 1
    assert outcome.codes == {
        "unsupported_delta": 2,
        "unsupported_exponential_histogram": 1,
        "unsupported_summary": 1,
        "bad_temporality": 1,
    }
    for word in ("delta temporality", "exponential histograms", "summaries", "exemplars"):
        assert word in outcome.message
    assert house.last("web-1") == {"good": 1}


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ({}, "no_host"),
        ({"host__name": "a b"}, "bad_host_name"),
        ({"host__name": ""}, "bad_host_name"),
        ({"host__name": OWN}, "host_taken"),
    ],
)
async def test_a_resource_that_is_nobodys_is_rejected_and_the_others_are_stored(
    resource: dict[str, str], code: str
) -> None:
    house = House()
    request = one()
    request.add("good", 1, gauge=True)
    other = Request(NOW, **resource)
    other.add("bad", 1, gauge=True)
    other.add("bad", 2, gauge=True, a="b")
    request.message.MergeFrom(other.message)
    outcome = await house.send(request)
    assert (outcome.accepted, outcome.codes) == (1, {code: 2})
    assert {frame.host for frame in house.frames} == {"web-1"}


@pytest.mark.parametrize("scopes", [[{"metrics": [{}] * 10}], [{}] * 11], ids=["metrics", "scopes"])
async def test_what_is_empty_is_counted_too(
    monkeypatch: pytest.MonkeyPatch, scopes: list[object]
) -> None:
    monkeypatch.setattr(otlp_module, "MOST_PARTS", 10)
    house = House()
    few = json.dumps({"resourceMetrics": [{"scopeMetrics": scopes[1:]}]}).encode()
    assert (await house.send(few, is_json=True)).accepted == 0
    body = json.dumps({"resourceMetrics": [{"scopeMetrics": scopes}]}).encode()
    with pytest.raises(InputError) as refusal:
        await house.send(body, is_json=True)
    assert (refusal.value.status, refusal.value.code) == (413, "too_many_samples")


async def test_a_resource_has_some_attributes_and_no_more() -> None:
    house = House()
    request = one()
    more = {f"k{n}": "v" for n in range(1_000)}
    request.resource.resource.attributes.extend(attributes(more))
    request.add("system.uptime", 1, gauge=True)
    assert (await house.send(request)).codes == {"limit_labels": 1}


async def test_a_wrong_clock_is_told_of_once_a_resource() -> None:
    house = House()
    request = one(NOW + 3_600)
    request.add("system.uptime", 1, gauge=True)
    request.add("system.cpu.load_average.1m", 1, gauge=True)
    assert (await house.send(request)).codes == {"bad_time": 2}
    assert house.turned_away == [("web-1", "bad_time")]


async def test_what_is_no_word_is_not_said_of_a_machine() -> None:
    house = House()
    request = one(os__type="linux", os__version="5\x1b[31m", host__arch="x" * 257)
    request.add("system.uptime", 1, gauge=True)
    await house.send(request)
    assert house.known[-1].info == {"os": "linux"}


async def test_what_is_remembered_of_keys_is_bounded_by_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp_module, "MOST_KNOWN_CHARACTERS", 1_000)
    house = House()
    for number in range(30):
        request = one()
        request.add("app.n", 1, gauge=True, which=f"{number:0100}")
        assert (await house.send(request)).accepted == 1
    assert len(house.otlp._keys) < 12


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"at": 0.0}, "bad_time"),
        ({"at": NOW + 3_600}, "bad_time"),
        ({"at": NOW - 90_000}, "too_old"),
        ({"name": "1n"}, "bad_key"),
        ({"name": ""}, "bad_key"),
        ({"name": "n" * 300}, "limit_name"),
        ({"value": "x" * 1_000_000}, "limit_labels"),
        ({"attributes": {f"a{n}": "x" for n in range(40)}}, "limit_labels"),
    ],
)
async def test_a_point_that_is_wrong_is_rejected(change: dict[str, Any], code: str) -> None:
    house = House()
    request = one()
    request.add("good", 1, gauge=True)
    request.at = change.get("at", NOW)
    found = change.get("attributes", {"a": change.get("value", "x")})
    request.add(change.get("name", "bad"), 1, gauge=True, **found)
    outcome = await house.send(request)
    assert (outcome.accepted, outcome.codes) == (1, {code: 1})
    assert len(outcome.message) < 500


async def test_attributes_are_words_and_numbers() -> None:
    house = House()
    request = one()
    request.add("plain", 1, gauge=True, a=True, b=5, c=0.5)
    for field in ("array_value", "kvlist_value", "bytes_value"):
        request.add(field, 1, gauge=True)
        pair = attributes({"a": ""})[0]
        if field == "bytes_value":
            pair.value.bytes_value = b"x"
        else:
            getattr(pair.value, field).values.add()
        request.metric(field).gauge.data_points[0].attributes.append(pair)
    outcome = await house.send(request)
    assert outcome.codes == {"bad_attribute": 3}
    assert house.last("web-1") == {key("plain", a="true", b="5", c="0.5"): 1}


async def test_a_series_without_a_value_has_ended() -> None:
    house = House()
    request = one()
    request.add("n", 1, gauge=True)
    request.metric("n").gauge.data_points[0].flags = 1
    await house.send(request)
    assert np.array(house.frames[0].values).view(np.uint64)[0] == ENDED_BITS


async def test_a_token_writes_its_hosts_and_nobody_elses() -> None:
    house = House()
    caller = Caller(CallerKind.TOKEN, "t", frozenset({Right.PUSH}), ("db-*",))
    request = one()
    request.add("n", 1, gauge=True)
    outcome = await house.send(request, caller=caller)
    assert outcome.foreign is not None
    assert house.frames == []


async def test_what_passes_is_to_be_sent_again() -> None:
    house = House()
    request = one()
    request.add("n", 1, gauge=True)
    house.failing = Unavailable("full", status=507)
    with pytest.raises(Unavailable):
        await house.send(request)
    house.failing = None
    house.load.update(Seen(850, 0.0), 0.0)
    other = one(service__name="new")
    other.add("m", 1, gauge=True)
    outcome = await house.send(other)
    assert outcome.passing is not None
    assert outcome.accepted == 0


async def test_there_are_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    request = one()
    for _ in range(otlp_module.MOST_RESOURCES):
        request.message.resource_metrics.add()
    with pytest.raises(InputError) as caught:
        await house.send(request)
    assert (caught.value.code, caught.value.status) == ("too_many_resources", 413)
    monkeypatch.setattr(otlp_module, "MOST_POINTS", 2)
    with pytest.raises(InputError) as caught:
        await house.send(machine(NOW))
    assert (caught.value.code, caught.value.status) == ("too_many_samples", 413)


def test_points_of_one_look_are_one_instant() -> None:
    rows = {10.0: {"a": 1.0}, 10.4: {"b": 2.0}, 10.9: {"a": 3.0}, 20.0: {"a": 4.0}}
    assert list(together(rows)) == [
        (10.0, {"a": 1.0}),
        (10.9, {"a": 3.0, "b": 2.0}),
        (20.0, {"a": 4.0}),
    ]


# JSON


async def test_json_says_the_same_as_protobuf() -> None:
    request = machine(NOW)
    request.metric("latency").histogram.aggregation_temporality = CUMULATIVE
    request.metric("latency").histogram.data_points.add(
        time_unix_nano=int(NOW * 1e9), count=4, sum=2.5
    )
    packed, written = House(), House()
    await packed.send(request)
    text = json_format.MessageToJson(request.message)
    assert '"timeUnixNano": "' in text
    await written.send(text.encode(), is_json=True)
    assert written.last("otel-1") == packed.last("otel-1")
    numbers = text.replace(f'"{int(NOW * 1e9)}"', f"{int(NOW * 1e9)}")
    assert numbers != text
    plain = House()
    await plain.send(numbers.encode(), is_json=True)
    assert plain.last("otel-1") == packed.last("otel-1")


def written(**point: Any) -> bytes:
    """A request in JSON with one point of a gauge."""
    made = {"timeUnixNano": str(int(NOW * 1e9)), "asInt": "5", **point}
    host = {"key": "host.name", "value": {"stringValue": "web-1"}}
    metric = {"name": "n", "unit": "1", "gauge": {"dataPoints": [made]}}
    resource = {"resource": {"attributes": [host]}, "scopeMetrics": [{"metrics": [metric]}]}
    return json.dumps({"resourceMetrics": [resource]}).encode()


@pytest.mark.parametrize(
    ("point", "value"),
    [
        ({"asInt": 5}, 5),
        ({"asInt": "5"}, 5),
        ({"asInt": None, "asDouble": 0.5}, 0.5),
        ({"asInt": None, "asDouble": 5}, 5),
        ({"timeUnixNano": int(NOW * 1e9)}, 5),
        ({"exemplars": [{"spanId": "eee19b7ec3c1b174", "traceId": "5b8efff798038103d269b633"}]}, 5),
        ({"unknown": {"a": [1]}}, 5),
    ],
)
async def test_json_numbers_may_be_text(point: dict[str, Any], value: float) -> None:
    house = House()
    outcome = await house.send(written(**point), is_json=True)
    assert outcome.rejected == {}
    assert house.last("web-1") == {"n": value}


@pytest.mark.parametrize(
    ("point", "code"),
    [
        ({"asInt": "five"}, "bad_type"),
        ({"asInt": "1_000"}, "bad_type"),
        ({"asInt": "٣"}, "bad_type"),
        ({"asInt": None, "asDouble": "0.5"}, "bad_type"),
        ({"timeUnixNano": "now"}, "bad_time"),
    ],
)
async def test_json_text_that_is_no_number_is_rejected(point: dict[str, Any], code: str) -> None:
    outcome = await House().send(written(**point), is_json=True)
    assert outcome.codes == {code: 1}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"\xff", "bad_json"),
        (b"[]", "bad_shape"),
        (b"null", "bad_shape"),
        (b'{"resourceMetrics": 5}', "bad_shape"),
        (written(asInt=True), "bad_shape"),
        (written(asInt=[1]), "bad_shape"),
        (b'{"resourceMetrics":' + b"[" * 100_000, None),
        (b'{"unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    ],
    ids=range(10),
)
async def test_json_that_is_no_request_is_refused(body: bytes, code: str | None) -> None:
    with pytest.raises(InputError) as caught:
        await House().send(body, is_json=True)
    assert code is None or caught.value.code == code


@given(st.binary(max_size=300))
def test_no_bytes_are_a_fault_of_ours(body: bytes) -> None:
    for is_json in (False, True):
        try:
            otlp_wire.parsed(body, is_json=is_json)
        except InputError:
            continue
