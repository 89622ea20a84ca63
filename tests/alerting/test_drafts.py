"""Rules that somebody writes and has not saved."""

from __future__ import annotations

import pytest

from monitor.alerting.drafts import LONGEST_CHARACTERS, draft, drafts
from monitor.errors import InputError


def test_a_rule_of_ones_own() -> None:
    """It must be that one table is one rule, and other sections are nobody's business here."""
    text = '[server]\nlisten = "x"\n[rules.queue]\nmetric = "app.queue"\nwarning.above = 100\n'
    rule = draft(text)
    assert (rule.name, rule.origin) == ("queue", "line 3")


def test_a_change_of_a_shipped_rule() -> None:
    """It must be that what is not written is the shipped rule's."""
    rule = draft('[rules.disk_space]\nwarning.above = "92%"\n')
    assert len(rule.levels) == 2
    assert "92%" in rule.text


def test_several() -> None:
    """It must be that a file may have several, and a page one at a time."""
    text = "".join(f'[rules.r{n}]\nmetric = "app.x"\nwarning.above = {n}\n' for n in range(3))
    assert [rule.name for rule in drafts(text)] == ["r0", "r1", "r2"]
    with pytest.raises(InputError, match="one rule at a time; here are r0, r1, r2"):
        draft(text)


FAULTS = [
    ("", "there is no rule in it"),
    ("[rule.x]\nmetric = 'app.x'", "there is no rule in it"),
    ("rules = 3", "there is no rule in it"),
    ("[rules.x", "line 1: this is no TOML"),
    ("[rules.x]\nmetric = 'app.x'\nwarning = \n", "line 3: this is no TOML"),
    ("[rules.x]\n\n[rules.x]\n", "line 3: this is no TOML"),
    ("[rules.x]\nmetric = 'app.x'\nwarning.abvoe = 3", 'line 3.*did you mean "above"'),
    ("[rules.x]\nmetric = 'app.x'\nwarning.above = nan", "line 3: rules.x.warning.above"),
    ("[rules.disk_space]\nenabled = false", "turned off"),
    ("x = " + "[" * 5_000, "line 1"),
    ("x = " + "9" * 5_000, "line 1"),
    ("#" * (LONGEST_CHARACTERS + 1), "at most"),
]


@pytest.mark.parametrize(("text", "why"), FAULTS, ids=range(len(FAULTS)))
def test_what_is_no_rule(text: str, why: str) -> None:
    """It must be that it is said what is wrong, and in which line."""
    with pytest.raises(InputError, match=why) as raised:
        draft(text)
    assert (raised.value.code, raised.value.field) == ("bad_rule", "toml")


def test_many_faults() -> None:
    """It must be that the first ones are told, and the others counted."""
    text = "".join(f"[rules.r{n}]\nmetric = 3\n" for n in range(100))
    with pytest.raises(InputError) as raised:
        draft(text)
    lines = raised.value.detail.splitlines()
    assert len(lines) == 11
    assert lines[-1].startswith("and ")
