"""Brings readers that are further behind than the ring forward, page by page from the log.

One task for all of them: each gets a page in its turn, and readers that stand at the same
position share what was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from monitor.errors import MonitorError
from monitor.ports import EventLog, Gap
from monitor.stream.reader import SSEClient
from monitor.stream.ring import EVERYTHING, Ringed
from monitor.stream.speech import Speech, logger

PAGE_EVENTS = 256
"""What one read of the log brings."""

PAGES = 16
"""Pages kept for readers at the same position."""

PAGE_SECONDS = 1.0
"""And for how long: the log may let go of what they hold."""

Page = tuple[list[Ringed], int]


def asked(topics: frozenset[str]) -> frozenset[str] | None:
    """The topics as the log is asked for them."""
    return None if EVERYTHING in topics else topics


class Replay:
    """Readers that wait for a page.

    `arrived` is called with each page and the position that it leads to, `lost` where the log
    has let go of what a reader was owed, `failed` where the log cannot be read.
    """

    def __init__(
        self,
        log: EventLog,
        speech: Speech,
        arrived: Callable[[SSEClient, list[Ringed], int], None],
        lost: Callable[[SSEClient], None],
        failed: Callable[[SSEClient], None],
    ) -> None:
        self._log = log
        self._speech = speech
        self._arrived = arrived
        self._lost = lost
        self._failed = failed
        self._waiting: dict[SSEClient, None] = {}
        self._asked = asyncio.Event()
        self._pages: dict[tuple[int, frozenset[str]], tuple[float, Page]] = {}

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
                # It may have asked again while its page was on the way, and be live by now.
                if client.sink is not None and not client.is_live:
                    await self._serve(client)
            self._asked.clear()

    async def _serve(self, client: SSEClient) -> None:
        after = client.position
        try:
            events, position = await self._page(after, client.topics)
        except Gap:
            outcome = partial(self._lost, client)
        except MonitorError as error:
            logger.warning("the log could not be read for a reader: %s", error.detail)
            outcome = partial(self._failed, client)
        else:
            outcome = partial(self._arrived, client, events, position)
        # The ring may have brought it further meanwhile.
        if client.position == after and not client.is_live:
            outcome()

    async def _page(self, after: int, topics: frozenset[str]) -> Page:
        now = asyncio.get_running_loop().time()
        known = self._pages.get((after, topics))
        if known is not None and now - known[0] < PAGE_SECONDS:
            return known[1]
        events, position, _ = await self._log.read(after, asked(topics), PAGE_EVENTS)
        page = [self._speech.logged(event) for event in events], position
        while len(self._pages) >= PAGES:
            del self._pages[next(iter(self._pages))]
        self._pages[after, topics] = now, page
        return page
