"""The two pages in a real browser: live, drawn, readable without script, and inert to names."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from monitor.core.catalog import Style
from monitor.model import Row, key
from monitor.web.charts import labels, tick_text
from tests.browser.rig import Rig
from tests.browser.tabs import WITHOUT_WORKER
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

EVIL = '<img src=x onerror="document.title=\'owned\'">{{7*7}}</script>\u2028x"\n\nevent:'
CPU = "system.cpu.utilization"
WIDTHS = (1440, 768, 390)


def metrics(share: float, mount: str = "/") -> dict[str, float]:
    """What a small host says."""
    return {
        CPU: share,
        key(CPU, state="user"): share / 2,
        key(CPU, state="system"): share / 2,
        key(CPU, cpu="0"): share,
        "system.memory.utilization": 0.5,
        "system.cpu.load_average.1m": 1.0,
        key("system.filesystem.utilization", mountpoint=mount): 0.25,
        "system.uptime": 86_400.0,
    }


def processes(*names: str) -> list[Row]:
    return [
        {
            "pid": 100 + n,
            "name": name,
            "user": "root",
            "cpu": n / 10,
            "rss": 1024 * (10 - n),
            "io": None,
            "command": f"/bin/{name} --all",
        }
        for n, name in enumerate(names)
    ]


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    """A server whose one host has said the same for a minute."""
    made = Rig("web-1")
    now = made.services.clock()
    for second in range(60, 0, -1):
        await made.send(metrics(0.2), at=now - second)
    async with made.serving() as running:
        await made.send(metrics(0.2), {"processes": processes("ant", "bee", "cow")})
        await made.pipeline.tick(made.services.clock())
        yield running


@pytest.mark.parametrize("path", ["/", "/hosts/web-1"])
async def test_a_number_changes_by_itself(rig: Rig, page: Page, path: str) -> None:
    """It must be that a new frame is on the page without a reload, in the same element."""
    await page.goto(rig.url + path)
    number = page.locator(f"[data-key='{CPU}'] > span").first
    await expect(number).to_have_text("20.0")
    handle = await number.element_handle()
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await rig.send(metrics(0.777))
    await expect(number).to_have_text("77.7")
    assert handle is not None
    assert await handle.text_content() == "77.7"


async def test_the_live_chart_takes_over_the_picture(rig: Rig, page: Page) -> None:
    """It must be that a picture stands there first, and the live one in the same box."""
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/api/v1/history**", hold)
    await page.goto(f"{rig.url}/hosts/web-1")
    box = page.locator("[data-chart=cpu] .plot")
    await expect(box.locator("svg.area path.fill")).to_have_count(2)
    before = await box.bounding_box()
    held.set()
    await rig.send(metrics(0.4))
    await expect(box.locator("canvas")).to_be_visible()
    await expect(box.locator("svg")).to_have_count(0)
    assert await box.bounding_box() == before
    ink = await box.locator("canvas").evaluate(
        """(canvas) => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let ink = 0;
          for (let i = 0; i < data.length; i += 4) {
            const [r, g, b, a] = data.slice(i, i + 4);
            if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 60) ink += 1;
          }
          return ink;
        }"""
    )
    assert ink > 100


@pytest.mark.parametrize("width", WIDTHS)
async def test_the_page_reads_without_script(rig: Rig, browser: Browser, width: int) -> None:
    """It must be that numbers, tables and pictures are there before any script."""
    context = await browser.new_context(
        java_script_enabled=False, viewport={"width": width, "height": 800}
    )
    page = await context.new_page()
    await page.goto(f"{rig.url}/")
    await page.get_by_role("link", name="web-1").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("web-1")
    await expect(page.locator(f".large [data-key='{CPU}']")).to_contain_text("20.0 %")
    picture = page.get_by_role("img", name=re.compile("CPU, the last ten minutes: user now 10.0 %"))
    await expect(picture).to_be_visible()
    drawn = await page.locator("[data-chart=cpu] svg.area").bounding_box()
    assert drawn is not None
    assert drawn["width"] > 100
    assert drawn["height"] == 128
    await page.get_by_role("link", name="Memory").click()
    first = page.locator("[data-snapshot=processes] tbody tr").first
    await expect(first).to_contain_text("ant")
    await context.close()


async def test_processes_are_sorted_and_stay_so(rig: Rig, page: Page) -> None:
    """It must be that a click sorts at once, and that new rows come in that order."""
    await page.goto(f"{rig.url}/hosts/web-1?sort=rss")
    names = page.locator("[data-snapshot=processes] tbody tr td:nth-child(2)")
    await expect(names).to_have_text(["ant", "bee", "cow"])
    await rig.send(metrics(0.3), {"processes": processes("ant", "bee", "cow", "dog")})
    await expect(names).to_have_text(["ant", "bee", "cow", "dog"])
    await page.get_by_role("link", name="CPU", exact=True).click()
    await expect(names).to_have_text(["dog", "cow", "bee", "ant"])
    await expect(page.locator("th[data-field=cpu]")).to_have_attribute("aria-sort", "descending")
    await rig.send(metrics(0.3), {"processes": processes("ant", "eel")})
    await expect(names).to_have_text(["eel", "ant"])
    assert page.url.endswith("?sort=cpu")


async def test_what_is_new_gets_its_row(rig: Rig, page: Page) -> None:
    """It must be that a disk that is plugged in, and a host that comes, appear by themselves."""
    await page.goto(f"{rig.url}/hosts/web-1")
    rows = page.locator("#filesystems tbody tr")
    await expect(rows).to_have_count(1)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await rig.send(metrics(0.2, mount=EVIL))
    await expect(rows).to_have_count(2)
    await expect(rows.nth(1)).to_contain_text("25.0 %")
    await page.goto(f"{rig.url}/")
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await rig.send(metrics(0.9), host="web-0")
    await expect(page.locator("tbody tr th")).to_have_text(["web-0", "web-1"])
    await expect(page.locator("[data-count=up]")).to_have_text("2")


@pytest.mark.parametrize("path", ["/", "/hosts/web-1"])
async def test_a_late_value_shows_its_age(rig: Rig, browser: Browser, path: str) -> None:
    """It must be that a page without its stream says so, and how old each number is."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.add_init_script(WITHOUT_WORKER)
    await page.route("**/api/v1/stream**", lambda route: route.abort())
    await page.goto(rig.url + path)
    await expect(page.locator("[data-live]")).to_contain_text("Not live", timeout=10_000)
    age = page.locator(f"[data-key='{CPU}'] .age").first
    await expect(age).to_have_text(re.compile(r"\d+ s ago"), timeout=15_000)
    await context.close()


