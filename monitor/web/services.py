"""What the web room is given: the live state, the stores and the hub, already built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from monitor.core.load import Load
from monitor.core.quantity import format_about
from monitor.core.recent import Recent
from monitor.core.state import LiveState
from monitor.errors import Unavailable
from monitor.fleet.fleet import Fleet
from monitor.forward.forwards import ForwardStatus
from monitor.ingest.intake import ENDLESS_BYTES, Intake
from monitor.ports import EventLog, SeriesStore, StoreWarning
from monitor.scrape.scraper import TargetStatus
from monitor.stream.hub import EventPublisher
from monitor.web.alerting import Alerting, Notifier
from monitor.web.assets import Assets
from monitor.web.bodies import Bodies
from monitor.web.config import Limits
from monitor.web.connections import MOST, Connections
from monitor.web.door import Door
from monitor.web.objects import Objects
from monitor.web.trust import Trust

AWAY_SECONDS = 60.0
"""For how long a receiver of remote write takes nothing before people are told."""

NO_LIMITS = Limits(most_connections=MOST)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may need; `bootstrap` builds one an application."""

    state: LiveState
    store: SeriesStore
    log: EventLog
    hub: EventPublisher
    intake: Intake
    assets: Assets
    connections: Connections
    door: Door
    objects: Objects
    fleet: Fleet
    clock: Callable[[], float]
    """Unix seconds."""
    ready: Callable[[], bool]
    """Whether the first frame of this host has been accepted, and the log can be written."""
    host: str
    """This host's name."""
    load: Load = field(default_factory=lambda: Load(ENDLESS_BYTES))
    """What is shed now."""
    about: Mapping[str, str] = field(default_factory=dict)
    """Where and how it runs, in words, for its administrators."""
    recent: Recent = field(default_factory=Recent)
    """What every host's processor did lately."""
    bodies: Bodies = field(default_factory=Bodies)
    """How bodies that are pushed are read, whatever route they come to."""
    public_url: str = ""
    """The address that people type, where the configuration says it."""
    trust: Callable[[], Trust | None] = lambda: None
    """By what others know our certificate; none where we show none.  Blocks a little; raises
    `OSError` or `ValueError` where it cannot be read."""
    limits: Limits = NO_LIMITS
    """How many connections there may be."""
    forwards: Callable[[], Sequence[ForwardStatus]] = tuple
    """How it stands with each receiver of remote write."""
    targets: Callable[[], Sequence[TargetStatus]] = tuple
    """How it stands with each target that is polled."""
    alerting: Alerting | None = None
    """The judge, and who gives it other rules."""
    notify: Notifier | None = None
    """Who tells people, whom not to tell of what, and what somebody has seen."""

    def require_alerting(self) -> Alerting:
        """The judge and so on.  Raises `Unavailable` where there is none."""
        if self.alerting is None:
            raise Unavailable("no rules are judged here", code="not_judging")
        return self.alerting

    def require_notify(self) -> Notifier:
        """Who tells people.  Raises `Unavailable` where there is nobody."""
        if self.notify is None:
            raise Unavailable("nobody is told of alerts here", code="not_notifying")
        return self.notify

    def warnings(self) -> tuple[StoreWarning, ...]:
        """What an operator should know now, of the store and of the whole server."""
        found = list(self.store.warnings())
        if said := self.load.warning():
            found.append(StoreWarning("overloaded", said))
        if refused := self.intake.refused_series:
            names = ", ".join(list(refused)[-3:])
            said = f"{len(refused)} hosts bring more series than there may be, lately {names}."
            found.append(StoreWarning("series_limit", said))
        for forward in self.forwards():
            away_seconds = self.clock() - forward.failing_since if forward.failing_since else 0
            if away_seconds > AWAY_SECONDS:
                # Where it is, and what it says, is not for everybody who sees this.
                since = f"has taken nothing for {format_about(away_seconds)}"
                said = f"{forward.name} {since}; {forward.pending_samples} samples wait on disk."
                found.append(StoreWarning("remote_write", f"Remote write {said}"))
        return tuple(found)
