"""Ranges of time in a real browser: exact, shared by all charts, in the address, and honest."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, parse_qsl, urlsplit

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Route, expect
from werkzeug.datastructures import MultiDict

from monitor.model import Row, key
from monitor.ports import StoreWarning
from monitor.web.chartplan import plans
from monitor.web.charts import Drawing, runs_of
from monitor.web.hosthistory import RANGE_POINTS
from monitor.web.rangecharts import Cut, draw_range, reading, resolution_words, whole
from monitor.web.ranges import asked
from monitor.web.timeaxis import axis, window_words
from monitor.web.views import Reader
from tests.browser.rig import Rig
from tests.browser.year import DAY, HOUR, YearStore, year_rig

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CPU = "system.cpu.utilization"
LOAD = "[data-chart=load] .plot"
MEMORY = "[data-chart=memory] .plot"
LEFT, RIGHT = 68, 100
"""The margins of a chart, in pixels."""


def metrics(share: float = 0.2) -> dict[str, float]:
    """What the host says now."""
    return {
        CPU: share,
        key(CPU, state="user"): share / 2,
        key(CPU, state="system"): share / 2,
        "system.memory.utilization": 0.5,
        key("system.memory.usage", state="used"): 2.0**29,
        key("system.memory.usage", state="free"): 2.0**29,
        "system.cpu.load_average.1m": 1.0,
        "system.cpu.load_average.5m": 0.5,
        "system.uptime": 86_400.0,
    }


def rows(*names: str) -> list[Row]:
    return [{"pid": n, "name": name, "cpu": 0.1, "rss": 1e6} for n, name in enumerate(names, 1)]


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    """A server whose one host has a year behind it."""
    now = time.time()
    made, _ = year_rig(now)
    async with made.serving() as running:
        for second in (3, 2, 1):
            await made.send(metrics(), at=now - second)
        await made.send(metrics(), {"processes": rows("ant", "bee")})
        await made.pipeline.tick(made.services.clock())
        yield running


def year(rig: Rig) -> YearStore:
    assert isinstance(rig.store, YearStore)
    return rig.store


async def opened(page: Page, rig: Rig, query: str = "") -> None:
    """A host's page whose charts are as they will be."""
    await page.goto(f"{rig.url}/hosts/web-1{query}")
    await settled(page, rig)


async def settled(page: Page, rig: Rig) -> None:
    """Wait until nothing is asked for, and the page is live."""
    await expect(page.locator("section.history:not([aria-busy])")).to_have_count(1)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    del rig


async def edges(page: Page, plot: str) -> tuple[float, float, float]:
    """Where a chart's plot begins and how wide it is, and a height inside of it."""
    await page.locator(plot).scroll_into_view_if_needed()
    box = await page.locator(plot).bounding_box()
    assert box is not None
    return box["x"] + LEFT, box["width"] - LEFT - RIGHT, box["y"] + 60


async def drag(page: Page, plot: str, start: float, end: float) -> None:
    """Drag over a chart, from and to shares of its width."""
    x, width, y = await edges(page, plot)
    await page.mouse.move(x + start * width, y)
    await page.mouse.down()
    await page.mouse.move(x + (start + end) / 2 * width, y + 3)
    await page.mouse.move(x + end * width, y)
    await page.mouse.up()


def said(page: Page) -> dict[str, str]:
    """What the address says."""
    return {name: texts[0] for name, texts in parse_qs(urlsplit(page.url).query).items()}


async def drawn(page: Page, chart: str, of: str = "stroke") -> list[str]:
    """The paths that a chart shows."""
    found: list[str] = await page.locator(f"[data-chart={chart}] .area path.{of}").evaluate_all(
        "(paths) => paths.map((path) => path.getAttribute('d'))"
    )
    return found