async def test_a_guessed_period_gives_way_to_the_real_one(rig: Rig, page: Page) -> None:
    """It must be that a value seen once when the page was drawn is late as soon as the others."""
    await rig.send({"system.memory.utilization": 0.5}, host="young")
    await page.goto(f"{rig.url}/hosts/young")
    await expect(page.locator("[data-live]")).to_have_text("Live")
    for share in (0.51, 0.52, 0.53, 0.54):
        await rig.send({"system.memory.utilization": share}, host="young")
        await asyncio.sleep(0.5)
    age = page.locator("[data-key='system.memory.utilization'] .age").first
    await expect(age).to_have_text(re.compile(r"\d+ s ago"), timeout=15_000)


async def test_a_stream_that_was_lost_comes_back(rig: Rig, browser: Browser) -> None:
    """It must be that the page reconnects by itself and goes on."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.add_init_script(WITHOUT_WORKER)
    refused = {"left": 2}

    async def refuse(route: Route) -> None:
        refused["left"] -= 1
        await (route.abort() if refused["left"] >= 0 else route.continue_())

    await page.route("**/api/v1/stream**", refuse)
    await page.goto(f"{rig.url}/hosts/web-1")
    await expect(page.locator("[data-live]")).to_have_text("Live", timeout=20_000)
    await rig.send(metrics(0.333))
    await expect(page.locator(f".large [data-key='{CPU}'] > span")).to_have_text("33.3")
    await context.close()


async def test_a_host_that_falls_silent_is_said_to_be_stale(rig: Rig, page: Page) -> None:
    """It must be that a change of status is on the page when it is logged."""
    await page.goto(f"{rig.url}/")
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await rig.pipeline.tick(rig.services.clock() + 4)  # in steps: a leap would be our own sleep
    for seconds in (8, 12, 16, 20):
        await rig.pipeline.tick(rig.services.clock() + seconds)
    await expect(page.locator(".status")).to_have_text("○ stale")
    await expect(page.locator("[data-count=stale]")).to_have_text("1")


async def test_names_of_hosts_are_inert(rig: Rig, page: Page) -> None:
    """It must be that a host's name is text, in rows drawn here and there."""
    rig.know(EVIL)  # no sender's name gets so far; a page relies on nobody
    await rig.send(metrics(0.5), host=EVIL)
    await page.goto(f"{rig.url}/")
    link = page.locator("tbody th a", has_text="owned")
    assert await link.text_content() == EVIL
    rig.know(f"a{EVIL}")
    await rig.send(metrics(0.6), host=f"a{EVIL}")
    await expect(page.locator("tbody th a").first).to_contain_text("owned")
    assert await page.locator("img[src=x], main script").count() == 0
    assert await page.title() == "Fleet – Awoooi Monitor"


