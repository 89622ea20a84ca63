"""What a push says of its sender: whose host, which agent, on what machine, in which protocol.

All of it is somebody's word, judged here for its form only.
"""

from __future__ import annotations

from typing import Any

from monitor.errors import InputError
from monitor.ingest import names
from monitor.model import Introduction

OLDEST_PROTOCOL, NEWEST_PROTOCOL = 1, 1
"""The versions of the push protocol that are spoken here.  One goes up where an older server must
not ignore what a newer agent says."""

LONGEST_INTERVAL_SECONDS = 86_400.0
"""How seldom an agent may mean to send."""

_TEXTS = ("version", "os", "kernel", "arch", "machine_id", "python")
"""What `info` may say in words."""


class TurnedAway(InputError):
    """A sender that somebody should look at; `introduction` is who."""

    introduction: Introduction


class WrongClock(TurnedAway):
    """A sender whose instants cannot be; `wrong` says which and why."""

    def __init__(self, said: Introduction, wrong: InputError) -> None:
        super().__init__(wrong.detail, code=wrong.code, field=wrong.field, limit=wrong.limit)
        self.introduction = said


class UnknownProtocol(TurnedAway):
    """A sender that is too new, or too old."""

    code = "schema_version"

    def __init__(self, said: Introduction, version: int) -> None:
        age = "newer" if version > NEWEST_PROTOCOL else "older"
        spoken = f"{OLDEST_PROTOCOL} to {NEWEST_PROTOCOL}"
        detail = (
            f"this server speaks the push protocol {spoken}, and the sender is {age}: it says"
            f" {version}; update the server first, then its agents"
        )
        super().__init__(detail, field="protocol", limit=NEWEST_PROTOCOL)
        self.introduction = said


def introduction(document: dict[str, Any]) -> Introduction:
    """Who sends a push, as it says.

    Raises `InputError`, and `UnknownProtocol` before anything else is looked at but its host.
    """
    if document.get("host") is None:
        detail = "host is missing: a push says whose it is"
        raise InputError(detail, code="bad_shape", field="host")
    host = names.host(document["host"])
    version = document.get("protocol")
    if version is None:
        return _introduced(host, document)
    if type(version) is not int:
        raise InputError("protocol is a whole number", code="bad_type", field="protocol")
    if OLDEST_PROTOCOL <= version <= NEWEST_PROTOCOL:
        return _introduced(host, document)
    try:
        said = _introduced(host, document)
    except InputError:  # who knows what it may say there
        said = Introduction(host)
    raise UnknownProtocol(said, version)


def _introduced(host: str, document: dict[str, Any]) -> Introduction:
    agent, labels = document.get("agent"), document.get("labels")
    info, interval, is_ephemeral = _info(document.get("info"))
    return Introduction(
        host=host,
        agent=None if agent is None else names.identity(agent, "agent"),
        labels=None if labels is None else names.labels(labels),
        info=info,
        interval_seconds=interval,
        is_ephemeral=is_ephemeral,
    )


def _info(said: Any) -> tuple[dict[str, str] | None, float, bool | None]:
    """What a sender says of its machine, how often it sends, and whether its host is to last."""
    if said is None:
        return None, 0.0, None
    if not isinstance(said, dict):
        raise InputError("info is an object", code="bad_type", field="info")
    found = {}
    for name in _TEXTS:
        if said.get(name) is not None:
            found[name] = _word(said[name], f"info.{name}")
    interval, is_ephemeral = said.get("interval"), said.get("ephemeral")
    if interval is None:
        interval = 0.0
    elif type(interval) not in {int, float} or not 0 < interval <= LONGEST_INTERVAL_SECONDS:
        detail = "info.interval is how often the sender means to send, in seconds"
        limit = LONGEST_INTERVAL_SECONDS
        raise InputError(detail, code="number_range", field="info.interval", limit=limit)
    if type(is_ephemeral) not in {bool, type(None)}:
        detail = "info.ephemeral is true or false"
        raise InputError(detail, code="bad_type", field="info.ephemeral")
    return found, float(interval), is_ephemeral


def is_word(said: str) -> bool:
    """Whether this may be said of a machine, whoever says it."""
    return 0 < len(said) <= names.LONGEST_LABEL_CHARACTERS and said.isprintable()


def _word(value: Any, field: str) -> str:
    found = names.text(value, field)
    if found and not is_word(found):
        limit = names.LONGEST_LABEL_CHARACTERS
        detail = f"{field} has at most {limit} printable characters"
        raise InputError(detail, code="limit_name", field=field, limit=limit)
    return found
