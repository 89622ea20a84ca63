"""A server's rooms below the web, for targets that are polled: real ones, in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Self

from monitor.core.state import HostState, LiveState
from monitor.fleet.fleet import Fleet
from monitor.ingest.intake import Intake
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.pipeline import Pipeline
from monitor.scrape import scraper
from monitor.scrape.config import ScrapeConfig
from monitor.scrape.fetching import Fetchers
from monitor.scrape.poller import Poller
from monitor.scrape.scraper import Scraper, TargetStatus
from monitor.scrape.targets import made
from monitor.store.memory import MemoryStore

OWN = "hub"

WAIT_SECONDS = 15.0
"""How long something may take that is awaited: far more than it does."""


class House:
    """Everything that a `Poller` hands frames to."""

    def __init__(self) -> None:
        self.state = LiveState()
        self.store = MemoryStore()
        self.log = MemoryLog()
        self.pipeline = Pipeline(self.state, self.store, self.log, lambda: None, time.time)
        self.fleet = Fleet(
            self.state,
            self.pipeline,
            MemoryRegistry(),
            self.log,
            self.store.forget,
            OWN,
            time.time,
        )
        self.intake = Intake(self.pipeline.accept_all, self.fleet, time.time)

    def poller(self, configs: Mapping[str, ScrapeConfig]) -> Poller:
        return Poller(
            configs,
            Fetchers(Guard(), Resolver()),
            self.intake.lanes,
            self.intake.take,
            time.time,
            self.fleet.met,
            self.state.hosts.__contains__,
        )

    def scraper(self, target: str, config: ScrapeConfig) -> Scraper:
        """One target, to be scraped by hand."""
        found = made("app", target)
        shared = scraper.House(
            self.intake.lanes,
            self.intake.take,
            self.fleet.met,
            time.time,
            self.state.hosts.__contains__,
            lambda _: {},
            asyncio.Semaphore(1),
            asyncio.Semaphore(1),
        )
        return Scraper(found, config, shared, Fetchers(Guard(), Resolver())(found, config))

    def host(self, name: str = "127.0.0.1") -> HostState:
        return self.state.hosts[name]


class Polling:
    """A poller at work, until the block ends."""

    def __init__(self, house: House, configs: Mapping[str, ScrapeConfig]) -> None:
        self.poller = house.poller(configs)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.poller.run())
        await self.until(self.poller.status)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        assert self._task.cancelled(), "it ended by itself"

    def status(self, host_or_instance: str) -> TargetStatus:
        return next(
            each for each in self.poller.status() if host_or_instance in (each.host, each.instance)
        )

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():  # noqa: ASYNC110 - what is awaited is other rooms' business
                await asyncio.sleep(0.01)