async def test_hostile_values_of_a_host_are_inert(rig: Rig, page: Page) -> None:
    """It must be that what a host says of itself is text, live rows and charts included."""
    said = {
        **metrics(0.5, mount=EVIL),
        key("system.network.io", interface=EVIL, direction="receive"): 1.0,
        key("system.disk.utilization", device=EVIL): 0.5,
        key(CPU, state=EVIL): 0.1,
    }
    tables: dict[str, list[Row]] = {
        "processes": processes(EVIL, "b"),
        "filesystems": [{"mountpoint": EVIL, "device": EVIL, "type": EVIL}],
        "system": [{"os": EVIL, "kernel": EVIL}],
        "cgroups": [{"unit": EVIL, "path": EVIL, "cpu": 0.5}],
        "collectors": [{"collector": "processes", "status": "ok", "note": EVIL}],
    }
    rig.state.label("web-1", {"env": EVIL})
    await rig.send(said, tables)
    await page.goto(f"{rig.url}/hosts/web-1")
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await expect(page.locator("[data-chart=busy] canvas")).to_be_visible()
    tables["processes"] = processes("b", EVIL, EVIL)
    await rig.send(said | {CPU: 0.61}, tables)
    await expect(page.locator(f".large [data-key='{CPU}'] > span")).to_have_text("61.0")
    await page.locator("[data-chart=busy] .u-over").hover()
    assert await page.locator("img[src=x], main script").count() == 0
    assert await page.title() == "web-1 – Awoooi Monitor"
    assert "49" not in (await page.locator("#filesystems").inner_text())


@pytest.mark.parametrize("width", WIDTHS)
async def test_nothing_is_wider_than_the_page(rig: Rig, page: Page, width: int) -> None:
    """It must be that no page scrolls sideways, however long a name is."""
    mount = "/very-long" * 24
    names = ["p" * 200, "q"]
    await rig.send(metrics(0.5, mount=mount), {"processes": processes(*names)})
    await page.set_viewport_size({"width": width, "height": 800})
    for path in ("/", "/hosts/web-1"):
        await page.goto(rig.url + path)
        await expect(page.locator("[data-live]")).to_have_text("Live")
        over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0, path


async def test_charts_follow_the_systems_colours_and_each_others_cursor(
    rig: Rig, page: Page
) -> None:
    """It must be that dark mode reaches the canvas, and one cursor reads all charts."""
    await page.emulate_media(color_scheme="light")
    await page.goto(f"{rig.url}/hosts/web-1")
    canvas = page.locator("[data-chart=cpu] canvas")
    await expect(canvas).to_be_visible()
    light = await canvas.evaluate("(canvas) => canvas.toDataURL()")
    await page.emulate_media(color_scheme="dark")
    await asyncio.sleep(0.3)
    assert await canvas.evaluate("(canvas) => canvas.toDataURL()") != light
    box = await page.locator("[data-chart=cpu] .u-over").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] - 15, box["y"] + 30)
    await expect(page.locator("[data-chart=load] .at")).not_to_be_empty()
    await page.mouse.move(5, 5)
    await expect(page.locator("[data-chart=load] .at")).to_be_empty()


async def test_both_languages_place_labels_and_write_ticks_alike(rig: Rig, page: Page) -> None:
    """It must be that nothing moves when the live chart takes over."""
    wanted: list[list[float | None]] = [
        [5.0, 5.0, 5.0],
        [128.0] * 8,
        [0.0, 128.0, None, 64.0],
        [60.0] * 20,
        [3.0, 100.0],
    ]
    ticks = [(value, style.value) for style in Style for value in (0.0, 0.0025, 0.5, 100.0, 2e9)]
    await page.goto(f"{rig.url}/")
    placed, texts = await page.evaluate(
        """async ([wanted, ticks]) => {
          const { spread, tickText } = await import("/static/js/chartmath.js");
          return [wanted.map(spread), ticks.map(([value, style]) => tickText(value, style))];
        }""",
        [wanted, [list(tick) for tick in ticks]],
    )
    assert placed == [labels(each) for each in wanted]
    assert texts == [tick_text(value, style) for value, style in ticks]


async def test_this_machine_is_on_the_page(server: Server, page: Page) -> None:
    """It must be that the real program shows its own host, live, with what every machine has."""
    await page.goto(f"{server.url}/")
    await page.locator("tbody th a").first.click()
    await expect(page.locator("[data-live]")).to_have_text("Live")
    # A container may have no filesystem or pressure of its own; these every Linux has.
    for section in ("#cores", "#processes", "#summary"):
        await expect(page.locator(section)).to_be_visible()
    await expect(page.locator("[data-chart=memory] canvas")).to_be_visible()
    uptime = page.locator(".large .v > span").first
    before = await uptime.text_content()
    await expect(uptime).not_to_have_text(before or "")
