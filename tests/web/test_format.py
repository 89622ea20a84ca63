"""How values are written: one table holds Python and its twin in the browser to the same words."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page

from monitor.core.catalog import Style
from monitor.web.format import duration, nice_top, written
from tests.browser.rig import Rig

GIB = 2.0**30

CASES: tuple[tuple[float, str, str, str], ...] = (
    (math.nan, "percent", "–", ""),
    (math.inf, "bytes", "–", ""),
    (0.0, "percent", "0.0", "%"),
    (0.123, "percent", "12.3", "%"),
    (0.0625, "percent", "6.3", "%"),  # 6.25: a half goes away from zero
    (0.9994, "percent", "99.9", "%"),
    (0.9996, "percent", "100", "%"),
    (1.0, "percent", "100", "%"),
    (12.34, "percent", "1234", "%"),
    (1.7e308, "percent", "> 999999", "%"),
    (0.0, "bytes", "0", "B"),
    (999.0, "bytes", "999", "B"),
    (1000.0, "bytes", "0.98", "KiB"),
    (1.4 * GIB, "bytes", "1.40", "GiB"),
    (1023.9 * 2**20, "bytes", "1.00", "GiB"),
    (1e300, "bytes", "> 999", "EiB"),
    (123_456.0, "bytes_per_second", "121", "KiB/s"),
    (1e9, "bits_per_second", "1.00", "Gbit/s"),
    (0.125, "per_second", "0.13", "/s"),
    (1_234.0, "per_second", "1.23", "k/s"),
    (2.4e9, "hertz", "2.40", "GHz"),
    (0.0, "seconds", "0", "s"),
    (0.0000123, "seconds", "12.3", "µs"),
    (0.00123, "seconds", "1.23", "ms"),
    (0.99951, "seconds", "1.00", "s"),
    (10.0, "seconds", "10", "s"),
    (10.25, "seconds", "10.3", "s"),
    (75.0, "seconds", "1 min", ""),
    (-0.0023, "seconds", "−2.30", "ms"),
    (-0.0, "number", "0", ""),
    (-1e-9, "decimal", "0.00", ""),
    (0.07, "decimal", "0.07", ""),
    (1.0, "decimal", "1.00", ""),
    (1234.5, "decimal", "1235", ""),
    (3.0, "number", "3", ""),
    (2.5, "number", "2.50", ""),
    (9_999.0, "number", "9999", ""),
    (12_345.0, "number", "12.3", "k"),
    (-12_345.0, "number", "−12.3", "k"),
    (45.06, "celsius", "45.1", "°C"),
    (1e300, "celsius", "> 9999", "°C"),
    (1200.5, "rpm", "1201", "rpm"),
    (1.0, "flag", "yes", ""),
    (0.0, "flag", "no", ""),
    (45.9, "duration", "45 s", ""),
    (754.0, "duration", "12 min", ""),
    (15_120.0, "duration", "4 h 12 min", ""),
    (273_600.0, "duration", "3 d 4 h", ""),
    (3.4e7, "duration", "1 y 28 d", ""),
    (1e300, "duration", "> 3000 y", ""),
    (-5.0, "duration", "0 s", ""),
    (1_700_000_000.0, "instant", "2023-11-14 22:13", "UTC"),
    (1e300, "instant", "–", ""),
    (1.5, "no such style", "1.50", ""),
)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A server without hosts, for its static files."""
    async with Rig("web-1").serving() as running:
        yield running


@pytest.mark.parametrize(("value", "style", "number", "unit"), CASES)
def test_a_value_is_written(value: float, style: str, number: str, unit: str) -> None:
    """It must be that people read the digits and the unit of the table."""
    assert tuple(written(value, style)) == (number, unit)


def test_every_style_of_the_catalog_writes_every_magnitude_shortly() -> None:
    """It must be that no value of any size makes a cell wider than a cell."""
    for style in Style:
        for power in range(-320, 309, 4):
            for sign in (1, -1):
                assert len(str(written(sign * 10.0**power, style))) <= 20, (style, power)


def test_nothing_is_longer_than_its_two_largest_units() -> None:
    """It must be that a length of time is two units at most."""
    assert duration(31_536_000 + 86_400 + 3_600) == "1 y 1 d"


@pytest.mark.parametrize(
    ("value", "style", "top"),
    [
        (0.0, "percent", 0.01),
        (0.034, "percent", 0.05),
        (0.2, "percent", 0.2),
        (3.1, "decimal", 5.0),
        (7.7 * GIB, "bytes", 10 * GIB),
        (600.0, "bytes_per_second", 1024.0),
        (math.nan, "number", 1.0),
        (0.0012, "seconds", 0.002),
    ],
)
def test_an_axis_ends_at_a_round_number(value: float, style: str, top: float) -> None:
    """It must be that an axis ends at 1, 2 or 5 of something, not below the data."""
    assert nice_top(value, style) == pytest.approx(top)


@pytest.mark.browser
async def test_the_browser_writes_the_same(rig: Rig, page: Page) -> None:
    """It must be that both languages write every value alike, and end axes alike."""
    spread = random.Random(7)
    many = [
        (sign * spread.random() * 10.0 ** spread.randint(-9, 21), style.value)
        for style in Style
        for sign in (1, 1, 1, -1)
        for _ in range(40)
    ]
    many += [(value, style) for value, style, *_ in CASES]
    many += [(k / 16, style.value) for style in Style for k in range(64)]  # exact halves
    await page.goto(f"{rig.url}/")
    theirs = await page.evaluate(
        """async (cases) => {
          const { written, niceTop } = await import("/static/js/format.js");
          return cases.map(([value, style]) =>
            [...written(Number(value), style), String(niceTop(Number(value), style))]);
        }""",
        [[str(value).replace("inf", "Infinity"), style] for value, style in many],
    )
    for (value, style), (number, unit, top) in zip(many, theirs, strict=True):
        assert tuple(written(value, style)) == (number, unit), (value, style)
        assert nice_top(value, style) == float(top), (value, style)
