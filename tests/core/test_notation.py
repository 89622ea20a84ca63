"""The notation of synthetic series."""

import math

import pytest

from monitor.core.notation import LONGEST_CHARACTERS, MOST_SAMPLES, expanded

_ = math.nan


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1", [1]),
        ("-2+4x3", [-2, 2, 6, 10]),
        ("1-2x4", [1, -1, -3, -5, -7]),
        ("1x4", [1, 1, 1, 1, 1]),
        ("1 _x3 2", [1, _, _, _, 2]),
        ("_ 5", [_, 5]),
        ("90%x1 0.5", [0.9, 0.9, 0.5]),
        ("10%+1%x2", [0.10, 0.11, 0.12]),
        ("1e3 2.5e-1x0", [1000, 0.25]),
        ("  0x1\n\t1 ", [0, 0, 1]),
    ],
)
def test_a_line_expands(text: str, values: list[float]) -> None:
    """It must be that it reads as promtool's does."""
    assert expanded(text) == pytest.approx(values, nan_ok=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "x5",
        "1x",
        "1xx5",
        "1+2",
        "1+x5",
        "nan",
        "inf",
        "1,2",
        "stale",
        "1x-5",
        "٣",
        "1__x3",
        f"0x{MOST_SAMPLES}",
        "_x999999 _x999999",
        "1x9999999",
        "1 " * (LONGEST_CHARACTERS // 2 + 1),
    ],
)
def test_what_is_no_line_is_refused(text: str) -> None:
    """It must be that a slip is told of, and no line makes more values than are allowed."""
    with pytest.raises(ValueError, match=r"expected|more than|added"):
        expanded(text)
