"""The logs and registries under test, opened and closed, and the events they are given."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from monitor.log.memory import MemoryLog
from monitor.log.memory_registry import MemoryRegistry
from monitor.log.sqlite import open_log
from monitor.model import Event, EventType, RetentionClass
from monitor.ports import EventLog, Registry

KINDS = ("memory", "sqlite")


class Clock:
    """A monotonic clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def opened(
    kind: str, folder: Path, monotonic: Callable[[], float] | None = None
) -> AsyncIterator[tuple[EventLog, Registry]]:
    """A log and the registry that its trimming looks at."""
    clock = monotonic or Clock()
    log: EventLog
    registry: Registry
    if kind == "memory":
        kept = MemoryRegistry(clock)
        log, registry = MemoryLog(kept), kept
    else:
        log, registry = await open_log(folder, monotonic=clock)
    try:
        yield log, registry
    finally:
        await log.close()
        await registry.close()


def event(name: str, *topics: str, at: float = 1.0, **data: object) -> Event:
    """A notice, of the class audit."""
    return Event(EventType.NOTICE, topics, {"name": name, **data}, at, name)


_TYPES = {
    RetentionClass.ALERTS: EventType.ALERT,
    RetentionClass.HOSTS: EventType.HOST_UPDATE,
    RetentionClass.AUDIT: EventType.APPROVAL,
    RetentionClass.TERMINAL: EventType.TERMINAL_THOUGHT,
}
_TOPICS = {
    RetentionClass.ALERTS: ("alerts", "host:a"),
    RetentionClass.HOSTS: ("fleet", "host:a"),
    RetentionClass.AUDIT: ("approvals",),
    RetentionClass.TERMINAL: ("terminal:t",),
}


def of(class_: RetentionClass, name: str, at: float = 1.0, topics: tuple[str, ...] = ()) -> Event:
    """An event of a class, on the topics on which such events stand."""
    return Event(_TYPES[class_], topics or _TOPICS[class_], {"name": name}, at, name)


def names(events: object) -> list[str]:
    """The names of events, in order."""
    assert isinstance(events, list)
    return [str(found.data["name"]) for found in events]
