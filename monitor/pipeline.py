"""The order of the flow, and nothing else: two verbs.

`accept` stores a frame, folds it into its host's state and offers it to the live views.
`tick` judges what time has done to the state and appends what happened to the log.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

from monitor.core import hosts
from monitor.core.messages import HostUpdate, event
from monitor.core.state import HostState, LiveState
from monitor.errors import Unavailable
from monitor.model import Event, Frame, HostStatus, Snapshot
from monitor.ports import MOST_EVENTS_AT_ONCE, EventLog, SeriesStore

STEP_SECONDS = 1.0
"""A clock that is further back than it was did not drift: somebody set it."""

PAUSE_SECONDS = 5.0
"""Ticks further apart mean that this program stood still, not that every host fell silent."""

FOLDED_AT_ONCE = 64
"""Frames of a backlog after which others may run: about 2 ms."""


class NotStored(Unavailable):
    """The store took nothing of a frame, which was shown all the same; `cause` says why."""

    def __init__(self, cause: Unavailable) -> None:
        super().__init__(
            cause.detail, code=cause.code, status=cause.status, retry_after=cause.retry_after
        )


class Pipeline:
    """Where frames enter.  It is the only one to change the live state."""

    def __init__(
        self,
        state: LiveState,
        store: SeriesStore,
        log: EventLog,
        offer: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._state = state
        self._store = store
        self._log = log
        self._offer = offer
        self._clock = clock
        self.taps: list[Callable[[Sequence[Frame]], None]] = []
        """Called with frames that the store has, late ones too; they return at once."""
        self.late_taps: list[Callable[[Sequence[Frame]], None]] = []
        """Called with frames that the store has and that came too late for the live state."""
        self._now = 0.0
        self._said_at = 0.0
        self._resumed_at = 0.0
        self.judging = asyncio.Lock()
        """Held while statuses change: who holds it finds them as the log has them."""

    async def accept(self, frame: Frame, snapshots: list[Snapshot]) -> None:
        """Store a frame, fold it, offer it.  On return it is as durable as the store is.

        A frame that is not newer than its host's last goes to the store alone.  Of a host's first
        one the log knows on return.
        """
        await self.accept_all([frame], snapshots)

    async def accept_all(
        self,
        frames: Sequence[Frame],
        snapshots: Sequence[Snapshot],
        sent: float | None = None,
    ) -> None:
        """The same for many frames, each host's by instant ascending, with its newest tables.

        `sent` is when that was by their sender's clock; without it now is.  What is late by it
        goes to the store alone.

        The store has all of them before any is folded.  Where it takes nothing they are folded
        all the same, so that pages and rules see what is, and `NotStored` is raised: whoever
        sent them sends them again.
        """
        refused = None
        try:
            await self._store.append(frames, snapshots)
        except Unavailable as error:
            refused = NotStored(error)
        else:
            for tap in self.taps:
                tap(frames)
        now = self._present(self._clock())
        if sent is None:
            sent = now
        newest = {frame.host: frame for frame in frames}
        tables: dict[str, list[Snapshot]] = {}
        for snapshot in snapshots:
            tables.setdefault(snapshot.host, []).append(snapshot)
        version = self._state.version
        late: list[Frame] = []
        for number, frame in enumerate(frames, 1):
            known = frame.heard or frame.host in self._state.hosts
            if known and not self._state.is_present(frame, sent, now):
                late.append(frame)
            elif known:
                is_newest = newest[frame.host] is frame
                found = tables.get(frame.host, ()) if is_newest else ()
                self._state.fold(frame, found, now, sent)
            if number % FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)
        if late and refused is None:
            for tap in self.late_taps:
                tap(late)
        if self._state.version != version:
            self._offer()
        for name in dict.fromkeys(frame.host for frame in frames if frame.heard):
            host = self._state.hosts.get(name)
            if host is None:
                continue
            host.seen_at = now  # late frames too say that somebody is there
            host.said_goodbye = False
            if host.status is None:
                await self._welcome(host)
        if refused is not None:
            raise refused

    async def _welcome(self, host: HostState) -> None:
        """Log at once that a host came: whoever sent its first frame may be told so only then."""
        async with self.judging:
            now = self._present(self._clock())
            if found := self._judged(host, now):
                await self._log.append([found[2]])
                host.status, host.since = found[1], now

    async def goodbye(self, name: str) -> None:
        """A host's agent ended in good order: nobody waits to find that it has gone."""
        async with self.judging:
            host = self._state.hosts.get(name)
            if host is None or host.status in (None, HostStatus.RETIRED):
                return
            host.said_goodbye = True
            now = self._present(self._clock())
            if found := self._judged(host, now):
                await self._log.append([found[2]])
                host.status, host.since = found[1], now

    async def retire(self, name: str, reason: str) -> None:
        """Wait for a host no more, until its frames come again.  Nothing where it is unknown."""
        async with self.judging:
            host = self._state.hosts.get(name)
            if host is None or host.status is HostStatus.RETIRED:
                return
            now = self._present(self._clock())
            await self._log.append([_said(host, HostStatus.RETIRED, reason, self._instant(now))])
            host.status, host.since = HostStatus.RETIRED, now

    async def tick(self, now: float) -> None:
        """Decide every host's status at `now`, and log what changed.

        Where `now` went back, silence goes on as it was, and the log's instants stay.  When the
        program itself stood still, nobody's silence counts
        until it has been awake as long.
        """
        async with self.judging:
            await self._tick(self._present(now))

    def _present(self, now: float) -> float:
        """Now; where the clock was set back, what was heard moves with it."""
        back = self._now - now
        if back > STEP_SECONDS:
            for host in self._state.hosts.values():
                host.move(-back)
            self._resumed_at -= back
            self._now = now
        return max(now, self._now)

    def _instant(self, now: float) -> float:
        """When something happened, as the log has it: its instants never go back."""
        self._said_at = max(self._said_at, now)
        return self._said_at

    async def _tick(self, now: float) -> None:
        if self._now and now - self._now > PAUSE_SECONDS:
            self._resumed_at = now
        self._now = now
        changed = [
            found for host in self._state.hosts.values() if (found := self._judged(host, now))
        ]
        for start in range(0, len(changed), MOST_EVENTS_AT_ONCE):
            batch = changed[start : start + MOST_EVENTS_AT_ONCE]
            await self._log.append([happened for _, _, happened in batch])
            for host, status, _ in batch:
                host.status, host.since = status, now

    def _judged(self, host: HostState, now: float) -> tuple[HostState, HostStatus, Event] | None:
        """The host's new status and the event that says so, where it has one."""
        heard_at = host.seen_at or host.recalled_at
        if not heard_at:
            return None
        silent = now - max(heard_at, self._resumed_at)
        status = hosts.status(silent, host.period_seconds)
        if host.said_goodbye and status is HostStatus.UP:
            status = HostStatus.STALE
        if host.is_ephemeral and (host.said_goodbye or status is HostStatus.DOWN):
            status = HostStatus.RETIRED
        if status is host.status:
            return None
        if host.status is HostStatus.RETIRED and host.seen_at <= host.since:
            return None  # until it comes again
        if not host.seen_at and host.status and hosts.is_worse(host.status, status):
            return None  # it was away before this server started, and has not come back
        return host, status, _host_update(host, status, silent, self._instant(now))


def _host_update(host: HostState, status: HostStatus, silent: float, now: float) -> Event:
    if status is HostStatus.UP:
        reason = "first frame" if host.status is None else "frames are coming again"
    elif host.said_goodbye and status is not HostStatus.DOWN:
        reason = "its agent said goodbye"
    else:
        reason = f"silent for {silent:.0f} s"
    return _said(host, status, reason, now)


def _said(host: HostState, status: HostStatus, reason: str, now: float) -> Event:
    said = HostUpdate(host=host.name, status=status, was=host.status, reason=reason)
    return event(said, now, secrets.token_hex(8))
