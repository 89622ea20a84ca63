"""The agent at work: what is collected goes to the spool, to the server, and to who polls.

Here its parts are put together; each is made elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal

from monitor import __version__
from monitor.agent.about import introduction
from monitor.agent.backlog import Backlog
from monitor.agent.config import AgentConfig, Settings, default_spool
from monitor.agent.dialing import Dialer
from monitor.agent.encoding import Encoder
from monitor.agent.link import Link
from monitor.agent.own import Fares, Sending
from monitor.agent.place import Place
from monitor.agent.sender import Sender
from monitor.agent.slim import give_back
from monitor.agent.spool import Spool
from monitor.agent.spoolfile import Bounds, Kept, SpoolFile
from monitor.agent.tables import PROCESSES_SECONDS, Tables
from monitor.agent.tokens import Tokens, read_token
from monitor.agent.trust import Trust, parse_pin
from monitor.collect import subjects
from monitor.collect.runner import Runner
from monitor.errors import ConfigError
from monitor.model import Frame, Snapshot

FINISH_SECONDS = 3.0
"""How long the end may take while there is something to send."""

KEEP_SECONDS = 1.0
"""How long a frame waits for the disk before it is sent all the same: a disk that hangs holds no
live data up."""

SETTLED_SECONDS = 10.0
"""After which everything that lasts has been made: connections, columns, tables."""

logger = logging.getLogger("monitor.agent")


class Agent:
    """One host's agent.  Making it opens the spool; raises `ConfigError` and `StartError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._push = Push(settings) if settings.agent.server else None
        self._page = None
        if settings.agent.listen:
            # Most agents serve nothing.
            from monitor.agent.listening import Page  # noqa: PLC0415

            self._page = Page(settings.agent)

    async def run(self) -> None:
        """Collect and send until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        agent, collect = self._settings.agent, self._settings.collect
        collectors = subjects.build(collect, table_seconds=PROCESSES_SECONDS)
        if self._push is not None:
            collectors.append(Sending(self._push.fares))
        runner = Runner(collectors, agent.name, collect.interval, self._deliver)
        tasks = [asyncio.create_task(runner.run())]
        try:
            if self._page is not None:
                await self._page.open()
            if self._push is not None:
                tasks.append(asyncio.create_task(self._push.sender.run()))
            stopping = asyncio.create_task(stop.wait())
            loop.call_later(SETTLED_SECONDS, give_back)
            await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # only a fault of our own ends one of them
            logger.info("stopping")
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)
            if self._push is not None:
                await self._push.sender.finish(FINISH_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            runner.close()
            if self._page is not None:
                await self._page.close()
            if self._push is not None:
                await self._push.spool.close()

    async def _deliver(self, frame: Frame, snapshots: list[Snapshot]) -> None:
        if self._page is not None:
            self._page.show(frame)
        if self._push is not None:
            await self._push.take(frame, snapshots)


class Push:
    """Everything that sending needs."""

    def __init__(self, settings: Settings) -> None:
        agent = settings.agent
        folder = agent.spool or default_spool()
        self.spool = Spool(SpoolFile(folder, Bounds(agent.spool_size, agent.spool_age)))
        tokens = Tokens(agent.token_file, folder, agent.name, self.spool.agent)
        self._number = self.spool.last
        self._tables = Tables()
        self._connections = 0
        self.fares = Fares()
        place = Place.parse(agent.server)
        trust = Trust(place, parse_pin(agent.pin) if agent.pin else None, agent.ca, folder)
        name = f"awoooi-monitor-agent/{__version__}"
        link = Link(place, trust, lambda: tokens.text, name)
        boot_id = secrets.token_hex(8)
        period = max(settings.collect.interval, agent.batch)
        info = introduction(period, is_ephemeral=agent.ephemeral)
        self.sender = Sender(
            Dialer(link, tokens, boot_id).dial,
            Encoder(agent.name, self.spool.agent, boot_id, agent.labels, info),
            self.spool,
            Backlog(self.spool.first, self.spool.last),
            agent.batch,
        )
        self._keeping: set[asyncio.Task[None]] = set()
        waiting = self.sender.backlog.count()
        logger.info(
            "%s, agent %s, sends to %s%s",
            agent.name,
            self.spool.agent[:8],
            place,
            f"; {waiting} kept frames wait" if waiting else "",
        )

    async def take(self, frame: Frame, snapshots: list[Snapshot]) -> None:
        """Keep a frame, then send it."""
        self._number += 1
        self._tables.take(snapshots)
        if self._connections != self.sender.connections:
            self._connections = self.sender.connections
            self._tables.renew()
        tables = self._tables.due(frame.at, is_heard=self.sender.is_connected)
        kept = Kept(self._number, frame.at, frame.schema, frame.values, tables)
        keeping = asyncio.create_task(self.spool.keep(kept))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        await asyncio.wait((keeping,), timeout=KEEP_SECONDS)
        self.sender.offer(kept)
        self.fares.waiting = self.sender.waiting
        self.fares.dropped.update(self.spool.dropped)
        self.fares.dropped["refused"] = self.sender.dropped.total()


def link_of(config: AgentConfig) -> Link:
    """A link with no spool behind it, for senders that keep nothing.  Raises `ConfigError`."""
    if not config.server:
        raise ConfigError(["monitor agent: --simulate needs --server URL"])
    place = Place.parse(config.server)
    token = read_token(config.token_file) if config.token_file is not None else None
    trust = Trust(place, parse_pin(config.pin) if config.pin else None, config.ca)
    return Link(place, trust, lambda: token)


async def run(settings: Settings) -> None:
    """Run an agent until it is told to end."""
    with contextlib.suppress(asyncio.CancelledError):
        await Agent(settings).run()
