"""The noise report: of each rule how often it fires, how soon that is over, and who cared.

It reads the log, where every alert and every acknowledgement stands, and suggests a `for` or a
limit by which most of what was soon over would not have been told, and next to nothing of what
lasted would have been missed.  How many of either that is, is part of the suggestion: it is
arithmetic on what was, and whether it is wise is for people.  Drills and what was reported late
do not count.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from monitor.core import toml_text
from monitor.core.quantity import format_seconds
from monitor.core.rules.model import Above, Below, Level, Rule, Severity
from monitor.core.rules.ruleset import RuleSet
from monitor.core.rules.values import Unit, measure
from monitor.model import Event, EventType, RetentionClass
from monitor.ports import EventLog, Gap

LOOK_BACK_SECONDS = 28 * 86_400.0
"""Four weeks: every day of the week four times, and what was changed before is forgotten."""

LEAST_SPAN_SECONDS = 86_400.0
"""A younger log is reckoned as a day of it, so that the first alert is no hundred a week."""

WEEK_SECONDS = 7 * 86_400.0

SHORT_SECONDS = 300.0
"""What is over sooner was over before most people had looked."""

DROPPED_SHARE = 0.8
KEPT_SHARE = 0.9
"""A suggestion drops so many of the short ones and keeps so many of the others."""

LEAST_FIRES = 5
LEAST_SHORT_SHARE = 0.5
"""With less of either there is nothing to suggest."""

FOR_SECONDS = (30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0)
"""What a suggestion may say."""

EVENTS_AT_ONCE = 200
MOST_EVENTS = 100_000
LONGEST_READ_SECONDS = 5.0
"""What one report reads; the evidence in it is what takes time."""

FRESH_SECONDS = 300.0
"""For how long a report is not made again."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from its firing to its end, none where it goes on; instants in unix seconds."""

    rule: str
    severity: Severity
    fired: float
    ended: float | None = None
    peak: float | None = None
    is_acknowledged: bool = False

    def seconds(self, now: float) -> float:
        """How long it lasted, or has until now."""
        return max(0.0, (now if self.ended is None else self.ended) - self.fired)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What might be changed, as a sentence and as TOML to be pasted."""

    sentence: str
    toml: str


@dataclass(frozen=True, slots=True)
class Noise:
    """One rule's: `median_seconds` is NaN, and the shares are 0, where it never fired.

    `short_share` is the share of those that are over of which that took under `SHORT_SECONDS`.
    """

    rule: str
    fires: int
    fires_a_week: float
    median_seconds: float
    short_share: float
    acknowledged_share: float
    suggestions: tuple[Suggestion, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Every rule that fired or is there, the noisiest first, over [start, end) of the log.

    `is_cut` where there was too much to read, so that it ends before now.
    """

    start: float
    end: float
    rules: tuple[Noise, ...]
    is_cut: bool = False

    def of(self, rule: str) -> Noise:
        """One rule's."""
        found = (each for each in self.rules if each.rule == rule)
        return next(found, Noise(rule, 0, 0.0, math.nan, 0.0, 0.0))


