"""The judge: a consumer that holds every rule against the live state, once a second.

It judges, appends what changed to the log under its own scope, and writes down where it stands.  A
restart goes on from there and folds what the log has after it: what fired goes on firing under its
id, what pended goes on pending, and the time in between neither adds nor resets.

What has been judged and not appended is appended before anything else is judged, so that nothing is
told twice and nothing is lost while the log cannot be written.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from monitor.alerting import drills, evidence, hindsight, latewords, restoring, telling
from monitor.alerting.changes import Changes
from monitor.alerting.checkpoint import Rows, packed
from monitor.alerting.fleetboard import TURN_SECONDS, FleetBoard
from monitor.alerting.histories import Histories
from monitor.alerting.late import Breach, Late
from monitor.alerting.standing import Pending, RuleState
from monitor.alerting.voice import Voice
from monitor.core import holding, messages
from monitor.core.book import Alert, Book
from monitor.core.rules.diff import Affected
from monitor.core.rules.explaining import told_limit
from monitor.core.rules.judging import Held, RuleJudge, Transition
from monitor.core.rules.matching import Attributes
from monitor.core.rules.model import Rule
from monitor.core.rules.ruleset import RuleSet
from monitor.core.state import LiveState
from monitor.errors import Unavailable
from monitor.model import Event, Frame, HostStatus
from monitor.ports import Conflict, EventLog, Registry, SeriesStore, Unknown

CHECKPOINT = "judge"

PAUSE_SECONDS = 5.0
"""Ticks further apart mean that this program stood still: that time does not count."""

ALIVE_SECONDS = 10.0
KEEP_SECONDS = 5.0
KEEP_SHARE = 0.05
"""Of the time at most goes into the checkpoint: that of a large fleet is written less often."""

CHANGES_SECONDS = 300.0
"""How often what was seen of hosts is written down: it is large, and its loss costs a hint."""

FOLLOWED_EVENTS = 1_000
"""Events of the log after which the checkpoint is written although nothing changed."""

MOST_COMPLETED = 8
"""Alerts of one tick whose evidence is completed from the store; the log's first event waits."""

PATIENCE_SECONDS = 0.3
"""How long they wait for it."""

CHANGED_SECONDS = 86_400.0
"""How far back what changed lately goes."""

ORPHANS_SECONDS = 60.0
"""How often alerts are looked for that no rule judges any more."""

LATE_SECONDS = 1.0

Key = tuple[str, str, Attributes]
"""A rule, a host and attributes: what an alert is of."""

logger = logging.getLogger("monitor.alerting")


