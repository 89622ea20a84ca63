"""All rules together, as they hold now: what files and the shipped set came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from monitor.core.rules.model import Rule


@dataclass(frozen=True)
class RuleSet:
    """The rules by name, in the order in which they were first written, the shipped ones first."""

    rules: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}))
    off: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}))
    """Rules that are turned off, as they would hold."""
    shipped: frozenset[str] = frozenset()
    """Names of the shipped rules that hold, changed or not."""

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules.values())

    def __len__(self) -> int:
        return len(self.rules)

    def get(self, name: str) -> Rule | None:
        """The rule of this name."""
        return self.rules.get(name)


NO_RULES = RuleSet()
