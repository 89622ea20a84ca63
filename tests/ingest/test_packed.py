"""It must be that MessagePack says what JSON says, and is taken or refused as JSON is."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import MonitorError
from monitor.ingest import packed, push
from monitor.ingest.push import Columns, PushDocument
from tests.ingest.documents import full
from tests.ingest.refusals import REFUSALS

NOW = time.time()


def nothing_known(_host: str, _schema: object) -> Columns | None:
    return None


def outcome(body: bytes, *, is_packed: bool) -> PushDocument | tuple[int, str, str | None]:
    try:
        return push.parse(body, nothing_known, NOW, is_packed=is_packed)
    except MonitorError as error:
        return error.status, error.code, error.field


def alike(document: Any) -> None:
    """A document must have one outcome in both."""
    as_json = outcome(json.dumps(document).encode(), is_packed=False)
    as_packed = outcome(msgspec.msgpack.encode(document), is_packed=True)
    if isinstance(as_json, tuple) or isinstance(as_packed, tuple):
        assert as_packed == as_json
        return
    assert as_packed.introduction == as_json.introduction or math.isnan(
        as_json.introduction.skew_seconds
    )
    assert as_packed.number == as_json.number  # the digest of the content is in it
    assert as_packed.columns.schema.texts == as_json.columns.schema.texts
    assert [bytes(each.values) for each in as_packed.frames] == [
        bytes(each.values) for each in as_json.frames
    ]
    assert [each.at for each in as_packed.frames] == [each.at for each in as_json.frames]
    assert as_packed.snapshots == as_json.snapshots


def _written(body: bytes) -> Any:
    """What a refused document says, where MessagePack can say it."""
    pairs_twice = False

    def seen(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal pairs_twice
        pairs_twice = pairs_twice or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    try:
        found = json.loads(body.decode("ascii"), object_pairs_hook=seen)
        msgspec.msgpack.encode(found)
        text = json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError, OverflowError, UnicodeEncodeError):
        return None
    return None if pairs_twice or "Infinity" in text else found


SAYABLE = {name: said for name in REFUSALS if (said := _written(REFUSALS[name][0])) is not None}


@pytest.mark.parametrize("name", SAYABLE)
def test_what_is_refused_in_json_is_refused_alike(name: str) -> None:
    _, status, code, field = REFUSALS[name]
    found = outcome(msgspec.msgpack.encode(SAYABLE[name]), is_packed=True)
    assert isinstance(found, tuple)
    assert found[:2] == (status, code)
    assert field is None or found[2] == field


def test_most_of_what_is_refused_can_be_said() -> None:
    assert len(SAYABLE) > len(REFUSALS) / 2


_VALUES = st.none() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.booleans()
_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_VALUES, _VALUES), min_size=1, max_size=4), st.integers(0, 2**63))
def test_frames_of_any_values_are_taken_or_refused_alike(
    rows: list[tuple[Any, Any]], seq: int
) -> None:
    frames = [
        {"at": NOW - number, "values": [value if value != math.inf else 0 for value in row]}
        for number, row in enumerate(rows)
        if -math.inf not in row
    ]
    alike(full(seq=seq, frames=frames))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [*full(), "agent", "sent", "labels", "info", "snapshots", "metrics", "protocol", "bye"]
    ),
    _ANY,
)
def test_any_value_of_any_field_is_taken_or_refused_alike(field: str, value: Any) -> None:
    document = full(frames=[{"at": NOW, "values": [1, 2]}]) | {field: value}
    alike({"host": "web-1", "metrics": value} if field == "metrics" else document)


@settings(max_examples=200, deadline=None)
@given(_ANY)
def test_what_messagepack_can_say_is_read_as_it_was_meant(value: Any) -> None:
    assert packed.decode(msgspec.msgpack.encode(value)) == value


def body_with(value: bytes) -> bytes:
    """A push whose first value is written so."""
    marked = full(frames=[{"at": NOW - 2, "values": ["MARK", 5]}])
    return msgspec.msgpack.encode(marked).replace(b"\xa4MARK", value)


BODY = msgspec.msgpack.encode(full())
WRONG: dict[str, tuple[bytes, int, str, str | None]] = {
    "empty": (b"", 400, "bad_shape", None),
    "nil": (b"\xc0", 400, "bad_shape", None),
    "a list": (b"\x90", 400, "bad_shape", None),
    "an empty map": (b"\x80", 400, "bad_shape", "host"),
    "truncated": (BODY[:-1], 400, "bad_frame", None),
    "trailing": (BODY + b"\xc0", 400, "bad_frame", None),
    "two documents": (BODY + BODY, 400, "bad_frame", None),
    "never used": (b"\xc1", 400, "bad_frame", None),
    "JSON": (b'{"host":"a"}', 400, "bad_frame", None),
    "a list longer than the body": (b"\xdd\xff\xff\xff\xff", 400, "bad_frame", None),
    "a map longer than the body": (b"\xdf\xff\xff\xff\xff\xa1a", 400, "bad_frame", None),
    "a text longer than the body": (b"\x81\xdb\xff\xff\xff\xffa", 400, "bad_frame", None),
    "bytes": (body_with(b"\xc4\x01a"), 400, "bad_frame", None),
    "an extension": (body_with(b"\xc7\x01\x05a"), 400, "bad_frame", None),
    "a timestamp": (body_with(b"\xd6\xff\0\0\0\0"), 400, "bad_frame", None),
    "a key that is a number": (b"\x82\xa4host\xa1a\x01\x02", 400, "bad_frame", None),
    "a key twice": (b"\x82\xa4host\xa1a\xa4host\xa1b", 400, "duplicate_key", None),
    "an inner key twice": (
        b"\x82\xa4host\xa1a\xa7metrics\x82\xa1a\x01\xa1a\x02",
        400,
        "duplicate_key",
        None,
    ),
    "no UTF-8": (b"\x81\xa4host\xa2\xff\xfe", 400, "bad_utf8", None),
    "half a character": (b"\x81\xa4host\xa3\xed\xa0\x80", 400, "bad_utf8", None),
    "deep": (b"\x91" * 100_000 + b"\xc0", 400, "too_deep", None),
    "deep in what is ignored": (
        b"\x82\xa4host\xa1a\xa1x" + b"\x91" * 16 + b"\xc0",
        400,
        "too_deep",
        None,
    ),
    "a million": (b"\xdd\x00\x0f\x42\x40" + b"\xc0" * 1_000_000, 413, "too_many_samples", None),
    "many empty lists": (b"\xdc\xff\xff" + b"\x90" * 65_535, 413, "too_many_samples", None),
    "NaN": (body_with(b"\xcb\x7f\xf8" + bytes(6)), 400, "non_finite", "frames[0].values[0]"),
    "Infinity": (body_with(b"\xcb\x7f\xf0" + bytes(6)), 400, "non_finite", "frames[0].values[0]"),
    "-Infinity": (body_with(b"\xca\xff\x80\0\0"), 400, "non_finite", "frames[0].values[0]"),
    "a short NaN": (body_with(b"\xca\x7f\xc0\0\0"), 400, "non_finite", "frames[0].values[0]"),
    "true": (body_with(b"\xc3"), 400, "bad_type", "frames[0].values[0]"),
    "text": (body_with(b"\xa11"), 400, "bad_type", "frames[0].values[0]"),
    "2**64 - 1": (
        body_with(b"\xcf" + b"\xff" * 8),
        400,
        "number_range",
        "frames[0].values[0]",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_without_what_it_claims(name: str) -> None:
    body, status, code, field = WRONG[name]
    tracemalloc.start()
    found = outcome(body, is_packed=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(found, tuple)
    assert found[:2] == (status, code)
    assert field is None or found[2] == field
    assert peak < 20_000_000


def test_nil_is_absent_and_a_short_float_is_a_number() -> None:
    for written, value in ((b"\xc0", None), (b"\xca\x3f\x80\0\0", 1.0), (b"\x07", 7.0)):
        found = outcome(body_with(written), is_packed=True)
        assert isinstance(found, PushDocument)
        first = found.frames[0].values[0]
        assert math.isnan(first) if value is None else first == value


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_and_never_a_fault(body: bytes) -> None:
    found = outcome(body, is_packed=True)
    assert isinstance(found, tuple)
    assert found[0] in {400, 413}


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(BODY) - 1), st.integers(0, 255))
def test_a_push_with_one_byte_changed_is_taken_or_refused(at: int, byte: int) -> None:
    found = outcome(BODY[:at] + bytes([byte]) + BODY[at + 1 :], is_packed=True)
    assert not isinstance(found, tuple) or found[0] in {400, 409, 413}