async def wanted(rig: Rig, chart: str, start: float, end: float, earlier: float = 0.0) -> Drawing:
    """What the server would draw of a range."""
    now = time.time()
    host = rig.state.hosts["web-1"]
    plan = next(p for p in plans(Reader(host, now)) if p.id == chart)
    series = [("web-1", text) for text, _ in plan.lines]
    found = await rig.store.range(series, start, end, RANGE_POINTS)
    before = await rig.store.range(series, start - earlier, end - earlier, RANGE_POINTS)
    year(rig).asked.clear()
    periods = dict.fromkeys((text for text, _ in plan.lines), 1.0)
    cut = Cut(start, end, now, "", found, before if earlier else None, earlier, periods)
    return draw_range(plan, cut)


def require_same(one: str, other: str) -> None:
    """Two paths with the same strokes, to the last digit but its rounding."""
    assert re.sub(r"[\d.]+", "", one) == re.sub(r"[\d.]+", "", other)
    first, second = (np.array(re.findall(r"[\d.]+", path), float) for path in (one, other))
    np.testing.assert_allclose(first, second, atol=0.11)


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
    await settled(page, rig)
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
    await settled(page, rig)
    assert said(page) == {"from": f"{start:.0f}", "to": f"{end:.0f}"}
    assert {chart: await drawn(page, chart) for chart in ("load", "memory")} == before
    await expect(page.locator("[data-back]")).to_be_hidden()


async def test_zooming_out_of_live_and_back_goes_on_live(rig: Rig, page: Page) -> None:
    """It must be that live is left by a drag, come back to by a double click, and then goes on."""
    await opened(page, rig)
    await expect(page.locator("[data-chart=load] canvas")).to_be_visible()
    await drag(page, LOAD, 0.5, 0.75)
    await page.wait_for_url("**from=*")
    await settled(page, rig)
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
        await settled(page, rig)
    await expect(page.locator("[data-title]")).to_have_text("The last 7 days")
    await page.go_back()
    await expect(page.locator("[data-title]")).to_have_text("The last 24 hours")
    await expect(page.locator("a[data-range='24h']")).to_have_attribute("aria-current", "true")
    await settled(page, rig)
    await expect(page.locator("[data-resolution]")).to_have_text("5 min averages")
    await page.go_back()
    await expect(page.locator("[data-chart=load] canvas")).to_be_visible()
    await page.go_forward()
    await page.go_forward()
    await settled(page, rig)
    assert said(page) == {"range": "7d"}
    await page.reload()
    await settled(page, rig)
    await expect(page.locator("[data-title]")).to_have_text("The last 7 days")
    await expect(page.locator("a[data-elsewhere]")).to_have_attribute("href", "/?range=7d")
    await page.get_by_role("link", name="Memory", exact=True).click()
    assert said(page) == {"range": "7d", "sort": "rss"}
    await page.get_by_role("link", name="Fleet").click()
    await page.get_by_role("link", name="web-1").click()
    assert said(page) == {"range": "7d"}


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


USED = key("system.memory.usage", state="used")


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
    await settled(page, rig)


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
    await settled(page, rig)
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
    await settled(page, rig)
    await expect(names).to_have_text([f"job-{hour}"])
    await page.get_by_role("link", name="back to live").click()
    await expect(names).to_have_text(["cow"])
    assert said(page) == {"range": "24h"}
    await expect(page.locator("[data-then]")).to_be_hidden()


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
    await settled(page, rig)
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
            await settled(page, rig)
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
    await settled(page, rig)
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


