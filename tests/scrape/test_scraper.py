"""One target's scrapes, by hand: every way in which one fails, and that it mends.

Real sockets and real rooms; only the exporter behaves as a test wants.
"""

from __future__ import annotations

import asyncio

import pytest

from monitor.scrape.config import ScrapeConfig
from tests.scrape.exporter import (
    BOMB,
    GOOD,
    Mode,
    drip,
    endless,
    exporter,
    hang,
    huge,
    saying,
)
from tests.scrape.house import House

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

SLOW = frozenset({"hang", "drip"})
"""Modes that take as long as they may."""

FAULTS: list[tuple[str, Mode, str]] = [
    ("html", saying(b"<html>ok</html>", "text/html"), "not_exposition"),
    ("html_as_text", saying(b"<html>ok</html>\n"), "not_exposition"),
    ("unclosed", saying(b'a{b="c} 1\n'), "bad_exposition"),
    ("cut", saying(b"a 1\nb 2"), "bad_exposition"),
    ("hexadecimal", saying(b"a 0x1p3\n"), "bad_exposition"),
    ("long_label", saying(b'a{b="' + b"x" * 65_536 + b'"} 1\n'), "limit_line"),
    ("no_eof", saying(b"a 1\n", OPENMETRICS), "missing_eof"),
    ("histogram", saying(b"a {count:1,sum:2}\n"), "unsupported_histogram"),
    ("many_samples", saying(b"".join(b"a%d 1\n" % n for n in range(101))), "too_many_samples"),
    ("many_lines", saying(b"\n" * 400_000), "too_many_samples"),
    ("not_utf8", saying(b"a\xff 1\n"), "bad_utf8"),
    (
        "redirect",
        saying(b"", status="302 Found", Location="http://127.0.0.1:1/"),
        "redirect_blocked",
    ),
    (
        "redirect_to_metadata",
        saying(b"", status="302 Found", Location="http://169.254.169.254/"),
        "redirect_blocked",
    ),
    (
        "redirect_to_file",
        saying(b"", status="301 Moved", Location="file:///etc"),
        "redirect_blocked",
    ),
    ("status", saying(b"no", status="503 Service Unavailable"), "http_status"),
    ("hang", hang, "too_slow"),
    ("drip", drip, "too_slow"),
    ("endless", endless, "too_large"),
    ("huge", huge, "too_large"),
    ("bomb", BOMB, "too_large"),
    ("bad_gzip", saying(b"no gzip", Content_Encoding="gzip"), "bad_reply"),
    ("brotli", saying(b"?", Content_Encoding="br"), "bad_reply"),
]


@pytest.mark.parametrize(("name", "mode", "code"), FAULTS, ids=[name for name, _, _ in FAULTS])
async def test_a_fault_is_up_0_with_its_reason(name: str, mode: Mode, code: str) -> None:
    """It must be that nothing of it is stored, that it is said why, and that it mends."""
    house = House()
    async with exporter() as served:
        scraper = house.scraper(
            served.target,
            ScrapeConfig(
                timeout=0.3 if name in SLOW else 10.0, max_samples=100, max_body=2_000_000
            ),
        )
        up = f'up{{instance="{served.target}",job="app"}}'
        await scraper.scrape()
        host = house.host()
        assert (scraper.status.up, host.value(up)) == (True, 1)
        known, seen_at = set(host.schema.texts), host.seen_at

        served.mode = mode
        await scraper.scrape()
        status = scraper.status
        assert (status.up, status.code, status.samples) == (False, code, 0)
        assert 0 < len(status.detail) < 300
        assert status.succeeded_at < status.scraped_at
        assert host.value(up) == 0
        assert set(host.schema.texts) == known
        assert host.seen_at == seen_at, "its host was not heard"

        served.mode = saying(GOOD)
        scraper._config = ScrapeConfig()
        await scraper.scrape()
        assert (scraper.status.up, scraper.status.code, host.value(up)) == (True, "", 1)
        await scraper.close()


async def test_a_target_that_never_answered_is_no_host() -> None:
    house = House()
    async with exporter(saying(b"", status="404 Not Found")) as served:
        scraper = house.scraper(served.target, ScrapeConfig())
        await scraper.scrape()
        assert scraper.status.code == "http_status"
        await scraper.close()
    assert not house.state.hosts
    assert not len(house.intake.lanes)


async def test_a_large_answer_leaves_the_loop_free() -> None:
    """It must be that a large one is read beside the event loop, which goes on meanwhile."""
    house = House()
    text = "".join(f'app{{n="{n}",text="some words of a label"}} {n}\n' for n in range(20_000))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with exporter(saying(text.encode())) as served:
        scraper = house.scraper(served.target, ScrapeConfig(timeout=15.0))
        counting = asyncio.create_task(count())
        await scraper.scrape()
        counting.cancel()
        assert scraper.status.samples == 20_000
        # A source has 10,000 series of one host at most: four are ours, the first of the others.
        assert scraper.status.refused == 10_004
        assert len(house.host().schema) == 10_000
        assert turns > 20
        await scraper.close()


async def test_what_a_target_says_of_its_machine_is_words() -> None:
    house = House()
    told = b'node_uname_info{sysname="Linux",release="\x1b[31m",machine="m64"} 1\n'
    async with exporter(saying(told)) as served:
        scraper = house.scraper(served.target, ScrapeConfig())
        await scraper.scrape()
        assert scraper.status.up
        assert "kernel" not in house.host().info
        assert house.host().info["arch"] == "m64"
        await scraper.close()
