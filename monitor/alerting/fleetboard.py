"""Keeps the board in step with the live state, and has every rule know every host.

Once a tick it copies what changed.  A host whose series or labels are others than before is placed
anew, in every rule; so many at a time that others may run in between.  Beside a host's own series
stand those that are made here, of what is known of it as a whole.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from monitor.alerting.changes import MADE, Changes
from monitor.core.board import Board, Indexes, Place
from monitor.core.rules.judging import RuleJudge
from monitor.core.rules.limits import Flags
from monitor.core.rules.matching import Columns
from monitor.core.state import HostState, LiveState
from monitor.model import HostStatus, Schema

DOWN = "monitor.host.down"
SILENCE = "monitor.host.silence"
SKEW = "monitor.host.clock.skew"
FLEET_DOWN = "monitor.fleet.down_ratio"

OF_HOSTS = (DOWN, SILENCE, SKEW, *MADE)
"""The series that are made of every host, in their order on the board."""

GOODBYE_SECONDS = 480.0
"""How much longer than others a host is not called down that said goodbye: it may be updated."""

SETTLING_SECONDS = 300.0
"""How long a host that has just come only pends, as far as shipped rules on levels go."""

LEAST_FLEET = 5
"""Of fewer hosts no share says anything of a network."""

TOGETHER_SECONDS = 60.0
"""Hosts that went down within so long went down together."""

TURN_SECONDS = 0.003
"""After so much work others may run."""


@dataclass(slots=True)
class _Placed:
    """A host as it was placed."""

    state: HostState
    schema: Schema
    labels: dict[str, str]
    place: Place
    version: int = -1
    made: Schema = field(default_factory=lambda: Schema(()))


class FleetBoard:
    """The board of a live state.  `own` says what the server knows of itself, by KEY."""

    def __init__(
        self,
        state: LiveState,
        changes: Changes,
        own_host: str,
        own: Callable[[float], Mapping[str, float]],
        began: float,
    ) -> None:
        self.board = Board()
        self._state = state
        self._changes = changes
        self._own_host = own_host
        self._own = own
        self._own_values: Mapping[str, float] = {}
        self._began = began
        self._placed: dict[str, _Placed] = {}
        self._made = Schema(OF_HOSTS)
        self._own_made = Schema((*OF_HOSTS, FLEET_DOWN))
        self._starts: Indexes = np.empty(0, np.intp)
        self._order: list[_Placed] = []
        self.settled: Flags = np.ones(0, np.bool_)
        """By host's number, whether it has been there for a while."""

    async def look(
        self, judges: Iterable[RuleJudge], now: float, offset: float, resumed_at: float = 0.0
    ) -> list[str]:
        """Bring the board up to date at `now`; the hosts that are no more.

        `offset` is how far judging's time is ahead of the clock by which hosts were seen; before
        `resumed_at`, by that clock, this program stood still, and nobody could be heard.
        """
        judges = list(judges)
        self._learn(self._own(now - offset))
        hosts = self._state.hosts
        gone = [name for name in self._placed if not _is_there(hosts.get(name))]
        for name in gone:
            self.drop(name, judges)
        turn = time.perf_counter()
        moved = bool(gone)
        for name, host in list(hosts.items()):
            if not _is_there(host):
                continue
            known = self._placed.get(name)
            if known is None or self._is_other(known, host):
                known, moved = self._place(host, judges), True
            if host.version != known.version:
                known.version = host.version
                self._copy(known)
            self.board.clock(known.place, host.at, host.seen_at + offset)
            if time.perf_counter() - turn > TURN_SECONDS:
                await asyncio.sleep(0)
                turn = time.perf_counter()
        for judge in judges:
            for name in judge.unplaced():
                judge.drop(name)  # it was kept over a restart, and is no more
        if moved:
            self._order = list(self._placed.values())
            self._starts = np.array([each.place.start for each in self._order], np.intp)
        self._make(now - offset, resumed_at)
        return gone

    def _learn(self, values: Mapping[str, float]) -> None:
        """Take what the server knows of itself; what it no longer speaks of is a series no more."""
        if values.keys() != self._own_values.keys():
            self._own_made = Schema((*OF_HOSTS, FLEET_DOWN, *values))
        self._own_values = dict(values)

    def has(self, host: str) -> bool:
        """Whether a host is placed."""
        return host in self._placed

    def _is_other(self, known: _Placed, host: HostState) -> bool:
        """Whether a host is to be placed anew."""
        return (
            known.state is not host
            or known.schema is not host.schema
            or known.labels != host.labels
            or (host.name == self._own_host and known.made is not self._own_made)
        )

    def place_all(self, judge: RuleJudge) -> None:
        """Have a new rule know every host that is placed."""
        for name, known in self._placed.items():
            judge.place(name, known.labels, Columns(known.made, known.schema), known.place)

    def place_in(self, judge: RuleJudge, host: str) -> None:
        """Have a rule know one host, where it is placed."""
        known = self._placed.get(host)
        if known is not None:
            judge.place(host, known.labels, Columns(known.made, known.schema), known.place)

    def drop(self, host: str, judges: Iterable[RuleJudge]) -> None:
        """Know nothing of a host any more."""
        if self._placed.pop(host, None) is not None:
            self.board.drop(host)
            self._order = [each for each in self._order if each.state.name != host]
            self._starts = np.array([each.place.start for each in self._order], np.intp)
        for judge in judges:
            judge.drop(host)

    def _place(self, host: HostState, judges: Iterable[RuleJudge]) -> _Placed:
        made = self._own_made if host.name == self._own_host else self._made
        place = self.board.place(host.name, len(made) + len(host.schema))
        known = _Placed(host, host.schema, dict(host.labels), place, made=made)
        self._placed[host.name] = known
        columns = Columns(made, host.schema)
        for judge in judges:
            judge.place(host.name, known.labels, columns, place)
        return known

    def _copy(self, known: _Placed) -> None:
        host = known.state
        self.board.put(
            known.place, host.shown, host.observed_at, host.periods, first=len(known.made)
        )

    def _make(self, now: float, resumed_at: float) -> None:
        """Write what is known of hosts as a whole, and of this server."""
        order, starts = self._order, self._starts
        hosts = [each.state for each in order]
        down = [_is_down(host, now) for host in hosts]
        board = self.board
        board.set(starts, np.array(down, np.float64))
        seen = np.array([host.seen_at or host.recalled_at or math.nan for host in hosts])
        board.set(starts + 1, np.maximum(now - np.maximum(seen, resumed_at), 0.0))
        board.set(starts + 2, np.abs(np.array([host.skew_seconds for host in hosts])))
        for number in range(len(MADE)):
            board.set(starts + 3 + number, np.zeros(len(starts)))
        for name, values in self._changes.recent(now).items():
            known = self._placed.get(name)
            if known is not None:
                for number, value in enumerate(values):
                    board.set(known.place.start + 3 + number, value)
        self._settle(now)
        own = self._placed.get(self._own_host)
        if own is not None:
            first = own.place.start
            for text, value in {**self._own_values, FLEET_DOWN: self._down_ratio(now)}.items():
                column = own.made.index.get(text)
                if column is not None:
                    board.set(first + column, value)

    def _settle(self, now: float) -> None:
        self.settled = np.ones(len(self.board.at), np.bool_)
        for each in self._order:
            since = each.state.since
            if each.state.name == self._own_host:
                since = max(since, self._began)
            self.settled[each.place.number] = now - since >= SETTLING_SECONDS

    def _down_ratio(self, now: float) -> float:
        """The share of hosts that went down within the last minute, NaN of a small fleet."""
        hosts = [each.state for each in self._order if each.state.status is not HostStatus.RETIRED]
        if len(hosts) < LEAST_FLEET:
            return math.nan
        fell = sum(
            _is_down(host, now) and 0 <= now - host.since <= TOGETHER_SECONDS for host in hosts
        )
        return fell / len(hosts)


def _is_there(host: HostState | None) -> bool:
    """Whether a host is one that anybody waits for."""
    return host is not None and host.status is not HostStatus.RETIRED


def _is_down(host: HostState, now: float) -> bool:
    """Whether a host is down, and did not say goodbye a little while ago."""
    away = now - host.since
    return host.status is HostStatus.DOWN and not (host.said_goodbye and away < GOODBYE_SECONDS)