async def test_both_languages_read_ranges_alike(rig: Rig, browser: Browser) -> None:
    """It must be that an address, an axis and a value say the same to script and server."""
    context = await browser.new_context(timezone_id="UTC")
    page = await context.new_page()
    await page.goto(f"{rig.url}/")
    now = 1_795_000_000.0
    queries = [
        "",
        "range=live",
        "range=90m&compare=7d",
        "range=1y&at=1000.25",
        "from=1000&to=2000.125&compare=1d",
        "from=2026-11-18T11:00&to=2026-11-18T12:30%2B01:00&at=2026-11-18",
        "from=2026-11-18T11:00:00.5Z&to=2026-11-18T11:06:40Z",
        "at=1000",
    ]
    spans = [(now - s, now) for s in (60, 900, HOUR, 6 * HOUR, DAY, 7 * DAY, 90 * DAY, 1500 * DAY)]
    values = [(0.1, 0.42, 0.98), (1.0, 1.0, 1.0), (900.0, 2000.0, 3e6), (-1.0, 0.0, 1.0)]
    styles = ("percent", "bytes", "decimal", "seconds")
    column = [1.0, 2.0, None, 3.0, None, None, 4.0, *[5.0] * 5, None, 1.0]
    found = await page.evaluate(
        """async ([now, queries, spans, values, styles, column]) => {
          const { asked, query, windowOf, title } = await import("/static/js/range.js");
          const { axis, windowWords } = await import("/static/js/timeaxis.js");
          const { reading, runs, whole } = await import("/static/js/chartmath.js");
          const { resolution } = await import("/static/js/rangedata.js");
          const t = column.map((_, row) => row * 10);
          return [
            queries.map(asked).map((range) => [query(range), windowOf(range, now)]),
            spans.map(([start, end]) => [axis(start, end, 5), windowWords(start, end, now)]),
            styles.map((style) => values.map((value) => reading(...value, style))),
            [0, 1, 10].map((period) => runs(t, column, 10, period)),
            [1, 10, 90, 7200].map((step) => resolution(step, [0, 1, 60])),
            whole(column, column, column),
            title(asked("?range=1y")), title(asked("?range=90m")),
          ];
        }""",
        [now, queries, spans, values, styles, column],
    )
    ranges = [asked(MultiDict(parse_qsl(query)), now) for query in queries]
    assert found[0] == [[r.query(), list(r.window(now))] for r in ranges]
    axes = [[[list(mark) for mark in axis(*span, 5)], window_words(*span, now)] for span in spans]
    assert found[1] == axes
    assert found[2] == [[reading(*value, style) for value in values] for style in styles]
    numbers = np.array([np.nan if value is None else value for value in column], np.float64)
    starts = 10 * np.arange(len(column), dtype=np.float64)
    assert found[3] == [
        [run.tolist() for run in runs_of(starts, numbers, 10.0, period)] for period in (0, 1, 10)
    ]
    assert found[4] == [resolution_words(step, 1.0) for step in (1, 10, 90, 7200)]
    assert found[5] == list(whole(numbers, numbers, numbers))
    assert found[6:] == ["The last year", "The last 90 minutes"]
    await context.close()


async def test_an_axis_follows_the_clock_on_the_wall(rig: Rig, browser: Browser) -> None:
    """It must be that marks stand at whole hours of the browser's zone, also when it is changed."""
    context = await browser.new_context(timezone_id="Europe/Berlin")
    page = await context.new_page()
    await page.goto(f"{rig.url}/")
    spring = 1_774_738_800  # 29 March 2026 begins in Berlin; it has 23 hours
    marks = await page.evaluate(
        """async (at) => {
          const { axis } = await import("/static/js/timeaxis.js");
          return [axis(at - 1, at + 82800, 5), axis(at - 86400, at + 3 * 86400, 5)];
        }""",
        spring,
    )
    hour = 3600
    assert marks[0] == [
        [spring, "29 Mar"],
        [spring + 5 * hour, "06:00"],
        [spring + 11 * hour, "12:00"],
        [spring + 17 * hour, "18:00"],
        [spring + 23 * hour, "30 Mar"],
    ]
    words = [text for _, text in marks[1]]
    assert words == ["28 Mar", "29 Mar", "30 Mar", "31 Mar", "1 Apr"]
    await context.close()


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
    await settled(page, rig)
    assert abs(float(said(page)["to"]) - float(said(page)["from"]) - 1.5 * HOUR) < 300
