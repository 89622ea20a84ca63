"""All tabs of a browser on one stream: each hears what is its own, all of it, and once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import msgspec
import pytest
from playwright.async_api import BrowserContext, expect

from monitor.core import messages
from monitor.core.events import position_text
from monitor.model import EventType
from tests.browser.proxy import Proxy
from tests.browser.rig import Rig
from tests.browser.tabs import (
    CPU,
    NUMBER,
    eventually,
    has_heard,
    heard,
    hearing,
    notify,
    opened,
)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_ten_tabs_are_live_on_one_connection(rig: Rig, context: BrowserContext) -> None:
    """It must be that tabs share a stream, and that it ends with the last of them."""
    paths = ["/", "/hosts/web-1"] * 5
    pages = await asyncio.gather(*(opened(context, rig.url + path) for path in paths))
    await eventually(lambda: rig.hub.client_count == 1)
    await rig.send({CPU: 0.777, "system.memory.utilization": 0.5})
    for page in pages:
        await expect(page.locator(NUMBER).first).to_have_text("77.7")
    eleventh = await context.new_page()
    await eleventh.goto(f"{rig.url}/healthz")
    took = await eleventh.evaluate(
        """async () => {
          const start = performance.now();
          await (await fetch("/api/v1/hosts")).json();
          return performance.now() - start;
        }"""
    )
    assert took < 1_000
    assert rig.hub.client_count == 1
    await pages.pop().close()
    await rig.send({CPU: 0.333, "system.memory.utilization": 0.5})
    for page in pages:
        await expect(page.locator(NUMBER).first).to_have_text("33.3")
    assert rig.hub.client_count == 1
    await asyncio.gather(*(page.close() for page in pages))
    await eventually(lambda: rig.hub.client_count == 0, seconds=1.0)


async def test_each_tab_gets_what_is_its_own_once(rig: Rig, context: BrowserContext) -> None:
    """It must be that a tab on another host's page changes nothing for those that are there."""
    start = position_text(rig.log.epoch, 0)
    first = await hearing(context, rig.url, "fleet", "log", position=start)
    await has_heard(first, "host_update", 2)
    await notify(rig, "one", "two")
    await has_heard(first, "notice", 2)
    here = position_text(rig.log.epoch, await rig.log.last())
    second = await hearing(context, rig.url, "host:web-2", position=here)
    await has_heard(second, "metric_update")
    late = await hearing(context, rig.url, "log", position=start)
    await has_heard(late, "notice", 2)
    await notify(rig, "three")
    for page in (first, late):
        await has_heard(page, "notice", 3)
        notices = await heard(page, "notice")
        assert [notice["data"]["text"] for notice in notices] == ["one", "two", "three"]
        assert len(await heard(page, "host_update")) == 2
    assert len(await heard(first, "connected")) == 1
    assert await heard(second, "notice", "host_update") == []
    assert {update["data"].get("host") for update in await heard(second, "metric_update")} == {
        "web-2"
    }
    assert await heard(late, "metric_update") == []
    await eventually(lambda: rig.hub.client_count == 1)


async def test_a_new_tab_has_the_state_before_its_first_change(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that whoever joins a stream that runs sees all values first, then changes."""
    await rig.send({CPU: 0.2}, {"system": [{"os": "said once"}]})

    async def change() -> None:
        for step in itertools.count():
            await rig.send({CPU: step % 100 / 100})
            await asyncio.sleep(0.02)

    changing = asyncio.create_task(change())
    try:
        for _ in range(3):
            page = await hearing(context, rig.url, "host:web-1")
            await has_heard(page, "metric_update", 4)
            first, *others = await heard(page, "metric_update")
            assert first["snapshot"]
            assert first["data"]["snapshots"] == {"system": [{"os": "said once"}]}
            assert not any(update["snapshot"] for update in others)
            assert not any(update["data"]["snapshots"] for update in others)
            assert (await page.evaluate("heard[0].type")) == "connected"
    finally:
        changing.cancel()


async def test_state_that_bears_a_logged_type_arrives(rig: Rig, context: BrowserContext) -> None:
    """It must be that a pending alert, which has no place in the log, is no repetition of one."""
    page = await hearing(context, rig.url, "alerts", "log")
    await has_heard(page, "connected")
    await notify(rig, "before")
    await has_heard(page, "notice")
    for value in (0.91, 0.92):
        pending = messages.Alert(
            alert="a1",
            rule="cpu_busy",
            host="web-1",
            attributes={},
            state="pending",
            was=None,
            severity="warning",
            value=value,
            since=1.0,
        )
        rig.hub.show("alerts", "a1", EventType.ALERT, msgspec.to_builtins(pending))
        await page.wait_for_function(
            "(value) => heard.some((m) => m.type === 'alert' && m.data.value === value)", arg=value
        )
    assert {alert["id"] for alert in await heard(page, "alert")} == {""}


async def test_a_topic_that_is_refused_costs_the_other_tabs_nothing(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that one tab's unknown host leaves the others live, and comes when it is known."""
    live = await opened(context, f"{rig.url}/")
    page = await hearing(context, rig.url, "host:young")
    await page.wait_for_function("() => states.includes('refused')")
    await rig.send({CPU: 0.444})
    await expect(live.locator(NUMBER).first).to_have_text("44.4")
    assert await live.locator("[data-live]").text_content() == "Live"
    await rig.send({CPU: 0.5}, host="young")
    await has_heard(page, "metric_update")
    assert await page.evaluate("states.at(-1)") == "live"


@pytest.mark.parametrize("crashing", [0, 1])
async def test_a_tab_that_crashes_is_forgotten(
    rig: Rig, context: BrowserContext, crashing: int
) -> None:
    """It must be that who never says goodbye costs the others nothing, nor is streamed to.

    The first tab takes the worker with it, which lives in that tab's process.
    """
    async with Proxy(rig.url).serving() as proxy:
        pages = [await opened(context, f"{proxy.url}/hosts/web-{n}") for n in (1, 2)]
        session = await context.new_cdp_session(pages[crashing])
        with contextlib.suppress(Exception):  # the answer never comes: that is the crash
            await asyncio.wait_for(session.send("Page.crash"), 0.5)
        await opened(context, f"{proxy.url}/")
        left = f"web-{2 - crashing}"
        await rig.send({CPU: 0.555}, host=left)
        await expect(pages[1 - crashing].locator(NUMBER).first).to_have_text("55.5")
        assert f"topics=alerts,fleet,host:{left}&" in proxy.asked[-1]
        await eventually(lambda: rig.hub.client_count == 1)


async def test_a_page_that_comes_back_from_the_cache_is_live_again(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that a page lets go when it is left, and joins anew when it is shown again."""
    page = await opened(context, f"{rig.url}/hosts/web-1")
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    await eventually(lambda: rig.hub.client_count == 0)
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    await eventually(lambda: rig.hub.client_count == 1)
    await rig.send({CPU: 0.555})
    await expect(page.locator(NUMBER).first).to_have_text("55.5")


async def test_a_worker_that_does_not_answer_is_done_without(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that a page whose worker cannot start opens a stream of its own."""
    page = await context.new_page()
    await page.add_init_script(
        """globalThis.SharedWorker = class extends EventTarget {
          constructor() { super(); this.port = new MessageChannel().port1; }
        }"""
    )
    await page.clock.install()
    await page.goto(f"{rig.url}/hosts/web-1")
    assert rig.hub.client_count == 0
    await page.clock.run_for(3_100)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await rig.send({CPU: 0.666})
    await expect(page.locator(NUMBER).first).to_have_text("66.6")
