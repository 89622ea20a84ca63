"""Tokens and cookies as texts: see `monitor.access.credentials`."""

from __future__ import annotations

import hashlib
import math
import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.access import credentials
from monitor.access.credentials import AGENT_PREFIX, OTHER_PREFIX, SESSION_PREFIX, make

PREFIXES = (AGENT_PREFIX, OTHER_PREFIX, SESSION_PREFIX)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
"""Also surrogates, NUL and what is no character at all."""


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_was_made_is_found_and_right(prefix: str) -> None:
    """It must be that a credential says its kind and id, and that only its hash is kept."""
    made = make(prefix)
    assert re.fullmatch(rf"{prefix}_[0-9a-f]{{10}}_[A-Za-z0-9]{{43}}", made.text)
    assert credentials.found_id(made.text, prefix) == made.id
    assert credentials.found_id(made.text, *(set(PREFIXES) - {prefix})) is None
    assert credentials.is_right(made.text, made.hash)
    assert made.hash == hashlib.sha256(made.text.encode()).hexdigest()
    assert len(made.text) < credentials.LONGEST_CHARACTERS


def test_a_secret_cannot_be_guessed() -> None:
    """It must be that secrets have 256 bits and that no two are equal."""
    assert 43 * math.log2(len(string.ascii_letters + string.digits)) > 256
    made = [make(AGENT_PREFIX) for _ in range(1_000)]
    assert len({each.text.rpartition("_")[2] for each in made}) == 1_000
    assert len({each.id for each in made}) == 1_000


def test_any_other_character_is_another_credential() -> None:
    """It must be that a credential of which one character differs is wrong, wherever it is."""
    made = make(OTHER_PREFIX)
    for place, character in enumerate(made.text):
        for other in ("a" if character != "a" else "b", character.swapcase(), "_", "\0", "é", ""):
            changed = made.text[:place] + other + made.text[place + 1 :]
            if changed != made.text:
                assert not credentials.is_right(changed, made.hash)
    for around in ("{} ", " {}", "{}\n", "{}\0", "{0}{0}"):
        changed = around.format(made.text)
        assert credentials.found_id(changed, OTHER_PREFIX) is None
        assert not credentials.is_right(changed, made.hash)


@given(ANY_TEXT)
@example("mon_" + "0" * 10 + "_" + "A" * 43 + "\n")
@example("mon_" + "٣" * 10 + "_" + "A" * 43)
@example("mon_0123456789_" + "A" * 10_000_000)
@example("\ud800")
def test_any_text_is_answered(text: str) -> None:
    """It must be that nothing that somebody sends raises, or is right where nobody's hash is."""
    found = credentials.found_id(text, *PREFIXES)
    assert found is None or text.isascii()
    assert not credentials.is_right(text, None)
    assert not credentials.is_right(text, "")
    assert not credentials.is_right(text, make(AGENT_PREFIX).hash)
