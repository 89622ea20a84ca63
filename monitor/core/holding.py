"""Which alerts are held back: they fire and are shown, and nobody is told of them for now.

A host that is away holds back its own alerts, an outage of much of the fleet those of the hosts
that are away, and a rule may name others that hold it back while they fire for the same host and
the same attributes, as far as both have them.  What is held back is never lost: once nothing holds
it and it still fires, it is told.  One hop is enough: whether the holder is held itself is not
asked.  Ends are never held back from whoever was told of the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from monitor.core.book import Alert
from monitor.core.messages import Alert as Said
from monitor.model import HostStatus

HOST_UNREACHABLE = "host_unreachable"
"""The rule that tells of a host that is away; it holds back all others of the host."""

FLEET_UNREACHABLE = "fleet_unreachable"
"""The rule that tells of many hosts that went away together; it holds back `HOST_UNREACHABLE`."""

AWAY = frozenset({HostStatus.STALE, HostStatus.DOWN})


def holder(
    said: Said,
    status: HostStatus | None,
    beside: Iterable[Alert],
    is_fleet_away: bool,
) -> str:
    """The rule that holds an alert back, or nothing.

    `status` is its host's, `beside` are the open alerts of the same host, `is_fleet_away` is
    whether `FLEET_UNREACHABLE` fires anywhere.  A drill is never held back.
    """
    if said.is_drill or said.rule == FLEET_UNREACHABLE:
        return ""
    if said.rule == HOST_UNREACHABLE:
        return FLEET_UNREACHABLE if is_fleet_away else ""
    if status in AWAY:
        return HOST_UNREACHABLE
    for other in beside:
        if other.id == said.alert or other.said.is_drill:
            continue
        if other.rule == HOST_UNREACHABLE:
            return HOST_UNREACHABLE
        if other.rule in said.held_by and _agree(said.attributes, other.attributes):
            return other.rule
    return ""


def _agree(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return all(other[name] == value for name, value in one.items() if name in other)
