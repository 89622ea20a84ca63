"""Script and server say the same of a range: its address, its axis, its values."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser
from werkzeug.datastructures import MultiDict

from monitor.web.charts import runs_of
from monitor.web.rangecharts import reading, resolution_words, whole
from monitor.web.ranges import asked
from monitor.web.timeaxis import axis, window_words
from tests.browser.ranges import (
    past_rig,
)
from tests.browser.rig import Rig
from tests.browser.year import DAY, HOUR

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    """A server whose one host has a year behind it."""
    async with past_rig() as running:
        yield running


async def test_both_languages_read_ranges_alike(rig: Rig, browser: Browser) -> None:
    """It must be that an address, an axis and a value say the same to script and server."""
    context = await browser.new_context(timezone_id="UTC")
    page = await context.new_page()
    await page.goto(f"{rig.url}/")
    now = 1_795_000_000.0
    queries = [
        "",
        "range=live",
        "range=90m&compare=7d",
        "range=1y&at=1000.25",
        "from=1000&to=2000.125&compare=1d",
        "from=2026-11-18T11:00&to=2026-11-18T12:30%2B01:00&at=2026-11-18",
        "from=2026-11-18T11:00:00.5Z&to=2026-11-18T11:06:40Z",
        "at=1000",
    ]
    spans = [(now - s, now) for s in (60, 900, HOUR, 6 * HOUR, DAY, 7 * DAY, 90 * DAY, 1500 * DAY)]
    values = [(0.1, 0.42, 0.98), (1.0, 1.0, 1.0), (900.0, 2000.0, 3e6), (-1.0, 0.0, 1.0)]
    styles = ("percent", "bytes", "decimal", "seconds")
    column = [1.0, 2.0, None, 3.0, None, None, 4.0, *[5.0] * 5, None, 1.0]
    found = await page.evaluate(
        """async ([now, queries, spans, values, styles, column]) => {
          const { asked, query, windowOf, title } = await import("/static/js/range.js");
          const { axis, windowWords } = await import("/static/js/timeaxis.js");
          const { reading, runs, whole } = await import("/static/js/chartmath.js");
          const { resolution } = await import("/static/js/rangedata.js");
          const t = column.map((_, row) => row * 10);
          return [
            queries.map(asked).map((range) => [query(range), windowOf(range, now)]),
            spans.map(([start, end]) => [axis(start, end, 5), windowWords(start, end, now)]),
            styles.map((style) => values.map((value) => reading(...value, style))),
            [0, 1, 10].map((period) => runs(t, column, 10, period)),
            [1, 10, 90, 7200].map((step) => resolution(step, [0, 1, 60])),
            whole(column, column, column),
            title(asked("?range=1y")), title(asked("?range=90m")),
          ];
        }""",
        [now, queries, spans, values, styles, column],
    )
    ranges = [asked(MultiDict(parse_qsl(query)), now) for query in queries]
    assert found[0] == [[r.query(), list(r.window(now))] for r in ranges]
    axes = [[[list(mark) for mark in axis(*span, 5)], window_words(*span, now)] for span in spans]
    assert found[1] == axes
    assert found[2] == [[reading(*value, style) for value in values] for style in styles]
    numbers = np.array([np.nan if value is None else value for value in column], np.float64)
    starts = 10 * np.arange(len(column), dtype=np.float64)
    assert found[3] == [
        [run.tolist() for run in runs_of(starts, numbers, 10.0, period)] for period in (0, 1, 10)
    ]
    assert found[4] == [resolution_words(step, 1.0) for step in (1, 10, 90, 7200)]
    assert found[5] == list(whole(numbers, numbers, numbers))
    assert found[6:] == ["The last year", "The last 90 minutes"]
    await context.close()


async def test_an_axis_follows_the_clock_on_the_wall(rig: Rig, browser: Browser) -> None:
    """It must be that marks stand at whole hours of the browser's zone, also when it is changed."""
    context = await browser.new_context(timezone_id="Europe/Berlin")
    page = await context.new_page()
    await page.goto(f"{rig.url}/")
    spring = 1_774_738_800  # 29 March 2026 begins in Berlin; it has 23 hours
    marks = await page.evaluate(
        """async (at) => {
          const { axis } = await import("/static/js/timeaxis.js");
          return [axis(at - 1, at + 82800, 5), axis(at - 86400, at + 3 * 86400, 5)];
        }""",
        spring,
    )
    hour = 3600
    assert marks[0] == [
        [spring, "29 Mar"],
        [spring + 5 * hour, "06:00"],
        [spring + 11 * hour, "12:00"],
        [spring + 17 * hour, "18:00"],
        [spring + 23 * hour, "30 Mar"],
    ]
    words = [text for _, text in marks[1]]
    assert words == ["28 Mar", "29 Mar", "30 Mar", "31 Mar", "1 Apr"]
    await context.close()
