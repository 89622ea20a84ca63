"""Unit tests of rules: synthetic series, and what rules must make of them, and when.

The series are laid on the board as a sender's would be, and the rules judge them with the live
evaluator at the live pace, once a second (in very long tests less often).  A counter's values are
counts.  Hosts are taken as having been there for long.  How a file writes tests is for
`monitor.alerting.ruletestfiles`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from monitor.core.board import Board, Place
from monitor.core.catalog import is_counter
from monitor.core.quantity import format_seconds
from monitor.core.rules.judging import RuleJudge
from monitor.core.rules.matching import Attributes, Columns
from monitor.core.rules.model import Severity
from monitor.core.rules.ruleset import RuleSet
from monitor.core.series import Floats, rates
from monitor.errors import excerpt
from monitor.model import Schema, SeriesKey

State = Literal["firing", "pending", "inactive"]

BEGIN = 999_993_600.0
"""When tests take place: a midnight long ago."""

TICK_SECONDS = 1.0
MOST_TICKS = 50_000
"""About two seconds of one rule; in a longer test ticks are further apart."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a host, a value an interval from the beginning on."""

    host: str
    labels: Mapping[str, str]
    key: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be so `at` seconds after the beginning, of the worst alert that fits."""

    at: float
    rule: str
    host: str
    state: State
    severity: Severity | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Test:
    """One test; `origin` is where it stands, as ``file:line``."""

    name: str
    interval_seconds: float
    series: tuple[Series, ...]
    expected: tuple[Expected, ...]
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a test: what was not as it must be, in sentences."""

    test: Test
    failures: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        """Whether all was as it must be."""
        return not self.failures


def run(tests: Sequence[Test], rules: RuleSet) -> Iterator[Result]:
    """What comes of each test with these rules."""
    for test in tests:
        yield Result(test, tuple(_Run(test, rules).failures()))


def lines(results: Sequence[Result]) -> Iterator[str]:
    """What a person reads of the results, the sum last."""
    for result in results:
        if result.is_passed:
            yield f"ok      {result.test.name}"
        else:
            yield f"FAILED  {result.test.name} ({result.test.origin})"
            for failure in result.failures:
                yield f"        {failure}"
    failed = sum(not result.is_passed for result in results)
    count = "1 test" if len(results) == 1 else f"{len(results)} tests"
    yield f"{count}, {failed} failed" if failed else f"{count}, all as expected"


@dataclass(frozen=True, slots=True)
class _Laid:
    """A host's series on the board: a row of values an interval."""

    place: Place
    values: Floats


class _Run:
    """One test on its way."""

    def __init__(self, test: Test, rules: RuleSet) -> None:
        self._test = test
        self._rules = rules
        names = dict.fromkeys(each.rule for each in test.expected)
        longest = max((each.at for each in test.expected), default=0.0)
        self._tick = max(TICK_SECONDS, float(math.ceil(longest / MOST_TICKS)))
        self._board = Board()
        self._judges = {
            name: RuleJudge(rule, self._tick) for name in names if (rule := rules.get(name))
        }
        self._firing: dict[tuple[str, str, Attributes], tuple[Severity, float]] = {}
        self._hosts = self._lay()

    def _lay(self) -> list[_Laid]:
        """Put every host on the board, and have the rules take it in."""
        by_host: dict[str, list[Series]] = {}
        for series in self._test.series:
            by_host.setdefault(series.host, []).append(series)
        laid = []
        for host, found in by_host.items():
            schema = Schema(tuple(dict.fromkeys(each.key for each in found)))
            count = max(len(each.values) for each in found)
            values = np.full((count, len(schema)), np.nan)
            labels: dict[str, str] = {}
            for each in found:
                column = values[: len(each.values), schema.index[each.key]]
                column[:] = self._as_shown(each)
                labels |= each.labels
            place = self._board.place(host, len(schema))
            for judge in self._judges.values():
                judge.place(host, labels, Columns(Schema(()), schema), place)
            laid.append(_Laid(place, values))
        return laid

    def _as_shown(self, series: Series) -> Floats:
        """A series' values as rules see them: of counts, their rates."""
        values: Floats = np.array(series.values)
        if is_counter(SeriesKey.parse(series.key).name):
            seen = np.flatnonzero(~np.isnan(values))
            values[seen] = rates(
                seen.astype(np.float64) * self._test.interval_seconds, values[seen]
            )
        return values

    def failures(self) -> Iterator[str]:
        """Step through the test: what is not as it must be."""
        for name in dict.fromkeys(each.rule for each in self._test.expected):
            if name not in self._judges:
                near = difflib.get_close_matches(name[:64], tuple(self._rules.rules), 1)
                off = self._rules.off.get(name)
                why = "it is turned off" if off else f"did you mean {near[0]}?" if near else ""
                yield f"there is no rule {excerpt(name)}{'; ' + why if why else ''}"
        due = sorted(self._test.expected, key=lambda each: each.at)
        passed, sample, now = 0, 0, 0.0
        while passed < len(due):
            while sample * self._test.interval_seconds <= now:
                self._observe(sample, BEGIN + sample * self._test.interval_seconds)
                sample += 1
            self._judge(now)
            while passed < len(due) and due[passed].at <= now:
                if due[passed].rule in self._judges:
                    yield from self._compared(due[passed])
                passed += 1
            now += self._tick

    def _observe(self, sample: int, at: float) -> None:
        """A frame of each host comes, with what it has at this time."""
        for host in self._hosts:
            if sample >= len(host.values):
                continue
            row = host.values[sample]
            seen = np.flatnonzero(~np.isnan(row))
            if len(seen):
                cells = host.place.start + seen
                self._board.values[cells] = row[seen]
                self._board.observed_at[cells] = at
                self._board.allowed[cells] = self._test.interval_seconds
                self._board.clock(host.place, at, at)

    def _judge(self, now: float) -> None:
        elapsed = self._tick if now else 0.0
        for name, judge in self._judges.items():
            for said in judge.judge(self._board, BEGIN + now, elapsed):
                row = name, said.row.host, said.row.attributes
                if said.severity is None:
                    self._firing.pop(row, None)
                else:
                    self._firing[row] = said.severity, said.value

    def _compared(self, expected: Expected) -> Iterator[str]:
        """What is different from what must be."""
        found = self._found(expected)
        state, severity, attributes = found[0] if found else ("inactive", None, ())
        if state == expected.state and expected.severity in {None, severity}:
            return
        wanted = " ".join(filter(None, (expected.state, expected.severity)))
        got = " ".join(filter(None, (state, severity)))
        of = SeriesKey("", attributes)
        yield (
            f"at {format_seconds(expected.at)}: {expected.rule} of {expected.host}:"
            f" expected {wanted}, got {got}{f' {of}' if attributes else ''}"
        )

    def _found(self, expected: Expected) -> list[tuple[State, Severity | None, Attributes]]:
        """Alerts of a rule and host that fit, the worst first."""
        found: list[tuple[State, Severity | None, Attributes]] = [
            ("firing", severity, attributes)
            for (rule, host, attributes), (severity, _) in self._firing.items()
            if (rule, host) == (expected.rule, expected.host)
        ]
        found += [
            ("pending", held.level.severity, held.row.attributes)
            for held in self._judges[expected.rule].pending()
            if held.row.host == expected.host
        ]
        wanted = set(expected.attributes.items())
        fitting = [each for each in found if wanted <= set(each[2])]
        fitting.sort(key=lambda each: (each[0] != "firing", -(each[1].rank if each[1] else -1)))
        return fitting
