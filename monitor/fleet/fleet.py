"""The fleet: who speaks for which host, what is known of each, and how one leaves.

An agent is known by a random id that it keeps; the first one to speak for a host is the host's
own, and another is told that the name is taken until an operator accepts it.  Labels that the
operator set win over those that a host gives itself, and they alone decide who sees what, unless
the configuration trusts the host's.

It changes `HostState`s beside their numbers, which are the pipeline's, and knows no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

import msgspec

from monitor.core.state import HostState, LiveState
from monitor.errors import InputError, MonitorError, excerpt
from monitor.fleet import cards
from monitor.fleet.cards import Card
from monitor.fleet.config import HostsConfig
from monitor.model import Introduction
from monitor.ports import Deleted, EventLog, Registry, Synced, Unknown

MOST_REFUSED = 200
"""Hosts whose senders were turned away and that are remembered, the latest last."""

MOST_HOSTS = 10_000
"""Hosts that are known, retired ones among them; ten times what this program is made for."""

COMING_SECONDS = 60.0
"""How long a host that may come counts as one, although nothing of it has been stored yet."""

REFUSED_SECONDS = 900.0
"""How long one is shown that does not come again."""

SKEW_SHARE = 0.2
"""How much of each new difference of clocks goes into what is shown."""

WISHES = "fleet/wish/"
"""Where the command line leaves what it wants done with a host while the server runs."""

_OF_CLOCKS = frozenset({"bad_time", "too_old"})
"""Why a sender is turned away whose instants cannot be, by our clock."""

SAVED_APART_SECONDS = 1.0
"""A card that changes more often is saved when `keep` next looks."""

logger = logging.getLogger("monitor.fleet")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Somebody who spoke for a host and was turned away, and how often; instants in unix seconds.

    `agent` and `info` are what it said of itself; `address` is where it came from.
    """

    host: str
    code: str
    detail: str
    since: float
    last: float
    count: int
    address: str = ""
    agent: str | None = None
    info: Mapping[str, str] = field(default_factory=dict)
    skew_seconds: float = math.nan
    is_copy: bool = False
    """Whether it has the identity of the agent that speaks for the host, which goes on."""


class Wish(msgspec.Struct, frozen=True):
    """What the command line wants done with a host: retire, delete or adopt."""

    verb: str
    by: str = ""
    at: float = 0.0


class Statuses(Protocol):
    """Who changes hosts' statuses and tells the log."""

    async def retire(self, host: str, reason: str) -> None:
        """Retire a host until its frames come again."""

    async def goodbye(self, host: str) -> None:
        """A host's agent ended in good order."""


