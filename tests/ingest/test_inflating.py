"""It must be that whatever a body claims, inflating it takes no more than the limit."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import MonitorError
from monitor.ingest.inflating import MOST_BLOCKS, Coding, inflated

LIMIT = 64 * 1024


def zstd(data: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(data))


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def frame(*blocks: bytes, header: int = 0, window: int = 0, size: bytes = b"") -> bytes:
    """A zstd frame made by hand."""
    made = b"\x28\xb5\x2f\xfd" + bytes([header])
    return made + (b"" if header & 0x20 else bytes([window])) + size + b"".join(blocks)


def block(kind: int, size: int, body: bytes, *, last: bool = True) -> bytes:
    return (size << 3 | kind << 1 | int(last)).to_bytes(3, "little") + body


GZIP = gzipped(b'{"host":"web-1"}' * 9)
ZSTD = zstd(b'{"host":"web-1"}' * 9)
REPEATED = block(1, 100_000, b"a")

REFUSED: dict[str, tuple[Coding, bytes, str]] = {
    "gzip bomb": ("gzip", gzipped(bytes(100_000_000)), "inflated_too_large"),
    "gzip one too many": ("gzip", gzipped(bytes(LIMIT + 1)), "inflated_too_large"),
    "gzip empty": ("gzip", b"", "bad_gzip"),
    "gzip that is none": ("gzip", b'{"host":"a"}', "bad_gzip"),
    "zlib is no gzip": ("gzip", zlib.compress(b"a"), "bad_gzip"),
    "gzip truncated": ("gzip", GZIP[:-9], "bad_gzip"),
    "gzip without its length": ("gzip", GZIP[:-1], "bad_gzip"),
    "gzip with garbage behind it": ("gzip", GZIP + b"\0", "bad_gzip"),
    "gzip of two members": ("gzip", GZIP + GZIP, "bad_gzip"),
    "gzip of the wrong sum": ("gzip", GZIP[:-8] + bytes(4) + GZIP[-4:], "bad_gzip"),
    "gzip of the wrong length": ("gzip", GZIP[:-4] + bytes(4), "bad_gzip"),
    "zstd bomb": ("zstd", zstd(bytes(100_000_000)), "inflated_too_large"),
    "zstd one too many": ("zstd", zstd(bytes(LIMIT + 1)), "inflated_too_large"),
    "zstd bomb that says nothing of its size": (
        "zstd",
        frame(REPEATED, window=7 << 3),
        "inflated_too_large",
    ),
    "zstd empty": ("zstd", b"", "bad_zstd"),
    "zstd that is none": ("zstd", b'{"host":"a"}', "bad_zstd"),
    "zstd that is gzip": ("zstd", GZIP, "bad_zstd"),
    "zstd truncated": ("zstd", ZSTD[:-3], "bad_zstd"),
    "zstd of a header alone": ("zstd", ZSTD[:6], "bad_zstd"),
    "zstd with garbage behind it": ("zstd", ZSTD + b"\0", "bad_zstd"),
    "zstd of two frames": ("zstd", ZSTD + ZSTD, "bad_zstd"),
    "zstd skippable": ("zstd", b"\x50\x2a\x4d\x18" + bytes(8), "bad_zstd"),
    "zstd that wants a dictionary": ("zstd", frame(b"\1", REPEATED, header=1), "bad_zstd"),
    "zstd of a block that is reserved": ("zstd", frame(block(3, 1, b"a")), "bad_zstd"),
    "zstd that is no content": ("zstd", frame(block(2, 9, b"123456789")), "bad_zstd"),
    "zstd of endless blocks": (
        "zstd",
        frame(*[block(0, 0, b"", last=False)] * (MOST_BLOCKS + 1)),
        "bad_zstd",
    ),
    "zstd that wants two gigabytes": (
        "zstd",
        frame(block(0, 1, b"a"), window=21 << 3),
        "inflated_too_large",
    ),
    "zstd of one segment of 32 GB": (
        "zstd",
        frame(block(0, 1, b"a"), header=0xE0, size=(2**35).to_bytes(8, "little")),
        "inflated_too_large",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_body_or_too_much_is_refused_without_its_memory(name: str) -> None:
    coding, body, code = REFUSED[name]
    tracemalloc.start()
    with pytest.raises(MonitorError) as refused:
        inflated(body, coding, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.code == code
    assert refused.value.status == (413 if code == "inflated_too_large" else 400)
    assert peak < 20 * LIMIT


@given(st.binary(max_size=LIMIT), st.sampled_from(["identity", "gzip", "zstd"]))
@settings(max_examples=60, deadline=None)
def test_what_was_compressed_comes_back(data: bytes, coding: Coding) -> None:
    packed = {"identity": data, "gzip": gzipped(data), "zstd": zstd(data)}[coding]
    assert inflated(packed, coding, LIMIT) == data


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_exactly_the_limit_is_taken(coding: Coding) -> None:
    data = b"ab" * (LIMIT // 2)
    assert inflated(gzipped(data) if coding == "gzip" else zstd(data), coding, LIMIT) == data


def test_a_frame_that_is_written_piece_by_piece_is_one() -> None:
    """It must be that a sender which flushes, and says no size, is understood."""
    writer = cramjam.zstd.Compressor()
    made = b""
    for _ in range(5):
        writer.compress(b"host" * 100)
        made += bytes(writer.flush())
    made += bytes(writer.finish())
    assert inflated(made, "zstd", LIMIT) == b"host" * 500


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_inflated_or_refused(data: bytes, is_zstd: bool) -> None:
    body = (ZSTD[:6] if is_zstd else GZIP[:10]) + data
    with contextlib.suppress(MonitorError):
        assert len(inflated(body, "zstd" if is_zstd else "gzip", LIMIT)) <= LIMIT
