"""The pages of rules as values: what holds, what becomes of it, and how noisy it has been.

Values in, values out.  Texts of rules may name any host, so they are for those who see all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from monitor.alerting.noise import Noise, Report
from monitor.alerting.standing import RuleState
from monitor.core.book import Alert
from monitor.core.rules.explaining import level_words
from monitor.core.rules.model import Level
from monitor.web.alertdetail import web_address
from monitor.web.alertrows import (
    LOOKS,
    AlertRow,
    Now,
    alert_row,
    counted,
    cut,
    iso,
    resolved_row,
    since_words,
    words_of,
)
from monitor.web.alertview import Notice
from monitor.web.format import ABSENT, duration, three_digits

STATE_LOOKS = {
    "firing": ("crit", "■"),
    "pending": ("pending", "◔"),
    "inactive": ("ok", "●"),
    "not_applicable": ("stale", "○"),
}
STATE_WORDS = {
    "firing": "firing",
    "pending": "pending",
    "inactive": "quiet",
    "not_applicable": "not applicable",
}
_ORDER = ("firing", "pending", "inactive", "not_applicable")

MOST_RECENT = 10
"""Alerts of a rule on its page."""


@dataclass(frozen=True, slots=True)
class LevelWords:
    """What makes an alert of one severity."""

    look: str
    shape: str
    severity: str
    words: str


@dataclass(frozen=True, slots=True)
class NoiseWords:
    """How a rule did lately; a dash where there is nothing to say."""

    a_week: str = ABSENT
    median: str = ABSENT
    short: str = ABSENT
    acknowledged: str = ABSENT
    suggestions: tuple[tuple[str, str], ...] = ()
    """Each as a sentence, and as TOML to take away."""


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule."""

    name: str
    title: str
    look: str
    shape: str
    state: str
    levels: tuple[LevelWords, ...]
    summary: str
    origin: str
    kind: str
    """``default``, ``changed`` or ``own``."""
    firing: int
    pending: int
    series: str
    fired: str
    fired_instant: str
    noise: NoiseWords
    why: str = ""
    """Why it is not applicable here."""


@dataclass(frozen=True, slots=True)
class ReloadWords:
    """What came of reading the files the last time."""

    look: str
    shape: str
    text: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RulesPage:
    """Every rule, those that fire first; and those that nothing here can fire."""

    rows: tuple[RuleRow, ...]
    elsewhere: tuple[RuleRow, ...]
    off: tuple[tuple[str, str], ...]
    """Rules that are turned off, and where that was said."""
    said: str
    notices: tuple[Notice, ...] = ()
    reload: ReloadWords | None = None
    noise_of: str = ""
    """Over which time noise was reckoned."""


@dataclass(frozen=True, slots=True)
class RulePage:
    """One rule, all of it."""

    row: RuleRow
    description: str
    runbook_url: str
    text: str
    hosts: str
    labels: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    open: tuple[AlertRow, ...]
    earlier: tuple[AlertRow, ...]


def rules_page(
    states: Sequence[RuleState],
    fired: Mapping[str, float],
    report: Report | None,
    now: float,
    shipped: Collection[str] = frozenset(),
    off: Mapping[str, str] = MappingProxyType({}),
    notices: tuple[Notice, ...] = (),
    reload: ReloadWords | None = None,
    *,
    sees_all: bool = True,
) -> RulesPage:
    """The page of rules; `fired` is when each fired last, in unix seconds."""
    rows = [rule_row(state, fired, report, now, shipped, sees_all=sees_all) for state in states]
    by_state = {state.rule.name: state.state for state in states}
    rows.sort(key=lambda row: (_ORDER.index(by_state[row.name]), row.name))
    here = [row for row in rows if row.state != STATE_WORDS["not_applicable"]]
    elsewhere = [row for row in rows if row.state == STATE_WORDS["not_applicable"]]
    own = sum(row.kind == "own" for row in rows)
    changed = sum(row.kind == "changed" for row in rows)
    parts = [counted(len(rows), "rule")]
    parts += [f"{own} of your own"] if own else []
    parts += [f"{changed} shipped and changed"] if changed else []
    said = ", ".join(parts)
    return RulesPage(
        tuple(here),
        tuple(elsewhere),
        tuple(sorted((name, cut(origin)) for name, origin in off.items())) if sees_all else (),
        said,
        notices,
        reload,
        _reckoned(report, now),
    )


def _reckoned(report: Report | None, now: float) -> str:
    if report is None or not math.isfinite(report.start):
        return ""
    words = f"over the last {duration(max(0.0, now - report.start))}"
    return f"{words}, of which the end was too much to read" if report.is_cut else words


