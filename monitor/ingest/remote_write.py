"""Prometheus remote write: what a request says becomes frames of lanes, and is stored.

A request is a heap of samples of many hosts and instants.  Series are known by the bytes of their
labels, so that for what came before, nearly everything, there is one look into a table a sample;
numpy does the rest.  What is wrong with one series is said of it, and the others are stored, as
the specification wants it.  It knows no HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from monitor.core.access import OPEN, Caller
from monitor.errors import InputError, MonitorError, excerpt
from monitor.ingest import remote_write_wire as wire
from monitor.ingest.lanes import Lane, Lanes
from monitor.ingest.push import EARLIEST_SECONDS, MOST_AHEAD_SECONDS
from monitor.ingest.written import Samples, Table, Target
from monitor.model import Frame, Introduction

SLICE = 2_048
"""Series that are looked up without giving way: a millisecond of them."""

LEARNING_SECONDS = 0.002
"""How long new series may be looked into without giving way."""

WORKING_SECONDS = 0.005
"""How long frames may be made without giving way: those of new hosts cost some 0.1 ms each."""

LARGE_BYTES = 64 * 1024
"""A larger body is inflated in a worker thread."""

MOST_AT_ONCE = 4
"""Requests that are inflated and looked up at a time: each may be 16 MB inside, and the others wait
as they came."""

LONGEST_LABELS_BYTES = 24 * 1024
"""Of one series: a KEY has 4,096 characters of four bytes at most, its host and job a few more."""

MOST_CLOCKS = 16
"""Hosts of one request whose clock is told of; behind one sender, they have the same one."""

FRAMES_AT_ONCE = 256
"""That are stored together: hosts that are new cost several milliseconds each hundred."""

MOST_CELLS = 50_000_000
"""Of all frames of a request: one instant more is a row of all its lane's columns."""

CELLS_AT_ONCE = 2_000_000
"""That are made and stored together."""

Take = Callable[[Sequence[Frame]], Awaitable[None]]
"""Stores frames, each host's by instant ascending, durably on return."""


class Hosts(Protocol):
    """Who knows whose hosts are."""

    def require(self, said: Introduction, /) -> None:
        """Raise where a host is not to be spoken for."""

    async def met(self, said: Introduction, /) -> None:
        """Somebody spoke for a host and was heard."""

    def refused(self, said: Introduction, error: MonitorError, /) -> None:
        """Somebody spoke for a host and was not."""


@dataclass(slots=True)
class Outcome:
    """What became of a request: samples stored, and refused by code; the first fault of each kind.

    `fault` is the sender's; `passing` is ours, for which everything may be sent again.
    """

    written: int = 0
    duplicates: int = 0
    """Of those written, how many came twice in one request: the first value stands."""
    refused: Counter[str] = field(default_factory=Counter)
    fault: MonitorError | None = None
    passing: MonitorError | None = None

    def refuse(self, error: MonitorError, samples: int) -> None:
        """Note that so many samples were not taken, and why."""
        self.refused[error.code] += samples
        if isinstance(error, InputError) or error.status == 403:
            self.fault = self.fault or error
        else:
            self.passing = self.passing or error


