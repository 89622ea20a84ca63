"""Events on the wire: nothing from outside ends a line, a field or an event."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from monitor.core.events import (
    DEEPEST,
    LONGEST_EVENT_BYTES,
    MOST_WHOLE,
    SSEEvent,
    document,
    parse_position,
    payload,
    position_text,
    state_document,
)
from monitor.errors import InputError
from monitor.model import EventType

EPOCH = "0123456789abcdef"
STAMP = "2026-01-01T00:00:00.000Z"


def test_an_event_is_written_in_exactly_these_bytes() -> None:
    event = SSEEvent(EventType.ALERT, b'{"a":1}', id=f"{EPOCH}-7", retry=1500)
    assert event.to_sse_format() == (
        b'event: alert\nid: 0123456789abcdef-7\nretry: 1500\ndata: {"a":1}\n\n'
    )


def test_state_carries_no_id_line() -> None:
    assert b"id:" not in SSEEvent(EventType.METRIC_UPDATE, b"{}").to_sse_format()


@pytest.mark.parametrize(
    "text",
    [
        "x\n\nevent: alert\ndata: {}",
        "a\r\nb\rc",
        "\u2028\u2029\u0085\x0b\x0c",
        "😀 עברית",
        "\0\x1b[31m",
    ],
)
def test_any_text_comes_back_as_it_was_in_one_line(text: str) -> None:
    data = payload(document({"host": text}, "e1"), STAMP, "e1")
    lines = SSEEvent(EventType.HOST_UPDATE, data).to_sse_format().split(b"\n")
    assert len(lines) == 4
    assert not {b"\r", b"\0"} & {bytes([byte]) for byte in data}
    assert len(data.decode().splitlines()) == 1
    assert json.loads(lines[1].removeprefix(b"data: "))["host"] == text


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_an_id_with_a_line_end_is_refused_to_the_publisher(bad: str) -> None:
    with pytest.raises(InputError):
        SSEEvent(EventType.ALERT, b"{}", id=bad).to_sse_format()


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        {"\ud800": 1},
        object(),
        {1: 1},
        float("nan"),
        float("inf"),
        float("-inf"),
        [float("nan")],
        datetime.now(UTC),
        b"bytes",
        {1, 2},
        MOST_WHOLE + 1,
        -(2**63),
    ],
)
def test_what_json_cannot_carry_is_an_error_to_the_publisher(value: Any) -> None:
    with pytest.raises(InputError) as caught:
        document({"value": value}, "")
    assert caught.value.code == "not_encodable"


def test_an_event_nested_too_deeply_is_refused() -> None:
    nested: Any = 1
    for _ in range(DEEPEST + 1):
        nested = [nested]
    with pytest.raises(InputError) as caught:
        document({"value": nested}, "")
    assert caught.value.limit == DEEPEST


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_in_state_a_number_that_json_has_not_got_is_null(value: float) -> None:
    assert state_document({"value": value}) == b'{"value":null}'


@pytest.mark.parametrize("reserved", ["timestamp", "event_id"])
def test_a_publisher_that_uses_our_keys_is_told_so(reserved: str) -> None:
    with pytest.raises(InputError) as caught:
        document({reserved: "mine"}, "")
    assert caught.value.code == "reserved_key"


@pytest.mark.parametrize("data", [{}, {"a": 1}, {"a": {}, "b": []}])
def test_a_payload_is_the_document_with_two_keys_more(data: dict[str, Any]) -> None:
    made = json.loads(payload(document(data, "e1"), STAMP, "e1"))
    assert made == {**data, "timestamp": STAMP, "event_id": "e1"}


def test_an_event_at_the_limit_passes_and_one_over_it_is_refused() -> None:
    room = LONGEST_EVENT_BYTES - len(payload(document({"x": ""}, "e1"), STAMP, "e1"))
    made = payload(document({"x": "a" * room}, "e1"), STAMP, "e1")
    assert len(made) == LONGEST_EVENT_BYTES
    with pytest.raises(InputError) as caught:
        document({"x": "a" * (room + 1)}, "e1")
    assert caught.value.limit == LONGEST_EVENT_BYTES


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "-1",
        f"{EPOCH}-",
        f"{EPOCH}--1",
        f"{EPOCH}-01",
        f"{EPOCH.upper()}-7",
        "x" * 65_536,
        f"{EPOCH}-7\n",
        "ffffffffffffffff-7",
        f"{EPOCH}-\N{ARABIC-INDIC DIGIT SEVEN}",
        f"{EPOCH}-" + "9" * 30,
    ],
)
def test_a_position_of_another_kind_is_none_of_ours(text: str) -> None:
    assert parse_position(text, EPOCH) is None


def test_a_position_comes_back() -> None:
    assert parse_position(position_text(EPOCH, 42), EPOCH) == 42
