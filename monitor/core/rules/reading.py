"""Reads rules as files write them: tables by name, laid over each other, to a set of rules.

It takes plain tables, as TOML has them, and says every fault with its path.  It reads no files:
where a key stands is told to it.  A rule with a fault is left out of what is returned, for whoever
wants the others all the same; configurations are all or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from monitor.core.catalog import metric as cataloged
from monitor.core.labels import few_labels, label_name, label_value
from monitor.core.quantity import shown
from monitor.core.rules import wording
from monitor.core.rules.clauses import (
    LEVEL_KEYS,
    LONGEST_SECONDS,
    clause,
    condition,
    flag,
    guess,
    limit,
    seconds,
    selector,
    text,
    unknown,
)
from monitor.core.rules.merging import (
    CONDITION_KEYS,
    JOINS,
    LEVELS,
    OVERRIDES,
    Laid,
    lay,
    overridden,
)
from monitor.core.rules.model import (
    LIMIT_KINDS,
    AbsentFor,
    Changed,
    Clause,
    Equals,
    Join,
    Level,
    Override,
    Rule,
    Severity,
)
from monitor.core.rules.ruleset import RuleSet
from monitor.core.rules.writing import as_toml
from monitor.core.selectors import RESERVED_NAMES, Selector
from monitor.core.toml_lines import KeyPath

ROOT = "rules"
"""The section that rules stand in."""

MOST_RULES = 1_000
MOST_OVERRIDES = 32
"""Of one rule; each is asked of every host."""

MOST_CLAUSES = 8
"""Of one level; each is judged for every series."""

MOST_KEYS = 100
"""Of one table: far more than there are; what is laid over each other is looked at key by key."""

MOST_HOLDERS = 16
MOST_FAULTS = 500
"""Nobody reads more; what comes after is not looked at."""

ABOUT_KEYS = (
    *("for", "keep_firing_for", "hosts", "notify_resolved", "labels", "summary", "description"),
    *("runbook_url", "held_by", "enabled"),
)
RULE_KEYS = (*CONDITION_KEYS, *LEVELS, "also", *JOINS, "severity", *ABOUT_KEYS, OVERRIDES)
"""Every key of a rule, in the order in which an effective rule is written."""

_SINGLE_ONLY = (*CONDITION_KEYS, *LEVELS, "also")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_URL = re.compile(r"https?://[!#-&(-;=?A-Z\[\]_a-z~]{1,2000}\Z")
"""No user names, quotes or angles; people follow it from a page or a mail."""

Origins = Callable[[KeyPath], str]
"""Where a path of a file was written, as ``file:line``."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The rules of one file, tables by name; paths that it is asked for begin with ``rules``."""

    tables: Mapping[str, Any]
    origin: Origins
    is_default: bool = False
    """Whether it is the shipped set."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where: a path that begins with ``rules``, of the layer of this number."""

    path: KeyPath
    sentence: str
    layer: int = 0


def read(
    tables: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any] | None = None,
    origin: Origins = lambda _: "",
    default_origin: Origins = lambda _: "defaults",
) -> tuple[RuleSet, list[Fault]]:
    """The rules of one file's tables, laid over the shipped ones where these are given."""
    layers = [] if defaults is None else [Layer(defaults, default_origin, is_default=True)]
    return read_layers([*layers, Layer(tables, origin)])


def read_layers(layers: Sequence[Layer]) -> tuple[RuleSet, list[Fault]]:
    """The rules of several files, the later ones laid over the earlier, and every fault."""
    faults: list[Fault] = []
    rules: dict[str, Rule] = {}
    off: dict[str, Rule] = {}
    laid = _laid(layers, faults)
    for name, each in laid.items():
        if len(faults) >= MOST_FAULTS:
            break
        reader = _Reader(name, each, layers, tuple(laid))
        rule = reader.whole()
        faults += reader.faults
        if rule is not None:
            (off if reader.is_off else rules)[name] = rule
    shipped = {name for layer in layers if layer.is_default for name in layer.tables}
    found = RuleSet(MappingProxyType(rules), MappingProxyType(off), frozenset(shipped & set(rules)))
    return found, faults[:MOST_FAULTS]


