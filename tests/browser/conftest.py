"""What the tests of the stream in a browser share: one browser, a profile each, two hosts.

The browser is started once a file, so these tests and fixtures run on their file's own loop.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browser.rig import Rig
from tests.browser.tabs import CPU
from tests.conftest import CHROMIUM_ARGUMENTS, StartServer, faultless


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_browser(chromium: str) -> AsyncIterator[Browser]:
    """One browser for all tests of a file: each has a profile of its own in it."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_ARGUMENTS), headless=True
        )
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(one_browser: Browser) -> Browser:
    """The file's browser, for tests that open their own pages."""
    return one_browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(one_browser: Browser, start_server: StartServer) -> AsyncIterator[Page]:
    """A page in which nothing may go wrong unseen, closed before any server ends."""
    async with faultless(one_browser) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    """A server of two hosts."""
    made = Rig("web-1")
    async with made.serving() as running:
        for host in ("web-1", "web-2"):
            await made.send({CPU: 0.2, "system.memory.utilization": 0.5}, host=host)
        await made.pipeline.tick(time.time())
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def context(one_browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser's profile, in which things may go wrong."""
    made = await one_browser.new_context()
    made.set_default_timeout(15_000)
    yield made
    await made.close()
