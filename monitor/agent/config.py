"""What `[agent]` may say, and the file that says it: read strictly, with every fault at once.

An agent reads its file without pydantic, which would be most of its memory: the rooms' marks on
their fields are read here by a few lines that know only what the agent's two sections need.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from monitor.agent.place import Place
from monitor.agent.trust import parse_pin
from monitor.collect.config import CollectConfig, default_host_name, host_name
from monitor.collect.subjects import COLLECTOR_NAMES
from monitor.core import quantity
from monitor.core.labels import few_labels, label_name, label_value
from monitor.core.quantity import Between, Bytes, Check, Quantity, Seconds, shown
from monitor.errors import ConfigError, excerpt

if TYPE_CHECKING:
    from monitor.core.toml_lines import KeyPath
    from monitor.core.toml_lines import Place as _Line

Places: TypeAlias = "Mapping[KeyPath, _Line]"
"""Where each key of the file stands."""

FILE_BYTES = 1 << 20
"""The largest configuration; a long one has a thousandth of that."""

RESERVED_LABELS = frozenset({"host", "rule", "severity"})
"""Names that selectors have for themselves; a server refuses them as labels."""

_PARSE = {
    Quantity.SECONDS: quantity.parse_seconds,
    Quantity.BYTES: quantity.parse_bytes,
    Quantity.RATIO: quantity.parse_ratio,
}


def _server(value: str) -> str:
    Place.parse(value)
    return value


def _pin(value: str) -> str:
    parse_pin(value)
    return value


def _listen(value: str) -> str:
    split_listen(value)
    return value


def _own_label(value: str) -> str:
    if value in RESERVED_LABELS:
        raise ValueError(f"{shown(value)} is a name that selectors have for themselves")
    return label_name(value)


def split_listen(value: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``.  Raises `ValueError` with a sentence for the operator."""
    host, colon, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) <= 65_535):
        raise ValueError(f'expected an address such as "127.0.0.1:9461", got {shown(value)}')
    return host, int(port)


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Who this agent is, whom it sends to, and what it keeps meanwhile."""

    server: Annotated[str, Check(_server)] = ""
    """The server's URL."""
    token_file: Path | None = None
    """The agent's token, or an enrolment token that is exchanged for one; with `listen`, what
    scrapers must bring."""
    spool: Path | None = None
    """The folder of the spool and of the lasting identity."""
    spool_size: Annotated[Bytes, Between(1_000_000, 1_000_000_000_000)] = 256_000_000
    spool_age: Annotated[Seconds, Between(60, 30 * 86_400)] = 86_400.0
    """How much is kept, and how long, while the server cannot be reached."""
    name: Annotated[str, Check(host_name)] = field(default_factory=default_host_name)
    labels: Annotated[
        Mapping[Annotated[str, Check(_own_label)], Annotated[str, Check(label_value)]],
        Check(few_labels),
    ] = field(default_factory=dict)
    pin: Annotated[str, Check(_pin)] = ""
    """SHA-256 of the server's certificate or of its authority's."""
    ca: Path | None = None
    """A file of authorities to believe instead of the system's."""
    plain_http: bool = False
    """Whether tokens and numbers may cross a network in the clear."""
    batch: Annotated[Seconds, Between(0, 60)] = 0.0
    """How often is sent where a link is thin; 0 sends each frame."""
    ephemeral: bool = False
    """Whether the host retires instead of going down when it is silent."""
    listen: Annotated[str, Check(_listen)] = ""
    """An address at which the newest frame is served to be polled."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    """What `listen` serves with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The two sections of an agent's file."""

    agent: AgentConfig
    collect: CollectConfig


_SECTIONS: dict[str, type] = {"agent": AgentConfig, "collect": CollectConfig}


def default_spool() -> Path:
    """Where the spool is when nobody says."""
    if os.geteuid() == 0:
        return Path("/var/lib/awoooi-monitor/agent")
    return Path.home() / ".local/state/awoooi-monitor/agent"


def load(path: Path | None, options: Mapping[str, tuple[str, object]]) -> Settings:
    """The settings of a file with those of the command line laid over it.

    `options` are values of `[agent]` by key, each with the option that says it.  Raises
    `ConfigError` with one line for each fault.
    """
    complaints: list[str] = []
    table, places = ({}, {}) if path is None else _read(path, complaints)

    def complain(at: KeyPath, sentence: str) -> None:
        option = options.get(str(at[1])) if at[0] == "agent" and len(at) > 1 else None
        where = option[0] if option else _where(path, places, at)
        complaints.append(f"{where}: {sentence}")

    folders: dict[str, Path] = {}
    for section, keys in table.items():
        if section not in _SECTIONS:
            complain((section,), f"{_quoted(section)} is no section{_guess(section, _SECTIONS)}")
        elif not isinstance(keys, dict):
            complain((section,), "expected a table")
    given = {
        name: dict(found) if isinstance(found := table.get(name), dict) else {}
        for name in _SECTIONS
    }
    for key, (_, value) in options.items():
        given["agent"][key] = value
        folders[key] = Path.cwd()
    base = path.resolve().parent if path is not None else Path.cwd()
    rooms = {
        name: _room(name, room, given[name], lambda key: folders.get(key, base), complain)
        for name, room in _SECTIONS.items()
    }
    if complaints:
        raise ConfigError(complaints)
    settings = Settings(**rooms)
    _require_fitting(settings, complain)
    if complaints:
        raise ConfigError(complaints)
    return settings