def _laid(layers: Sequence[Layer], faults: list[Fault]) -> dict[str, Laid]:
    """What each rule comes to, of all layers."""
    laid: dict[str, Laid] = {}
    for number, layer in enumerate(layers):
        for name, table in layer.tables.items():
            path = (ROOT, name)
            if not _NAME.match(name):
                sentence = "expected a name of 1 to 64 letters, digits, underscores or dashes"
                faults.append(Fault(path, sentence, number))
            elif not isinstance(table, dict):
                sentence = f"expected tables by name, as [rules.NAME]; got {shown(table)}"
                faults.append(Fault(path, sentence, number))
            elif name not in laid and len(laid) == MOST_RULES:
                faults.append(Fault(path, f"there are more than {MOST_RULES:,} rules", number))
                return laid
            elif name not in laid and set(table) == {"enabled"} and not layer.is_default:
                near = guess(name, laid)
                sentence = f"there is no rule of this name to turn on or off{near}"
                faults.append(Fault(path, sentence, number))
            elif (too_large := _too_large(table)) is not None:
                where, sentence = too_large
                faults.append(Fault((*path, *where), sentence, number))
            else:
                laid[name] = lay(laid.get(name, Laid()), table, number, path)
            if len(faults) >= MOST_FAULTS:
                return laid
    return laid


def _too_large(table: Mapping[str, Any]) -> tuple[KeyPath, str] | None:
    """What of a rule has more keys than any could; a fault before any of it is looked at."""
    overrides = table.get(OVERRIDES)
    listed: list[Any] = overrides if isinstance(overrides, list) else []
    if len(listed) > MOST_OVERRIDES:
        return (OVERRIDES,), f"expected at most {MOST_OVERRIDES} overrides, got {len(listed):,}"
    parts: list[tuple[KeyPath, Any]] = [((), table)]
    parts += [((OVERRIDES, number), each) for number, each in enumerate(listed)]
    for path, part in parts:
        if isinstance(part, dict):
            inner = [((*path, key), value) for key, value in part.items()][: MOST_KEYS + 1]
            for where, value in ((path, part), *inner):
                if isinstance(value, dict) and len(value) > MOST_KEYS:
                    return where, f"expected at most {MOST_KEYS} keys, got {len(value):,}"
    return None


