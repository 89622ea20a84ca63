"""Charts of a range in a browser: what tests of them do, and what must then be drawn."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
from playwright.async_api import Page, expect

from monitor.model import Row, key
from monitor.web.chartplan import plans
from monitor.web.charts import Drawing
from monitor.web.hosthistory import RANGE_POINTS
from monitor.web.rangecharts import Cut, draw_range
from monitor.web.views import Reader
from tests.browser.rig import Rig
from tests.browser.year import YearStore, year_rig

CPU = "system.cpu.utilization"
LOAD = "[data-chart=load] .plot"
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
    """Processes of these names."""
    return [{"pid": n, "name": name, "cpu": 0.1, "rss": 1e6} for n, name in enumerate(names, 1)]


@contextlib.asynccontextmanager
async def past_rig() -> AsyncIterator[Rig]:
    """A server whose one host has a year behind it, and is live."""
    now = time.time()
    made, _ = year_rig(now)
    async with made.serving() as running:
        for second in (3, 2, 1):
            await made.send(metrics(), at=now - second)
        await made.send(metrics(), {"processes": rows("ant", "bee")})
        await made.pipeline.tick(made.services.clock())
        yield running


def year(rig: Rig) -> YearStore:
    """The store that has that year."""
    assert isinstance(rig.store, YearStore)
    return rig.store


async def opened(page: Page, rig: Rig, query: str = "") -> None:
    """A host's page whose charts are as they will be."""
    await page.goto(f"{rig.url}/hosts/web-1{query}")
    await settled(page)


async def settled(page: Page) -> None:
    """Wait until nothing is asked for, and the page is live."""
    await expect(page.locator("section.history:not([aria-busy])")).to_have_count(1)
    await expect(page.locator("[data-live]")).to_have_text("Live")


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
