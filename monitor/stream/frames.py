"""State as the stream carries it: the payloads of ``metric_update`` (STREAM section 1).

It knows the live state and versions, and nothing of readers, bytes or time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from monitor.core.headline import HEADLINE_KEYS, headline
from monitor.core.state import LiveState

MOST_METRICS = 2_000
"""Values in one message of a host; a larger host comes in several."""

MOST_HOSTS = 500
"""Hosts in one message of the fleet; a larger fleet comes in several."""

_HOST = "host:"


def is_state(topic: str) -> bool:
    """Whether a topic carries state, and not events alone."""
    return topic == "fleet" or topic.startswith(_HOST)


def version(state: LiveState, topic: str) -> int:
    """The version at which a topic's state last changed; 0 where it has none."""
    if topic == "fleet":
        return state.version
    host = state.hosts.get(topic.removeprefix(_HOST))
    return 0 if host is None else host.version


def changes(state: LiveState, topic: str, seen: int) -> Iterator[dict[str, object]]:
    """What changed on a topic since a version, in as few messages as the bounds allow."""
    return _fleet(state, seen) if topic == "fleet" else _host(state, topic, seen)


def _fleet(state: LiveState, seen: int) -> Iterator[dict[str, object]]:
    changed = iter([host for host in state.hosts.values() if host.version > seen])
    while some := list(islice(changed, MOST_HOSTS)):
        yield {
            "at": max(host.at for host in some),
            "metrics": HEADLINE_KEYS,
            "hosts": {host.name: headline(host) for host in some},
        }


def _host(state: LiveState, topic: str, seen: int) -> Iterator[dict[str, object]]:
    host = state.hosts.get(topic.removeprefix(_HOST))
    if host is None or host.version <= seen:
        return
    metrics = iter(host.metrics(seen).items())
    snapshots = {
        kind: host.snapshots[kind].rows
        for kind, changed in host.snapshot_versions.items()
        if changed > seen
    }
    some = dict(islice(metrics, MOST_METRICS))
    while some or snapshots:
        yield {"at": host.at, "host": host.name, "metrics": some, "snapshots": snapshots}
        some, snapshots = dict(islice(metrics, MOST_METRICS)), {}
