"""Somebody leans on the server while others go on: floods, overload, silent peers, logins."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.door.house import PASSWORD, House, People, host, house
from bench.door.process import Load
from bench.stream.accounts import cpu

SENDERS = 99
FLOODER = SENDERS
"""The number of the host that floods."""

SERIES = 150
FLOODED_PER_SECOND = 100.0
"""A hundred times what the others send, each."""

HARD_PER_SECOND = 1_000.0
"""Ten times that: a sender is held to 100 a second, once it has used up its burst."""

HEALTH_PER_SECOND = 20.0
READERS = 100
"""API tokens that open streams: each may have sixteen."""

WARM_SECONDS = 2.0
GONE_SECONDS = 8.0
"""How long sockets may take to come back: a second for a lingering refusal, some for the rest."""

LOOK_SECONDS = 0.5

LOGIN_ACCOUNTS = 10


@dataclass(frozen=True)
class Flooded:
    """What good senders saw while one flooded."""

    name: str
    p50_ms: float
    p99_ms: float
    ratio: float
    """Of the p99 to that of the round's quiet window, median of the rounds."""
    good: Mapping[str, int]
    flood: Mapping[str, int]


@dataclass(frozen=True)
class Overloaded:
    """Ten times the nominal load."""

    name: str
    hosts: int
    seconds: float
    before_mib: float
    peak_mib: float
    end_mib: float
    statuses: Mapping[str, int]
    left_out: int
    p99_ms: float
    core_ratio: float


@dataclass(frozen=True)
class Besieged:
    """Good senders and a probe of health beside connections that only cost."""

    name: str
    push: Mapping[str, Any]
    health: Mapping[str, Any]
    load: Mapping[str, Any]
    rss_mib: tuple[float, float, float]
    """Before, at most while it went on, and after."""
    connections: tuple[int, int, int, int]
    """Sockets of the server before, at most, when the load was about to leave, and after."""


@dataclass(frozen=True)
class LoggedIn:
    """Many logins at once."""

    hash_ms: float
    hash_mib: float
    seconds: float
    statuses: Mapping[str, int]
    quiet_p99_ms: float
    p99_ms: float
    max_ms: float
    rss_mib: tuple[float, float]


def floods(rounds: int, seconds: float) -> list[Flooded]:
    """Quiet and flooded windows in turn, all of one server."""
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "one agent at 100/s": ("flood", {"per_second": FLOODED_PER_SECOND}),
        "one agent at 1,000/s": ("flood", {"per_second": HARD_PER_SECOND}),
        "wrong tokens at 1,000/s": ("flood", {"per_second": HARD_PER_SECOND, "token": None}),
        "connections at 1,000/s": ("connects", {"per_second": HARD_PER_SECOND}),
    }
    rows: dict[str, list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]] = {}
    with house(People(agents=SENDERS + 1)) as server:
        good = server.credentials.agents[:SENDERS]
        _good(server, good, WARM_SECONDS)
        for _ in range(rounds):
            quiet = _good(server, good, seconds)
            for name, (load, arguments) in kinds.items():
                flood = {"port": server.port, "seconds": seconds + 1, **arguments}
                if load == "flood":
                    flood.setdefault("token", server.credentials.agents[FLOODER])
                    flood |= {"number": FLOODER, "series": SERIES}
                with Load(load, **flood) as flooding:
                    time.sleep(0.7)  # it has begun
                    seen = _good(server, good, seconds - 0.7)
                    rows.setdefault(name, []).append((quiet, seen, flooding.saw()))
    quiets = [quiet for quiet, _, _ in next(iter(rows.values()))]
    return [
        _flooded("nobody", [(quiet, quiet, {}) for quiet in quiets]),
        *(_flooded(name, each) for name, each in rows.items()),
    ]


def _flooded(
    name: str, rounds: Sequence[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]
) -> Flooded:
    return Flooded(
        name,
        statistics.median(seen["p50_ms"] for _, seen, _ in rounds),
        statistics.median(seen["p99_ms"] for _, seen, _ in rounds),
        statistics.median(seen["p99_ms"] / quiet["p99_ms"] for quiet, seen, _ in rounds),
        _sum([_counted(seen) for _, seen, _ in rounds]),
        _sum([_counted(flood) for _, _, flood in rounds]),
    )


def _counted(saw: Mapping[str, Any]) -> dict[str, int]:
    """What was answered, what was not sent; of a load without answers what it counted."""
    if "statuses" not in saw:
        return {str(name): int(count) for name, count in saw.items()}
    left = {"not sent": saw["left_out"]} if saw.get("left_out") else {}
    return {**saw["statuses"], **left}


