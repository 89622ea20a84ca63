"""Reads configuration files: bytes to documents, documents to one table with its origins.

A file is regular, at most 1 MiB of UTF-8, and TOML.  The first may include others from
below its own folder; they are merged key by key, and the later one wins.  Of the sections that are
lists of tables (`APPENDED`) the later file's come after the earlier one's; rules (`LAYERED`) are
kept as each file has them, because they are laid over each other by rules of their own.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from monitor.core.quantity import shown
from monitor.core.toml_lines import KeyPath, Outline, Place, locate
from monitor.errors import excerpt

FILE_BYTES = 1 << 20
"""The largest file."""

TOTAL_BYTES = 4 << 20
"""The most that all files together may hold."""

MOST_FILES = 256
"""How many files may be included."""

MOST_PATTERNS = 64
"""How many patterns `include` may list."""

PATTERN_PARTS = 4
"""How many folders deep a pattern may reach; it bounds the walk."""

APPENDED = frozenset({"routes", "silences"})
"""Sections that are lists of tables, to which every file may add."""

LAYERED = "rules"
"""The section of which each file's part is kept as it is."""

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_BARE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was set: a file and its place there, or an option of the command line."""

    name: str
    folder: Path
    """What relative paths in the value are relative to."""
    place: Place | None = None

    @property
    def at(self) -> tuple[int, int]:
        """Line and column, for sorting."""
        return (self.place.line, self.place.column) if self.place else (0, 0)

    @property
    def short(self) -> str:
        """File and line, for a comment."""
        return f"{self.name}:{self.place.line}" if self.place else self.name


@dataclass(frozen=True, slots=True)
class Complaint:
    """One fault: where, of which key, and the sentence."""

    origin: Origin
    path: KeyPath
    sentence: str

    @property
    def line(self) -> str:
        """``config.toml:12:3: collect.interval: expected …``."""
        place = self.origin.place
        where = f"{self.origin.name}:{place.line}:{place.column}" if place else self.origin.name
        return ": ".join(part for part in (where, dotted(self.path), self.sentence) if part)


@dataclass(frozen=True, slots=True)
class Part:
    """What one file says in the section `LAYERED`, and where."""

    value: Any
    origins: dict[KeyPath, Origin]

    def origin(self, path: KeyPath) -> Origin:
        """Where this path, or the nearest table around it, was set."""
        return _origin(self.origins, path)


def _origin(origins: dict[KeyPath, Origin], path: KeyPath) -> Origin:
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return Origin("configuration", Path("/"))


@dataclass(slots=True)
class Document:
    """A table, where each of its keys was set, and the files that it came from."""

    table: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What is odd and holds all the same, a line each."""
    layers: list[Part] = field(default_factory=list)
    """What each file says in the section `LAYERED`, in the order in which they are laid."""
    referred: list[Path] = field(default_factory=list)
    """Files of secrets that were read."""
    folders: list[Path] = field(default_factory=list)
    """Where a file may be that is read the next time."""

    def origin(self, path: KeyPath) -> Origin:
        """Where this path, or the nearest table around it, was set."""
        return _origin(self.origins, path)


