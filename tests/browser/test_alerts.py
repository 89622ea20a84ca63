"""The pages of alerts in a real browser: live, at every width, by keys, without a script."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from monitor.core.selectors import Selector
from monitor.notify.silences import Wish
from tests.web.alertrig import ANN, VAR, AlertRig
from tests.web.test_alertspage import CANARY, EVIDENCE

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

LIMIT = "> 97 %"
PATHS = (
    "/alerts",
    "/alerts/a1",
    "/alerts/long",
    "/rules",
    "/rules/disk_space",
    "/rules/backtest",
    "/silences?match=host=*",
)
WIDE = "document.documentElement.scrollWidth - innerWidth"
SMALL = """() => [...document.querySelectorAll(
    "main a, main button, main input:not([type=hidden]), main summary, main textarea")]
  .filter((each) => each.checkVisibility() && !each.closest("details:not([open]) > :not(summary)"))
  .filter((each) => !each.closest(".what, td, th, p.note, .remarks, .dim, .story"))
  .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
  .filter(([, box]) => box.width < 24 || box.height < 24)
  .map(([text]) => text)"""
"""What is too small to be hit, but for links within a text (WCAG 2.5.8)."""


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[AlertRig]:
    """Two hosts, one of which has a full disk."""
    made = AlertRig()
    made.know_rules()
    async with made.serving():
        await made.history("db-1", VAR, *(0.8 + 0.0018 * n for n in range(100)))
        for host in ("db-1", "web-1"):
            await made.send({VAR: 0.975, "system.cpu.utilization": 0.3}, host=host)
        await made.pipeline.tick(time.time())
        yield made


async def fire(rig: AlertRig, id_: str = "a1", host: str = "db-1", **more: object) -> None:
    """A disk is full."""
    await rig.judge.say(
        id_, host, severity="critical", unit="percent", value=0.975, limit=LIMIT,
        evidence=EVIDENCE, summary=f"/var on {host} is full", **more,
    )  # fmt: skip


async def live(page: Page, url: str) -> None:
    await page.goto(url)
    await expect(page.locator("[data-live]")).to_have_text("Live")


async def test_what_fires_comes_in_and_goes_by_itself(rig: AlertRig, page: Page) -> None:
    """It must be that each page shows what fires as soon as it does, and what is over no more."""
    await live(page, f"{rig.url}/alerts")
    alarm, calm = page.locator("[data-alarm]"), page.locator("[data-calm]")
    await expect(alarm).to_be_hidden()
    await expect(calm).to_be_visible()
    await fire(rig)
    row = page.locator('[data-section="firing"] li.alert')
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text("/var on db-1 is full")
    await expect(alarm).to_contain_text("1")
    await expect(calm).to_be_hidden()
    await live(page, f"{rig.url}/alerts")  # hosts are followed that fire when it is opened
    await rig.send({VAR: 0.991})
    await expect(row.locator(".v")).to_have_text("99.1 %")
    alert = rig.judge.book.get("a1")
    assert alert is not None
    await rig.notify.acks.acknowledge(ANN, alert, CANARY.replace("\u2028", ""))
    seen = page.locator('[data-section="acknowledged"] li.alert')
    await expect(seen).to_contain_text("<img src=x onerror=alert(1)>")
    await expect(row).to_have_count(0)
    await expect(alarm).to_be_hidden()
    await rig.notify.acks.take_back(ANN, alert)
    match = Selector.parse("host=db-1")
    await rig.notify.silences.create(ANN, Wish(match, until=time.time() + 60))
    await expect(page.locator('[data-section="silenced"] li.alert')).to_have_count(1)
    await fire(rig, state="resolved", was="firing")
    await expect(page.locator('[data-section="resolved"] li.alert')).to_have_count(1)
    await expect(page.locator('[data-section="silenced"]')).to_be_hidden()
    await expect(calm).to_be_visible()


async def test_other_pages_say_it_too(rig: AlertRig, page: Page) -> None:
    """It must be that the fleet marks the host, and its own page lists what fires on it."""
    await live(page, rig.url)
    mark = page.locator('tr[data-host="web-1"] .hostalarm')
    await fire(rig, "b1", "web-1")
    await expect(mark).to_contain_text("1")
    await expect(mark).to_have_attribute("href", "/alerts?match=host%3D%22web-1%22")
    await live(page, f"{rig.url}/hosts/web-1")
    listed = page.locator("[data-alerts]")
    await expect(listed.locator("li.alert")).to_have_count(1)
    await fire(rig, "b1", "web-1", state="resolved", was="firing")
    await expect(listed).to_be_hidden()
    await expect(page.locator("[data-alarm]")).to_be_hidden()


async def test_one_alert_is_drawn_with_its_limit(rig: AlertRig, page: Page) -> None:
    """It must be that the script draws what the server drew, and that keys read it."""
    await fire(rig)
    await page.goto(f"{rig.url}/alerts/a1")
    box = page.locator("[data-alert-chart] .plot")
    await expect(box).to_have_attribute("role", "slider")
    await expect(box.locator("path.limit")).to_have_count(1)
    await expect(box.locator("rect.wayback")).to_have_count(1)
    await expect(box.locator(".marker")).to_have_count(1)
    y = await box.locator("path.limit").get_attribute("d")
    assert y is not None
    assert abs(float(y.split()[1].partition("H")[0]) - 128 * 0.03) < 0.2
    await box.focus()
    await page.keyboard.press("ArrowLeft")
    await expect(box).to_have_attribute("aria-valuetext", re.compile(r"db-1 \d.* %"))
    moved = page.locator("[data-alert-moved]")
    await expect(moved).to_be_hidden()
    await fire(rig, state="resolved", was="firing")
    await expect(moved).to_be_visible()


async def test_nothing_is_wider_than_its_page(rig: AlertRig, one_browser: Browser) -> None:
    """It must be that every page fits, and every target can be hit, wide or narrow."""
    long_name = "a-very-long-host-name." * 8
    await rig.send({VAR: 0.9}, host=long_name)
    await fire(rig)
    await fire(rig, "long", long_name, attributes={"mountpoint": "/" + "x" * 200},
               metric="app.queue.length." + "y" * 150, reason="z" * 200)  # fmt: skip
    await rig.notify.silences.create(
        ANN, Wish(Selector.parse(f"host={long_name}, rule={'r' * 100}"), until=time.time() + 60)
    )
    for width in (1440, 768, 390):
        context = await one_browser.new_context(viewport={"width": width, "height": 900})
        page = await context.new_page()
        for path in (*PATHS, f"/hosts/{long_name}") if width != 768 else PATHS[:2]:
            await page.goto(rig.url + path)
            assert await page.evaluate(WIDE) <= 0, (width, path)
            if not path.startswith("/hosts"):
                assert await page.evaluate(SMALL) == [], (width, path)
        if width == 390:
            await page.goto(f"{rig.url}/alerts/a1")
            button = page.get_by_role("button", name="Acknowledge", exact=True)
            bounds = await button.bounding_box()
            assert bounds is not None
            assert bounds["y"] + bounds["height"] > 800  # under the thumb
            assert bounds["height"] >= 44
        await context.close()


async def test_it_works_without_a_script(rig: AlertRig, one_browser: Browser) -> None:
    """It must be that all is read and done with forms alone, by the keyboard."""
    await fire(rig)
    context: BrowserContext = await one_browser.new_context(java_script_enabled=False)
    context.set_default_timeout(15_000)
    page = await context.new_page()
    await page.goto(f"{rig.url}/alerts")
    await page.get_by_role("button", name="Acknowledge /var on db-1 is full").press("Enter")
    await expect(page).to_have_url(f"{rig.url}/alerts")
    await expect(page.locator('[data-section="acknowledged"] li.alert')).to_have_count(1)
    await page.get_by_role("link", name="/var on db-1 is full").press("Enter")
    await expect(page.locator("path.limit").first).to_be_attached()
    await page.get_by_role("button", name="Silence 1 h").press("Enter")
    await expect(page.locator("p.done")).to_contain_text("Silenced")
    (silence,) = rig.notify.silences.all()
    assert silence.match.text == "host=db-1, rule=disk_space, mountpoint=/var"
    await page.goto(f"{rig.url}/rules/backtest?rule=disk_space&since=1h")
    await page.get_by_role("button", name="Try it").press("Enter")
    await expect(page.locator(".verdict")).to_contain_text("disk_space")
    await context.close()
