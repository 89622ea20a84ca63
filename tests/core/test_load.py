"""Overload: see `monitor.core.load`."""

from __future__ import annotations

import pytest

from monitor.core.load import CALM_SECONDS, DEFAULT_MOST_BYTES, Load, Seen, Shed, most_memory
from monitor.errors import MonitorError

BOUND = 1_000


def at(memory: int, lag: float = 0.0) -> Seen:
    return Seen(memory, lag)


@pytest.mark.parametrize(
    ("memory", "lag", "step"),
    [
        (799, 0.49, Shed.NOTHING),
        (800, 0.0, Shed.NEW_SERIES),
        (870, 0.0, Shed.QUERIES),
        (930, 0.0, Shed.STREAMS),
        (970, 0.0, Shed.PUSHES),
        (5_000, 0.0, Shed.PUSHES),
        (0, 0.5, Shed.NEW_SERIES),
        (0, 1.0, Shed.QUERIES),
        (0, 2.0, Shed.STREAMS),
        (0, 60.0, Shed.PUSHES),
        (870, 2.0, Shed.STREAMS),
    ],
)
def test_a_step_begins_at_its_threshold(memory: int, lag: float, step: Shed) -> None:
    """It must be that memory and lateness each lead to the step they reach."""
    assert Load(BOUND).update(at(memory, lag), 0.0) is step


def test_what_is_shed_is_what_comes_first_in_the_order() -> None:
    """It must be that each step sheds all before it and nothing after it."""
    load = Load(BOUND)
    for step, memory in ((1, 800), (2, 870), (3, 930), (4, 970)):
        load.update(at(memory), 0.0)
        for wanted in (Shed.NEW_SERIES, Shed.QUERIES, Shed.STREAMS, Shed.PUSHES):
            if wanted <= step:
                with pytest.raises(MonitorError) as raised:
                    load.require(wanted)
                assert raised.value.code == "overloaded"
                assert raised.value.status == (503 if wanted is Shed.QUERIES else 429)
                assert 5 <= (raised.value.retry_after or 0) <= 15
            else:
                load.require(wanted)


def test_steps_come_down_one_at_a_time_and_after_a_while() -> None:
    """It must be that a load at a threshold does not flicker, and that calm ends it."""
    load = Load(BOUND)
    assert load.update(at(990), 0.0) is Shed.PUSHES
    assert load.update(at(950), 1.0) is Shed.PUSHES  # below, but not by enough
    assert load.update(at(950), 100.0) is Shed.PUSHES
    assert load.update(at(100), 101.0) is Shed.PUSHES
    assert load.update(at(100), 101.0 + CALM_SECONDS) is Shed.STREAMS
    assert load.update(at(100), 101.5 + CALM_SECONDS) is Shed.STREAMS
    now = 102.0 + CALM_SECONDS
    found = [load.update(at(100), now + n * CALM_SECONDS) for n in range(1, 4)]
    assert found == [Shed.QUERIES, Shed.NEW_SERIES, Shed.NOTHING]
    assert load.warning() == ""


def test_a_warning_says_what_is_refused_and_what_to_do() -> None:
    """It must be that pages can show it."""
    load = Load(BOUND << 20)
    load.update(Seen(900 << 20, 0.0), 0.0)
    assert "queries" in load.warning()
    assert "max_memory" in load.warning()


def test_the_bound_is_half_of_the_machine_within_reason() -> None:
    """It must be that a small machine keeps half, and a large one is not filled."""
    assert most_memory(None, 2**30) == 2**29
    assert most_memory(None, 2**40) == DEFAULT_MOST_BYTES
    assert most_memory(None, 2**20) == 2**28
    assert most_memory(700, 2**40) == 700
