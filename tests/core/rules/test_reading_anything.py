"""Whatever a file holds that is TOML: it is read or refused, and nothing else happens."""

from __future__ import annotations

import random
import tomllib
from typing import Any

import pytest

from monitor.core.rules.clauses import CLAUSE_KEYS, LEVEL_KEYS
from monitor.core.rules.diff import diff
from monitor.core.rules.merging import JOINS, LEVELS, OVERRIDES
from monitor.core.rules.reading import RULE_KEYS, Layer, read_layers

SCALARS: list[object] = [
    *(
        "90%",
        "20GB",
        "5m",
        "1h",
        "a=b",
        "avg",
        "last",
        "critical",
        "{host}",
        "x",
        "y",
        "1/s",
        "~",
        "",
    ),
    *(
        0,
        1,
        -5,
        0.5,
        1e300,
        10**30,
        float("nan"),
        float("-inf"),
        True,
        False,
        "\x1b",
        "\ud800",
        "é",
    ),
]
METRICS = ["a", "system.cpu.utilization", "system.memory.usage", "system.network.io", ""]
LIMITS: list[object] = [
    {"above": 1, "clear_below": 0},
    {"below": "5%"},
    {"fills_within": "1h", "clear_above": "2h"},
    {"outside": [1, 2], "clear_below": 1.5},
    {"above": "20GB"},
    False,
]


class Writer:
    """Writes rules as nobody would, some of them good."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def tables(self) -> dict[str, Any]:
        return {name: self._rule(0) for name in self._dice.sample(["x", "y", "a b"], 2)}

    def _rule(self, depth: int) -> Any:
        if self._dice.random() < 0.05:
            return self._anything(0)
        count = self._dice.randrange(6)
        keys = ["metric", "warning", *self._dice.sample([*RULE_KEYS, "strange"], count)]
        return {key: self._value(key, depth) for key in keys}

    def _value(self, key: str, depth: int) -> Any:
        if self._dice.random() < 0.1:
            return self._anything(0)
        if key == "metric":
            return self._dice.choice(METRICS)
        if key in LEVELS:
            some = self._table((*LEVEL_KEYS, "strange"), depth)
            return self._dice.choice([*LIMITS, *LIMITS, some])
        if key in (*JOINS, "also"):
            return [self._table((*CLAUSE_KEYS, "strange"), depth) for _ in range(2)]
        if key == OVERRIDES and depth == 0:
            return [self._rule(1) for _ in range(self._dice.randrange(3))]
        return self._anything(0)

    def _table(self, keys: tuple[str, ...], depth: int) -> dict[str, Any]:
        chosen = self._dice.sample(keys, self._dice.randrange(4))
        return {key: self._value(key, depth + 1) for key in chosen}

    def _anything(self, depth: int) -> Any:
        kind = self._dice.randrange(6)
        if kind == 0 and depth < 3:
            return [self._anything(depth + 1) for _ in range(self._dice.randrange(3))]
        if kind == 1 and depth < 3:
            return {
                name: self._anything(depth + 1) for name in self._dice.sample(["a", "é", ""], 2)
            }
        return self._dice.choice(SCALARS)


@pytest.mark.parametrize("seed", range(4))
def test_anything(seed: int) -> None:
    """It must be that every rule is read or complained of, whatever is laid over whatever."""
    writer = Writer(seed)
    good = 0
    for _ in range(500):
        below, above = writer.tables(), writer.tables()
        layers = [Layer(below, lambda _: "a", is_default=True), Layer(above, lambda _: "b")]
        rules, faults = read_layers(layers)
        told = {str(fault.path[1]) for fault in faults}
        assert {*rules.rules, *rules.off, *told} >= {*below, *above}
        assert all(fault.path[0] == "rules" and fault.layer in (0, 1) for fault in faults)
        assert all(fault.sentence.isprintable() for fault in faults)
        assert all(len(fault.sentence) < 900 for fault in faults)
        assert not diff(rules, rules)
        for rule in rules:
            good += 1
            assert rule.levels
            again, none = read_layers([Layer({rule.name: _parsed(rule.text, rule.name)}, str)])
            assert not [fault for fault in none if "there is no rule" not in fault.sentence]
            assert not again or again.rules[rule.name].levels == rule.levels
    assert good > 20


def _parsed(text: str, name: str) -> Any:
    return tomllib.loads(text)["rules"][name]
