"""A real server of its own, in a real browser, over its own TLS and over plain loopback."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.conftest import StartServer
from tests.serving import Server, checkout_command, checkout_environment

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PASSWORD = "correct horse battery"

VIOLATIONS = """
globalThis.violations = [];
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  violations.push(`${violatedDirective} ${blockedURI}`);
});
"""


async def make_first_account(server: Server) -> None:
    """From the command line, while the server runs; it asks for logins soon after."""
    line = [*checkout_command(), "user", "create", "ann", "--role", "admin", "--password-stdin"]
    await asyncio.to_thread(
        subprocess.run,
        [*line, "--data", str(server.data)],
        input=PASSWORD.encode(),
        env=checkout_environment(),
        check=True,
        capture_output=True,
        cwd=server.data,
    )


async def come_in(page: Page, url: str) -> None:
    """Wait until the server asks, and log in."""
    async with asyncio.timeout(10):
        await page.goto(url)
        while "/login" not in page.url:
            await page.goto(url)
    await page.locator("#username").fill("ann")
    await page.locator("#password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator(".who")).to_contain_text("ann")


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("tls", ["auto", "off"])
async def test_people_come_in_over_our_own_tls_and_over_plain_loopback(
    start_server: StartServer, one_browser: Browser, tmp_path: Path, tls: str, has_script: bool
) -> None:
    """It must be that the pages live, that no policy is broken, and that the cookie is safe."""
    config = tmp_path / "config.toml"
    config.write_text(f'[server]\ntls = "{tls}"\n')
    server = await asyncio.to_thread(start_server, "--config", str(config))
    secure = tls == "auto"
    assert server.url.startswith("https://" if secure else "http://")
    context = await one_browser.new_context(
        ignore_https_errors=True, java_script_enabled=has_script
    )
    context.set_default_timeout(15_000)
    if has_script:
        await context.add_init_script(VIOLATIONS)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(error.message))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    await page.goto(server.url)
    await expect(page.get_by_text("no account exists").first).to_be_visible()
    await page.goto("about:blank")  # its stream ends with the first account, and would complain
    await make_first_account(server)
    await come_in(page, server.url)
    (cookie,) = await context.cookies()
    assert cookie["name"] == ("__Host-monitor_session" if secure else "monitor_session")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert cookie["secure"] is secure
    for path in ("/", "/events", "/settings", "/settings/tokens"):
        await page.goto(server.url + path)
        await expect(page.locator(".who")).to_contain_text("ann")
        if has_script and path in {"/", "/events"}:
            await expect(page.locator("[data-live]")).to_have_text("Live")
        if has_script:
            assert await page.evaluate("violations") == [], path
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(f"{server.url}/login")
    assert await context.cookies() == []
    await context.close()
    assert faults == []
