"""What hands do with the charts of a range: point, drag, touch, press keys, click."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from monitor.model import key
from monitor.web.rangecharts import reading
from tests.browser.ranges import (
    CPU,
    LOAD,
    edges,
    metrics,
    opened,
    past_rig,
    rows,
    said,
    settled,
)
from tests.browser.rig import Rig
from tests.browser.year import DAY, HOUR

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


USED = key("system.memory.usage", state="used")


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    """A server whose one host has a year behind it."""
    async with past_rig() as running:
        yield running


async def test_the_charts_are_for_fingers_too(rig: Rig, browser: Browser) -> None:
    """It must be that a drag along a chart zooms, and one across it is the browser's."""
    context = await browser.new_context(
        viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True
    )
    page = await context.new_page()
    await opened(page, rig, "?range=24h")
    x, width, y = await edges(page, LOAD)
    fingers = await context.new_cdp_session(page)

    async def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": at, "y": down} for at, down in points]
        await fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    scrolled = await page.evaluate("scrollY")
    await touch("touchStart", (x + 0.5 * width, y))
    for step in range(1, 9):
        await touch("touchMove", (x + 0.5 * width, y + 20 * step))
    await touch("touchEnd")
    await page.wait_for_function("(before) => scrollY < before - 50", arg=scrolled, timeout=5_000)
    assert said(page) == {"range": "24h"}

    x, width, y = await edges(page, LOAD)
    await touch("touchStart", (x + 0.2 * width, y))
    for step in range(1, 9):
        await touch("touchMove", (x + (0.2 + 0.05 * step) * width, y))
    await touch("touchEnd")
    await page.wait_for_url("**from=*")
    zoomed = float(said(page)["to"]) - float(said(page)["from"])
    assert abs(zoomed - 0.4 * DAY) < 0.02 * DAY
    await context.close()


async def test_keys_do_what_a_pointer_does(rig: Rig, page: Page) -> None:
    """It must be that arrows read, plus and minus zoom, Enter asks for processes."""
    end = float(round(time.time()) - 60)
    start = end - HOUR
    await opened(page, rig, f"?from={start:.0f}&to={end:.0f}")
    chart = page.get_by_role("slider", name="Load average")
    await chart.focus()
    await page.keyboard.press("Home")
    first = await chart.get_attribute("aria-valuetext")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    second = await chart.get_attribute("aria-valuetext") or ""
    assert first != second
    clock = time.strftime("%H:%M:%S", time.localtime((start // 10 + 2) * 10))
    assert re.match(rf"\d+ \w+ {clock}: 1m [\d.]+ avg · [\d.]+–[\d.]+; 5m ", second)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**at=*")
    await page.keyboard.press("+")
    await page.wait_for_function(
        "new URLSearchParams(location.search).get('to') - "
        "new URLSearchParams(location.search).get('from') === 1800"
    )
    assert "at" in said(page)
    await page.keyboard.press("Escape")
    await page.wait_for_url(f"**from={start:.0f}&to={end:.0f}*")
    await page.keyboard.press("Shift+ArrowLeft")
    await page.wait_for_url(f"**from={start - HOUR / 2:.0f}&to={end - HOUR / 2:.0f}*")
    await settled(page)


async def test_a_click_shows_the_processes_of_then(rig: Rig, page: Page) -> None:
    """It must be that the table is of the instant until one goes back, whatever comes live."""
    await opened(page, rig, "?range=24h")
    names = page.locator("[data-snapshot=processes] tbody td:nth-child(2)")
    await expect(names).to_have_text(["ant", "bee"])
    await page.locator(LOAD).click(position={"x": 150, "y": 60})
    await page.wait_for_url("**at=*")
    hour = int(float(said(page)["at"]) // HOUR * HOUR)
    await expect(names).to_have_text([f"job-{hour}"])
    clock = time.strftime("%H:%M:%S", time.localtime(hour))
    await expect(page.locator("[data-then-at]")).to_contain_text(clock)
    await rig.send(metrics(0.31), {"processes": rows("cow")})
    await expect(page.locator(f".large [data-key='{CPU}'] > span")).to_have_text("31.0")
    await expect(names).to_have_text([f"job-{hour}"])
    await page.reload()
    await settled(page)
    await expect(names).to_have_text([f"job-{hour}"])
    await page.get_by_role("link", name="back to live").click()
    await expect(names).to_have_text(["cow"])
    assert said(page) == {"range": "24h"}
    await expect(page.locator("[data-then]")).to_be_hidden()


async def test_a_drag_that_leaves_its_chart_goes_on(rig: Rig, page: Page) -> None:
    """It must be that a quick drag counts wherever it ends, and one with Escape does not."""
    await opened(page, rig, "?range=6h")
    x, width, y = await edges(page, LOAD)
    for key_, words in (("Escape", "The last 6 hours"), ("", "The chosen range")):
        await page.mouse.move(x + 0.5 * width, y)
        await page.mouse.down()
        await page.mouse.move(x + 0.75 * width, y - 200)
        await expect(page.locator("[data-chart=memory] .drag")).to_have_count(1)
        if key_:
            await page.keyboard.press(key_)
        await page.mouse.up()
        await expect(page.locator("[data-title]")).to_have_text(words)
    await settled(page)
    assert abs(float(said(page)["to"]) - float(said(page)["from"]) - 1.5 * HOUR) < 300


async def test_one_crosshair_reads_all_charts(rig: Rig, page: Page) -> None:
    """It must be that every chart says the values of the one instant that is pointed at."""
    end = float(int(time.time() / 60) * 60)
    start = end - 6 * HOUR
    await opened(page, rig, f"?from={start:.0f}&to={end:.0f}")
    x, width, y = await edges(page, LOAD)
    await page.mouse.move(x + 0.25 * width, y)
    words = await page.locator("[data-chart=load] .at").inner_text()
    at = start + 0.25 * 6 * HOUR
    buckets = [at // 60 * 60 + 60 * n for n in (-1, 0, 1)]
    bucket = next(b for b in buckets if words.endswith(time.strftime("%H:%M", time.localtime(b))))
    for chart, text in (("load", "system.cpu.load_average.1m"), ("memory", USED)):
        await expect(page.locator(f"[data-chart={chart}] .at")).to_have_text(words)
        found = (await rig.store.range([("web-1", text)], bucket, bucket + 60, 1)).series[0]
        low, middle, high = (float(c[0]) for c in (found.minimum, found.average, found.maximum))
        style = "bytes" if chart == "memory" else "decimal"
        shown = page.locator(f"[data-chart={chart}] .reading").first
        await expect(shown).to_have_text(reading(low, middle, high, style))
        await expect(page.locator(f"[data-chart={chart}] .crosshair .hair")).to_have_count(1)
    await page.mouse.move(5, 5)
    await expect(page.locator("[data-chart=memory] .at")).to_be_empty()
    await expect(page.locator(".crosshair")).to_have_count(0)
