"""Alerting as a whole: one real server with rules of its own, a receiver, and a browser.

Nothing is stood in for: values are pushed, the judge finds them, the receiver is told, and the
pages follow by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.conftest import StartServer
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

HOST = "db-1"
VAR = 'system.filesystem.utilization{mountpoint="/var"}'
RULES = """
[channels.hook]
url_file = "hook.url"
[defaults]
rules = false  # this machine's own disks may be full
[rules.disk_space]
metric = "system.filesystem.utilization"
hosts = "host=db-1"
critical = { above = "97%", clear_below = "94%" }
for = "1s"
summary = "{mountpoint} of {host} is {value} full"
[rules.queue_long]
metric = "app.queue.length"
critical = { above = 1000 }
for = "1h"
"""
PUSH_SECONDS = 0.5
PATIENCE = 15.0


class Receiver(http.server.BaseHTTPRequestHandler):
    """A webhook's receiver: whatever comes is kept by its server."""

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Receiving)
        with self.server.came:
            self.server.told.append(json.loads(said))
            self.server.came.notify_all()
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: it is a test's."""


class Receiving(http.server.ThreadingHTTPServer):
    """Where notifications go."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.told: list[dict[str, Any]] = []
        self.came = threading.Condition()

    def states(self) -> list[tuple[str, str]]:
        """Rule and state of every alert that it was told of, in order."""
        return [(alert["rule"], alert["status"]) for said in self.told for alert in said["alerts"]]


@pytest.fixture
def receiving() -> Iterator[Receiving]:
    """A receiver on a free port."""
    with Receiving() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(start_server: StartServer, receiving: Receiving, tmp_path: Path) -> Server:
    """A real server with the rules, which tells the receiver."""
    (tmp_path / "hook.url").write_text(f"http://127.0.0.1:{receiving.server_port}/hook")
    (tmp_path / "hook.url").chmod(0o600)
    config = tmp_path / "monitor.toml"
    config.write_text(RULES)
    return start_server("--config", str(config))


class Sender:
    """A host that says `values` again and again."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {"app.queue.length": 1.0, VAR: 0.5}

    async def run(self, url: str) -> None:
        """Say it until cancelled."""
        async with httpx.AsyncClient(base_url=url) as client:
            while True:
                said = {"host": HOST, "metrics": self.values}
                answer = await client.post("/api/v1/push", json=said)
                assert answer.status_code == 200, answer.text
                await asyncio.sleep(PUSH_SECONDS)


@pytest_asyncio.fixture(loop_scope="module")
async def sender(server: Server) -> AsyncIterator[Sender]:
    """The host, which goes on speaking while the test looks."""
    made = Sender()
    speaking = asyncio.create_task(made.run(server.url))
    yield made
    failed = speaking.done()
    speaking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await speaking
    assert not failed


async def told(receiving: Receiving, rule: str, state: str) -> None:
    """Wait until the receiver was told so."""

    def wait() -> bool:
        with receiving.came:
            return receiving.came.wait_for(lambda: (rule, state) in receiving.states(), PATIENCE)

    assert await asyncio.to_thread(wait), receiving.told


def section(name: str, host: str = HOST) -> str:
    return f'[data-section="{name}"] li.alert[data-host="{host}"]'


async def test_an_alert_from_its_first_value_to_its_end(
    page: Page, server: Server, sender: Sender, receiving: Receiving
) -> None:
    """It must be that what is pushed pends, fires, is told, shown and over by itself."""
    await page.goto(f"{server.url}/alerts")
    await expect(page.locator("[data-live]")).to_have_text("Live")
    alarm = page.locator("[data-alarm]")
    await expect(alarm).to_be_hidden()

    sender.values = {"app.queue.length": 5000.0, VAR: 0.993}
    row = page.locator(section("firing"))
    await expect(row).to_contain_text("/var of db-1 is 99.3% full")
    await expect(row.locator(".v")).to_have_text("99.3 %")
    await expect(row.locator(".limit")).to_have_text(re.compile(r"^> 97\s%, until < 94\s%$"))
    await expect(alarm).to_contain_text("1")
    await expect(page.locator(section("pending")).first).to_contain_text("queue long")
    await told(receiving, "disk_space", "firing")

    await row.get_by_role("link", name="/var of db-1").click()
    await expect(page.locator("h1")).to_have_text("/var of db-1 is 99.3% full")
    await expect(page.locator("[data-alert-chart] .plot")).to_have_attribute("role", "slider")
    await expect(page.locator("[data-alert-chart] path.limit")).to_have_count(1)
    await expect(page.locator(".story")).to_contain_text(["It fired at 99.3 %"])
    await page.locator("details.more > summary").click()
    await page.get_by_label("Note").fill("<b>on it</b>")
    await page.get_by_role("button", name="Acknowledge with this note").click()
    await expect(page.locator("ul.remarks")).to_contain_text("<b>on it</b>")
    await expect(alarm).to_be_hidden()
    await page.get_by_role("button", name="Silence 1 h").click()
    await expect(page.locator("p.done")).to_contain_text("Silenced")

    sender.values = {"app.queue.length": 1.0, VAR: 0.5}
    await expect(page.locator("[data-alert-moved]")).to_be_visible()
    await page.get_by_role("link", name="Show it as it is now").click()
    await expect(page.locator("article.alertpage")).to_have_attribute(
        "data-alert-state", "resolved"
    )
    await told(receiving, "disk_space", "resolved")
    await page.goto(f"{server.url}/alerts")
    await expect(page.locator(section("resolved"))).to_contain_text("/var of db-1")
    await expect(page.locator(section("firing"))).to_have_count(0)
    assert receiving.states().count(("disk_space", "firing")) == 1
    assert all(rule != "queue_long" for rule, _ in receiving.states())