class Judge:
    """One server's.  `tick` judges; nothing else changes what fires."""

    def __init__(
        self,
        state: LiveState,
        store: SeriesStore,
        log: EventLog,
        registry: Registry,
        rules: RuleSet,
        own_host: str,
        own: Callable[[float], Mapping[str, float]],
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._store = store
        self._log = log
        self._registry = registry
        self._own_host = own_host
        self._clock = clock
        self._monotonic = monotonic
        self.book = Book()
        self.rules = rules
        self.changes = Changes()
        self._board = FleetBoard(state, self.changes, own_host, own, clock())
        self._judges = {rule.name: RuleJudge(rule) for rule in rules}
        self._voice = Voice(log, self._heard)
        self._histories = Histories(store, clock)
        self.late = Late(store, state, lambda: self.rules, self.book)
        self._breaches: list[Breach] = []
        self._untold: deque[Transition] = deque()
        self._broken: set[str] = set()
        self._ids: dict[Key, str] = {}
        self._drills: set[str] = set()
        self._by_host: dict[str, list[Alert]] | None = None
        self._judging = asyncio.Lock()
        self._ticked: float | None = None
        self._steady = 0.0
        self._offset = 0.0
        self._resumed_at = 0.0
        self._looked_for_orphans = -math.inf
        self._revision = 0
        self._position = 0
        self._kept = b""
        self._kept_at = -math.inf
        self._keep_seconds = KEEP_SECONDS
        self._changes_kept_at = monotonic()
        self._is_stale = False
        self.judged_at = 0.0
        """When it judged last, unix seconds; 0 before it did."""
        self.judged_total = 0
        self.transitions_total = 0

    # Beginning, and going on over a restart

    async def begin(self) -> None:
        """Go on where the checkpoint stands and the log has gone since."""
        found = await self._registry.checkpoint(CHECKPOINT)
        self._revision, self._position = found.revision, found.positions.get("log", 0)
        rows, position = await restoring.restore(self.book, found, self._log, self.changes)
        self._position = position
        for name, judge in self._judges.items():
            judge.restore(rows.get(name, {}))
        for alert in self.book.open.values():
            self._know(alert)
        await self._voice.begin()
        await restoring.changes(self._registry, self.changes)

    def _know(self, alert: Alert) -> None:
        if alert.said.is_drill:
            self._drills.add(alert.id)
        else:
            self._ids[_key(alert)] = alert.id

    async def keep(self, *, at_the_end: bool = False) -> None:
        """Write the checkpoint where something is other than it says.  Raises as the registry."""
        async with self._judging:
            if self._is_stale or self._voice.waiting or self._untold or self._ticked is None:
                return
            now = self._monotonic()
            if not at_the_end and now - self._kept_at < self._keep_seconds:
                return
            self._kept_at = now
            position = await self._log.last()
            rows = await self._rows()
            # Nothing of it changes while this waits: judging does too.
            state, left_out = await asyncio.to_thread(packed, rows, list(self.book.open.values()))
            self._keep_seconds = max(KEEP_SECONDS, (self._monotonic() - now) / KEEP_SHARE)
            after = left_out - 1 if left_out else position
            if state == self._kept and position - self._position < FOLLOWED_EVENTS:
                return
            try:
                self._revision = await self._registry.save(
                    CHECKPOINT, state, {"log": after}, self._revision
                )
            except Conflict:
                self._is_stale = True
                logger.error("another process keeps the judge's checkpoint; this one no longer")  # noqa: TRY400 - it is no fault of the code
            except Unknown:
                self._revision = (await self._registry.checkpoint(CHECKPOINT)).revision
            else:
                self._kept, self._position = state, position
        if at_the_end or now - self._changes_kept_at >= CHANGES_SECONDS:
            self._changes_kept_at = now
            await restoring.keep_changes(self._registry, self.changes)

    async def _rows(self) -> Rows:
        """What a restart must know; others run in between."""
        found: Rows = {}
        turn = time.perf_counter()
        for name, judge in self._judges.items():
            of_rule = found[name] = {}
            for key, kept in judge.keeping():
                of_rule[key] = kept
                if time.perf_counter() - turn > TURN_SECONDS:
                    await asyncio.sleep(0)
                    turn = time.perf_counter()
        return found

    # Judging

    async def tick(self, now: float) -> bool:
        """Judge everything at `now`, unix seconds; whether the log was told anything.

        Raises `Unavailable` where the log cannot be: then nothing new was judged.
        """
        async with self._judging:
            said = await self._voice.say()
            if self._voice.is_deposed:
                return said
            elapsed = self._pass(now)
            self.changes.look(self._state, now)
            await self._board.look(
                self._judges.values(), self._steady, self._offset, self._resumed_at
            )
            told = await self._tell(now)  # what a tick that was broken off had found
            await self._judge(elapsed)
            told |= await self._tell(now)
            self._say(self._ended(now, told), now)
            self._say(await self._drilled(now), now)
            breaches, self._breaches = self._breaches, []
            self._say([self._breached(each, now) for each in breaches], now)
            self.judged_at = now
            self.judged_total += 1
            return await self._voice.say() or said

    def _say(self, said: Sequence[messages.Alert], now: float) -> None:
        self._voice.add(said, now)
        self.transitions_total += len(said)

    def _pass(self, now: float) -> float:
        """Let time go on: how much of it counts.  Judging's own time never goes back."""
        ticked = self._monotonic()
        gap = 0.0 if self._ticked is None else ticked - self._ticked
        if self.judged_at and max(gap, now - self.judged_at) > PAUSE_SECONDS:
            self._resumed_at = now
        self._resumed_at = min(self._resumed_at, now)
        self._steady = now if now >= self._steady else self._steady + max(gap, 0.0)
        self._offset = self._steady - now
        self._ticked = ticked
        return gap if 0 < gap <= PAUSE_SECONDS else 0.0

    async def _judge(self, elapsed: float) -> None:
        """Judge by every rule.  What came of it waits until it is told, whatever happens next."""
        turn = time.perf_counter()
        board, steady = self._board.board, self._steady
        for judge in list(self._judges.values()):
            rule = judge.rule
            settled = self._board.settled if rule.is_default and rule.is_of_levels else None
            if rule.name in self._broken:
                continue
            try:
                self._untold += judge.judge(board, steady, elapsed, settled)
            except Exception:
                self._broken.add(rule.name)
                logger.exception("the rule %s is judged no more: it failed", rule.name)
            self._histories.want(judge.lacking(self._has_history))
            if time.perf_counter() - turn > TURN_SECONDS:
                await asyncio.sleep(0)
                turn = time.perf_counter()

    def _has_history(self, host: str) -> bool:
        known = self._state.hosts.get(host)
        return known is not None and (known.recalled_at > 0 or host == self._own_host)

    async def _tell(self, now: float) -> set[str]:
        """Say what is untold, with evidence where an alert begins; the ids of what was said."""
        found = set()
        turn = time.perf_counter()
        until = self._monotonic() + PATIENCE_SECONDS
        completed = 0
        while self._untold:
            each = self._untold[0]
            proof = None
            if each.severity is not None and each.was is None:
                try:
                    proof = self._evidence(each, now)
                    if proof is not None and completed < MOST_COMPLETED:
                        completed += 1
                        proof = await self._completed(each, proof, until)
                except Exception:
                    logger.exception("no evidence of an alert of %s", each.rule.name)
            # From here to its being in the voice nothing comes in between.
            found.add(self._tell_one(each, proof, now))
            self._untold.popleft()
            if time.perf_counter() - turn > TURN_SECONDS:
                await asyncio.sleep(0)
                turn = time.perf_counter()
        return found

    def _tell_one(self, transition: Transition, proof: dict[str, Any] | None, now: float) -> str:
        key = (transition.rule.name, transition.row.host, transition.row.attributes)
        open_id = self._ids.get(key)
        if open_id is None and transition.severity is None:
            return ""  # nobody was told that it fired
        id_ = open_id or secrets.token_hex(8)
        known = self.book.get(id_)
        if transition.severity is not None:
            self._ids[key] = id_
        else:
            self._ids.pop(key, None)
        fired = known.fired_at if known is not None else now
        labels = self._labels(transition.row.host)
        said = telling.said(transition, id_, labels, now, fired, proof)
        began = min((said.began or now) - self._offset, now)
        if known is not None and known.said.began is not None:
            began = known.said.began  # by the clock as it was then, as `fired` is
        was = said.was if open_id is None else "firing"
        self._say([msgspec.structs.replace(said, began=began, was=was)], now)
        return id_

    def _labels(self, host: str) -> Mapping[str, str]:
        known = self._state.hosts.get(host)
        return known.labels if known is not None else {}

    def _evidence(self, transition: Transition, now: float) -> dict[str, Any] | None:
        host = self._state.hosts.get(transition.row.host)
        if host is None:
            return None
        lately = self.changes.of(host.name, now - CHANGED_SECONDS)
        return evidence.bounded(evidence.freeze(host, transition.row.key, now, lately))

    async def _completed(
        self, transition: Transition, frozen: dict[str, Any], until: float
    ) -> dict[str, Any]:
        """The same with what the store knows of the time before, if it says so soon."""
        host = self._state.hosts.get(transition.row.host)
        left = until - self._monotonic()
        if host is None or left <= 0:
            return frozen
        key = transition.row.key
        try:
            async with asyncio.timeout(left):
                return await hindsight.complete(
                    frozen, self._store, host, key, fills="filesystem.utilization" in key
                )
        except (TimeoutError, Unavailable):
            return frozen

    def _ended(self, now: float, told: Container[str]) -> list[messages.Alert]:
        """Alerts whose host or rule is no more; what was just told waits for the next look."""
        found = []
        for name in list(self._alerts_by_host()):
            host = self._state.hosts.get(name)
            if host is None or host.status is HostStatus.RETIRED:
                found += self._close(self._alerts_by_host()[name], telling.HOST_GONE, now)
        if self._steady - self._looked_for_orphans >= ORPHANS_SECONDS:
            self._looked_for_orphans = self._steady
            found += self._orphans(now, told)
        return found

    def _orphans(self, now: float, told: Container[str]) -> list[messages.Alert]:
        """Alerts that no rule judges any more end; those that are otherwise by now say so."""
        orphans: list[Alert] = []
        changed: list[messages.Alert] = []
        for alert in self.book.open.values():
            judge = self._judges.get(alert.rule)
            if alert.said.is_drill or alert.id in told:
                continue
            if judge is None:
                orphans.append(alert)
            elif self._board.has(alert.host):
                severity = judge.severity(alert.host, _key(alert)[2])
                if severity is None:
                    orphans.append(alert)
                elif severity != alert.said.severity:
                    changed.append(
                        msgspec.structs.replace(
                            alert.said,
                            was="firing",
                            severity=severity.value,
                            since=now,
                            notify=telling.notified(judge.rule, severity),
                        )
                    )
        return changed + self._close(orphans, telling.RULE_GONE, now)

    def _close(self, alerts: Iterable[Alert], reason: str, now: float) -> list[messages.Alert]:
        found = []
        for alert in alerts:
            key = _key(alert)
            if alert.said.is_drill:
                if alert.id not in self._drills:
                    continue  # it was said to be over
                self._drills.discard(alert.id)
            elif self._ids.get(key) != alert.id:
                continue  # it ends in this tick by itself
            else:
                self._ids.pop(key, None)
            found.append(
                msgspec.structs.replace(
                    alert.said, state="resolved", was="firing", since=now, reason=reason
                )
            )
        return found

    async def _drilled(self, now: float) -> list[messages.Alert]:
        """Drills that are wished for begin, and those that have lasted are over."""
        opened = (alert for id_ in self._drills if (alert := self.book.open.get(id_)))
        found = drills.over(list(opened), now)
        try:
            wishes = await drills.heard(self._registry, now)
        except (Unavailable, Unknown):
            return found
        for wish in wishes:
            rule = self.rules.get(wish.rule)
            if rule is None or wish.host not in self._state.hosts:
                logger.warning("a drill was wished for of a rule or host that there is not")
                continue
            id_ = secrets.token_hex(8)
            found.append(drills.firing(rule, wish, self._labels(wish.host), id_, now))
        return found

    def _breached(self, breach: Breach, now: float) -> messages.Alert:
        said = telling.late(breach, secrets.token_hex(8), self._labels(breach.host), now)
        return msgspec.structs.replace(
            said,
            summary=f"{said.summary}: {latewords.words(breach, now)}",
            evidence=latewords.evidence(breach),
            reason=latewords.REASON,
        )

    def _heard(self, event: Event) -> None:
        """One of our events is in the log."""
        alert = self.book.fold(event)
        self._by_host = None
        if alert is not None and alert.said.is_drill:
            (self._drills.add if alert.is_open else self._drills.discard)(alert.id)

    # What comes late

    def note_late(self, frames: Sequence[Frame]) -> None:
        """Frames came that are no part of the present."""
        self.late.note(frames, self._clock())

    async def follow(self) -> None:
        """Look at what came late, and fill windows, until cancelled."""
        filling = asyncio.create_task(self._histories.run(), name="judge-histories")
        try:
            while True:
                await asyncio.sleep(LATE_SECONDS)
                self._breaches += await self.late.look(self._clock())
                if filling.done():
                    filling.result()
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    # Other rules

    async def take(self, rules: RuleSet) -> None:
        """Judge by other rules from now on; what fires goes on by them, or ends."""
        async with self._judging:
            before, judges = self._judges, {}
            fresh = []
            for rule in rules:
                known = before.get(rule.name)
                if known is not None and known.rule == rule:
                    judges[rule.name] = known
                    continue
                judge = judges[rule.name] = RuleJudge(rule)
                if known is not None:
                    judge.restore(known.kept())
                fresh.append(judge)
            self._judges, self.rules = judges, rules
            self._broken.clear()
            for judge in fresh:
                self._board.place_all(judge)
                await asyncio.sleep(0)
            self._looked_for_orphans = -math.inf

    def affected(self, old: RuleSet, new: RuleSet) -> list[Affected]:
        """Alerts that fire and would be another severity by new rules, or end."""
        concerned: dict[str, list[Alert]] = {}
        for alert in self.book.open.values():
            if not alert.said.is_drill and old.get(alert.rule) != new.get(alert.rule):
                concerned.setdefault(alert.rule, []).append(alert)
        found = []
        for name, alerts in concerned.items():
            rule = new.get(name)
            judge = None if rule is None else self._tried(rule, {each.host for each in alerts})
            for alert in alerts:
                after = judge.severity(alert.host, _key(alert)[2]) if judge is not None else None
                if after != alert.said.severity:
                    found.append(
                        Affected(
                            alert.id,
                            alert.rule,
                            alert.host,
                            alert.attributes,
                            alert.said.severity,
                            "" if after is None else after.value,
                        )
                    )
        return found

    def _tried(self, rule: Rule, hosts: set[str]) -> RuleJudge:
        """Another rule in the place of the one of its name, as it would judge these hosts now."""
        known = self._judges.get(rule.name)
        judge = RuleJudge(rule)
        if known is not None:
            judge.restore({key: row for key, row in known.keeping() if key[0] in hosts})
        for host in hosts:
            self._board.place_in(judge, host)
        judge.judge(self._board.board, self._steady, 0.0)
        return judge

    # Hosts that are no more

    async def forget(self, host: str) -> None:
        """A host was deleted: nothing of it is judged or remembered any more."""
        async with self._judging:
            self._board.drop(host, self._judges.values())
            self.late.forget(host)
            self.book.forget(host)
            self._by_host = None
            self._ids = {key: id_ for key, id_ in self._ids.items() if key[1] != host}
            self._breaches = [each for each in self._breaches if each.host != host]
            self._kept_at = -math.inf  # a restart must not find it either

    # How it stands

    @property
    def is_alive(self) -> bool:
        """Whether it judged just now."""
        ticked = self._ticked
        return ticked is not None and self._monotonic() - ticked < ALIVE_SECONDS

    def pending(self, most: int | None = None) -> list[Pending]:
        """What holds and does not fire; at most so many of it."""
        limits: dict[int, str] = {}
        held = (each for judge in self._judges.values() for each in judge.pending())
        return [self._pending(each, limits) for each in itertools.islice(held, most)]

    def _pending(self, held: Held, limits: dict[int, str]) -> Pending:
        """One of them; `limits` are those that have been put in words, by their level."""
        limit = limits.get(id(held.level))
        if limit is None:
            limit = limits[id(held.level)] = told_limit(held.level)
        waits = ""
        if not held.is_known:
            waits = "data"
        elif held.held_seconds >= held.level.for_seconds:
            waits = "just come"
        return Pending(
            held.rule.name,
            held.row.host,
            dict(held.row.attributes),
            held.level.severity,
            held.row.key,
            held.value,
            limit,
            held.began - self._offset,
            held.held_seconds,
            held.level.for_seconds,
            waits,
        )

    def states(self) -> list[RuleState]:
        """Every rule, and what becomes of it."""
        firing = Counter(alert.rule for alert in self.book.open.values())
        return [
            RuleState(
                judge.rule,
                judge.series,
                judge.hosts,
                firing[name],
                judge.pending_count(),
            )
            for name, judge in self._judges.items()
        ]

    def held(self, alert: Alert, /) -> str:
        """The rule that holds an alert back; empty where none does."""
        host = self._state.hosts.get(alert.host)
        by_host = self._alerts_by_host()
        away = any(
            each.rule == holding.FLEET_UNREACHABLE for each in by_host.get(self._own_host, ())
        )
        return holding.holder(
            alert.said, host.status if host else None, by_host.get(alert.host, ()), away
        )

    def _alerts_by_host(self) -> dict[str, list[Alert]]:
        if self._by_host is None:
            found: dict[str, list[Alert]] = {}
            for alert in self.book.open.values():
                found.setdefault(alert.host, []).append(alert)
            self._by_host = found
        return self._by_host


def _key(alert: Alert) -> Key:
    return alert.rule, alert.host, tuple(sorted(alert.attributes.items()))
