"""What changed lately on each host: boots, kernels, agents, mounts, disks, interfaces, comings.

Whoever looks at an alert first asks what was done before.  Changes are seen in two ways: by
looking at the live state now and then, and by folding what the log says of hosts and of this
server.  It knows no rules; three numbers are made of it that rules may ask for.

What was seen by looking alone is kept over a restart (`kept`), so that a machine that reboots
together with this server is seen to have done so.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from monitor.core.state import HostState, LiveState
from monitor.model import Event, EventType, HostStatus, Schema

LOOK_SECONDS = 10.0
"""How often each host is looked at."""

LOOKED_AT_ONCE = 1_000
"""Hosts that one call looks at: a few milliseconds."""

MOST_CHANGES = 20
"""Of one host that are remembered, the newest."""

MOST_TOLD = 10
"""Of one host that an alert's evidence has."""

MOST_NAMES = 3
"""Of things that came or went together, that are told by name."""

BOOTS_SECONDS = 3_600.0
"""The time in which boots are counted."""

FRESH_SECONDS = 600.0
"""How long a boot that was not in order, and another kernel, are told of as a number."""

LONGEST_KEPT_BYTES = 200_000
"""Of `kept`, which is one value of the registry; the hosts seen last go first into it."""

MOST_KEPT_BYTES = 4_000_000
"""Of what is read back, unpacked: more is none of ours."""

TEXT_CHARACTERS = 160

IDENTITY_CHARACTERS = 16
"""Of what names a boot: enough to tell two of one host apart."""

BOOTS = "monitor.host.boots"
UNCLEAN_BOOT = "monitor.host.unclean_boot"
KERNEL_CHANGED = "monitor.host.kernel_changed"
MADE = (BOOTS, UNCLEAN_BOOT, KERNEL_CHANGED)
"""The metrics that `recent` has values of, in its order; 0 for every host that is not in it."""

_SUBJECTS = (
    ("filesystem", "system.filesystem.utilization", "mountpoint"),
    ("disk", "system.disk.io", "device"),
    ("interface", "system.network.io", "interface"),
)
"""Things that come and go, and the series by which that is seen."""

_GOODBYE = "its agent said goodbye"
"""The reason of a host's update, as `monitor.pipeline` says it."""

_OF_SERVER = frozenset({"reload", "leader"})
"""Kinds of notices that concern every host: rules judge with another configuration since."""


Row: TypeAlias = tuple[Any, ...]
"""What is kept of one host."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that changed, at an instant in unix seconds."""

    at: float
    text: str


@dataclass(slots=True)
class _Known:
    """What a host was when it was last looked at, and what changed before."""

    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=MOST_CHANGES))
    version: int = -1
    schema: Schema | None = None
    subjects: dict[str, frozenset[str]] = field(default_factory=dict)
    boot_id: str = ""
    boot_time: float = math.nan
    uptime: float = math.nan
    kernel: str = ""
    agent: str = ""
    labels: dict[str, str] | None = None
    at: float = 0.0
    seen_at: float = 0.0
    goodbye_at: float = 0.0
    boots: deque[float] = field(default_factory=lambda: deque(maxlen=16))
    unclean_at: float = -math.inf
    kernel_at: float = -math.inf

    def add(self, at: float, text: str) -> None:
        self.changes.append(Change(at, _plain(text)))


