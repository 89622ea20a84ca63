"""It must be that what is sent is what the specification of remote write 1.0 says."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.forward.encoding import Encoder, Part, Stream, varint
from monitor.model import key
from tests.forward.receiver import Series, read

AT = 1_800_000_000.125


def part(stream: Stream, *rows: list[float], at: float = AT) -> Part:
    instants = np.array([at + number for number in range(len(rows))])
    return Part(stream, instants, np.array(rows, np.float64))


def sent(encoder: Encoder, *parts: Part) -> tuple[Series, int]:
    body, samples = encoder.body(parts)
    return read(body), samples


def test_labels_are_sorted_and_names_are_prometheus() -> None:
    stream = Stream("web-1", (key("system.cpu.time", state="user", cpu="0"), "Zoo.x", "node_load1"))
    found, samples = sent(Encoder({"dc": "eu", "Site": "x"}), part(stream, [1.5, 2.0, 3.0]))
    milliseconds = 1_800_000_000_125
    assert samples == 3
    assert found == {
        "Site=x,__name__=system_cpu_time_seconds_total,cpu=0,dc=eu,host=web-1,state=user": [
            (milliseconds, 1.5)
        ],
        "Site=x,__name__=Zoo_x,dc=eu,host=web-1": [(milliseconds, 2.0)],
        "Site=x,__name__=node_load1,dc=eu,host=web-1": [(milliseconds, 3.0)],
    }


def test_absent_values_are_left_out_and_infinite_ones_are_not() -> None:
    stream = Stream("h", ("a", "b", "c"))
    rows = ([1.0, math.nan, math.nan], [2.0, math.inf, math.nan], [3.0, -0.0, math.nan])
    found, samples = sent(Encoder(), part(stream, *rows, at=1_800_000_000.0))
    first = 1_800_000_000_000
    assert samples == 5
    assert found == {
        "__name__=a,host=h": [(first, 1.0), (first + 1000, 2.0), (first + 2000, 3.0)],
        "__name__=b,host=h": [(first + 1000, math.inf), (first + 2000, -0.0)],
    }


def test_the_end_of_a_series_goes_out_as_it_came() -> None:
    ended = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    other = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000003))[0]
    found, samples = sent(Encoder(), part(Stream("h", ("a", "b")), [ended, other]))
    ((_, value),) = found["__name__=a,host=h"]
    assert samples == 1
    assert struct.pack("<d", value) == struct.pack("<Q", 0x7FF0000000000002)


def test_twins_are_sent_once_and_an_own_label_wins() -> None:
    stream = Stream("h", (key("x.y", dc="own"), key("x_y", dc="own")))
    found, samples = sent(Encoder({"dc": "eu"}), part(stream, [1.0, 2.0]))
    assert samples == 1
    assert list(found) == ["__name__=x_y,dc=own,host=h"]


def test_what_is_no_key_costs_itself_alone() -> None:
    found, samples = sent(Encoder(), part(Stream("h", ("a{", 'b{c="\\', "d")), [1.0, 2.0, 3.0]))
    assert samples == 1
    assert list(found) == ["__name__=d,host=h"]


def test_what_is_kept_is_not_taken_for_another_host() -> None:
    encoder = Encoder()
    for host in ("a", "b", "a"):
        found, _ = sent(encoder, part(Stream(host, ("x",)), [1.0]))
        assert list(found) == [f"__name__=x,host={host}"]


def test_long_and_odd_values_come_as_they_are() -> None:
    value = 'ü"\\\n' * 100
    found, _ = sent(Encoder(), part(Stream("h", (key("x", path=value),)), [1.0]))
    assert list(found) == [f"__name__=x,host=h,path={value}"]


@given(st.floats(allow_nan=False), st.integers(1 << 35, (1 << 42) - 1))
def test_every_value_and_instant_arrives(value: float, milliseconds: int) -> None:
    at = milliseconds / 1000
    found, _ = sent(Encoder(), part(Stream("h", ("x",)), [value], at=at))
    assert found == {"__name__=x,host=h": [(milliseconds, value)]}


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\1"), (16_383, b"\xff\x7f"), (16_384, b"\x80\x80\1")],
)
def test_whole_numbers_are_base_128(number: int, expected: bytes) -> None:
    assert varint(number) == expected
