"""A receiver of remote write on loopback that behaves as it is told, and reads what it gets.

It reads with protobuf's own library, from the specification's message, not with our code.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import cramjam
from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

from tests.outbound.servers import serving

Series = dict[str, list[tuple[int, float]]]
"""Labels as ``a=1,b=2`` in the order in which they came, to samples: milliseconds and value."""

Mode = Callable[[Series], tuple[int, str]]
"""What to answer to a request: a status, and more headers."""


def _message() -> Any:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="rw.proto", package="rw", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, int, str]) -> None:
        found = file.message_type.add(name=name)
        for label, number, kind, repeated, type_name in fields:
            of = {"type_name": type_name} if type_name else {}
            found.field.add(name=label, number=number, type=kind, label=repeated, **of)

    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    text, whole, double = kinds.TYPE_STRING, kinds.TYPE_INT64, kinds.TYPE_DOUBLE
    nested = kinds.TYPE_MESSAGE
    message("Label", ("name", 1, text, one, ""), ("value", 2, text, one, ""))
    message("Sample", ("value", 1, double, one, ""), ("timestamp", 2, whole, one, ""))
    message(
        "TimeSeries",
        ("labels", 1, nested, many, ".rw.Label"),
        ("samples", 2, nested, many, ".rw.Sample"),
    )
    message("WriteRequest", ("timeseries", 1, nested, many, ".rw.TimeSeries"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("rw.WriteRequest"))


_WriteRequest = _message()


def read(body: bytes) -> Series:
    """What the body of a request says."""
    request = _WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
    found: Series = {}
    for series in request.timeseries:
        labels = ",".join(f"{label.name}={label.value}" for label in series.labels)
        found.setdefault(labels, []).extend((s.timestamp, s.value) for s in series.samples)
    return found


def taking(_: Series) -> tuple[int, str]:
    """Take everything."""
    return 204, ""


@dataclass
class Receiver:
    """What it has taken, what it was asked, and how it behaves."""

    mode: Mode = taking
    taken: Series = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    url: str = ""
    delay_seconds: float = 0.0
    under_way: int = 0
    most_under_way: int = 0

    @property
    def samples(self) -> int:
        return sum(map(len, self.taken.values()))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await _head(reader)):
            self.heads.append(head)
            length = next(
                int(line.partition(":")[2])
                for line in head.lower().split("\r\n")
                if line.startswith("content-length:")
            )
            series = read(await reader.readexactly(length))
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            await asyncio.sleep(self.delay_seconds)
            self.under_way -= 1
            status, more = self.mode(series)
            self.statuses.append(status)
            if 200 <= status < 300:
                for labels, samples in series.items():
                    self.taken.setdefault(labels, []).extend(samples)
            writer.write(f"HTTP/1.1 {status} x\r\n{more}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()


async def _head(reader: asyncio.StreamReader) -> str:
    with contextlib.suppress(asyncio.IncompleteReadError):
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    return ""


@contextlib.asynccontextmanager
async def receiving(mode: Mode = taking) -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver(mode)
    async with serving(receiver.answer) as port:
        receiver.url = f"http://127.0.0.1:{port}/api/v1/write"
        yield receiver
