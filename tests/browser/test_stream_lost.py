"""A stream that is lost, withheld, refused or cut: the page says so, and comes back by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from playwright.async_api import BrowserContext, Route, expect

from monitor.model import HostStatus
from monitor.stream import delivery
from tests import serving
from tests.browser.proxy import Mode, Proxy
from tests.browser.rig import Rig
from tests.browser.tabs import (
    BLOCKED,
    CPU,
    LOST,
    NUMBER,
    WITHOUT_WORKER,
    clocked,
    eventually,
    has_heard,
    heard,
    hearing,
    hurry,
    notify,
    opened,
    pass_seconds,
)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_the_end_of_a_lease_alarms_nobody(
    rig: Rig, context: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a stream that ends by plan is back unnoticed, with everything in between."""
    monkeypatch.setattr(delivery, "LEASE_SECONDS", (0.3, 0.4))
    page = await hearing(context, rig.url, "log")
    await has_heard(page, "connected")
    monkeypatch.undo()
    await eventually(lambda: rig.hub.client_count == 0)
    await notify(rig, "while it was away")
    await has_heard(page, "notice")
    assert len(await heard(page, "connected")) == 2
    assert not any("gap" in said["data"] for said in await heard(page, "connected"))
    assert set(await page.evaluate("states")) == {"live"}


