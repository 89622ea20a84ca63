"""What is different between two sets of rules."""

from __future__ import annotations

import tomllib

from monitor.core.rules.diff import Change, Diff, diff
from monitor.core.rules.reading import read
from monitor.core.rules.ruleset import NO_RULES, RuleSet

OLD = """
[rules.gone]
metric = "a"
warning.above = 1
[rules.stays]
metric = "system.cpu.utilization"
warning = { above = "90%", clear_below = "80%" }
for = "5m"
[[rules.stays.override]]
hosts = "a=b"
warning.above = "95%"
"""


def rules(text: str, place: str = "file:1") -> RuleSet:
    """The rules of a text."""
    found, faults = read(tomllib.loads(text)["rules"], origin=lambda _: place)
    assert not faults
    return found


def test_added_removed_changed() -> None:
    """It must be that each is told by its name, what changed key by key with before and after."""
    new = OLD.replace("[rules.gone]", "[rules.come]").replace('above = "90%"', 'above = "92%"')
    new = new.replace('for = "5m"', 'summary = "x"').replace('"95%"', '"96%"')
    found = diff(rules(OLD), rules(new))
    assert (found.added, found.removed) == (("come",), ("gone",))
    assert found.changed == {
        "stays": (
            Change("warning.above", '"90%"', '"92%"'),
            Change("for", '"5m"', ""),
            Change("override[0].warning.above", '"95%"', '"96%"'),
            Change("summary", "", '"x"'),
        )
    }
    assert found.text == "rules: 1 added, 1 removed, 1 changed"
    assert found


def test_nothing_different() -> None:
    """It must be that another place, or another spelling of the same, is no difference."""
    again = OLD.replace('"90%"', "0.9").replace('"5m"', '"300s"')
    assert diff(rules(OLD), rules(again, "file:7")) == Diff()
    assert not diff(rules(OLD), rules(OLD))
    assert Diff().text == "no rule changed"


def test_turned_off() -> None:
    """It must be that a rule that is turned off went, and comes when it is turned on."""
    off = rules(OLD.replace("[rules.gone]", "[rules.gone]\nenabled = false"))
    assert diff(rules(OLD), off).removed == ("gone",)
    assert diff(off, rules(OLD)).added == ("gone",)
    assert diff(NO_RULES, NO_RULES) == Diff()
