"""Events and servers as the tests of the stream need them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from monitor.core import messages
from monitor.core.events import position_text
from monitor.model import Event
from tests.browser.rig import Rig

CPU = "system.cpu.utilization"

HARD_TEXTS = (
    "a\nb",
    "a\r\nb",
    "a\rb\r",
    "\n\n",
    "x\n\nevent: alert\ndata: {}\n\n",
    "id: 7\nretry: 1\n: comment",
    "\u2028 \u2029 \u0085 \x0b \x0c \x00 \x1f \x7f",
    "😀 👩‍👩‍👧 שלום مرحبا 漢字 \ufeff \u202e",
    'data: "quoted" \\ </script> & \ud7ff \U0010ffff',
)
"""What must come out as it went in."""

_numbers = itertools.count(1)


def event_id() -> str:
    """One that no other event of these tests has."""
    return f"test-{next(_numbers)}"


def notice(text: str, **details: Any) -> Event:
    """An event that only readers of ``log`` hear."""
    said = messages.Notice(kind="server", text=text, details=details or None)
    return messages.event(said, time.time(), event_id())


def alert(
    host: str = "web-1", attributes: Mapping[str, str] | None = None, **changes: Any
) -> Event:
    """An event on ``alerts`` and on a host."""
    fields: dict[str, Any] = {
        "alert": "a1",
        "rule": "disk_space",
        "host": host,
        "attributes": dict(attributes or {}),
        "state": "firing",
        "was": "pending",
        "severity": "warning",
        "value": 0.5,
        "since": 1.0,
    }
    return messages.event(messages.Alert(**(fields | changes)), time.time(), event_id())


def host_update(host: str, reason: str = "") -> Event:
    """An event on ``fleet`` and on a host."""
    said = messages.HostUpdate(host=host, status="up", was=None, reason=reason)  # type: ignore[arg-type]
    return messages.event(said, time.time(), event_id())


async def happen(rig: Rig, *events: Event) -> int:
    """Have the log take these events together; the last one's position."""
    return await rig.log.append(list(events))


async def notices(rig: Rig, texts: Sequence[str]) -> None:
    """As many as there are texts, in as few appends as the log allows."""
    for start in range(0, len(texts), 500):
        await happen(rig, *(notice(text) for text in texts[start : start + 500]))


def position(rig: Rig, sequence: int) -> str:
    """A position in the log of a server."""
    return position_text(rig.log.epoch, sequence)


async def eventually(holds: Callable[[], object], seconds: float = 10.0) -> float:
    """Wait until something holds, which it must within so many seconds; how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"it did not come true within {seconds} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def at_once(*waiting: Awaitable[Any]) -> list[Any]:
    """The results of all of them."""
    return list(await asyncio.gather(*waiting))
