"""Runs the collectors and makes frames.

Each tick the collectors that are due run one after the other in a worker thread; their
values become one row of the host's schema, and the row goes to `deliver`.  One that fails,
hangs or is slow costs only itself, and is reported as ordinary metrics:
``monitor.collector.duration`` and ``monitor.collector.success``.  Rates of counters are
derived elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence

from monitor.collect.slot import Slot
from monitor.collect.worker import Batch, Worker
from monitor.model import Frame, Schema, SeriesKey, Snapshot
from monitor.ports import Collector

HANG_SECONDS = 0.4
"""A collector that runs longer is stuck; it is half the interval where that is shorter."""

TABLE_SECONDS = 5.0
"""How often the table of collectors is made."""

DELIVER_SECONDS = 10.0
"""How long we wait for a frame to be accepted before it is given up."""

Deliver = Callable[[Frame, list[Snapshot]], Awaitable[None]]

logger = logging.getLogger("monitor.collect")


class Runner:
    """The collectors of one host, and the beat at which they are read."""

    def __init__(
        self,
        collectors: Sequence[Collector],
        host: str,
        interval_seconds: float,
        deliver: Deliver,
        clock: Callable[[], float] = time.time,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = [Slot(collector, interval_seconds) for collector in collectors]
        self._host = host
        self._interval = interval_seconds
        self._hang = min(HANG_SECONDS, interval_seconds / 2)
        self._deliver = deliver
        self._clock = clock
        self._monotonic = monotonic
        self._worker: Worker | None = None
        self._batch: Batch | None = None
        self._delivery: asyncio.Task[None] | None = None
        self._delivery_failing = False
        self._columns = _Columns(self._slots)
        self._table_due = -math.inf
        self._closed = False

    async def run(self) -> None:
        """Tick until cancelled: at once, then at whole multiples of the interval.

        The wall clock only chooses the phase, and each wait is bounded by the monotonic
        clock, so that a clock that steps neither spins nor stalls the beat.  Ticks that were
        missed are skipped.
        """
        while True:
            began = time.monotonic()
            await self.tick(self._clock())
            wait = self._interval - self._clock() % self._interval
            if time.monotonic() + wait - began < self._interval / 2:
                # The boundary is this tick's own, or too near to be worth another.
                wait += self._interval
            await asyncio.sleep(wait)

    async def tick(self, now: float) -> None:
        """One round: read what is due, make a frame, deliver it.  `now` is unix seconds."""
        if self._closed:
            return
        moment = self._monotonic()
        changed = False
        for slot in self._slots:
            changed |= slot.begin_tick(moment)
        changed |= self._leave_cancelled(moment)
        due = [slot for slot in self._slots if slot.is_due(moment, self._interval / 2)]
        # What waited longest goes first, so that what a tick had no time for is not starved.
        due.sort(key=lambda slot: slot.due_at)
        changed |= await self._collect(due, now, moment)
        if changed:
            self._columns.arrange()
        frame = Frame(self._host, now, self._columns.schema, self._columns.values())
        await self._hand_over(frame, self._snapshots(now, moment))

    def close(self) -> None:
        """Close the collectors.  One that is being read is closed by its own thread."""
        if self._closed:
            return
        self._closed = True
        running = self._batch.leave(close=True) if self._batch is not None else None
        if self._worker is not None:
            self._worker.end()
        if self._delivery is not None:
            self._delivery.cancel()
        for slot in self._slots:
            slot.close(left_to_thread=slot.collector is running)

    def _leave_cancelled(self, moment: float) -> bool:
        """Leave the batch of a tick that was cancelled; whether the columns changed."""
        batch, self._batch = self._batch, None
        if batch is None:
            return False
        if self._worker is not None:
            self._worker.end()
            self._worker = None
        running = batch.leave(close=False)
        changed = False
        for slot in self._slots:
            if slot.collector is running:
                changed |= slot.hang(batch, moment, moment)
        return changed

    async def _collect(self, due: list[Slot], now: float, moment: float) -> bool:
        """Run these collectors; whether any of their columns changed."""
        changed = False
        stop_after = time.monotonic() + self._interval / 2
        while due:
            batch, stuck = await self._run_batch(due, now, stop_after)
            for slot, outcome in zip(due, batch.outcomes, strict=True):
                if outcome is not None:
                    changed |= slot.settle(outcome, moment)
            if stuck is None:
                break
            changed |= due[stuck].hang(batch, moment, self._monotonic())
            due = due[stuck + 1 :]
        return changed

    async def _run_batch(
        self, due: Sequence[Slot], now: float, stop_after: float
    ) -> tuple[Batch, int | None]:
        """Run one batch in the worker; the place of the collector that got stuck, if any."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        def report() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(finish)

        worker = self._worker = self._worker or Worker()
        batch = self._batch = Batch([slot.collector for slot in due], now, stop_after, report)
        worker.submit(batch)
        while True:
            # As `asyncio.wait` does, without the rounds of the loop that it takes.
            patience = loop.call_later(batch.patience(self._hang), finish)
            try:
                await done
            finally:
                patience.cancel()
            stuck = batch.abandon(self._hang)
            if stuck is not None:
                self._worker = None
            if stuck is not None or batch.over():
                self._batch = None
                return batch, stuck
            done = loop.create_future()

    def _snapshots(self, now: float, moment: float) -> list[Snapshot]:
        found = [
            Snapshot(self._host, now, kind, rows)
            for slot in self._slots
            for kind, rows in slot.snapshots.items()
        ]
        if moment >= self._table_due - self._interval / 2:
            self._table_due = moment + TABLE_SECONDS
            rows = tuple(slot.row(moment) for slot in self._slots)
            found.append(Snapshot(self._host, now, "collectors", rows))
        return found

    async def _hand_over(self, frame: Frame, snapshots: list[Snapshot]) -> None:
        """Deliver one frame, or give it up: collecting goes on, and nothing piles up."""
        if self._delivery is not None:
            if not self._delivery.done():
                return
            self._delivery = None
        delivery = asyncio.create_task(self._deliver_one(frame, snapshots))
        try:
            await asyncio.wait((delivery,), timeout=DELIVER_SECONDS)
        except asyncio.CancelledError:
            delivery.cancel()
            raise
        if not delivery.done():
            # Kept until it ends: the next frame is delivered only after that.
            self._delivery = delivery
            delivery.cancel()
            self._note_delivery(f"a frame was not accepted within {DELIVER_SECONDS:g} s")
        elif delivery.cancelled():
            self._note_delivery("the delivery of a frame was cancelled")
        elif (error := delivery.exception()) is not None:
            self._note_delivery(f"a frame was not accepted: {error!r}", error)
        else:
            self._note_delivery("")

    async def _deliver_one(self, frame: Frame, snapshots: list[Snapshot]) -> None:
        await self._deliver(frame, snapshots)

    def _note_delivery(self, fault: str, error: BaseException | None = None) -> None:
        if bool(fault) == self._delivery_failing:
            return
        self._delivery_failing = bool(fault)
        if fault:
            logger.error("%s", fault, exc_info=error)
        else:
            logger.info("frames are accepted again")


