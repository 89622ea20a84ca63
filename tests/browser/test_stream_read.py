"""What a page reads of the stream: hard texts, answers that end, bursts."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext

from monitor.core.events import position_text
from tests.browser.rig import Rig
from tests.browser.tabs import (
    has_heard,
    heard,
    hearing,
    notify,
)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

HARD_TEXT = (
    'a\u2028b\u2029c\u0085d\u000be\u000cf\r\ng\rh\ni\x1f\x7f 😀 שלום \ufeff</script> \\ "q" data: x'
)


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
