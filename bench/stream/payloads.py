"""What the benches publish: one alert of about 300 bytes on the wire, and a tick of 50 hosts.

An alert carries `MARK` exactly once and nothing else does, so that a reader which counts that
byte counts alerts, however the bytes are cut.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime

from monitor.core.headline import HEADLINE_KEYS

MARK = b"~"
"""Stands once in each alert."""

BURST = 50
"""Alerts that are published at once in a burst."""

TICK_HOSTS = 50
"""Hosts in one tick of state."""

AT = re.compile(r'"at":([0-9.]+)')
"""Where a tick says when it was made."""

AT_LATER = "@" * 17
"""Stands for the instant of a tick that is made before it is sent: as long as one is."""


def alert(number: int) -> dict[str, object]:
    """What one alert says."""
    return {
        "alert": f"a{number:07d}",
        "rule": "cpu_busy~",
        "host": f"web-{number % TICK_HOSTS:02d}",
        "attributes": {},
        "state": "firing",
        "was": "pending",
        "severity": "warning",
        "value": 0.9 + number % 89 / 1000,
        "since": 1_790_000_000.0 + number,
        "evidence": None,
    }


def tick(number: int) -> dict[str, object]:
    """One frame of the fleet, as `metric_update` has it on `fleet`."""
    return {
        "at": time.time(),
        "metrics": HEADLINE_KEYS,
        "hosts": {f"web-{host:02d}": values(number, host) for host in range(TICK_HOSTS)},
    }


def values(number: int, host: int) -> list[float]:
    """A host's numbers at a tick: ratios that move, with as many digits as real ones."""
    return [
        ((number * 7 + host * 13 + which * 29) % 997) / 997 * 0.9
        for which in range(len(HEADLINE_KEYS))
    ]


def stamped(data: dict[str, object], number: int) -> dict[str, object]:
    """With the two keys that every payload has."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**data, "timestamp": stamp, "event_id": f"{number:016x}"}


def encoded(data: dict[str, object]) -> str:
    """As JSON without spaces."""
    return json.dumps(data, separators=(",", ":"))


def wire(kind: str, data: dict[str, object], number: int) -> bytes:
    """One event as the stream carries it."""
    return (
        f"event: {kind}\nid: 00000000deadbeef-{number}\ndata: {encoded(stamped(data, number))}\n\n"
    ).encode()


class Numbered:
    """Gives out what a command asks for: ``s`` one alert, ``b`` a burst, ``t`` a tick."""

    def __init__(self) -> None:
        self._number = 0

    def made(self, command: str) -> list[tuple[str, dict[str, object], int]]:
        """The events of one command: kind, data and number."""
        events = []
        for _ in range(BURST if command == "b" else 1):
            self._number += 1
            if command == "t":
                events.append(("metric_update", tick(self._number), self._number))
            else:
                events.append(("alert", alert(self._number), self._number))
        return events
