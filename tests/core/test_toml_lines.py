"""The locator of TOML keys, held against `tomllib` itself."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.toml_lines import (
    MAX_BARE_CHARACTERS,
    MAX_DEPTH,
    MAX_FAULTS,
    KeyPath,
    Place,
    locate,
)


def _paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every path of a parsed document."""
    steps: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    for step, inner in steps:
        yield (*path, step)
        yield from _paths(inner, (*path, step))


TABLE = [
    ("a = 1", {("a",): (1, 1)}),
    ("\n  a = 1", {("a",): (2, 3)}),
    ("\r\na = 1\r\nb = 2", {("a",): (2, 1), ("b",): (3, 1)}),
    ("[t]\n\tx = 1", {("t",): (1, 2), ("t", "x"): (2, 2)}),
    ("[a.b]\nc.d = 1", {("a",): (1, 2), ("a", "b"): (1, 4), ("a", "b", "c", "d"): (2, 3)}),
    ("[a.b]\n[a]", {("a",): (2, 2), ("a", "b"): (1, 4)}),
    ("[[r]]\nx=1\n[[r]]\nx=2", {("r",): (1, 3), ("r", 0): (1, 3), ("r", 1, "x"): (4, 1)}),
    ("[[r]]\n[[r.s]]\n[r.s.t]\nx=1", {("r", 0, "s", 0, "t", "x"): (4, 1)}),
    ("[[r]]\n[r.s]\ny=1\n[[r]]\n[r.s]\ny=1", {("r", 0, "s", "y"): (3, 1), ("r", 1, "s"): (5, 4)}),
    ('"a b" = 1', {("a b",): (1, 1)}),
    ("'a.b'.c = 1", {("a.b",): (1, 1), ("a.b", "c"): (1, 7)}),
    ('"\\u0061\\t" = 1', {("a\t",): (1, 1)}),
    ('"" = 1', {("",): (1, 1)}),
    ('["".x]', {("",): (1, 2), ("", "x"): (1, 5)}),
    ("a = [1, [2, 3]]", {("a", 0): (1, 6), ("a", 1): (1, 9), ("a", 1, 1): (1, 13)}),
    ("a = [\n 1, # one ]\n 2,\n]\nb=1", {("a", 1): (3, 2), ("b",): (5, 1)}),
    ("a = {b = 1, c.d = [2]}", {("a", "b"): (1, 6), ("a", "c", "d", 0): (1, 20)}),
    ('a = """\nb = 1\n""\\"""""\nc = 1', {("a",): (1, 1), ("c",): (4, 1)}),
    ("a = '''\nb = 1\n''''\nc = 1", {("a",): (1, 1), ("c",): (4, 1)}),
    ('a = ""\nb = """"""\nc = "#\\""\nd=1', {("b",): (2, 1), ("c",): (3, 1), ("d",): (4, 1)}),
    ("a = 1979-05-27 07:32:00 # b = 1\nb = 1", {("a",): (1, 1), ("b",): (2, 1)}),
    ("é = 1", {}),
    ('"é" = {x = 1}', {("é", "x"): (1, 8)}),
]


@pytest.mark.parametrize(("text", "expected"), TABLE)
def test_places(text: str, expected: dict[KeyPath, tuple[int, int]]) -> None:
    """It must be that each key, table and element is found where it is written."""
    places = locate(text).places
    assert {path: places[path] for path in expected} == {
        path: Place(*place) for path, place in expected.items()
    }
    if expected:
        assert set(places) == set(_paths(tomllib.loads(text)))


WORDS = st.sampled_from(
    [
        *("a", "b", "c", ".", "=", "[", "]", "[[", "]]", "{", "}", ",", "\n", "\r\n", " ", "\t"),
        *('"', "'", '"""', "'''", "\\", '\\"', "\\n", "#", "1", "true", "1.5", "a = 1\n", "[a]\n"),
        *("[[a]]\n", "a.b = ", "= [", "1, ", "b = {", '"a"', "'b'", "é", "\x00", "\r", "[a.b]\n"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(WORDS, max_size=40).map("".join))
def test_agrees_with_tomllib(text: str) -> None:
    """It must be that no text is an error, and that what `tomllib` accepts is found whole."""
    places = locate(text).places
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(places) == set(_paths(document))


NAMES = st.text(min_size=0, max_size=4)
SCALARS = st.sampled_from(["1", "'x'", '"]\\"}"', "1.5", "true", '"""\n[a]\n"""', "'''#'''"])


def _quoted(name: str) -> str:
    escaped = "".join(f"\\U{ord(character):08x}" for character in name)
    return f'"{escaped}"'


def _table(entries: list[tuple[str, str]]) -> str:
    unique = dict(entries)
    return "{" + ", ".join(f"{_quoted(key)} = {value}" for key, value in unique.items()) + "}"


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: "[\n" + ", # ]\n".join(items) + "\n]"),
        st.lists(st.tuples(NAMES.filter(str.isascii), inner), max_size=3).map(_table),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES.filter(str.isascii), VALUES), max_size=4))
def test_documents(entries: list[tuple[str, str]]) -> None:
    """It must be that any nesting of values is found whole, and each key at its own text."""
    text = "\n".join(f"{_quoted(key)} = {value}" for key, value in dict(entries).items())
    places = locate(text).places
    assert set(places) == set(_paths(tomllib.loads(text)))
    lines = text.split("\n")
    for path, place in places.items():
        if isinstance(path[-1], str):
            assert lines[place.line - 1][place.column - 1 :].startswith(_quoted(path[-1]))


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "[{b = " * 5000,
        ".".join(["a"] * 5000) + " = 1",
        "[" + ".".join(["a"] * 5000) + "]",
    ],
)
def test_deep(text: str) -> None:
    """It must be that deep nesting is told with its place, once, and remembered no deeper."""
    outline = locate(text)
    assert [sentence for _, sentence in outline.faults] == [f"nested more than {MAX_DEPTH} deep"]
    assert max(map(len, outline.places)) == MAX_DEPTH


def test_long_number() -> None:
    """It must be that a number nobody writes is told with its place."""
    (fault,) = locate("\n  a = " + "9" * (MAX_BARE_CHARACTERS + 1)).faults
    assert fault[0] == Place(2, 7)


def test_faults_are_bounded() -> None:
    """It must be that a thousand faults are no thousand complaints."""
    assert len(locate(("a = " + "9" * 300 + "\n") * 1000).faults) == MAX_FAULTS


@pytest.mark.parametrize(
    "unit",
    [
        "a.",
        "[",
        "{a=",
        "a=1\n",
        "[[a]]\n",
        '"',
        "'''",
        '"\\"',
        "a=[1,",
        "#",
        "= ",
        "[a.b.c]\nd=1\n",
    ],
)
def test_linear(unit: str) -> None:
    """It must be that eight times the text takes no sixty-four times the time."""
    times = []
    for size in (8_000, 64_000):
        text = unit * (size // len(unit))
        tries = []
        for _ in range(3):
            start = time.process_time()
            locate(text)
            tries.append(time.process_time() - start)
        times.append(min(tries))
    assert times[1] < 40 * max(times[0], 0.002)
