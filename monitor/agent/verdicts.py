"""What follows from a refusal: one place where every code of the server's has its answer; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from monitor.agent.link import Problem

_FRAME = re.compile(r"frames\[(\d{1,6})\]")

_HANG_UP = frozenset({"host_taken", "own_host", "schema_version"})
"""Nothing we say will be taken until somebody has acted."""

_HANG_UP_STATUSES = frozenset({401, 403, 404, 405, 415, 421, 426})
"""The same: who we are, where we knock, or that it is an older server."""

_LATER = frozenset({408, 429, 500, 502, 503, 504, 507})
"""Statuses after which the same may work."""

DEFAULT_LATER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SendList:
    """The server has not got the list of KEYs: send the same with the list."""


@dataclass(frozen=True, slots=True)
class Renumber:
    """Send the same as another document: the number was used."""


@dataclass(frozen=True, slots=True)
class WithoutFrame:
    """Send the rest without this frame."""

    position: int


@dataclass(frozen=True, slots=True)
class WithoutTables:
    """Send the same without tables: the server does not know their kind."""


@dataclass(frozen=True, slots=True)
class Halve:
    """Send the same as two documents: it was too much for one."""


@dataclass(frozen=True, slots=True)
class Drop:
    """None of it will ever be taken."""


@dataclass(frozen=True, slots=True)
class Later:
    """Send the same again after so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the connection, say why, and try again slowly."""


Verdict: TypeAlias = (
    SendList | Renumber | WithoutFrame | WithoutTables | Halve | Drop | Later | HangUp
)


def judge(problem: Problem, frames: int, *, has_tables: bool) -> Verdict:
    """What to do with a document of so many frames that was refused for this reason."""
    if problem.code in _HANG_UP or problem.status in _HANG_UP_STATUSES:
        return HangUp()
    if problem.code == "unknown_schema":
        return SendList()
    if problem.code == "seq_conflict":
        return Renumber()
    if problem.status in _LATER or problem.retry_after is not None:
        return Later(problem.retry_after or DEFAULT_LATER_SECONDS)
    if (named := _FRAME.match(problem.field)) and int(named[1]) < frames:
        return Drop() if frames == 1 else WithoutFrame(int(named[1]))
    if has_tables and problem.field.startswith("snapshots"):
        return WithoutTables()
    if frames > 1:
        # One of them may be at fault, or all together are too much: halves will tell.
        return Halve()
    return Drop()
