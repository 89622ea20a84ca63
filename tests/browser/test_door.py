"""The door in a real browser: in and out, with and without script, and what a page says after."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from monitor.core.access import Role
from tests.browser.tabs import CPU, WITHOUT_WORKER, notify
from tests.web.house import PASSWORD, ROOT, PeopledRig

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

VIOLATIONS = """
globalThis.violations = [];
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  violations.push(`${violatedDirective} ${blockedURI}`);
});
"""

PAGES = (
    "/login",
    "/",
    "/hosts/web-1",
    "/events",
    "/settings",
    "/settings/sessions",
    "/settings/accounts",
    "/settings/accounts/ann",
    "/settings/tokens",
    "/settings/about",
    "/nowhere",
)


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[PeopledRig]:
    """A server with an administrator and one host."""
    made = PeopledRig()
    async with made.serving():
        await made.person("ann", Role.ADMIN)
        await made.send({CPU: 0.2, "system.memory.utilization": 0.5})
        await made.pipeline.tick(time.time())
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def scriptless(one_browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser's profile in which no script runs."""
    made = await one_browser.new_context(java_script_enabled=False)
    made.set_default_timeout(15_000)
    yield made
    await made.close()


async def log_in(page: Page, url: str, path: str = "/", password: str = PASSWORD) -> None:
    """Come in with the keyboard alone; the first field has the focus already."""
    await page.goto(url + path)
    await expect(page.locator("#username")).to_be_focused()
    await page.keyboard.type("ann")
    await page.keyboard.press("Tab")
    await page.keyboard.type(password)
    await page.keyboard.press("Enter")


@pytest.mark.parametrize("has_script", [True, False])
async def test_people_come_in_and_leave(
    rig: PeopledRig, context: BrowserContext, scriptless: BrowserContext, has_script: bool
) -> None:
    """It must be that the page that was asked for comes, wrong or right, script or none."""
    page = await (context if has_script else scriptless).new_page()
    await log_in(page, rig.url, "/hosts/web-1?range=6h", "not the password")
    await expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("Not logged in")
    await expect(page.locator("#username")).to_have_value("ann")
    await page.locator("#password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{rig.url}/hosts/web-1?range=6h")
    await expect(page.locator(".who")).to_contain_text("ann")
    if has_script:
        await expect(page.locator("[data-live]")).to_have_text("Live")
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(f"{rig.url}/login")
    await page.goto(rig.url)
    await expect(page).to_have_url(f"{rig.url}/login")


@pytest.mark.parametrize("has_worker", [True, False])
async def test_a_session_that_is_ended_elsewhere_ends_here(
    rig: PeopledRig, context: BrowserContext, has_worker: bool
) -> None:
    """It must be that every tab says so within 2 s, asks no more, and a login brings it back."""
    if not has_worker:
        await context.add_init_script(WITHOUT_WORKER)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    first, second = await context.new_page(), await context.new_page()
    await log_in(first, rig.url, "/events?kind=host")
    await expect(first.locator(".who")).to_be_visible()
    await second.goto(f"{rig.url}/hosts/web-1")
    for page in (first, second):
        await expect(page.locator("[data-live]")).to_have_text("Live")
    (session,) = rig.office.accounts.sessions_of("ann")
    await rig.office.accounts.end_session(ROOT, session.id)
    for page in (first, second):
        await expect(page.locator("[data-ended]")).to_be_visible(timeout=2_000)
        await expect(page.locator("[data-live]")).to_have_text("■ Logged out")
    before = len(asked)
    await first.evaluate("dispatchEvent(new Event('online'))")
    await first.wait_for_timeout(1_500)
    assert len(asked) == before
    assert rig.hub.client_count == 0
    await first.get_by_role("link", name="Log in").click()
    await first.locator("#username").fill("ann")
    await first.locator("#password").fill(PASSWORD)
    await first.keyboard.press("Enter")
    await expect(first).to_have_url(f"{rig.url}/events?kind=host")
    await expect(first.locator("[data-live]")).to_have_text("Live")
    await expect(second.locator("[data-live]")).to_have_text("■ Logged out")


async def test_a_question_that_is_refused_ends_the_page_too(
    rig: PeopledRig, context: BrowserContext
) -> None:
    """It must be that a 401 of any request of the page's says the same as the stream's."""
    page = await context.new_page()
    await log_in(page, rig.url)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await page.route("**/api/v1/hosts", lambda route: route.fulfill(status=401, body="{}"))
    await page.evaluate(
        """async () => {
          const { Statuses } = await import("/static/js/status.js");
          new Statuses(() => {}, new AbortController().signal).mend();
        }"""
    )
    await expect(page.locator("[data-ended]")).to_be_visible()
    await expect(page.get_by_role("link", name="Log in")).to_have_attribute(
        "href", "/login?next=%2F"
    )


