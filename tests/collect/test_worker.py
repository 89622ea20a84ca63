"""One run of a collector, and batches.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import math
import threading

import pytest

from monitor.collect.worker import LONGEST_REASON, Batch, Worker, columns, run_one
from monitor.errors import Absent
from monitor.model import Reading


class Raising:
    """A collector that raises what it is given."""

    name = "raising"
    interval_seconds = 0.0
    budget_seconds = 1.0

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def collect(self, now: float) -> Reading:
        raise self.error

    def close(self) -> None:
        """Nothing is kept."""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([1, 2.5, True], [1.0, 2.5, 1.0]),
        ([1.0, math.nan], [1.0, None]),
        ([math.inf, 2.0], [None, 2.0]),
        ([math.inf, -math.inf, 3.0], [None, None, 3.0]),
        ([1e308, 1e308, 1e308], [1e308, 1e308, 1e308]),
        (["1", 2.0, None], [None, 2.0, None]),
        ([10**400, 2.0], [None, 2.0]),
    ],
)
def test_columns_are_finite_floats_or_nan(given: list[float], expected: list[float | None]) -> None:
    found = columns({str(place): value for place, value in enumerate(given)})
    assert [None if math.isnan(value) else value for value in found] == expected


def test_reasons_are_short_and_on_one_line() -> None:
    outcome = run_one(Raising(ValueError("a\nb\x1b" + "c" * 5000)), 0.0)
    assert outcome.failure is not None
    assert outcome.failure.startswith(r"ValueError: a\nb\x1bccc")
    assert len(outcome.failure) <= LONGEST_REASON * 4
    assert outcome.failure.isprintable()
    assert run_one(Raising(Absent("")), 0.0).absent == "absent"
    assert run_one(Raising(KeyboardInterrupt()), 0.0).failure == "KeyboardInterrupt"


def test_a_batch_that_was_left_before_it_began_is_not_run() -> None:
    done = threading.Event()
    batch = Batch([Raising(ValueError())], 0.0, math.inf, done.set)
    assert batch.leave(close=True) is None
    worker = Worker()
    worker.submit(batch)
    assert not done.wait(0.1)
    assert batch.outcomes == [None]


def test_a_batch_that_is_over_cannot_be_abandoned() -> None:
    done = threading.Event()
    batch = Batch([Raising(ValueError())], 0.0, math.inf, done.set)
    worker = Worker()
    worker.submit(batch)
    assert done.wait(5)
    assert batch.over()
    assert batch.abandon(0.0) is None
    assert batch.patience(1.0) == 1.0
    worker.end()
