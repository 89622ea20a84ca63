"""Holds a document against the rooms' Config classes and says every fault at once.

The rooms write plain dataclasses with marks (`monitor.core.quantity`); here, and nowhere
else, the marks become pydantic's validators, because pydantic reports all faults of a
document together, each with its path.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pydantic

from monitor.collect.subjects import COLLECTOR_NAMES
from monitor.config.files import LAYERED, Complaint, Document
from monitor.config.layering import rules
from monitor.config.secretfiles import secret_fields, take
from monitor.config.sections import (
    Section,
    Table,
    every_key,
    sections,
    tables_of,
    written_keys,
)
from monitor.config.telling import check_addresses, check_routes
from monitor.core import quantity
from monitor.core.quantity import Between, Check, Quantity, Reads, shown
from monitor.core.secret import Secret
from monitor.core.toml_lines import KeyPath

GUESS_CHARACTERS = 64
"""Longer names are not compared with the known ones: it is slow, and they are no slips."""

MOST_GUESSES = 100
"""For how many unknown keys a known one is sought."""

_PARSE: dict[Quantity, Callable[[object], float]] = {
    Quantity.SECONDS: quantity.parse_seconds,
    Quantity.BYTES: quantity.parse_bytes,
    Quantity.RATIO: quantity.parse_ratio,
}
_FORMAT: dict[Quantity | None, Callable[[Any], str]] = {
    Quantity.SECONDS: quantity.format_seconds,
    Quantity.BYTES: quantity.format_bytes,
    Quantity.RATIO: quantity.format_ratio,
    None: str,
}
_EXPECTED = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "model_type": "a table",
    "mapping_type": "a table",
    "dict_type": "a table",
}


@dataclass(frozen=True, slots=True)
class _RelativePath:
    """A path as it was written, and the folder that it is relative to."""

    text: str
    folder: Path


def check(root: type, document: Document, complaints: list[Complaint]) -> dict[str, Any]:
    """One Config object a table, of tables by name a mapping; complaints are added to the list."""
    all_sections = sections(root)
    tables = list(tables_of(document, all_sections))
    secrets = {path: take(document, path, table, room, complaints) for path, table, room in tables}
    _resolve(document, tables)
    definitions: dict[str, Any] = {
        name: (_validated(section.hint), None) for name, section in all_sections.items()
    }
    whole = pydantic.create_model(
        "Whole", __config__=pydantic.ConfigDict(extra="forbid"), **definitions
    )
    try:
        checked = whole.model_validate(document.table)
    except pydantic.ValidationError as error:
        known: dict[KeyPath, Sequence[str]] = {(): [*all_sections, LAYERED]}
        known.update({(name,): every_key(s.room) for name, s in all_sections.items() if s.is_one})
        known.update({path: every_key(room) for path, _, room in tables})
        for number, fault in enumerate(error.errors(include_url=False)):
            path = _path(fault["loc"], document)
            guessed = known if number < MOST_GUESSES else {}
            sentence = _sentence(fault, path, guessed, all_sections)
            complaints.append(Complaint(document.origin(path), path, sentence))
        _check_disabled(document, complaints)
        _rules(root, document, complaints)
        return {}
    _check_disabled(document, complaints)
    values: dict[str, Any] = _rules(root, document, complaints)
    for name, section in all_sections.items():
        given = getattr(checked, name)
        parts: list[tuple[KeyPath, Any]]
        if section.is_named:
            values[name] = {
                table: _built((name, table), section.room, model, secrets)
                for table, model in (given or {}).items()
            }
            parts = [((name, table), value) for table, value in values[name].items()]
        elif section.is_listed:
            values[name] = tuple(
                _built((name, number), section.room, model, secrets)
                for number, model in enumerate(given or ())
            )
            parts = [((name, number), value) for number, value in enumerate(values[name])]
        else:
            values[name] = _built((name,), section.room, given, secrets)
            parts = [((name,), values[name])]
        for path, value in parts:
            _check_together(path, value, document, complaints)
    if "routes" in values:
        check_routes(values["routes"], list(values["channels"]), document, complaints)
        check_addresses(values, document, complaints)
    return values


def _rules(root: type, document: Document, complaints: list[Complaint]) -> dict[str, Any]:
    """The rules, where the root has any; what stands beside them does not matter to them."""
    if LAYERED not in typing.get_type_hints(root):
        return {}
    defaults = document.table.get("defaults")
    with_shipped = not isinstance(defaults, dict) or defaults.get("rules") is not False
    return {LAYERED: rules(document, complaints, with_shipped=with_shipped)}


def _built(
    path: KeyPath,
    room: type,
    given: pydantic.BaseModel | None,
    secrets: dict[KeyPath, dict[str, Secret]],
) -> Any:
    """A room's Config object, of what its table said and the secrets taken from it."""
    said = given.model_fields_set if given is not None else ()
    keys = written_keys(room).items()
    values = {field: getattr(given, key) for field, key in keys if key in said}
    return room(**values, **secrets.get(path, {}))


