"""Tabs of a browser: pages that are live, that only listen, or whose clock a test sets forward."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

from playwright.async_api import BrowserContext, Page, expect

from monitor.core import messages
from tests.browser.rig import Rig

CPU = "system.cpu.utilization"
NUMBER = f"[data-key='{CPU}'] > span"
LOST = "Not live"
BLOCKED = "▲ Stream blocked by a proxy: refreshed every 5 s"

WITHOUT_WORKER = "delete globalThis.SharedWorker"
"""A browser that has no shared workers; and one whose clock a test can set, which reaches pages
and not workers."""

HEAR = """async ([topics, position]) => {
  const home = await (await fetch("/", { headers: { Accept: "text/html" } })).text();
  const [, version] = home.match(/data-version="([0-9a-f]+)"/);
  const { connect } = await import("/static/js/tab.js");
  globalThis.heard = [];
  globalThis.states = [];
  globalThis.leaving = new AbortController();
  const listener = {
    onMessage: (message) => heard.push(message),
    onState: (state) => states.push(state),
  };
  connect({ topics, position, version }, listener, leaving.signal);
}"""
"""Hears a stream as the pages do, with whom it shares a worker, and keeps what it heard."""

_numbers = itertools.count()


async def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        await asyncio.sleep(0.01)


async def opened(context: BrowserContext, url: str) -> Page:
    """A tab that is live."""
    page = await context.new_page()
    await page.goto(url)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    return page


async def hearing(context: BrowserContext, url: str, *topics: str, position: str = "") -> Page:
    """A tab that does nothing but hear some topics."""
    page = await context.new_page()
    await page.goto(f"{url}/healthz")
    await page.evaluate(HEAR, [list(topics), position])
    return page


async def heard(page: Page, *types: str) -> list[dict[str, Any]]:
    """What such a tab has heard so far of some types."""
    found: list[dict[str, Any]] = await page.evaluate("heard")
    return [message for message in found if message["type"] in types]


async def has_heard(page: Page, type_: str, count: int = 1) -> None:
    """Wait until such a tab has heard so many of a type."""
    await page.wait_for_function(
        "([type, count]) => heard.filter((m) => m.type === type).length >= count",
        arg=[type_, count],
    )


async def notify(rig: Rig, *texts: str) -> None:
    """Log notices."""
    made = [
        messages.event(
            messages.Notice(kind="server", text=text), time.time(), f"{rig.host}-{next(_numbers)}"
        )
        for text in texts
    ]
    await rig.log.append(made)


async def clocked(context: BrowserContext, url: str) -> Page:
    """A live page with a stream of its own, and a clock that a test can set forward."""
    page = await context.new_page()
    await page.add_init_script(WITHOUT_WORKER)
    await page.clock.install()
    await page.goto(url)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    return page


async def pass_seconds(page: Page, seconds: int) -> None:
    """Set a page's clock forward, in steps that leave the network its time."""
    for _ in range(0, seconds, 2):
        await page.clock.run_for(2_000)
        await asyncio.sleep(0.02)


async def hurry(page: Page) -> None:
    """Have a page connect at once: how long a browser waits is not the clock's to set forward."""
    await page.clock.run_for(1_100)
    await page.evaluate("dispatchEvent(new Event('online'))")
