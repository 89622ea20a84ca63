"""Requests of remote write, byte by byte: what a sender would send, and what none would."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

import cramjam

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The NaN that says that a series has ended."""


def varint(number: int) -> bytes:
    """A varint, of a negative number as protobuf has it."""
    number &= 2**64 - 1
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def label(name: str, value: str) -> bytes:
    return field(1, field(1, name.encode()) + field(2, value.encode()))


def labels(found: Mapping[str, str]) -> bytes:
    """Labels sorted by name."""
    return b"".join(label(name, found[name]) for name in sorted(found))


def sample(value: float, at: float) -> bytes:
    """A sample at an instant in unix seconds."""
    milliseconds = varint(round(at * 1000))
    return field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + milliseconds)


def series(found: Mapping[str, str], *samples: tuple[float, float]) -> bytes:
    """A series: its labels, and values with their instants."""
    return labels(found) + b"".join(sample(value, at) for value, at in samples)


def request(*found: bytes) -> bytes:
    """A request of these series, not compressed."""
    return b"".join(field(1, each) for each in found)


def snappy(content: bytes) -> bytes:
    return bytes(memoryview(cramjam.snappy.compress_raw(content)))


def of_host(host: str, values: Mapping[str, float], at: float, job: str = "app") -> Iterable[bytes]:
    """A series with one sample for each name."""
    for name, value in values.items():
        yield series({"__name__": name, "host": host, "job": job}, (value, at))
