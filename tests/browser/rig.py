"""A server in this process whose hosts say what a test wants.

Names from outside, late values, ten minutes of history, hosts that appear.

It is the real application on a real socket; only the collectors are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from array import array
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from argon2 import PasswordHasher

from monitor.access.office import Office
from monitor.access.passwords import Passwords
from monitor.core.load import Load
from monitor.core.state import LiveState
from monitor.fleet.fleet import Fleet
from monitor.ingest.intake import Intake
from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.model import Frame, HostStatus, Row, Schema, Snapshot
from monitor.pipeline import Pipeline
from monitor.store.memory import MemoryStore
from monitor.stream.hub import EventPublisher
from monitor.web import assets, server
from monitor.web.app import create_app
from monitor.web.connections import Connections
from monitor.web.door import Door
from monitor.web.forwarded import Proxies
from monitor.web.objects import Objects
from monitor.web.services import Services
from tests.web.alerting import alerting


class Rig:
    """The flow without collectors: `send` is what a collector's frame would be."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.state = LiveState()
        self.store = MemoryStore()
        self.log = MemoryLog()
        self.hub = EventPublisher(self.log, self.state, time.time)
        self.pipeline = Pipeline(self.state, self.store, self.log, self.hub.offer, time.time)
        # Passwords that cost nothing: what they cost is measured where they are made.
        cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        registry = MemoryRegistry()
        self.office = Office(registry, self.log, time.time, cheap)
        self.fleet = Fleet(
            self.state, self.pipeline, registry, self.log, self.store.forget, host, time.time
        )
        self.door = Door(self.office, self.hub, time.time)
        load = Load(2**62)
        self.alerting, self.notify = alerting(self.log, registry)
        self.services = Services(
            state=self.state,
            store=self.store,
            log=self.log,
            hub=self.hub,
            intake=Intake(self.pipeline.accept_all, self.fleet, time.time, load=load),
            load=load,
            assets=assets.load(),
            connections=Connections(),
            door=self.door,
            objects=Objects(self.state, self.office, self.fleet),
            fleet=self.fleet,
            clock=time.time,
            ready=lambda: True,
            host=host,
            alerting=self.alerting,
            notify=self.notify,
        )
        self.url = ""
        self._schemas: dict[tuple[str, ...], Schema] = {}
        self._ending = asyncio.Event()

    def know(self, *hosts: str) -> None:
        """Hosts that are up already, so that nothing is logged of their first frames."""
        for name in hosts:
            self.state.label(name, {})
            self.state.hosts[name].status = HostStatus.UP

    async def send(
        self,
        metrics: Mapping[str, float],
        snapshots: Mapping[str, Sequence[Row]] | None = None,
        *,
        host: str = "",
        at: float = 0.0,
    ) -> None:
        """One frame of a host, now or at an instant, with its tables."""
        name, at = host or self.host, at or time.time()
        texts = tuple(metrics)
        schema = self._schemas.setdefault(texts, Schema(texts))
        tables = [Snapshot(name, at, kind, tuple(rows)) for kind, rows in (snapshots or {}).items()]
        await self.pipeline.accept(Frame(name, at, schema, array("d", metrics.values())), tables)

    async def _shutdown(self) -> None:
        await self._ending.wait()
        await self.hub.stop()

    @contextlib.asynccontextmanager
    async def serving(
        self,
        port: int = 0,
        context: Callable[[], ssl.SSLContext] | None = None,
        proxies: Proxies | None = None,
    ) -> AsyncIterator[Rig]:
        """Serve on loopback while the block runs; with `context` over TLS."""
        listening: socket.socket = server.listener("127.0.0.1", port)
        self.url = server.url(listening, "https" if context else "http")
        await self.hub.start()
        served = asyncio.create_task(
            server.serve(
                create_app(self.services, proxies=proxies),
                listening,
                self.services.connections,
                self._shutdown,
                context,
            )
        )
        try:
            yield self
        finally:
            self._ending.set()
            await served
            await self.hub.stop()
            await self.log.close()
            await self.store.close()
