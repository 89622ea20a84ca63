"""Ranges of time in a real browser: exact, shared by all charts, in the address, and honest."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Route, expect

from monitor.ports import StoreWarning
from monitor.web.hosthistory import RANGE_POINTS
from tests.browser.ranges import (
    CPU,
    LOAD,
    drag,
    drawn,
    edges,
    metrics,
    opened,
    past_rig,
    require_same,
    said,
    settled,
    wanted,
    year,
)
from tests.browser.rig import Rig
from tests.browser.year import DAY, HOUR

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    """A server whose one host has a year behind it."""
    async with past_rig() as running:
        yield running


async def test_zooming_into_the_last_hour_and_back(rig: Rig, page: Page) -> None:
    """It must be that a drag asks for exactly what it covered, and that back is where one was."""
    end = float(round(time.time()) - 60)
    start = end - 6 * HOUR
    await opened(page, rig, f"?from={start:.0f}&to={end:.0f}")
    assert (start, end, RANGE_POINTS) in year(rig).asked
    before = {chart: await drawn(page, chart) for chart in ("load", "memory")}
    require_same(before["load"][0], (await wanted(rig, "load", start, end)).lines[0].stroke)

    await drag(page, LOAD, 5 / 6, 1.1)
    await page.wait_for_url("**from=*")
    await settled(page)
    zoomed = {name: float(text) for name, text in said(page).items()}
    _, width, _ = await edges(page, LOAD)
    assert zoomed["to"] == end
    assert abs(zoomed["from"] - (end - HOUR)) <= 6 * HOUR / width
    assert (zoomed["from"], zoomed["to"], RANGE_POINTS) in year(rig).asked
    for chart in ("load", "memory"):
        drawing = await wanted(rig, chart, zoomed["from"], zoomed["to"])
        for path, line in zip(await drawn(page, chart), drawing.lines, strict=True):
            require_same(path, line.stroke)
        for path, line in zip(await drawn(page, chart, "band"), drawing.lines, strict=True):
            require_same(path, line.band)
    await expect(page.locator("[data-resolution]")).to_have_text("10 s averages")

    await page.get_by_role("button", name="Back to").click()
    await page.wait_for_url(f"**from={start:.0f}*")
    await settled(page)
    assert said(page) == {"from": f"{start:.0f}", "to": f"{end:.0f}"}
    assert {chart: await drawn(page, chart) for chart in ("load", "memory")} == before
    await expect(page.locator("[data-back]")).to_be_hidden()


async def test_zooming_out_of_live_and_back_goes_on_live(rig: Rig, page: Page) -> None:
    """It must be that live is left by a drag, come back to by a double click, and then goes on."""
    await opened(page, rig)
    await expect(page.locator("[data-chart=load] canvas")).to_be_visible()
    await drag(page, LOAD, 0.5, 0.75)
    await page.wait_for_url("**from=*")
    await settled(page)
    width = float(said(page)["to"]) - float(said(page)["from"])
    assert 145 <= width <= 155
    await expect(page.locator("[data-chart=load] canvas")).to_have_count(0)
    await expect(page.locator(".nowline").first).to_be_visible()
    await page.locator(LOAD).dblclick(position={"x": 200, "y": 60})
    await page.wait_for_url("**/hosts/web-1")
    await expect(page.locator("[data-chart=load] canvas")).to_be_visible()
    await expect(page.locator(".nowline").first).to_be_hidden()
    await page.mouse.move(5, 5)
    await rig.send(metrics(0.777))
    await expect(page.locator(f".large [data-key='{CPU}'] > span")).to_have_text("77.7")
    readout = page.locator("[data-chart=cpu] .legend .v").first
    await expect(readout).to_contain_text("38.9")
    assert "at" not in said(page)


async def test_the_address_is_the_range(rig: Rig, page: Page) -> None:
    """It must be that back, forward and reload show what the address says."""
    await opened(page, rig)
    for text in ("24h", "7d"):
        await page.locator(f"a[data-range='{text}']").click()
        await page.wait_for_url(f"**range={text}")
        await settled(page)
    await expect(page.locator("[data-title]")).to_have_text("The last 7 days")
    await page.go_back()
    await expect(page.locator("[data-title]")).to_have_text("The last 24 hours")
    await expect(page.locator("a[data-range='24h']")).to_have_attribute("aria-current", "true")
    await settled(page)
    await expect(page.locator("[data-resolution]")).to_have_text("5 min averages")
    await page.go_back()
    await expect(page.locator("[data-chart=load] canvas")).to_be_visible()
    await page.go_forward()
    await page.go_forward()
    await settled(page)
    assert said(page) == {"range": "7d"}
    await page.reload()
    await settled(page)
    await expect(page.locator("[data-title]")).to_have_text("The last 7 days")
    await expect(page.locator("a[data-elsewhere]")).to_have_attribute("href", "/?range=7d")
    await page.get_by_role("link", name="Memory", exact=True).click()
    assert said(page) == {"range": "7d", "sort": "rss"}
    await page.get_by_role("link", name="Fleet").click()
    await page.get_by_role("link", name="web-1").click()
    assert said(page) == {"range": "7d"}


async def test_a_range_reads_without_script(rig: Rig, browser: Browser) -> None:
    """It must be that the server draws a range whole: axis, bands, gaps, losses, processes."""
    store = year(rig)
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{rig.url}/hosts/web-1")
    await page.get_by_role("link", name="6 h", exact=True).click()
    assert said(page) == {"range": "6h"}
    await expect(page.locator("[data-window]")).to_contain_text("UTC")
    await expect(page.locator("[data-resolution]")).to_have_text("1 min averages")
    times = await page.locator("[data-chart=load] .times text").all_text_contents()
    assert len(times) >= 3
    assert all(re.fullmatch(r"\d\d:00|\d+ \w+", text) for text in times)
    assert (await drawn(page, "load"))[0].count("M") == 3, "the silence and the loss are gaps"
    assert await page.locator("[data-chart=load] .band").count() == 2
    picture = page.get_by_role("img", name=re.compile("Load average, the last 6 hours: 1m 0"))
    await expect(picture).to_be_visible()
    await expect(page.locator("[data-chart=load] .loss title")).to_have_text(
        re.compile("UTC: a damaged chunk was set aside")
    )
    assert "was" not in await page.locator(".legend").first.inner_text()
    await page.get_by_role("link", name="a day earlier").click()
    assert await page.locator("[data-chart=load] path.before").count() == 2
    await page.get_by_role("link", name=re.compile("web-1 booted")).click()
    assert abs(float(said(page)["at"]) - store.booted) < 60
    await expect(page.locator("#processes")).to_contain_text("back to live")
    await expect(page.locator("#processes tbody")).to_contain_text("job-")
    await page.locator("summary", has_text="From–to").click()
    await page.locator("input[name=from]").fill("2026-01-01T00:00:00")
    await page.locator("input[name=to]").fill("2026-01-02T00:00:00")
    await page.get_by_role("button", name="Show").click()
    assert said(page)["from"] == "2026-01-01T00:00"
    assert said(page)["compare"] == "1d"
    await expect(page.locator("[data-remark]")).to_contain_text(
        "recorded yet: the first data is of"
    )
    await context.close()


async def test_an_earlier_stretch_lies_under_the_range(rig: Rig, page: Page) -> None:
    """It must be that compare is in the address, drawn shifted, and said in the legend."""
    end = float(round(time.time()) - 60)
    start = end - DAY
    await opened(page, rig, f"?from={start:.0f}&to={end:.0f}")
    await expect(page.locator("[data-chart=load] .was")).to_be_hidden()
    await page.get_by_role("link", name="a week earlier").click()
    await page.wait_for_url("**compare=7d")
    await settled(page)
    drawing = await wanted(rig, "load", start, end, 7 * DAY)
    for path, line in zip(await drawn(page, "load", "before"), drawing.lines, strict=True):
        require_same(path, line.before)
    await expect(page.locator("[data-chart=load] .was")).to_have_text("a week earlier")
    await expect(page.locator("[data-chart=cpu] .was")).to_have_text("all together, a week earlier")
    x, width, y = await edges(page, LOAD)
    await page.mouse.move(x + 0.3 * width, y)
    await expect(page.locator("[data-chart=load] .reading").first).to_contain_text("(was ")
    await page.get_by_role("link", name="nothing").click()
    await expect(page.locator("[data-chart=load] path.before")).to_have_count(0)
    assert "compare" not in said(page)


async def test_what_happened_is_marked(rig: Rig, page: Page) -> None:
    """It must be that boots, starts and losses are lines with words, and lead to their instant."""
    await opened(page, rig, "?range=6h")
    marks = page.locator("[data-chart=memory] .marker")
    await expect(marks).to_have_count(2)
    await expect(marks.locator("title").first).to_have_text(
        re.compile(r"\d\d:\d\d:\d\d: web-1 booted")
    )
    await expect(marks.locator("text")).to_have_text(["↻", "◆"])
    told = page.get_by_role("list", name="What happened in this range").get_by_role("listitem")
    await expect(told).to_have_text(
        [re.compile("↻ .* booted"), re.compile("◆ .* started"), re.compile("▨ .* set aside")]
    )
    await told.nth(1).get_by_role("link").press("Enter")
    await page.wait_for_url("**at=*")
    assert abs(float(said(page)["at"]) - year(rig).started) < 60
    await expect(page.locator("[data-chart=load] .crosshair .pin")).to_have_count(1)


async def test_a_late_answer_changes_nothing(rig: Rig, page: Page) -> None:
    """It must be that only the newest range is drawn, however the answers come."""
    await opened(page, rig, "?range=6h")
    began, held, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    late: list[Request] = []

    async def hold(route: Route) -> None:
        late.append(route.request)
        began.set()
        await held.wait()
        await route.continue_()

    def over(request: Request) -> None:
        if request in late:
            ended.set()

    page.on("requestfailed", over)
    page.on("requestfinished", over)
    await page.route("**/api/v1/history**", hold, times=1)
    await page.locator("a[data-range='30d']").click()
    await began.wait()
    await expect(page.locator("section.history")).to_have_attribute("aria-busy", "true")
    year(rig).asked.clear()
    await page.locator("a[data-range='7d']").click()
    await settled(page)
    path = (await drawn(page, "load"))[0]
    start, end, _ = next(each for each in year(rig).asked if each[2] == RANGE_POINTS)
    require_same(path, (await wanted(rig, "load", start, end)).lines[0].stroke)
    held.set()
    await ended.wait()
    await page.evaluate("new Promise((drawn) => setTimeout(drawn, 100))")
    assert (await drawn(page, "load"))[0] == path
    await expect(page.locator("[data-resolution]")).to_have_text("30 min averages")


async def test_what_cannot_be_had_is_said_in_place(rig: Rig, browser: Browser) -> None:
    """It must be that an error stands by the charts with its reason, and can be tried again."""
    context = await browser.new_context()
    page = await context.new_page()
    await opened(page, rig, "?range=6h")
    problem = {"detail": "history is being read by too many"}

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503, json=problem)

    await page.route("**/api/v1/history**", refuse, times=1)
    await page.locator("a[data-range='7d']").click()
    trouble = page.locator("[data-trouble]")
    await expect(trouble).to_contain_text("too many")
    await expect(page.locator("[data-chart=load] .reading").first).to_have_text("–")
    await expect(page.locator("[data-resolution]")).to_be_empty()
    await page.get_by_role("button", name="Try again").click()
    await expect(trouble).to_be_hidden()
    await expect(page.locator("[data-resolution]")).to_have_text("30 min averages")
    await context.close()


async def test_a_range_that_follows_is_asked_for_again(rig: Rig, page: Page) -> None:
    """It must be that a relative range moves on by itself, and an absolute one stands still."""
    await page.clock.install()
    await opened(page, rig, "?range=15m")
    for text, follows in (("15m", True), ("", False)):
        if not text:
            end = round(time.time())
            await page.goto(f"{rig.url}/hosts/web-1?from={end - 900}&to={end}")
            await expect(page.locator("[data-resolution]")).to_have_text("5 s averages")
            await settled(page)
        year(rig).asked.clear()
        for _ in range(4):
            await page.clock.run_for(2_000)
            await asyncio.sleep(0.05)
        again = [each for each in year(rig).asked if each[2] == RANGE_POINTS]
        assert bool(again) == follows


async def test_the_first_data_is_said(rig: Rig, page: Page) -> None:
    """It must be that a range which begins before there was anything says since when there is."""
    await opened(page, rig, "?range=1y")
    first = time.strftime("%-d %b", time.localtime(year(rig).first))
    await expect(page.locator("[data-remark]")).to_contain_text(f"Recorded since {first}")
    await page.locator("a[data-range='90d']").click()
    await settled(page)
    await expect(page.locator("[data-remark]")).to_be_empty()
    await expect(page.locator("[data-resolution]")).to_have_text("6 h averages")


async def test_a_host_that_is_gone_has_a_past(rig: Rig, browser: Browser) -> None:
    """It must be that a host of which nothing is known now still has charts of what it was."""
    rig.know("gone")
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{rig.url}/hosts/gone?range=6h")
    assert (await drawn(page, "load"))[0].count("M") == 3
    await expect(page.locator("[data-chart=load] .reading")).to_contain_text(" avg · ")
    await context.close()


async def test_what_the_store_warns_of_is_on_every_page(rig: Rig, page: Page) -> None:
    """It must be that a warning is seen wherever one is, as text."""
    year(rig).said = (StoreWarning("disk_low", "the disk is <b>nearly</b> full"),)
    for path in ("/", "/hosts/web-1", "/hosts/web-1?range=6h"):
        await page.goto(rig.url + path)
        await expect(page.locator("[data-warning=disk_low]")).to_contain_text("<b>nearly</b> full")


async def test_a_range_is_no_wider_than_the_page(rig: Rig, page: Page) -> None:
    """It must be that nothing scrolls sideways, and that words on the axis stand apart."""
    await opened(page, rig, "?range=30d&compare=1d")
    times = page.locator("[data-chart=load] .times text")
    for width, most in ((390, 3), (768, 8), (1440, 5)):
        await page.set_viewport_size({"width": width, "height": 800})
        await page.wait_for_function(
            """(most) => {
              const marks = document.querySelectorAll("[data-chart=load] .times text").length;
              return marks >= 2 && marks <= most;
            }""",
            arg=most,
        )
        over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0
        apart = await times.evaluate_all(
            "(texts) => texts.map((text) => text.getBoundingClientRect())"
            ".every((box, n, all) => !n || all[n - 1].right < box.left)"
        )
        assert apart
