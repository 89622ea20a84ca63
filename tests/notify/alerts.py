"""Alerts for tests, and a log that can be asked what it was told."""

from __future__ import annotations

from typing import Any

from monitor.core.book import Alert, Book
from monitor.core.messages import Alert as Said
from monitor.core.messages import event
from monitor.log.memory import MemoryLog
from monitor.model import EventType


def said(id_: str = "a1", host: str = "web-1", **more: Any) -> Said:
    """What an event says of an alert that fires."""
    fields: dict[str, Any] = {
        "rule": "disk_space",
        "attributes": {"mountpoint": "/var"},
        "state": "firing",
        "was": "pending",
        "severity": "warning",
        "value": 0.93,
        "since": 1_000.0,
        "fired": 1_000.0,
        "labels": {"env": "prod"},
    }
    return Said(**(fields | {"alert": id_, "host": host} | more))


def alert(id_: str = "a1", host: str = "web-1", **more: Any) -> Alert:
    """The same as the book has it."""
    found = said(id_, host, **more)
    over = 0.0 if found.state == "firing" else found.since
    return Alert(found, found.fired or found.since, over, 1, 1)


async def tell(log: MemoryLog, book: Book, *alerts: Said) -> None:
    """Log what is said of alerts, and fold it."""
    for each in alerts:
        made = event(each, each.since, f"{each.alert}-{each.state}-{each.severity}")
        await log.append([made])
        (found,), _, _ = await log.read(await log.last() - 1, None, 1)
        book.fold(found)


async def notices(log: MemoryLog, *kinds: str) -> list[dict[str, Any]]:
    """The notices of these kinds, each as it stands in the log."""
    events, _, _ = await log.read(0, None, 1_000)
    return [
        dict(each.data)
        for each in events
        if each.type is EventType.NOTICE and each.data["kind"] in kinds
    ]
