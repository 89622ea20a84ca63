"""The browser's side of the stream, in a real browser: one connection, never lost, never twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright, expect

from monitor.core import messages
from monitor.core.events import position_text
from monitor.model import EventType, HostStatus
from monitor.stream import delivery
from tests import serving
from tests.browser.proxy import Mode, Proxy
from tests.browser.rig import Rig
from tests.conftest import CHROMIUM_ARGUMENTS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CPU = "system.cpu.utilization"
NUMBER = f"[data-key='{CPU}'] > span"
LOST = "Not live"
BLOCKED = "▲ Stream blocked by a proxy: refreshed every 5 s"

WITHOUT_WORKER = "delete globalThis.SharedWorker"
"""A browser that has no shared workers; and one whose clock a test can set, which reaches pages
and not workers."""

HARD_TEXT = (
    'a\u2028b\u2029c\u0085d\u000be\u000cf\r\ng\rh\ni\x1f\x7f 😀 שלום \ufeff</script> \\ "q" data: x'
)

HEAR = """async ([topics, position]) => {
  const home = await (await fetch("/", { headers: { Accept: "text/html" } })).text();
  const [, version] = home.match(/data-version="([0-9a-f]+)"/);
  const { connect } = await import("/static/js/tab.js");
  globalThis.heard = [];
  globalThis.states = [];
  globalThis.leaving = new AbortController();
  const listener = {
    onMessage: (message) => heard.push(message),
    onState: (state) => states.push(state),
  };
  connect({ topics, position, version }, listener, leaving.signal);
}"""
"""Hears a stream as the pages do, with whom it shares a worker, and keeps what it heard."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One browser for all tests here: each has a profile of its own in it."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_ARGUMENTS), headless=True
        )
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    """A server of two hosts."""
    made = Rig("web-1")
    async with made.serving() as running:
        for host in ("web-1", "web-2"):
            await made.send({CPU: 0.2, "system.memory.utilization": 0.5}, host=host)
        await made.pipeline.tick(time.time())
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser's profile, in which things may go wrong."""
    made = await browser.new_context()
    made.set_default_timeout(15_000)
    yield made
    await made.close()


async def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        await asyncio.sleep(0.01)


async def opened(context: BrowserContext, url: str) -> Page:
    """A tab that is live."""
    page = await context.new_page()
    await page.goto(url)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    return page


async def hearing(context: BrowserContext, url: str, *topics: str, position: str = "") -> Page:
    """A tab that does nothing but hear some topics."""
    page = await context.new_page()
    await page.goto(f"{url}/healthz")
    await page.evaluate(HEAR, [list(topics), position])
    return page


async def heard(page: Page, *types: str) -> list[dict[str, Any]]:
    """What such a tab has heard so far of some types."""
    found: list[dict[str, Any]] = await page.evaluate("heard")
    return [message for message in found if message["type"] in types]


async def has_heard(page: Page, type_: str, count: int = 1) -> None:
    """Wait until such a tab has heard so many of a type."""
    await page.wait_for_function(
        "([type, count]) => heard.filter((m) => m.type === type).length >= count",
        arg=[type_, count],
    )


async def notify(rig: Rig, *texts: str) -> None:
    """Log notices."""
    made = [
        messages.event(
            messages.Notice(kind="server", text=text), time.time(), f"{rig.host}-{next(_numbers)}"
        )
        for text in texts
    ]
    await rig.log.append(made)


_numbers = itertools.count()


async def clocked(context: BrowserContext, url: str) -> Page:
    """A live page with a stream of its own, and a clock that a test can set forward."""
    page = await context.new_page()
    await page.add_init_script(WITHOUT_WORKER)
    await page.clock.install()
    await page.goto(url)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    return page


async def pass_seconds(page: Page, seconds: int) -> None:
    """Set a page's clock forward, in steps that leave the network its time."""
    for _ in range(0, seconds, 2):
        await page.clock.run_for(2_000)
        await asyncio.sleep(0.02)


