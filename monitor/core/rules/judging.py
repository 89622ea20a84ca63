"""Judging one rule over the whole fleet at once: series to values, values to verdicts, to steps.

A `RuleJudge` knows which series of which hosts its rule is about, as cells of the board, and keeps
for each what its limits, windows and the state machine must remember.  Hosts are placed when their
series or labels change; judging itself touches no host, only arrays.

Rows are never moved: one that is no more is cleared and used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.core.alerts import NONE, Kept, Machine
from monitor.core.board import NOWHERE, Board, Indexes, Place
from monitor.core.rules.limits import Absent, Derived, Filling, Flags, Peers, every, holding, some
from monitor.core.rules.matching import ABSENT, Attributes, Columns, Match, conditions_of, matches
from monitor.core.rules.model import (
    AbsentFor,
    Below,
    Clause,
    Condition,
    FillsWithin,
    Join,
    Level,
    Outside,
    Reduce,
    Rule,
    Severity,
)
from monitor.core.rules.windows import Window
from monitor.core.series import Floats
from monitor.core.state import LATE_AFTER_PERIODS, UNKNOWN_PERIOD_SECONDS

LEAST_ROWS = 8
TICK_SECONDS = 1.0
AWAY_SECONDS = 1.5 * UNKNOWN_PERIOD_SECONDS
"""A host of which nothing came for so long is not there, so nothing of it is missing; one that
sends once a minute is."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one row is about; `keys` are the KEYs of the rule's conditions, empty where absent."""

    host: str
    attributes: Attributes
    keys: tuple[str, ...]

    @property
    def key(self) -> str:
        """The KEY whose value is told."""
        return next((key for key in self.keys if key), "")


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert changed: from severity `was` (none: it did not fire) to `severity` (none: it ended).

    `value` decided, `peak` is the worst since `began`, NaN where not known; `level` is the one
    that is reached, or was.
    """

    rule: Rule
    level: Level
    row: Row
    was: Severity | None
    severity: Severity | None
    value: float
    peak: float
    began: float
    is_flapping: bool = False
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A condition that holds and does not fire."""

    rule: Rule
    level: Level
    row: Row
    value: float
    began: float
    held_seconds: float
    is_known: bool


@dataclass(frozen=True, slots=True)
class RowKept:
    """What a restart must know of a row: the machine's part, and each clause's, in their order."""

    kept: Kept
    clauses: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Lacking:
    """A row that could be judged better with its history: of one KEY, so many seconds back.

    `fill` takes instants, minima, averages and maxima; it does nothing once the row is another's.
    """

    host: str
    key: str
    seconds: float
    fill: Callable[[Floats, Floats, Floats, Floats], None]


KeptRows = Mapping[tuple[str, Attributes], RowKept]


@dataclass(slots=True)
class _OfHost:
    """A host in a rule: which variant judges it, and its rows by attributes."""

    variant: _Variant
    rows: dict[Attributes, int] = field(default_factory=dict)


