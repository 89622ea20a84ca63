"""State as the stream carries it: what may be replaced by its newer self (STREAM section 1).

Hosts' newest values are read from the live state; beside them stands a board of whatever else
is shown until it is replaced: a pending alert, text that is still being produced.  Both share
one ascending version, so that a reader needs to hold only one number.  Nothing here knows
readers or time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from monitor.core.access import EVERYTHING, View, clearance
from monitor.core.headline import HEADLINE_KEYS, headline
from monitor.core.state import LiveState
from monitor.errors import InputError
from monitor.model import EventType

MOST_METRICS = 2_000
"""Values in one message of a host; a larger host comes in several."""

MOST_HOSTS = 500
"""Hosts in one message of the fleet; a larger fleet comes in several."""

MOST_SHOWN = 1_000
"""What stands on the board of one topic; the oldest goes first."""

_HOST = "host:"

Said = tuple[EventType, Mapping[str, object]]


class StateView:
    """The state of every topic, by version."""

    def __init__(self, state: LiveState) -> None:
        self._live = state
        self._board: dict[str, dict[str, tuple[int, Said]]] = {}

    @property
    def version(self) -> int:
        """Ascends with every change of anything."""
        return self._live.version

    def show(self, topic: str, key: str, type_: EventType, data: Mapping[str, object]) -> None:
        """Put something on a topic's board, in the place of what stood there under this key.

        Raises `InputError` where it could not be sent.
        """
        if not isinstance(data, Mapping):
            raise InputError("state is one JSON object", code="bad_event")
        shown = self._board.setdefault(topic, {})
        self._live.version += 1
        shown.pop(key, None)
        shown[key] = (self._live.version, (type_, data))
        while len(shown) > MOST_SHOWN:
            del shown[next(iter(shown))]

    def hide(self, topic: str, key: str) -> None:
        """Take something off a board: from now on newcomers are not told of it."""
        shown = self._board.get(topic, {})
        shown.pop(key, None)
        if not shown:
            self._board.pop(topic, None)

    def changes(self, topic: str, seen: int, view: View = EVERYTHING) -> Iterator[Said]:
        """What a view sees changed on a topic since a version, in as few messages as may be."""
        if topic == "fleet":
            found = self._fleet(seen, view)
        elif topic.startswith(_HOST):
            found = self._host(topic.removeprefix(_HOST), seen)
        else:
            found = iter(())
        for data in found:
            yield EventType.METRIC_UPDATE, data
        for version, said in tuple(self._board.get(topic, {}).values()):
            if version > seen and view.admits(clearance(*said)):
                yield said

    def has_changed(self, topic: str, seen: int) -> bool:
        """Whether anything may have changed on a topic since a version."""
        if topic == "fleet":
            return self._live.version > seen
        host = self._live.hosts.get(topic.removeprefix(_HOST)) if topic[:5] == _HOST else None
        if host is not None and host.version > seen:
            return True
        board = self._board.get(topic)
        return board is not None and any(version > seen for version, _ in board.values())

    def _fleet(self, seen: int, view: View) -> Iterator[dict[str, object]]:
        found = [host for host in self._live.hosts.values() if host.version > seen]
        changed = iter(
            found if view.sees_all_hosts else [host for host in found if view.sees(host.name)]
        )
        while some := list(islice(changed, MOST_HOSTS)):
            yield {
                "at": max(host.at for host in some),
                "metrics": HEADLINE_KEYS,
                "hosts": {host.name: headline(host) for host in some},
            }

    def _host(self, name: str, seen: int) -> Iterator[dict[str, object]]:
        host = self._live.hosts.get(name)
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