async def hurry(page: Page) -> None:
    """Have a page connect at once: how long a browser waits is not the clock's to set forward."""
    await page.clock.run_for(1_100)
    await page.evaluate("dispatchEvent(new Event('online'))")


async def test_ten_tabs_are_live_on_one_connection(rig: Rig, context: BrowserContext) -> None:
    """It must be that tabs share a stream, and that it ends with the last of them."""
    paths = ["/", "/hosts/web-1"] * 5
    pages = await asyncio.gather(*(opened(context, rig.url + path) for path in paths))
    await eventually(lambda: rig.hub.client_count == 1)
    await rig.send({CPU: 0.777, "system.memory.utilization": 0.5})
    for page in pages:
        await expect(page.locator(NUMBER).first).to_have_text("77.7")
    eleventh = await context.new_page()
    await eleventh.goto(f"{rig.url}/healthz")
    took = await eleventh.evaluate(
        """async () => {
          const start = performance.now();
          await (await fetch("/api/v1/hosts")).json();
          return performance.now() - start;
        }"""
    )
    assert took < 1_000
    assert rig.hub.client_count == 1
    await pages.pop().close()
    await rig.send({CPU: 0.333, "system.memory.utilization": 0.5})
    for page in pages:
        await expect(page.locator(NUMBER).first).to_have_text("33.3")
    assert rig.hub.client_count == 1
    await asyncio.gather(*(page.close() for page in pages))
    await eventually(lambda: rig.hub.client_count == 0, seconds=1.0)


async def test_each_tab_gets_what_is_its_own_once(rig: Rig, context: BrowserContext) -> None:
    """It must be that a tab on another host's page changes nothing for those that are there."""
    start = position_text(rig.log.epoch, 0)
    first = await hearing(context, rig.url, "fleet", "log", position=start)
    await has_heard(first, "host_update", 2)
    await notify(rig, "one", "two")
    await has_heard(first, "notice", 2)
    here = position_text(rig.log.epoch, await rig.log.last())
    second = await hearing(context, rig.url, "host:web-2", position=here)
    await has_heard(second, "metric_update")
    late = await hearing(context, rig.url, "log", position=start)
    await has_heard(late, "notice", 2)
    await notify(rig, "three")
    for page in (first, late):
        await has_heard(page, "notice", 3)
        notices = await heard(page, "notice")
        assert [notice["data"]["text"] for notice in notices] == ["one", "two", "three"]
        assert len(await heard(page, "host_update")) == 2
    assert len(await heard(first, "connected")) == 1
    assert await heard(second, "notice", "host_update") == []
    assert {update["data"].get("host") for update in await heard(second, "metric_update")} == {
        "web-2"
    }
    assert await heard(late, "metric_update") == []
    await eventually(lambda: rig.hub.client_count == 1)