@dataclass(slots=True)
class _Reader:
    """Reads one rule of its laid table, or what it comes to for the hosts of an override."""

    name: str
    laid: Laid
    layers: Sequence[Layer]
    names: Sequence[str]
    """Of all rules, those that are turned off too."""
    faults: list[Fault] = field(default_factory=list)
    is_off: bool = False

    @property
    def origin(self) -> str:
        """Where the rule was last written, as ``file:line``."""
        layer, path = self.laid.source(())
        return self.layers[layer].origin(path)

    @property
    def is_default(self) -> bool:
        """Whether nothing but the shipped set says anything of it."""
        return self.layers[self.laid.source(())[0]].is_default

    def say(self, path: KeyPath, sentence: str) -> None:
        """Keep a fault with where it was written.

        One of the shipped set that somebody's change brings about is told where they changed it.
        """
        layer, where = self.laid.source(path)
        if self.layers[layer].is_default and not self.is_default:
            inherited = self.layers[layer].origin(where)
            layer, changed = self.laid.source(())
            keys = ".".join(str(part) for part in path)
            where, sentence = changed, f"{keys}, inherited from {inherited}: {sentence}"
        fault = Fault(where, sentence, layer)
        # Two levels may share the key; and whoever has made so many faults needs no more of them.
        if len(self.faults) < MOST_FAULTS and fault not in self.faults:
            self.faults.append(fault)

    def whole(self) -> Rule | None:
        """The rule with its overrides; none where it has faults."""
        table = self.laid.table
        self.is_off = not flag(table, "enabled", True, (), self.say)
        rule = self.plain()
        overrides = self._overrides(table.get(OVERRIDES, []))
        if self.faults or rule is None:
            return None
        return replace(
            rule,
            overrides=tuple(overrides),
            is_default=self.is_default,
            text=as_toml(self.name, table, RULE_KEYS),
        )

    def plain(self) -> Rule | None:
        """The rule without overrides."""
        table, say = self.laid.table, self.say
        unknown(table, RULE_KEYS, (), say, elsewhere="warning")
        joins = [join for join in JOINS if join in table]
        levels = self._joined(joins) if joins else self._levels()
        keep = seconds(table, "keep_firing_for", (), say, LONGEST_SECONDS)
        hosts = selector(table["hosts"], ("hosts",), say) if "hosts" in table else None
        labels = self._labels(table.get("labels", {}))
        holders = self._held_by(table.get("held_by", []))
        known = self._fields(levels, labels, hosts)
        summary = self._worded("summary", known, wording.LONGEST_SUMMARY_CHARACTERS)
        description = self._worded("description", known, wording.LONGEST_DESCRIPTION_CHARACTERS)
        runbook = text(table, "runbook_url", (), say)
        if runbook and not _URL.match(runbook):
            say(("runbook_url",), f"expected a URL of http or https, got {shown(runbook)}")
        notify_resolved = flag(table, "notify_resolved", True, (), say)
        if self.faults or not levels:
            return None
        return Rule(
            self.name,
            levels,
            hosts=hosts,
            keep_firing_for_seconds=keep,
            notify_resolved=notify_resolved,
            labels=labels,
            summary=summary,
            description=description,
            runbook_url=runbook,
            held_by=holders,
            is_of_levels=_is_of_levels(levels),
            origin=self.origin,
            is_default=self.is_default,
            text=as_toml(self.name, table, [key for key in RULE_KEYS if key != OVERRIDES]),
        )

    def _levels(self) -> tuple[Level, ...]:
        """Of one condition, a level for each limit."""
        table, say = self.laid.table, self.say
        tables = {level: table[level] for level in LEVELS if table.get(level, False) is not False}
        written = [each for each in tables.values() if isinstance(each, dict)]
        kinds = {kind for kind in LIMIT_KINDS for each in written if kind in each}
        if "metric" in table:
            looked_at = condition(table, kinds, (), say)
        else:
            looked_at = None
            near = guess(self.name, [name for name in self.names if name != self.name])
            sentence = 'has to be given, such as metric = "system.cpu.utilization"'
            say(("metric",), f"{sentence}{near.replace('mean', 'mean the rule')}")
        metric = table.get("metric")
        if "severity" in table:
            say(("severity",), "goes with all or any; a single condition has warning or critical")
        if not tables:
            such_as = 'such as warning = { above = "90%", clear_below = "80%" }'
            say((), f"has no limit: expected warning, critical or info, {such_as}")
        found = []
        for level, each in tables.items():
            if not isinstance(each, dict):
                sentence = f'expected a table such as {{ above = "90%" }}, got {shown(each)}'
                say((level,), sentence)
                continue
            unknown(each, LEVEL_KEYS, (level,), say)
            held_to = limit(each, metric if isinstance(metric, str) else "", (level,), say)
            where = (level,) if "also" in each else ()
            also = self._clauses(each.get("also", table.get("also", [])), (*where, "also"))
            at: KeyPath = (level,) if "for" in each else ()
            held = seconds(each if at else table, "for", at, say, LONGEST_SECONDS)
            if looked_at and held_to:
                clauses = (Clause(looked_at, held_to), *also)
                found.append(Level(Severity(level), clauses, Join.ALL, held))
        return tuple(found)

    def _joined(self, joins: list[str]) -> tuple[Level, ...]:
        """Of several conditions, one level."""
        table, say = self.laid.table, self.say
        join = joins[0]
        if len(joins) > 1:
            say((joins[1],), f"{join} stands here too; one of the two")
        for key in _SINGLE_ONLY:
            if key in table:
                say((key,), f"does not go with {join}: it stands in each of its conditions")
        names = [each.value for each in Severity]
        severity = table.get("severity", Severity.WARNING.value)
        if not isinstance(severity, str) or severity not in names:
            near = guess(severity, names) if isinstance(severity, str) else ""
            sentence = f"expected one of {', '.join(names)}, got {shown(severity)}{near}"
            say(("severity",), sentence)
            severity = Severity.WARNING.value
        clauses = self._clauses(table[join], (join,))
        if isinstance(table[join], list) and not table[join]:
            say((join,), "expected conditions, got none")
        held = seconds(table, "for", (), say, LONGEST_SECONDS)
        return (Level(Severity(severity), clauses, Join(join), held),) if clauses else ()

    def _clauses(self, given: object, path: KeyPath) -> tuple[Clause, ...]:
        if not isinstance(given, list):
            self.say(path, f"expected a list of conditions, got {shown(given)}")
            return ()
        if len(given) > MOST_CLAUSES:
            self.say(path, f"expected at most {MOST_CLAUSES} conditions, got {len(given)}")
            return ()
        found = [clause(each, (*path, number), self.say) for number, each in enumerate(given)]
        return tuple(each for each in found if each is not None)

    def _labels(self, given: object) -> dict[str, str]:
        if not isinstance(given, dict):
            self.say(("labels",), f"expected a table, got {shown(given)}")
            return {}
        labels: dict[str, str] = {}
        for name, value in given.items():
            path: KeyPath = ("labels", name)
            if name in RESERVED_NAMES:
                self.say(path, f"{name} is no label: every alert has it already")
                continue
            if not isinstance(value, str):
                self.say(path, f"expected text in quotes, got {shown(value)}")
                continue
            try:
                labels[label_name(name)] = label_value(value)
            except ValueError as error:
                self.say(path, str(error))
        try:
            few_labels(labels)
        except ValueError as error:
            self.say(("labels",), str(error))
        return labels

    def _held_by(self, given: object) -> tuple[str, ...]:
        path: KeyPath = ("held_by",)
        if not isinstance(given, list) or len(given) > MOST_HOLDERS:
            self.say(path, f"expected a list of at most {MOST_HOLDERS} rules, got {shown(given)}")
            return ()
        for number, name in enumerate(given):
            if not isinstance(name, str):
                self.say((*path, number), f"expected a rule's name, got {shown(name)}")
            elif name == self.name:
                self.say((*path, number), "a rule does not hold itself back")
            elif name not in self.names:
                near = guess(name, self.names)
                self.say((*path, number), f"there is no rule {shown(name)}{near}")
        return tuple(dict.fromkeys(name for name in given if isinstance(name, str)))

    def _fields(
        self, levels: tuple[Level, ...], labels: Mapping[str, str], hosts: Selector | None
    ) -> set[str]:
        """What texts may name beside the fixed fields: attributes and labels that there may be."""
        known = {*wording.FIELDS, *labels, *(hosts.names if hosts else ())}
        for level in levels:
            for each in level.clauses:
                looked_at = each.condition
                known.update(cataloged(looked_at.metric).attributes)
                known.update(looked_at.where.names if looked_at.where else ())
        return known

    def _worded(self, key: str, known: set[str], longest: int) -> str:
        found = text(self.laid.table, key, (), self.say)
        try:
            return wording.checked(found, known, longest)
        except ValueError as error:
            self.say((key,), str(error))
            return ""

    def _overrides(self, given: object) -> list[Override]:
        path: KeyPath = (OVERRIDES,)
        if not isinstance(given, list) or len(given) > MOST_OVERRIDES:
            sentence = f"expected at most {MOST_OVERRIDES} of [[rules.{self.name}.override]]"
            self.say(path, f"{sentence}, got {shown(given)}")
            return []
        found = []
        for number, table in enumerate(given):
            here: KeyPath = (*path, number)
            if not isinstance(table, dict):
                self.say(here, f"expected a table, got {shown(table)}")
                continue
            for key in (OVERRIDES, "enabled"):
                if key in table:
                    self.say((*here, key), f"cannot be overridden{_INSTEAD[key]}")
            if "hosts" not in table:
                self.say((*here, "hosts"), 'has to be given, such as hosts = "role=backup"')
                continue
            hosts = selector(table["hosts"], (*here, "hosts"), self.say)
            found += self._override(number, hosts)
        return found

    def _override(self, number: int, hosts: Selector | None) -> list[Override]:
        """The override of a number, whose faults are told unless the rule has them itself."""
        reader = _Reader(self.name, overridden(self.laid, number), self.layers, self.names)
        rule = reader.plain()
        for fault in reader.faults:
            if self.layers[fault.layer].is_default and not self.is_default:
                layer, where = self.laid.source(())
                inherited = self.layers[fault.layer].origin(fault.path)
                sentence = f"its override, inherited from {inherited}: {fault.sentence}"
                moved = Fault(where, sentence, layer)
            else:
                moved = fault
            if moved not in self.faults:
                self.faults.append(moved)
        return [Override(hosts, rule)] if hosts is not None and rule is not None else []


_FLEET = "monitor.fleet.down_ratio"

_INSTEAD = {OVERRIDES: "", "enabled": ': the rule\'s own hosts = "role!=build" keeps it from some'}


def _is_of_levels(levels: tuple[Level, ...]) -> bool:
    """Whether any level is about more than a state, a change or an absence.

    How much of the fleet fell silent at once is a state: a server that has just begun needs it too,
    else it tells of every host by itself.
    """
    exempt = (Equals, Changed, AbsentFor)
    return any(
        not isinstance(clause.limit, exempt) and clause.condition.metric != _FLEET
        for clause in (level.clauses[0] for level in levels)
    )
