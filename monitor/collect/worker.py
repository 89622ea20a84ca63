"""Running collectors off the event loop: one thread, one batch at a time.

A batch is what is due in one tick.  Its thread runs the collectors one after the other; the
loop waits for the batch, and where one collector has run too long it abandons the batch: the
thread is left to that collector and ends itself when the call returns.  This file knows
threads and time, and nothing of intervals, KEYs or frames.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitor.errors import Absent
from monitor.model import Row
from monitor.ports import Collector

LONGEST_REASON = 200
"""Characters of an exception's text that are kept."""


@dataclass(slots=True)
class Outcome:
    """What came of one run.

    `duration` is wall time and `cpu` processor time, both in seconds.  `absent` and
    `failure` say why there are no values; both are none after a success.
    """

    duration: float = 0.0
    cpu: float = 0.0
    keys: tuple[str, ...] = ()
    values: array[float] = field(default_factory=lambda: array("d"))
    snapshots: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    absent: str | None = None
    failure: str | None = None


def _clean(value: object) -> float:
    """The value as a finite float, or NaN: a collector's slip is never an exception."""
    if not isinstance(value, (int, float)):
        return math.nan
    try:
        number = float(value)
    except OverflowError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def columns(values: dict[str, float]) -> array[float]:
    """The values as float64; what is not finite or no number becomes NaN."""
    try:
        found = array("d", values.values())
    except (TypeError, OverflowError):
        return array("d", map(_clean, values.values()))
    # One sum tells whether every value is finite, at a fraction of asking each.
    if math.isfinite(sum(found)):
        return found
    return array("d", map(_clean, found))


def _reason(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _printable(text)


def _printable(text: str) -> str:
    cut = text[:LONGEST_REASON]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def run_one(collector: Collector, now: float) -> Outcome:
    """Run one collector once.  Raises nothing: a failure is an outcome."""
    outcome = Outcome()
    started, cpu_started = time.monotonic(), time.thread_time()
    try:
        reading = collector.collect(now)
        outcome.keys = tuple(reading.values)
        outcome.values = columns(reading.values)
        if reading.snapshots:
            outcome.snapshots = {kind: tuple(rows) for kind, rows in reading.snapshots.items()}
    except Absent as absent:
        outcome.absent = _printable(str(absent)) or "absent"
    except BaseException as error:  # noqa: BLE001 - even SystemExit costs only the collector itself
        outcome.failure = _reason(error)
    if outcome.absent or outcome.failure:
        outcome.keys, outcome.values, outcome.snapshots = (), array("d"), {}
    outcome.cpu = time.thread_time() - cpu_started
    outcome.duration = time.monotonic() - started
    return outcome


class Batch:
    """The collectors due in one tick, and what has come of each so far.

    `done` is called once, from the worker's thread, when the batch is over.  No collector is
    begun after `stop_after` (monotonic seconds): the rest has no outcome and stays due.
    """

    def __init__(
        self,
        collectors: Sequence[Collector],
        now: float,
        stop_after: float,
        done: Callable[[], None],
    ) -> None:
        self._collectors = tuple(collectors)
        self._now = now
        self._stop_after = stop_after
        self._done = done
        self._lock = threading.Lock()
        self._current = 0
        self._running = False
        self._began = 0.0
        self._over = False
        self._abandoned = False
        self._close_on_return = False
        self.outcomes: list[Outcome | None] = [None] * len(self._collectors)
        self.late: Outcome | None = None
        """What the collector returned for which the batch had been abandoned."""

    def run(self) -> bool:
        """Run in the worker's thread.  False where the batch was abandoned meanwhile."""
        for place, collector in enumerate(self._collectors):
            with self._lock:
                began = time.monotonic()
                if self._abandoned:
                    return False
                if place and began > self._stop_after:
                    break
                self._current, self._began, self._running = place, began, True
            outcome = run_one(collector, self._now)
            with self._lock:
                self._running = False
                if self._abandoned:
                    self.late = outcome
                    closing = self._close_on_return
                else:
                    self.outcomes[place] = outcome
                    continue
            if closing:
                with contextlib.suppress(Exception):  # nobody is left to tell
                    collector.close()
            return False
        with self._lock:
            if self._abandoned:
                return False
            self._over = True
        self._done()
        return True

    def over(self) -> bool:
        """Whether nothing more will come of it."""
        with self._lock:
            return self._over

    def patience(self, limit_seconds: float) -> float:
        """Seconds until the collector being run will have run for `limit_seconds`."""
        with self._lock:
            if not self._running:
                return limit_seconds
            return max(0.0, self._began + limit_seconds - time.monotonic())

    def abandon(self, limit_seconds: float) -> int | None:
        """Leave the thread to the collector that has run for `limit_seconds`; its place.

        None, and nothing changes, where no collector has run that long.
        """
        with self._lock:
            if not self._running or time.monotonic() < self._began + limit_seconds:
                return None
            self._abandoned = True
            return self._current

    def leave(self, *, close: bool) -> Collector | None:
        """Abandon it whatever it does; the collector still being run, if there is one.

        With `close` that one is closed by its own thread when its call returns: a descriptor
        closed under a read could by then be somebody else's.
        """
        with self._lock:
            self._abandoned = True
            self._close_on_return = close
            return self._collectors[self._current] if self._running else None


class Worker:
    """One daemon thread that runs batches; it ends itself once a batch is abandoned."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="monitor-collect", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Run this batch after those submitted before."""
        self._inbox.put(batch)

    def end(self) -> None:
        """Let the thread end when it is idle."""
        self._inbox.put(None)

    def _run(self) -> None:
        while (batch := self._inbox.get()) is not None:
            if not batch.run():
                return
