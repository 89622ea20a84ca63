"""Which sections a configuration has: a room's one table, or tables by name of one kind.

What the rooms' Config classes declare, before anything is checked.  ``[server]`` is a table;
``[scrape.NAME]`` are tables by name, declared as a mapping from names to Config objects.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeAlias

from monitor.config.files import Document
from monitor.config.secretfiles import secret_fields, spellings
from monitor.core.quantity import Written
from monitor.core.toml_lines import KeyPath


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below one name at the root: a table, or tables by name, all of one kind."""

    name: str
    room: type
    """The Config class of the table, or of each of the tables."""
    is_named: bool
    hint: Any
    """The type with its marks; of tables by name, those of the names and of their number too."""


Table: TypeAlias = tuple[KeyPath, dict[str, Any], type]
"""One table of a document: its path, what it holds, the Config class of the room it is for."""


def sections(root: type) -> dict[str, Section]:
    """The sections of `root`, in their order, by name."""
    found = {}
    for name, hint in typing.get_type_hints(root, include_extras=True).items():
        bare = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
        arguments = typing.get_args(bare)
        is_named = typing.get_origin(bare) is Mapping and is_dataclass(arguments[1])
        if is_dataclass(bare) or is_named:
            room = arguments[1] if is_named else bare
            found[name] = Section(name, room, is_named, hint)
    return found


def written_keys(room: type) -> dict[str, str]:
    """The key of each field of a Config class, as files write it: the field's name, or its mark."""
    hints = typing.get_type_hints(room, include_extras=True)
    keys = {}
    for field in fields(room):
        marks = getattr(hints[field.name], "__metadata__", ())
        keys[field.name] = next((m.key for m in marks if isinstance(m, Written)), field.name)
    return keys


def every_key(room: type) -> list[str]:
    """Every key that a section may hold, as files write it."""
    secrets = secret_fields(room)
    return [
        key
        for field, written in written_keys(room).items()
        for key in (spellings(written) if field in secrets else (written,))
    ]


def tables_of(document: Document, all_sections: dict[str, Section]) -> Iterator[Table]:
    """Each table that is a room's: its path, what it holds, the room's Config class.

    What is no table is left out here, and complained about by the models.
    """
    for name, section in all_sections.items():
        table = document.table.get(name)
        if not isinstance(table, dict):
            continue
        if not section.is_named:
            yield (name,), table, section.room
            continue
        for key, part in table.items():
            if isinstance(part, dict):
                yield (name, key), part, section.room
