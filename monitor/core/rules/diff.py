"""What is different between two sets of rules: added, removed, and changed key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from monitor.core import toml_text
from monitor.core.rules.model import Rule
from monitor.core.rules.ruleset import RuleSet


@dataclass(frozen=True, slots=True)
class Change:
    """One key of a rule, as TOML writes its value before and after; empty where it was not set."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Affected:
    """An alert that fires, and whose severity is another by the new rules; empty where it ends."""

    alert: str
    rule: str
    host: str
    attributes: Mapping[str, str]
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Diff:
    """Names of rules that came and went, and what is different in those that stayed.

    A rule that is turned off went, and one that is turned on came.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    affected: tuple[Affected, ...] = ()
    """Alerts that fire and would be different; asked of whoever judges."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def text(self) -> str:
        """In a few words: ``2 rules added, 1 changed``."""
        counts = {"added": self.added, "removed": self.removed, "changed": self.changed}
        parts = [f"{len(names)} {verb}" for verb, names in counts.items() if names]
        return f"rules: {', '.join(parts)}" if parts else "no rule changed"


def diff(old: RuleSet, new: RuleSet) -> Diff:
    """What is different in `new`; where a rule was written, and how, does not count."""
    return Diff(
        tuple(name for name in new.rules if name not in old.rules),
        tuple(name for name in old.rules if name not in new.rules),
        {
            name: changes(old.rules[name], rule)
            for name, rule in new.rules.items()
            if name in old.rules and _meaning(old.rules[name]) != _meaning(rule)
        },
    )


def changes(old: Rule, new: Rule) -> tuple[Change, ...]:
    """The keys whose values are different, those of the old rule first."""
    before, after = (dict(_keys(rule)) for rule in (old, new))
    return tuple(
        Change(key, before.get(key, ""), after.get(key, ""))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    )


def _meaning(rule: Rule) -> Rule:
    overrides = tuple(replace(each, rule=_meaning(each.rule)) for each in rule.overrides)
    return replace(rule, origin="", text="", is_default=False, overrides=overrides)


def _keys(rule: Rule) -> Iterator[tuple[str, str]]:
    """Every key of a rule's text with its value as TOML."""
    table: dict[str, Any] = tomllib.loads(rule.text)["rules"][rule.name]
    yield from _flat("", table)


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        path = f"{prefix}{toml_text.key(key)}"
        if isinstance(value, dict):
            yield from _flat(f"{path}.", value)
        elif key == "override" and not prefix:
            for number, each in enumerate(value):
                yield from _flat(f"{path}[{number}].", each)
        else:
            yield path, toml_text.value(value)
