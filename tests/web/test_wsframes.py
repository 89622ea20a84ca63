"""It must be that frames are messages however they were cut, and that misuse is seen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.web import wsframes
from monitor.web.wsframes import Message, Misuse, Opcode, Reader
from tests.web.agents import BINARY, CLOSE, PING, TEXT, frame


def read(reader: Reader) -> list[Message]:
    return list(iter(reader.next, None))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 9]), st.binary(max_size=125)), max_size=6),
    st.integers(1, 40),
    st.binary(min_size=4, max_size=4),
)
def test_messages_come_whole_however_they_were_cut(
    sent: list[tuple[int, bytes]], step: int, mask: bytes
) -> None:
    data = b"".join(frame(opcode, said, mask=mask) for opcode, said in sent)
    reader, found = Reader(1000), []
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        found += read(reader)
    assert found == [Message(Opcode(opcode), said) for opcode, said in sent]
    assert reader.held_bytes == 0
    assert not reader.is_within


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_every_length_is_read_and_written(size: int) -> None:
    said = bytes(n % 251 for n in range(size))
    reader = Reader(100_000)
    reader.feed(frame(BINARY, said))
    assert reader.next() == Message(Opcode.BINARY, said)
    written = wsframes.frame(Opcode.BINARY, said)
    assert written.endswith(said)
    assert len(written) == size + (2 if size < 126 else 4 if size < 65_536 else 10)


def test_pieces_are_one_message_and_a_ping_may_come_between() -> None:
    reader = Reader(1000)
    reader.feed(frame(TEXT, b"ab", first=0) + frame(PING, b"x") + frame(0, b"cd", first=0))
    assert read(reader) == [Message(Opcode.PING, b"x")]
    assert reader.is_within
    reader.feed(frame(0, b"ef"))
    assert read(reader) == [Message(Opcode.TEXT, b"abcdef")]


MISUSES = {
    "not masked": (frame(BINARY, b"a", mask=None), 1002),
    "an extension's bit": (frame(BINARY, b"a", first=0xC0), 1002),
    "an opcode that is none": (frame(3, b"a"), 1002),
    "a control opcode that is none": (frame(11, b"a"), 1002),
    "a ping in pieces": (frame(PING, b"a", first=0), 1002),
    "a long ping": (frame(PING, bytes(126)), 1002),
    "a long close": (frame(CLOSE, bytes(126)), 1002),
    "going on with nothing": (frame(0, b"a"), 1002),
    "beginning within": (frame(TEXT, b"a", first=0) + frame(TEXT, b"b"), 1002),
    "endless pieces": (
        frame(TEXT, b"", first=0) + frame(0, b"", first=0) * wsframes.MOST_FRAGMENTS,
        1002,
    ),
    "too large by its claim": (frame(BINARY, bytes(1001))[:8], 1009),
    "too large by far": (b"\x82\xff" + b"\xff" * 8, 1009),
    "too large in pieces": (frame(BINARY, bytes(600), first=0) + frame(0, bytes(401)), 1009),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_seen_with_the_code_that_it_ends_with(name: str) -> None:
    data, code = MISUSES[name]
    reader = Reader(1000)
    reader.feed(data)
    with pytest.raises(Misuse) as misuse:
        read(reader)
    assert misuse.value.code == code


def test_a_reason_is_cut_to_what_a_close_may_say() -> None:
    said = wsframes.close(1012, "é" * 100)
    assert len(said) <= 2 + wsframes.LONGEST_CONTROL_BYTES
    assert said[4:].decode() == "é" * 61
