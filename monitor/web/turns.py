"""Turns: how many queries of history run at once, how long one waits and how long one takes.

What is asked of history may be large, and many may ask.  What is read at the same time is bounded
here, so that memory is, and nobody waits for ever.  It knows no query.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from monitor.core.load import Load, Shed
from monitor.errors import Unavailable

MOST_AT_ONCE = 4
"""Queries that run at the same time; the others wait."""

MOST_LARGE_AT_ONCE = 1
"""Of them, those that read more than one answer may hold: some 50 MB each."""

WAIT_SECONDS = 5.0
"""How long one waits for its turn."""

QUERY_SECONDS = 10.0
"""How long one may take, from its beginning to the last byte made."""


class Turns:
    """The places of queries."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._large = asyncio.Semaphore(MOST_LARGE_AT_ONCE)

    @contextlib.asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """The block is cancelled after `QUERY_SECONDS`, and `Unavailable` raised instead."""
        try:
            async with asyncio.timeout(QUERY_SECONDS) as until:
                yield
        except TimeoutError:
            if not until.expired():
                raise
            detail = f"the query takes more than {QUERY_SECONDS:g} s: ask for less at once"
            raise Unavailable(detail, code="query_timeout", limit=QUERY_SECONDS) from None

    @contextlib.asynccontextmanager
    async def taken(self, *, large: bool = False) -> AsyncIterator[None]:
        """Run the block in a place of its own.

        Raises `Unavailable` where none becomes free within `WAIT_SECONDS`, and a 503 where the
        server has too much to do for any.
        """
        self._load.require(Shed.QUERIES)
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    if large:
                        await held.enter_async_context(self._large)
                    await held.enter_async_context(self._places)
            except TimeoutError:
                detail = "as many queries run as may run at once: try again in a moment"
                raise Unavailable(detail, code="busy", limit=MOST_AT_ONCE) from None
            yield
