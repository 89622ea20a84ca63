"""The ledger of one channel: what it was told, what it is to be told, and when.

Pure: alerts in as the log tells them, drafts of notifications out, `now` is an argument.  It is
kept in the channel's checkpoint (`monitor.notify.keeping`), so whatever it knows survives; it knows
no channel, no retries and no text.

1. An alert that fires waits for others of its group, `wait_seconds`, and is then told once.
2. Told again is what becomes worse; what becomes milder is not worth a message of its own.
3. What is held back, silenced or acknowledged stays a candidate, and is told once it is not.
4. An end is told where the beginning was, whatever is silenced meanwhile.  What ended before it
   was due is told to nobody; what was due, and could not be told, is told as what it was.
5. A group that told much lately gathers; many groups at once, or whatever came while the channel
   did not work, are gathered into one notification.
6. What still fires is told again after `repeat_seconds`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from monitor.core import book
from monitor.notify.channel import MOST_TOLD
from monitor.notify.groups import (
    NEVER_TOLD,
    STORM_SECONDS,
    Draft,
    Entry,
    Group,
    Member,
    worst_first,
)
from monitor.notify.routing import Assignment, Routing

MOST_ENTRIES = 25_000
"""Alerts of one channel that are told or to be told; more are counted.  Ten thousand hosts that
disappear are ten thousand of them."""

MOST_MISSED = 500
"""Alerts that are over before they could be told, of one channel; older ones are counted."""

MOST_GROUPS_AT_ONCE = 10
"""More groups than this that are due at the same time are told in one notification."""

RECHECK_SECONDS = 5.0
"""How often it is asked whether what nobody is told of is to be told now: silences end."""

RANKS = {"info": 0, "warning": 1, "critical": 2}
Blocked = Callable[[Entry, float], str]
"""Why an alert that fires is not told at an instant; nothing where it is."""

Held = Callable[[Entry], int]
"""How many others it holds back."""


class Ledger:
    """What one channel was told and is to be told.

    `repeat_seconds` is the channel's own, where it has one that goes before the routes', and
    `most_told` is how many alerts one of its notifications has.
    """

    def __init__(self, channel: str, repeat_seconds: float | None = None) -> None:
        self.channel = channel
        self.repeat_seconds = repeat_seconds
        self.most_told = MOST_TOLD
        self.groups: dict[str, Group] = {}
        self.entries: dict[str, Entry] = {}
        self.left_out = 0
        """Alerts that did not fit, and were not yet told of by number."""
        self.gathers = False
        """Whether all that is due goes into one notification: the channel works again."""
        self.now = 0.0
        self._missed = 0

    # What comes in

    def is_untold(self, id_: str) -> bool:
        """Whether it is to be told of an alert, and was not yet."""
        entry = self.entries.get(id_)
        return entry is not None and entry.told == NEVER_TOLD and not entry.ended_at

    def take(
        self, alert: book.Alert, assigned: Assignment | None, at: float, was_blocked: bool
    ) -> bool:
        """Take in what the log says of an alert, and where it is routed; whether it matters here.

        `at` is the instant of the event, at most now; `was_blocked` is whether one that ends was
        held back, silenced or acknowledged until then.
        """
        entry = self.entries.get(alert.id)
        if not alert.is_open:
            return self._end(entry, alert, at, was_blocked)
        here = assigned is not None and self.channel in assigned.channels
        if entry is None:
            if assigned is None or not here:
                return False
            if len(self.entries) >= MOST_ENTRIES:
                self.left_out += 1
                return True
            rank = RANKS[alert.said.severity]
            entry = Entry(
                alert.id, alert.first_sequence, 0, alert.fired_at, rank, at, assigned.group
            )
        else:
            rank = RANKS[alert.said.severity]
            if rank > entry.rank:
                entry.came_at = at
            entry.rank = rank
            entry.ended_at = 0.0  # should it fire again under the same id
        entry.newest = alert.sequence
        entry.is_flapping = alert.said.is_flapping
        self._place(entry, assigned if here else None)
        return True

    def _end(self, entry: Entry | None, alert: book.Alert, at: float, was_blocked: bool) -> bool:
        if entry is None:
            return False
        if entry.told == NEVER_TOLD:
            due_at = entry.came_at + self.groups[entry.group].wait_seconds
            if at <= due_at or was_blocked or entry.is_blocked:
                self._drop(entry)
                return True
            self._missed += 1
        elif alert.said.notify == "firing":
            self._drop(entry)
            return True
        entry.ended_at = at
        entry.newest = alert.sequence
        self._add(entry)
        if self._missed > MOST_MISSED:
            self._forget_missed()
        return True

    def _forget_missed(self) -> None:
        missed = [
            entry for entry in self.entries.values() if entry.ended_at and entry.told == NEVER_TOLD
        ]
        over = len(missed) - MOST_MISSED
        self._missed = len(missed) - max(over, 0)
        for entry in missed[: max(over, 0)]:
            self._drop(entry)
            self.left_out += 1

    def _place(self, entry: Entry, assigned: Assignment | None) -> None:
        """Put an entry into the group where it belongs now; out, where it was not told yet."""
        if assigned is None:
            entry.is_quiet = True
            if entry.told == NEVER_TOLD:
                self._drop(entry)
            return
        entry.is_quiet = False
        if entry.group != assigned.group:
            self._leave(entry)
            entry.group = assigned.group
        self.open_group(assigned)
        self._add(entry)

    def open_group(self, assigned: Assignment) -> Group:
        """The group of an assignment, which is made where it is not there."""
        group = self.groups.get(assigned.group)
        repeat = self.repeat_seconds or assigned.repeat_seconds
        if group is None:
            # The name of a group ends with whether it is of drills; so do those of the log.
            is_drill = assigned.group.endswith(",true]")
            group = Group(assigned.labels, is_drill, assigned.wait_seconds, repeat)
            self.groups[assigned.group] = group
        group.wait_seconds, group.repeat_seconds = assigned.wait_seconds, repeat
        return group

    def _add(self, entry: Entry) -> None:
        group = self.groups[entry.group]
        self.entries[entry.id] = group.entries[entry.id] = entry
        if entry.is_news:
            group.candidates[entry.id] = entry
            look_at = max(entry.waits_since + group.wait_seconds, group.not_before())
            group.look_at = min(group.look_at, look_at)
        else:
            group.candidates.pop(entry.id, None)
            group.look_at = 0.0

    def put(self, entry: Entry) -> None:
        """Know an entry from a checkpoint; its group is there."""
        self._missed += bool(entry.ended_at) and entry.told == NEVER_TOLD
        self._add(entry)

    def _leave(self, entry: Entry) -> None:
        if (group := self.groups.get(entry.group)) is not None:
            group.entries.pop(entry.id, None)
            group.candidates.pop(entry.id, None)
            group.look_at = 0.0

    def _drop(self, entry: Entry) -> None:
        self._leave(entry)
        self.entries.pop(entry.id, None)

    def forget(self, ids: Iterable[str]) -> None:
        """These alerts are no more, and nobody is told so."""
        for id_ in ids:
            if (entry := self.entries.get(id_)) is not None:
                self._drop(entry)

    def reroute(self, routing: Routing, open_: Mapping[str, book.Alert]) -> None:
        """The routes are others.  What was told stays told; what was not goes where it is sent."""
        told_at = {name: group.told_at for name, group in self.groups.items()}
        for entry in list(self.entries.values()):
            alert = open_.get(entry.id)
            if alert is None:
                continue  # it has ended, and is told where its beginning was, or would have been
            assigned = routing.assign(alert.said)
            before = entry.group
            here = assigned is not None and self.channel in assigned.channels
            self._place(entry, assigned if here else None)
            group = self.groups.get(entry.group)
            if entry.group != before and group is not None:
                group.told_at = max(group.told_at, told_at.get(before, 0.0))
        self.look_again()

    def look_again(self) -> None:
        """Something outside of it has changed: a silence, an acknowledgement."""
        for group in self.groups.values():
            group.look_at = 0.0

    # What goes out

    def due(self, now: float, blocked: Blocked, held: Held) -> Draft | None:
        """What is to be told now, or nothing; then `next_at` says when to ask again.

        What is in a draft counts as told: whoever takes it keeps it until it has arrived.
        """
        if now < self.now:
            self._set_back(now)
        self.now = now
        found: list[tuple[str, Group, list[Entry], bool]] = []
        for name, group in list(self.groups.items()):
            if group.look_at > now:
                continue
            entries, is_repeat = self._look(group, now, blocked)
            if entries:
                found.append((name, group, entries, is_repeat))
            elif not group.entries and now - group.told_at >= STORM_SECONDS:
                del self.groups[name]
        together = [each for each in found if not each[1].is_drill]
        if len(together) < 2 or not (self.gathers or len(together) > MOST_GROUPS_AT_ONCE):
            together = found[:1]
        self.gathers = self.gathers and len(found) > len(together)
        return self._draft(together, now, held) if together else None

    def _look(self, group: Group, now: float, blocked: Blocked) -> tuple[list[Entry], bool]:
        """What of a group is to be told now, and whether it is only told again."""
        news: list[Entry] = []
        first = math.inf
        for entry in list(group.candidates.values()):
            if not entry.is_news:
                del group.candidates[entry.id]
            elif entry.ended_at or not self._is_blocked(entry, now, blocked):
                news.append(entry)
                first = min(first, entry.waits_since)
        again = self._repeat_at(group)
        if news:
            due_at = max(first + group.wait_seconds, group.not_before())
            if due_at <= now:
                return news, False
            group.look_at = due_at
        elif again <= now:
            told = [entry for entry in group.entries.values() if self._is_repeated(entry)]
            if not self.repeat_seconds:
                # Whoever forgets what it is not told again would take a silence for the end.
                told = [entry for entry in told if not blocked(entry, now)]
            if told:
                return told, True
            group.look_at = now + RECHECK_SECONDS
        else:
            group.look_at = again if group.entries else group.told_at + STORM_SECONDS
        if group.candidates:
            group.look_at = min(group.look_at, now + RECHECK_SECONDS)
        return [], False

    @staticmethod
    def _is_blocked(entry: Entry, now: float, blocked: Blocked) -> bool:
        """Whether something stands in the way; from when nothing does, it waits for its group."""
        was, entry.is_blocked = entry.is_blocked, bool(blocked(entry, now))
        if was and not entry.is_blocked:
            entry.came_at = now
        return entry.is_blocked

    @staticmethod
    def _is_repeated(entry: Entry) -> bool:
        return entry.told != NEVER_TOLD and not entry.ended_at and not entry.is_quiet

    def _repeat_at(self, group: Group) -> float:
        """When what still fires is told again; never, where nothing of it was told."""
        if group.is_drill:
            return math.inf
        if not any(self._is_repeated(entry) for entry in group.entries.values()):
            return math.inf
        return group.told_at + group.repeat_seconds

    def _draft(
        self, found: list[tuple[str, Group, list[Entry], bool]], now: float, held: Held
    ) -> Draft:
        chosen = [entry for _, _, entries, _ in found for entry in entries]
        chosen.sort(key=worst_first)
        members = tuple(
            Member(
                entry.id,
                entry.first,
                entry.newest,
                entry.fired_at,
                entry.ended_at,
                0 if entry.ended_at else held(entry),
            )
            for entry in chosen[: self.most_told]
        )
        for _, group, entries, is_repeat in found:
            group.count(now, is_repeat=is_repeat)
            group.look_at = 0.0
            for entry in entries:
                self._tell(entry)
        left_out, self.left_out = len(chosen) - len(members) + self.left_out, 0
        one = found[0][1] if len(found) == 1 else None
        return Draft(
            members,
            left_out,
            one.labels if one else {},
            all(is_repeat for *_, is_repeat in found),
            found[0][1].is_drill,
            tuple(name for name, *_ in found),
        )

    def _tell(self, entry: Entry) -> None:
        if entry.ended_at:
            self._missed -= entry.told == NEVER_TOLD
            self._drop(entry)
            return
        entry.told = entry.rank
        entry.is_flapping_told = entry.is_flapping_told or entry.is_flapping
        self.groups[entry.group].candidates.pop(entry.id, None)

    def arrived(self, groups: Iterable[str], made_at: float, now: float) -> None:
        """A notification has arrived late: what it told is told again that much later."""
        for name in groups:
            group = self.groups.get(name)
            if group is not None and group.told_at == made_at:
                group.told_at = max(now, made_at)
                group.look_at = 0.0

    def next_at(self) -> float:
        """When there may be something to be told, if nothing comes in before."""
        return min((group.look_at for group in self.groups.values()), default=math.inf)

    def waiting(self) -> int:
        """Groups of which something is to be told, and nothing stands in its way."""
        return sum(
            any(not entry.is_blocked for entry in group.candidates.values())
            for group in self.groups.values()
        )

    def _set_back(self, now: float) -> None:
        """The clock was set back: nothing lies in the future."""
        for entry in self.entries.values():
            entry.came_at = min(entry.came_at, now)
            entry.ended_at = min(entry.ended_at, now)
        for group in self.groups.values():
            group.sent = [min(at, now) for at in group.sent]
            group.told_at = min(group.told_at, now)
            group.look_at = 0.0
