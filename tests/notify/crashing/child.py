"""A process that tells of alerts until it is killed at a step, for tests.

``python -m tests.notify.crashing.child PORT`` forks, for each line ``FOLDER STEP``, a process that
plays a story over the log in that folder: two alerts fire, one of them ends.  Whatever the story
finds done it does not do again, so that another run goes on where one was killed.  A step is
before each call of the log, the registry and the channel, and after those that write; the process
kills itself there, and says where.  What is told goes to a receiver at the port, outside of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monitor.core.messages import event
from monitor.log.sqlite import open_log
from monitor.notify.channel import DELIVERED, Notification, Outcome
from monitor.notify.config import RouteConfig
from monitor.notify.dispatch import Notify
from monitor.ports import EventLog
from tests.notify.alerts import said

NEVER = 1_000_000
"""A step that no story reaches."""

STORY_SECONDS = 20.0

WRITING = {"append", "save", "delete"}
"""Calls after which there is a step, too; after others nothing is other than before."""


def say(line: str) -> None:
    """One line, whole, whatever happens next."""
    os.write(1, f"{line}\n".encode())


class Steps:
    """Counts steps, and kills this process at one of them; before it is armed it counts none."""

    def __init__(self, last: int) -> None:
        self._last = last
        self.taken = -1

    def arm(self) -> None:
        """From here on steps count."""
        self.taken = 0

    def __call__(self, name: str) -> None:
        if self.taken < 0:
            return
        self.taken += 1
        if self.taken == self._last:
            say(f"killed {name}")
            os.kill(os.getpid(), signal.SIGKILL)


class Stepped:
    """Does what another does, with a step before and after each of its calls."""

    def __init__(self, real: Any, name: str, step: Steps) -> None:
        self._real, self._name, self._step = real, name, step

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def stepped(*given: Any) -> Any:
            self._step(f"before {self._name}.{name}")
            result = await method(*given)
            if name in WRITING:
                self._step(f"after {self._name}.{name}")
            return result

        return stepped


class Wire:
    """A channel to the receiver."""

    kind = name = "phone"
    target = "loopback"

    def __init__(self, port: int, folder: str, step: Steps) -> None:
        self._port, self._folder, self._step = port, folder, step

    async def deliver(self, notification: Notification) -> Outcome:
        """One line there, one line back."""
        told = [
            [each.alert.alert, "ended" if each.is_resolved else "fires", each.fired_at]
            for each in notification.told
        ]
        body = {"folder": self._folder, "key": notification.key, "at": notification.at}
        self._step("before the delivery")
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(json.dumps(body | {"told": told}).encode() + b"\n")
        await writer.drain()
        self._step("once it is sent")
        await reader.readline()
        writer.close()
        self._step("once it has arrived")
        return DELIVERED

    async def close(self) -> None:
        """Nothing is held."""


class Story:
    """What happens, as far as it has not."""

    def __init__(self, log: EventLog, notify: Notify) -> None:
        self._log, self._notify = log, notify

    async def play(self) -> None:
        """Two fire and are told; one ends and is told."""
        await self._until(lambda _: self._notify.is_running)
        await self._judge("a1", "firing", rule="one")
        await self._judge("b1", "firing", rule="two")
        await self._until(lambda told: {"a1", "b1"} <= told["alerts"])
        await self._judge("a1", "resolved", rule="one")
        await self._until(lambda told: "a1" in told["resolved"])
        await self._until(lambda _: not self._notify.status()[0].waiting)

    async def _events(self) -> list[Mapping[str, Any]]:
        page, _, _ = await self._log.read(0, None, 1_000)
        return [each.data for each in page]

    async def _judge(self, id_: str, state: Any, **more: Any) -> None:
        for data in await self._events():
            if (data.get("alert"), data.get("state")) == (id_, state):
                return
        now = time.time()
        message = said(id_, state=state, since=now, fired=now, **more)
        await self._log.append([event(message, now, f"{id_}-{state}")])
        self._notify.wake()

    async def _until(self, holds: Callable[[dict[str, set[str]]], bool]) -> None:
        async with asyncio.timeout(STORY_SECONDS):
            while True:
                told: dict[str, set[str]] = {"alerts": set(), "resolved": set()}
                for data in await self._events():
                    for name, ids in told.items():
                        ids.update((data.get("details") or {}).get(name, ()))
                if holds(told):
                    return
                await asyncio.sleep(0.002)


async def play(folder: Path, port: int, last_step: int) -> int:
    """The story until its end, or until killed; how many steps it had."""
    step = Steps(last_step)
    log, registry = await open_log(folder)
    wire = Wire(port, folder.name, step)
    routes = (RouteConfig(channels=("phone",), group_wait=0.0),)
    stepped_log: Any = Stepped(log, "log", step)
    stepped_registry: Any = Stepped(registry, "registry", step)
    if not await registry.keys("checkpoint/"):
        await _begun({"phone": wire}, routes, log, registry)
    step.arm()
    notify = Notify({"phone": wire}, routes, stepped_log, stepped_registry, time.time)
    telling = asyncio.create_task(notify.run())
    await Story(log, notify).play()
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    taken = step.taken
    await log.close()
    await registry.close()
    return taken


async def _begun(channels: Any, routes: Any, log: Any, registry: Any) -> None:
    """The channel is there from before: it has a checkpoint."""
    notify = Notify(channels, routes, log, registry, time.time)
    telling = asyncio.create_task(notify.run())
    await Story(log, notify)._until(lambda _: notify.is_running)
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)


def main() -> None:
    """A fork for each line; it is said how it ended."""
    port = int(sys.argv[1])
    for line in sys.stdin:
        folder, step = line.split()
        child = os.fork()
        if child == 0:
            try:
                say(f"finished {asyncio.run(play(Path(folder), port, int(step)))}")
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        say("over")


if __name__ == "__main__":
    main()
