"""CSV: it must be that a spreadsheet reads back what was, and runs nothing."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.web import spreadsheet


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("web-1", "web-1"),
        ('m{a="b"}', '"m{a=""b""}"'),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", '"\'\r=1"'),
        ("\n=1", '"\'\n=1"'),
        ('=HYPERLINK("x","y")', '"\'=HYPERLINK(""x"",""y"")"'),
        ("", ""),
    ],
)
def test_a_name_is_never_a_formula(name: str, cell: str) -> None:
    assert spreadsheet.cell(name) == cell


_FLOATS = st.lists(st.floats(), min_size=1, max_size=5)


@settings(deadline=None)
@given(st.text(), st.text(), _FLOATS, st.text() | st.none())
def test_what_is_written_is_read_back(
    host: str, key: str, numbers: list[float], label: str | None
) -> None:
    values = np.array(numbers)
    at = spreadsheet.times(np.arange(len(numbers)) * np.float64(60))
    labels = None if label is None else {"role": label}
    pieces = spreadsheet.pieces(at, host, key, (values, -values, values), labels)
    head = spreadsheet.head(None if label is None else "role")
    text = b"".join([head, *pieces]).decode(errors="surrogatepass")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["time"] for row in rows] == at
    for row, number in zip(rows, numbers, strict=True):
        for name, written in (("host", host), ("key", key), ("role", label)):
            assert written is None or row[name].removeprefix("'") == written.removeprefix("'")
            assert not row.get(name, "").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        if math.isfinite(number):
            assert (float(row["min"]), float(row["avg"])) == (number, -number)
        else:
            assert row["max"] == ""


def test_instants_have_milliseconds_where_one_needs_them() -> None:
    assert spreadsheet.times(np.array([0.0, 60.0]))[1] == "1970-01-01T00:01:00Z"
    assert spreadsheet.times(np.array([0.0, 0.1]))[1] == "1970-01-01T00:00:00.100Z"
    late = spreadsheet.times(np.array([253_402_300_799.0]))
    assert late == ["9999-12-31T23:59:59Z"]


def test_many_rows_come_in_pieces() -> None:
    many = spreadsheet.ROWS_AT_ONCE * 2 + 1
    values = np.zeros(many)
    at = spreadsheet.times(np.arange(many) * np.float64(1))
    sizes = [
        piece.count(b"\r\n") for piece in spreadsheet.pieces(at, "h", "k", (values,) * 3, None)
    ]
    assert sizes == [spreadsheet.ROWS_AT_ONCE, spreadsheet.ROWS_AT_ONCE, 1]
