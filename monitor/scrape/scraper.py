"""One target: fetched, read, and turned into a frame of its host's lane.

What came is read in a worker thread where it is large, so that the event loop never waits for it.
Whatever goes wrong is the target's status, and nothing is raised.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.errors import MonitorError, excerpt
from monitor.ingest.deriving import Deriver
from monitor.ingest.exposition import Exposition
from monitor.ingest.introducing import is_word
from monitor.ingest.lanes import Lane, Lanes
from monitor.model import Frame, Introduction, Schema, Snapshot, key
from monitor.scrape.config import ScrapeConfig
from monitor.scrape.fetching import Answer, Places, code_of
from monitor.scrape.plan import STALE_SECONDS, Plan, planned
from monitor.scrape.targets import Target

TABLE_SECONDS = 60.0
"""How often tables go with the numbers where nothing has changed."""

SMALL_BYTES = 16 * 1024
"""An answer up to this is read at once: 2 ms where all of it is new."""

NEW_AT_ONCE = 500
"""New series after which others may run: about 2 ms."""

SHOWN_REFUSED = 3
"""Series that found no room and are named."""

Take: TypeAlias = Callable[[Sequence[Frame], Sequence[Snapshot]], Awaitable[None]]
"""Takes gathered frames, durably on return: `Intake.take`."""

Met: TypeAlias = Callable[[Introduction], Awaitable[None]]
"""Is told what a target says of its host: `Fleet.met`."""


class Fetches(Protocol):
    """Asks one target."""

    async def fetch(self, large: Places) -> Answer:
        """Ask once; raises `MonitorError`."""

    async def close(self) -> None:
        """Close its connection."""


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """How a target stands: for people, and without secrets.

    Instants are unix seconds, 0 before there was one; `code` and `detail` say why it is not up.
    """

    job: str
    url: str
    instance: str
    host: str
    interval_seconds: float
    up: bool | None = None
    code: str = ""
    detail: str = ""
    scraped_at: float = 0.0
    succeeded_at: float = 0.0
    duration_seconds: float = 0.0
    samples: int = 0
    refused: int = 0
    """Series of the last scrape that were not taken: for want of room, or without a KEY."""
    refused_names: tuple[str, ...] = ()
    duplicates: int = 0
    stale: int = 0
    """Samples that say that they are too old."""


@dataclass(frozen=True, slots=True)
class House:
    """What all targets of a server share.

    `knows` says whether a host was ever heard of; `labels` are those of a host, from every target
    that names it; `reading` has so many places as worker threads may read answers at once.
    """

    lanes: Lanes
    take: Take
    met: Met
    clock: Callable[[], float]
    knows: Callable[[str], bool]
    labels: Callable[[str], Mapping[str, str]]
    large: asyncio.Semaphore
    reading: asyncio.Semaphore


@dataclass(slots=True)
class _Read:
    """An answer that was read: KEYs with their values, in the plan's order."""

    plan: Plan
    values: NDArray[np.float64]
    derived: dict[str, float]
    samples: int
    added: int
    duplicates: int
    stale: int


