"""One collector's place in the runner: when it is due, how it fares, what its columns are.

It knows no thread and no clock; instants are arguments, in monotonic seconds.
"""

from __future__ import annotations

import enum
import logging
import math
from array import array
from collections import deque

from monitor.collect.worker import Batch, Outcome
from monitor.model import Row, key
from monitor.ports import Collector

ABSENT_RETRY_SECONDS = 60.0
"""How often we look whether an absent subject has appeared."""

LONGEST_STRETCH_SECONDS = 60.0
"""However slow a collector is, it is read at least this often (or at its own interval)."""

SLOW_RUNS = 3
"""Runs over budget in a row that make a collector slow: one alone may have been preempted."""

LATEST_SECONDS = 5.0
"""A reading that took longer than this is too old to stand in a frame."""

logger = logging.getLogger("monitor.collect")


class Status(enum.StrEnum):
    """How a collector fares."""

    NEW = "new"
    OK = "ok"
    SLOW = "slow"
    ABSENT = "absent"
    FAILING = "failing"
    STUCK = "stuck"


class Slot:
    """A collector, its schedule and its columns."""

    def __init__(self, collector: Collector, tick_seconds: float) -> None:
        self.collector = collector
        self.name = collector.name
        self.own_keys = (
            key("monitor.collector.duration", collector=self.name),
            key("monitor.collector.success", collector=self.name),
        )
        self.status = Status.NEW
        self.due_at = -math.inf
        self.keys: tuple[str, ...] = ()
        self.fresh: array[float] | None = None
        """This tick's values, a column for each of `keys`."""
        self.snapshots: dict[str, tuple[Row, ...]] = {}
        self.duration = math.nan
        self.success = math.nan
        self._tick = tick_seconds
        self._interval = max(collector.interval_seconds, tick_seconds)
        self._budget = max(collector.budget_seconds, 1e-6)
        self._durations: deque[float] = deque(maxlen=SLOW_RUNS)
        self._last_duration: float | None = None
        self._last_cpu: float | None = None
        self._reason = ""
        self._stuck_in: Batch | None = None
        self._stuck_since = 0.0

    @property
    def interval(self) -> float:
        """Seconds between two runs at present."""
        if self.status is Status.ABSENT:
            return max(self._interval, ABSENT_RETRY_SECONDS)
        if len(self._durations) < SLOW_RUNS:
            return self._interval
        # The best of the last runs: preemption makes runs longer, and never shorter.
        stretch = math.ceil(min(self._durations) / self._budget)
        if stretch <= 1:
            return self._interval
        return max(self._interval, min(self._interval * stretch, LONGEST_STRETCH_SECONDS))

    @property
    def present(self) -> bool:
        """Whether it has a duration and a success to show."""
        return self.status not in (Status.NEW, Status.ABSENT)

    def begin_tick(self, now: float) -> bool:
        """Forget the last tick's values; whether the columns changed.

        A stuck collector that has returned is taken back here, with what it read where that
        is not too old; one that has not shows how long it has been stuck.
        """
        self.fresh = None
        self.snapshots = {}
        self.duration = self.success = math.nan
        if self._stuck_in is None:
            return False
        late = self._stuck_in.late
        if late is None:
            self.duration = now - self._stuck_since
            self.success = 0.0
            return False
        self._stuck_in = None
        if late.duration > LATEST_SECONDS and not late.absent and not late.failure:
            self.due_at = -math.inf
            return False
        return self.settle(late, now)

    def is_due(self, now: float, tolerance_seconds: float) -> bool:
        """Whether it should run in the tick that begins now."""
        # What came late has been read for this tick already.
        waiting = self._stuck_in is None and self.fresh is None
        return waiting and now >= self.due_at - tolerance_seconds

    def settle(self, outcome: Outcome, began: float) -> bool:
        """Take in what came of a run that began then; whether the columns changed."""
        was_present, keys = self.present, self.keys
        self._last_duration, self._last_cpu = outcome.duration, outcome.cpu
        self.duration = outcome.duration
        self._durations.append(outcome.duration)
        if outcome.absent is not None:
            self.keys, self.duration, self.success = (), math.nan, math.nan
            self._durations.clear()
            self._change(Status.ABSENT, outcome.absent)
        elif outcome.failure is not None:
            # The last KEYs stay: what cannot be read now still exists.
            self.success = 0.0
            self._change(Status.FAILING, outcome.failure)
        else:
            self.success = 1.0
            self.fresh = outcome.values
            self.snapshots = outcome.snapshots
            if outcome.keys != self.keys:
                self.keys = outcome.keys
            self._change(Status.SLOW if self._is_slow() else Status.OK, "")
        interval = self.interval
        # What is read every tick is due whenever a tick comes, however soon.
        self.due_at = began + interval if interval > self._tick else -math.inf
        return self.present != was_present or self.keys is not keys

    def hang(self, batch: Batch, since: float, now: float) -> bool:
        """It did not return from this batch; whether the columns changed."""
        was_present = self.present
        self._stuck_in, self._stuck_since = batch, since
        self.duration, self.success = now - since, 0.0
        self._change(Status.STUCK, "it has not returned")
        return not was_present

    def row(self, now: float) -> dict[str, str | float | None]:
        """Its row in the table of collectors."""
        stuck = self._stuck_in is not None
        note = self._reason or str(getattr(self.collector, "note", ""))
        return {
            "collector": self.name,
            "status": str(self.status),
            "interval": self.interval,
            "duration": now - self._stuck_since if stuck else self._last_duration,
            "cpu": None if stuck else self._last_cpu,
            "note": note,
        }

    def close(self, left_to_thread: bool) -> None:
        """Close the collector, unless the thread that runs it will."""
        if left_to_thread:
            return
        if self._stuck_in is not None and self._stuck_in.leave(close=True) is self.collector:
            return
        try:
            self.collector.close()
        except Exception as error:  # noqa: BLE001 - the others must be closed too
            logger.warning("collector %s could not be closed: %r", self.name, error)

    def _is_slow(self) -> bool:
        return len(self._durations) == SLOW_RUNS and min(self._durations) > self._budget

    def _change(self, status: Status, reason: str) -> None:
        """Move to `status`, and log one line where that is a change."""
        before, self.status, self._reason = self.status, status, reason
        if status is before:
            return
        match status:
            case Status.FAILING | Status.STUCK:
                logger.warning("collector %s is %s: %s", self.name, status, reason)
            case Status.ABSENT:
                logger.info("collector %s is absent: %s", self.name, reason)
            case Status.SLOW:
                logger.info(
                    "collector %s is slow: it is read every %.3g s", self.name, self.interval
                )
            case _ if before is not Status.NEW:
                logger.info("collector %s is ok again", self.name)