def printable(text: str) -> str:
    """`text` with whatever cannot be printed on one line escaped."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def dotted(path: KeyPath) -> str:
    """A path as people say it: ``rules[2].above``; strange keys quoted and cut short."""
    words: list[str] = []
    for part in path:
        if isinstance(part, int):
            words.append(f"[{part}]")
        else:
            name = part if _BARE.match(part) else f'"{excerpt(part)}"'
            words.append(f".{name}" if words else name)
    return "".join(words)


def merged(path: Path | None, cwd: Path, complaints: list[Complaint]) -> Document:
    """The file at `path` with what it includes; empty without a file."""
    document = Document()
    if path is None:
        return document
    main = cwd / path
    document.folders.append(main.parent)
    name = printable(str(path))
    _read(main, Origin(name, main.parent), document, complaints)
    include = document.table.pop("include", [])
    budget = TOTAL_BYTES
    for number, found in _included(include, main.parent, document, complaints):
        shown_name = printable(str(path.parent / found.relative_to(main.parent)))
        part = Document()
        budget -= _read(found, Origin(shown_name, found.parent), part, complaints)
        if budget < 0:
            _complain(
                complaints, document, ("include", number), "the files are over 4 MiB together"
            )
            break
        if "include" in part.table:
            _complain(complaints, part, ("include",), "only the first file may include others")
            del part.table["include"]
        _merge(document, part, complaints)
    return document


def _complain(complaints: list[Complaint], of: Document, path: KeyPath, sentence: str) -> None:
    complaints.append(Complaint(of.origin(path), path, sentence))


def _merge(into: Document, part: Document, complaints: list[Complaint]) -> None:
    """Lay one document over another, key by key."""

    def lay(table: dict[str, Any], over: dict[str, Any], path: KeyPath) -> None:
        for key, value in over.items():
            here = (*path, key)
            old = table.get(key)
            if isinstance(old, dict) and isinstance(value, dict):
                lay(old, value, here)
            elif here[0] in APPENDED and isinstance(old, list) and isinstance(value, list):
                _renumber(part, key, len(old))
                table[key] = [*old, *value]
            elif key in table and isinstance(old, dict) != isinstance(value, dict):
                other = into.origin(here).short
                kind, was = ("a table", "none") if isinstance(value, dict) else ("no table", "one")
                _complain(complaints, part, here, f"is {kind} here and {was} in {other}")
            else:
                table[key] = value

    lay(into.table, part.table, ())
    into.origins.update(part.origins)
    into.files.extend(part.files)
    into.layers.extend(part.layers)


def _renumber(part: Document, section: str, before: int) -> None:
    """Count the tables of a section from where those of earlier files end."""
    origins: dict[KeyPath, Origin] = {}
    for path, origin in part.origins.items():
        if path == (section,):
            continue  # the list is where the first file began it
        at = path[1] if len(path) > 1 and path[0] == section else None
        shifted = (section, at + before, *path[2:]) if isinstance(at, int) else path
        origins[shifted] = origin
    part.origins = origins


def _included(
    include: Any, folder: Path, document: Document, complaints: list[Complaint]
) -> list[tuple[int, Path]]:
    """The files that the patterns name, each once, with the number of its pattern."""
    if not isinstance(include, list) or len(include) > MOST_PATTERNS:
        sentence = f"expected a list of at most {MOST_PATTERNS} patterns, got {shown(include)}"
        _complain(complaints, document, ("include",), sentence)
        return []
    found: dict[Path, int] = {}
    for number, pattern in enumerate(include):
        try:
            for path in _matches(pattern, folder):
                found.setdefault(path, number)
            document.folders += _folders(pattern, folder)
        except ValueError as error:
            _complain(complaints, document, ("include", number), str(error))
        if len(found) > MOST_FILES:
            sentence = f"names more than {MOST_FILES} files"
            _complain(complaints, document, ("include", number), sentence)
            break
    found.pop(document.files[0] if document.files else folder, None)
    return [(number, path) for path, number in islice(found.items(), MOST_FILES)]


def _matches(pattern: Any, folder: Path) -> list[Path]:
    """The files below `folder` that a pattern matches, sorted.  Raises `ValueError`."""
    if not isinstance(pattern, str) or not pattern or not pattern.isprintable():
        raise ValueError(f'expected a pattern such as "conf.d/*.toml", got {shown(pattern)}')
    parts = pattern.split("/")
    if "://" in pattern or pattern.startswith(("/", "~")) or ".." in parts:
        raise ValueError(f"{shown(pattern)} leads out of the configuration's own folder")
    if "**" in pattern or len(parts) > PATTERN_PARTS or not all(parts):
        raise ValueError(
            f"{shown(pattern)} is deeper than {PATTERN_PARTS} names, or holds ** or //"
        )
    wild = [part for part in parts if re.search(r"[*?\[]", part)]
    start = folder
    for part in parts[: parts.index(wild[0])] if wild else []:
        start /= part
    if wild and start.exists() and not os.access(start, os.R_OK | os.X_OK):
        raise ValueError(f"{shown(pattern)}: the folder cannot be read")
    try:
        paths = list(islice(folder.glob(pattern), MOST_FILES + 1))
        home = folder.resolve()
        outside = [path for path in paths if not path.resolve().is_relative_to(home)]
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        # pathlib raises each of these for some pattern: a loop of links, a name of ".".
        raise ValueError(f"{shown(pattern)} cannot be followed: {excerpt(str(error))}") from None
    if outside:
        raise ValueError(f"{shown(pattern)} leads out of the configuration's own folder")
    if not paths and not wild:
        raise ValueError(f"there is no file {shown(pattern)}")
    # Editors leave hidden locks and swap files beside what they edit.
    return sorted(path for path in paths if not wild or not path.name.startswith("."))


def _folders(pattern: str, folder: Path) -> list[Path]:
    """The folders in which a file may come that a good pattern matches."""
    parent, _, _ = pattern.rpartition("/")
    if not parent:
        return []
    found = list(islice(folder.glob(parent), MOST_FILES))
    return sorted(path for path in found if path.is_dir()) or [folder / parent]


def _read(path: Path, origin: Origin, document: Document, complaints: list[Complaint]) -> int:
    """Fill `document` from a file, or complain; how many bytes it has."""

    def complain(sentence: str, place: Place | None = None) -> None:
        complaints.append(Complaint(Origin(origin.name, origin.folder, place), (), sentence))

    document.files.append(path)
    try:
        content = _bytes(path)
    except OSError as error:
        complain(f"cannot be read: {error.strerror or error}")
        return 0
    except ValueError as error:
        complain(str(error))
        return 0
    text = _text(content, complain)
    if text is None:
        return len(content)
    outline = locate(text)
    for place, sentence in outline.faults:
        complain(sentence, place)
    if outline.faults:
        return len(content)
    try:
        document.table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        sentence, place = _syntax(str(error), text)
        complain(f"{sentence}{_first(text, place, sentence)}", place)
    except (RecursionError, ValueError) as error:
        # The outline's bounds leave nothing that is known to end here; a date such as
        # 2026-02-30 is the nearest, which some versions of tomllib do not place.
        complain(f"cannot be read as TOML: {excerpt(str(error))}", Place(1, 1))
    else:
        _place(document, outline, origin)
        if LAYERED in document.table:
            document.layers.append(Part(document.table.pop(LAYERED), document.origins))
    return len(content)


def _place(document: Document, outline: Outline, origin: Origin) -> None:
    for key, place in outline.places.items():
        document.origins[key] = Origin(origin.name, origin.folder, place)


def _bytes(path: Path) -> bytes:
    """What a regular file holds.  Opening does not wait for the other end of a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise ValueError("is a folder, not a file")
        if not stat.S_ISREG(mode):
            raise ValueError("is no regular file")
        content = file.read(FILE_BYTES + 1)
    if len(content) > FILE_BYTES:
        raise ValueError(f"is larger than {FILE_BYTES >> 20} MiB")
    return content


