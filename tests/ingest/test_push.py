"""It must be that a push is read strictly, whole, and at a bounded price."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import MonitorError
from monitor.ingest import push, strict
from monitor.ingest.push import Columns, PushDocument
from monitor.web.answers import NumberedPush, SimplePush
from tests.ingest.documents import KEYS, encoded, frame, full, simple, with_value
from tests.ingest.refusals import REFUSALS


def nothing_known(_host: str, _schema: object) -> Columns | None:
    return None


def parsed(body: bytes) -> PushDocument:
    return push.parse(body, nothing_known, time.time())


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_wrong_is_refused_with_its_code_and_its_field(name: str) -> None:
    body, status, code, field = REFUSALS[name]
    with pytest.raises(MonitorError) as refused:
        parsed(body)
    error = refused.value
    assert (error.status, error.code) == (status, code), error.detail
    assert field is None or error.field == field
    assert len(error.detail) < 300
    assert len(error.field or "") < 100
    assert error.detail.isprintable()


def test_a_full_push_becomes_frames_by_instant_and_a_table() -> None:
    at = time.time() - 10
    document = parsed(
        encoded(
            agent="spool-1",
            sent=at + 3,
            labels={"role": "web"},
            info={"os": "linux"},
            frames=[frame(at + 1, (None, 7)), frame(at, (2, 6.5))],
            snapshots={
                "processes": [
                    {"pid": 1, "name": "init", "cpu": 0.5, "rss": 4096, "state": "running"}
                ]
            },
        )
    )
    assert (document.host, document.introduction.agent, document.sent) == (
        "web-1",
        "spool-1",
        at + 3,
    )
    assert document.introduction.labels == {"role": "web"}
    assert document.number is not None
    assert (document.number.boot_id, document.number.seq) == ("b-1", 1)
    first, second = document.frames
    assert (first.at, list(first.values)) == (at, [2.0, 6.5])
    assert second.at == at + 1
    assert math.isnan(second.values[0])
    assert second.values[1] == 7
    assert first.schema is second.schema
    assert first.schema.texts == KEYS
    (table,) = document.snapshots
    assert (table.kind, table.at, table.host) == ("processes", at + 1, "web-1")
    assert dict(table.rows[0]) == {
        "pid": 1,
        "name": "init",
        "user": None,
        "cpu": 0.5,
        "rss": 4096.0,
        "io": None,
        "command": None,
    }


def test_the_simple_form_is_observed_when_it_arrives() -> None:
    now = time.time()
    document = push.parse(simple(app_queue=7, app_load=None), nothing_known, now)
    assert document.number is None
    assert document.sent == now
    (only,) = document.frames
    assert only.at == now
    assert only.schema.texts == ("app.queue", "app.load")
    assert only.values[0] == 7
    assert math.isnan(only.values[1])


@pytest.mark.parametrize("ahead", [0, 59])
def test_a_clock_that_is_a_little_ahead_is_borne(ahead: float) -> None:
    now = time.time()
    body = encoded(frames=[frame(now + ahead)])
    assert push.parse(body, nothing_known, now).frames[0].at == now + ahead


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0.0),
        ("-0", 0.0),
        ("-5", -5.0),
        ("1e-400", 0.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        (str(2**53 + 1), float(2**53)),
        (str(2**63 - 1), float(2**63)),
        ("0.1", 0.1),
    ],
)
def test_every_number_of_a_gauge_is_kept(written: str, value: float) -> None:
    assert parsed(with_value(written)).frames[0].values[0] == value


def test_a_count_that_is_exact_is_kept_however_large() -> None:
    for count in (2**53, 2**53 + 2, 9.1e15):
        assert parsed(encoded(frames=[frame(values=(1, count))])).frames[0].values[1] == count


def test_a_counter_that_was_reset_is_no_error() -> None:
    frames = [frame(time.time() - 3, (1, 500)), frame(time.time() - 2, (1, 0))]
    assert [each.values[1] for each in parsed(encoded(frames=frames)).frames] == [500, 0]


def test_fields_that_are_not_known_are_ignored() -> None:
    document = full(colour="green", version={"future": [1, 2]})
    document["frames"][0]["quality"] = "good"
    assert parsed(json.dumps(document).encode()).host == "web-1"


def test_a_pair_of_surrogates_is_one_character_and_a_written_backslash_none() -> None:
    assert parsed(encoded(info={"x": "😀 \\ud800"})).host == "web-1"


def test_what_is_known_of_a_host_is_not_looked_at_again() -> None:
    first = parsed(encoded())
    asked: list[Any] = []

    def known(host: str, schema: tuple[str, ...] | str) -> Columns:
        asked.append((host, schema))
        return first.columns

    again = push.parse(encoded(schema=first.columns.schema.digest), known, time.time())
    assert again.columns is first.columns
    assert push.parse(encoded(), known, time.time()).columns is first.columns
    assert asked == [("web-1", first.columns.schema.digest), ("web-1", KEYS)]


def test_the_digest_of_a_schema_is_the_contract_s() -> None:
    import hashlib  # noqa: PLC0415 - spelled out beside what it checks

    expected = "sha256:" + hashlib.sha256("\n".join(KEYS).encode()).hexdigest()
    assert parsed(encoded()).columns.schema.digest == expected


def test_the_same_content_has_one_digest_however_it_is_spelled() -> None:
    at = time.time() - 5

    def content(**changes: Any) -> bytes:
        document = full(**({"frames": [frame(at)]} | changes))
        number = parsed(json.dumps(document, indent=3).encode()).number
        assert number is not None
        return number.content

    same = content()
    assert same == content(sent=at, info={"a": 1}, colour="green")
    assert same == content(frames=[{"values": [1.50, 1e3], "at": at}])
    row = {"pid": 1, "name": "init"}
    for other in (
        content(frames=[frame(at + 0.001)]),
        content(frames=[frame(at, (1.5, None))]),
        content(frames=[frame(at), frame(at + 1)]),
        content(schema=["a", "b"]),
        content(snapshots={"processes": [row]}),
    ):
        assert other != same


def test_what_the_document_says_a_push_is_is_accepted() -> None:
    rows = {"processes": [{"pid": 1, "name": "init", "user": "root", "io": None}]}
    body = encoded(agent="a", sent=time.time(), labels={"a": "b"}, info={}, snapshots=rows)
    described = msgspec.json.decode(body, type=NumberedPush)
    assert parsed(msgspec.json.encode(described)).snapshots[0].rows[0]["user"] == "root"
    described_simple = msgspec.json.decode(simple(a=1), type=SimplePush)
    assert parsed(msgspec.json.encode(described_simple)).frames[0].values[0] == 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_and_never_a_fault(body: bytes) -> None:
    with pytest.raises(MonitorError) as refused:
        parsed(body)
    assert refused.value.status < 500


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([*full(), "agent", "sent", "labels", "info", "snapshots", "metrics"]), _JSON)
def test_any_value_of_any_field_is_taken_or_refused_and_never_a_fault(
    field: str, value: Any
) -> None:
    document = full() | {field: value}
    if field == "metrics":
        document = {"host": "web-1", "metrics": value}
    try:
        found = parsed(json.dumps(document).encode())
    except MonitorError as error:
        assert error.status < 500  # noqa: PT017 - either outcome is right
    else:
        for each in found.frames:
            assert not any(map(math.isinf, each.values))


@settings(max_examples=300, deadline=None)
@given(_JSON)
def test_what_json_can_say_strictly_is_read_as_it_was_meant(value: Any) -> None:
    try:
        written = json.dumps(value, allow_nan=False).encode()
        written.decode().encode("ascii")
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, UnicodeEncodeError):
        return
    assert strict.decode(written) == value


_TRICKY = st.text(alphabet='[]{}",:\\a', max_size=6)
_NESTED = st.recursive(
    _TRICKY | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TRICKY, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(_NESTED, st.integers(0, strict.DEEPEST + 1))
def test_depth_is_counted_exactly_whatever_stands_in_strings(value: Any, around: int) -> None:
    for _ in range(around):
        value = [value, "]"]
    body = json.dumps(value).encode()
    if _depth(value) <= strict.DEEPEST:
        assert strict.decode(body) == value
    else:
        with pytest.raises(MonitorError) as refused:
            strict.decode(body)
        assert refused.value.code == "too_deep"


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)):
        return 0
    return 1 + max(map(_depth, inner), default=0)


@pytest.mark.parametrize(
    "piece", [b"1.5", b"1", b'""', b"[]", b"{}", b"null", b'"\\\\"', b"0.12345678901234567"]
)
def test_the_largest_body_costs_a_bounded_time(piece: bytes) -> None:
    body = b"[" + b",".join([piece] * (4 * 1024 * 1024 // (len(piece) + 1) - 1)) + b"]"
    started = time.process_time()
    with pytest.raises(MonitorError) as refused:
        strict.decode(body)
    assert refused.value.code == "too_many_samples"
    assert refused.value.status == 413
    assert time.process_time() - started < 1.0
