"""How many alerts want somebody: the one number that every page shows beside its way to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from monitor.core.access import View
from monitor.web.alertrows import LOOKS
from monitor.web.alertstanding import MOST_COUNTED, gather_open, sort_out
from monitor.web.services import Services

FRESH_SECONDS = 1.0
"""The number is made at most so often for everybody who sees the same."""

MOST_VIEWS = 64
"""Views whose number is remembered."""


class HostAlarm(NamedTuple):
    """One host's number, and its worst severity's class and shape."""

    firing: int
    look: str
    shape: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """The number, the worst severity's class and shape, and all of it in words."""

    count: int = 0
    look: str = "ok"
    shape: str = ""
    words: str = ""
    is_more: bool = False
    """Whether there are more than were counted."""
    hosts: Mapping[str, HostAlarm] = field(default_factory=dict)
    """Of each host that has any."""


QUIET = Alarm()


class Alarms:
    """Counts, for each view at most once a second."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[View, tuple[float, Alarm]] = {}

    def of(self, view: View) -> Alarm:
        """What fires of what is seen, and is neither held back nor silenced nor acknowledged."""
        now = self._services.clock()
        at, known = self._known.get(view, (0.0, QUIET))
        if 0 <= now - at < FRESH_SECONDS:
            return known
        found = self._counted(view)
        while len(self._known) >= MOST_VIEWS:
            del self._known[next(iter(self._known))]
        self._known[view] = now, found
        return found

    def total(self, view: View) -> Alarm:
        """The same without what it is of each host."""
        return replace(self.of(view), hosts={})

    def forget(self) -> None:
        """Count anew: somebody has just changed what is counted."""
        self._known.clear()

    def _counted(self, view: View) -> Alarm:
        found = sort_out(gather_open(self._services, view, MOST_COUNTED), MOST_COUNTED)
        # What is for information wants nobody.
        wanted = [alert for alert in found.firing if alert.said.severity != "info"]
        if not wanted:
            return QUIET
        counts = Counter(str(alert.said.severity) for alert in wanted)
        words = ", ".join(f"{counts[word]} {word}" for word in LOOKS if counts[word])
        look, shape = LOOKS[wanted[0].said.severity]
        hosts: dict[str, HostAlarm] = {}
        for alert in wanted:  # the worst of each host comes first
            known = hosts.get(alert.host) or HostAlarm(0, *LOOKS[alert.said.severity])
            hosts[alert.host] = known._replace(firing=known.firing + 1)
        return Alarm(len(wanted), look, shape, words, found.left_out > 0, hosts)
