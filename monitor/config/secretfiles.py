"""Reads what a configuration refers to and does not hold: secrets, by file or environment.

A room declares a field ``NAME: Secret | None = None``.  Files then say ``NAME_file = "path"``,
relative to the file that says it, or ``NAME = "env:VARIABLE"``, and not both.  A secret that
stands in the configuration itself is refused, unless the field is marked `INLINE`, and no
complaint repeats what was written there, for it may be one.
"""

from __future__ import annotations

import os
import re
import stat
import typing
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from monitor.config.files import Complaint, Document, Origin, printable
from monitor.core.secret import Inline, Secret
from monitor.core.toml_lines import KeyPath
from monitor.private import read_private

SECRET_BYTES = 1 << 16
"""The longest secret."""

INLINE_SOURCE = "written here"
"""Where a secret came from that stands in the configuration itself."""

OPEN_FILE = "stands in a file that everybody can read, and may hold a secret: say {} ="
"""What is odd about a secret in an open file; of the key that says a file instead."""

_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]{0,127})\Z")
_CUSTOMARY = re.compile(r"[A-Z_][A-Z0-9_]*\Z")


@cache
def secret_fields(room: type) -> frozenset[str]:
    """The fields of a Config class that are secrets."""
    hints = typing.get_type_hints(room)
    return frozenset(
        field.name
        for field in fields(room)
        if Secret in (hints[field.name], *typing.get_args(hints[field.name]))
    )


@cache
def inline_fields(room: type) -> frozenset[str]:
    """Those of its secrets that may stand in the configuration itself."""
    hints = typing.get_type_hints(room, include_extras=True)
    return frozenset(
        name
        for name in secret_fields(room)
        if any(isinstance(mark, Inline) for mark in getattr(hints[name], "__metadata__", ()))
    )


def spellings(name: str) -> tuple[str, str]:
    """The keys by which files give a secret: of a variable, and of a file."""
    return name, f"{name}_file"


def take(
    document: Document,
    section: KeyPath,
    table: dict[str, Any],
    room: type,
    complaints: list[Complaint],
) -> dict[str, Secret]:
    """Take the secrets of a room out of its section's table, and read them.

    Complaints are added for what cannot be read, and warnings to the document.
    """
    found: dict[str, Secret] = {}
    inline = inline_fields(room)
    for name in sorted(secret_fields(room)):
        by_variable, by_file = spellings(name)
        given = {key: table.pop(key) for key in (by_variable, by_file) if key in table}
        if not given:
            continue
        key = by_file if by_file in given else by_variable
        path: KeyPath = (*section, key)
        origin = document.origin(path)
        if len(given) > 1:
            other = document.origin((*section, by_variable)).short
            sentence = f"{by_variable} is given too, in {other}; one of the two is enough"
            complaints.append(Complaint(origin, path, sentence))
            continue
        try:
            if key == by_file:
                found[name], warning = _of_file(given[key], origin.folder)
                document.referred.append(origin.folder / str(given[key]))
            elif name in inline:
                found[name], warning = _inline(given[key], by_file, origin)
            else:
                found[name], warning = _of_variable(given[key], by_file, os.environ), None
        except ValueError as error:
            complaints.append(Complaint(origin, path, str(error)))
            continue
        if warning is not None:
            document.warnings.append(Complaint(origin, path, warning).line)
    return found


def _of_variable(given: object, by_file: str, environment: Mapping[str, str]) -> Secret:
    match = _VARIABLE.match(given) if isinstance(given, str) else None
    if match is None:
        raise ValueError(
            f'expected "env:NAME", the name of an environment variable; or say {by_file} ='
            " and the path of a file: a secret does not stand in a configuration"
        )
    variable = match[1]
    # What is no customary name may be a secret that somebody put behind "env:".
    told = f"variable {variable}" if _CUSTOMARY.match(variable) else "variable that it names"
    if variable not in environment:
        raise ValueError(f"the environment has no {told}")
    try:
        content = environment[variable].encode()
    except UnicodeEncodeError:
        raise ValueError(f"the {told} is not UTF-8") from None
    if len(content) > SECRET_BYTES:
        raise ValueError(f"the {told} has more than {SECRET_BYTES:,} bytes")
    try:
        return Secret(_text(content), f"env:{variable}")
    except ValueError as error:
        raise ValueError(f"the {told} {error}") from None


def _inline(given: object, by_file: str, origin: Origin) -> tuple[Secret, str | None]:
    """A secret that stands here, or in a variable; and a warning where others can read it here."""
    if not isinstance(given, str):
        raise ValueError("expected text in quotes")  # noqa: TRY004  # gathered by `take`
    if given.startswith("env:"):
        return _of_variable(given, by_file, os.environ), None
    content = given.encode("utf-8", "surrogatepass")
    if len(content) > SECRET_BYTES:
        raise ValueError(f"expected at most {SECRET_BYTES:,} bytes")
    try:
        secret = Secret(_text(content), INLINE_SOURCE)
    except ValueError as error:
        raise ValueError(f"the text {error}") from None
    return secret, OPEN_FILE.format(by_file) if _is_open(origin) else None


def _is_open(origin: Origin) -> bool:
    """Whether everybody on this machine can read the file that a key stands in."""
    try:
        mode = (origin.folder / Path(origin.name).name).stat().st_mode
    except (OSError, ValueError):
        return False
    return origin.place is not None and bool(mode & stat.S_IROTH)


def _of_file(given: object, folder: Path) -> tuple[Secret, str | None]:
    """The secret and a warning about its file."""
    if not isinstance(given, str) or not given or not given.isprintable():
        raise ValueError("expected a path in quotes")
    if given.startswith("~"):
        raise ValueError("~ is not expanded; write the whole path")
    path = folder / given
    told = printable(str(path))
    try:
        file = read_private(path, most_bytes=SECRET_BYTES)
        secret = Secret(_text(file.content), told)
    except ValueError as error:
        raise ValueError(f"{told} {error}") from None
    return secret, None if file.warning is None else f"{told} {file.warning}"


def _text(content: bytes) -> str:
    """One line of UTF-8, without its end.  Raises `ValueError` with the rest of a sentence."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark; save it as UTF-8 without one")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ValueError("is empty")
    if "\n" in text or "\r" in text:
        raise ValueError("has more than one line")
    if "\0" in text:
        raise ValueError("holds a NUL")
    return text
