"""Prometheus' text and OpenMetrics: what is read, what is refused and where, and how often twice.

The oracle is prometheus-client's own parser; where the two differ on purpose stands here too.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from monitor.errors import InputError
from monitor.ingest.exposition import MOST_LINES, Exposition, Format, Scraped, format_of
from monitor.ingest.exposition_lines import LONGEST_LINE_CHARACTERS, read_number

TEXT, OPEN = Format.TEXT, Format.OPENMETRICS

Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str, form: Format = TEXT) -> Scraped:
    return Exposition().read(text.encode(), form)


def found(scraped: Scraped) -> Found:
    pairs = zip(scraped.slots, scraped.values.tolist(), strict=True)
    series = ((scraped.series[slot], value) for slot, value in pairs)
    return {(each.name, each.labels): value for each, value in series}


def refused(text: str, form: Format = TEXT) -> InputError:
    with pytest.raises(InputError) as error:
        read(text, form)
    assert error.value.status == 400
    return error.value


# What is read

READ = [
    ("a 1\n", {("a", ()): 1}),
    ("a{} 1\n", {("a", ()): 1}),
    ('a{b="c"} 1\n', {("a", (("b", "c"),)): 1}),
    ('a{b="c",} 1\n', {("a", (("b", "c"),)): 1}),
    ('a{ b = "c" , a="d" } 1\n', {("a", (("a", "d"), ("b", "c"))): 1}),
    ('a{b=""} 1\n', {("a", ()): 1}),
    ('a{b="c"}1\n', {("a", (("b", "c"),)): 1}),
    ("  a\t1\t\n", {("a", ()): 1}),
    ("\n# a comment\n#\n# HELP a text \\q\na 1\n", {("a", ()): 1}),
    ("# TYPE a gauge\na 1e3\n", {("a", ()): 1000}),
    (r'a{b="\\\"\n"} 1' + "\n", {("a", (("b", '\\"\n'),)): 1}),
    ('a{b="} # 1 {,"} 1\n', {("a", (("b", "} # 1 {,"),)): 1}),
    ('{"a.b",c="d"} 1\n', {("a.b", (("c", "d"),)): 1}),
    ('{"a.b"} 1\n', {("a.b", ()): 1}),
    ('a{"b c"="d"} 1\n', {("a", (("b c", "d"),)): 1}),
    ("a +Inf\nb -inf\nc NaN\nd INF\n", None),
    ("a 1 1700000000000\n", {("a", ()): 1}),
    ("", {}),
]


@pytest.mark.parametrize(("text", "wanted"), READ)
def test_what_a_text_says(text: str, wanted: Found | None) -> None:
    scraped = read(text)
    if wanted is not None:
        assert found(scraped) == wanted
    else:
        assert str(scraped.values.tolist()) == "[inf, -inf, nan, inf]"


@pytest.mark.parametrize(("text", "wanted"), READ)
def test_a_second_scrape_says_the_same_as_the_first(text: str, wanted: Found | None) -> None:
    """It must be that the table of texts changes nothing but the cost."""
    exposition = Exposition()
    first = exposition.read(text.encode(), TEXT)
    second = exposition.read(text.encode(), TEXT)
    assert str(first.values.tolist()) == str(second.values.tolist())
    assert (first.slots, first.timestamps) == (second.slots, second.timestamps)


def test_openmetrics_has_seconds_exemplars_and_an_end() -> None:
    text = (
        "# TYPE a counter\n# UNIT a seconds\n"
        'a_total{b="c"} 5 1700000000.5 # {trace="x y"} 0.5 1700000000\n'
        'a_bucket{le="1 # 2"} 7 # {} 1\n# EOF'
    )
    exposition = Exposition()
    for _ in range(2):
        scraped = exposition.read(text.encode(), OPEN)
        assert list(found(scraped).values()) == [5, 7]
        assert scraped.timestamps == {0: 1700000000.5}


def test_timestamps_of_the_text_are_milliseconds_and_of_known_series_too() -> None:
    exposition = Exposition()
    exposition.read(b"a 1\nb 2\n", TEXT)
    scraped = exposition.read(b"a 1\nb 2 1700000000123\n", TEXT)
    assert scraped.timestamps == {1: 1700000000.123}


def test_the_first_of_two_samples_counts() -> None:
    """It must be that a duplicate is left out and counted, however its labels are ordered."""
    scraped = read('a{b="1",c="2"} 1\nb 5\na{c="2",b="1"} 9\nb 6 1000\n')
    assert list(found(scraped).values()) == [1, 5]
    assert (scraped.duplicates, scraped.timestamps) == (2, {})


def test_metadata_out_of_order_are_let_pass() -> None:
    """It must be that TYPE after a sample, or twice, is no reason to lose a scrape."""
    assert found(read("a 1\n# TYPE a gauge\n# TYPE a counter\n")) == {("a", ()): 1}


# What is refused, and where

REFUSED = [
    ('a{b="c} 1\n', "bad_exposition", "line 1, column 5: a quote is not closed"),
    ('a 1\na{b="c" 1\n', "bad_exposition", "line 2, column 9: expected a comma or }, got 1"),
    (r'a{b="\q"} 1' + "\n", "bad_exposition", "line 1, column 6: after a backslash comes"),
    ("a 1\nb 2", "bad_exposition", "line 2, column 4: the last line does not end"),
    ("a 0x1p3\n", "bad_exposition", "line 1, column 3: expected a number, got 0x1p3"),
    ("a 1_0\n", "bad_exposition", "line 1, column 3: expected a number, got 1_0"),
    ("a \u0661\n", "bad_exposition", "line 1, column 3: expected a number"),
    ("a 1\r\n", "bad_exposition", "line 1, column 3: expected a number, got 1\\r"),
    ("a 1e999\n", "bad_exposition", "line 1, column 3: expected a number"),
    ("a\n", "bad_exposition", "line 1, column 2: expected a value after a blank"),
    ("a \n", "bad_exposition", "line 1, column 3: expected a number here"),
    ("a true\n", "bad_exposition", "line 1, column 3: expected a number, got true"),
    ("a 1 1.5\n", "bad_exposition", "line 1, column 5: expected a timestamp, got 1.5"),
    ("a 1 2 3\n", "bad_exposition", "line 1, column 7: expected the line's end, got 3"),
    ("1a 1\n", "bad_exposition", "line 1, column 1: expected a metric's name, got 1a 1"),
    ("{} 1\n", "bad_exposition", "expected a metric's name"),
    ('a{b="c",b="d"} 1\n', "bad_exposition", "line 1, column 10: a label stands twice"),
    ('a{__name__="c"} 1\n', "bad_exposition", "a label stands twice, got __name__"),
    ('a{b="c","d"} 1\n', "bad_exposition", "a metric's name in quotes comes first"),
    ("a{b=c} 1\n", "bad_exposition", "line 1, column 5: expected text in quotes, got c} 1"),
    ("# TYPE a bogus\n", "bad_exposition", "line 1, column 10: expected a type, got bogus"),
    ("# TYPE 1a gauge\n", "bad_exposition", "line 1, column 8: expected a metric's name"),
    ("a {count:1,sum:2}\n", "unsupported_histogram", "native histograms are not read"),
    ("a{} {count:1,sum:2}\n", "unsupported_histogram", "native histograms are not read"),
    ("a" * 256 + " 1\n", "limit_name", "1 to 255 characters"),
    ('a{b="' + "x" * 1025 + '"} 1\n', "limit_labels", "at most 1024 characters"),
    ('a{b="' + "x" * 65_536 + '"} 1\n', "limit_line", "at most 65,536 characters"),
    (
        "a{" + ",".join(f'l{n}="x"' for n in range(33)) + "} 1\n",
        "limit_labels",
        "at most 32 labels",
    ),
    ("<html><body>a 1</body></html>\n", "not_exposition", "HTML"),
    ("\n <!DOCTYPE html>\n", "not_exposition", "HTML"),
    ("\n" * (MOST_LINES + 1), "too_many_samples", "lines"),
]


@pytest.mark.parametrize(
    ("text", "code", "detail"), REFUSED, ids=[f"{n}" for n in range(len(REFUSED))]
)
def test_a_fault_refuses_all_of_it_and_says_where(text: str, code: str, detail: str) -> None:
    error = refused(text)
    assert error.code == code
    assert detail in error.detail
    assert error.detail.isascii()
    assert len(error.detail) < 200


def test_what_openmetrics_wants_beside() -> None:
    assert refused("a 1\n", OPEN).code == "missing_eof"
    assert refused("a 1\n# EOF\nb 1\n", OPEN).code == "missing_eof"
    assert "after the line # EOF" in refused("# EOF\na 1\n# EOF\n", OPEN).detail
    assert "no empty lines" in refused("\n# EOF\n", OPEN).detail
    assert "expected an exemplar" in refused("a 1 # x\n# EOF\n", OPEN).detail
    assert found(read("a 1\n# EOF\n")) == {("a", ()): 1}, "a comment like any other"


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(InputError, match="line 2: byte 0xff is not UTF-8") as error:
        Exposition().read(b"a 1\nb\xff 1\n", TEXT)
    assert error.value.code == "bad_utf8"


def test_samples_and_bytes_have_bounds() -> None:
    exposition = Exposition(most_samples=3, most_bytes=40)
    with pytest.raises(InputError) as error:
        exposition.read(b"".join(b"a%d 1\n" % n for n in range(4)), TEXT)
    assert (error.value.code, error.value.limit) == ("too_many_samples", 3)
    with pytest.raises(InputError) as error:
        exposition.read(b"#" * 40 + b"\n", TEXT)
    assert (error.value.code, error.value.limit) == ("too_large", 40)


def test_a_good_scrape_after_a_bad_one_is_read() -> None:
    exposition = Exposition()
    assert found(exposition.read(b"a 1\n", TEXT)) == {("a", ()): 1}
    with pytest.raises(InputError):
        exposition.read(b"a 2\nb\n", TEXT)
    assert found(exposition.read(b"a 3\nb 4\n", TEXT)) == {("a", ()): 3, ("b", ()): 4}


def test_labels_that_change_all_the_time_do_not_pile_up() -> None:
    """It must be that the tables stay as large as a few scrapes, and say when they begin anew."""
    exposition = Exposition()
    generations = set()
    for scrape in range(40):
        lines = [
            f'a{{id="{scrape}-{n}-{"x" * 200}"}} {n}\n# HELP {scrape} {n}\n' for n in range(50)
        ]
        scraped = exposition.read("".join(lines).encode(), TEXT)
        generations.add(scraped.generation)
        assert list(found(scraped).values()) == list(range(50))
        assert len(exposition) < 5_000
    assert len(generations) > 2


def test_content_types() -> None:
    assert format_of("text/plain; version=0.0.4; charset=utf-8") is TEXT
    assert format_of("") is TEXT
    assert format_of("Application/OpenMetrics-Text; version=1.0.0") is OPEN
    for other in ("text/html", "application/json", "application/vnd.google.protobuf"):
        with pytest.raises(InputError) as error:
            format_of(other)
        assert error.value.code == "not_exposition"


@pytest.mark.parametrize("text", ["1", "+1.5e-3", ".5", "1.", "-0", "00"])
def test_numbers(text: str) -> None:
    assert read_number(text) == float(text)


@pytest.mark.parametrize(
    "text", ["", "+", ".", "e1", "1e", "1 ", " 1", "--1", "infinit", "na", "1f"]
)
def test_no_numbers(text: str) -> None:
    assert read_number(text) is None


# The oracle

NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True)
LABELS = st.dictionaries(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,6}", fullmatch=True).filter(
        lambda name: not name.startswith("__")
    ),
    st.text(
        st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029\x0b\x0c\x1c\x1d\x1e"),
        max_size=12,
    ),
    max_size=4,
)
VALUES = st.one_of(
    st.floats(allow_nan=True),
    st.integers(-(2**53), 2**53).map(float),
)


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)


@st.composite
def samples(draw: Any) -> tuple[str, str]:
    """A line of either format, without timestamp: its series and the rest."""
    name, labels = draw(NAMES), draw(LABELS)
    inner = ",".join(f'{label}="{escaped(value)}"' for label, value in labels.items())
    return f"{name}{{{inner}}}" if labels or draw(st.booleans()) else name, number(draw(VALUES))


def outcome(exposition: Exposition, text: str, form: Format) -> str:
    """What came of a text, in words."""
    try:
        return str(found(exposition.read(text.encode(), form)))
    except InputError as error:
        return f"{error.code} {error.detail}"


def oracle(families: Any) -> Found:
    found: Found = {}
    for family in families:
        for sample in family.samples:
            labels = tuple(sorted(pair for pair in sample.labels.items() if pair[1]))
            found.setdefault((sample.name, labels), sample.value)
    return found


@given(st.lists(samples(), max_size=8), st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_text_is_read_as_prometheus_client_reads_it(
    lines: list[tuple[str, str]], with_timestamps: bool
) -> None:
    stamp = " 1700000000000" if with_timestamps else ""
    text = "".join(f"{series} {value}{stamp}\n" for series, value in lines)
    exposition = Exposition()
    wanted = oracle(text_families(text))
    for _ in range(2):
        scraped = exposition.read(text.encode(), TEXT)
        assert str(found(scraped)) == str(wanted)
        expected = dict.fromkeys(range(len(wanted)), 1700000000.0) if with_timestamps else {}
        assert scraped.timestamps == expected


@given(st.lists(samples(), max_size=6))
@settings(max_examples=100, deadline=None)
def test_openmetrics_is_read_as_prometheus_client_reads_it(lines: list[tuple[str, str]]) -> None:
    """It must be so for what it takes: it wants families together, and we do not care."""
    distinct = dict(lines)
    text = "".join(f"{series} {value}\n" for series, value in distinct.items()) + "# EOF\n"
    try:
        wanted = oracle(openmetrics_families(text))  # type: ignore[no-untyped-call]
    except ValueError:
        return
    exposition = Exposition()
    for _ in range(2):
        assert str(found(exposition.read(text.encode(), OPEN))) == str(wanted)


@given(st.text(st.sampled_from('ab{}="\\n,# 1.e+-_\n\tTYPE'), max_size=60))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    """It must be that nothing but an error of ours comes out, in a few words; cold or warm."""
    exposition = Exposition()
    exposition.read(b'a 1\na{b="1"} 1\nb 1\n', TEXT)
    for form in (TEXT, OPEN):
        first = outcome(exposition, text, form)
        assert outcome(exposition, text, form) == first
        assert outcome(Exposition(), text, form) == first
        assert len(first) < LONGEST_LINE_CHARACTERS // 100
