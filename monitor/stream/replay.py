"""Brings readers that are further behind than the ring forward, page by page from the log.

One task for all of them: each gets a page in its turn, and readers that stand at the same
position share what was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from monitor.errors import MonitorError, Unavailable
from monitor.model import Event
from monitor.ports import EventLog, Gap
from monitor.stream.reader import SSEClient
from monitor.stream.ring import EVERYTHING, Hearing
from monitor.stream.speech import logger
from monitor.stream.wire import Block

PAGE_EVENTS = 256
"""What one read of the log brings."""

PAGES = 16
"""Pages kept for readers at the same position."""

PAGE_SECONDS = 1.0
"""And for how long: the log may let go of what they hold."""

BUSY_SECONDS = 0.1
"""How long a log that is busy is left alone."""

Page = tuple[Block, int]
"""A page as readers get it, and the position that it leads to."""


def asked(topics: frozenset[str]) -> frozenset[str] | None:
    """The topics as the log is asked for them."""
    return None if EVERYTHING in topics else topics


class Replay:
    """Readers that wait for a page.

    `made` turns events into what readers of a hearing get.  `arrived` is called with each page,
    `lost` where the log has let go of what a reader was owed, `failed` where it cannot be read.
    """

    def __init__(
        self,
        log: EventLog,
        made: Callable[[Sequence[Event], Hearing], Block],
        arrived: Callable[[SSEClient, Block, int], None],
        lost: Callable[[SSEClient], None],
        failed: Callable[[SSEClient], None],
    ) -> None:
        self._log = log
        self._made = made
        self._arrived = arrived
        self._lost = lost
        self._failed = failed
        self._waiting: dict[SSEClient, None] = {}
        self._asked = asyncio.Event()
        self._pages: dict[tuple[int, Hearing], tuple[float, Page]] = {}

    def ask(self, client: SSEClient) -> None:
        """A reader wants the page after its position."""
        self._waiting[client] = None
        self._asked.set()

    async def run(self) -> None:
        """Serve whoever asks, until cancelled."""
        while True:
            await self._asked.wait()
            while self._waiting:
                client = next(iter(self._waiting))
                del self._waiting[client]
                if _wants(client):
                    await self._serve(client)
            self._pages.clear()
            self._asked.clear()

    async def _serve(self, client: SSEClient) -> None:
        after = client.position
        try:
            page, position = await self._page(after, client.audience.hearing)
        except Gap:
            outcome = partial(self._lost, client)
        except Unavailable as error:
            if error.code == "log_busy":
                await asyncio.sleep(BUSY_SECONDS)
                self.ask(client)
                return
            logger.warning("the log could not be read for a reader: %s", error.detail)
            outcome = partial(self._failed, client)
        except MonitorError as error:
            logger.warning("the log could not be read for a reader: %s", error.detail)
            outcome = partial(self._failed, client)
        else:
            outcome = partial(self._arrived, client, page, position)
        # The ring may have brought it further meanwhile.
        if client.position == after and not client.is_live:
            outcome()

    async def _page(self, after: int, hearing: Hearing) -> Page:
        now = asyncio.get_running_loop().time()
        known = self._pages.get((after, hearing))
        if known is not None and now - known[0] < PAGE_SECONDS:
            return known[1]
        events, position, _ = await self._log.read(after, asked(hearing.topics), PAGE_EVENTS)
        page = self._made(events, hearing), position
        while len(self._pages) >= PAGES:
            del self._pages[next(iter(self._pages))]
        self._pages[after, hearing] = now, page
        return page


def _wants(client: SSEClient) -> bool:
    """Whether a reader is still to be given a page: it may have asked twice, or be gone."""
    return client.is_here and not (client.is_live or client.is_slow or client.pending)