async def test_a_new_tab_has_the_state_before_its_first_change(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that whoever joins a stream that runs sees all values first, then changes."""
    await rig.send({CPU: 0.2}, {"system": [{"os": "said once"}]})

    async def change() -> None:
        for step in itertools.count():
            await rig.send({CPU: step % 100 / 100})
            await asyncio.sleep(0.02)

    changing = asyncio.create_task(change())
    try:
        for _ in range(3):
            page = await hearing(context, rig.url, "host:web-1")
            await has_heard(page, "metric_update", 4)
            first, *others = await heard(page, "metric_update")
            assert first["snapshot"]
            assert first["data"]["snapshots"] == {"system": [{"os": "said once"}]}
            assert not any(update["snapshot"] for update in others)
            assert not any(update["data"]["snapshots"] for update in others)
            assert (await page.evaluate("heard[0].type")) == "connected"
    finally:
        changing.cancel()


async def test_state_that_bears_a_logged_type_arrives(rig: Rig, context: BrowserContext) -> None:
    """It must be that a pending alert, which has no place in the log, is no repetition of one."""
    page = await hearing(context, rig.url, "alerts", "log")
    await has_heard(page, "connected")
    await notify(rig, "before")
    await has_heard(page, "notice")
    for value in (0.91, 0.92):
        pending = messages.Alert(
            alert="a1",
            rule="cpu_busy",
            host="web-1",
            attributes={},
            state="pending",
            was=None,
            severity="warning",
            value=value,
            since=1.0,
        )
        rig.hub.show("alerts", "a1", EventType.ALERT, msgspec.to_builtins(pending))
        await page.wait_for_function(
            "(value) => heard.some((m) => m.type === 'alert' && m.data.value === value)", arg=value
        )
    assert {alert["id"] for alert in await heard(page, "alert")} == {""}


async def test_a_topic_that_is_refused_costs_the_other_tabs_nothing(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that one tab's unknown host leaves the others live, and comes when it is known."""
    live = await opened(context, f"{rig.url}/")
    page = await hearing(context, rig.url, "host:young")
    await page.wait_for_function("() => states.includes('refused')")
    await rig.send({CPU: 0.444})
    await expect(live.locator(NUMBER).first).to_have_text("44.4")
    assert await live.locator("[data-live]").text_content() == "Live"
    await rig.send({CPU: 0.5}, host="young")
    await has_heard(page, "metric_update")
    assert await page.evaluate("states.at(-1)") == "live"


@pytest.mark.parametrize("crashing", [0, 1])
async def test_a_tab_that_crashes_is_forgotten(
    rig: Rig, context: BrowserContext, crashing: int
) -> None:
    """It must be that who never says goodbye costs the others nothing, nor is streamed to.

    The first tab takes the worker with it, which lives in that tab's process.
    """
    async with Proxy(rig.url).serving() as proxy:
        pages = [await opened(context, f"{proxy.url}/hosts/web-{n}") for n in (1, 2)]
        session = await context.new_cdp_session(pages[crashing])
        with contextlib.suppress(Exception):  # the answer never comes: that is the crash
            await asyncio.wait_for(session.send("Page.crash"), 0.5)
        await opened(context, f"{proxy.url}/")
        left = f"web-{2 - crashing}"
        await rig.send({CPU: 0.555}, host=left)
        await expect(pages[1 - crashing].locator(NUMBER).first).to_have_text("55.5")
        assert f"topics=fleet,host:{left}&" in proxy.asked[-1]
        await eventually(lambda: rig.hub.client_count == 1)


async def test_the_end_of_a_lease_alarms_nobody(
    rig: Rig, context: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be that a stream that ends by plan is back unnoticed, with everything in between."""
    monkeypatch.setattr(delivery, "LEASE_SECONDS", (0.3, 0.4))
    page = await hearing(context, rig.url, "log")
    await has_heard(page, "connected")
    monkeypatch.undo()
    await eventually(lambda: rig.hub.client_count == 0)
    await notify(rig, "while it was away")
    await has_heard(page, "notice")
    assert len(await heard(page, "connected")) == 2
    assert not any("gap" in said["data"] for said in await heard(page, "connected"))
    assert set(await page.evaluate("states")) == {"live"}


async def test_a_page_that_comes_back_from_the_cache_is_live_again(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that a page lets go when it is left, and joins anew when it is shown again."""
    page = await opened(context, f"{rig.url}/hosts/web-1")
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    await eventually(lambda: rig.hub.client_count == 0)
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    await eventually(lambda: rig.hub.client_count == 1)
    await rig.send({CPU: 0.555})
    await expect(page.locator(NUMBER).first).to_have_text("55.5")


async def test_hard_texts_round_trip(rig: Rig, context: BrowserContext) -> None:
    """It must be that no character of an event ends a line, a field or the event."""
    start = position_text(rig.log.epoch, 0)
    await notify(rig, HARD_TEXT, "after")
    page = await hearing(context, rig.url, "log", position=start)
    await has_heard(page, "notice", 2)
    texts = [notice["data"]["text"] for notice in await heard(page, "notice")]
    assert texts == [HARD_TEXT, "after"]


async def test_a_poll_reads_what_a_stream_would(rig: Rig, context: BrowserContext) -> None:
    """It must be that an answer that ends carries the same events, and reaches as far."""
    start = position_text(rig.log.epoch, 0)
    await notify(rig, HARD_TEXT, "after")
    page = await context.new_page()
    await page.goto(f"{rig.url}/healthz")
    answer = await page.evaluate(
        """async ([position]) => {
          const { poll } = await import("/static/js/poll.js");
          return await poll(["log", "fleet"], position, new AbortController().signal);
        }""",
        [start],
    )
    assert answer["position"] == position_text(rig.log.epoch, await rig.log.last())
    types = [message["type"] for message in answer["messages"]]
    assert types == ["connected", "host_update", "host_update", "notice", "notice", "metric_update"]
    ids = [message["id"] for message in answer["messages"][1:5]]
    assert ids == [position_text(rig.log.epoch, sequence) for sequence in (1, 2, 3, 4)]


async def test_the_parser_reads_the_format_as_browsers_do(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that however a stream is cut into pieces, its messages are the standard's."""
    stream = (
        "\ufeff:comment\r\nid: 1\rdata: a\ndata:b\r\n\r\nevent: x\ndata\ndata:  two\n\n"
        "id: 2\n\nid: bad\0id\nevent:y\ndata:{}\n\n"
        "retry: 5\nunknown: z\n\nid\ndata: c\n\ndata: lost"
    )
    page = await context.new_page()
    await page.goto(f"{rig.url}/healthz")
    readings = await page.evaluate(
        """async ([stream]) => {
          const { Parser } = await import("/static/js/eventstream.js");
          const read = (pieces) => {
            const found = [];
            const parser = new Parser((type, data, id) => found.push([type, data, id]));
            for (const piece of pieces) parser.feed(piece);
            parser.end();
            return JSON.stringify([...found, parser.position]);
          };
          const readings = new Set([read([stream]), read([...stream])]);
          for (let cut = 1; cut < stream.length; cut += 1) {
            readings.add(read([stream.slice(0, cut), stream.slice(cut)]));
          }
          return [...readings].map((reading) => JSON.parse(reading));
        }""",
        [stream],
    )
    assert readings == [
        [
            ["message", "a\nb", "1"],
            ["x", "\n two", "1"],
            ["y", "{}", "2"],
            ["message", "c", ""],
            "",
        ]
    ]


async def test_a_burst_loses_only_state_that_is_superseded(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that a page that is not drawn keeps every event and the newest of all state."""
    page = await context.new_page()
    await page.goto(f"{rig.url}/healthz")
    applied = await page.evaluate(
        """async () => {
          const { perFrame } = await import("/static/js/buffer.js");
          const { withoutSuperseded } = await import("/static/js/messages.js");
          const applied = [];
          const ended = new AbortController();
          const push = perFrame((items) => applied.push(...items), withoutSuperseded, ended.signal);
          const message = (type, data, id) => push({ type, data, id, snapshot: false });
          for (let n = 0; n < 5000; n += 1) {
            message("notice", { n }, `0123456789abcdef-${n}`);
            message("metric_update", { at: n, metrics: ["m"], hosts: { [`h${n % 3}`]: [n] } }, "");
            const metrics = { [`k${n % 2}`]: n };
            message("metric_update", { at: n, host: "h", metrics, snapshots: {} }, "");
          }
          await new Promise((done) => setTimeout(done, 1500));
          return applied;
        }"""
    )
    assert [m["data"]["n"] for m in applied if m["type"] == "notice"] == list(range(5_000))
    rows: dict[str, list[int]] = {}
    metrics: dict[str, int] = {}
    state = [m["data"] for m in applied if m["type"] == "metric_update"]
    for data in state:
        rows |= data.get("hosts", {})
        metrics |= data.get("metrics", {}) if "host" in data else {}
    assert rows == {"h0": [4_998], "h1": [4_999], "h2": [4_997]}
    assert metrics == {"k0": 4_998, "k1": 4_999}
    assert len(state) < 5_000


async def test_a_worker_that_does_not_answer_is_done_without(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that a page whose worker cannot start opens a stream of its own."""
    page = await context.new_page()
    await page.add_init_script(
        """globalThis.SharedWorker = class extends EventTarget {
          constructor() { super(); this.port = new MessageChannel().port1; }
        }"""
    )
    await page.clock.install()
    await page.goto(f"{rig.url}/hosts/web-1")
    assert rig.hub.client_count == 0
    await page.clock.run_for(3_100)
    await expect(page.locator("[data-live]")).to_have_text("Live")
    await rig.send({CPU: 0.666})
    await expect(page.locator(NUMBER).first).to_have_text("66.6")


async def test_a_withheld_stream_is_polled_until_it_speaks(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that behind a proxy that buffers, numbers move, and the page says how."""
    async with Proxy(rig.url).serving() as proxy:
        page = await clocked(context, f"{proxy.url}/hosts/web-1")
        banner, number = page.locator("[data-live]"), page.locator(NUMBER).first
        proxy.mode = Mode.BUFFER
        proxy.cut()
        await expect(banner).to_contain_text(LOST)
        await hurry(page)
        await page.clock.run_for(8_100)
        await expect(banner).to_have_text(BLOCKED)
        for share, text in ((0.611, "61.1"), (0.622, "62.2")):
            await rig.send({CPU: share})
            await page.clock.run_for(6_100)
            await expect(number).to_have_text(text)
        assert await banner.text_content() == BLOCKED
        before = proxy.streams
        await pass_seconds(page, 20)
        assert proxy.streams <= before + 1
        proxy.mode = Mode.PASS
        before = proxy.streams
        for _ in range(0, 90, 2):
            if proxy.streams == before:  # from then on it is the network's time
                await pass_seconds(page, 2)
        await expect(banner).to_have_text("Live")
        await rig.send({CPU: 0.633})
        await expect(number).to_have_text("63.3")


async def test_a_stream_withheld_from_the_start_is_polled_for_all_tabs(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that tabs that share a worker hear of a proxy that buffers, newcomers at once."""
    async with Proxy(rig.url).serving() as proxy:
        proxy.mode = Mode.BUFFER
        first = await context.new_page()
        await first.goto(f"{proxy.url}/")
        await expect(first.locator("[data-live]")).to_have_text(BLOCKED, timeout=15_000)
        await rig.send({CPU: 0.711})
        second = await context.new_page()
        await second.goto(f"{proxy.url}/hosts/web-1")
        await expect(second.locator("[data-live]")).to_have_text(BLOCKED, timeout=3_000)
        await expect(first.locator(NUMBER).first).to_have_text("71.1")


async def test_a_stream_that_falls_silent_is_not_called_live(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that an open connection on which nothing comes for 45 s is noticed."""
    async with Proxy(rig.url).serving() as proxy:
        page = await clocked(context, f"{proxy.url}/hosts/web-1")
        banner = page.locator("[data-live]")
        proxy.mode = Mode.SILENT
        await page.clock.run_for(40_000)
        assert await banner.text_content() == "Live"
        await page.clock.run_for(12_000)
        await expect(banner).to_contain_text(LOST)
        await page.clock.run_for(11_000)
        await expect(banner).to_contain_text("cannot be reached")
        proxy.mode = Mode.PASS
        proxy.cut()
        await hurry(page)
        await expect(banner).to_have_text("Live")


async def test_a_gateway_without_its_server_is_waited_for(
    rig: Rig, context: BrowserContext
) -> None:
    """It must be that a 502, which ends an EventSource for good, is borne, and not hammered."""
    async with Proxy(rig.url).serving() as proxy:
        page = await clocked(context, f"{proxy.url}/hosts/web-1")
        banner = page.locator("[data-live]")
        proxy.mode = Mode.DOWN
        proxy.cut()
        await expect(banner).to_contain_text(LOST)
        await hurry(page)
        await expect(banner).to_contain_text("the server answered 502")
        before = proxy.streams
        await pass_seconds(page, 60)
        assert 1 <= proxy.streams - before <= 8
        proxy.mode = Mode.PASS
        await hurry(page)
        await expect(banner).to_have_text("Live")
        await rig.send({CPU: 0.811})
        await expect(page.locator(NUMBER).first).to_have_text("81.1")


@pytest.mark.parametrize(
    ("status", "words", "most"),
    [
        (401, "you are logged out; log in and reload the page", 3),
        (403, "you may not see this", 3),
        (404, "the server does not know what this page shows", 8),
        (200, "the server is busy", 9),
    ],
)
async def test_a_refusal_is_said_and_not_hammered(
    rig: Rig, context: BrowserContext, status: int, words: str, most: int
) -> None:
    """It must be that a page says why it has no stream, and asks again only now and then.

    Of a server with no room left a browser hears a 200 that ends.
    """
    page = await context.new_page()
    await page.add_init_script(WITHOUT_WORKER)
    asked: list[str] = []

    async def refuse(route: Route) -> None:
        asked.append(route.request.method)
        await route.fulfill(status=status, content_type="text/event-stream", body="retry: 9\n\n")

    await page.route("**/api/v1/stream**", refuse)
    await page.clock.install()
    await page.goto(f"{rig.url}/")
    await expect(page.locator("[data-live]")).to_contain_text(f"Not live: {words}")
    await pass_seconds(page, 60)
    assert asked.count("GET") <= most
    await page.unroute_all()
    await hurry(page)
    await expect(page.locator("[data-live]")).to_have_text("Live")


async def test_after_a_gap_the_page_asks_what_it_missed(rig: Rig, context: BrowserContext) -> None:
    """It must be that a status whose change was lost with the log is corrected."""
    page = await context.new_page()
    await page.goto(f"{rig.url}/")
    await expect(page.locator(".status.is-up")).to_have_count(2)
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    state = rig.state.hosts["web-2"]
    state.status = HostStatus.DOWN
    await page.evaluate(
        """() => {
          document.body.dataset.position = "0123456789abcdef-7";
          dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}));
        }"""
    )
    await expect(page.locator("tr[data-host=web-2] .status")).to_have_text("■ down")
    await expect(page.locator("[data-count=down]")).to_have_text("1")
    await expect(page.locator("[data-count=up]")).to_have_text("1")


async def test_after_a_kill_the_page_comes_back_by_itself(
    tmp_path: Path, context: BrowserContext
) -> None:
    """It must be that after kill -9 and a start nothing logged is lost or told twice."""
    server = await asyncio.to_thread(serving.start, tmp_path)
    listen = server.url.removeprefix("http://")
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        try:
            hosts = (await client.get("/api/v1/hosts")).json()
            page = await opened(context, f"{server.url}/hosts/{hosts[0]['host']}")
            start = (await page.evaluate("document.body.dataset.position")).partition("-")[0] + "-0"
            log = await hearing(context, server.url, "log", position=start)
            await has_heard(log, "host_update")
            server.process.kill()
            await asyncio.to_thread(server.process.wait)
            await expect(page.locator("[data-live]")).to_contain_text(LOST)
            server = await asyncio.to_thread(serving.start, tmp_path, "--listen", listen)
            await client.post("/api/v1/push", json={"host": "pushed", "metrics": {CPU: 0.5}})
            await expect(page.locator("[data-live]")).to_have_text("Live")
            uptime = page.locator(".large .v > span").first
            before = await uptime.text_content() or ""
            await expect(uptime).not_to_have_text(before)
            await log.wait_for_function("() => heard.some((m) => m.data.host === 'pushed')")
            whole = await client.get(
                "/api/v1/stream", params={"topics": "log", "last_event_id": start, "follow": "0"}
            )
        finally:
            status = await asyncio.to_thread(server.end)
        assert status == 0
    logged = [line[4:] for line in whole.text.splitlines() if line.startswith("id: ")]
    ids = [message["id"] for message in await heard(log, "host_update", "notice", "alert")]
    assert ids == sorted(set(logged) & set(ids), key=logged.index)
    assert set(logged) - set(ids) <= {start, logged[-1]}
