"""A thousand agents push into a running server with its store on a disk.

The server is `monitor serve` with everything it has by default, each host with a token of its
own.  When a run is over the server is killed, and its store asked for what was acknowledged.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.door.house import House, People, house
from bench.ingest.ledger import Audit, audit, gone
from bench.store.calling import Called
from bench.stream.accounts import cpu, waited

PLACE = Path(__file__).resolve().parent.parent.parent
"""A disk, where /tmp may be memory."""

HOSTS = 1_000
SERIES = 150
IDLE_SECONDS = 5.0
WARM_SECONDS = 5.0

STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0)
"""Pushes a second of each host; well below what a host is held to."""

MOST_P99_MS = 1_000.0
MOST_CORE = 0.95


@dataclass(frozen=True)
class Pushed:
    """A fleet that pushes at its pace for a while."""

    over: str
    hosts: int
    seconds: float
    idle_core: float
    """Share of a core that the server takes while nobody pushes."""
    core: float
    """And while they push."""
    waited: float
    """Share of that time in which it could have run and had no processor."""
    rss_mib: tuple[float, float, float]
    """Before, at most, and at the end."""
    saw: Mapping[str, Any]
    """What the senders saw."""
    audit: Audit

    @property
    def microseconds(self) -> float:
        """Processor time of a push, of what is more than nobody's."""
        spent = (self.core - self.idle_core) * self.seconds
        return spent * 1e6 / max(1, int(self.saw["acked"]))


@dataclass(frozen=True)
class Step:
    """A pace, and how the server stood it."""

    per_second: float
    core: float
    waited: float
    """As in `Pushed`: what comes of it is the machine's and not the server's."""
    rss_mib: float
    saw: Mapping[str, Any]
    over: str
    """What came first of what ends the climb; empty where nothing did."""


@contextmanager
def _fleet(hosts: int, over: str) -> Iterator[tuple[House, Called, float]]:
    """A server, its connected senders, and what the server takes while nobody pushes."""
    with house(People(agents=hosts), place=PLACE) as server:
        time.sleep(1.0)
        idle = _core(server, IDLE_SECONDS)
        sender = Called("bench.ingest.sender")
        try:
            opened = sender.call(
                "open",
                port=server.port,
                count=hosts,
                series=SERIES,
                tokens=server.credentials.agents,
                over=over,
            )
            if opened["first"] != hosts:
                raise RuntimeError(f"of {hosts} hosts {opened['first']} were taken: {opened}")
            yield server, sender, idle
        finally:
            sender.close()


def _run(
    server: House, sender: Called, idle: float, seconds: float, per_second: float, path: str = ""
) -> tuple[dict[str, Any], float, float]:
    """What the senders saw, and the shares of a core that the server took and waited for."""
    used, had, began = cpu([server.pid]), waited(server.pid), time.monotonic()
    saw: dict[str, Any] = sender.call("run", seconds=seconds, per_second=per_second, path=path)
    took = time.monotonic() - began
    # The senders wait a moment before the first push and after the last.
    spent = cpu([server.pid]) - used - idle * max(0.0, took - seconds)
    return saw, spent / seconds, (waited(server.pid) - had) / took


def _core(server: House, seconds: float) -> float:
    used = cpu([server.pid])
    time.sleep(seconds)
    return (cpu([server.pid]) - used) / seconds


def pushed(over: str, hosts: int, seconds: float) -> Pushed:
    """A push a second of each host, over a WebSocket or by POST."""
    with _fleet(hosts, over) as (server, sender, idle):
        sender.call("run", seconds=WARM_SECONDS, per_second=1.0, path="")
        path = server.data.parent / "ledger.npz"
        before = server.rss_mib
        server.reset_peak()
        saw, core, late = _run(server, sender, idle, seconds, 1.0, str(path))
        rss = before, server.peak_mib, server.rss_mib
        os.kill(server.pid, signal.SIGKILL)
        sender.call("close")
        gone(server.pid)
        found = audit(server.data, path, 1 + round(WARM_SECONDS))
    return Pushed(over, hosts, seconds, idle, core, late, rss, saw, found)


def climbed(hosts: int, seconds: float) -> list[Step]:
    """The same fleet, faster and faster, until the server sheds, is late or has no more to give."""
    steps: list[Step] = []
    with _fleet(hosts, "websocket") as (server, sender, idle):
        sender.call("run", seconds=WARM_SECONDS, per_second=1.0, path="")
        for per_second in STEPS:
            saw, core, late = _run(server, sender, idle, seconds, per_second)
            step = Step(per_second, core, late, server.rss_mib, saw, _over(saw, core))
            steps.append(step)
            if step.over:
                break
        os.kill(server.pid, signal.SIGKILL)
        sender.call("close")
    return steps


def _over(saw: Mapping[str, Any], core: float) -> str:
    if saw["refused"]:
        return f"refused: {saw['refused']}"
    if saw["p99_ms"] > MOST_P99_MS:
        return f"p99 over {MOST_P99_MS:.0f} ms"
    if saw["left_out"]:
        return "16 documents of a connection wait"
    return f"over {MOST_CORE} of a core" if core > MOST_CORE else ""