class _Columns:
    """The host's schema: every slot's KEYs in order, then our own two a collector."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._parts: list[tuple[Slot, array[float], tuple[int, ...] | None]] = []
        self._present: list[Slot] = []
        self.schema = Schema(())

    def arrange(self) -> None:
        """Lay the columns out anew; the schema stays the same object where nothing changed."""
        self._parts = []
        seen: set[str] = set()
        texts: list[str] = []
        for slot in self._slots:
            picks = []
            for column, text in enumerate(slot.keys):
                # The first collector that brings a KEY owns it; what is no KEY is left out.
                if text not in seen and _is_key(text):
                    seen.add(text)
                    picks.append(column)
                    texts.append(text)
            blank = array("d", [math.nan]) * len(picks)
            whole = len(picks) == len(slot.keys)
            self._parts.append((slot, blank, None if whole else tuple(picks)))
        self._present = [
            slot for slot in self._slots if slot.present and slot.own_keys[0] not in seen
        ]
        for slot in self._present:
            texts.extend(slot.own_keys)
        if tuple(texts) != self.schema.texts:
            self.schema = Schema(tuple(texts))

    def values(self) -> array[float]:
        """This tick's row; NaN for what was not read."""
        row = array("d")
        for slot, blank, picks in self._parts:
            fresh = slot.fresh
            if fresh is None:
                row.extend(blank)
            elif picks is None:
                row.extend(fresh)
            else:
                row.extend(fresh[column] for column in picks)
        for slot in self._present:
            row.append(slot.duration)
            row.append(slot.success)
        return row


def _is_key(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        text.encode()
        SeriesKey.parse(text)
    except (ValueError, IndexError):
        return False
    return True
