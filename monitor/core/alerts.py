"""The state of alerts, alone: inactive, pending, firing, resolved.  Time is an argument.

One machine keeps all rows of a rule, a row being one host's series, and steps them together.  What
it is told of each row and level is whether the condition was seen to hold, seen not to hold, or not
seen.  The rules, by which alone an alert changes:

1. A level *holds* for as long as its condition was seen to hold; seen not to hold ends that, not
   seen neither adds nor ends.  Having held as long as its `for` says, it is *reached*.
2. A level that is reached stays so until it was seen not to hold for `keep_firing_for`.
3. The alert's severity is the worst level that is reached; with none it is not firing.
4. inactive → pending where a level holds and none is reached; this is state and no transition.
5. pending or inactive → firing, firing → firing of another severity, and firing → resolved are
   transitions: they are logged.
6. At most `MOST_TRANSITIONS` are logged an hour for each row.  The last of them says that the alert
   is flapping: it then stays firing until it was seen calm for `CALM_SECONDS`.  Should it become
   worse meanwhile, that is told as soon as there may be another.
7. A row that may not begin to fire yet (its host has just come) pends for as long.
8. A row whose series is gone for `GONE_SECONDS` while its host is there ends, and so does what
   only pends.  What its host is away for neither adds nor ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.core.board import Indexes
from monitor.core.rules.limits import Flags
from monitor.core.rules.model import Severity
from monitor.core.series import Floats

MOST_TRANSITIONS = 12
"""Logged transitions of a row in an hour, the one that says that it is flapping included."""

WINDOW_SECONDS = 3_600.0

CALM_SECONDS = 900.0
"""How long a flapping alert must have been seen quiet before it ends."""

GONE_SECONDS = 300.0
"""How long the series of an alert may be missing before it ends for that."""

NONE = -1
"""No level."""

Numbers: TypeAlias = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Step:
    """One transition of a row: from severity `was`, none where it did not fire, to `severity`.

    `is_flapping`: from now on it stays firing until it is calm.
    """

    row: int
    was: Severity | None
    severity: Severity | None
    is_flapping: bool = False
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What a restart must know of a row: by severity how long it held, and what is reached.

    `began` is when a level was first seen to hold, `logged` when transitions were, in unix
    seconds; `is_flapping` and `calm_seconds` as rule 6 says.
    """

    held: Mapping[Severity, float] = field(default_factory=dict)
    reached: Mapping[Severity, float] = field(default_factory=dict)
    """How long each has been seen not to hold since."""
    began: float = 0.0
    peak: float = np.nan
    logged: tuple[float, ...] = ()
    is_flapping: bool = False
    calm_seconds: float = 0.0
    severity: Severity | None = None
    """At which it fires, as was told; where that is not said, the worst that is reached."""

    @property
    def fires(self) -> Severity | None:
        """The severity at which it fires; none where it does not."""
        return self.severity or max(self.reached, key=lambda each: each.rank, default=None)


@dataclass(slots=True)
class _History:
    """The transitions of one row within the last hour, and whether it is flapping."""

    logged: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_TRANSITIONS))
    is_flapping: bool = False
    calm_seconds: float = 0.0

    def count(self, now: float) -> int:
        while self.logged and not now - WINDOW_SECONDS < self.logged[0] <= now:
            self.logged.popleft()
        return len(self.logged)


