"""The fleet in a real browser: who has retired, who was turned away, and how a host leaves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from monitor.errors import InputError
from monitor.model import Introduction
from tests.browser.rig import Rig

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CPU = "system.cpu.utilization"
EVIL = '<img src=x onerror="document.title=1">'
WIDTHS = (1440, 768, 390)


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    """A server with a host that has retired, one whose clock is wrong, and some turned away."""
    made = Rig("hub")
    async with made.serving() as running:
        for host in ("hub", "web-1", "web-2", "old-1"):
            await made.send({CPU: 0.2}, host=host)
        await made.pipeline.tick(time.time())
        await made.pipeline.retire("old-1", "for a test")
        await made.fleet.met(Introduction("web-2", agent="first", skew_seconds=30.0))
        taken = InputError("taken", code="host_taken")
        said = Introduction("web-2", agent=EVIL, info={"version": EVIL})
        made.fleet.refused(said, taken, EVIL)
        for number in range(4):
            error = InputError(EVIL, code="odd")
            made.fleet.refused(Introduction(f"{EVIL}{number}", agent="x"), error)
        yield running


async def test_who_has_retired_stays_below_until_it_sends(rig: Rig, page: Page) -> None:
    """It must be that what was last known of it does not bring it back, and a frame does."""
    await page.goto(rig.url)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await rig.send({CPU: 0.5}, host="web-1")
    value = page.locator(f"tr[data-host='web-1'] [data-key='{CPU}'] > span").first
    await expect(value).to_have_text("50.0")
    fleet = page.locator("[data-fleet] tbody tr")
    await expect(fleet).to_have_count(3)
    await expect(page.locator("[data-count=retired]")).to_have_text("1")
    await page.get_by_role("heading", name="Retired").click()
    await expect(page.get_by_role("link", name="old-1")).to_be_visible()

    await rig.send({CPU: 0.7}, host="old-1")
    await expect(fleet).to_have_count(4)
    await rig.pipeline.tick(time.time())
    await expect(page.locator("[data-fleet] tr[data-host='old-1'] .status")).to_contain_text("up")
    await expect(page.locator("[data-retired] tbody tr")).to_have_count(0)
    await expect(page.locator("[data-count=up]")).to_have_text("4")


async def test_another_machine_is_accepted(rig: Rig, page: Page) -> None:
    await page.goto(rig.url)
    await expect(page.locator("tr[data-host='web-2'] .skew")).to_have_text("▲ clock 30 s behind")
    await page.get_by_text("and 2 more").click()
    notice = page.locator(".refused li").filter(has_text="web-2")
    await expect(notice).to_contain_text("Another machine calls itself web-2")
    await notice.get_by_role("button", name="Accept the new machine").click()
    await expect(page.get_by_role("heading", name="web-2")).to_be_visible()
    assert rig.fleet.agent_of("web-2") == EVIL
    await page.goto(rig.url)
    await expect(page.locator(".refused")).to_be_visible()
    await expect(page.locator(".refused")).not_to_contain_text("web-2")


async def test_a_host_is_deleted_without_script(rig: Rig, browser: Browser) -> None:
    """It must be that it takes two deliberate steps, and no script."""
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{rig.url}/hosts/web-1")
    button = page.get_by_role("button", name="Yes, erase web-1")
    await expect(button).to_be_hidden()
    await page.get_by_text("Delete web-1 …").click()
    await button.click()
    await expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
    await expect(page.locator("tr[data-host='web-1']")).to_have_count(0)
    assert "web-1" not in rig.state.hosts
    await page.goto(f"{rig.url}/hosts/hub")
    await expect(page.get_by_text("Delete hub …")).to_have_count(0)
    await expect(page.locator("#sender")).to_contain_text("this server itself")
    await context.close()


@pytest.mark.parametrize("width", WIDTHS)
async def test_nothing_is_wider_than_the_page(rig: Rig, page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 900})
    for path in ("/", "/hosts/web-2", "/settings/flows"):
        await page.goto(f"{rig.url}{path}")
        await page.evaluate(
            "document.querySelectorAll('details').forEach((d) => { d.open = true })"
        )
        over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert over <= 0, path
        assert await page.title() != "1"
        await expect(page.locator("img[src=x]")).to_have_count(0)
