"""The lines of an answer: drawn from what was read, and written as JSON or as CSV.

Everything here runs beside the event loop a slice at a time, so that others get their turn and a
query that is given up ends at the next slice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from monitor.core.aggregate import Aggregate
from monitor.core.series import Floats
from monitor.ports import Buckets
from monitor.web import spreadsheet
from monitor.web.answers import History, HistoryLoss, HistorySeries

SLICE_CELLS = 20_000
"""Values made by one visit to a worker thread: some milliseconds, after which it may be over."""

MOST_LOSSES = 1_000
"""Losses told of in one answer, the first ones."""

T = TypeVar("T")
U = TypeVar("U")

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Line:
    """One series of the answer; `members` are the places, among what is read, it is made from.

    An aggregated one has no host, and `labels` by which it was grouped, perhaps none.
    """

    host: str
    key: str
    members: tuple[int, ...]
    labels: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A line with its minimum, average and maximum in each bucket."""

    line: Line
    values: tuple[Floats, Floats, Floats]


async def drawn(found: Buckets, lines: Iterable[Line], aggregate: Aggregate | None) -> list[Drawn]:
    """These lines, each of one series or aggregated from many."""
    buckets = len(found.starts)
    return await _sliced(
        lambda line: _drawn(found, line, aggregate), lines, lambda line: len(line.members) * buckets
    )


async def as_json(found: Buckets, lines: Sequence[Drawn]) -> bytes:
    """A `History` of these lines."""
    losses = [
        HistoryLoss(loss.host, loss.start, loss.end, loss.reason)
        for loss in found.losses[:MOST_LOSSES]
    ]
    starts, source = found.starts.tolist(), found.source_seconds
    head = _encoder.encode(History(starts, found.step_seconds, source, losses, []))
    series = await _sliced(_encoded, lines, lambda _: len(found.starts))
    return head.removesuffix(b"]}") + b",".join(series) + b"]}"


async def as_csv(starts: Floats, lines: Sequence[Drawn], by: str | None) -> AsyncIterator[bytes]:
    """The same as CSV, as fast as it is read; `starts` are the buckets'."""
    yield spreadsheet.head(by)
    at = spreadsheet.times(starts)
    for one in lines:
        line = one.line
        pieces = spreadsheet.pieces(at, line.host, line.key, one.values, line.labels)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece


def _drawn(found: Buckets, line: Line, aggregate: Aggregate | None) -> Drawn:
    members = [found.series[place] for place in line.members]
    if aggregate is None:
        (one,) = members
        return Drawn(line, (one.minimum, one.average, one.maximum))
    return Drawn(
        line,
        (
            aggregate.over([one.minimum for one in members]),
            aggregate.over([one.average for one in members]),
            aggregate.over([one.maximum for one in members]),
        ),
    )


async def _sliced(make: Callable[[T], U], given: Iterable[T], cells: Callable[[T], int]) -> list[U]:
    """`make` of each, in worker threads, `SLICE_CELLS` at a time so that it can end between."""
    made: list[U] = []
    for part in _slices(given, cells):
        made += await asyncio.to_thread(_each, make, part)
    return made


def _each(make: Callable[[T], U], part: list[T]) -> list[U]:
    return [make(one) for one in part]


def _slices(given: Iterable[T], cells: Callable[[T], int]) -> Iterator[list[T]]:
    part: list[T] = []
    held = 0
    for one in given:
        part.append(one)
        held += cells(one)
        if held >= SLICE_CELLS:
            yield part
            part, held = [], 0
    if part:
        yield part


def _encoded(drawn: Drawn) -> bytes:
    low, mean, high = (array.tolist() for array in drawn.values)
    line = drawn.line
    hosts = None if line.labels is None else len(line.members)
    return _encoder.encode(HistorySeries(line.host, line.key, low, mean, high, line.labels, hosts))
