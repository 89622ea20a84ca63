"""A process that judges until it is killed at a step, for tests.

``python -m tests.alerting.crashing.child PORT`` forks, for each line ``FOLDER STEP SEED``, a
process that judges two hosts over the log in that folder and tells a receiver at the port.  Values
follow from the seed alone, and end low.  A step is before each call of the log and the registry,
and after those that write; the process kills itself there, and says where.  What is appended is
said as soon as it is stored: that is the ledger outside.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from monitor.alerting.judge import Judge
from monitor.core.state import LiveState
from monitor.log.sqlite import open_log
from monitor.model import HostStatus
from monitor.notify.config import RouteConfig
from monitor.notify.dispatch import Notify
from monitor.store.memory import MemoryStore
from tests.alerting.judging import TWO, rules
from tests.frames import frame
from tests.notify.crashing.child import NEVER, Stepped, Steps, Wire, say

HOSTS = ("web-1", "web-2")
TICKS = 7
LAST_TICKS = 4
"""How long everything is low at the end."""

RULES = TWO.replace('for = "10s"', 'for = "1s"')

ALL = NEVER - 1
"""A step that no judge reaches either: it ends where one that is killed would."""


class Named(Steps):
    """Says each step."""

    def __call__(self, name: str) -> None:
        """Count it, and kill where it is the one."""
        say(f"step {name}")
        super().__call__(name)


class Life:
    """Hosts that send, by clocks of their own: a tick is a second, however quickly it goes."""

    def __init__(self, log: Any, registry: Any, seed: int) -> None:
        self.now = time.time()
        self.steady = 100.0
        self.chance = random.Random(seed)
        self.state = LiveState()
        for host in HOSTS:
            known = self.state.recall(host, {}, self.now)
            known.status, known.since = HostStatus.UP, self.now - 1_000
        self.judge = Judge(
            self.state,
            MemoryStore(),
            log,
            registry,
            rules(RULES),
            "monitor",
            lambda _: {},
            lambda: self.now,
            lambda: self.steady,
        )

    async def tick(self, value: float | None = None) -> None:
        """A second passes."""
        self.now += 1
        self.steady += 1
        for host in HOSTS:
            seen = self.chance.choice((10.0, 90.0, 90.0, 99.0)) if value is None else value
            self.state.fold(frame(self.now, {"a.b": seen}, host), (), self.now)
        await self.judge.tick(self.now)


async def live(folder: Path, port: int, last_step: int, seed: int) -> int:
    """Judge to the end, or until killed; how many steps it had."""
    step = Named(last_step)
    log, registry = await open_log(folder)
    wire = Wire(port, folder.name, Steps(NEVER))
    routes = (RouteConfig(channels=("phone",), group_wait=0.0),)
    stepped_log: Any = Stepped(log, "log", step)
    stepped_registry: Any = Stepped(registry, "registry", step)
    life = Life(stepped_log, stepped_registry, seed)
    notify = Notify({"phone": wire}, routes, log, registry, lambda: life.now)
    telling = asyncio.create_task(notify.run())
    async with asyncio.timeout(20):
        while not notify.is_running:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)
    step.arm()
    await life.judge.begin()
    for number in range(TICKS):
        await life.tick()
        notify.wake()
        life.steady += 10 * (number % 4 == 0)  # a checkpoint is due; it counts as a pause
        await life.judge.keep()
    if last_step == NEVER:
        for _ in range(LAST_TICKS):
            await life.tick(10.0)
            notify.wake()
        async with asyncio.timeout(20):
            await asyncio.sleep(0.02)
            while notify.status()[0].waiting:
                life.now += 5  # who was told much is told the rest a minute later
                notify.wake()
                await asyncio.sleep(0.005)
    taken = step.taken
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    await log.close()
    await registry.close()
    return taken


def main() -> None:
    """A fork for each line; it is said how it ended."""
    port = int(sys.argv[1])
    for line in sys.stdin:
        folder, step, seed = line.split()
        child = os.fork()
        if child == 0:
            try:
                say(f"finished {asyncio.run(live(Path(folder), port, int(step), int(seed)))}")
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        say("over")


if __name__ == "__main__":
    main()
