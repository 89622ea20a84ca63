"""Frames become the body of a Prometheus remote write 1.0 request.

It knows protobuf's bytes and the specification's rules (labels sorted, samples of a series by
instant), and no queue and no network.  A series' labels are encoded once and kept; its samples are
laid out by numpy, all of one size, so that a request costs little more than the copying.
The specification: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cramjam
import numpy as np
from numpy.typing import NDArray

from monitor.core.prometheus_names import HOST_LABEL, exported, label_name
from monitor.core.series import ENDED_BITS
from monitor.model import SeriesKey

SAMPLE_BYTES = 18
"""A sample in a series: two tags and lengths of a byte, a double, and six bytes of milliseconds."""

EARLIEST_SECONDS, LATEST_SECONDS = (1 << 35) / 1000, ((1 << 42) - 1) / 1000
"""Between them, 1971 to 2109, milliseconds take six bytes."""

MOST_SERIES_KEPT = 300_000
"""Series whose labels are kept encoded, some 250 bytes each; those not sent for longest go."""

CONTENT_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """Some frames of one sender, by instant: one row of `values` an instant of `at`."""

    stream: Stream
    at: NDArray[np.float64]
    values: Matrix

    @property
    def samples(self) -> int:
        """How many there are at most: absent ones are counted too."""
        return int(self.values.size)

    def halves(self) -> tuple[Part, Part]:
        """The earlier and the later half."""
        middle = len(self.at) // 2
        return (
            Part(self.stream, self.at[:middle], self.values[:middle]),
            Part(self.stream, self.at[middle:], self.values[middle:]),
        )


@dataclass(frozen=True, slots=True)
class Stream:
    """What the columns of a sender's frames are."""

    host: str
    texts: tuple[str, ...]


class Encoder:
    """Encodes for one receiver."""

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        self._labels = dict(labels or {})
        self._kept: OrderedDict[Stream, tuple[bytes | None, ...]] = OrderedDict()
        self._series = 0
        self._lock = threading.Lock()

    def body(self, parts: Sequence[Part]) -> tuple[bytes, int]:
        """The compressed body of a request with these parts, and how many samples it holds."""
        pieces: list[bytes] = []
        samples = 0
        with self._lock:
            for part in parts:
                samples += self._encode(part, pieces)
                time.sleep(0)  # beside the event loop: it may have the interpreter now
        return bytes(cramjam.snappy.compress_raw(b"".join(pieces))), samples

    def _encode(self, part: Part, pieces: list[bytes]) -> int:
        kept = self._labels_of(part.stream)
        rows, columns = part.values.shape
        laid = np.empty((columns, rows, SAMPLE_BYTES), np.uint8)
        laid[:, :, :3] = (0x12, SAMPLE_BYTES - 2, 0x09)  # TimeSeries.samples; Sample.value
        doubles = np.ascontiguousarray(part.values.T).astype("<f8", copy=False)
        laid[:, :, 3:11] = doubles.view(np.uint8).reshape(columns, rows, 8)
        laid[:, :, 11] = 0x10  # Sample.timestamp
        laid[:, :, 12:] = _varints(np.rint(part.at * 1000).astype(np.int64))
        # That a series has ended is a NaN of its own, which goes out as it came.
        present = ~np.isnan(doubles) | (doubles.view(np.uint64) == ENDED_BITS)
        counts = present.sum(axis=1).tolist()
        whole = laid.tobytes()
        width = rows * SAMPLE_BYTES
        total = 0
        for column, (labels, count) in enumerate(zip(kept, counts, strict=True)):
            if labels is None or not count:
                continue
            if count == rows:
                samples = whole[column * width : (column + 1) * width]
            else:
                samples = laid[column][present[column]].tobytes()
            pieces += (b"\x0a", varint(len(labels) + len(samples)), labels, samples)
            total += count
        return total

    def _labels_of(self, stream: Stream) -> tuple[bytes | None, ...]:
        """Each column's labels as bytes; none for a twin of one before it."""
        kept = self._kept.get(stream)
        if kept is not None:
            self._kept.move_to_end(stream)
            return kept
        seen: set[bytes] = set()
        found: list[bytes | None] = []
        for text in stream.texts:
            try:
                written = self._written(stream.host, SeriesKey.parse(text))
            except (ValueError, IndexError):
                found.append(None)  # no KEY, which nothing should have let in
                continue
            found.append(None if written in seen else written)
            seen.add(written)
        kept = self._kept[stream] = tuple(found)
        self._series += len(kept)
        while self._series > MOST_SERIES_KEPT and len(self._kept) > 1:
            self._series -= len(self._kept.popitem(last=False)[1])
        return kept

    def _written(self, host: str, key: SeriesKey) -> bytes:
        name, own = exported(key)
        labels = {label_name(label): value for label, value in self._labels.items()}
        labels |= {**dict(own), HOST_LABEL: host, "__name__": name}
        written = []
        for label, value in sorted(labels.items()):
            if value:  # a label that is empty is none
                pair = _text(0x0A, label) + _text(0x12, value)
                written += [b"\x0a", varint(len(pair)), pair]
        return b"".join(written)


def _text(tag: int, value: str) -> bytes:
    encoded = value.encode("utf-8", "replace")
    return bytes((tag,)) + varint(len(encoded)) + encoded


def varint(number: int) -> bytes:
    """A whole number, not negative, in protobuf's base-128 form."""
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _varints(milliseconds: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Six bytes each, of numbers that take six."""
    shifts = np.arange(0, 42, 7, dtype=np.int64)
    found: NDArray[Any] = (milliseconds[:, None] >> shifts) & 0x7F
    found[:, :5] |= 0x80
    return found.astype(np.uint8)
