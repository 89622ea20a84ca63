"""Selectors: ``role in (web, api), env!=dev, host=web-*`` as a person writes them.

One form everywhere: which hosts a query is about, which alerts a route or a silence takes, which
attributes a rule looks at.  A comma is "and".  It knows text and labels; whose labels those are,
and that a host's name is the label ``host``, is for the caller.

A label that is absent is the empty string: ``env!=dev`` holds for a host without ``env``,
``env=""`` for no other, and ``env=?*`` for every host that has one.

Reading and matching take time in proportion to what was written and looked at: the globs ``*``
and ``?`` are the only patterns, and a star never goes back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from monitor.errors import InputError, excerpt

RESERVED_NAMES = frozenset({"host", "rule", "severity"})
"""Names that are no label's: the host's name, the rule's name, an alert's severity."""

LONGEST_CHARACTERS = 2_048
"""A whole selector; several fit into a URL."""

MOST_TERMS = 32
MOST_VALUES = 256
MOST_GLOBS = 64
"""Of all terms together; a glob costs more to read than a plain value."""

LONGEST_NAME_CHARACTERS = 255
"""A label's name, or an attribute's; as long as one that is pushed may be."""

_OPERATORS = "=, !=, in or not in"
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_.:/-]*", re.ASCII)
_BARE = re.compile(r"""[^\s,()"'=!\\]+""")
_SPACE = re.compile(r"\s*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: a label's value is among some, or (`negated`) among none of them.

    `values` are taken literally, `globs` are the patterns among what was written, which is what
    stands in `patterns`.
    """

    name: str
    negated: bool
    values: frozenset[str]
    globs: tuple[re.Pattern[str], ...]
    patterns: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it holds for these labels."""
        value = labels.get(self.name, "")
        found = value in self.values or any(glob.fullmatch(value) for glob in self.globs)
        return found is not self.negated


@dataclass(frozen=True, slots=True)
class Selector:
    """Terms that must all hold; `text` is what was written."""

    text: str
    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str, field: str = "match") -> Selector:
        """The selector that `text` writes.

        Raises `InputError` of code ``bad_selector``, naming the column and, as the error's field,
        `field`: where the text stood.
        """
        if len(text) > LONGEST_CHARACTERS:
            detail = f"a selector has at most {LONGEST_CHARACTERS} characters, this one {len(text)}"
            raise InputError(detail, code="bad_selector", field=field, limit=LONGEST_CHARACTERS)
        return cls(text, _Reader(text, field).terms())

    @property
    def names(self) -> frozenset[str]:
        """The labels that it asks about."""
        return frozenset(term.name for term in self.terms)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether every term holds for these labels; one that is absent is the empty string."""
        return all(term.matches(labels) for term in self.terms)


def glob(pattern: str) -> re.Pattern[str]:
    r"""What a whole text must match: ``*`` is any characters, ``?`` is one, ``\`` makes literal.

    Each star takes the least that lets the part after it match, once and for all, which is enough
    where every part but the last floats; so there is nothing to go back to.
    """
    first, *parts = _parts(pattern)
    if not parts:
        return re.compile(first, re.DOTALL)
    *middle, last = parts
    floating = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(f"{first}{floating}.*{last}", re.DOTALL)


def _parts(pattern: str) -> list[str]:
    """The pattern between its stars, as regular expressions of a fixed length."""
    parts, literal = [""], False
    for character in pattern:
        if literal or character not in "*?\\":
            parts[-1] += re.escape(character)
            literal = False
        elif character == "\\":
            literal = True
        elif character == "?":
            parts[-1] += "."
        else:
            parts.append("")
    return parts


class _Reader:
    """Reads a selector from left to right."""

    def __init__(self, text: str, field: str) -> None:
        self._text = text
        self._field = field
        self._at = 0
        self._values = 0
        self._globs = 0
        self._skip()

    def terms(self) -> tuple[Term, ...]:
        """All of them."""
        found = [self._term()]
        while self._at < len(self._text):
            if not self._takes(","):
                self._fail("expected a comma")
            if len(found) == MOST_TERMS:
                self._fail(f"there are more than {MOST_TERMS} terms", MOST_TERMS)
            found.append(self._term())
        return tuple(found)

    def _term(self) -> Term:
        name = self._word("a label's name")
        if len(name) > LONGEST_NAME_CHARACTERS:
            self._fail(f"a name is at most {LONGEST_NAME_CHARACTERS} characters long")
        if self._takes("!="):
            return _term(name, True, [self._value()])
        if self._takes("="):
            return _term(name, False, [self._value()])
        began = self._at
        word = self._word(_OPERATORS)
        negated = word == "not"
        if negated:
            word = self._word("in after not")
        if word != "in":
            self._at = began
            self._fail(f"expected {_OPERATORS}")
        return _term(name, negated, self._list())

    def _list(self) -> list[str]:
        if not self._takes("("):
            self._fail("expected ( and the values, as in (web, api)")
        found = [self._value()]
        while not self._takes(")"):
            if not self._takes(","):
                self._fail("expected a comma or )")
            found.append(self._value())
        return found

    def _value(self) -> str:
        r"""One value as a glob: what a quoted one escapes stays escaped."""
        self._values += 1
        if self._values > MOST_VALUES:
            self._fail(f"there are more than {MOST_VALUES} values", MOST_VALUES)
        quote = self._text[self._at : self._at + 1]
        if quote in {'"', "'"}:
            return self._quoted(quote)
        found = _BARE.match(self._text, self._at)
        if quote == "~":
            self._fail("there are no regular expressions; * and ? are globs, or quote the value")
        if found is None:
            self._fail('expected a value; one that is empty or has spaces is quoted: ""')
        self._count_globs(found[0])
        self._at = found.end()
        self._skip()
        return found[0]

    def _quoted(self, quote: str) -> str:
        began = self._at
        at = began + 1
        while (character := self._text[at : at + 1]) != quote:
            if not character:
                self._fail("the quote that begins here does not end")
            at += 2 if character == "\\" else 1
        found = self._text[began + 1 : at]
        self._count_globs(found)
        self._at = at + 1
        self._skip()
        return found

    def _count_globs(self, value: str) -> None:
        self._globs += _is_glob(value)
        if self._globs > MOST_GLOBS:
            self._fail(f"there are more than {MOST_GLOBS} globs", MOST_GLOBS)

    def _word(self, wanted: str) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            self._fail(f"expected {wanted}")
        self._at = found.end()
        before = self._at
        self._skip()
        # What follows a word may touch it only where it cannot be taken for a part of it.
        if before == self._at and self._text[self._at : self._at + 1] not in {*"=!(", ""}:
            self._fail("a name has letters, digits and _ . : / - only")
        return found[0]

    def _takes(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        self._skip()
        return True

    def _skip(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at

    def _fail(self, wanted: str, limit: int | None = None) -> NoReturn:
        rest = self._text[self._at :]
        seen = f"{excerpt(rest[:16])}" if rest else "the end"
        detail = f"the selector at column {self._at + 1}: {wanted}; there is {seen}"
        raise InputError(detail, code="bad_selector", field=self._field, limit=limit)


def _is_glob(value: str) -> bool:
    plain = _ESCAPED.sub("", value)
    return "*" in plain or "?" in plain


def _term(name: str, negated: bool, written: list[str]) -> Term:
    literal: set[str] = set()
    globs: dict[str, re.Pattern[str]] = {}
    for value in written:
        if _is_glob(value):
            globs[value] = glob(value)
        else:
            literal.add(_ESCAPED.sub(r"\1", value))
    return Term(name, negated, frozenset(literal), tuple(globs.values()), tuple(globs))