def _sum(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def _good(
    server: House, tokens: Sequence[str], seconds: float, *, is_polite: bool = True
) -> dict[str, Any]:
    job = {"port": server.port, "tokens": tokens, "series": SERIES, "is_polite": is_polite}
    with Load("senders", seconds=seconds, **job) as load:
        return load.saw()


def overload(
    bound: str, seconds: float, hosts: int = 1_000, *, is_polite: bool = True
) -> Overloaded:
    """Ten times a hundred hosts of 150 series a second, each host with its own token.

    `bound` is what `max_memory` says; where it is empty the default holds.  Who is not polite
    sends each second, whatever is answered.
    """
    config = f'[server]\nmax_memory = "{bound}"\n' if bound else ""
    with house(People(agents=hosts), config) as server:
        _good(server, server.credentials.agents[:SENDERS], WARM_SECONDS)
        before, used = server.rss_mib, cpu([server.pid])
        server.reset_peak()
        began = time.monotonic()
        saw = _good(server, server.credentials.agents, seconds, is_polite=is_polite)
        took = time.monotonic() - began
        return Overloaded(
            f"{bound or 'default'}{'' if is_polite else ', deaf to Retry-After'}",
            hosts,
            seconds,
            before,
            server.peak_mib,
            server.rss_mib,
            saw["statuses"],
            saw["left_out"],
            saw["p99_ms"],
            (cpu([server.pid]) - used) / took,
        )


def besieged(seconds: float, count: int, config: str = "") -> list[Besieged]:
    """Quiet, then so many slow-loris connections, then so many streams that nobody reads."""
    rows = []
    with house(People(agents=20, readers=READERS), config) as server:
        good = server.credentials.agents
        _good(server, good, WARM_SECONDS)
        topics = ",".join(["fleet", *(f"host:{host(number)}" for number in range(len(good)))])
        deaf = {"tokens": server.credentials.readers, "topics": topics}
        kinds: list[tuple[str, str | None, dict[str, Any]]] = [
            ("nobody", None, {}),
            (f"{count:,} slow-loris connections", "loris", {}),
            (f"{count:,} streams that do not read", "deaf", deaf),
        ]
        for name, load, arguments in kinds:
            rows.append(_besieged(server, name, load, arguments, seconds, count))
    return rows


def _besieged(
    server: House,
    name: str,
    load: str | None,
    arguments: Mapping[str, Any],
    seconds: float,
    count: int,
) -> Besieged:
    rss, connections = server.rss_mib, server.connections
    server.reset_peak()
    leaning = None
    if load is not None:
        leaning = Load(load, port=server.port, count=count, seconds=seconds + 2, **arguments)
        time.sleep(2.0)  # they have come
    good = {"port": server.port, "tokens": server.credentials.agents, "series": SERIES}
    probe = {"port": server.port, "path": "/healthz", "per_second": HEALTH_PER_SECOND}
    most = 0
    with (
        Load("senders", seconds=seconds - 1, **good) as pushing,
        Load("asking", seconds=seconds - 1, **probe) as asking,
    ):
        until = time.monotonic() + seconds - 1
        while time.monotonic() < until:
            most = max(most, server.connections)
            time.sleep(LOOK_SECONDS)
        last = server.connections
        push, health = pushing.saw(), asking.saw()
    saw: dict[str, Any] = {}
    if leaning is not None:
        with leaning:
            saw = leaning.saw()
    peak = server.peak_mib
    until = time.monotonic() + GONE_SECONDS
    while server.connections > connections and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    after = server.connections
    return Besieged(
        name, push, health, saw, (rss, peak, server.rss_mib), (connections, most, last, after)
    )


def logins(count: int = 50) -> LoggedIn:
    """So many people at once, and how health is answered before and meanwhile."""
    hash_ms, hash_mib = _hash()
    with house(People(accounts=LOGIN_ACCOUNTS)) as server:
        probe = {"port": server.port, "path": "/healthz", "per_second": 100.0}
        with Load("asking", seconds=4, **probe) as asking:
            quiet = asking.saw()
        before = server.rss_mib
        server.reset_peak()
        names = server.credentials.accounts
        with Load("asking", seconds=5, **probe) as asking:
            time.sleep(0.5)
            job = {"names": names, "password": PASSWORD, "count": count}
            with Load("logins", port=server.port, **job) as coming:
                came = coming.saw()
            seen = asking.saw()
        return LoggedIn(
            hash_ms,
            hash_mib,
            came["seconds"],
            came["statuses"],
            quiet["p99_ms"],
            seen["p99_ms"],
            seen["max_ms"],
            (before, server.peak_mib),
        )


_HASH = """
import statistics, time
from monitor.access import passwords
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
before, found = peak(), []
for _ in range(5):
    began = time.thread_time()
    passwords._HASHER.hash("correct horse battery")
    found.append(time.thread_time() - began)
print(1e3 * statistics.median(found), peak() - before)
"""


def _hash() -> tuple[float, float]:
    """Processor milliseconds of one hash, and MiB while it is made."""
    said = subprocess.run([sys.executable, "-c", _HASH], capture_output=True, text=True, check=True)
    milliseconds, mib = said.stdout.split()
    return float(milliseconds), float(mib)
