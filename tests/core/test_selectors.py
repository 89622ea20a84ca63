"""Selectors: it must be that what is written chooses what it says, or is refused with a place."""

from __future__ import annotations

import contextlib
import fnmatch
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core import selectors
from monitor.core.selectors import Selector
from monitor.errors import InputError

WEB = {"host": "web-1", "role": "web", "env": "prod", "site": "de-north"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("role=web", True),
        ("role=api", False),
        ("role!=web", False),
        ("role!=api", True),
        ("role in (web, api)", True),
        ("role in (db,api)", False),
        ("role not in (db, api)", True),
        ("role not in (db, w*)", False),
        ("role in (web, api), env!=dev, host=web-*", True),
        ("role in (web, api), env!=prod, host=web-*", False),
        ("host=web-?", True),
        ("host=web-??", False),
        ("site=*north", True),
        ("site=*e*o*h", True),
        ("site=de*south", False),
        ("role=WEB", False),
        ('role = "web"', True),
        ("role='web'", True),
        ("  role\t=  web  ", True),
        ("role in (\"web\", 'api')", True),
        ("env!=dev,env!=test", True),
    ],
)
def test_the_terms_of_a_selector_must_all_hold(text: str, holds: bool) -> None:
    assert Selector.parse(text).matches(WEB) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("rack!=a1", True),
        ("rack=a1", False),
        ('rack=""', True),
        ("rack not in (a1, a2)", True),
        ('rack in (a1, "")', True),
        ("rack=*", True),
        ("rack=?*", False),
        ("role=?*", True),
        ('role!=""', True),
    ],
)
def test_a_label_that_is_absent_is_the_empty_string(text: str, holds: bool) -> None:
    assert Selector.parse(text).matches(WEB) is holds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'a="x\*"', "x*"),
        (r'a="x\?y"', "x?y"),
        (r'a="say \"hi\""', 'say "hi"'),
        (r"a='it\'s'", "it's"),
        (r'a="C:\\dir"', "C:\\dir"),
        ('a="two, (words)"', "two, (words)"),
        ("a=/var/lib", "/var/lib"),
        ("a=ü", "ü"),
    ],
)
def test_quotes_and_backslashes_make_literal(text: str, value: str) -> None:
    selector = Selector.parse(text)
    assert selector.matches({"a": value})
    assert not selector.matches({"a": value + "x"})
    assert not selector.matches({"a": "x" + value})


def test_a_glob_in_quotes_is_a_glob_and_a_newline_is_a_character() -> None:
    assert Selector.parse('a="x *"').matches({"a": "x y\nz"})
    assert Selector.parse("a=?").matches({"a": "\n"})


def test_it_says_which_labels_it_asks_about() -> None:
    assert Selector.parse("role=web, host=a, role!=b").names == {"role", "host"}


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("   ", 4),
        (",", 1),
        ("role", 5),
        ("role=", 6),
        ("role=web,", 10),
        ("role=web api", 10),
        ("role=web,,env=a", 10),
        ("role like web", 6),
        ("role not web", 6),
        ("role in web", 9),
        ("role in (", 10),
        ("role in ()", 10),
        ("role in (web", 13),
        ("role in (web api)", 14),
        ("role in (web,)", 14),
        ("role inweb", 6),
        ("role==web", 6),
        ("role=~web.*", 6),
        ("role!~web", 5),
        ("1role=web", 1),
        ("=web", 1),
        ('role="web', 6),
        ('role="web\\"', 6),
        (r"role=we\b", 8),
        ("role=a(b)", 7),
        ("röle=web", 2),
    ],
)
def test_what_is_no_selector_is_refused_with_its_column(text: str, column: int) -> None:
    with pytest.raises(InputError) as caught:
        Selector.parse(text, field="hosts")
    assert caught.value.code == "bad_selector"
    assert caught.value.field == "hosts"
    assert f"column {column}:" in caught.value.detail


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("a=" + "b" * selectors.LONGEST_CHARACTERS, selectors.LONGEST_CHARACTERS),
        (",".join(["a=b"] * (selectors.MOST_TERMS + 1)), selectors.MOST_TERMS),
        (f"a in ({','.join('b' * (selectors.MOST_VALUES + 1))})", selectors.MOST_VALUES),
        (f"a in ({','.join(['*b'] * (selectors.MOST_GLOBS + 1))})", selectors.MOST_GLOBS),
        ("a in ('*'" + ",'*'" * selectors.MOST_GLOBS + ")", selectors.MOST_GLOBS),
    ],
)
def test_length_terms_values_and_globs_are_bounded(text: str, limit: int) -> None:
    with pytest.raises(InputError) as caught:
        Selector.parse(text)
    assert caught.value.limit == limit
    assert len(caught.value.detail) < 200


def test_the_bounds_themselves_are_taken() -> None:
    Selector.parse(",".join(["a=b"] * selectors.MOST_TERMS))
    Selector.parse(f"a in ({','.join('b' * selectors.MOST_VALUES)})")
    Selector.parse(f"a in ({','.join(['*b'] * selectors.MOST_GLOBS)})")


def test_a_selector_made_to_go_back_takes_no_time() -> None:
    """It must be that the worst pattern a selector has room for costs no more than a moment."""
    stars = Selector.parse("a=" + "*a" * 1_000 + "*b")
    marks = Selector.parse("a=" + "*?a" * 600 + "*b")
    value = {"a": "a" * 4_000}
    began = time.perf_counter()
    assert not stars.matches(value)
    assert not marks.matches(value)
    assert time.perf_counter() - began < 0.25


_PATTERN = st.text("ab*?", max_size=10)


@settings(deadline=None)
@given(_PATTERN, st.text("ab", max_size=12))
def test_globs_match_what_the_library_says(pattern: str, value: str) -> None:
    expected = re.fullmatch(fnmatch.translate(pattern), value) is not None
    assert (selectors.glob(pattern).fullmatch(value) is not None) is expected


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("ab=!,() \"'\\*?in", max_size=40))
def test_any_text_is_a_selector_or_an_input_error(text: str) -> None:
    with contextlib.suppress(InputError):
        assert Selector.parse(text).matches(WEB) in {True, False}


_VALUE = st.text(max_size=12)


def _quoted(value: str) -> str:
    return '"' + re.sub(r'([\\"*?])', r"\\\1", value) + '"'


@settings(deadline=None)
@given(st.lists(_VALUE, min_size=1, max_size=5), _VALUE)
def test_any_value_can_be_written_quoted(values: list[str], other: str) -> None:
    text = f"a in ({', '.join(map(_quoted, values))})"
    selector = Selector.parse(text)
    assert all(selector.matches({"a": value}) for value in values)
    assert selector.matches({"a": other}) is (other in values)
