"""The bytes of Prometheus remote write 1.0: snappy around a protobuf of series and their samples.

A series says its labels each time, so its own bytes up to the last sample are what it is known by;
they are looked into once.  Nearly every series is those bytes and one sample of eighteen, which
numpy reads for a whole request at once; everything else is parsed by itself.  What the protobuf is:
https://prometheus.io/docs/specs/prw/remote_write_spec/ .  It knows no host and no KEY.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cramjam
import numpy as np
from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]
from numpy.typing import NDArray

from monitor.errors import InputError

MOST_BYTES = 16 * 1024 * 1024
"""Of a request once it is inflated: Prometheus sends 0.5 MB at most, vmagent 8 MB."""

MOST_SERIES = 50_000
"""Of a request; Prometheus sends 2,000 at most unless it is told otherwise."""

MOST_SAMPLES = 50_000
"""Of a request: as in a push."""

MOST_INFLATION = 24
"""Times: what snappy can make of a byte is 21 bytes and a third (64 from a copy of three)."""

COUNTED_BYTES = 512 * 1024
"""A larger request is counted before it is parsed, which would allocate for each of its series."""

SAMPLE_BYTES = 18
"""Tag and length, tag and float64, tag and a varint of six bytes: milliseconds from 2^35 (1971) to
2^42 (2109)."""

_SAMPLE = np.dtype(
    [("head", "u1", (3,)), ("value", "<f8"), ("tag", "u1"), ("varint", "u1", (6,))], align=False
)
_HEAD = np.array([0x12, 0x10, 0x09], np.uint8)
_TAG = 0x10
_MORE = 0x80
_SERIES_TAG = 0x0A
_LONGEST_VARINT_BITS = 70
_SHIFTS = np.arange(0, 42, 7, dtype=np.int64)
_FIELDS = {
    "Request": (("timeseries", 1, "bytes", True), ("metadata", 3, "bytes", True)),
    "Series": (
        ("labels", 1, "bytes", True),
        ("samples", 2, "bytes", True),
        ("exemplars", 3, "bytes", True),
        ("histograms", 4, "bytes", True),
    ),
    "Label": (("name", 1, "string", False), ("value", 2, "string", False)),
    "Sample": (("value", 1, "double", False), ("timestamp", 2, "int64", False)),
}
_TYPES = {"double": 1, "int64": 3, "string": 9, "bytes": 12}


def _messages() -> dict[str, Any]:
    """The messages, described here rather than generated: parts are bytes until they are wanted."""
    file = descriptor_pb2.FileDescriptorProto(
        name="monitor/remote_write.proto", package="monitor.remote_write", syntax="proto3"
    )
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            message.field.add(
                name=field, number=number, type=_TYPES[kind], label=3 if repeated else 1
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"monitor.remote_write.{name}")
        )
        for name in _FIELDS
    }


_MESSAGES = _messages()
_Request, _Series, _Label, _Sample = (
    _MESSAGES[name] for name in ("Request", "Series", "Label", "Sample")
)


def unpacked(body: bytes) -> bytes:
    """What is inside the snappy block.

    Raises `InputError`: ``bad_snappy``, ``inflated_too_large`` (413) before anything is allocated.
    """
    try:
        says = cramjam.snappy.decompress_raw_len(body)
    except (cramjam.DecompressionError, ValueError):
        raise _bad_snappy() from None
    if says > MOST_BYTES:
        detail = f"a request is at most {MOST_BYTES} bytes once it is inflated: send less at once"
        code = "inflated_too_large"
        raise InputError(detail, code=code, limit=MOST_BYTES, status=413)
    if says > MOST_INFLATION * len(body):
        raise _bad_snappy()
    try:
        return bytes(memoryview(cramjam.snappy.decompress_raw(body)))
    except cramjam.DecompressionError:
        raise _bad_snappy() from None


def _bad_snappy() -> InputError:
    detail = "the body is no snappy block (the block format, not the framed one)"
    return InputError(detail, code="bad_snappy")


def series_of(request: bytes) -> Sequence[bytes]:
    """The bytes of each series of a request, which are copied as they are looked at.

    Raises `InputError`: ``bad_protobuf``, ``too_many_series`` (413).
    """
    if len(request) > COUNTED_BYTES:
        _require_few(request)
    message = _parsed(_Request, request)
    if len(message.timeseries) > MOST_SERIES:
        raise _too_many()
    found: Sequence[bytes] = message.timeseries
    return found


def _require_few(request: bytes) -> None:
    """Raise a 413 as soon as there are too many series; other faults are for later."""
    at, found, end = 0, 0, len(request)
    while at < end and request[at] == _SERIES_TAG:
        at, size, shift = at + 1, 0, 0
        while at < end and shift < _LONGEST_VARINT_BITS:
            byte = request[at]
            size |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < _MORE:
                break
        at += size
        found += 1
        if found > MOST_SERIES:
            raise _too_many()


def _too_many() -> InputError:
    detail = f"a request has at most {MOST_SERIES} series"
    return InputError(detail, code="too_many_series", limit=MOST_SERIES, status=413)


class Split(NamedTuple):
    """Series as labels and one sample each; `plain` tells which of them are that.

    `heads` are the bytes before the last sample, `milliseconds` and `values` that sample's.
    """

    heads: list[bytes]
    plain: NDArray[np.bool_]
    milliseconds: NDArray[np.int64]
    values: NDArray[np.float64]


def split(series: Sequence[bytes]) -> Split:
    """Part series into labels and one sample, wherever they end like one.

    A head that is known to be labels and nothing else makes sure that the rest is a sample.
    """
    count = len(series)
    heads = [each[:-SAMPLE_BYTES] for each in series]
    tails = b"".join([each[-SAMPLE_BYTES:] for each in series])
    if len(tails) != count * SAMPLE_BYTES:
        tails = b"".join([each[-SAMPLE_BYTES:].rjust(SAMPLE_BYTES, b"\0") for each in series])
    found = np.frombuffer(tails, _SAMPLE)
    varints = found["varint"]
    plain = (
        (found["head"] == _HEAD).all(axis=1)
        & (found["tag"] == _TAG)
        & (varints[:, :5] >= _MORE).all(axis=1)
        & (varints[:, 5] < _MORE)
    )
    milliseconds = ((varints & 0x7F).astype(np.int64) << _SHIFTS).sum(axis=1)
    return Split(heads, plain, milliseconds, found["value"].copy())


class Whole(NamedTuple):
    """One series, parsed by itself.  `head` is its labels as `split` would have them."""

    head: bytes
    labels: list[tuple[str, str]]
    milliseconds: list[int]
    values: NDArray[np.float64]
    has_histograms: bool
    has_exemplars: bool


def whole(series: bytes) -> Whole:
    """Parse one series.  Raises `InputError` (``bad_protobuf``)."""
    message = _parsed(_Series, series)
    labels = [_parsed(_Label, each) for each in message.labels]
    samples = [_parsed(_Sample, each) for each in message.samples]
    head = b"".join([b"\x0a" + _varint(len(each)) + each for each in message.labels])
    return Whole(
        head,
        [(label.name, label.value) for label in labels],
        [sample.timestamp for sample in samples],
        np.array([sample.value for sample in samples], np.float64),
        bool(message.histograms),
        bool(message.exemplars),
    )


_KNOWN = {
    _MESSAGES[name]: frozenset(number for _, number, _, _ in fields)
    for name, fields in _FIELDS.items()
}


def _parsed(kind: Any, encoded: bytes) -> Any:
    try:
        message = kind.FromString(encoded)
    except DecodeError:
        raise _bad_protobuf("it is cut short, or no protobuf") from None
    unknown = UnknownFieldSet(message)
    if len(unknown) and any(field.field_number in _KNOWN[kind] for field in unknown):
        raise _bad_protobuf("a field has another type than it should")
    return message


def _bad_protobuf(why: str) -> InputError:
    detail = f"the body is no write request of remote write 1.0: {why}"
    return InputError(detail, code="bad_protobuf")


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= _MORE:
        found.append(number & 0x7F | _MORE)
        number >>= 7
    found.append(number)
    return bytes(found)