async def test_a_withheld_stream_is_polled_until_it_speaks(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that behind a proxy that buffers, numbers move, and the page says how."""
    async with Proxy(rig.url).serving() as proxy:
        page = await clocked(context, f"{proxy.url}/hosts/web-1")
        banner, number = page.locator("[data-live]"), page.locator(NUMBER).first
        proxy.mode = Mode.BUFFER
        proxy.cut()
        await expect(banner).to_contain_text(LOST)
        await hurry(page)
        await page.clock.run_for(8_100)
        await expect(banner).to_have_text(BLOCKED)
        for share, text in ((0.611, "61.1"), (0.622, "62.2")):
            await rig.send({CPU: share})
            await page.clock.run_for(6_100)
            await expect(number).to_have_text(text)
        assert await banner.text_content() == BLOCKED
        before = proxy.streams
        await pass_seconds(page, 20)
        assert proxy.streams <= before + 1
        proxy.mode = Mode.PASS
        before = proxy.streams
        for _ in range(0, 90, 2):
            if proxy.streams == before:  # from then on it is the network's time
                await pass_seconds(page, 2)
        await expect(banner).to_have_text("Live")
        await rig.send({CPU: 0.633})
        await expect(number).to_have_text("63.3")


async def test_a_stream_withheld_from_the_start_is_polled_for_all_tabs(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that tabs that share a worker hear of a proxy that buffers, newcomers at once."""
    async with Proxy(rig.url).serving() as proxy:
        proxy.mode = Mode.BUFFER
        first = await context.new_page()
        await first.goto(f"{proxy.url}/")
        await expect(first.locator("[data-live]")).to_have_text(BLOCKED, timeout=15_000)
        await rig.send({CPU: 0.711})
        second = await context.new_page()
        await second.goto(f"{proxy.url}/hosts/web-1")
        await expect(second.locator("[data-live]")).to_have_text(BLOCKED, timeout=3_000)
        await expect(first.locator(NUMBER).first).to_have_text("71.1")


async def test_a_stream_that_falls_silent_is_not_called_live(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that an open connection on which nothing comes for 45 s is noticed."""
    async with Proxy(rig.url).serving() as proxy:
        page = await clocked(context, f"{proxy.url}/hosts/web-1")
        banner = page.locator("[data-live]")
        proxy.mode = Mode.SILENT
        await page.clock.run_for(40_000)
        assert await banner.text_content() == "Live"
        await page.clock.run_for(12_000)
        await expect(banner).to_contain_text(LOST)
        await page.clock.run_for(11_000)
        await expect(banner).to_contain_text("cannot be reached")
        proxy.mode = Mode.PASS
        proxy.cut()
        await hurry(page)
        await expect(banner).to_have_text("Live")


async def test_a_gateway_without_its_server_is_waited_for(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that a 502, which ends an EventSource for good, is borne, and not hammered."""
    async with Proxy(rig.url).serving() as proxy:
        page = await clocked(context, f"{proxy.url}/hosts/web-1")
        banner = page.locator("[data-live]")
        proxy.mode = Mode.DOWN
        proxy.cut()
        await expect(banner).to_contain_text(LOST)
        await hurry(page)
        await expect(banner).to_contain_text("the server answered 502")
        before = proxy.streams
        await pass_seconds(page, 60)
        assert 1 <= proxy.streams - before <= 8
        proxy.mode = Mode.PASS
        await hurry(page)
        await expect(banner).to_have_text("Live")
        await rig.send({CPU: 0.811})
        await expect(page.locator(NUMBER).first).to_have_text("81.1")


@pytest.mark.parametrize(
    ("status", "words", "most"),
    [
        (403, "you may not see this", 3),
        (404, "the server does not know what this page shows", 8),
        (200, "the server is busy", 9),
    ],
)
async def test_a_refusal_is_said_and_not_hammered(
    rig: Rig, context: BrowserContext, status: int, words: str, most: int
) -> None:
    """It must be that a page says why it has no stream, and asks again only now and then.

    Of a server with no room left a browser hears a 200 that ends.
    """
    page = await context.new_page()
    await page.add_init_script(WITHOUT_WORKER)
    asked: list[str] = []

    async def refuse(route: Route) -> None:
        asked.append(route.request.method)
        await route.fulfill(status=status, content_type="text/event-stream", body="retry: 9\n\n")

    await page.route("**/api/v1/stream**", refuse)
    await page.clock.install()
    await page.goto(f"{rig.url}/")
    await expect(page.locator("[data-live]")).to_contain_text(f"Not live: {words}")
    await pass_seconds(page, 60)
    assert asked.count("GET") <= most
    await page.unroute_all()
    await hurry(page)
    await expect(page.locator("[data-live]")).to_have_text("Live")


async def test_after_a_gap_the_page_asks_what_it_missed(rig: Rig, context: BrowserContext) -> None:
    """It must be that a status whose change was lost with the log is corrected."""
    page = await context.new_page()
    await page.goto(f"{rig.url}/")
    await expect(page.locator(".status.is-up")).to_have_count(2)
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    state = rig.state.hosts["web-2"]
    state.status = HostStatus.DOWN
    await page.evaluate(
        """() => {
          document.body.dataset.position = "0123456789abcdef-7";
          dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}));
        }"""
    )
    await expect(page.locator("tr[data-host=web-2] .status")).to_have_text("■ down")
    await expect(page.locator("[data-count=down]")).to_have_text("1")
    await expect(page.locator("[data-count=up]")).to_have_text("1")


async def test_after_a_kill_the_page_comes_back_by_itself(
    tmp_path: Path, context: BrowserContext
) -> None:
    """It must be that after kill -9 and a start nothing logged is lost or told twice."""
    server = await asyncio.to_thread(serving.start, tmp_path)
    listen = server.url.removeprefix("http://")
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        try:
            hosts = (await client.get("/api/v1/hosts")).json()
            page = await opened(context, f"{server.url}/hosts/{hosts[0]['host']}")
            start = (await page.evaluate("document.body.dataset.position")).partition("-")[0] + "-0"
            log = await hearing(context, server.url, "log", position=start)
            await has_heard(log, "host_update")
            server.process.kill()
            await asyncio.to_thread(server.process.wait)
            await expect(page.locator("[data-live]")).to_contain_text(LOST)
            server = await asyncio.to_thread(serving.start, tmp_path, "--listen", listen)
            await client.post("/api/v1/push", json={"host": "pushed", "metrics": {CPU: 0.5}})
            await expect(page.locator("[data-live]")).to_have_text("Live")
            uptime = page.locator(".large .v > span").first
            before = await uptime.text_content() or ""
            await expect(uptime).not_to_have_text(before)
            await log.wait_for_function("() => heard.some((m) => m.data.host === 'pushed')")
            whole = await client.get(
                "/api/v1/stream", params={"topics": "log", "last_event_id": start, "follow": "0"}
            )
        finally:
            status = await asyncio.to_thread(server.end)
        assert status == 0
    logged = [line[4:] for line in whole.text.splitlines() if line.startswith("id: ")]
    told = await heard(log, "host_update", "notice", "alert")
    ids = [message["id"] for message in told if message["id"]]  # what pends is state, without one
    assert ids == sorted(set(logged) & set(ids), key=logged.index)
    assert set(logged) - set(ids) <= {start, logged[-1]}