def _read(path: Path, complaints: list[str]) -> tuple[dict[str, Any], Places]:
    """The file's table and places; both are empty where it cannot be used, which is said."""
    # Most agents have no file, and the reader of TOML is not small.
    import tomllib  # noqa: PLC0415

    from monitor.core.toml_lines import locate  # noqa: PLC0415

    nothing: tuple[dict[str, Any], Places] = {}, {}
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES + 1)
    except OSError as error:
        complaints.append(f"{path}: cannot be read: {error.strerror}")
        return nothing
    if len(content) > FILE_BYTES:
        complaints.append(f"{path}: is larger than {FILE_BYTES >> 20} MiB")
        return nothing
    try:
        text = content.decode()
    except UnicodeDecodeError:
        complaints.append(f"{path}: is not UTF-8; save the file as UTF-8")
        return nothing
    outline = locate(text)
    complaints += [f"{path}:{place.line}: {sentence}" for place, sentence in outline.faults]
    if outline.faults:
        return nothing
    try:
        return tomllib.loads(text), outline.places
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        complaints.append(f"{path}: {excerpt(str(error))}")
        return nothing


def _room(name: str, room: type, given: dict[str, Any], folder: Any, complain: Any) -> Any:
    """A Config object of these values, or complaints."""
    hints = typing.get_type_hints(room, include_extras=True)
    known = {each.name for each in fields(room)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        path: KeyPath = (name, key)
        if key not in known:
            complain(path, f"{_quoted(key)} is no key of [{name}]{_guess(key, known)}")
            continue
        try:
            values[key] = _value(hints[key], value, folder(key))
        except ValueError as error:
            complain(path, f"{name}.{key}: {error}")
    return room(**values)


def _value(hint: Any, value: Any, folder: Path) -> Any:
    """The value as its field's type and marks want it.  Raises `ValueError`."""
    marks: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *rest = typing.get_args(hint)
        marks = tuple(rest)
    quantities = [mark for mark in marks if isinstance(mark, Quantity)]
    made = _PARSE[quantities[0]](value) if quantities else _plain(hint, value, folder)
    for mark in marks:
        if isinstance(mark, Between) and not mark.lowest <= made <= mark.highest:
            raise ValueError(_range(mark, quantities, value))
        if isinstance(mark, Check):
            made = mark.read(made)
    return made


def _plain(hint: Any, value: Any, folder: Path) -> Any:
    arguments = typing.get_args(hint)
    if Path in (hint, *arguments):
        return folder / _of(str, value, "text in quotes")
    if hint in (str, bool):
        return _of(hint, value, "true or false" if hint is bool else "text in quotes")
    if typing.get_origin(hint) is tuple:
        return tuple(_value(arguments[0], each, folder) for each in _of(list, value, "a list"))
    return {
        _value(arguments[0], name, folder): _value(arguments[1], each, folder)
        for name, each in _of(dict, value, "a table").items()
    }


def _of(kind: type, value: Any, expected: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"expected {expected}, got {shown(value)}")  # noqa: TRY004 - as all here
    return value


def _range(mark: Between, quantities: list[Quantity], value: object) -> str:
    if Quantity.BYTES in quantities:
        ends = [quantity.format_bytes(int(end)) for end in (mark.lowest, mark.highest)]
    else:
        ends = [quantity.format_seconds(end) for end in (mark.lowest, mark.highest)]
    return f"expected from {ends[0]} to {ends[1]}, got {shown(value)}"


def _require_fitting(settings: Settings, complain: Any) -> None:
    """Complain about what is right by itself and wrong together."""
    agent = settings.agent
    if not agent.server and not agent.listen:
        complain(("agent",), "neither --server URL nor --listen HOST:PORT: there is nothing to do")
    if agent.server:
        place = Place.parse(agent.server)
        if not (place.is_secure or place.is_loopback or agent.plain_http):
            complain(
                ("agent", "server"),
                "agent.server: http:// would send the token and all numbers in the clear; use"
                " https://, or say agent.plain_http = true in the configuration file",
            )
        if (agent.pin or agent.ca) and not place.is_secure:
            complain(("agent", "server"), "agent.server: a pin and ca are for https://")
    if agent.pin and agent.ca:
        complain(("agent", "ca"), "agent.ca: give either a pin or ca")
    if (agent.tls_cert is None) != (agent.tls_key is None):
        complain(("agent", "tls_cert"), "agent.tls_cert: tls_cert and tls_key go together")
    is_open = bool(agent.listen) and not _is_loopback(split_listen(agent.listen)[0])
    if is_open and (agent.token_file is None or agent.tls_cert is None):
        complain(
            ("agent", "listen"),
            "agent.listen: beyond this machine token_file, tls_cert and tls_key are needed:"
            " what it serves is not for everybody",
        )
    for name in settings.collect.disabled:
        if name not in COLLECTOR_NAMES:
            guess = _guess(name, COLLECTOR_NAMES)
            complain(("collect", "disabled"), f"there is no collector {shown(name)}{guess}")


def _is_loopback(host: str) -> bool:
    return Place(is_secure=False, host=host, port=0).is_loopback


def _where(path: Path | None, places: Places, at: KeyPath) -> str:
    for length in range(len(at), 0, -1):
        if (place := places.get(at[:length])) is not None:
            return f"{path}:{place.line}:{place.column}"
    return str(path) if path is not None else "monitor agent"


def _quoted(name: str) -> str:
    return shown(name)


def _guess(name: str, known: Any) -> str:
    import difflib  # noqa: PLC0415 - only who errs needs it

    found = difflib.get_close_matches(name[:64], list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""
