"""Selectors that take hosts of some globs only."""

from __future__ import annotations

import fnmatch
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.access import matches
from monitor.core.selectors import Selector
from monitor.notify.confining import is_confined

WEB = ("web-*",)

CONFINED = [
    ("host=web-1", WEB, True),
    ("host=web-*", WEB, True),
    ("host=web-1*", WEB, True),
    ("host=web-?", WEB, True),
    ("env=prod, host=web-*", WEB, True),
    ("host=web-*, host=*", WEB, True),
    ("host in (web-1, web-2)", WEB, True),
    ("host in (web-1, db-1)", WEB, False),
    ("host in (web-1, db-*)", WEB, False),
    ("host=db-1", WEB, False),
    ("host=*", WEB, False),
    ("host=web*", WEB, False),
    ("host=we?-*", WEB, False),
    ("host=*web-1", WEB, False),
    ("host!=db-1", WEB, False),
    ("host not in (web-1)", WEB, False),
    ("env=prod", WEB, False),
    ('host=""', WEB, False),
    (r'host="web-\*"', WEB, True),  # a host of that name there is none
    (r'host="web-\**"', WEB, False),
    ("host=web-*", ("web-?",), False),
    ("host=web-??", ("web-?",), False),
    ("host=web-?", ("web-?",), True),
    ("host=web-?", ("web-?*",), True),
    ("host=web-*", ("web-?*",), False),
    ("host=web-*-1", ("web-*", "db-*"), True),
    ("host in (web-1, db-2)", ("web-*", "db-*"), True),
    ("host=a*b*c", ("a*c",), True),
    ("host=a*c", ("a*b*c",), False),
    ("severity=critical", ("*",), False),
    ("host=db-1", ("*",), True),
]


@pytest.mark.parametrize(("match", "globs", "expected"), CONFINED)
def test_confined(match: str, globs: tuple[str, ...], expected: bool) -> None:
    """It must be that no host beyond the globs is taken by what counts as confined."""
    assert is_confined(Selector.parse(match), globs) is expected


GLOBS = st.text("ab*?", min_size=1, max_size=5)
HOSTS = ["".join(each) for count in range(1, 5) for each in itertools.product("ab", repeat=count)]


@given(GLOBS, GLOBS)
def test_never_more_than_the_globs(pattern: str, glob: str) -> None:
    """It must be that every host that a confined selector takes is one of the globs'."""
    if is_confined(Selector.parse(f"host={pattern}"), (glob,)):
        taken = [host for host in HOSTS if fnmatch.fnmatchcase(host, pattern)]
        assert all(matches((glob,), host) for host in taken)


def test_it_takes_no_time() -> None:
    """It must be that many stars do not make it go back and forth."""
    began = time.process_time()
    globs = tuple(f"{'a*' * 100}{number}" for number in range(64))
    assert not is_confined(Selector.parse(f"host={'a' * 250}*"), globs)
    assert time.process_time() - began < 5