def rule_row(
    state: RuleState,
    fired: Mapping[str, float],
    report: Report | None,
    now: float,
    shipped: Collection[str] = frozenset(),
    *,
    sees_all: bool = True,
) -> RuleRow:
    """A rule as a row."""
    rule, word = state.rule, state.state
    look, shape = STATE_LOOKS[word]
    if word == "firing":
        look, shape = LOOKS[rule.severity.value]
    at = fired.get(rule.name, 0.0)
    series = f"{state.series} series of {counted(state.hosts, 'host')}"
    return RuleRow(
        rule.name,
        words_of(rule.name),
        look,
        shape,
        STATE_WORDS[word],
        tuple(_level(level) for level in rule.levels),
        cut(rule.summary),
        cut(rule.origin) if sees_all else "",
        kind_of(state, shipped),
        state.firing,
        state.pending,
        series if sees_all and state.series else "",
        since_words(at, now) if at else ABSENT,
        iso(at) if at else "",
        noise_words(report.of(rule.name)) if report is not None and sees_all else NoiseWords(),
        why_not(state) if word == "not_applicable" else "",
    )


def kind_of(state: RuleState, shipped: Collection[str]) -> str:
    """Whether a rule was shipped, and is as it was shipped."""
    if state.rule.is_default:
        return "default"
    return "changed" if state.rule.name in shipped else "own"


def why_not(state: RuleState) -> str:
    """Why nothing here can fire a rule."""
    metrics = dict.fromkeys(
        clause.condition.metric for level in state.rule.levels for clause in level.clauses
    )
    first, *others = metrics
    whose = "no host that it is about sends" if state.rule.hosts is not None else "no host sends"
    return f"{whose} {first}" + (f", or not with {', '.join(others)}" if others else "")


def _level(level: Level) -> LevelWords:
    look, shape = LOOKS[level.severity.value]
    return LevelWords(look, shape, level.severity.value, cut(level_words(level)))


def noise_words(noise: Noise) -> NoiseWords:
    """A rule's noise in words."""
    if not noise.fires:
        return NoiseWords(a_week="0")
    return NoiseWords(
        three_digits(noise.fires_a_week),
        duration(noise.median_seconds),
        f"{100 * noise.short_share:.0f} %",
        f"{100 * noise.acknowledged_share:.0f} %",
        tuple((each.sentence, each.toml) for each in noise.suggestions),
    )


def last_fired(opened: Iterable[Alert], resolved: Iterable[Alert]) -> dict[str, float]:
    """When each rule fired last, as far as it is remembered; drills do not count."""
    found: dict[str, float] = {}
    for alert in (*opened, *resolved):
        if not alert.said.is_drill:
            found[alert.rule] = max(found.get(alert.rule, 0.0), alert.fired_at)
    return found


def partly(
    states: Iterable[RuleState], firing: Counter[str], pending: Counter[str]
) -> list[RuleState]:
    """What somebody is told of rules who does not see every host: alerts that they see."""
    return [
        RuleState(each.rule, 1, 1, firing[each.rule.name], pending[each.rule.name])
        for each in states
    ]


def rule_page(
    state: RuleState,
    row: RuleRow,
    alerts: tuple[Sequence[Alert], Sequence[Alert]],
    now: float,
    *,
    sees_all: bool = True,
) -> RulePage:
    """One rule's page; `alerts` are its open ones, and the latest that are over."""
    rule, (opened, over) = state.rule, alerts
    values = Now()
    facts = []
    if rule.keep_firing_for_seconds:
        facts.append(("Keeps firing for", duration(rule.keep_firing_for_seconds)))
    if not rule.notify_resolved:
        facts.append(("Ends", "are not told"))
    if rule.held_by:
        facts.append(("Held back by", ", ".join(map(words_of, rule.held_by))))
    if rule.hosts is not None and sees_all:
        facts.append(("Hosts", cut(rule.hosts.text)))
    if rule.overrides and sees_all:
        facts.append(("Otherwise for", cut("; ".join(each.hosts.text for each in rule.overrides))))
    return RulePage(
        row,
        cut(rule.description),
        web_address(rule.runbook_url),
        rule.text if sees_all else "",
        cut(rule.hosts.text) if rule.hosts is not None and sees_all else "",
        tuple(sorted(rule.labels.items())) if sees_all else (),
        tuple(facts),
        tuple(alert_row(each, now, values) for each in opened[:MOST_RECENT]),
        tuple(resolved_row(each, now) for each in over[:MOST_RECENT]),
    )
