"""Numbers and names out of kernel files.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.collect.tokens import LABEL_CHARACTERS, by_name, count, counts, label
from monitor.model import SeriesKey, key


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"sda", "sda"),
        (b"", ""),
        (b'a"b\nc', 'a"b\nc'),
        (b"a\rb\x00c\x1b[31m", "a\ufffdb\ufffdc\ufffd[31m"),
        ("büro".encode(), "büro"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("a\u202eb".encode(), "a\ufffdb"),
        (b"x" * 300, "x" * (LABEL_CHARACTERS - 1) + "…"),
    ],
)
def test_a_label_is_clean_text_of_bounded_length(raw: bytes, text: str) -> None:
    assert label(raw) == text


@given(st.binary(max_size=2000))
def test_any_label_makes_a_key_that_reads_back(raw: bytes) -> None:
    text = key("system.disk.io", device=label(raw))
    assert SeriesKey.parse(text).get("device") == label(raw)
    assert len(label(raw)) <= LABEL_CHARACTERS


def test_counts_are_whole_numbers_or_a_value_error() -> None:
    assert counts([b"0", b"-5", b"18446744073709551615"]) == [0.0, -5.0, float(2**64 - 1)]
    for bad in (b"", b"1.5", b"nan", b"x", b"9" * 400, b"9" * 5000):
        with pytest.raises(ValueError, match=r"."):
            count(bad)


def test_a_number_is_found_by_its_lines_beginning_alone() -> None:
    content = b"b: 1\nab: 2\na:  30 kB\nlast: 4"
    assert by_name(content, (b"a:", b"b:", b"last:", b"none:")) == [30.0, 1.0, 4.0, None]
    with pytest.raises(ValueError, match="invalid literal"):
        by_name(b"a:\nb: 1\n", (b"a:",))