class RuleJudge:
    """One rule, with its overrides, over all hosts that it is about."""

    def __init__(self, rule: Rule, tick_seconds: float = TICK_SECONDS) -> None:
        self.rule = rule
        self._variants = [
            _Variant(each, tick_seconds) for each in (rule, *(o.rule for o in rule.overrides))
        ]
        self._hosts: dict[str, _OfHost] = {}
        self._restored: dict[str, dict[Attributes, RowKept]] = {}

    def place(self, host: str, labels: Mapping[str, str], columns: Columns, place: Place) -> None:
        """Take a host in as it is now: its series, labels and place on the board."""
        variant = self._variant(host, labels)
        known = self._hosts.get(host)
        if known is not None and known.variant is not variant:
            self._restored[host] = dict(self._kept_of(known))
            self._clear(known)
            known = None
        if variant is None:
            # What fired here ends; should the rule be about it again, that is another alert.
            self._hosts.pop(host, None)
            self._restored.pop(host, None)
            return
        if known is None:
            known = self._hosts[host] = _OfHost(variant)
        restored = self._restored.pop(host, {})
        variant.place(host, labels, known.rows, columns, place, restored)
        if not known.rows:
            del self._hosts[host]

    def _variant(self, host: str, labels: Mapping[str, str]) -> _Variant | None:
        named = {**labels, "host": host}
        if self.rule.hosts is not None and not self.rule.hosts.matches(named):
            return None
        for number, override in enumerate(self.rule.overrides, 1):
            if override.hosts.matches(named):
                return self._variants[number]
        return self._variants[0]

    def drop(self, host: str) -> None:
        """Know nothing of a host any more."""
        self._restored.pop(host, None)
        known = self._hosts.pop(host, None)
        if known is not None:
            self._clear(known)

    @staticmethod
    def _clear(known: _OfHost) -> None:
        for row in known.rows.values():
            known.variant.free(row)
        known.rows.clear()

    def judge(
        self, board: Board, now: float, elapsed: float, settled: Flags | None = None
    ) -> list[Transition]:
        """What changed at `now`.

        `elapsed` are the seconds since the last time that count; `settled` are the hosts, by
        number, whose alerts may begin to fire.
        """
        found: list[Transition] = []
        for variant in self._variants:
            if len(variant):
                found += variant.judge(board, now, elapsed, settled)
                for host, attributes in variant.let_go():
                    known = self._hosts[host]
                    variant.free(known.rows.pop(attributes))
                    if not known.rows:
                        del self._hosts[host]
        return found

    def pending(self) -> Iterator[Held]:
        """What holds and does not fire."""
        for variant in self._variants:
            if len(variant):
                yield from variant.pending()

    def pending_count(self) -> int:
        """How many conditions hold and do not fire."""
        return sum(variant.pending_count() for variant in self._variants)

    @property
    def series(self) -> int:
        """How many rows it judges."""
        return sum(len(variant) for variant in self._variants)

    @property
    def hosts(self) -> int:
        """Of how many hosts."""
        return len(self._hosts)

    def has(self, host: str, attributes: Attributes) -> bool:
        """Whether it judges this of a host."""
        known = self._hosts.get(host)
        return known is not None and attributes in known.rows

    def severity(self, host: str, attributes: Attributes) -> Severity | None:
        """The severity at which an alert of it fires; none where it does not."""
        known = self._hosts.get(host)
        row = None if known is None else known.rows.get(attributes)
        return None if known is None or row is None else known.variant.severity(row)

    def lacking(self, has_history: Callable[[str], bool] = bool) -> list[Lacking]:
        """Rows that began since this was last asked, and whose history would help.

        Only those of hosts of which there is one.
        """
        return [each for variant in self._variants for each in variant.lacking(has_history)]

    def kept(self) -> dict[tuple[str, Attributes], RowKept]:
        """What a restart must know, of the rows of which there is anything."""
        return dict(self.keeping())

    def keeping(self) -> Iterator[tuple[tuple[str, Attributes], RowKept]]:
        """The same one by one, so that of many others may run in between."""
        for host, rows in self._restored.items():
            for attributes, kept in rows.items():
                yield (host, attributes), kept
        for variant in self._variants:
            yield from variant.kept()

    @staticmethod
    def _kept_of(known: _OfHost) -> Iterator[tuple[Attributes, RowKept]]:
        for (_, attributes), kept in known.variant.kept(known.rows.values()):
            yield attributes, kept

    def restore(self, kept: KeptRows) -> None:
        """Go on with rows as they were kept, once their hosts are placed."""
        for (host, attributes), each in kept.items():
            self._restored.setdefault(host, {})[attributes] = each

    def unplaced(self) -> list[str]:
        """Hosts of which something was kept and that have not been placed."""
        return list(self._restored)


