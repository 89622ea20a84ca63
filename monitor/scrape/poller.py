"""Polls every target of every ``[scrape.NAME]`` at its own pace.

Each target has a task of its own and never two scrapes at once; where in its interval a target has
its turn follows from its name, so that they are spread and stay where they are over restarts.
Targets that did not answer last time wait among themselves, not before the others.
"""

from __future__ import annotations

import asyncio
import logging
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from monitor.ingest.lanes import Lanes
from monitor.model import Introduction
from monitor.scrape.config import ScrapeConfig
from monitor.scrape.scraper import Fetches, House, Met, Scraper, Take, TargetStatus
from monitor.scrape.targets import Target, TargetFiles, distinct, made

LOOK_SECONDS = 5.0
"""How often it is looked whether files of targets have changed."""

MOST_AT_ONCE = 200
"""Scrapes under way of targets that answer, and as many of those that do not."""

MOST_LARGE = 16
"""Large answers held at once: at most 256 MiB."""

MOST_READING = 2
"""Worker threads that read answers; more would only wait for each other."""

Opener: TypeAlias = Callable[[Target, ScrapeConfig], Fetches]
"""Makes what asks a target."""

logger = logging.getLogger("monitor.scrape")


@dataclass(slots=True)
class _Job:
    """One table of the configuration."""

    name: str
    config: ScrapeConfig
    named: tuple[Target, ...]
    files: TargetFiles | None
    listed: tuple[Target, ...] = ()
    complaints: tuple[str, ...] = ()


@dataclass(slots=True)
class _Running:
    scraper: Scraper
    task: asyncio.Task[None] = field(repr=False)


async def _nobody(said: Introduction) -> None:
    """Whoever is not to be told."""
    del said


class Poller:
    """One server's.

    `open` makes what asks a target; `clock` is in unix seconds; `knows` says whether a host was
    ever heard of: of one that was not nothing is kept until it is reached.
    """

    def __init__(
        self,
        configs: Mapping[str, ScrapeConfig],
        open: Opener,
        lanes: Lanes,
        take: Take,
        clock: Callable[[], float],
        met: Met = _nobody,
        knows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._jobs = [_job(name, config) for name, config in configs.items()]
        self._open = open
        self._running: dict[Target, _Running] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._left_out: list[str] = []
        self._house = House(
            lanes,
            take,
            met,
            clock,
            knows,
            lambda host: self._labels.get(host, {}),
            asyncio.Semaphore(MOST_LARGE),
            asyncio.Semaphore(MOST_READING),
        )
        self._turns = {
            True: asyncio.Semaphore(MOST_AT_ONCE),
            False: asyncio.Semaphore(MOST_AT_ONCE),
        }

    async def run(self) -> None:
        """Poll until cancelled; then every scrape has ended and every connection is closed."""
        try:
            while True:
                await self._look()
                await self._arrange()
                if all(job.files is None for job in self._jobs):
                    await asyncio.Event().wait()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self.close()

    async def close(self) -> None:
        """End every scrape.  It may be called again."""
        running = list(self._running.values())
        self._running.clear()
        for each in running:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in running), return_exceptions=True)

    def status(self) -> list[TargetStatus]:
        """How every target stands, in the order of the configuration."""
        return [running.scraper.status for running in self._running.values()]

    def complaints(self) -> list[str]:
        """What is wrong with the lists of targets, a sentence each."""
        found = [f"{job.name}: {said}" for job in self._jobs for said in job.complaints]
        return found + self._left_out

    async def _look(self) -> None:
        """Read files of targets that have changed."""
        for job in self._jobs:
            if job.files is None:
                continue
            found = await asyncio.to_thread(job.files.look)
            if found.complaints != job.complaints:
                for said in found.complaints:
                    logger.warning("targets of %s: %s", job.name, said)
            job.listed, job.complaints = found.targets, found.complaints

    async def _arrange(self) -> None:
        """Begin with targets that are new, and end with those that are gone."""
        wanted, left_out = distinct(
            [target for job in self._jobs for target in (*job.named, *job.listed)]
        )
        if left_out != self._left_out:
            for said in left_out:
                logger.warning("targets: %s", said)
        self._left_out = left_out
        self._labels = _by_host(wanted)
        gone = [target for target in self._running if target not in set(wanted)]
        for target in gone:
            running = self._running.pop(target)
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)
        configs = {job.name: job.config for job in self._jobs}
        first = _first_of_host(wanted)
        for target in wanted:
            if target not in self._running:
                self._running[target] = self._begun(
                    target, configs[target.job], first[target.job, target.host] == target
                )
        self._running = {target: self._running[target] for target in wanted}

    def _begun(self, target: Target, config: ScrapeConfig, is_first: bool) -> _Running:
        fetcher = self._open(target, config)
        scraper = Scraper(target, config, self._house, fetcher, is_first=is_first)
        task = asyncio.create_task(self._poll(scraper, config), name=f"scrape {target.instance}")
        return _Running(scraper, task)

    async def _poll(self, scraper: Scraper, config: ScrapeConfig) -> None:
        """One target, again and again.  A turn that was missed is not made up for."""
        loop = asyncio.get_running_loop()
        due = loop.time() + phase(scraper.target, config.interval, self._house.clock())
        try:
            while True:
                await asyncio.sleep(max(0.0, due - loop.time()))
                was = scraper.status
                async with self._turns[was.up is not False]:
                    await _scraped(scraper)
                _tell(was, scraper.status)
                missed = max(0.0, loop.time() - due)
                due += config.interval * (1 + math.floor(missed / config.interval))
        finally:
            await scraper.close()


async def _scraped(scraper: Scraper) -> None:
    """One scrape.  What no one foresaw in one target's answer ends neither it nor the others."""
    try:
        await scraper.scrape()
    except Exception:
        if scraper.status.code != "internal":
            logger.exception("target %s could not be polled", scraper.target.instance)
        scraper.fail("internal", "a fault of this server; its log says more")


def phase(target: Target, interval_seconds: float, now: float) -> float:
    """Seconds from `now` until a target's turn: the same instants of the clock at every start."""
    share = zlib.crc32(f"{target.job} {target.url}".encode()) / 2**32
    return (share * interval_seconds - now) % interval_seconds


def _tell(before: TargetStatus, after: TargetStatus) -> None:
    """One line for each change of a target."""
    if after.up and before.up is False:
        logger.info("target %s of %s answers again", after.instance, after.job)
    elif not after.up and (before.up is not False or before.code != after.code):
        logger.warning(
            "target %s of %s: %s (%s)", after.instance, after.job, after.detail, after.code
        )


def _job(name: str, config: ScrapeConfig) -> _Job:
    labels = dict(config.labels)
    named = tuple(made(name, text, labels) for text in config.targets)
    pattern: Path | None = config.targets_file
    files = TargetFiles(name, pattern, labels) if pattern is not None else None
    return _Job(name, config, named, files)


def _by_host(targets: Iterable[Target]) -> dict[str, dict[str, str]]:
    """The labels of each host, from every target that names it; the later one wins."""
    found: dict[str, dict[str, str]] = {}
    for target in targets:
        found.setdefault(target.host, {}).update(target.labels)
    return found


def _first_of_host(targets: Iterable[Target]) -> dict[tuple[str, str], Target]:
    """The first target of each job and host: the others' series carry an instance too."""
    found: dict[tuple[str, str], Target] = {}
    for target in targets:
        found.setdefault((target.job, target.host), target)
    return found
