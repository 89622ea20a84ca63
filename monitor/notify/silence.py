"""A silence: of which alerts nobody is told, until when or on which schedule.

A silence with a schedule is a maintenance.  What a silence takes is still judged and shown.  It
knows labels and instants; where silences are kept is for `monitor.notify.silences`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import msgspec

from monitor.core.selectors import Selector, Term
from monitor.notify.config import SilenceConfig
from monitor.notify.schedules import Schedule, parse_until

CONFIGURED = "config:"
"""What the ids of the configuration's begin with."""

_SPECIAL = re.compile(r"[*?\\]")

State = Literal["pending", "active", "expired"]


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts whose labels `match` takes are not told of while it holds.

    Instants are unix seconds.  It begins at `starts` and is over at `until`, if it ends; within
    that it holds always, or as its schedule says.  `origin` is the place of a configured one as
    ``file:line``.
    """

    id: str
    match: Selector
    starts: float
    until: float | None = None
    schedule: Schedule | None = None
    comment: str = ""
    by: str = ""
    created: float = 0.0
    ended_by: str = ""
    origin: str = ""

    @property
    def is_configured(self) -> bool:
        """Whether it stands in a file, where alone it can be ended."""
        return self.id.startswith(CONFIGURED)

    def holds(self, at: float) -> bool:
        """Whether it silences at an instant."""
        if at < self.starts or self.is_over(at):
            return False
        return self.schedule is None or self.schedule.holds(at)

    def is_over(self, at: float) -> bool:
        """Whether it will never hold again."""
        return self.until is not None and at >= self.until

    def next_change(self, at: float) -> float:
        """The next instant at which it may hold, or no longer hold; infinite where none comes."""
        if self.is_over(at):
            return math.inf
        found = [math.inf if self.until is None else self.until]
        if at < self.starts:
            found.append(self.starts)
        elif self.schedule is not None:
            found.append(self.schedule.next_change(at))
        return min(found)

    def state(self, at: float) -> State:
        """In a word: ``pending`` before it holds, ``active``, or ``expired``."""
        if self.is_over(at):
            return "expired"
        return "active" if self.holds(at) else "pending"


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A silence as the registry has it."""

    match: str
    starts: float
    until: float | None = None
    schedule: str = ""
    comment: str = ""
    by: str = ""
    created: float = 0.0
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """The silences that hold from one instant until another, so that each alert asks only those.

    Most name a host, or something else, by its value or by how that begins: they are asked only
    where the alert has it.
    """

    since: float
    until: float
    plain: Sequence[Silence] = ()
    """Those that every alert asks."""
    named: Mapping[tuple[str, str], Sequence[Silence]] = field(default_factory=dict)
    """By a label's name and its value."""
    begun: Mapping[tuple[str, str], Sequence[Silence]] = field(default_factory=dict)
    """By a label's name and what its value begins with."""
    lengths: frozenset[tuple[str, int]] = frozenset()
    """Names of labels, and how long such beginnings are."""

    @classmethod
    def at(cls, silences: Sequence[Silence], now: float) -> Holding:
        """Those that hold at an instant, and until the first of all changes."""
        plain: list[Silence] = []
        named: dict[tuple[str, str], list[Silence]] = {}
        begun: dict[tuple[str, str], list[Silence]] = {}
        for each in silences:
            if not each.holds(now):
                continue
            telling = filter(_is_telling, each.match.terms)
            term = min(telling, key=lambda term: term.name != "host", default=None)
            if term is None:
                plain.append(each)
                continue
            for value in term.values:
                named.setdefault((term.name, value), []).append(each)
            for beginning in set(map(_beginning, term.patterns)):
                begun.setdefault((term.name, beginning), []).append(each)
        until = min((each.next_change(now) for each in silences), default=math.inf)
        lengths = frozenset((name, len(beginning)) for name, beginning in begun)
        return cls(now, until, plain, named, begun, lengths)

    def of(self, labels: Mapping[str, str]) -> Silence | None:
        """One that takes these labels."""
        return next((each for each in self._asked(labels) if each.match.matches(labels)), None)

    def _asked(self, labels: Mapping[str, str]) -> Iterator[Silence]:
        if self.named:
            for pair in labels.items():
                yield from self.named.get(pair, ())
        for name, length in self.lengths:
            yield from self.begun.get((name, labels.get(name, "")[:length]), ())
        yield from self.plain


def _is_telling(term: Term) -> bool:
    """Whether what it takes can be told by values, or by how they begin."""
    # An alert without the label has it empty, and is not found by it.
    return not term.negated and "" not in term.values and all(map(_beginning, term.patterns))


def _beginning(pattern: str) -> str:
    """What everything that a glob takes begins with."""
    return _SPECIAL.split(pattern, maxsplit=1)[0]


def configured(
    configs: Sequence[SilenceConfig], origins: Mapping[str, str] = MappingProxyType({})
) -> list[Silence]:
    """The silences of a configuration, which was checked; `origins` are `Settings.origins`.

    Raises `ValueError` with a sentence where a time cannot be read all the same.
    """
    return [
        Silence(
            id=f"{CONFIGURED}{place}",
            match=each.match,
            starts=-math.inf,
            until=parse_until(each.until) if each.until else None,
            schedule=Schedule.parse(each.schedule) if each.schedule else None,
            comment=each.comment,
            by="the configuration",
            origin=origins.get(f"silences.{place}", ""),
        )
        for place, each in enumerate(configs)
    ]


def encoded(silence: Silence) -> bytes:
    """A silence as the registry's value."""
    return msgspec.json.encode(
        Record(
            match=silence.match.text,
            starts=silence.starts,
            until=silence.until,
            schedule=silence.schedule.text if silence.schedule else "",
            comment=silence.comment,
            by=silence.by,
            created=silence.created,
            ended_by=silence.ended_by,
        )
    )


def decoded(id_: str, value: bytes) -> Silence:
    """The silence of a registry's value.  Raises where it is none: see `msgspec`, `parse`."""
    found = msgspec.json.decode(value, type=Record)
    return Silence(
        id=id_,
        match=Selector.parse(found.match),
        starts=found.starts,
        until=found.until,
        schedule=Schedule.parse(found.schedule) if found.schedule else None,
        comment=found.comment,
        by=found.by,
        created=found.created,
        ended_by=found.ended_by,
    )
