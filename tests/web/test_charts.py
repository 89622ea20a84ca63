"""Charts as the server draws them: gaps, stacks, axes and labels."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest

from monitor.web.charts import HEIGHT, WIDTH, Plan, draw, labels, runs_of, stack, tick_text

STARTS = np.arange(0.0, 600.0, 5.0)
LOAD = Plan("load", "Load", "decimal", (("a", "1m"), ("b", "5m")))
CPU = Plan("cpu", "CPU", "percent", (("a", "user"), ("b", "system")), stacked=True, top=1.0)


def full(value: float) -> np.ndarray:
    return np.full(len(STARTS), value)


def test_a_gap_is_a_gap() -> None:
    """It must be that a line is parted where its series was silent."""
    column = full(1.0)
    column[40:60] = math.nan
    drawing = draw(LOAD, STARTS, 5.0, 600.0, {"a": column})
    assert drawing.lines[0].stroke.count("M") == 2
    assert drawing.lines[1].stroke == ""


def test_a_slow_series_is_one_line() -> None:
    """It must be that a series that comes once a minute is not all gaps."""
    column = full(math.nan)
    column[::12] = 1.0
    assert len(runs_of(STARTS, column, 5.0)) == 1
    column[36] = column[48] = math.nan
    assert len(runs_of(STARTS, column, 5.0)) == 2


def test_a_bucket_that_cannot_be_empty_by_chance_is_a_gap() -> None:
    """It must be that wide buckets hide no silence, and narrow ones invent none."""
    column = full(1.0)
    column[40] = math.nan
    assert [len(runs_of(STARTS, column, 5.0, period)) for period in (0.0, 1.0, 2.5, 5.0)] == [
        1,
        2,
        2,
        1,
    ]


def test_a_lone_observation_is_a_dot() -> None:
    """It must be that one value among silence can be seen."""
    column = full(math.nan)
    column[60] = 1.0
    assert draw(LOAD, STARTS, 5.0, 600.0, {"a": column}).lines[0].stroke == "M300.0 0.0h.01"


def test_a_stack_adds_up_from_zero() -> None:
    """It must be that each band begins where the one below it ends."""
    drawing = draw(CPU, STARTS, 5.0, 600.0, {"a": full(0.25), "b": full(0.5)})
    lower, upper = (
        {float(y) for y in re.findall(r"[ML][\d.-]+ ([\d.]+)", line.area)} for line in drawing.lines
    )
    assert lower == {0.75 * HEIGHT, HEIGHT}
    assert upper == {0.25 * HEIGHT, 0.75 * HEIGHT}
    assert [tick.text for tick in drawing.ticks] == ["0", "50 %", "100 %"]


def test_a_stack_is_absent_only_where_all_of_it_is() -> None:
    """It must be that one missing state does not hide the others."""
    a, b = np.array([1.0, math.nan, math.nan]), np.array([1.0, 2.0, math.nan])
    sums = stack([a, b])
    np.testing.assert_array_equal(sums[1], [2.0, 2.0, math.nan])


def test_the_picture_stays_inside_its_box() -> None:
    """It must be that hostile numbers draw no line outside of the plot."""
    column = full(1e300)
    column[::2] = -1e300
    for plan in (LOAD, CPU):
        line = draw(plan, STARTS, 5.0, 600.0, {"a": column, "b": full(math.inf)}).lines[0]
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", line.stroke + line.area)]
        assert min(numbers) >= 0.0
        assert max(numbers) <= WIDTH


def test_nothing_at_all_is_a_chart_too() -> None:
    """It must be that a host without history has axes and says that there is no data."""
    drawing = draw(LOAD, STARTS, 5.0, 600.0, {})
    assert "no data yet" in drawing.summary
    assert all(line.y is None for line in drawing.lines)


def test_the_last_value_stands_at_the_right_edge_unless_it_is_old() -> None:
    """It must be that an old value is not passed off as the newest."""
    column = full(1.0)
    drawing = draw(LOAD, STARTS, 5.0, 600.0, {"a": column, "b": full(0.5)})
    assert [line.last for line in drawing.lines] == ["1.00", "0.50"]
    column[-20:] = math.nan
    assert draw(LOAD, STARTS, 5.0, 600.0, {"a": column}).lines[0].y is None


@pytest.mark.parametrize(
    "wanted", [[5.0, 5.0, 5.0], [128.0] * 8, [0.0, 128.0, None, 64.0], [60.0] * 20]
)
def test_labels_stand_apart(wanted: list[float | None]) -> None:
    """It must be that no label lies over another or outside of the plot."""
    placed = sorted(y for y in labels(wanted) if y is not None)
    assert all(b - a >= 13.0 for a, b in itertools.pairwise(placed))
    assert placed[0] >= 4.0 - 1e-9
    assert placed[-1] <= HEIGHT


def test_ticks_are_short() -> None:
    """It must be that an axis says 2.5 ms and 500 MiB, not 2.50 and 500.00."""
    assert tick_text(0.0025, "seconds") == "2.5 ms"
    assert tick_text(500 * 2.0**20, "bytes") == "500 MiB"
    assert tick_text(0.0, "bytes") == "0"
