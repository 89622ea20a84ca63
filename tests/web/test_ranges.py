"""Ranges of time in addresses: what is understood, what is refused, and what the page says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from werkzeug.datastructures import MultiDict

from monitor.errors import InputError
from monitor.ports import Buckets, Loss, SeriesBuckets
from monitor.web.answers import Marker
from monitor.web.charts import Plan
from monitor.web.rangebar import MOST_MARKERS, RangeBar, live_bar, range_bar
from monitor.web.rangecharts import Cut, draw_range, resolution_words
from monitor.web.ranges import LIVE, PRESETS, Range, asked, seconds_of
from monitor.web.timeaxis import axis, window_words
from tests.serving import Server
from tests.web import raw

NOW = 1_795_000_000.0
"""Wednesday 18 November 2026, 11:06:40 UTC."""

DAY = 86_400.0
LOAD = Plan("load", "Load", "decimal", (("a", "1m"),))


def of(*pairs: tuple[str, str]) -> Range:
    return asked(MultiDict(pairs), NOW)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ((), LIVE),
        ((("range", "live"),), LIVE),
        ((("sort", "cpu"), ("utm", "x")), LIVE),
        ((("range", "6h"),), Range("6h")),
        ((("range", "90m"), ("compare", "7d")), Range("90m", compare="7d")),
        ((("from", "1000"), ("to", "2000.5")), Range(start=1000.0, end=2000.5)),
        ((("from", "2026-11-18T11:00"), ("to", "2026-11-18T11:06:40Z")), Range("", NOW - 400, NOW)),
        ((("from", "2026-11-18T12:00 01:00"), ("to", f"{NOW}")), Range("", NOW - 400, NOW)),
        ((("range", "1h"), ("at", "1000")), Range("1h", at=1000.0)),
        ((("at", "1000"),), Range(at=1000.0)),
    ],
)
def test_an_address_means_a_range(said: tuple[tuple[str, str], ...], meant: Range) -> None:
    """It must be that ranges are understood, and words of others are left to them."""
    assert of(*said) == meant


@pytest.mark.parametrize(
    ("said", "field", "code"),
    [
        ({"range": ""}, "range", "bad_range"),
        ({"range": "6"}, "range", "bad_range"),
        ({"range": "-6h"}, "range", "bad_range"),
        ({"range": "0h"}, "range", "bad_range"),
        ({"range": "6 h"}, "range", "bad_range"),
        ({"range": "9s"}, "range", "bad_range"),
        ({"range": "11y"}, "range", "bad_range"),
        ({"range": "٦h"}, "range", "bad_range"),
        ({"range": "1h", "from": "1"}, "range", "ambiguous_param"),
        ({"from": "1000"}, "to", "missing_param"),
        ({"to": "1000"}, "from", "missing_param"),
        ({"from": "2000", "to": "1000"}, "from", "bad_range"),
        ({"from": "1000", "to": "1000"}, "from", "bad_range"),
        ({"from": "1000", "to": "1009"}, "from", "bad_range"),
        ({"from": "1", "to": "1000000000"}, "from", "bad_range"),
        ({"from": "-6h", "to": "now"}, "from", "bad_range"),
        ({"from": "", "to": ""}, "from", "bad_range"),
        ({"from": "nan", "to": "inf"}, "from", "bad_range"),
        ({"range": "1h", "compare": "2d"}, "compare", "bad_param"),
        ({"compare": "1d"}, "compare", "bad_param"),
        ({"at": "yesterday"}, "at", "bad_range"),
        ({"at": "-5m"}, "at", "bad_range"),
    ],
)
def test_what_cannot_be_meant_is_refused(said: dict[str, str], field: str, code: str) -> None:
    """It must be that nothing is bent into shape: the error names what is wrong."""
    with pytest.raises(InputError) as refused:
        of(*said.items())
    assert (refused.value.field, refused.value.code) == (field, code)


def test_a_word_stands_once() -> None:
    """It must be that two ranges in one address are refused."""
    with pytest.raises(InputError) as refused:
        of(("range", "1h"), ("range", "6h"))
    assert refused.value.code == "ambiguous_param"


@pytest.mark.parametrize(
    "range_",
    [
        LIVE,
        Range("6h"),
        Range("1y", compare="7d", at=1000.25),
        Range(start=1000.0, end=2000.125, compare="1d"),
    ],
)
def test_a_range_is_written_as_it_is_read(range_: Range) -> None:
    """It must be that an address that the page makes means the same again."""
    query = range_.query(sort="-cpu").removeprefix("?")
    pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")]
    assert ("sort", "-cpu") in pairs
    assert of(*((name, text) for name, text in pairs if name != "sort")) == range_
    assert LIVE.query() == ""


def test_every_range_on_offer_is_one() -> None:
    """It must be that no button leads to an error, and that each spans what it says."""
    for text in PRESETS:
        start, end = of(("range", text)).window(NOW)
        assert (start, end) == (NOW - seconds_of(text), NOW)
    assert LIVE.window(NOW) == (NOW - 600, NOW)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (900, ["10:52", "10:54", "10:56", "10:58", "11:00", "11:02", "11:04", "11:06"]),
        (6 * 3600, ["06:00", "08:00", "10:00"]),
        (DAY, ["12:00", "18:00", "18 Nov", "06:00"]),
        (7 * DAY, ["13 Nov", "15 Nov", "17 Nov"]),
        (30 * DAY, ["26 Oct", "2 Nov", "9 Nov", "16 Nov"]),
        (365 * DAY, ["2026", "Apr", "Jul", "Oct"]),
        (4 * 365 * DAY, ["2023", "2024", "2025", "2026"]),
    ],
)
def test_an_axis_has_words_that_people_read(seconds: float, words: list[str]) -> None:
    """It must be that marks are round, few, and say the day where it matters."""
    most = 8 if seconds == 900 else 5
    found = axis(NOW - seconds, NOW, most)
    assert [text for _, text in found] == words
    assert all(NOW - seconds <= at <= NOW for at, _ in found)


def test_a_window_says_the_day_once() -> None:
    """It must be that both ends can be read, with the year where it is another."""
    assert window_words(NOW - 3600, NOW, NOW) == "18 Nov 10:06 – 11:06"
    assert window_words(NOW - 60, NOW, NOW) == "18 Nov 11:05:40 – 11:06:40"
    assert window_words(NOW - DAY, NOW, NOW) == "17 Nov 11:06 – 18 Nov 11:06"
    assert window_words(NOW - 365 * DAY, NOW, NOW) == "18 Nov 2025 11:06 – 18 Nov 11:06"


def test_the_resolution_is_said_in_words() -> None:
    """It must be that averages are called so, and single values are not."""
    words = [resolution_words(step, 1.0) for step in (1, 10, 60, 7200, 86_400)]
    assert words == [
        "every value",
        "10 s averages",
        "1 min averages",
        "2 h averages",
        "1 d averages",
    ]
    assert resolution_words(60, 60.0) == "every value"


def cut(average: list[float], start: float = NOW - 600, step: float = 60.0) -> Cut:
    """A range of one series, ten minutes in buckets of a minute."""
    middle = np.array(average, np.float64)
    starts = start + np.float64(step) * np.arange(len(middle))
    series = SeriesBuckets("web-1", "a", middle - 0.5, middle, middle + 0.5)
    found = Buckets(starts, step, (series,), 0.0, (Loss("web-1", start - 60, start + 60, "bad"),))
    return Cut(start, start + step * len(middle), NOW, "a while", found, periods={"a": 1.0})


def test_a_range_is_drawn_with_its_band_and_its_gaps() -> None:
    """It must be that one empty bucket among full ones is a gap, in line and band alike."""
    drawing = draw_range(LOAD, cut([1.0, 1.0, np.nan, 2.0, 2.0, 2.0]))
    (line,) = drawing.lines
    assert line.stroke == "M50.0 64.0L150.0 64.0M350.0 0.0L450.0 0.0L550.0 0.0".replace(
        "64.0", "102.4"
    ).replace(" 0.0", " 76.8")
    assert line.band.count("M") == 2
    assert line.reading == "1.60 avg · 0.50–2.50"
    assert drawing.summary == "Load, a while: 1m 1.60 avg · 0.50–2.50."


def test_the_earlier_stretch_lies_under_the_range() -> None:
    """It must be that what was a day before stands at the same place, in the same scale."""
    now = cut([1.0] * 10)
    before = replace(now.found, starts=now.found.starts - DAY)
    with_both = replace(now, before=before, earlier_seconds=DAY)
    (line,) = draw_range(LOAD, with_both).lines
    assert line.before == line.stroke
    stacked = draw_range(replace(LOAD, stacked=True), with_both)
    assert stacked.lines[0].before == ""
    assert stacked.before


def bar(found: Cut, first: float | None = None, markers: tuple[Marker, ...] = ()) -> RangeBar:
    return range_bar("web-1", Range("6h"), found, [LOAD], first=first, markers=markers)


def test_what_is_not_there_is_said() -> None:
    """It must be that a range without data says so, and one that begins before it since when."""
    empty = [np.nan] * 10
    assert bar(cut([1.0] * 10)).notes == ()
    assert bar(cut(empty)).notes == ("No data in this range",)
    assert bar(cut(empty), first=NOW + 60).notes == (
        "Nothing was recorded yet: the first data is of 18 Nov 11:07 UTC",
    )
    assert bar(cut([*empty[:5], *[1.0] * 5]), first=NOW - 300).notes == (
        "Recorded since 18 Nov 11:01 UTC",
    )
    assert bar(cut([*empty[:5], *[1.0] * 5]), first=NOW - DAY).notes == ()


def test_losses_and_markers_have_their_places() -> None:
    """It must be that both are cut to the range, bounded, and say what happened."""
    many = tuple(Marker(NOW - 600 + n, "reboot", "web-1 booted") for n in range(MOST_MARKERS + 5))
    found = bar(cut([1.0] * 10), markers=many)
    assert found.losses[0].share == 0
    assert found.losses[0].width == pytest.approx(0.1)
    assert found.losses[0].text == "18 Nov 10:55:40 – 10:57:40 UTC: bad"
    assert (len(found.markers), found.left_out) == (MOST_MARKERS, 5)
    assert found.markers[0].text == "18 Nov 10:56:45 UTC: web-1 booted"
    assert [m.signed for m in found.markers[:3]] == [True, False, False]


def test_links_of_the_bar_keep_what_they_should() -> None:
    """It must be that a preset keeps the comparison, and numbers are of the present range."""
    drawing = draw_range(LOAD, cut([1.0]))
    compared = live_bar("web 1", Range("6h", compare="1d", at=5.0), NOW)
    assert compared.presets[0].query == "?"
    assert compared.presets[4].query == "?range=24h&compare=1d"
    assert compared.without_at == "?range=6h&compare=1d"
    assert compared.elsewhere == "?range=6h"
    assert compared.download(drawing, "csv") == (
        "/api/v1/history?host=web%201&metric=a&start=-21600s&format=csv"
    )
    fixed = live_bar("web-1", Range(start=1000.0, end=2000.0), NOW)
    assert fixed.download(drawing, "json") == (
        "/api/v1/history?host=web-1&metric=a&start=1000&end=2000"
    )


@pytest.mark.parametrize("query", ["range=bogus", "from=2&to=1", "range=1h&compare=3d", "at=x"])
def test_a_bad_range_is_an_error_page(running: Server, query: str) -> None:
    """It must be that a person gets a page and a program a problem, both 400."""
    for path in (f"/?{query}", f"/hosts/x?{query}"):
        page = raw.get(running.url, path, accept="text/html")
        assert (page.status, page.headers["content-type"]) == (400, "text/html; charset=utf-8")
        problem = raw.get(running.url, path, accept="application/json")
        assert problem.status == 400
        assert json.loads(problem.body)["field"] in {"range", "from", "compare", "at"}
