"""What a channel's checkpoint holds: its ledger, the notification under way, how it stands.

Alerts are kept as positions in the log, which has what they say: ten thousand of them are some
tens of kilobytes.  A checkpoint is one value of the registry and has a bound; what does not fit is
left out, the least important first, and counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from monitor.notify.folding import Ledger
from monitor.notify.groups import NEVER_TOLD, Entry, Group, Member

LONGEST_STATE_BYTES = 240 * 1024
"""Of the 256 KiB that a value of the registry has; the rest is room for positions and names."""

MOST_STATE_BYTES_INFLATED = 16 * 1024 * 1024
"""What is read back is no larger: the bound of `Ledger` makes it a few megabytes."""

LEFT_OUT_AT_ONCE = 0.1
"""Which part of the entries goes, again and again, until the rest fits."""

VERSION = 1

_FLAPPING, _FLAPPING_TOLD, _BLOCKED, _QUIET = 1, 2, 4, 8


class Frozen(msgspec.Struct, array_like=True):
    """A notification under way, from before its first attempt until it has arrived.

    `position` is how far the log was read when it was made: the notice of its delivery comes
    after.
    """

    key: str
    at: float
    members: tuple[tuple[str, int, int, float, float, int], ...]
    left_out: int
    labels: dict[str, str]
    is_repeat: bool
    is_drill: bool
    groups: tuple[str, ...]
    position: int
    failures: int = 0

    def told(self) -> Iterator[Member]:
        """Its alerts."""
        return (Member(*each) for each in self.members)


class Health(msgspec.Struct, array_like=True):
    """How it stands with the channel; instants in unix seconds, 0 for never."""

    delivered_at: float = 0.0
    failing_since: float = 0.0
    failure: str = ""


class _Group(msgspec.Struct, array_like=True):
    name: str
    labels: dict[str, str]
    is_drill: bool
    wait_seconds: float
    repeat_seconds: float
    sent: list[float]
    told_at: float


class _Columns(msgspec.Struct, array_like=True):
    """Entries by columns, ascending by their first position.

    Positions and instants, these in milliseconds, are differences: most are small.
    """

    first: list[int]
    newest: list[int]
    fired: list[int]
    came: list[int]
    ended: list[int]
    rank: list[int]
    told: list[int]
    flags: list[int]
    group: list[int]


class _Kept(msgspec.Struct, array_like=True):
    version: int
    epoch: str
    groups: list[_Group]
    entries: _Columns
    left_out: int
    gathers: bool
    frozen: Frozen | None
    health: Health


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint that was read.  `entries` have no id yet: the log says it, at `newest`."""

    epoch: str
    entries: tuple[Entry, ...]
    groups: dict[str, Group]
    left_out: int
    gathers: bool
    frozen: Frozen | None
    health: Health


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)


def encode(ledger: Ledger, frozen: Frozen | None, health: Health, epoch: str) -> bytes:
    """A checkpoint's state.  What does not fit goes from the ledger, too, and is counted there."""
    while True:
        entries = sorted(ledger.entries.values(), key=lambda entry: entry.first)
        names = {name: number for number, name in enumerate(ledger.groups)}
        groups = [
            _Group(
                name,
                dict(group.labels),
                group.is_drill,
                group.wait_seconds,
                group.repeat_seconds,
                group.sent,
                group.told_at,
            )
            for name, group in ledger.groups.items()
        ]
        kept = _Kept(
            VERSION,
            epoch,
            groups,
            _columns(entries, names),
            ledger.left_out,
            ledger.gathers,
            frozen,
            health,
        )
        state = zlib.compress(_encoder.encode(kept), 3)
        if len(state) <= LONGEST_STATE_BYTES or not entries:
            return state
        leaving = sorted(entries, key=_least_first)[: 1 + int(len(entries) * LEFT_OUT_AT_ONCE)]
        ledger.forget([entry.id for entry in leaving])
        ledger.left_out += sum(entry.told == NEVER_TOLD for entry in leaving)
        for name in [name for name, group in ledger.groups.items() if not group.entries]:
            del ledger.groups[name]


def decode(state: bytes) -> Kept | None:
    """What a checkpoint's state says; none where it is damaged, or of a version to come."""
    try:
        inflater = zlib.decompressobj()
        kept = _decoder.decode(inflater.decompress(state, MOST_STATE_BYTES_INFLATED))
        if kept.version != VERSION:
            return None
        groups = {
            group.name: Group(
                group.labels,
                group.is_drill,
                group.wait_seconds,
                group.repeat_seconds,
                group.sent,
                group.told_at,
            )
            for group in kept.groups
        }
        entries = tuple(_entries(kept.entries, [group.name for group in kept.groups]))
    except (zlib.error, msgspec.DecodeError, ValueError, IndexError):
        return None
    return Kept(kept.epoch, entries, groups, kept.left_out, kept.gathers, kept.frozen, kept.health)


def _columns(entries: Sequence[Entry], groups: dict[str, int]) -> _Columns:
    fired = [_milliseconds(entry.fired_at) for entry in entries]
    return _Columns(
        _differences([entry.first for entry in entries]),
        [entry.newest - entry.first for entry in entries],
        _differences(fired),
        [_milliseconds(entry.came_at) - at for entry, at in zip(entries, fired, strict=True)],
        [
            _milliseconds(entry.ended_at) - at + 1 if entry.ended_at else 0
            for entry, at in zip(entries, fired, strict=True)
        ],
        [entry.rank for entry in entries],
        [entry.told for entry in entries],
        [
            _FLAPPING * entry.is_flapping
            + _FLAPPING_TOLD * entry.is_flapping_told
            + _BLOCKED * entry.is_blocked
            + _QUIET * entry.is_quiet
            for entry in entries
        ],
        [groups[entry.group] for entry in entries],
    )


def _entries(kept: _Columns, groups: Sequence[str]) -> Iterator[Entry]:
    first = fired = 0
    columns = (
        kept.first, kept.newest, kept.fired, kept.came, kept.ended,
        kept.rank, kept.told, kept.flags, kept.group,
    )  # fmt: skip
    for more, newest, later, came, ended, rank, told, flags, group in zip(*columns, strict=True):
        first += more
        fired += later
        yield Entry(
            "",
            first,
            first + newest,
            fired / 1000.0,
            rank,
            (fired + came) / 1000.0,
            groups[group],
            told,
            (fired + ended - 1) / 1000.0 if ended else 0.0,
            bool(flags & _FLAPPING),
            bool(flags & _FLAPPING_TOLD),
            bool(flags & _BLOCKED),
            bool(flags & _QUIET),
        )


def _differences(values: Sequence[int]) -> list[int]:
    return [value - before for value, before in zip(values, [0, *values], strict=False)]


def _milliseconds(at: float) -> int:
    return round(at * 1000.0)


def _least_first(entry: Entry) -> tuple[bool, int, float]:
    """What is untold stays longest, and of the rest what is worst and newest."""
    return entry.told == NEVER_TOLD and not entry.ended_at, entry.rank, entry.fired_at
