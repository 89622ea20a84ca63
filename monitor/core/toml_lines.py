"""Where each key of a TOML document stands: line and column, which `tomllib` does not keep.

`locate` reads the outline of a document: its keys, headers and brackets.  It judges nothing:
`tomllib` decides what is TOML.  For every text that `tomllib` accepts it knows the place of
every table, key and array element down to `MAX_DEPTH`; for any other text it still ends,
without an error, having read what it could.  The time is linear in the length of the text.

Two things it does notice, because `tomllib` meets them badly: nesting beyond `MAX_DEPTH`
(a `RecursionError`, or quadratic time for long dotted keys) and bare values longer than
`MAX_BARE_CHARACTERS` (a `ValueError` without a place).  Ask for `faults` before parsing.
"""

from __future__ import annotations

import bisect
import re
import tomllib
from dataclasses import dataclass, field
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""The way to a value from the document's root: names of keys, positions in arrays."""

MAX_DEPTH = 32
"""How deep a path is remembered.  Our own configuration is five deep at most."""

MAX_BARE_CHARACTERS = 256
"""How long a number, date or other value without quotes may be."""

MAX_FAULTS = 20
"""How many faults are kept; an operator reads no more."""

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_LINE = re.compile(r"[^\n]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]*")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_STRING_END = {
    '"': re.compile(r'\\.|["\n]', re.DOTALL),
    "'": re.compile(r"['\n]"),
    '"""': re.compile(r'\\.|"{3,5}', re.DOTALL),
    "'''": re.compile(r"'{3,5}"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text, both from 1; columns count characters, as `tomllib` does."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What `locate` found: places of paths, and faults with their places."""

    places: dict[KeyPath, Place]
    faults: list[tuple[Place, str]]


def locate(text: str) -> Outline:
    """The outline of a TOML document.  Never raises."""
    scanner = _Scanner(text.replace("\r\n", "\n"))
    scanner.document()
    return scanner.outline


@dataclass(slots=True)
class _Open:
    """An array (`count` elements so far) or inline table (`count` is -1) not yet closed."""

    path: KeyPath | None
    count: int


@dataclass(slots=True)
class _Scanner:
    """One pass over a text.  A path of None lies deeper than is remembered."""

    text: str
    at: int = 0
    outline: Outline = field(default_factory=lambda: Outline({}, []))
    tables: dict[KeyPath, int] = field(default_factory=dict)
    """How many elements each array of tables has so far."""
    starts: list[int] = field(default_factory=list)
    """Where each line starts."""

    def document(self) -> None:
        """Read statements until the end; what is no statement is passed over by lines."""
        self.starts = [0, *(found.end() for found in re.finditer("\n", self.text))]
        table: KeyPath | None = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            elif key := self._key():
                path = self._enter(table, key)
                self._skip(_SPACE)
                if self.text.startswith("=", self.at):
                    self.at += 1
                    self._skip(_SPACE)
                    self._value(path)
            else:
                self._skip(_LINE)

    def _header(self) -> KeyPath | None:
        """``[table]`` or ``[[array.of.tables]]``: the path that the lines below belong to."""
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        self._skip(_SPACE)
        key = self._key()
        self._skip(_LINE)
        path: KeyPath | None = ()
        for name, start in key[:-1]:
            path = self._join(path, name, start)
            if path is not None and path in self.tables:
                path = (*path, self.tables[path] - 1)
        for name, start in key[-1:]:
            path = self._join(path, name, start, last=not many)
            if many and path is not None:
                count = self.tables[path] = self.tables.get(path, 0) + 1
                path = self._join(path, count - 1, start, last=True)
        return path

    def _key(self) -> list[tuple[str, int]]:
        """The parts of a dotted key with where each starts; empty where no key stands here."""
        parts: list[tuple[str, int]] = []
        while True:
            start = self.at
            if self.text.startswith(('"', "'"), start):
                self._string(self.text[start])
                name = _unquoted(self.text[start : self.at])
            else:
                self._skip(_BARE_KEY)
                name = self.text[start : self.at]
            if self.at == start:
                return parts
            if len(parts) <= MAX_DEPTH:
                parts.append((name, start))
            after = self.at
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                self.at = after
                return parts
            self.at += 1
            self._skip(_SPACE)

    def _value(self, path: KeyPath | None) -> None:
        """Pass over one value, however deep, keeping the places of what is inside."""
        opened: list[_Open] = []
        while True:
            if self.text.startswith("[", self.at):
                opened.append(_Open(path, 0))
                self.at += 1
            elif self.text.startswith("{", self.at):
                opened.append(_Open(path, -1))
                self.at += 1
            else:
                self._scalar()
            found, path = self._next(opened)
            if not found:
                return

    def _next(self, opened: list[_Open]) -> tuple[bool, KeyPath | None]:
        """Whether another value begins inside what is open, and its path."""
        while opened and self._skip(_BLANK) < len(self.text):
            inside = opened[-1]
            if self.text[self.at] in ",]}":
                if self.text[self.at] != ",":
                    opened.pop()
                self.at += 1
            elif inside.count >= 0:
                path = self._join(inside.path, inside.count, self.at, last=True)
                inside.count += 1
                return True, path
            elif key := self._key():
                path = self._enter(inside.path, key)
                self._skip(_SPACE)
                if self.text.startswith("=", self.at):
                    self.at += 1
                    self._skip(_SPACE)
                    return True, path
            else:
                self.at += 1
        return False, None

    def _scalar(self) -> None:
        """Pass over a string, number, date or truth value."""
        for quote in ('"""', "'''", '"', "'"):
            if self.text.startswith(quote, self.at):
                self._string(quote)
                return
        start = self.at
        self._skip(_BARE_VALUE)
        if self.at - start > MAX_BARE_CHARACTERS:
            self._fault(start, f"a value has more than {MAX_BARE_CHARACTERS} characters")

    def _string(self, quote: str) -> None:
        """Pass over a string that begins here; one without an end reaches to its line's end."""
        end = _STRING_END[quote]
        self.at += len(quote)
        while found := end.search(self.text, self.at):
            self.at = found.end()
            if found[0] == "\n":
                self.at -= 1
                return
            if found[0][0] != "\\":
                return
        self.at = len(self.text)

    def _enter(self, path: KeyPath | None, key: list[tuple[str, int]]) -> KeyPath | None:
        for number, (name, start) in enumerate(key, 1):
            path = self._join(path, name, start, last=number == len(key))
        return path

    def _join(
        self, path: KeyPath | None, part: str | int, start: int, *, last: bool = False
    ) -> KeyPath | None:
        """One step further; the place of a table that is only passed through is its first."""
        if path is None:
            return None
        if len(path) == MAX_DEPTH:
            self._fault(start, f"nested more than {MAX_DEPTH} deep")
            return None
        path = (*path, part)
        if last or path not in self.outline.places:
            self.outline.places[path] = self._place(start)
        return path

    def _fault(self, start: int, sentence: str) -> None:
        if len(self.outline.faults) < MAX_FAULTS:
            self.outline.faults.append((self._place(start), sentence))

    def _place(self, at: int) -> Place:
        line = bisect.bisect_right(self.starts, at)
        return Place(line, at - self.starts[line - 1] + 1)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        """Move behind what matches here, perhaps nothing; the new position."""
        if found := pattern.match(self.text, self.at):
            self.at = found.end()
        return self.at


def _unquoted(raw: str) -> str:
    """What a quoted key says; the raw text where it is no valid string."""
    if "\\" not in raw:
        return raw[1:-1]
    try:
        return str(tomllib.loads(f"key = {raw}")["key"])
    except (tomllib.TOMLDecodeError, ValueError):
        return raw
