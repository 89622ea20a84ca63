"""It must be that what is no well-framed request is refused, however its bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.web.framing import (
    LONGEST_CHUNK_LINE_BYTES,
    LONGEST_HEADERS_BYTES,
    LONGEST_URL_BYTES,
    MOST_CHUNKS,
    MOST_HEADERS,
    Framing,
    Refusal,
)

HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /api/v1/push HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def with_header(line: bytes, start: bytes = POST) -> bytes:
    """A head with one line more, as it is."""
    return start + line + b"\r\n\r\n"


REFUSED = {
    "two equal Content-Lengths": (with_header(b"Content-Length: 3\r\nContent-Length: 3"), 400),
    "two Content-Lengths": (with_header(b"Content-Length: 3\r\nContent-Length: 4"), 400),
    "a list of Content-Lengths": (with_header(b"Content-Length: 3, 3"), 400),
    "a signed Content-Length": (with_header(b"Content-Length: +3"), 400),
    "an underscore in a Content-Length": (with_header(b"Content-Length: 1_0"), 400),
    "an empty Content-Length": (with_header(b"Content-Length:"), 400),
    "digits of another script": (with_header("Content-Length: ٣".encode()), 400),
    "length, then chunks": (with_header(b"Content-Length: 3\r\nTransfer-Encoding: chunked"), 400),
    "chunks, then length": (with_header(b"Transfer-Encoding: chunked\r\nContent-Length: 3"), 400),
    "chunked twice": (with_header(b"Transfer-Encoding: chunked\r\n" * 2), 400),
    "chunked, chunked": (with_header(b"Transfer-Encoding: chunked, chunked"), 400),
    "gzip, chunked": (with_header(b"Transfer-Encoding: gzip, chunked"), 400),
    "xchunked": (with_header(b"Transfer-Encoding: xchunked"), 400),
    "a vertical tab before chunked": (with_header(b"Transfer-Encoding: \x0bchunked"), 400),
    "identity": (with_header(b"Transfer-Encoding: identity"), 400),
    "an empty encoding": (with_header(b"Transfer-Encoding:"), 400),
    "chunks in HTTP/1.0": (
        with_header(b"Transfer-Encoding: chunked", b"POST / HTTP/1.0\r\n" + HOST),
        400,
    ),
    "bare LF in the request line": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    "bare LF behind a header": (with_header(b"X: y\nZ: z"), 400),
    "bare LF at the end": (POST + b"\n", 400),
    "bare LF throughout": (GET.replace(b"\r\n", b"\n"), 400),
    "bare CR in a header": (with_header(b"X: y\rContent-Length: 3"), 400),
    "bare CR as an end": (b"GET / HTTP/1.1\r" + HOST + b"\r\n", 400),
    "NUL": (with_header(b"X: a\0b"), 400),
    "DEL": (with_header(b"X: a\x7fb"), 400),
    "ESC": (with_header(b"X: a\x1bb"), 400),
    "a folded header": (with_header(b"X: y\r\n folded"), 400),
    "a folded header with a tab": (with_header(b"X: y\r\n\tfolded"), 400),
    "a folded first header": (b"GET / HTTP/1.1\r\n Host: x\r\n" + HOST + b"\r\n", 400),
    "a folded Transfer-Encoding": (with_header(b"Transfer-Encoding:\r\n chunked"), 400),
    "blank before the colon": (with_header(b"Content-Length : 3"), 400),
    "tab before the colon": (with_header(b"Content-Length\t: 3"), 400),
    "a header without a colon": (with_header(b"Content-Length"), 400),
    "a header without a name": (with_header(b": y"), 400),
    "a header of another script": (with_header("Höst: y".encode()), 400),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 505),
    "HTTP/0.9 by name": (b"GET / HTTP/0.9\r\n" + HOST + b"\r\n", 505),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /\r\n", 400),
    "HTTP/1": (b"GET / HTTP/1\r\n" + HOST + b"\r\n", 400),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\n" + HOST + b"\r\n", 400),
    "http/1.1": (b"GET / http/1.1\r\n" + HOST + b"\r\n", 400),
    "two blanks": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a blank in the address": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a tab": (b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a blank behind the version": (b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
    "an empty line first": (b"\r\n" + GET, 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a whole URL": (b"GET http://evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a host and a port": (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "bytes that are no ASCII": ("GET /é HTTP/1.1\r\n".encode() + HOST + b"\r\n", 400),
    "a method without end": (b"G" * 10_000, 400),
    "a URL without end": (b"GET /" + b"a" * 10_000, 414),
    "a long URL": (b"GET /" + b"a" * LONGEST_URL_BYTES + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "a header without end": (POST + b"X: " + b"a" * LONGEST_HEADERS_BYTES, 431),
    "headers too large": (with_header(b"\r\n".join([b"X: " + b"a" * 8000] * 10)), 431),
    "too many headers": (with_header(b"\r\n".join([b"X: y"] * MOST_HEADERS)), 431),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (with_header(HOST + b"X: y"), 400),
    "an empty chunk size": (CHUNKED + b"\r\n", 400),
    "a negative chunk size": (CHUNKED + b"-1\r\n", 400),
    "a chunk size with 0x": (CHUNKED + b"0x3\r\nabc\r\n", 400),
    "a chunk size with a blank": (CHUNKED + b"3 \r\nabc\r\n", 400),
    "a chunk size of many digits": (CHUNKED + b"0" * 17 + b"3\r\nabc\r\n", 400),
    "a chunk size with bare LF": (CHUNKED + b"3\nabc\r\n", 400),
    "a chunk that is longer": (CHUNKED + b"3\r\nabcd\r\n", 400),
    "a chunk with bare LF behind it": (CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
    "an extension without end": (CHUNKED + b"3;" + b"a" * LONGEST_CHUNK_LINE_BYTES, 400),
    "an extension with bare CR": (CHUNKED + b"3;a\rb\r\nabc\r\n", 400),
    "a trailer that frames": (CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n", 400),
    "a folded trailer": (CHUNKED + b"0\r\n X: y\r\n\r\n", 400),
    "trailers without end": (CHUNKED + b"0\r\n" + b"X: y\r\n" * 101, 431),
}

PASSED = {
    "a GET": GET,
    "a GET of HTTP/1.0": GET.replace(b"1.1", b"1.0"),
    "many of them": GET * 50,
    "a body": POST + b"Content-Length: 5\r\n\r\nhello" + GET,
    "a body that looks like a head": POST + b"Content-Length: 9\r\n\r\nGET / \n\0\r" + GET,
    "an empty body": POST + b"Content-Length: 0\r\n\r\n" + GET,
    "chunks": CHUNKED + b"5\r\nhello\r\n00A\r\n0\r\n\r\n\n\r\n\0\0\r\n0\r\n\r\n" + GET,
    "chunks with extensions and trailers": CHUNKED + b"1;a=b\r\nx\r\n0;c\r\nX: y\r\n\r\n" + GET,
    "names of any case": POST + b"tRANSFER-eNCODING: Chunked \r\n\r\n0\r\n\r\n" + GET,
    "a value with tabs and Latin-1": POST + b"X:\ta\tb \xe9\t\r\nY:\r\n\r\n" + GET,
    "the longest URL": b"GET /"
    + b"a" * (LONGEST_URL_BYTES - 1)
    + b" HTTP/1.1\r\n"
    + HOST
    + b"\r\n",
    "the most headers": POST + b"X: y\r\n" * (MOST_HEADERS - 1) + b"\r\n",
    "large headers": POST + b"X: " + b"a" * 60_000 + b"\r\n\r\n",
    "an upgrade": POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + GET,
}


def judged(data: bytes, cuts: list[int]) -> tuple[bytes, Refusal | None]:
    """What is passed of some bytes that come in pieces, and the refusal."""
    framing = Framing()
    pieces: list[bytes] = []
    found = None
    for start, end in pairwise([0, *sorted(cuts), len(data)]):
        if start == end:
            continue  # an empty piece is the end of a connection
        more, refusal = framing.judge(data[start:end])
        assert found is None or (more, refusal) == (b"", None)
        pieces.append(more)
        found = found or refusal
    return b"".join(pieces), found


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("before", ["nothing", "a GET", "a body", "chunks"])
def test_bad_framing_is_refused_and_nothing_behind_it_is_read(name: str, before: str) -> None:
    data, status = REFUSED[name]
    start = PASSED.get(before, b"")
    passed, refusal = judged(start + data + GET, [])
    assert refusal is not None
    assert refusal.status == status
    assert passed.startswith(start)
    rest = passed[len(start) :]
    assert not rest or (rest.startswith(CHUNKED) and GET not in rest)


@pytest.mark.parametrize("name", REFUSED)
def test_the_verdict_is_the_same_for_bytes_that_come_one_by_one(name: str) -> None:
    data, _ = REFUSED[name]
    data += GET
    cuts = list(range(len(data)))
    assert judged(data, cuts) == judged(data, [])


@given(data=st.data(), name=st.sampled_from([*REFUSED, *PASSED]), before=st.sampled_from([*PASSED]))
def test_the_verdict_is_the_same_however_the_bytes_are_cut(
    data: st.DataObject, name: str, before: str
) -> None:
    text = PASSED[before] + (PASSED[name] if name in PASSED else REFUSED[name][0]) + GET
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=20))
    assert judged(text, cuts) == judged(text, [])


PIECES = [
    *(b"GET / HTTP/1.1\r\n", b"POST /p HTTP/1.0\r\n", b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0"),
    *(HOST, b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n", b"X: y\r\n", b":", b"GET"),
    *(b"4\r\n", b"abcd", b"0\r\n", b"5;x\r\n", b"/", b"HTTP/1.1", b"\xff", b"chunked", b","),
]


@given(
    pieces=st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40),
    data=st.data(),
)
def test_any_bytes_get_one_verdict_and_h11_takes_all_that_is_passed(
    pieces: list[bytes], data: st.DataObject
) -> None:
    text = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=10))
    passed, refusal = judged(text, [])
    assert judged(text, cuts) == (passed, refusal)
    requests_of(passed)


@pytest.mark.parametrize("name", PASSED)
def test_good_framing_is_passed_byte_for_byte_and_h11_sees_the_same_requests(name: str) -> None:
    data = PASSED[name]
    assert judged(data, []) == (data, None)
    assert judged(data, list(range(len(data)))) == (data, None)
    assert requests_of(data) == data.count(b"HTTP/1.")


def test_a_body_of_too_many_chunks_is_refused_with_the_limit() -> None:
    framing = Framing()
    assert framing.judge(CHUNKED + b"1\r\na\r\n" * MOST_CHUNKS).refusal is None
    refusal = framing.judge(b"1\r\na\r\n").refusal
    assert refusal is not None
    assert (refusal.code, refusal.limit) == ("bad_framing", MOST_CHUNKS)


def requests_of(data: bytes) -> int:
    """How many requests h11 finds; it must find no fault."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=10**6)
    connection.receive_data(data)
    found = 0
    for _ in range(100_000):
        event = connection.next_event()
        if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
            break
        found += isinstance(event, h11.Request)
        if isinstance(event, h11.EndOfMessage):
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                break  # it was asked to close
            connection.start_next_cycle()
    return found


def test_a_head_that_has_begun_is_known_and_a_body_is_none() -> None:
    framing = Framing()
    assert not framing.is_within_head
    framing.judge(b"GET / HT")
    assert framing.is_within_head
    framing.judge(b"TP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\nab")
    assert not framing.is_within_head
    framing.judge(b"cdG")
    assert framing.is_within_head