class Scraper:
    """One target's scrapes, one after the other."""

    def __init__(
        self,
        target: Target,
        config: ScrapeConfig,
        house: House,
        fetcher: Fetches,
        *,
        is_first: bool = True,
    ) -> None:
        self.target = target
        self.status = TargetStatus(
            target.job, target.shown, target.instance, target.host, config.interval
        )
        self._config = config
        self._house = house
        self._fetcher = fetcher
        own = {"job": target.job, "instance": target.instance}
        self._own = own if not is_first else {"job": target.job}
        self._up_keys = tuple(
            key(name, **own)
            for name in (
                "up",
                "scrape_duration_seconds",
                "scrape_samples_scraped",
                "scrape_series_added",
            )
        )
        self._exposition = Exposition(config.max_samples, config.max_body)
        self._deriver = Deriver()
        self._plan: tuple[int, list[int], Plan] | None = None
        self._lane: Lane | None = None
        self._schema: Schema | None = None
        self._generation = -1
        self._columns: dict[str, int] = {}
        self._said: Introduction | None = None
        self._tables_at = -math.inf
        self._tables: Plan | None = None

    async def scrape(self) -> None:
        """One scrape, to its end; `status` says how it went."""
        at, began = self._house.clock(), time.monotonic()
        read: _Read | None = None
        code = detail = ""
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                answer = await self._fetcher.fetch(self._house.large)
            read = await self._reading(answer, at)
        except TimeoutError:
            code, detail = "too_slow", f"{self.target.instance} did not answer in time"
        except MonitorError as error:
            code, detail = code_of(error), error.detail
        duration = time.monotonic() - began
        refused: list[str] = []
        try:
            if read is not None:
                refused = await self._accept(read, at, duration)
            elif self._house.knows(self.target.host):
                await self._miss(at, duration)
        except MonitorError as error:
            code, detail = code or error.code, detail or error.detail
        self._note(read, at, duration, (code, detail), refused)

    def fail(self, code: str, detail: str) -> None:
        """Have the status say that it failed otherwise."""
        self.status = dataclasses.replace(self.status, up=False, code=code, detail=detail)

    async def close(self) -> None:
        """Close its connection, and let go of its lane."""
        self._house.lanes.leave(self.target.host, self.target.source)
        await self._fetcher.close()

    async def _reading(self, answer: Answer, at: float) -> _Read:
        if len(answer.body) <= SMALL_BYTES:
            return self._read(answer, at)
        async with self._house.reading:
            return await asyncio.to_thread(self._read, answer, at)

    def _read(self, answer: Answer, at: float) -> _Read:
        """Any thread's, one at a time."""
        scraped = self._exposition.read(answer.body, answer.form)
        added, known = 0, self._plan
        if known is None or known[0] != scraped.generation or known[1] != scraped.slots:
            series = [scraped.series[slot] for slot in scraped.slots]
            plan = planned(series, self._own)
            before = set(known[2].keys) if known else set()
            added = len(set(plan.keys) - before)
            known = self._plan = scraped.generation, scraped.slots, plan
        plan = known[2]
        samples = scraped.values
        stale = [
            place
            for place, taken_at in scraped.timestamps.items()
            if abs(at - taken_at) > STALE_SECONDS
        ]
        samples[stale] = math.nan
        values = plan.values(samples)
        wanted = {plan.keys[number]: float(values[number]) for number in plan.wanted}
        derived = self._deriver.derive(at, wanted)
        count, twice = len(scraped.slots), scraped.duplicates
        return _Read(plan, values, derived, count, added, twice, len(stale))

    async def _accept(self, read: _Read, at: float, duration: float) -> list[str]:
        """Hand it to the house; the KEYs that found no room."""
        plan = read.plan
        own = (1.0, duration, float(read.samples), float(read.added))
        texts = [*self._up_keys, *read.derived]
        texts += [plan.keys[number] for number in plan.stored.tolist()]
        small = np.array([*own, *read.derived.values()])
        values = np.concatenate([small, read.values[plan.stored]])
        frame, refused = await self._frame(at, texts, values)
        if frame.schema is not self._schema:
            # Whoever takes it looks at every KEY of a new schema, and would do so on the loop.
            self._schema = frame.schema
            await asyncio.to_thread(_looked_at, frame.schema)
        await self._house.take([frame], self._snapshots(plan, at))
        await self._introduce(plan)
        return refused

    async def _miss(self, at: float, duration: float) -> None:
        """Say that it was not reached: that alone, and no sign of its host."""
        values = np.array([0.0, duration])
        frame, _ = await self._frame(at, list(self._up_keys[:2]), values)
        await self._house.take([dataclasses.replace(frame, heard=False)], ())

    async def _frame(
        self, at: float, texts: list[str], values: NDArray[np.float64]
    ) -> tuple[Frame, list[str]]:
        now = self._house.clock()
        lane = self._house.lanes.of(self.target.host, self.target.source)
        lane.look(now)
        if lane is not self._lane or lane.generation != self._generation:
            self._lane, self._generation, self._columns = lane, lane.generation, {}
        columns = self._columns
        present = np.isfinite(values).tolist()
        # What never had a value is no series yet.
        refused = [
            text
            for text, has_value in zip(texts, present, strict=True)
            if has_value and text not in columns
        ]
        for number, text in enumerate(refused, 1):
            try:
                columns[text] = lane.column(text)
            except MonitorError:
                break  # the others would find no room either
            if number % NEW_AT_ONCE == 0:
                await asyncio.sleep(0)
        refused = [text for text in refused if text not in columns]
        if lane.generation != self._generation:  # the host was deleted meanwhile
            return await self._frame(at, texts, values)
        kept = [number for number, text in enumerate(texts) if text in columns]
        places = np.array([columns[texts[number]] for number in kept], np.intp)
        return lane.frame(at, places, values[kept], now), refused

    def _snapshots(self, plan: Plan, at: float) -> list[Snapshot]:
        """Tables, where they are new or some time has passed."""
        if plan is self._tables and at - self._tables_at < TABLE_SECONDS:
            return []
        self._tables, self._tables_at = plan, at
        host = self.target.host
        found = []
        if plan.facts:
            found.append(Snapshot(host, at, "system", (dict(plan.facts),)))
        if plan.filesystems:
            found.append(Snapshot(host, at, "filesystems", plan.filesystems))
        return found

    async def _introduce(self, plan: Plan) -> None:
        """Tell what the configuration and the target say of the host, where that is new."""
        info = {
            name: plan.facts[fact]
            for name, fact in (("os", "os"), ("kernel", "kernel"), ("arch", "architecture"))
            if is_word(plan.facts.get(fact, ""))
        }
        labels = self._house.labels(self.target.host)
        said = Introduction(self.target.host, given_labels=labels, info=info or None)
        if said != self._said and (labels or info):
            await self._house.met(said)
        self._said = said

    def _note(
        self,
        read: _Read | None,
        at: float,
        duration: float,
        fault: tuple[str, str],
        refused: list[str],
    ) -> None:
        before = self.status
        code, detail = fault
        self.status = dataclasses.replace(
            before,
            up=not code,
            code=code,
            detail=detail,
            scraped_at=at,
            succeeded_at=before.succeeded_at if code else at,
            duration_seconds=duration,
            samples=read.samples if read else 0,
            refused=len(refused) + (read.plan.refused if read else 0),
            refused_names=tuple(map(excerpt, refused[:SHOWN_REFUSED])),
            duplicates=read.duplicates if read else 0,
            stale=read.stale if read else 0,
        )


def _looked_at(schema: Schema) -> None:
    """Have a schema work out what it remembers of its KEYs."""
    _ = schema.keys, schema.index, schema.columns_by_name
