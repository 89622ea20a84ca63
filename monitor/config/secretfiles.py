"""Reads what a configuration refers to and does not hold: secrets, by file or environment.

A room declares a field ``NAME: Secret | None = None``.  Files then say ``NAME_file = "path"``,
relative to the file that says it, or ``NAME = "env:VARIABLE"``, and not both.  A secret that
stands in the configuration itself is refused, and no complaint repeats what was written
there, for it may be one.
"""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from monitor.config.files import Complaint, Document, printable
from monitor.core.secret import Secret
from monitor.core.toml_lines import KeyPath
from monitor.private import read_private

SECRET_BYTES = 1 << 16
"""The longest secret."""

_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]{0,127})\Z")
_CUSTOMARY = re.compile(r"[A-Z_][A-Z0-9_]*\Z")


def secret_fields(room: type) -> frozenset[str]:
    """The fields of a Config class that are secrets."""
    hints = typing.get_type_hints(room)
    return frozenset(
        field.name
        for field in fields(room)
        if Secret in (hints[field.name], *typing.get_args(hints[field.name]))
    )


def spellings(name: str) -> tuple[str, str]:
    """The keys by which files give a secret: of a variable, and of a file."""
    return name, f"{name}_file"


def take(
    document: Document,
    section: KeyPath,
    table: dict[str, Any],
    names: frozenset[str],
    complaints: list[Complaint],
) -> dict[str, Secret]:
    """Take the secrets of these names out of a section's table, and read them.

    Complaints are added for what cannot be read, and warnings to the document.
    """
    found: dict[str, Secret] = {}
    for name in sorted(names):
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