class _Variant:
    """A rule as it is for some hosts: all of their rows."""

    def __init__(self, rule: Rule, tick_seconds: float) -> None:
        self.rule = rule
        self._conditions = conditions_of(rule)
        self._rows: list[Row | None] = []
        self._spare: list[int] = []
        self._gone: set[int] = set()
        self._new: list[int] = []
        count = LEAST_ROWS
        self._cells: Indexes = np.full((len(self._conditions), count), NOWHERE, np.intp)
        self._hosts: Indexes = np.zeros(count, np.intp)
        self._values: Floats = np.full(count, np.nan)
        self._peaks: Floats = np.full(count, np.nan)
        self._windows = [_window(each, count, tick_seconds) for each in self._conditions]
        clauses = [clause for level in rule.levels for clause in level.clauses]
        self._holdings = [holding(clause, count, tick_seconds) for clause in clauses]
        self._used_by = [self._conditions.index(clause.condition) for clause in clauses]
        self._is_absence = any(isinstance(each.limit, AbsentFor) for each in clauses)
        self._worse = _worse(clauses[0])
        self._machine = Machine(
            [level.severity for level in rule.levels],
            [level.for_seconds for level in rule.levels],
            rule.keep_firing_for_seconds,
            count,
        )

    def __len__(self) -> int:
        return len(self._rows) - len(self._spare)

    # Rows

    def place(
        self,
        host: str,
        labels: Mapping[str, str],
        rows: dict[Attributes, int],
        columns: Columns,
        place: Place,
        restored: dict[Attributes, RowKept],
    ) -> None:
        """Have rows for a host's series, those that it has already where they are."""
        found = {match.attributes: match for match in matches(self.rule, self._conditions, columns)}
        for attributes, row in rows.items():
            if attributes not in found:
                self._cells[:, row] = NOWHERE
                self._gone.add(row)
        for attributes in restored:
            # Something is known of a series that is not there (any more, or yet).
            found.setdefault(
                attributes,
                Match(attributes, (ABSENT,) * len(self._conditions), ("",) * len(self._conditions)),
            )
        for attributes, match in found.items():
            known = rows.get(attributes)
            row = rows[attributes] = self._take(host, match) if known is None else known
            if any(match.keys):
                self._rows[row] = Row(host, attributes, match.keys)
                self._gone.discard(row)
                self._machine.found(row)
            elif known is None:
                self._gone.add(row)
            else:
                continue
            self._hosts[row] = place.number
            self._cells[:, row] = [
                NOWHERE if column == ABSENT else place.start + column for column in match.columns
            ]
            if attributes in restored:
                self._restore(row, restored[attributes])
            self._join(row, labels, attributes)

    def _take(self, host: str, match: Match) -> int:
        if self._spare:
            row = self._spare.pop()
        else:
            row = len(self._rows)
            self._rows.append(None)
            if row >= len(self._hosts):
                self._grow(row + row // 4 + LEAST_ROWS)
        self._rows[row] = Row(host, match.attributes, match.keys)
        self._new.append(row)
        return row

    def _grow(self, count: int) -> None:
        more = count - len(self._hosts)
        empty = np.full((len(self._conditions), more), NOWHERE, np.intp)
        self._cells = np.concatenate((self._cells, empty), axis=1)
        self._hosts = np.concatenate((self._hosts, np.zeros(more, np.intp)))
        self._values = np.concatenate((self._values, np.full(more, np.nan)))
        self._peaks = np.concatenate((self._peaks, np.full(more, np.nan)))
        for window in self._windows:
            if window is not None:
                source = np.arange(count, dtype=np.intp)
                source[window.rows :] = -1
                window.arrange(source)
        for each in self._holdings:
            each.grow(count)
        self._machine.grow(count)

    def free(self, row: int) -> None:
        """Know nothing of a row any more."""
        self._rows[row] = None
        self._spare.append(row)
        self._gone.discard(row)
        self._cells[:, row] = NOWHERE
        self._values[row] = self._peaks[row] = np.nan
        one = np.array([row], np.intp)
        for window in self._windows:
            if window is not None:
                window.clear(one)
        for each in self._holdings:
            each.clear(one)
        self._machine.clear(row)

    def severity(self, row: int) -> Severity | None:
        """The severity at which a row fires."""
        return self._machine.severity(row)

    def let_go(self) -> list[tuple[str, Attributes]]:
        """Rows whose series are gone and of which nothing is to be kept."""
        if not self._gone or self._is_absence:
            return []
        return [
            (known.host, known.attributes)
            for row in self._gone
            if (known := self._rows[row]) is not None and self._machine.is_idle(row)
        ]

    def _join(self, row: int, labels: Mapping[str, str], attributes: Attributes) -> None:
        """Tell who is a peer of whom: hosts of one label, by the same series of each."""
        for number, each in zip(self._used_by, self._holdings, strict=True):
            if isinstance(each, Derived) and isinstance(each.derive, Peers):
                label = labels.get(self._conditions[number].peers, "")
                each.derive.join(row, (label, attributes))

    # Judging

    def judge(
        self, board: Board, now: float, elapsed: float, settled: Flags | None
    ) -> list[Transition]:
        """As `RuleJudge.judge` says."""
        values = []
        for cells, window in zip(self._cells, self._windows, strict=True):
            read = board.read(cells, self._hosts, now)
            values.append(read if window is None else window.push(now, read))
        self._values = values[0] if len(values) == 1 else self._told(values)
        verdicts = self._verdicts(board, values, now, elapsed)
        may_fire = None if settled is None else settled[self._hosts]
        gone = self._missing(board, now) if self._gone else None
        began = self._machine.began.copy() if self._machine.level.max() > NONE else None
        steps = self._machine.step(verdicts, now, elapsed, may_fire, gone)
        transitions = []
        self._note_peaks([step.row for step in steps])
        for step in steps:
            row = self._rows[step.row]
            if row is None:
                continue
            level = step.severity or step.was
            since = float(self._machine.began[step.row])
            if np.isnan(since) and began is not None:
                since = float(began[step.row])
            transitions.append(
                Transition(
                    self.rule,
                    self._level(level),
                    row,
                    step.was,
                    step.severity,
                    float(self._values[step.row]),
                    float(self._peaks[step.row]),
                    now if np.isnan(since) else since,
                    step.is_flapping,
                    step.is_gone,
                )
            )
            if step.severity is None and np.isnan(self._machine.held[:, step.row]).all():
                # Told; should it hold again at the next tick, that is another alert.
                self._machine.began[step.row] = self._peaks[step.row] = np.nan
        return transitions

    def _level(self, severity: Severity | None) -> Level:
        """The level of a severity; the worst where there is none of it any more."""
        levels = self.rule.levels
        return next((each for each in levels if each.severity is severity), levels[-1])

    def _told(self, values: list[Floats]) -> Floats:
        """The first condition's values; where it has no series, the next one's that has."""
        told = values[-1]
        if self.rule.levels[0].join is not Join.ANY:
            return values[0]
        for cells, value in zip(self._cells[-2::-1], values[-2::-1], strict=True):
            told = np.where(cells == NOWHERE, told, value)
        return told

    def _verdicts(
        self, board: Board, values: list[Floats], now: float, elapsed: float
    ) -> list[tuple[Flags, Flags]]:
        verdicts, number = [], 0
        for level in self.rule.levels:
            seen = []
            for clause in level.clauses:
                which = self._used_by[number]
                limit, told = self._holdings[number], values[which]
                if isinstance(limit, Absent):
                    cells = self._cells[which]
                    told = board.observed(cells)
                    limit.least = LATE_AFTER_PERIODS * board.allowed[cells]
                holds, known = limit.judge(told, now, elapsed)
                is_absence = isinstance(clause.limit, AbsentFor)
                if level.join is Join.ANY and len(level.clauses) > 1:
                    # What a row has no series of says nothing for it, and nothing against.
                    absent = self._cells[which] == NOWHERE
                    holds = holds if is_absence else holds & ~absent
                    known = known | absent
                elif clause.condition.when_present and not is_absence:
                    absent = self._cells[which] == NOWHERE
                    holds, known = holds | absent, known | absent
                seen.append((holds, known))
                number += 1
            holds, known = every(seen) if level.join is Join.ALL else some(seen)
            if _may_be_empty(level):
                known = known & (self._cells != NOWHERE).any(axis=0)
            verdicts.append((holds, known))
        return verdicts

    def _missing(self, board: Board, now: float) -> Flags:
        """Rows whose series are not there, although their hosts are."""
        missing: Flags = np.zeros(len(self._hosts), np.bool_)
        rows = np.fromiter(self._gone, np.intp, len(self._gone))
        if self._is_absence:
            return missing
        missing[rows] = now - board.seen_at[self._hosts[rows]] < AWAY_SECONDS
        return missing

    def _note_peaks(self, changed: list[int]) -> None:
        """The worst value of each row since it began; what has just ended keeps its until told."""
        idle = np.isnan(self._machine.began)
        idle[changed] = False
        if idle.all():
            if not np.isnan(self._peaks).all():
                self._peaks[:] = np.nan
            return
        self._peaks = self._worse(self._peaks, self._values)
        self._peaks[idle] = np.nan

    def pending_count(self) -> int:
        """As `RuleJudge.pending_count` says."""
        return self._machine.pending_count()

    def pending(self) -> Iterator[Held]:
        """As `RuleJudge.pending` says."""
        for number, level in self._machine.pending():
            row = self._rows[number]
            if row is not None:
                yield Held(
                    self.rule,
                    self.rule.levels[level],
                    row,
                    float(self._values[number]),
                    float(self._machine.began[number]),
                    float(self._machine.held[level, number]),
                    not np.isnan(self._values[number]),
                )

    def lacking(self, has_history: Callable[[str], bool]) -> list[Lacking]:
        """As `RuleJudge.lacking` says."""
        new, self._new = self._new, []
        found: list[Lacking] = []
        for number in new:
            row = self._rows[number]
            if row is None or not has_history(row.host):
                continue
            for which, key in enumerate(row.keys):
                if key:
                    found += self._lacks(number, row, which, key)
        return found

    def _lacks(self, number: int, row: Row, which: int, key: str) -> Iterator[Lacking]:
        def filling(
            fill: Callable[[int, Floats, Floats, Floats, Floats], None],
        ) -> Callable[[Floats, Floats, Floats, Floats], None]:
            def filled(at: Floats, least: Floats, average: Floats, most: Floats) -> None:
                now = self._rows[number]
                if now is not None and (now.host, now.attributes) == (row.host, row.attributes):
                    fill(number, at, least, average, most)

            return filled

        window = self._windows[which]
        condition = self._conditions[which]
        if window is not None:
            yield Lacking(row.host, key, condition.over_seconds, filling(window.fill))
        for used, each in zip(self._used_by, self._holdings, strict=True):
            if used == which and isinstance(each, Derived) and isinstance(each.derive, Filling):
                sink = each.derive
                yield Lacking(row.host, key, sink.over_seconds, filling(sink.slope.fill))

    # Over a restart

    def kept(
        self, rows: Iterable[int] | None = None
    ) -> Iterator[tuple[tuple[str, Attributes], RowKept]]:
        """As `RuleJudge.keeping` says; of these rows, where some are named."""
        busy = set(self._machine.busy().tolist())
        for each in self._holdings:
            busy.update(each.busy().tolist())
        if rows is not None:
            busy.intersection_update(rows)
        for number in sorted(busy):
            row = self._rows[number] if number < len(self._rows) else None
            if row is not None:
                clauses = tuple(each.kept(number) for each in self._holdings)
                kept = replace(self._machine.kept(number), peak=float(self._peaks[number]))
                yield (row.host, row.attributes), RowKept(kept, clauses)

    def _restore(self, row: int, kept: RowKept) -> None:
        self._machine.restore(row, kept.kept)
        self._peaks[row] = kept.kept.peak
        if len(kept.clauses) == len(self._holdings):
            for each, value in zip(self._holdings, kept.clauses, strict=True):
                if value is not None:
                    each.restore(row, value)
        else:
            self._hold(row, kept.kept)

    def _hold(self, row: int, kept: Kept) -> None:
        """Of an alert only that it fires is known: its limits are on the side that says so."""
        number = 0
        for level in self.rule.levels:
            for _ in level.clauses:
                if level.severity in kept.held or level.severity in kept.reached:
                    self._holdings[number].hold(row)
                number += 1


def _window(condition: Condition, rows: int, tick_seconds: float) -> Window | None:
    if condition.over_seconds <= 0 or condition.reduce is Reduce.LAST:
        return None
    return Window(condition.over_seconds, condition.reduce, rows, tick_seconds)


def _may_be_empty(level: Level) -> bool:
    """Whether a level would seem to be seen where there is none of its series."""
    if any(isinstance(clause.limit, AbsentFor) for clause in level.clauses):
        return False
    return level.join is Join.ANY or all(clause.condition.when_present for clause in level.clauses)


def _worse(clause: Clause) -> Callable[[Floats, Floats], Floats]:
    """Which of two values is the worse one of a clause, where both are known."""
    match clause.limit:
        case Below():
            return np.fmin
        case FillsWithin() if clause.condition.full == 0:
            return np.fmin
        case Outside(low, high):
            middle = (low + high) / 2

            def farther(one: Floats, other: Floats) -> Floats:
                is_other = np.isnan(one) | (np.abs(other - middle) > np.abs(one - middle))
                return np.where(is_other, other, one)

            return farther
        case _:
            return np.fmax