class RemoteWrite:
    """Takes write requests.  `oldest` says before which instant nothing is kept."""

    def __init__(
        self,
        lanes: Lanes,
        take: Take,
        hosts: Hosts,
        clock: Callable[[], float],
        oldest: Callable[[float], float],
    ) -> None:
        self._lanes = lanes
        self._take = take
        self._hosts = hosts
        self._clock = clock
        self._oldest = oldest
        self._table = Table()
        self._decoding = asyncio.Semaphore(MOST_AT_ONCE)
        self.samples = lanes.samples.setdefault("remote_write", Counter())
        """Samples by what became of them: ``written``, ``duplicate``, or an error's code."""

    async def write(self, body: bytes, caller: Caller = OPEN) -> Outcome:
        """Take a request.  On return what was taken of it is as durable as the store is.

        Raises `MonitorError` where all of it is refused (see `remote_write_wire`), and as the
        store does: then some of it may be stored, and the whole may be sent again.
        """
        outcome = Outcome()
        async with self._decoding:
            if len(body) > LARGE_BYTES:
                request = await asyncio.to_thread(wire.unpacked, body)
            else:
                request = wire.unpacked(body)
            found = await self._looked_up(wire.series_of(request), outcome)
            del request
        await self._store(found, caller, outcome)
        self.samples["written"] += outcome.written - outcome.duplicates
        self.samples["duplicate"] += outcome.duplicates
        self.samples.update(outcome.refused)
        return outcome

    async def _looked_up(self, series: Sequence[bytes], outcome: Outcome) -> Samples:
        """Every sample of a request, with its series' number in the table."""
        if self._table.is_full or len(self._table) + len(series) > Table.MOST_SERIES:
            self._table = Table()
        table, pieces, count = self._table, [], 0
        for start in range(0, len(series), SLICE):
            some = series[start : start + SLICE]
            split = wire.split(some)
            numbers = table.numbers(split.heads)
            known = split.plain & (numbers >= 0)
            pieces.append(Samples(table, numbers, split.milliseconds, split.values).only(known))
            if not known.all():
                apart = [some[place] for place in np.flatnonzero(~known).tolist()]
                pieces += await self._learnt(table, apart, outcome)
            elif start + SLICE < len(series):
                await asyncio.sleep(0)
            count = sum(map(len, pieces))
            if count > wire.MOST_SAMPLES:
                detail = f"a request has at most {wire.MOST_SAMPLES} samples"
                limit, code = wire.MOST_SAMPLES, "too_many_samples"
                raise InputError(detail, code=code, limit=limit, status=413)
        return Samples.joined(table, pieces)

    async def _learnt(self, table: Table, series: list[bytes], outcome: Outcome) -> list[Samples]:
        """The samples of series that are new, or not of the usual form."""
        pieces: list[Samples] = []
        until = time.perf_counter() + LEARNING_SECONDS
        for each in series:
            whole = wire.whole(each)
            try:
                _require_samples(whole)
                _require_short(whole)
            except InputError as error:
                outcome.refuse(error, max(1, len(whole.milliseconds)))
                continue
            number = table.number(whole.head, whole.labels)
            count = len(whole.milliseconds)
            instants = np.array(whole.milliseconds, np.int64)
            pieces.append(Samples(table, np.full(count, number), instants, whole.values))
            if time.perf_counter() > until:
                await asyncio.sleep(0)
                until = time.perf_counter() + LEARNING_SECONDS
        return [Samples.joined(table, pieces)] if pieces else []

    async def _store(self, samples: Samples, caller: Caller, outcome: Outcome) -> None:
        now = self._clock()
        samples = self._of_these_times(self._of_somebody(samples, outcome), now, caller, outcome)
        frames: list[Frame] = []
        cells, all_cells, count, looked = 0, 0, 0, 0
        met: dict[str, None] = {}
        lanes: dict[int, Lane | None] = {}
        until = time.perf_counter() + WORKING_SECONDS
        for number, at, group in samples.groups():
            looked += len(group)
            if looked > SLICE or time.perf_counter() > until:
                await asyncio.sleep(0)
                # Others were here: a lane may have been let go of, or some of its columns.
                lanes, looked, until = {}, 0, time.perf_counter() + WORKING_SECONDS
            target = samples.table.targets[number]
            if number not in lanes:
                lanes[number] = self._lane(target, caller, now)
            lane = lanes[number]
            if lane is None:
                if target.error is not None:
                    outcome.refuse(target.error, len(group))
                continue
            frame, taken = target.frame(lane, at, group, now, outcome.refuse)
            outcome.duplicates += taken.duplicates
            count += taken.samples
            if frame is None:
                continue
            met[target.host] = None
            frames.append(frame)
            cells += len(frame.values)
            all_cells += len(frame.values)
            if all_cells > MOST_CELLS:
                detail = "a request has too many instants of hosts with many series"
                code = "too_many_samples"
                raise InputError(detail, code=code, limit=MOST_CELLS, status=413)
            if cells >= CELLS_AT_ONCE or len(frames) >= FRAMES_AT_ONCE:
                await self._accept(frames)
                outcome.written, frames, cells, lanes = count, [], 0, {}
        if frames:
            await self._accept(frames)
        outcome.written = count
        for host in met:
            await self._hosts.met(Introduction(host, given_labels=caller.labels))

    async def _accept(self, frames: list[Frame]) -> None:
        frames.sort(key=lambda frame: frame.at)
        await self._take(frames)

    def _lane(self, target: Target, caller: Caller, now: float) -> Lane | None:
        """The lane of a target, where its samples are taken now; `Target.error` says why not."""
        said = Introduction(target.host)
        try:
            _require_writes(caller, target.host)
            self._hosts.require(said)
            return target.open(self._lanes, now)
        except MonitorError as error:
            if error.code == "host_taken":
                self._hosts.refused(said, error)
            target.error = error
            return None

    def _of_somebody(self, samples: Samples, outcome: Outcome) -> Samples:
        """Without those of series that are refused for what they are."""
        bad = samples.table.target[samples.numbers] < 0
        if not bad.any():
            return samples
        numbers, counts = np.unique(samples.numbers[bad], return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            outcome.refuse(samples.table.refusals[number], count)
        return samples.only(~bad)

    def _of_these_times(
        self, samples: Samples, now: float, caller: Caller, outcome: Outcome
    ) -> Samples:
        """Without those that are too old, or of no time at all."""
        oldest = max(EARLIEST_SECONDS, self._oldest(now))
        past = samples.milliseconds < oldest * 1000
        ahead = samples.milliseconds > (now + MOST_AHEAD_SECONDS) * 1000
        if count := int(ahead.sum() + (samples.milliseconds < EARLIEST_SECONDS * 1000).sum()):
            detail = f"an instant is in milliseconds, at most {MOST_AHEAD_SECONDS:.0f} s ahead"
            error = InputError(detail, code="bad_time", field="timestamp")
            outcome.refuse(error, count)
            self._tell_of_clocks(samples.only(ahead), now, caller, error)
        if count := int((past & (samples.milliseconds >= EARLIEST_SECONDS * 1000)).sum()):
            detail = "a sample is older than the history that is kept"
            outcome.refuse(InputError(detail, code="too_old", field="timestamp"), count)
        return samples.only(~(past | ahead)) if (past | ahead).any() else samples

    def _tell_of_clocks(
        self, ahead: Samples, now: float, caller: Caller, error: InputError
    ) -> None:
        """Have it shown whose samples lie in the future."""
        targets = ahead.table.target[ahead.numbers]
        for number in np.unique(targets)[:MOST_CLOCKS].tolist():
            host = ahead.table.targets[number].host
            if caller.writes(host):
                at = int(ahead.milliseconds[targets == number].max()) / 1000
                self._hosts.refused(Introduction(host, skew_seconds=now - at), error)


def _require_writes(caller: Caller, host: str) -> None:
    if not caller.writes(host):
        detail = f"this token does not write the host {excerpt(host)}"
        raise MonitorError(detail, code="host_mismatch", field="host", status=403)


def _require_short(series: wire.Whole) -> None:
    """Raise where labels are longer than any that are taken: nothing of them is remembered."""
    if len(series.head) > LONGEST_LABELS_BYTES:
        detail = f"the labels of a series have at most {LONGEST_LABELS_BYTES} bytes in all"
        limit = LONGEST_LABELS_BYTES
        raise InputError(detail, code="limit_labels", field="labels", limit=limit)


def _require_samples(series: wire.Whole) -> None:
    if series.has_histograms:
        detail = "native histograms are not kept; send classic ones"
        raise InputError(detail, code="unsupported_histogram", field="histograms")
    if not (series.milliseconds or series.has_exemplars):
        raise InputError("a series has samples", code="no_samples", field="samples")