class Machine:
    """All rows of one rule."""

    def __init__(
        self,
        severities: Sequence[Severity],
        for_seconds: Sequence[float],
        keep_firing_for_seconds: float,
        rows: int,
    ) -> None:
        self._severities = tuple(severities)
        self._for = np.array(for_seconds)
        self._keep = keep_firing_for_seconds
        levels = len(self._severities)
        self.held: Floats = np.full((levels, rows), np.nan)
        """Seconds that each level of each row has been seen to hold; NaN where it does not."""
        self._reached: Flags = np.zeros((levels, rows), np.bool_)
        self._quiet: Floats = np.zeros((levels, rows))
        self.level: Numbers = np.full(rows, NONE, np.int8)
        """The worst level that is reached, by its number; `NONE` where the row does not fire."""
        self.began: Floats = np.full(rows, np.nan)
        self.gone: Floats = np.zeros(rows)
        """Seconds that each row's series has been missing while its host was there."""
        self._histories: dict[int, _History] = {}
        self._foreign: dict[int, Severity] = {}
        """Rows that were told to fire at a severity that the rule has no more."""

    def step(
        self,
        verdicts: Sequence[tuple[Flags, Flags]],
        now: float,
        elapsed: float,
        may_fire: Flags | None = None,
        gone: Flags | None = None,
    ) -> list[Step]:
        """Take what was seen of each level (it holds; it was seen) and say what changed.

        `elapsed` are the seconds since the last step, 0 where they are not to count; `may_fire`
        are the rows that may begin to fire, `gone` those whose series is missing though their host
        is there.
        """
        worst: Numbers = np.full(len(self.level), NONE, np.int8)
        is_any = False
        for number, (holds, known) in enumerate(verdicts):
            held, reached = self.held[number], self._reached[number]
            on = holds & known
            off = known ^ on
            held[off] = np.nan
            if on.any():
                fresh = on & np.isnan(held)
                held[on] += elapsed
                held[fresh] = 0.0
                ripe = on & (held >= self._for[number])
                if may_fire is not None:
                    ripe &= may_fire | (self.level != NONE)
                reached |= ripe
            is_any = is_any or not np.isnan(held).all()
            if reached.any():
                self._release(number, on, off, elapsed)
                worst[reached] = number
        self._begin(now, is_any)
        steps = self._gone(gone, worst, now, elapsed) if gone is not None else []
        for row, was in self._foreign.items():
            self._translate(row, was, int(worst[row]), now, steps)
        self._foreign.clear()
        for row in np.flatnonzero(worst != self.level).tolist():
            self._turn(row, int(worst[row]), now, steps)
        if self._histories:
            self._settle(now, elapsed, worst, verdicts, steps)
        return steps

    def _release(self, number: int, on: Flags, off: Flags, elapsed: float) -> None:
        """Let go of levels that were seen not to hold for long enough."""
        reached, quiet = self._reached[number], self._quiet[number]
        if not self._keep:
            reached[off] = False
            return
        quiet[on] = 0.0
        leaving = off & reached
        if leaving.any():
            quiet[leaving] += elapsed
            reached[leaving & (quiet >= self._keep)] = False

    def _begin(self, now: float, is_any: bool) -> None:
        """Note since when anything of each row holds."""
        if not is_any:
            self.began[self.level == NONE] = np.nan
            return
        holding = ~np.isnan(self.held).all(axis=0)
        self.began[holding & np.isnan(self.began)] = now
        self.began[~holding & (self.level == NONE)] = np.nan

    def _gone(self, gone: Flags, worst: Numbers, now: float, elapsed: float) -> list[Step]:
        self.gone[gone] += elapsed
        steps = []
        for row in np.flatnonzero(gone & (self.gone >= GONE_SECONDS)).tolist():
            was = self.severity(row)
            if was is not None:
                history = self._histories.setdefault(row, _History())
                if history.count(now) >= MOST_TRANSITIONS:
                    continue  # it ends once there may be another
                history.is_flapping = False
                history.logged.append(now)
                steps.append(Step(row, was, None, is_gone=True))
            self._forget(row)
            worst[row] = NONE
        return steps

    def found(self, row: int) -> None:
        """The series of a row is there (again)."""
        self.gone[row] = 0.0

    def _translate(
        self, row: int, was: Severity, level: int, now: float, steps: list[Step]
    ) -> None:
        """What fired at a severity that there is no more fires at another one, or ends."""
        history = self._histories.setdefault(row, _History())
        history.is_flapping = history.is_flapping and level != NONE
        history.logged.append(now)
        self.level[row] = level
        steps.append(Step(row, was, self._severity(level), is_flapping=history.is_flapping))

    def _turn(self, row: int, level: int, now: float, steps: list[Step]) -> None:
        """A row reaches another level: tell it, as far as there may be so many."""
        was = int(self.level[row])
        history = self._histories.setdefault(row, _History())
        count = history.count(now)
        if history.is_flapping and (level < was or count >= MOST_TRANSITIONS):
            return  # it stays as it is until it is calm, or worse
        if not history.is_flapping and count >= MOST_TRANSITIONS - 1:
            # The last that is told: it flaps, and fires as badly as it did.
            history.is_flapping, history.calm_seconds = True, 0.0
            level = max(level, was)
        history.logged.append(now)
        self.level[row] = level
        steps.append(
            Step(row, self._severity(was), self._severity(level), is_flapping=history.is_flapping)
        )

    def _settle(
        self,
        now: float,
        elapsed: float,
        worst: Numbers,
        verdicts: Sequence[tuple[Flags, Flags]],
        steps: list[Step],
    ) -> None:
        """End what flapped and is calm, and forget whose last hour was quiet."""
        for row, history in list(self._histories.items()):
            if history.is_flapping and int(self.level[row]) == NONE:
                history.is_flapping = False  # there is nothing to end
            if history.is_flapping:
                if int(worst[row]) != NONE:
                    history.calm_seconds = 0.0
                elif any(known[row] for _, known in verdicts):
                    history.calm_seconds += elapsed
                few = history.count(now) < MOST_TRANSITIONS
                if history.calm_seconds >= CALM_SECONDS and few:
                    steps.append(Step(row, self._severity(int(self.level[row])), None))
                    history.is_flapping = False
                    history.logged.append(now)
                    self.level[row] = NONE
                    self.began[row] = np.nan
            elif not history.count(now) and int(self.level[row]) == NONE:
                del self._histories[row]

    def _severity(self, level: int) -> Severity | None:
        return None if level == NONE else self._severities[level]

    def severity(self, row: int) -> Severity | None:
        """The severity at which a row fires; none where it does not."""
        return self._severity(int(self.level[row]))

    def pending(self) -> list[tuple[int, int]]:
        """Rows that hold and do not fire, each with its worst level that holds, by number."""
        holding = ~np.isnan(self.held)
        if not holding.any():
            return []
        rows = np.flatnonzero(holding.any(axis=0) & (self.level == NONE))
        worst = len(holding) - 1 - holding[::-1, rows].argmax(axis=0)
        return list(zip(rows.tolist(), worst.tolist(), strict=True))

    def pending_count(self) -> int:
        """How many rows hold and do not fire."""
        holding = ~np.isnan(self.held)
        return int(np.count_nonzero(holding.any(axis=0) & (self.level == NONE)))

    def is_idle(self, row: int) -> bool:
        """Whether nothing is known of a row that must be kept."""
        return (
            int(self.level[row]) == NONE
            and bool(np.isnan(self.held[:, row]).all())
            and row not in self._histories
            and row not in self._foreign
        )

    def busy(self) -> Indexes:
        """The rows of which something must be kept."""
        some = ~np.isnan(self.held).all(axis=0) | (self.level != NONE)
        if self._histories:
            some[list(self._histories)] = True
        if self._foreign:
            some[list(self._foreign)] = True
        return np.flatnonzero(some)

    def grow(self, rows: int) -> None:
        """Have room for so many rows."""
        more = rows - len(self.level)
        if more <= 0:
            return
        levels = len(self._severities)
        self.held = np.concatenate((self.held, np.full((levels, more), np.nan)), axis=1)
        self._reached = np.concatenate((self._reached, np.zeros((levels, more), np.bool_)), axis=1)
        self._quiet = np.concatenate((self._quiet, np.zeros((levels, more))), axis=1)
        self.level = np.concatenate((self.level, np.full(more, NONE, np.int8)))
        self.began = np.concatenate((self.began, np.full(more, np.nan)))
        self.gone = np.concatenate((self.gone, np.zeros(more)))

    def clear(self, row: int) -> None:
        """Remember nothing of a row."""
        self._forget(row)
        self._histories.pop(row, None)
        self._foreign.pop(row, None)

    def _forget(self, row: int) -> None:
        self.held[:, row] = np.nan
        self._reached[:, row] = False
        self._quiet[:, row] = 0.0
        self.level[row] = NONE
        self.began[row] = np.nan
        self.gone[row] = 0.0

    def kept(self, row: int) -> Kept:
        """What a restart must know of a row."""
        history = self._histories.get(row, _History())
        began = float(self.began[row])
        return Kept(
            held={
                # Longer than its `for` is as good as that, and would be written down each time.
                severity: min(float(self.held[number, row]), float(self._for[number]))
                for number, severity in enumerate(self._severities)
                if not np.isnan(self.held[number, row])
            },
            reached={
                severity: float(self._quiet[number, row])
                for number, severity in enumerate(self._severities)
                if self._reached[number, row]
            },
            began=0.0 if np.isnan(began) else began,
            logged=tuple(history.logged),
            is_flapping=history.is_flapping,
            calm_seconds=history.calm_seconds,
            severity=self._foreign.get(row) or self.severity(row),
        )

    def restore(self, row: int, kept: Kept) -> None:
        """Go on with a row as it was kept; levels that the rule no longer has are left out.

        What fires at one of these changes to another, or ends, at the next step.
        """
        self.clear(row)
        for number, severity in enumerate(self._severities):
            if severity in kept.held:
                self.held[number, row] = kept.held[severity]
            if severity in kept.reached:
                self._reached[number, row] = True
                self._quiet[number, row] = kept.reached[severity]
        told = kept.fires
        if told in self._severities:
            self.level[row] = self._severities.index(told)
        elif told is not None:
            self._foreign[row] = told
        self.began[row] = kept.began or np.nan
        if kept.logged or kept.is_flapping:
            self._histories[row] = _History(
                deque(kept.logged, MOST_TRANSITIONS), kept.is_flapping, kept.calm_seconds
            )
