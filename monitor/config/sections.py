"""Which sections a configuration has: a room's one table, or tables by name or lists of one kind.

What the rooms' Config classes declare, before anything is checked.  ``[server]`` is a table;
``[scrape.NAME]`` are tables by name, declared as a mapping from names to Config objects, and
``[[routes]]`` is a list of tables, declared as a tuple of them.  Rules are no section of this kind:
what they say is read by their own room.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeAlias

from monitor.config.files import LAYERED, Document
from monitor.config.secretfiles import secret_fields, spellings
from monitor.core.quantity import Written
from monitor.core.toml_lines import KeyPath


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below one name at the root: a table, or several of one kind."""

    name: str
    room: type
    """The Config class of the table, or of each of the tables."""
    is_named: bool
    is_listed: bool
    hint: Any
    """The type with its marks; of several tables, those of names and of their number too."""

    @property
    def is_one(self) -> bool:
        """Whether it is one table."""
        return not (self.is_named or self.is_listed)

    @property
    def written(self) -> str:
        """How a file writes its tables, without the brackets of a single one."""
        return f"{self.name}.NAME" if self.is_named else self.name


Table: TypeAlias = tuple[KeyPath, dict[str, Any], type]
"""One table of a document: its path, what it holds, the Config class of the room it is for."""


def sections(root: type) -> dict[str, Section]:
    """The sections of `root`, in their order, by name."""
    found = {}
    for name, hint in typing.get_type_hints(root, include_extras=True).items():
        bare = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
        arguments = typing.get_args(bare)
        is_named = typing.get_origin(bare) is Mapping and is_dataclass(arguments[1])
        is_listed = typing.get_origin(bare) is tuple and is_dataclass(arguments[0])
        if name != LAYERED and (is_dataclass(bare) or is_named or is_listed):
            room = arguments[1] if is_named else arguments[0] if is_listed else bare
            found[name] = Section(name, room, is_named, is_listed, hint)
    return found


@cache
def written_keys(room: type) -> Mapping[str, str]:
    """The key of each field of a Config class, as files write it: the field's name, or its mark."""
    hints = typing.get_type_hints(room, include_extras=True)
    keys = {}
    for field in fields(room):
        marks = getattr(hints[field.name], "__metadata__", ())
        keys[field.name] = next((m.key for m in marks if isinstance(m, Written)), field.name)
    return keys


@cache
def every_key(room: type) -> Sequence[str]:
    """Every key that a section may hold, as files write it."""
    secrets = secret_fields(room)
    return tuple(
        key
        for field, written in written_keys(room).items()
        for key in (spellings(written) if field in secrets else (written,))
    )


def tables_of(document: Document, all_sections: dict[str, Section]) -> Iterator[Table]:
    """Each table that is a room's: its path, what it holds, the room's Config class.

    What is no table is left out here, and complained about by the models.
    """
    for name, section in all_sections.items():
        table = document.table.get(name)
        if section.is_one and isinstance(table, dict):
            yield (name,), table, section.room
        parts: Iterable[tuple[str | int, Any]] = ()
        if section.is_named and isinstance(table, dict):
            parts = table.items()
        elif section.is_listed and isinstance(table, list):
            parts = enumerate(table)
        for key, part in parts:
            if isinstance(part, dict):
                yield (name, key), part, section.room
