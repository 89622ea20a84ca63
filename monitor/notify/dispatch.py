"""The notifier: follows the log for all channels, and gives each what is routed to it.

Every channel is a consumer of its own (`monitor.notify.consumer`), with its own checkpoint and its
own task, so that none waits for another.  The log is read once for all of them.  A channel that is
new is told of what fires from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import structlog

from monitor.core import book
from monitor.errors import NotFound, Unavailable
from monitor.log.checkpoints import PREFIX
from monitor.log.damage import Damaged
from monitor.model import Event, RetentionClass
from monitor.notify.channel import Channel, ChannelStatus, Outcome
from monitor.notify.config import RouteConfig
from monitor.notify.consumer import CHECKPOINT, Consumer
from monitor.notify.deliveries import MOST_TRY_AGAIN_SECONDS, TRY_AGAIN_SECONDS
from monitor.notify.routing import Routing
from monitor.notify.scene import AcknowledgedBy, Scene, Silenced
from monitor.notify.trials import Trials
from monitor.ports import EventLog, Gap, Registry, Unknown

TOPICS = frozenset({"alerts", "fleet"})
"""What is followed: alerts, and hosts that go and come."""

PAGE_EVENTS = 256
"""Events that are folded at a time: about 10 ms, then others have their turn."""

POLL_SECONDS = 1.0
"""How often the log is looked at, where nobody says that something was appended."""

FLUSH_SECONDS = 1.0
"""How long an attempt that is under way may finish at the end."""


class Notify:
    """Who is told of alerts, and how that goes.

    `known` and `away` are the open alerts and the hosts that are away when it begins; `silenced`
    and `acknowledged` answer for now; `host` is this server's own, of which a test speaks.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        routes: Sequence[RouteConfig],
        log: EventLog,
        registry: Registry,
        clock: Callable[[], float],
        *,
        silenced: Silenced = lambda _labels, _now: None,
        acknowledged: AcknowledgedBy = lambda _id: None,
        known: Callable[[], Iterable[book.Alert]] = tuple,
        away: Callable[[], Iterable[str]] = tuple,
        host: str = "monitor",
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._channels = dict(channels)
        self._routes = tuple(routes)
        self._routing = Routing(self._routes, self._channels)
        self._log = log
        self._registry = registry
        self._clock = clock
        self._chance = chance
        self._known = known
        self._away = away
        self._scene = Scene(silenced, acknowledged)
        self._voice = structlog.stdlib.get_logger("monitor.notify")
        self._consumers: dict[str, Consumer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._damaged: dict[str, str] = {}
        """Channels whose checkpoint cannot be read, and what to do about it."""
        self._position = 0
        self._rung = asyncio.Event()
        self._changing = asyncio.Lock()
        self.is_running = False
        """Whether it has caught up with the log, and tells."""
        self._trials = Trials(log, clock, host)
        self.folded_total = 0

    @property
    def has_channels(self) -> bool:
        """Whether anybody is told at all."""
        return bool(self._channels)

    @property
    def position(self) -> int:
        """How far the log was folded."""
        return self._position

    async def run(self) -> None:
        """Tell, until cancelled; then let attempts that are under way finish, for a moment."""
        try:
            await self._persist(self._begin)
            while True:
                await self._persist(self._follow)
                await self._rest()
        finally:
            self.is_running = False
            await self._end(list(self._consumers), FLUSH_SECONDS)
            await asyncio.gather(
                *(channel.close() for channel in self._channels.values()), return_exceptions=True
            )

    async def _persist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what needs the log, and again where it is not to be had."""
        seconds = TRY_AGAIN_SECONDS
        while True:
            try:
                await work()
            except (Unavailable, Unknown) as error:
                self._voice.warning("the log is not to be had now", why=str(error))
                await asyncio.sleep(seconds)
                seconds = min(2.0 * seconds, MOST_TRY_AGAIN_SECONDS)
            else:
                return

    def wake(self) -> None:
        """Something was appended to the log: it need not wait until it is looked at anyway."""
        self._rung.set()

    def look_again(self) -> None:
        """A silence or an acknowledgement has changed: who is told may be another."""
        for consumer in self._consumers.values():
            consumer.ledger.look_again()
            consumer.ring()

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._rung.wait()
        self._rung.clear()

    # Following the log

    async def _begin(self) -> None:
        async with self._changing:
            last = await self._log.last()
            self._scene.put(self._known())
            self._scene.put_away(self._away())
            self._position = last
            await self._forget_gone()
            for name, channel in self._channels.items():
                await self._open(name, channel, last)
            self._position = min(
                (consumer.position for consumer in self._consumers.values()), default=last
            )
            await self._follow()
            self.is_running = True
            for consumer in self._consumers.values():
                consumer.ledger.reroute(self._routing, self._scene.book.open)
                self._start(consumer)

    async def _open(self, name: str, channel: Channel, last: int) -> None:
        if name in self._consumers:
            return
        consumer = Consumer(
            name, channel, self._log, self._registry, self._scene, self._clock, self._chance
        )
        try:
            await consumer.open(await self._registry.checkpoint(CHECKPOINT + name), last)
        except Damaged as error:
            self._damaged[name] = error.detail
            self._voice.error("a channel cannot be used", channel=name, why=error.detail)
            return
        self._consumers[name] = consumer

    async def _forget_gone(self) -> None:
        """Remove the checkpoints of channels that are no more: trimming would stop there."""
        for key in await self._registry.keys(PREFIX + CHECKPOINT):
            if key.removeprefix(PREFIX + CHECKPOINT) not in self._channels:
                await self._registry.delete(key)

    def _start(self, consumer: Consumer) -> None:
        name = f"notify-{consumer.name}"
        self._tasks[consumer.name] = asyncio.create_task(consumer.run(), name=name)

    async def _follow(self) -> None:
        """Fold what the log has."""
        last = await self._log.last()
        if last < self._position:
            self._voice.warning("the log is another: what was in it is not told", at=last)
            self._reach(last)
        while self._position < last:
            try:
                page, searched, _ = await self._log.read(self._position, TOPICS, PAGE_EVENTS)
            except Gap as gap:
                # A host was deleted, and its events with it; what others said is still there.
                page, searched = await self._rescue(max(gap.floor, self._position))
            now = self._clock()
            for found in page:
                self._fold(found, now)
            self._reach(searched, is_behind=searched < last)
            await asyncio.sleep(0)

    async def _rescue(self, floor: int) -> tuple[list[Event], int]:
        """Events up to where their topics begin, by their class, which lost nothing else."""
        try:
            page, searched, _ = await self._log.read(
                self._position, RetentionClass.ALERTS, PAGE_EVENTS
            )
        except Gap as gap:
            self._voice.warning("alerts went from the log before they were told", to=gap.floor)
            return [], max(gap.floor, floor)
        return [found for found in page if found.sequence <= floor], min(searched, floor)

    def _reach(self, position: int, *, is_behind: bool = False) -> None:
        """The log was folded so far.  While there is more, what is due is not whole yet."""
        self._position = position
        for consumer in self._consumers.values():
            consumer.position = max(consumer.position, position)
            consumer.is_behind = is_behind
            if not is_behind:
                consumer.ring()

    def _fold(self, found: Event, now: float) -> None:
        self.folded_total += 1
        at = min(found.at, now)
        before = self._scene.book.open.get(str(found.data.get("alert")))
        was_blocked = (
            before is not None
            and found.data.get("state") not in book.OPEN_STATES
            and any(each.ledger.is_untold(before.id) for each in self._consumers.values())
            and bool(self._scene.blocked(before, at))
        )
        alert = self._scene.fold(found)
        if alert is None:
            return
        assigned = self._routing.assign(alert.said) if alert.is_open else None
        for consumer in self._consumers.values():
            if found.sequence > consumer.position:
                consumer.take(alert, assigned, at, was_blocked)

    def forget(self, host: str) -> None:
        """A host was deleted, with all that the log had of it: nothing more is told of it."""
        ids = [alert.id for alert in self._scene.book.open.values() if alert.host == host]
        self._scene.forget(host)
        for consumer in self._consumers.values():
            consumer.forget(ids)

    # A new configuration

    async def reconfigure(
        self, channels: Mapping[str, Channel], routes: Sequence[RouteConfig]
    ) -> None:
        """Take other channels and routes.

        A channel that stays goes on where it was; one that is gone is forgotten, with what waited
        for it.  What fires already is told on another route only when it becomes worse.
        """
        async with self._changing:
            before, self._channels = self._channels, dict(channels)
            self._routes = tuple(routes)
            self._routing = Routing(self._routes, self._channels)
            gone = [name for name in before if name not in self._channels]
            await self._end(gone, FLUSH_SECONDS)
            for name in gone:
                self._consumers.pop(name, None)
                self._tasks.pop(name, None)
                self._damaged.pop(name, None)
                await self._registry.delete(f"{PREFIX}{CHECKPOINT}{name}")
            for name, channel in self._channels.items():
                if (consumer := self._consumers.get(name)) is not None:
                    consumer.reroute(self._routing, channel)
                elif self.is_running:
                    await self._open(name, channel, self._position)
                    if (consumer := self._consumers.get(name)) is not None:
                        self._start(consumer)
            closing = [each for name, each in before.items() if channels.get(name) is not each]
            await asyncio.gather(*(each.close() for each in closing), return_exceptions=True)

    async def _end(self, names: Sequence[str], seconds: float) -> None:
        await asyncio.gather(
            *(
                self._consumers[name].end(self._tasks[name], seconds)
                for name in names
                if name in self._consumers and name in self._tasks
            )
        )

    # How it stands

    def status(self) -> tuple[ChannelStatus, ...]:
        """How it stands with each channel."""
        return tuple(self._status(name) for name in sorted(self._channels))

    def _status(self, name: str) -> ChannelStatus:
        if (consumer := self._consumers.get(name)) is not None:
            return consumer.status()
        channel = self._channels[name]
        failure = self._damaged.get(name, "")
        return ChannelStatus(name, channel.kind, channel.target, failure=failure)

    def failing(self) -> dict[str, bool]:
        """By channel, whether it has not worked for ten minutes."""
        now = self._clock()
        return {
            name: name in self._damaged
            or ((found := self._consumers.get(name)) is not None and found.is_failing(now))
            for name in self._channels
        }

    def attempts(self) -> dict[str, int]:
        """By channel, how often something was tried since the start."""
        return {name: consumer.attempts_total for name, consumer in self._consumers.items()}

    async def test(self, channel: str, by: str) -> Outcome:
        """Send a marked test message once, whatever waits: what came of it.

        Raises `NotFound`, and `MonitorError` of status 429 where one is under way or there were
        many lately.
        """
        target = self._channels.get(channel)
        if target is None:
            raise NotFound("there is no such channel", code="unknown_channel", field="channel")
        return await self._trials.test(target, by)