def _check_together(
    table: KeyPath, values: Any, document: Document, complaints: list[Complaint]
) -> None:
    """Ask a room whether its keys agree; the fault is where the first of them was written.

    A table with a fault of its own is not asked: it may lack just what that fault is about.
    """
    if any(complaint.path[: len(table)] == table for complaint in complaints):
        return
    for keys, sentence in getattr(values, "faults", tuple)():
        said = [key for key in keys if (*table, key) in document.origins]
        path = (*table, (said or keys)[0])
        complaints.append(Complaint(document.origin(path), path, sentence))


def _check_disabled(document: Document, complaints: list[Complaint]) -> None:
    """Names of collectors are known only here, where the collectors may be seen."""
    collect = document.table.get("collect")
    disabled = collect.get("disabled") if isinstance(collect, dict) else None
    for number, name in enumerate(disabled if isinstance(disabled, list) else []):
        if isinstance(name, str) and name not in COLLECTOR_NAMES:
            path: KeyPath = ("collect", "disabled", number)
            guess = _guess(name, list(COLLECTOR_NAMES)) if number < MOST_GUESSES else ""
            sentence = f"there is no collector {shown(name)}{guess}"
            complaints.append(Complaint(document.origin(path), path, sentence))


def _resolve(document: Document, tables: list[Table]) -> None:
    """Tell each written path the folder of the file that says it."""
    for path, table, room in tables:
        for key in _path_keys(room):
            if isinstance(table.get(key), str):
                table[key] = _RelativePath(table[key], document.origin((*path, key)).folder)


@cache
def _path_keys(room: type) -> tuple[str, ...]:
    hints = typing.get_type_hints(room)
    return tuple(key for key, hint in hints.items() if Path in (hint, *typing.get_args(hint)))


def _model(room: type) -> type[pydantic.BaseModel]:
    """A pydantic model with the fields of a room's Config class, for checking only."""
    hints = typing.get_type_hints(room, include_extras=True)
    secrets = secret_fields(room)
    needed = {
        field.name
        for field in fields(room)
        if field.default is MISSING and field.default_factory is MISSING
    }
    definitions: dict[str, Any] = {
        key: (_validated(hints[name]), ... if name in needed else None)
        for name, key in written_keys(room).items()
        if name not in secrets
    }
    return pydantic.create_model(
        room.__name__, __config__=pydantic.ConfigDict(extra="forbid"), **definitions
    )


