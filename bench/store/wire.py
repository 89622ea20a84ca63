"""Prometheus remote write, version 1, made from columns: what both peers take samples by.

Field numbers are those of Prometheus' ``prompb/remote.proto`` and ``types.proto``.  The body is
valid snappy that holds nothing but literals, which is the cheapest kind to read: it spares the
peers some work and us a dependency.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.recording import Floats
from monitor.model import SeriesKey

SAMPLE_BYTES = 18
"""A sample with its tag and length: 8 bytes of value, 6 of an instant between 2004 and 2109."""

INSTANT_BYTES = 6

LITERAL_WITH_4_BYTES = 63 << 2


def labels(host: str, column: int, key: str) -> bytes:
    """A series' labels: its name and attributes, its host, and its column.

    The column is there because functions over time drop the name, and two series of one host
    must still differ then.
    """
    series = SeriesKey.parse(key)
    pairs = {"__name__": series.name.replace(".", "_"), **dict(series.attributes)}
    pairs |= {"host": host, "column": f"{column:03}"}
    return b"".join(
        _field(0x0A, _field(0x0A, name.encode()) + _field(0x12, value.encode()))
        for name, value in sorted(pairs.items())
    )


def request(series: Sequence[bytes], instants: Floats, values: Floats) -> bytes:
    """The body that carries values[rows, series] of series with these labels."""
    rows = len(instants)
    samples = np.empty((len(series), rows, SAMPLE_BYTES), np.uint8)
    samples[:, :, 0] = 0x12
    samples[:, :, 1] = SAMPLE_BYTES - 2
    samples[:, :, 2] = 0x09
    columns = np.ascontiguousarray(values.T, "<f8")
    samples[:, :, 3:11] = columns.view(np.uint8).reshape(len(series), rows, 8)
    samples[:, :, 11] = 0x10
    samples[:, :, 12:] = _varints(np.round(instants * 1e3).astype(np.int64))
    body = bytearray()
    for own, its in zip(series, samples, strict=True):
        body += b"\x0a" + _varint(len(own) + its.size) + own + its.tobytes()
    head = _varint(len(body)) + bytes([LITERAL_WITH_4_BYTES])
    return head + (len(body) - 1).to_bytes(4, "little") + bytes(body)


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varints(milliseconds: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Milliseconds as varints, each of `INSTANT_BYTES` bytes: uint8[rows, 6]."""
    shifts = np.arange(INSTANT_BYTES) * 7
    out = (milliseconds[:, None] >> shifts & 0x7F).astype(np.uint8)
    out[:, :-1] |= 0x80
    return out
