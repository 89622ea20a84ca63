"""What the web room is given: the live state, the stores and the hub, already built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from monitor.core.state import LiveState
from monitor.ingest.intake import Intake
from monitor.ports import EventLog, SeriesStore
from monitor.stream.hub import EventPublisher
from monitor.web.assets import Assets
from monitor.web.config import Limits
from monitor.web.connections import MOST, Connections
from monitor.web.door import Door
from monitor.web.objects import Objects

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
    clock: Callable[[], float]
    """Unix seconds."""
    ready: Callable[[], bool]
    """Whether the first frame of this host has been accepted, and the log can be written."""
    host: str
    """This host's name."""
    limits: Limits = NO_LIMITS
    """How many connections there may be."""