async def test_another_role_brings_the_stream_back(
    rig: PeopledRig, context: BrowserContext
) -> None:
    """It must be that a stream that ends because rights changed begins again with today's."""
    await rig.office.accounts.create(ROOT, "zoe", Role.ADMIN, PASSWORD)
    page = await context.new_page()
    await log_in(page, rig.url, "/events")
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await rig.office.accounts.set_role(ROOT, "ann", Role.VIEWER)
    await expect(page.locator("[data-live]")).to_contain_text("Not live")
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await notify(rig, "for everybody")
    await expect(page.locator("[data-events] .what").first).to_have_text("for everybody")
    await expect(page.locator("[data-ended]")).to_be_hidden()


async def test_events_come_in_by_themselves(rig: PeopledRig, page: Page) -> None:
    """It must be that a new event stands on top, as the server would have drawn it, and inert."""
    await log_in(page, rig.url, "/events")
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await notify(rig, "<b>rain</b>")
    await rig.office.accounts.create(ROOT, "bob", Role.VIEWER, PASSWORD, ("web-*", "db-1"))
    await rig.send({CPU: 0.3}, host="web-2")
    await rig.pipeline.tick(time.time())
    rows = page.locator("[data-events] li")
    await expect(rows.nth(0)).to_contain_text("web-2 is up")
    await expect(rows.nth(1)).to_contain_text("root: account.create bob")
    await expect(rows.nth(2).locator(".what")).to_have_text("<b>rain</b>")
    live = await page.locator("[data-events]").inner_text()
    await page.reload()
    await expect(rows.nth(0)).to_contain_text("web-2 is up")
    assert await page.locator("[data-events]").inner_text() == live


async def test_settings_take_no_script(rig: PeopledRig, scriptless: BrowserContext) -> None:
    """It must be that an account and a token are made, used and ended by forms alone."""
    page = await scriptless.new_page()
    await log_in(page, rig.url, "/settings/accounts")
    await page.get_by_label("Name").fill("bob")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create the account").click()
    await expect(page.get_by_role("status").filter(visible=True)).to_contain_text(
        "The account is made"
    )
    await page.get_by_role("link", name="Change bob").click()
    await page.get_by_text("Delete bob …").click()
    await page.get_by_role("button", name="Yes, delete bob").click()
    await expect(page.get_by_role("status").filter(visible=True)).to_contain_text(
        "The account is deleted"
    )
    await page.get_by_role("link", name="Tokens").click()
    await page.get_by_text("Agent", exact=True).click()
    await page.get_by_label("Host its name").fill("web-9")
    await page.locator("details[open]").get_by_role("button", name="Create the token").click()
    text = await page.locator("#token-text").text_content() or ""
    assert re.fullmatch(r"agt_[0-9a-f]{10}_\w{43}", text)
    assert rig.office.directory.by_token(text, time.time()) is not None
    await page.locator(".sure summary").click()
    await page.get_by_role("button", name="Revoke now").click()
    assert rig.office.directory.by_token(text, time.time()) is None


async def test_a_token_is_copied_with_a_button(rig: PeopledRig, context: BrowserContext) -> None:
    """It must be that the button copies the token whole, and says that it did."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=rig.url)
    page = await context.new_page()
    await log_in(page, rig.url, "/settings/tokens")
    await page.get_by_text("API", exact=True).click()
    await page.locator("details[open]").get_by_role("button", name="Create the token").click()
    await page.locator("[data-copy=token-text]").click()
    await expect(page.locator("[data-copy=token-text]")).to_have_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == await page.locator("#token-text").text_content()


@pytest.mark.parametrize("width", [1440, 390])
async def test_no_page_breaks_its_policy_or_its_width(
    rig: PeopledRig, one_browser: Browser, width: int
) -> None:
    """It must be that no page violates the policy, says an error, or is wider than its window."""
    context = await one_browser.new_context(viewport={"width": width, "height": 900})
    await context.add_init_script(VIOLATIONS)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(error.message))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    for path in PAGES:
        if path == PAGES[1]:
            await log_in(page, rig.url, "/login")
            await expect(page.locator(".who")).to_be_visible()
        await page.goto(rig.url + path)
        if path in {"/", "/hosts/web-1", "/events"}:
            await expect(page.locator("[data-live]")).to_have_text("Live")
        assert await page.evaluate("violations") == [], path
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(overflow) <= 0, path
    await context.close()
    # Chromium says of the one page that is not there that it is not.
    assert [fault for fault in faults if "404" not in fault] == []