def _text(content: bytes, complain: Any) -> str | None:
    """UTF-8 without a byte order mark, or a complaint."""
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        complain("begins with a byte order mark; save it as UTF-8 without one", Place(1, 1))
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line_start = content.rfind(b"\n", 0, error.start) + 1
        column = len(content[line_start : error.start].decode("utf-8")) + 1
        place = Place(content.count(b"\n", 0, error.start) + 1, column)
        complain(f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8", place)
        return None


def _syntax(message: str, text: str) -> tuple[str, Place]:
    """What `tomllib` said, in one line, and where."""
    found = _AT.search(message)
    if found is None:
        return excerpt(message), Place(1, 1)
    sentence = printable(message[: found.start()])[:200]
    if found[1] is None:
        lines = text.split("\n")
        return f"{sentence}, at the end of the file", Place(len(lines), len(lines[-1]) + 1)
    return sentence, Place(int(found[1]), int(found[2]))


def _first(text: str, at: Place, sentence: str) -> str:
    """Where what is declared twice was declared first, as the rest of a sentence."""
    if not sentence.startswith(("Cannot overwrite", "Cannot declare", "Cannot mutate")):
        return ""
    lines = text.split("\n")
    here = [
        path
        for path, place in locate("\n".join(lines[: at.line])).places.items()
        if place.line == at.line
    ]
    before = locate("\n".join(lines[: at.line - 1])).places
    for path in sorted(here, key=len, reverse=True):
        if path in before:
            return f": {dotted(path)} stands in line {before[path].line} already"
    return ""
