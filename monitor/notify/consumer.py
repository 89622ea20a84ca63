"""One channel as a consumer of the log: from what is due to what was delivered, and kept.

The order of steps is the promise.  A notification is written into the checkpoint, then tried, then
its delivery is written into the log, then the checkpoint lets go of it.  Whoever is killed in
between tells at least once, at most once more for each time, under the same key and with the same
content; before it tells again it looks whether the log knows of a delivery.

A checkpoint that somebody else has written means that another process tells on this channel: this
one stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable

import structlog

from monitor.core import book
from monitor.errors import Unavailable
from monitor.notify import deliveries, keeping, retrying, telling
from monitor.notify.channel import MOST_TOLD, Channel, ChannelStatus, Outcome, Result
from monitor.notify.folding import Ledger
from monitor.notify.groups import Draft, Entry
from monitor.notify.keeping import Frozen, Health
from monitor.notify.routing import Assignment, Routing
from monitor.notify.scene import Scene
from monitor.ports import Checkpoint, Conflict, EventLog, Gap, Registry, Unknown

CHECKPOINT = "notify/"
"""Checkpoints of channels: ``notify/NAME``."""

OF_THE_LOG = "log"
"""The name under which a checkpoint keeps the position in the log."""

SAVE_SECONDS = 5.0
"""How often what came in is kept.  What is not is folded again after a restart."""

SAVE_POSITION_SECONDS = 60.0
"""How often the position alone is kept: trimming of the log stops there."""

BEHIND_SECONDS = 1.0
"""How soon to look again while the log is being folded; whoever folds rings before."""

FAULT_SECONDS = 30.0
"""How long to wait after a fault of our own."""

FAILING_SECONDS = 600.0
"""A channel that has not worked for so long is told of on others."""


OWN_FAULT = "it cannot be told: see this server's own log"


class Stopped(Exception):
    """Somebody else tells on this channel."""


class Consumer:
    """Folds what concerns one channel, and delivers it."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        log: EventLog,
        registry: Registry,
        scene: Scene,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.name = name
        self.channel = channel
        self.ledger = Ledger(name)
        self._bound_by(channel)
        self.position = 0
        self.is_behind = False
        """Whether more of the log is being folded: ten thousand alerts come in many pages."""
        self.stopped = False
        self.delivered_total = self.given_up_total = self.attempts_total = self.left_out_total = 0
        self._log = log
        self._registry = registry
        self._scene = scene
        self._clock = clock
        self._chance = chance
        self._voice = structlog.stdlib.get_logger("monitor.notify").bind(channel=name)
        self._revision = 0
        self._frozen: Frozen | None = None
        self._health = Health()
        self._next_try = 0.0
        self._next_try_at = 0.0
        self._is_from_before = False
        self._changed = False
        self._saved_position = 0
        self._saved_at = 0.0
        self._rung = asyncio.Event()
        self._ending = False

    # Beginning

    async def open(self, checkpoint: Checkpoint, last: int) -> None:
        """Go on from a checkpoint; from `last` where there is none.  Raises as log and registry."""
        self._revision = checkpoint.revision
        self.position = self._saved_position = min(checkpoint.positions.get(OF_THE_LOG, last), last)
        if not checkpoint.revision:
            await self._save()
            return
        kept = keeping.decode(checkpoint.state)
        if kept is None or kept.epoch != self._log.epoch:
            # Positions of another log mean nothing here.
            why = "is damaged" if kept is None else "is of another log than this"
            self._voice.warning(f"the channel's checkpoint {why}: it begins anew", at=last)
            self.position = last
            await self._save()
            return
        self._frozen, self._health = kept.frozen, kept.health
        self._is_from_before = kept.frozen is not None
        self.ledger.left_out, self.ledger.gathers = kept.left_out, kept.gathers
        self.ledger.groups = kept.groups
        await self._know(kept.entries)

    async def _know(self, entries: tuple[Entry, ...]) -> None:
        """Find out which alerts entries are: the scene knows most, the log has all."""
        known = {alert.first_sequence: alert for alert in self._scene.book.open.values()}
        missing = [entry for entry in entries if entry.first not in known or entry.ended_at]
        found = await telling.alerts_at(self._log, [entry.newest for entry in missing])
        lost = 0
        for entry in entries:
            alert = None if entry.ended_at else known.get(entry.first)
            if alert is None:
                alert = found.get(entry.newest)
                if alert is not None and alert.is_open:
                    self._scene.put(
                        [book.Alert(alert.said, entry.fired_at, 0.0, entry.first, entry.newest)]
                    )
            if alert is None:
                lost += 1
                continue
            entry.id = alert.id
            self.ledger.put(entry)
        if lost:
            self._voice.warning("the log has nothing of some alerts any more", alerts=lost)

    def reroute(self, routing: Routing, channel: Channel) -> None:
        """The configuration is another; what was told, and what waits, is the same."""
        self.channel = channel
        self._bound_by(channel)
        self.ledger.reroute(routing, self._scene.book.open)
        self._changed = True
        # Whoever mends a channel wants to see it work.
        self._next_try = 0.0
        self.ring()

    def _bound_by(self, channel: Channel) -> None:
        """Some channels say themselves how often they are told, and of how many at once."""
        self.ledger.repeat_seconds = getattr(channel, "repeat_seconds", None)
        self.ledger.most_told = getattr(channel, "most_told", MOST_TOLD)

    # What comes in

    def take(
        self, alert: book.Alert, assigned: Assignment | None, at: float, was_blocked: bool
    ) -> None:
        """Take in what the log says of an alert: see `Ledger.take`."""
        if self.ledger.take(alert, assigned, at, was_blocked):
            self._changed = True

    def forget(self, ids: list[str]) -> None:
        """These alerts are no more."""
        self.ledger.forget(ids)
        self._changed = True

    def ring(self) -> None:
        """Something has come in, or changed: look."""
        self._rung.set()

    # What goes out

    async def run(self) -> None:
        """Tell what is due, until cancelled, ended, or somebody else does it."""
        seconds = deliveries.TRY_AGAIN_SECONDS
        while not self._ending:
            try:
                await self._step()
                seconds = deliveries.TRY_AGAIN_SECONDS
            except Stopped:
                self.stopped = True
                self._voice.error(
                    "another process tells on this channel: this one does not any more"
                )
                return
            except (Unavailable, Unknown, Gap) as error:
                self._voice.warning("the log is not to be had now", why=str(error))
                await asyncio.sleep(seconds)
                seconds = min(2.0 * seconds, deliveries.MOST_TRY_AGAIN_SECONDS)
            except Exception:  # noqa: BLE001 - a fault of ours must not silence a channel for ever
                self._voice.exception("a fault while telling; it goes on")
                self._count_fault()
                await asyncio.sleep(FAULT_SECONDS)

    def _count_fault(self) -> None:
        """What cannot be told for a fault of ours does not hold up the rest for ever."""
        now = self._clock()
        if self._frozen is None:
            return
        if retrying.is_given_up(self._frozen.at, now):
            self._let_go(self._frozen, Outcome(Result.GIVEN_UP, OWN_FAULT))
            return
        self._frozen.failures += 1
        self._fail(OWN_FAULT, now)
        wait = retrying.wait_seconds(self._frozen.failures, 0.0, self._chance())
        self._next_try = time.monotonic() + wait

    async def _step(self) -> None:
        now = self._clock()
        if self._frozen is not None:
            if time.monotonic() >= self._next_try:
                await self._attempt(self._frozen)
                return
            seconds = self._next_try - time.monotonic()
        else:
            if not self.is_behind:
                draft = self.ledger.due(now, self._blocked, self._held)
                if draft is not None:
                    await self._freeze(draft, now)
                    return
            seconds = BEHIND_SECONDS if self.is_behind else self.ledger.next_at() - now
        save_in = self._save_in()
        if save_in <= 0.0:
            await self._save()
            return
        await self._rest(max(0.0, min(seconds, save_in)))

    def _save_in(self) -> float:
        """In how many seconds there is something to be kept."""
        if self._changed:
            return self._saved_at + SAVE_SECONDS - time.monotonic()
        if self.position > self._saved_position:
            return self._saved_at + SAVE_POSITION_SECONDS - time.monotonic()
        return SAVE_POSITION_SECONDS

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        self._rung.clear()

    def _blocked(self, entry: Entry, now: float) -> str:
        alert = self._scene.book.open.get(entry.id)
        if alert is None:
            return "over"
        return self._scene.blocked(alert, now)

    def _held(self, entry: Entry) -> int:
        alert = self._scene.book.open.get(entry.id)
        return 0 if alert is None else self._scene.held(alert)

    async def _freeze(self, draft: Draft, now: float) -> None:
        """Keep a notification before anybody is told: from here on it is told under this key."""
        self._frozen = Frozen(
            secrets.token_hex(16),
            now,
            tuple(
                (each.id, each.first, each.newest, each.fired_at, each.resolved_at, each.held)
                for each in draft.members
            ),
            draft.left_out,
            dict(draft.labels),
            draft.is_repeat,
            draft.is_drill,
            draft.groups,
            self.position,
        )
        self._next_try = 0.0
        self._changed = True
        await self._save()

    async def _attempt(self, frozen: Frozen) -> None:
        if self._changed:
            await self._save()  # what was not kept is told to nobody
        if self._is_from_before:
            before = await deliveries.found(self._log, frozen)
            self._is_from_before = False
            if before is not None:
                self._let_go(frozen, before)
                await self._save()
                return
        made = await telling.notification(self._log, self.name, frozen)
        if made is None:
            self._voice.warning("the log has nothing of a notification any more: it is not told")
            self._let_go(frozen, None)
            await self._save()
            return
        self.attempts_total += 1
        outcome = await deliveries.tried(self.channel, made)
        now = self._clock()
        if outcome.result is Result.RETRY and retrying.is_given_up(frozen.at, now):
            reason = f"tried for {retrying.GIVE_UP_SECONDS / 3600:.0f} hours: {outcome.reason}"
            outcome = Outcome(Result.GIVEN_UP, reason)
        if outcome.result is Result.RETRY:
            await self._try_later(frozen, outcome, now)
            return
        # A channel that asks to be told every minute would fill the log with it.
        is_routine = made.is_repeat and bool(self.ledger.repeat_seconds)
        if not is_routine or outcome.result is not Result.DELIVERED:
            await deliveries.note(self._log, made, frozen, outcome, self._clock())
        self._let_go(frozen, outcome)
        await self._save()

    async def _try_later(self, frozen: Frozen, outcome: Outcome, now: float) -> None:
        frozen.failures += 1
        self._fail(outcome.reason, now)
        seconds = retrying.wait_seconds(
            frozen.failures, outcome.retry_after_seconds, self._chance()
        )
        self._next_try, self._next_try_at = time.monotonic() + seconds, now + seconds
        self._changed = True
        await self._save()

    def _fail(self, reason: str, now: float) -> None:
        if not self._health.failing_since:
            self._health.failing_since = now
            self._voice.warning("a channel does not work", why=reason)
        self._health.failure = reason

    def _let_go(self, frozen: Frozen, outcome: Outcome | None) -> None:
        """A notification is done with: it has arrived, or never will; none: it was of nothing."""
        now = self._clock()
        if outcome is not None and outcome.result is Result.DELIVERED:
            self.delivered_total += 1
            if self._health.failing_since:
                self._voice.info("a channel works again")
            self._health = Health(delivered_at=now)
        elif outcome is not None:
            self.given_up_total += 1
            self._voice.error("a notification is given up", why=outcome.reason)
            self._fail(outcome.reason, now)
        self.left_out_total += frozen.left_out
        if frozen.failures:
            # What came meanwhile is told in one piece.
            self.ledger.gathers = True
            self.ledger.arrived(frozen.groups, frozen.at, now)
        self._frozen = None
        self._next_try_at = 0.0
        self._changed = True

    # What is written down

    async def _save(self) -> None:
        """Write the checkpoint.  Raises `Stopped` where somebody else has."""
        state = keeping.encode(self.ledger, self._frozen, self._health, self._log.epoch)
        position, seconds = self.position, deliveries.TRY_AGAIN_SECONDS
        self._changed = False
        name = CHECKPOINT + self.name
        while True:
            try:
                self._revision = await self._registry.save(
                    name, state, {OF_THE_LOG: position}, self._revision
                )
            except Conflict:
                # It may be our own, of which we did not hear.
                found = await self._registry.checkpoint(name)
                if found.state != state:
                    raise Stopped from None
                self._revision = found.revision
            except (Unavailable, Unknown) as error:
                self._changed = True
                self._voice.warning("a checkpoint could not be kept yet", why=str(error))
                await asyncio.sleep(seconds)
                seconds = min(2.0 * seconds, deliveries.MOST_TRY_AGAIN_SECONDS)
                continue
            self._saved_position, self._saved_at = position, time.monotonic()
            return

    async def end(self, task: asyncio.Task[None], seconds: float) -> None:
        """Let an attempt that is under way finish, for so long; then keep what came in."""
        self._ending = True
        self.ring()
        _, pending = await asyncio.wait([task], timeout=seconds)
        if pending:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        elif self._changed and not self.stopped:
            with contextlib.suppress(Stopped, Unavailable, Unknown, TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._save()

    # How it stands

    def status(self) -> ChannelStatus:
        """How it stands with the channel now."""
        health = self._health
        stopped = "another process tells on this channel" if self.stopped else ""
        return ChannelStatus(
            self.name,
            self.channel.kind,
            self.channel.target,
            health.delivered_at,
            health.failing_since,
            stopped or health.failure,
            (self._frozen is not None) + self.ledger.waiting(),
            self.delivered_total,
            self.given_up_total,
            self._next_try_at,
        )

    def is_failing(self, now: float) -> bool:
        """Whether it has not worked for so long that others are to be told."""
        since = self._health.failing_since
        return bool(since) and now - since >= FAILING_SECONDS
