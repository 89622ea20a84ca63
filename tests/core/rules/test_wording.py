"""Texts with fixed fields: nothing in them computes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.rules.wording import FIELDS, LONGEST_FILLED_CHARACTERS, checked, fields_of, filled

BAD = (
    "{{ ''.__class__ }}",
    "{% for i in range(1e9) %}",
    "{0.__class__}",
    "{:>999999999}",
    "{host:>9}",
    "{host!r}",
    "{host.name}",
    "{host[0]}",
    "{0}",
    "{}",
    "{host",
    "host}",
    "{ host }",
    "${host",
)


@pytest.mark.parametrize("text", BAD)
def test_braces(text: str) -> None:
    """It must be that a brace is a field's, or refused when the rule is read."""
    with pytest.raises(ValueError, match="no other braces"):
        checked(text, FIELDS, 100)


def test_only_known_fields() -> None:
    """It must be that a field of no such name is refused, with those that there are."""
    assert checked("{host} {mountpoint}", {*FIELDS, "mountpoint"}, 100) == "{host} {mountpoint}"
    with pytest.raises(ValueError, match=r"no field \{secret\} here; there are host, rule"):
        checked("{secret}", FIELDS, 100)
    with pytest.raises(ValueError, match="at most 3 characters, got 4"):
        checked("abcd", FIELDS, 3)


def test_filled_in_once() -> None:
    """It must be that what is filled in is text, whatever it holds, and absent is nothing."""
    assert (
        filled("{host}: {value}{limit}", {"host": "{value}", "value": "%s {0}"})
        == "{value}: %s {0}"
    )
    assert len(filled("{host}" * 100, {"host": "x" * 1000})) == LONGEST_FILLED_CHARACTERS


@given(st.text(st.sampled_from("{}ho st:!.%"), max_size=40))
def test_never_fails_once_checked(text: str) -> None:
    """It must be that a text that was checked can be filled in, without a brace left of its own."""
    try:
        names = fields_of(text)
    except ValueError:
        return
    told = filled(text, dict.fromkeys(names, ""))
    assert "{" not in told
    assert "}" not in told
