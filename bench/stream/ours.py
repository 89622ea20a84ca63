"""This project's server, whole but for its collectors, publishing what the bench asks for.

An alert goes into the log, a burst into it with one append, a tick is a frame of every host
that the pipeline accepts: the ways that they have in the program.  With a folder as argument
the log is kept there, durable, as the program has it; without one it is in memory.
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from pathlib import Path
from typing import cast

import msgspec

from bench.stream import control, payloads
from monitor import bootstrap
from monitor.access.office import Office
from monitor.core import messages
from monitor.core.headline import HEADLINE_KEYS
from monitor.core.state import LiveState
from monitor.fleet.fleet import Fleet
from monitor.ingest.intake import Intake
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.log.sqlite import open_log
from monitor.model import Event, Frame, Schema
from monitor.pipeline import Pipeline
from monitor.ports import EventLog
from monitor.store.memory import MemoryStore
from monitor.stream.hub import EventPublisher
from monitor.web import assets, server
from monitor.web.app import create_app
from monitor.web.connections import Connections
from monitor.web.door import Door
from monitor.web.objects import Objects
from monitor.web.services import Services


class Ours:
    """The flow without collectors."""

    def __init__(self, log: EventLog) -> None:
        self._state = LiveState()
        self._store = MemoryStore()
        self._log = log
        self.hub = EventPublisher(self._log, self._state, time.time)
        self._pipeline = Pipeline(self._state, self._store, self._log, self.hub.offer, time.time)
        registry = MemoryRegistry()
        office = Office(registry, self._log, time.time)
        fleet = Fleet(
            self._state, self._pipeline, registry, self._log, self._forget, "web-00", time.time
        )
        self.door = Door(office, self.hub, time.time)
        self.services = Services(
            state=self._state,
            store=self._store,
            log=self._log,
            hub=self.hub,
            intake=Intake(self._pipeline.accept_all, fleet, time.time),
            assets=assets.load(),
            connections=Connections(),
            door=self.door,
            objects=Objects(self._state, office, fleet),
            fleet=fleet,
            clock=time.time,
            ready=lambda: True,
            host="web-00",
        )
        self._schema = Schema(HEADLINE_KEYS)
        self._made = payloads.Numbered()
        self._commands: asyncio.Queue[str] = asyncio.Queue()

    def command(self, command: str) -> None:
        """Publish what it asks for, soon."""
        self._commands.put_nowait(command)

    async def run(self) -> None:
        """Carry out the commands."""
        while True:
            command = await self._commands.get()
            if command == "t":
                await self._tick()
            else:
                await self._log.append(
                    [_event(data, number) for _, data, number in self._made.made(command)]
                )

    async def _forget(self, host: str) -> None:
        """There is nothing to forget."""

    async def _tick(self) -> None:
        for _, data, number in self._made.made("t"):
            at = cast("float", data["at"])
            for host in range(payloads.TICK_HOSTS):
                numbers = array("d", payloads.values(number, host))
                frame = Frame(f"web-{host:02d}", at, self._schema, numbers)
                await self._pipeline.accept(frame, [])


def _event(data: dict[str, object], number: int) -> Event:
    alert = msgspec.convert(data, messages.Alert)
    return messages.event(alert, time.time(), f"{number:016x}")


async def main() -> None:
    """Serve until killed."""
    ours = Ours((await open_log(Path(sys.argv[1])))[0] if len(sys.argv) > 1 else MemoryLog())
    listening = server.listener("127.0.0.1", 0)
    await ours.hub.start()
    publishing = asyncio.create_task(ours.run())
    ours.command("t")  # hosts are known before anybody asks for them
    bootstrap.keep_the_loop_free()  # as `serve` does
    control.announce(listening.getsockname()[1], await control.listen(ours.command))

    async def never() -> None:
        await asyncio.Event().wait()

    await server.serve(create_app(ours.services), listening, ours.services.connections, never)
    publishing.cancel()


if __name__ == "__main__":
    control.allow_many_descriptors()
    asyncio.run(main())
