"""Quantities as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.quantity import (
    BYTES_UNITS,
    SECONDS_UNITS,
    format_about,
    format_about_bytes,
    format_bytes,
    format_ratio,
    format_seconds,
    parse_bytes,
    parse_ratio,
    parse_seconds,
    shown,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("1s", 1.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        ("1y", 31_536_000.0),
        ("0s", 0.0),
        ("5 m", 300.0),
    ],
)
def test_seconds(text: str, seconds: float) -> None:
    """It must be that a duration means what its unit says, to the last bit."""
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GB", 20_000_000_000),
        ("20GiB", 21_474_836_480),
        ("1.1GB", 1_100_000_000),
        ("1.5KiB", 1536),
        ("4kB", 4000),
        ("4KB", 4000),
        ("512B", 512),
    ],
)
def test_bytes(text: str, size: int) -> None:
    """It must be that GB is decimal and GiB binary, exactly."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("value", "ratio"),
    [("90%", 0.9), ("12.5%", 0.125), ("150%", 1.5), (0.9, 0.9), (1, 1.0), (0, 0.0)],
)
def test_ratio(value: object, ratio: float) -> None:
    """It must be that a share is a percentage or a bare number from 0 to 1."""
    assert parse_ratio(value) == ratio


REFUSED: list[object] = [
    *(
        "",
        " ",
        "s",
        "5",
        "-5m",
        "+5m",
        "1e9d",
        "1_000s",
        "\u0665s",
        "\uff15s",
        "nan",
        "inf",
        "nans",
        "infs",
    ),
    *(
        "1..5s",
        ".5s",
        "5.s",
        "1.2345s",
        "5  m",
        " 5m",
        "5m ",
        "5m\n",
        "5M",
        "1h30m",
        "0x10s",
        "5\u043c\u0441",
    ),
    *("1" * 16 + "s", "1" * 100_000, "banana", "\x1b[31m", "5m\x00", "%", "GB", "-0s", "5%%"),
    *(True, None, [], {}, float("nan"), float("inf"), -1, 10**5000, 1e300),
]


@pytest.mark.parametrize(
    "value", [pytest.param(value, id=str(at)) for at, value in enumerate(REFUSED)]
)
@pytest.mark.parametrize("parse", [parse_seconds, parse_bytes, parse_ratio])
def test_refused(parse: object, value: object) -> None:
    """It must be that anything doubtful is refused in one short printable line."""
    assert callable(parse)
    with pytest.raises(ValueError, match=r"^expected a") as refusal:
        parse(value)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("banana", 'expected a duration such as "1s", got "banana"'),
        ("5", 'expected a duration such as "1s", got "5": write "5s" or "5m"'),
        (5, 'expected a duration such as "1s", got 5: write "5s" or "5m"'),
        ("-5m", 'expected a duration such as "1s", got "-5m": it cannot be negative'),
        ("5M", 'expected a duration such as "1s", got "5M": the units are ms, s, m, h, d, w, y'),
        (True, 'expected a duration such as "1s", got true'),
        (float("inf"), 'expected a duration such as "1s", got inf'),
    ],
)
def test_sentences(value: object, sentence: str) -> None:
    """It must be that the refusal says what to write instead."""
    with pytest.raises(ValueError, match=r"^expected") as refusal:
        parse_seconds(value)
    assert str(refusal.value) == sentence


NUMBERS = st.tuples(st.integers(0, 10**6), st.integers(0, 999)).map(
    lambda pair: f"{pair[0]}.{pair[1]:03}"
)


@given(NUMBERS, st.sampled_from(sorted(SECONDS_UNITS)))
def test_seconds_round_trip(number: str, unit: str) -> None:
    """It must be that a duration is printed as something that reads as the same."""
    seconds = parse_seconds(number + unit)
    assert parse_seconds(format_seconds(seconds)) == seconds


@given(st.integers(0, 10**15 - 1), st.sampled_from(sorted(BYTES_UNITS)))
def test_bytes_round_trip(number: int, unit: str) -> None:
    """It must be that a size is printed as something that reads as the same."""
    size = min(parse_bytes(f"{number}{unit}"), 10**15 - 1)
    assert parse_bytes(format_bytes(size)) == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.1, "100ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (90, "90s"),
        (5400, "90m"),
        (86400, "1d"),
    ],
)
def test_format_seconds(seconds: float, text: str) -> None:
    """It must be that the largest whole unit is used."""
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1536, "1536B"), (2**30, "1GiB"), (20 * 10**9, "20GB"), (4000, "4kB")],
)
def test_format_bytes(size: int, text: str) -> None:
    """It must be that the shortest exact spelling is used."""
    assert format_bytes(size) == text


def test_format_ratio() -> None:
    """It must be that a ratio is shown as a percentage without needless decimals."""
    assert [format_ratio(ratio) for ratio in (0.9, 0.125, 1, 0)] == ["90%", "12.5%", "100%", "0%"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.6, "1m"), (3600, "1h"), (3661, "1h 1m"), (183_600, "2d 3h"), (86_460, "1d")],
)
def test_format_about(seconds: float, text: str) -> None:
    """It must be that a span is told in its two largest neighbouring units."""
    assert format_about(seconds) == text


def test_shown_values() -> None:
    """It must be that values are shown as the file would write them, controls escaped."""
    values = ["a\x1b\n", True, 1, 1.5, [1], {"a": 1}, None]
    assert [shown(value) for value in values] == [
        '"a\\x1b\\n"',
        "true",
        "1",
        "1.5",
        "a list",
        "a table",
        "None",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (999.6, "1kB"),
        (1_234, "1.23kB"),
        (64_000_000, "64MB"),
        (999_950_000, "1GB"),
        (20e9, "20GB"),
        (5e18, "5000PB"),
    ],
)
def test_format_about_bytes(size: float, text: str) -> None:
    """It must be that a size for people has three digits and its largest unit."""
    assert format_about_bytes(size) == text
