"""A judge on a stage: hosts whose values are set by hand, clocks that are moved by hand.

A restart is another judge on the same log and registry, over hosts that are known again and silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.alerting.drafts import drafts
from monitor.alerting.judge import Judge
from monitor.core.book import Book
from monitor.core.rules.ruleset import RuleSet
from monitor.core.state import LiveState
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.model import EventType, HostStatus
from monitor.store.memory import MemoryStore
from tests.frames import frame

START = 1_700_000_000.0
OWN = "monitor"

HOT = '[rules.hot]\nmetric = "a.b"\nwarning = { above = 80, clear_below = 70 }\nfor = "10s"\n'
TWO = '[rules.hot]\nmetric = "a.b"\nwarning.above = 80\ncritical.above = 95\nfor = "10s"\n'
NOW = '[rules.hot]\nmetric = "a.b"\nwarning.above = 80\n'


def rules(text: str) -> RuleSet:
    """The rules of a text, without the shipped ones."""
    return RuleSet({rule.name: rule for rule in drafts(text)}) if text else RuleSet()


class Stage:
    """One judge, and all that it stands on."""

    def __init__(self, text: str = HOT, log: Any = None, registry: Any = None) -> None:
        self.text = text
        self.wall = START
        self.steady = 50.0
        self.log: Any = log or MemoryLog()
        self.registry: Any = registry or MemoryRegistry()
        self.values: dict[str, dict[str, float]] = {}
        self.state = LiveState()
        self.judge = self._made()

    def _made(self) -> Judge:
        return Judge(
            self.state,
            MemoryStore(),
            self.log,
            self.registry,
            rules(self.text),
            OWN,
            lambda _: {},
            lambda: self.wall,
            lambda: self.steady,
        )

    def hear(self, host: str, values: Mapping[str, float]) -> None:
        """A host sends a frame now."""
        state = self.state.fold(frame(self.wall, values, host), (), self.wall)
        if state.status is not HostStatus.UP:
            state.status, state.since = HostStatus.UP, self.wall

    async def tick(self) -> None:
        """A second passes, in which every host sends what it has."""
        self.wall += 1
        self.steady += 1
        for host, values in self.values.items():
            self.hear(host, values)
        await self.judge.tick(self.wall)

    async def live(self, seconds: int, value: float | None = None, host: str = "web-1") -> None:
        """Seconds pass, in which a host's a.b is so much."""
        if value is not None:
            self.values[host] = {"a.b": value}
        for _ in range(seconds):
            await self.tick()

    async def restart(self, text: str | None = None, away: float = 30.0) -> None:
        """This process ends, however it did; another begins after a while."""
        self.wall += away
        self.steady = 7.0
        self.text = self.text if text is None else text
        before, self.state = self.state, LiveState()
        for name, host in before.hosts.items():
            known = self.state.recall(name, host.labels, self.wall)
            known.status, known.since, known.at = host.status, host.since, host.at
        self.judge = self._made()
        await self.judge.begin()

    async def events(self) -> list[Mapping[str, Any]]:
        """What the log has of alerts."""
        found: list[Mapping[str, Any]] = []
        position = 0
        while True:
            page, searched, _ = await self.log.read(position, None, 1_000)
            found += [each.data for each in page if each.type is EventType.ALERT]
            if not page:
                return found
            position = max(searched, page[-1].sequence)

    async def told(self) -> list[str]:
        """What the log has of alerts, in words."""
        return [f"{each['was']} {each['state']} {each['severity']}" for each in await self.events()]

    async def folded(self) -> Book:
        """The book of whoever reads the log from its beginning."""
        book = Book()
        page, _, _ = await self.log.read(0, None, 1_000)
        for each in page:
            book.fold(each)
        return book