class Changes:
    """What changed lately, of every host."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Known] = {}
        self._server: deque[Change] = deque(maxlen=MOST_CHANGES)
        self._waiting: list[str] = []
        self._began = -math.inf

    def look(self, state: LiveState, now: float) -> None:
        """Compare hosts with what they were; the first look at one only remembers it.

        To be called every second or so: each host has its turn once in `LOOK_SECONDS`.
        """
        if not self._waiting and not 0 <= now - self._began < LOOK_SECONDS:
            self._began = now
            self._waiting = list(state.hosts)
            for name in self._hosts.keys() - state.hosts.keys():
                del self._hosts[name]
        turn, self._waiting = self._waiting[:LOOKED_AT_ONCE], self._waiting[LOOKED_AT_ONCE:]
        for name in turn:
            host = state.hosts.get(name)
            if host is None:
                continue
            known = self._hosts.get(name)
            if known is None:
                known = self._hosts[name] = _Known()
            if host.version != known.version or host.labels != known.labels:
                self._compare(host, known, now)

    def fold(self, event: Event) -> None:
        """Take in what the log says of a host, or of this server."""
        data = event.data
        if event.type is EventType.HOST_UPDATE:
            known = self._hosts.setdefault(str(data.get("host")), _Known())
            reason, status = str(data.get("reason")), data.get("status")
            if reason == _GOODBYE:
                known.goodbye_at = event.at
            match status:
                case HostStatus.UP.value if data.get("was") is None:
                    known.add(event.at, "first seen")
                case HostStatus.UP.value:
                    known.add(event.at, "heard of again")
                case HostStatus.DOWN.value:
                    known.add(event.at, "down")
                case HostStatus.RETIRED.value:
                    known.add(event.at, "retired")
                case _ if reason == _GOODBYE:
                    known.add(event.at, "agent ended in good order")
                case _:
                    pass
        elif event.type is EventType.NOTICE and data.get("kind") in _OF_SERVER:
            self._server.append(Change(event.at, _plain(str(data.get("text")))))

    def knows(self, host: str) -> bool:
        """Whether there is anything of a host that a change can be seen against."""
        return host in self._hosts

    def of(self, host: str, since: float) -> list[dict[str, Any]]:
        """What changed since an instant, oldest first: ``{"at", "text"}``, the newest few."""
        known = self._hosts.get(host)
        found = [
            change
            for change in (*(known.changes if known else ()), *self._server)
            if change.at >= since
        ]
        found.sort(key=lambda change: change.at)
        return [{"at": change.at, "text": change.text} for change in found[-MOST_TOLD:]]

    def recent(self, now: float) -> dict[str, tuple[float, float, float]]:
        """The values of `MADE` of every host for which one of them is not 0."""
        found = {}
        for name, known in self._hosts.items():
            if not known.boots and known.kernel_at == -math.inf:
                continue
            boots = sum(now - at < BOOTS_SECONDS for at in known.boots)
            unclean = now - known.unclean_at < FRESH_SECONDS
            kernel = now - known.kernel_at < FRESH_SECONDS
            if boots or unclean or kernel:
                found[name] = (float(boots), float(unclean), float(kernel))
        return found

    def _compare(self, host: HostState, known: _Known, now: float) -> None:
        booted = self._booted(host, known)
        if booted:
            was_heard = known.seen_at > 0 and known.agent != "" and "" in host.lanes
            unclean = was_heard and known.goodbye_at < known.seen_at
            known.boots.append(now)
            if unclean:
                known.unclean_at = now
            known.add(now, "booted without having been shut down" if unclean else "booted")
        self._note_system(host, known, now)
        if host.schema is not known.schema:
            self._note_subjects(host, known, now)
        if host.labels != known.labels:
            if known.labels is not None:
                known.add(now, _relabelled(known.labels, host.labels))
            known.labels = dict(host.labels)
        known.version, known.at, known.seen_at = host.version, host.at, host.seen_at

    @staticmethod
    def _booted(host: HostState, known: _Known) -> bool:
        """Whether it booted since the last look; the present boot is remembered."""
        identity = _system(host, "boot_id")[:IDENTITY_CHARACTERS]
        boot_time, uptime = host.value("system.boot_time"), host.value("system.uptime")
        if identity and known.boot_id:
            booted = identity != known.boot_id
        else:
            # A boot lies after what was last heard; a clock that was set moves the instant of the
            # boot too, but not how long ago it was.
            booted = boot_time > known.at > 0 and uptime < known.uptime
        known.boot_id = identity
        known.boot_time, known.uptime = boot_time, uptime
        return booted

    @staticmethod
    def _note_system(host: HostState, known: _Known, now: float) -> None:
        kernel = _system(host, "kernel") or host.info.get("kernel", "")
        agent = host.info.get("version", "")
        if kernel and kernel != known.kernel:
            if known.kernel:
                known.kernel_at = now
                known.add(now, f"kernel {kernel} instead of {known.kernel}")
            known.kernel = kernel
        if agent and agent != known.agent:
            if known.agent:
                known.add(now, f"agent {agent} instead of {known.agent}")
            known.agent = agent

    @staticmethod
    def _note_subjects(host: HostState, known: _Known, now: float) -> None:
        """What came and went among the things of a host; the first look only remembers them."""
        is_first = known.schema is None
        columns, keys = host.schema.columns_by_name, host.schema.keys
        for word, metric, attribute in _SUBJECTS:
            names = frozenset(keys[column].get(attribute) for column in columns.get(metric, ()))
            before = known.subjects.get(word, frozenset())
            known.subjects[word] = names
            if not is_first:
                for verb, found in (("new", names - before), ("gone", before - names)):
                    if found:
                        known.add(now, f"{verb}: {word} {_listed(found)}")
        known.schema = host.schema

    # Over a restart

    def kept(self) -> list[Row]:
        """What a restart must know, of the hosts that were seen last first; `packed` packs it."""
        latest = sorted(self._hosts.items(), key=lambda each: -each[1].at)
        return [
            (
                name,
                known.boot_id,
                known.kernel,
                known.agent,
                _number(known.boot_time),
                _number(known.uptime),
                known.at,
                tuple(known.boots),
                tuple((change.at, change.text) for change in known.changes),
            )
            for name, known in latest
        ]

    def restore(self, kept: bytes) -> None:
        """Go on with what was kept; what is no such thing is ignored."""
        for name, *row in _unpacked(kept):
            known = self._hosts.setdefault(name, _Known())
            if known.version >= 0:
                continue  # it was looked at already
            try:
                boot_id, kernel, agent, boot_time, uptime, at, boots, changes = row
                known.boots.extend(float(each) for each in boots)
                earlier = [Change(float(when), str(text)) for when, text in changes]
                known.at = float(at)
            except (TypeError, ValueError):
                continue
            known.boot_id, known.kernel, known.agent = str(boot_id), str(kernel), str(agent)
            known.boot_time, known.uptime = _known(boot_time), _known(uptime)
            later = [change for change in known.changes if change not in earlier]
            known.changes.clear()
            known.changes.extend(sorted((*earlier, *later), key=lambda change: change.at))


def packed(kept: Sequence[Row]) -> bytes:
    """What `Changes.kept` says as one value of the registry; the last hosts go where it is large.

    It takes a tenth of a second for ten thousand hosts, so it is for another thread.
    """
    most = len(kept)
    while True:
        found = zlib.compress(json.dumps({"v": 1, "hosts": kept[:most]}).encode(), 6)
        if len(found) <= LONGEST_KEPT_BYTES or not most:
            return found
        most = min(most - 1, int(most * LONGEST_KEPT_BYTES / len(found)))


def _unpacked(kept: bytes) -> Iterator[list[Any]]:
    try:
        found = json.loads(zlib.decompressobj().decompress(kept, MOST_KEPT_BYTES))
        for row in found["hosts"]:
            if isinstance(row, list) and row and isinstance(row[0], str):
                yield row
    except (zlib.error, ValueError, KeyError, TypeError):
        return


def _plain(text: str) -> str:
    """Words of others in one short line."""
    return "".join(c if c.isprintable() else " " for c in text[:TEXT_CHARACTERS])


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _known(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _system(host: HostState, fact: str) -> str:
    """A fact of the host's table ``system``, or the empty text."""
    snapshot = host.snapshots.get("system")
    value = snapshot.rows[0].get(fact) if snapshot is not None and snapshot.rows else None
    return value if isinstance(value, str) else ""


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = len(listed) - MOST_NAMES
    shown = ", ".join(listed[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown


def _relabelled(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
    return "labels changed: " + _listed(f"{name}={now.get(name, '')}" for name in names)