class Episodes:
    """Alerts from the events that tell of them, in the order of the log."""

    def __init__(self) -> None:
        self._found: dict[str, Episode] = {}

    def fold(self, event: Event) -> None:
        """Take an event in; most are about no alert."""
        if event.type is EventType.ALERT:
            self._alert(event)
        elif event.type is EventType.NOTICE and event.data.get("kind") == "ack":
            details = event.data.get("details")
            if isinstance(details, Mapping) and details.get("action") == "create":
                self._change(details.get("alert"), is_acknowledged=True)

    def _alert(self, event: Event) -> None:
        said = event.data
        id_, rule, severity = said.get("alert"), said.get("rule"), said.get("severity")
        if said.get("is_drill") or said.get("is_late"):
            return
        if not (isinstance(id_, str) and isinstance(rule, str) and severity in set(Severity)):
            return  # damaged, or of another version
        known, peak = self._found.get(id_), _number(said.get("peak"))
        if said.get("state") == "firing":
            fired = known.fired if known else (_number(said.get("fired")) or event.at)
            worst = Severity(str(severity))
            if known and known.severity.rank > worst.rank:
                worst = known.severity
            acked = known is not None and known.is_acknowledged
            self._found[id_] = Episode(rule, worst, fired, None, peak, acked)
        elif known is not None:
            peak = known.peak if peak is None else peak
            self._found[id_] = replace(known, ended=event.at, peak=peak)

    def _change(self, id_: object, *, is_acknowledged: bool) -> None:
        if isinstance(id_, str) and (known := self._found.get(id_)):
            self._found[id_] = replace(known, is_acknowledged=is_acknowledged)

    def all(self) -> list[Episode]:
        """Those that are known so far, by when they fired first."""
        return list(self._found.values())


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def noise(
    name: str, rule: Rule | None, episodes: Sequence[Episode], span_seconds: float, now: float
) -> Noise:
    """One rule's, of its episodes over a time."""
    if not episodes:
        return Noise(name, 0, 0.0, math.nan, 0.0, 0.0)
    over = [each for each in episodes if each.ended is not None]
    short = sum(each.seconds(now) < SHORT_SECONDS for each in over)
    found = Noise(
        rule=name,
        fires=len(episodes),
        fires_a_week=len(episodes) * WEEK_SECONDS / max(span_seconds, LEAST_SPAN_SECONDS),
        median_seconds=statistics.median(each.seconds(now) for each in episodes),
        short_share=short / len(over) if over else 0.0,
        acknowledged_share=sum(each.is_acknowledged for each in episodes) / len(episodes),
    )
    if rule is None or len(episodes) < LEAST_FIRES or found.short_share < LEAST_SHORT_SHARE:
        return found
    level = _level(rule, episodes)
    made = (_longer(rule, level, episodes, now), _further(rule, level, episodes, now))
    return replace(found, suggestions=tuple(each for each in made if each is not None))


def _level(rule: Rule, episodes: Iterable[Episode]) -> Level:
    """The level that fired most often, the milder one of two."""
    times = Counter(each.severity for each in episodes)
    return max(rule.levels, key=lambda level: times[level.severity])


def _longer(rule: Rule, level: Level, episodes: Sequence[Episode], now: float) -> Suggestion | None:
    """The least `for` that drops most of the short ones: those that lasted less than is added."""
    for seconds in FOR_SECONDS:
        more = seconds - level.for_seconds
        if more <= 0:
            continue
        told = _told(episodes, now, lambda each, more=more: each.seconds(now) >= more)  # type: ignore[misc]
        if told is not None:
            text = format_seconds(seconds)
            return Suggestion(
                f'for = "{text}" {told}', f'[rules.{toml_text.key(rule.name)}]\nfor = "{text}"\n'
            )
    return None


def _further(
    rule: Rule, level: Level, episodes: Sequence[Episode], now: float
) -> Suggestion | None:
    """The nearest limit beyond most of the short ones' peaks."""
    clause = level.clauses[0]
    if not isinstance(clause.limit, Above | Below) or len(level.clauses) > 1:
        return None
    is_above = isinstance(clause.limit, Above)
    sign = 1.0 if is_above else -1.0
    peaks = sorted(
        sign * each.peak
        for each in episodes
        if each.peak is not None and each.ended is not None and each.seconds(now) < SHORT_SECONDS
    )
    if not peaks:
        return None
    written = measure(clause.condition.metric)
    edge = sign * peaks[min(len(peaks) - 1, math.ceil(len(peaks) * DROPPED_SHARE) - 1)]
    value = _rounded(edge, is_above=is_above, is_ratio=written.unit is Unit.RATIO)
    if sign * value <= sign * clause.limit.value or (written.unit is Unit.RATIO and value >= 1):
        return None

    def fires(each: Episode) -> bool:
        return each.peak is None or sign * each.peak > sign * value

    told = _told(episodes, now, fires)
    if told is None:
        return None
    key = f"{level.severity}.{'above' if is_above else 'below'}"
    line = f"{key} = {toml_text.value(written.written(value))}"
    return Suggestion(f"{line} {told}", f"[rules.{toml_text.key(rule.name)}]\n{line}\n")