class Fleet:
    """One server's."""

    def __init__(
        self,
        state: LiveState,
        statuses: Statuses,
        registry: Registry,
        log: EventLog,
        forget_history: Callable[[str], Awaitable[None]],
        own_host: str,
        clock: Callable[[], float],
        configured: Mapping[str, HostsConfig] = MappingProxyType({}),
    ) -> None:
        self._state = state
        self._statuses = statuses
        self._registry = registry
        self._log = log
        self._forget_history = forget_history
        self._own_host = own_host
        self._clock = clock
        self._configured = configured
        self._cards: dict[str, Card] = {}
        self._saved_at: dict[str, float] = {}
        self._unsaved: set[str] = set()
        self._refusals: OrderedDict[str, Refusal] = OrderedDict()
        self._shown: dict[str, HostState] = {}
        self._coming: set[str] = set()
        self._coming_since = 0.0
        self.forgetting: list[Callable[[str], Awaitable[None] | None]] = []
        """Called with the name of a host that is deleted: whoever remembers it lets go of it."""
        self.erasing: list[Callable[[], Awaitable[None]]] = []
        """Called before a host's events are erased: whoever reads events that lie before those of
        others, as the roster does, writes down what they say."""

    async def load(self) -> None:
        """Know again what was kept.  Before that nobody may speak for a host."""
        own = self._cards.get(self._own_host)
        self._cards = await cards.load(self._registry)
        if own is not None:
            self._cards[self._own_host] = own
        for name in tuple(self._state.hosts):
            self._show(name)

    # Who speaks

    def require(self, said: Introduction) -> None:
        """Raise ``host_taken`` (409) where somebody else speaks for this host.

        And ``host_limit`` where it is new, and there are as many as there may be.
        """
        if said.host == self._own_host:
            detail = f"{excerpt(said.host)} is the host that this server runs on"
            raise InputError(detail, code="host_taken", field="host", status=409)
        self._require_room(said.host)
        known = self._cards.get(said.host)
        if said.agent is None or known is None or known.agent in (None, said.agent):
            return
        detail = (
            f"{excerpt(said.host)} is known by another agent: two machines, one name? Give this one"
            f" another, or accept it: monitor host adopt {excerpt(said.host)}"
        )
        raise InputError(detail, code="host_taken", field="agent", status=409)

    def _require_room(self, host: str) -> None:
        hosts = self._state.hosts
        if host in hosts or host in self._coming:
            return
        now = self._clock()
        if abs(now - self._coming_since) > COMING_SECONDS:
            self._coming, self._coming_since = set(), now
        if len(hosts) + len(self._coming) >= MOST_HOSTS:
            self._coming.difference_update(hosts)  # they have come
        if len(hosts) + len(self._coming) >= MOST_HOSTS:
            detail = f"{MOST_HOSTS} hosts are known already; delete those that are no more"
            # Who keeps its frames comes again: somebody may have made room.
            raise InputError(
                detail,
                code="host_limit",
                field="host",
                limit=MOST_HOSTS,
                retry_after=COMING_SECONDS,
            )
        self._coming.add(host)

    async def met(self, said: Introduction) -> None:
        """Somebody whose frames were accepted: keep and show what they say of themselves.

        Of who speaks for the host, and of its labels, the registry knows on return.  Raises as
        `Registry.put` does, and then they are to come again.
        """
        known = self._cards.get(said.host)
        card = (known or Card()).after(said)
        if card != known:
            self._cards[said.host] = card
            await self._save(said.host, known, card)
            self._show(said.host)
        self._clear(said)
        host = self._state.hosts.get(said.host)
        if host is None:
            return
        if self._shown.get(said.host) is not host:
            self._show(said.host)
        if not math.isnan(said.skew_seconds):
            before = host.skew_seconds
            host.skew_seconds = (
                said.skew_seconds
                if math.isnan(before) or abs(said.skew_seconds - before) > 1
                else before + SKEW_SHARE * (said.skew_seconds - before)
            )

    async def _save(self, host: str, known: Card | None, card: Card) -> None:
        now = self._clock()
        pinned = known is None or known.agent != card.agent or known.labels != card.labels
        if pinned or abs(now - self._saved_at.get(host, -math.inf)) >= SAVED_APART_SECONDS:
            try:
                await cards.save(self._registry, host, card)
            except BaseException:
                # Whoever comes again finds it as it was, and it is tried anew.
                if known is None:
                    self._cards.pop(host, None)
                else:
                    self._cards[host] = known
                raise
            self._saved_at[host] = now
            self._unsaved.discard(host)
        else:
            self._unsaved.add(host)

    async def keep(self) -> None:
        """Save what changed too often to be saved at once.  Raises as the registry does."""
        for host in tuple(self._unsaved):
            card = self._cards.get(host)
            if card is not None:
                await cards.save(self._registry, host, card)
            self._unsaved.discard(host)

    async def goodbye(self, host: str) -> None:
        """A host's agent has ended in good order."""
        await self._statuses.goodbye(host)

    def agent_of(self, host: str) -> str | None:
        """The id of the agent that speaks for a host."""
        card = self._cards.get(host)
        return None if card is None else card.agent

    def show(
        self, host: HostState, own: Mapping[str, str], info: Mapping[str, object] | None = None
    ) -> None:
        """Lay the operator's word over a host that says this of itself: labels, and in words."""
        said = {name: fact for name, fact in (info or {}).items() if isinstance(fact, str)}
        self._cards[host.name] = Card(labels=dict(own), info=said)
        self._show(host.name)

    def _show(self, name: str) -> None:
        """Have a host's state say what its card and the operator say of it."""
        host, card = self._state.hosts.get(name), self._cards.get(name, Card())
        if host is None:
            return
        self._shown[name] = host
        word = cards.words(self._configured, name)
        set_labels = {**card.given, **word.labels}
        host.labels = {**card.labels, **set_labels}
        host.set_labels = dict(host.labels) if word.trusts_labels else set_labels
        host.info = dict(card.info)
        host.is_ephemeral = card.is_ephemeral if word.is_ephemeral is None else word.is_ephemeral
        if card.interval_seconds:
            host.announce(card.interval_seconds)

    # Who was turned away

    def refused(self, said: Introduction, error: MonitorError, address: str = "") -> None:
        """Remember who was turned away, for the pages to say what to do about it."""
        now = self._clock()
        self._hear(said, error, now)
        before = self._refusals.pop(said.host, None)
        is_same = before is not None and (before.code, before.agent) == (error.code, said.agent)
        made = Refusal(
            host=said.host,
            code=error.code,
            detail=error.detail,
            since=now,
            last=now,
            count=1,
            address=address,
            agent=said.agent,
            info=dict(said.info or {}),
            skew_seconds=said.skew_seconds,
            is_copy=error.code == "host_taken"
            and said.agent == self.agent_of(said.host) is not None,
        )
        if before is not None and is_same:
            made = replace(made, since=before.since, count=before.count + 1)
        self._refusals[said.host] = made
        while len(self._refusals) > MOST_REFUSED:
            self._refusals.popitem(last=False)

    def _hear(self, said: Introduction, error: MonitorError, now: float) -> None:
        """A host whose clock, or ours, is wrong is there all the same: it is not silent."""
        host = self._state.hosts.get(said.host)
        is_own = said.agent is not None and said.agent == self.agent_of(said.host)
        if host is None or not is_own or error.code not in _OF_CLOCKS:
            return
        host.seen_at = max(host.seen_at, now)
        if math.isfinite(said.skew_seconds):
            host.skew_seconds = said.skew_seconds

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Who was turned away lately, the latest last."""
        oldest = self._clock() - REFUSED_SECONDS
        return tuple(each for each in self._refusals.values() if each.last >= oldest)

    def _clear(self, said: Introduction) -> None:
        refusal = self._refusals.get(said.host)
        if refusal is not None and refusal.agent == said.agent and not refusal.is_copy:
            del self._refusals[said.host]

    # How one leaves

    async def retire(self, host: str, by: str = "an operator") -> None:
        """Retire a host: it is kept, and nobody waits for it, until its frames come again."""
        self._require_foreign(host)
        await self._statuses.retire(host, f"retired by {by}")

    async def adopt(self, host: str) -> None:
        """Have the machine speak for a host that was told that the name is taken.

        Where none was, whoever comes next does.
        """
        self._require_foreign(host)
        refusal = self._refusals.get(host)
        agent = refusal.agent if refusal is not None and refusal.code == "host_taken" else None
        card = msgspec.structs.replace(self._cards.get(host, Card()), agent=agent)
        await cards.save(self._registry, host, card)
        self._cards[host] = card
        self._refusals.pop(host, None)

    async def delete(self, host: str) -> None:
        """Forget a host: its history, its events, its card.  If it comes again it is new."""
        self._require_foreign(host)
        await self._statuses.retire(host, "deleted")
        # First what is most: whoever is killed in between still has a host to delete.
        await self._forget_history(host)
        self._cards.pop(host, None)
        self._unsaved.discard(host)
        self._saved_at.pop(host, None)
        self._refusals.pop(host, None)
        await cards.drop(self._registry, host)
        for forget in self.forgetting:
            waited = forget(host)
            if waited is not None:
                await waited
        self._shown.pop(host, None)
        self._state.forget(host)
        for keep in self.erasing:
            await keep()
        await self._log.erase(f"host:{host}")

    def _require_foreign(self, host: str) -> None:
        if host == self._own_host:
            detail = f"{excerpt(host)} is the host that this server runs on"
            raise InputError(detail, code="own_host", field="host", status=409)

    # What the command line wants

    async def follow(self) -> None:
        """Do what is wished for in the registry, until it is closed or this is cancelled."""
        async for change in self._registry.watch(WISHES):
            if isinstance(change, Synced | Deleted):
                continue
            host = change.key.removeprefix(WISHES)
            try:
                wish = msgspec.json.decode(change.value, type=Wish)
                await self._grant(host, wish)
            except (msgspec.MsgspecError, MonitorError, Unknown) as error:
                logger.warning("a wish for %s was not granted: %s", host, error)
            await self._registry.delete(change.key)
            await asyncio.sleep(0)

    async def _grant(self, host: str, wish: Wish) -> None:
        match wish.verb:
            case "retire":
                await self.retire(host, wish.by or "an operator")
            case "delete":
                await self.delete(host)
            case "adopt":
                await self.adopt(host)
            case _:
                logger.warning("nobody knows how to %s a host", excerpt(wish.verb))
