"""Hostile questions to a whole server: it must be that each has an answer or a stated refusal."""

from __future__ import annotations

import csv
import io
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from tests.serving import Server

HOSTS = {
    "-web": {"role": "=cmd|calc", "place": "<img src=x onerror=1>"},
    "web-1": {"role": "+1"},
    "A" * 253: {"role": "x" * 256},
    "_": {},
}
ODD_VALUES = (
    "=cmd|' /C calc'!A0",
    "-1+2",
    'q\\"uo,te',
    "new\\nline",
    "<script>alert(1)</script>",
    "é\u202e𝄞",
    "\\\\",
    "L" * 1_000,
)
METRICS = ("plain", *(f'x{{a="{value}"}}' for value in ODD_VALUES))

INSTANTS = (
    *("0", "-1", "1e400", "1e3", "NaN", "inf", "", "now", "-1h", "-999999999y", "-10y", "-0s"),
    *("253402300799", "253402300800", "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00-14:00"),
    *("2027-02-30", "2027-W01-1", "12:00", "٣", "1_000", "0x10", "\x00", "1" * 5_000, "-1.5h"),
)
POINTS = ("0", "1", "11000", "11001", "9" * 20, "-1", "1.0", "1e3", "", "٣", "NaN", "1\n")
SELECTORS = (
    *("", "role=*", 'role="\\"', "role in ()", "role in (a", "role in (((", "=", "==", "é=é"),
    *(
        "severity=x",
        "*" * 2_049,
        "host=" + "*a" * 500,
        ",".join(["role=a"] * 33),
        "\x00",
        "role=\n",
    ),
)
AGGREGATES = ("p100", "p100.1", "p-1", "pNaN", "AVG", "", "p٣", "last", "avg,max")
LABELS = ("role", "host", "nope", "", "a" * 256, "1a", "role,place", "__proto__")
REST = (
    *("foo=1", "start=1&start=2", "metric[]=x", "metric=%ff", "metric=%00", "host=nope", "=&="),
    *("format=xml", "raw=2", "download=yes", "metric={", 'metric=x{a="', "host=<script>"),
    "&".join(f"metric=m{n}" for n in range(101)),
    "&".join(f"q{n}=1" for n in range(2_000)),
)


@pytest.fixture(scope="module")
def asking(running: Server) -> Iterator[httpx.Client]:
    """A client of a server that was sent all that may be sent of odd names."""
    with httpx.Client(base_url=running.url, trust_env=False, timeout=15) as client:
        now = time.time()
        frames = [{"at": now - n, "values": [n] * len(METRICS)} for n in range(100)]
        for host, labels in HOSTS.items():
            document = {"host": host, "boot_id": "b", "seq": 1, "labels": labels}
            sent = client.post(
                "/api/v1/push", json={**document, "schema": METRICS, "frames": frames}
            )
            assert sent.status_code == 200, sent.text
        yield client


def require_sound(answer: httpx.Response, points: int = 300) -> None:
    """A problem that says what is wrong, or JSON whose every number stands where it should."""
    assert b"Traceback" not in answer.content
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"title", "status", "detail", "code"} <= answer.json().keys()
        assert len(answer.content) < 1_000
        return
    said = json.loads(answer.content, parse_constant=pytest.fail)
    assert len(said["t"]) <= points
    assert all(before < after for before, after in itertools.pairwise(said["t"]))
    for one in said["series"]:
        for low, mean, high in zip(one["min"], one["avg"], one["max"], strict=True):
            assert (low is None) == (high is None)
            assert mean is None or low <= mean <= high


def asked(client: httpx.Client, query: dict[str, Any]) -> httpx.Response:
    return client.get("/api/v1/history?" + urlencode(query, doseq=True))


def test_no_range_is_too_odd(asking: httpx.Client) -> None:
    """It must be that any two words for instants have an answer or a 400."""
    for start, end in itertools.product(INSTANTS, INSTANTS):
        query = {"host": "web-1", "metric": "plain", "start": start, "end": end}
        require_sound(asked(asking, query))


def test_no_count_of_points_is_exceeded(asking: httpx.Client) -> None:
    """It must be that a range of any width has at most as many buckets as were asked for."""
    widths = (("-1ms", "now"), ("0", "253402300799"), ("-1y", "now"), ("0", "0.000000001"))
    for points, (start, end) in itertools.product(POINTS, widths):
        query = {"host": "web-1", "metric": "plain", "points": points, "start": start, "end": end}
        require_sound(
            asked(asking, query), int(points) if points.isascii() and points.isdigit() else 0
        )


def test_no_selector_aggregate_or_label_is_too_odd(asking: httpx.Client) -> None:
    """It must be that what cannot be read is a 400 that names its parameter."""
    for match, more in itertools.product(SELECTORS, ({}, {"aggregate": "p95", "by": "role"})):
        require_sound(asked(asking, {"match": match, "metric": "plain", **more}))
    for aggregate, by in itertools.product(AGGREGATES, LABELS):
        query = {"match": "host=*", "metric": ["plain", "x"], "aggregate": aggregate, "by": by}
        require_sound(asked(asking, query))


@pytest.mark.parametrize("rest", REST, ids=lambda rest: rest[:20])
def test_no_other_parameter_is_too_odd(asking: httpx.Client, rest: str) -> None:
    """It must be that unknown, repeated and foreign parameters are refused, never guessed."""
    answer = asking.get(f"/api/v1/history?host=web-1&metric=plain&{quote(rest, safe='=&%')}")
    assert answer.status_code in {400, 414}
    require_sound(answer)


def test_no_name_is_a_formula_or_breaks_a_row(asking: httpx.Client) -> None:
    """It must be that a spreadsheet gets as many cells a row as the head has, and no formula."""
    query = {"match": "host=*", "metric": ["x", "plain"], "format": "csv", "points": 5}
    plain = asked(asking, query)
    grouped = asked(asking, {**query, "aggregate": "max", "by": "role"})
    for answer, columns in ((plain, 6), (grouped, 7)):
        rows = list(csv.reader(io.StringIO(answer.text, newline="")))
        assert {len(row) for row in rows} == {columns}
        names = {cell for row in rows[1:] for cell in (*row[1:3], *row[6:])}
        assert not [name for name in names if name.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {row[2] for row in csv.reader(io.StringIO(plain.text, newline=""))} == {"key", *METRICS}


def test_no_word_of_an_address_breaks_a_page(asking: httpx.Client) -> None:
    """It must be that a host's page comes or is refused, and that nothing sent is markup in it."""
    words = [f"range={quote(word)}" for word in ("live", "6h", "10y", "0", "-1h", "NaN", "<b>", "")]
    words += [
        f"from={quote(a)}&to={quote(b)}"
        for a, b in itertools.product(INSTANTS[:20:2], INSTANTS[7:20:3])
    ]
    words += ["range=1h&compare=2d", "compare=1d", "at=1e400", "at=-1h", "from=1", "range=1h&at=1"]
    for host, word in itertools.product(("-web", "web-1"), words):
        for accept in ("text/html", "text/plain"):
            answer = asking.get(f"/hosts/{host}?{word}", headers={"accept": accept})
            assert answer.status_code in {200, 400}, word
            assert b"Traceback" not in answer.content
            if accept == "text/html":
                assert b"<script>alert(1)" not in answer.content
                assert b"<img src=x" not in answer.content