def _validated(hint: Any) -> Any:
    """A field's type with its marks turned into validators; nothing is converted silently."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        if reads := next((mark for mark in arguments[1:] if isinstance(mark, Reads)), None):
            return Annotated[Any, pydantic.BeforeValidator(reads.read)]
        return _marked(arguments[0], list(arguments[1:]))
    if origin in (types.UnionType, typing.Union):
        # TOML has no null: a key that may be None is a key that may be left out.
        (only,) = (argument for argument in arguments if argument is not type(None))
        return _validated(only)
    if is_dataclass(hint):
        return _model(typing.cast("type", hint))
    if hint is Path:
        return Annotated[Path, pydantic.BeforeValidator(_as_path)]
    if hint in (str, bool, int, float):
        return Annotated[hint, pydantic.Strict()]
    if origin is None or origin is typing.Literal:
        return hint
    return origin[tuple(arg if arg is ... else _validated(arg) for arg in arguments)]


def _marked(base: Any, marks: list[Any]) -> Any:
    measured = next((mark for mark in marks if isinstance(mark, Quantity)), None)
    result = _validated(base)
    for mark in marks:
        match mark:
            case Quantity():
                bounds = next((each for each in marks if isinstance(each, Between)), None)
                result = Annotated[result, pydantic.BeforeValidator(_parser(mark, bounds))]
            case Between() if measured is None:
                result = Annotated[result, pydantic.AfterValidator(_within(mark, None))]
            case Check():
                result = Annotated[result, pydantic.AfterValidator(mark.read)]
            case _:
                pass  # the name that a key is written by says nothing of its value
    return result


def _parser(measured: Quantity, bounds: Between | None) -> Callable[[object], float]:
    within = _within(bounds, measured) if bounds else None

    def parse(value: object) -> float:
        number = _PARSE[measured](value)
        return within(number) if within else number

    return parse


def _within(bounds: Between, measured: Quantity | None) -> Callable[[float], float]:
    write = _FORMAT[measured]

    def within(value: float) -> float:
        if not bounds.lowest <= value <= bounds.highest:
            expected = f"{write(bounds.lowest)} to {write(bounds.highest)}"
            raise ValueError(f"expected {expected}, got {write(value)}")
        return value

    return within


def _as_path(value: object) -> Path:
    if not isinstance(value, _RelativePath):
        raise ValueError(f"expected a path in quotes, got {shown(value)}")  # noqa: TRY004  # pydantic gathers these
    if not value.text or not value.text.isprintable():
        raise ValueError(f"expected a path, got {shown(value.text)}")
    if value.text.startswith("~"):
        raise ValueError(f"{shown(value.text)}: ~ is not expanded; write the whole path")
    return value.folder / value.text


def _path(loc: tuple[int | str, ...], document: Document) -> KeyPath:
    """Where pydantic found a fault, as a path of the document."""
    if loc[-1:] == ("[key]",) and loc not in document.origins:
        return loc[:-1]
    return loc


def _sentence(
    fault: Any,
    path: KeyPath,
    known: dict[KeyPath, Sequence[str]],
    all_sections: dict[str, Section],
) -> str:
    match fault["type"]:
        case "value_error":
            return str(fault["ctx"]["error"])
        case "extra_forbidden":
            return f"unknown key{_guess_key(path, known, all_sections)}"
        case "missing":
            return "has to be given"
        case "literal_error":
            expected = fault["ctx"]["expected"].replace("'", '"')
            return f"expected {expected}, got {shown(fault['input'])}"
        case kind:
            given = fault["input"]
            written = given.text if isinstance(given, _RelativePath) else given
            section = all_sections.get(str(path[0]))
            if kind == "model_type" and section is not None and section.is_named:
                return f"expected tables by name, as [{section.name}.NAME]"
            if kind == "tuple_type" and section is not None and len(path) == 1:
                return f"expected tables, each as [[{section.name}]]"
            return f"expected {_EXPECTED.get(kind, kind)}, got {shown(written)}"


def _guess_key(
    path: KeyPath, known: dict[KeyPath, Sequence[str]], all_sections: dict[str, Section]
) -> str:
    name = str(path[-1])
    near = _guess(name, known.get(path[:-1], []))
    if near or not known:
        return near
    for section in all_sections.values():
        if name in every_key(section.room):
            return f'; did you mean "{section.written}.{name}"?'
    return ""


def _guess(name: str, names: Sequence[str]) -> str:
    if len(name) > GUESS_CHARACTERS:
        return ""
    near = difflib.get_close_matches(name, names, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
