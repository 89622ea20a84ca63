"""What the whole suite shares: a real server, and a real browser.

`server` and `start_server` run the program in its own process.  `chromium` says where the
browser is; a test that asks for it is skipped where there is none, with the exact thing that
is missing, and fails where CI=true.  `page` is a fresh page whose uncaught errors and
refusals by the content security policy fail the test; a test that breaks things on purpose
opens its own from `browser`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright

from tests import serving
from tests.elsewhere import elsewhere as elsewhere  # noqa: PLC0414 - a fixture of everybody's

CHROMIUM = "/usr/bin/chromium"
"""Where Debian puts it."""

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""No sandbox, since tests may run as root in a container; no calls home."""

ACTION_MILLISECONDS = 15_000
"""How long one step of a page may take."""

StartServer = Callable[..., serving.Server]

ALONE = "one at a time"
"""The group of whatever sees or changes the machine's network: Chromium gives up what it loads
where an interface comes or goes."""

NETWORK_FILES = frozenset({"test_cases_slow.py", "test_outage.py"})
"""Files outside of `tests/browser` that belong to it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the processes that run the tests side by side take whole files, and some of them one."""
    for item in items:
        in_browser = "browser" in item.path.parts or item.get_closest_marker("browser")
        name = ALONE if in_browser or item.path.name in NETWORK_FILES else str(item.path)
        item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """A function that starts servers, each of which must end with exit status 0.

    Its arguments follow `serve`: ``start_server("--config", str(path))``.  With `name` it
    gets a folder of its own below the test's, so that one test can run several.
    """
    started: list[serving.Server] = []

    def start(*options: str, name: str = "server") -> serving.Server:
        server = serving.start(tmp_path / name, *options)
        started.append(server)
        return server

    yield start
    endings = [(server, server.end()) for server in started]
    for server, status in endings:
        assert status == 0, f"the server ended with status {status}:\n{server.said()}"


@pytest.fixture
def server(start_server: StartServer) -> serving.Server:
    """A server with no configuration at all, listening on a free port of loopback."""
    return start_server()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    path = shutil.which(os.environ.get("CHROMIUM") or CHROMIUM)
    if path is not None:
        return path
    missing = f"Chromium is missing: {CHROMIUM} (as root: apt-get install chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{missing}; with CI=true a browser test is never skipped", pytrace=False)
    pytest.skip(missing)


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Debian's Chromium, headless, with a profile of its own."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_ARGUMENTS), headless=True
        )
        yield running
        await running.close()


@contextlib.asynccontextmanager
async def faultless(browser: Browser) -> AsyncIterator[Page]:
    """A page of 1440 by 900 in which nothing may go wrong unseen."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(ACTION_MILLISECONDS)
    opened = await context.new_page()
    faults: list[str] = []

    def on_error(error: Error) -> None:
        faults.append(f"uncaught: {error.message}")

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    opened.on("pageerror", on_error)
    opened.on("console", on_console)
    yield opened
    await context.close()
    assert not faults, "the page had faults:\n" + "\n".join(faults)


@pytest.fixture
async def page(browser: Browser, start_server: StartServer) -> AsyncIterator[Page]:
    """A page of 1440 by 900 in which nothing may go wrong unseen.

    It asks for `start_server` only to be closed before any server ends: a page that loses
    its stream complains, and rightly.
    """
    async with faultless(browser) as opened:
        yield opened
