"""Routing: which channels an alert is told on, and together with which others.

Pure: an alert and the routes in, an assignment out.  It knows no time, no silences and nothing of
what was told before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from monitor.core.book import matched_labels
from monitor.core.messages import Alert
from monitor.notify.config import RouteConfig

CHANNEL_FAILING = "monitor.channel.failing"
"""The metric that says that a channel does not work: alerts on it go to the others."""

CHANNEL_ATTRIBUTE = "channel"
"""The attribute of it that says which."""

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where one alert is told: on which channels, in which group of alerts, and how often.

    `group` is the group's name, the same over restarts; `labels` are what its alerts share.
    """

    channels: frozenset[str]
    group: str
    labels: Mapping[str, str]
    wait_seconds: float
    repeat_seconds: float


def is_told(said: Alert) -> bool:
    """Whether anybody is told of it at all: `info` shows, and what is late is over."""
    return said.severity != "info" and said.notify != "never" and not said.is_late


class Routing:
    """Routes in order, of which the first that takes an alert decides.

    Without routes every channel is told of everything.
    """

    def __init__(self, routes: Sequence[RouteConfig], channels: Iterable[str]) -> None:
        self._all = frozenset(channels)
        self._routes = tuple(routes) or (RouteConfig(channels=tuple(sorted(self._all))),)

    def assign(self, said: Alert) -> Assignment | None:
        """Where an alert is told; none where no route takes it, or it is for nobody."""
        if not is_told(said):
            return None
        labels = matched_labels(said)
        failing = _failing_channel(said)
        for route in self._routes:
            if route.match is None or route.match.matches(labels):
                channels = self._all.intersection(route.channels)
                return self._assignment(said, labels, route, self._others(channels, failing))
        if failing:
            # Nobody has thought of it, and yet somebody must hear that others hear nothing.
            route = RouteConfig(channels=())
            return self._assignment(said, labels, route, self._others(frozenset(), failing))
        return None

    def _others(self, channels: frozenset[str], failing: str) -> frozenset[str]:
        """Who hears of a failing channel: not itself; where its route has no other, all others."""
        if not failing:
            return channels
        return (channels - {failing}) or (self._all - {failing})

    def _assignment(
        self,
        said: Alert,
        labels: Mapping[str, str],
        route: RouteConfig,
        channels: frozenset[str],
    ) -> Assignment:
        shared = {name: labels.get(name, "") for name in route.group_by}
        match = route.match.text if route.match else ""
        name = _encoder.encode([match, sorted(shared.items()), said.is_drill]).decode()
        return Assignment(channels, name, shared, route.group_wait, route.repeat)


def _failing_channel(said: Alert) -> str:
    """The channel that an alert says is failing, or nothing."""
    if said.metric.partition("{")[0] != CHANNEL_FAILING:
        return ""
    return said.attributes.get(CHANNEL_ATTRIBUTE, "")