def _told(episodes: Sequence[Episode], now: float, fires: Callable[[Episode], bool]) -> str | None:
    """What would have come of it, in words; none where it drops too few or keeps too few."""
    short = [e for e in episodes if e.ended is not None and e.seconds(now) < SHORT_SECONDS]
    # What goes on and is young may become either.
    long_ = [each for each in episodes if each.seconds(now) >= SHORT_SECONDS]
    dropped = sum(not fires(each) for each in short)
    kept = sum(fires(each) for each in long_)
    if dropped < DROPPED_SHARE * len(short) or kept < KEPT_SHARE * len(long_):
        return None
    text = f"would have dropped {dropped} of {len(short)} alerts that were over in 5 min"
    return f"{text} and kept {kept} of the {len(long_)} others" if long_ else text


def _rounded(value: float, *, is_above: bool, is_ratio: bool) -> float:
    """The nearest number that people would write, not nearer than the value."""
    if not value:
        return value
    unit = 0.01 if is_ratio else 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    count = value / unit
    # What is such a number already, but for rounding, stays.
    near = round(count)
    whole = near if abs(count - near) < 1e-6 else (math.ceil if is_above else math.floor)(count)
    return float(f"{whole * unit:.12g}")


@dataclass
class NoiseReports:
    """Reports of one log, each made at most every `FRESH_SECONDS`."""

    log: EventLog
    rules: Callable[[], RuleSet]
    _last: tuple[float, RuleSet, Report] | None = None
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def report(self, now: float) -> Report:
        """The newest report, made where the last one is old or of other rules."""
        async with self._making:
            rules = self.rules()
            if self._last is not None:
                made_at, of, last = self._last
                if of is rules and 0 <= now - made_at < FRESH_SECONDS:
                    return last
            made = await report(self.log, rules, now)
            self._last = now, rules, made
            return made


async def report(log: EventLog, rules: RuleSet, now: float) -> Report:
    """What the log says of rules up to now, as far as it may be read in one go."""
    since = now - LOOK_BACK_SECONDS
    found = Episodes()
    after = await _position_at(log, since)
    deadline = time.monotonic() + LONGEST_READ_SECONDS
    start, end, seen, is_cut = math.inf, now, 0, False
    last = await log.last()
    while after < last:
        if seen >= MOST_EVENTS or time.monotonic() > deadline:
            is_cut = True
            break
        try:
            events, searched, _ = await log.read(after, RetentionClass.ALERTS, EVENTS_AT_ONCE)
        except Gap as gap:
            after = max(after + 1, gap.floor)
            continue
        for event in events:
            start, end = min(start, event.at), event.at
            if event.at >= since:
                found.fold(event)
        seen += len(events)
        after = max(searched, after + 1)
    start = max(since, await _first_at(log, now))
    end = end if is_cut else now
    by_rule: dict[str, list[Episode]] = {rule.name: [] for rule in rules}
    for each in found.all():
        by_rule.setdefault(each.rule, []).append(each)
    made = [
        noise(name, rules.get(name), episodes, end - start, end)
        for name, episodes in by_rule.items()
    ]
    made.sort(key=lambda each: (-each.fires, each.rule))
    return Report(start, end, tuple(made), is_cut)


async def _first_at(log: EventLog, now: float) -> float:
    """When the oldest event of the log happened."""
    first = await _after(log, 0, None)
    return now if first is None else first.at


async def _position_at(log: EventLog, at: float) -> int:
    """A position after which all events of alerts from `at` on stand, by halves."""
    low, high = 0, await log.last()
    while low < high:
        middle = (low + high) // 2
        event = await _after(log, middle, RetentionClass.ALERTS)
        if event is None or event.at >= at:
            high = middle
        else:
            low = max(middle + 1, event.sequence)
    return low


async def _after(log: EventLog, position: int, of: RetentionClass | None) -> Event | None:
    """The next event after a position; none where there is none."""
    try:
        events, _, _ = await log.read(position, of, 1)
    except Gap as gap:
        if gap.floor <= position:
            return None
        events, _, _ = await log.read(gap.floor, of, 1)
    return events[0] if events else None
