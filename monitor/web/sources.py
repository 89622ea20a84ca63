"""Who sends a host's values, in words: its agent, a scrape, remote write, a collector.

A source is a lane's name (`monitor.core.state.Lane`): empty for the agent, else a kind, and after
a colon which one of that kind it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from monitor.core.state import HostState, is_late
from monitor.web.format import duration

AGENT = "agent"
"""What the source without a name is called."""

NOW_SECONDS = 2.0
"""Less than so long ago is now."""

LAGGING_SECONDS = 2.0
"""Frames that take longer from being measured to arriving are said to."""

MOST_SOURCES = 32
"""Sources shown of one host; it has as many as send for it."""

SKEWED_SECONDS = 2.0
"""A clock that is further from ours is said to be wrong: what it stamps lies elsewhere."""

ID_CHARACTERS = 12
"""Of an id that is shown: enough to tell two apart."""

_KINDS = {
    "scrape": "scraped",
    "write": "Prometheus remote write",
    "otlp": "OpenTelemetry",
    "simple": "pushed by hand",
}


@dataclass(frozen=True, slots=True)
class Source:
    """One who sends: `every` is its period in words, `heard` when it last came.

    `lag` is how long its newest frame was under way, where that is long, and `is_late` says that
    it should have come again by now.
    """

    words: str
    every: str
    heard: str
    lag: str
    is_late: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """Where a host's values come from: `facts` of its agent, its `sources`, its clock.

    `skew` says how wrong that is, where it is; `is_own` that the server runs on the host itself.
    """

    facts: tuple[tuple[str, str], ...]
    sources: tuple[Source, ...]
    skew: str
    is_own: bool


def sender(host: HostState, now: float, own_host: str, agent: str | None) -> Sender:
    """Where a host's values come from at `now`, unix seconds; `agent` is its agent's id."""
    info = host.info
    facts = [
        ("Agent", (agent or "")[:ID_CHARACTERS]),
        ("Version", info.get("version", "")),
        ("Python", info.get("python", "")),
        ("Machine id", info.get("machine_id", "")[:ID_CHARACTERS]),
        ("System", info.get("os", "")),
        ("Kernel", " ".join(info[name] for name in ("kernel", "arch") if info.get(name))),
        ("When silent", "retires" if host.is_ephemeral else ""),
    ]
    found = sources(host, now, own_host)
    shown = tuple((label, words) for label, words in facts if words)
    return Sender(shown, found, skew_words(host.skew_seconds), host.name == own_host)


def skew_words(seconds: float) -> str:
    """How wrong a host's clock is; empty where it is right, or that is not known."""
    if not math.isfinite(seconds) or abs(seconds) <= SKEWED_SECONDS:
        return ""
    return f"clock {duration(abs(seconds))} {'behind' if seconds > 0 else 'ahead'}"


def source_name(name: str) -> str:
    """A source as the API and lists name it."""
    return name or AGENT


def source_words(name: str, *, is_own: bool = False) -> str:
    """A source as people read it."""
    if not name:
        return "this server itself" if is_own else "its agent"
    kind, _, which = name.partition(":")
    words = _KINDS.get(kind, kind)
    return f"{words}: {which}" if which else words


def sources(host: HostState, now: float, own_host: str) -> tuple[Source, ...]:
    """Who sends this host's values at `now`, unix seconds."""
    found = []
    skew = host.skew_seconds if math.isfinite(host.skew_seconds) else 0.0
    for name, lane in sorted(host.lanes.items())[:MOST_SOURCES]:
        if not lane.heard_at:
            continue
        age = max(0.0, now - lane.heard_at)
        under_way = lane.heard_at - lane.at - (0.0 if name else skew)
        period = lane.period_seconds
        found.append(
            Source(
                source_words(name, is_own=host.name == own_host),
                f"every {_rounded(period)}" if period else "",
                f"{duration(age)} ago" if age >= NOW_SECONDS else "now",
                duration(under_way) if under_way > LAGGING_SECONDS else "",
                is_late(age, period),
            )
        )
    return tuple(found)


def _rounded(period: float) -> str:
    """A period that was learnt, without its jitter."""
    return duration(round(period)) if period >= 1 else f"{period * 1000:.0f} ms"
