"""Alerting as one running part: the judge, who is told, who has seen it, what reloads the rules.

It builds them from settings and one log, and gives whoever runs the application a few things to
call: `begin`, `tick`, `keep`, and the tasks to run.  What any of them decides is its own business.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from monitor.alerting.judge import Judge
from monitor.alerting.reloading import Reloading
from monitor.alerting.standing import Pending
from monitor.alerting.synthetic import Own, Readers
from monitor.config import RELOADED, Settings
from monitor.core import messages
from monitor.core.catalog import metric
from monitor.core.messages import Notice, event
from monitor.core.quantity import format_about
from monitor.core.state import LiveState
from monitor.errors import MonitorError, Unavailable
from monitor.model import EventType, HostStatus, SeriesKey
from monitor.notify.acks import Acks
from monitor.notify.channel import Channel, ChannelStatus, Outcome
from monitor.notify.channels.making import make
from monitor.notify.config import ChannelConfig
from monitor.notify.dispatch import Notify
from monitor.notify.heartbeat import Beat, Heartbeat
from monitor.notify.silence import configured
from monitor.notify.silences import Silences
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.ports import EventLog, Registry, SeriesStore
from monitor.stream.hub import EventPublisher

MOST_SHOWN = 200
"""Pending conditions that the stream shows as state; pages have all of them."""

AWAY_SECONDS = 60.0
"""A server that was away for longer says so when it is back."""

PAUSE_SECONDS = 5.0

AWAY = frozenset({HostStatus.STALE, HostStatus.DOWN})


class Alarm:
    """One server's."""

    def __init__(
        self,
        settings: Settings,
        reread: Callable[[], Settings],
        state: LiveState,
        store: SeriesStore,
        log: EventLog,
        registry: Registry,
        hub: EventPublisher,
        data_dir: Path | None,
        clock: Callable[[], float],
    ) -> None:
        self._voice = structlog.stdlib.get_logger("monitor.alarm")
        self._state = state
        self._log = log
        self._hub = hub
        self._clock = clock
        self._guard = Guard(settings.outbound.networks)
        self._resolver = Resolver()
        self._public_url = settings.server.public_url or ""
        readers = Readers(
            failing=self._failing,
            reload_failed=self._has_faults,
            readers_dropped=lambda: hub.counters.stalls_total,
        )
        own = Own(data_dir or Path(), readers)
        self.judge = Judge(
            state, store, log, registry, settings.rules, settings.host.name, own.values, clock
        )
        self.silences = Silences(
            registry, log, clock, configured(settings.silences, settings.origins)
        )
        self.acks = Acks(registry, log, clock, self.judge.book.get)
        self._channels: dict[str, tuple[ChannelConfig, Channel]] = {}
        self._notify = Notify(
            self._made(settings),
            settings.routes,
            log,
            registry,
            clock,
            silenced=self.silences.silenced,
            acknowledged=self.acks.get,
            known=self.judge.book.open.values,
            away=lambda: [host.name for host in state.hosts.values() if host.status in AWAY],
            host=settings.host.name,
        )
        self.silences.changed.append(self._notify.look_again)
        self.acks.changed.append(self._notify.look_again)
        self.reloads = Reloading(
            settings,
            load=reread,
            apply=self._apply,
            taken=RELOADED,
            affected=self.judge.affected,
            log=log,
            clock=clock,
        )
        self._heartbeat = self._beating(settings)
        self._is_other_heartbeat = asyncio.Event()
        self._shown: set[str] = set()
        self._ticked_at = 0.0
        self._untold_pause = 0.0
        self._began_at = clock()

    def _made(self, settings: Settings) -> dict[str, Channel]:
        """The channels of settings; one that is as it was is the same."""
        found = {}
        for name, config in settings.channels.items():
            known = self._channels.get(name)
            if known is not None and known[0] == config:
                found[name] = known
            else:
                channel = make(name, config, self._guard, self._resolver, self._public_url)
                found[name] = (config, channel)
        self._channels = found
        return {name: channel for name, (_, channel) in found.items()}

    def _beating(self, settings: Settings) -> Heartbeat:
        return Heartbeat(
            settings.heartbeat,
            self._guard,
            self._resolver,
            self._clock,
            alive=lambda: self.judge.is_alive,
            summary=self._beat,
        )

    def _failing(self) -> Mapping[str, bool]:
        return self._notify.failing()

    def _has_faults(self) -> bool:
        return self.reloads.state.is_failing

    def _beat(self) -> Beat:
        hosts = Counter(
            host.status.value for host in self._state.hosts.values() if host.status is not None
        )
        firing = Counter(str(alert.said.severity) for alert in self.judge.book.open.values())
        return Beat(dict(hosts), dict(firing), self.judge.judged_at)

    # Running

    async def begin(self) -> None:
        """Go on where everything stood.  The hosts are known by now."""
        await self.silences.load()
        await self.acks.load()
        await self.judge.begin()
        heard = [host.at for host in self._state.hosts.values() if host.at]
        away_seconds = self._began_at - max(heard, default=math.inf)
        if away_seconds > AWAY_SECONDS:
            await self._note(f"the server started, after {format_about(away_seconds)} away")

    def tasks(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """What is to run until it is cancelled, by name."""
        return {
            "judge-late": self.judge.follow(),
            "notify": self._notify.run(),
            "silences": self.silences.follow(),
            "silences-keep": self.silences.keep(),
            "acks": self.acks.follow(),
            "acks-keep": self.acks.keep(),
            "reload": self.reloads.run(),
            "heartbeat": self._beats(),
        }

    async def tick(self, now: float) -> None:
        """Judge, and have told what came of it.  Raises as the log does."""
        ticked = time.monotonic()
        paused = ticked - self._ticked_at if self._ticked_at else 0.0
        self._ticked_at = ticked
        if paused > PAUSE_SECONDS:
            self._untold_pause = paused
        if self._untold_pause:
            await self._note(
                f"the server stood still for {format_about(self._untold_pause)}: "
                "that time counts for nobody"
            )
            self._untold_pause = 0.0
        if await self.judge.tick(now):
            self._notify.wake()
        self._show()

    async def keep(self, *, at_the_end: bool = False) -> None:
        """Write down where the judge stands.  Raises as the registry does."""
        await self.judge.keep(at_the_end=at_the_end)

    async def forget(self, host: str) -> None:
        """A host was deleted."""
        await self.judge.forget(host)
        self._notify.forget(host)

    async def _beats(self) -> None:
        while True:
            beating = asyncio.create_task(self._heartbeat.run(), name="heartbeat-run")
            changed = asyncio.create_task(self._is_other_heartbeat.wait(), name="heartbeat-other")
            try:
                done, _ = await asyncio.wait(
                    (beating, changed), return_when=asyncio.FIRST_COMPLETED
                )
                if beating in done:
                    beating.result()
            finally:
                beating.cancel()
                changed.cancel()
                await asyncio.gather(beating, changed, return_exceptions=True)
            self._is_other_heartbeat.clear()

    async def _note(self, text: str) -> None:
        notice = Notice(kind="server", text=text)
        await self._log.append([event(notice, self._clock(), secrets.token_hex(8))])

    def _show(self) -> None:
        """Have the stream show what pends: state, which its newer self replaces."""
        pending = {_name(each): each for each in self.judge.pending(MOST_SHOWN)}
        for name in self._shown - pending.keys():
            self._hub.hide("alerts", name)
        for name in pending.keys() - self._shown:
            said = msgspec.to_builtins(_pending(name, pending[name]))
            self._hub.show("alerts", name, EventType.ALERT, said)
        self._shown = set(pending)

    # Another configuration

    async def _apply(self, settings: Settings) -> None:
        """Let other settings hold, or raise having changed nothing."""
        before = self._channels
        try:
            channels = await asyncio.to_thread(self._made, settings)
            heartbeat = self._beating(settings)
            silences = configured(settings.silences, settings.origins)
        except (MonitorError, ValueError) as error:
            self._channels = before
            raise Unavailable(str(error), code="bad_config") from None
        await self.judge.take(settings.rules)
        self.silences.reconfigure(silences)
        await self._notify.reconfigure(channels, settings.routes)
        if settings.heartbeat != self.reloads.settings.heartbeat:
            self._heartbeat = heartbeat
            self._is_other_heartbeat.set()

    # What pages ask

    def status(self) -> Sequence[ChannelStatus]:
        """How it stands with each channel."""
        return self._notify.status()

    async def test(self, channel: str, by: str) -> Outcome:
        """Send a marked message through a channel: see `Notify.test`."""
        return await self._notify.test(channel, by)

    def deliveries(self) -> Mapping[str, int]:
        """By channel, how often something was tried."""
        return self._notify.attempts()


def _name(pending: Pending) -> str:
    """What tells a pending condition apart, while it has no id."""
    what = "\n".join(
        (
            pending.rule,
            pending.host,
            pending.severity,
            *(f"{name}={value}" for name, value in sorted(pending.attributes.items())),
        )
    )
    return f"pending-{hashlib.blake2s(what.encode(), digest_size=8).hexdigest()}"


def _pending(name: str, pending: Pending) -> messages.Alert:
    key = SeriesKey.parse(pending.metric).name if pending.metric else ""
    return messages.Alert(
        alert=name,
        rule=pending.rule,
        host=pending.host,
        attributes=dict(pending.attributes),
        state="pending",
        was="inactive",
        severity=pending.severity.value,
        value=pending.value if math.isfinite(pending.value) else None,
        since=pending.began,
        limit=pending.limit,
        unit=metric(key).style.value,
        metric=pending.metric,
        began=pending.began,
        notify="never",
    )
