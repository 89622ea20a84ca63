"""What it costs to know who asks: the door by itself, over HTTP, and Prometheus with passwords."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from argon2 import PasswordHasher

from bench.door.house import BENCH, PASSWORD, SLOW_COLLECTORS, Credentials, People, host, house
from bench.door.wire import Blocking, Pushes, bearer, get, strangers_token
from bench.stream.accounts import cpu
from bench.stream.ours import Ours
from monitor.access.passwords import Passwords
from monitor.access.tokens import Wish
from monitor.core.access import Policy, Role, TokenKind
from monitor.errors import MonitorError
from monitor.log.memory import MemoryLog

CALLS = 5_000
"""Of the door by itself, for one figure."""

SESSIONS, TOKENS = 20, 100
"""Credentials that take turns: each may ask 50 times a second."""

HOSTS = 20
SERIES = 150
SETTLE_SECONDS = 1.0

_CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))

Requests = Iterator[bytes]


@dataclass(frozen=True)
class Alone:
    """Microseconds of one admission."""

    name: str
    microseconds: float


@dataclass(frozen=True)
class Asked:
    """Server CPU for one request."""

    name: str
    microseconds: float
    more_than_open: float
    """Of the median window, against the window beside it."""


def alone(runs: int) -> list[Alone]:
    """The door in this process, with a thousand agents' tokens in its directory."""
    return asyncio.run(_alone(runs))


async def _alone(runs: int) -> list[Alone]:
    door = Ours(MemoryLog()).door
    office = door.office
    is_open = _microseconds(runs, lambda: door.admit(_scope(), Policy.READ))
    office.accounts._passwords = _CHEAP  # noqa: SLF001 - what it costs to make them is not asked
    await office.accounts.create(BENCH, "anna", Role.ADMIN, PASSWORD)
    cookies, readers, agents = [], [], []
    for _ in range(SESSIONS):
        opened = await office.accounts.log_in(
            "anna", PASSWORD, remember=True, address="127.0.0.1", agent="bench"
        )
        assert opened is not None
        cookies.append(_scope("cookie", f"monitor_session={opened[0]}"))
    for _ in range(TOKENS):
        made, _ = await office.tokens.create(BENCH, Wish(TokenKind.API, scopes=("read",)))
        readers.append(_scope("authorization", f"Bearer {made}"))
    for number in range(1_000):
        made, _ = await office.tokens.create(BENCH, Wish(TokenKind.AGENT, (host(number),)))
        agents.append(_scope("authorization", f"Bearer {made}"))
    wrong = _scope("authorization", f"Bearer {strangers_token()}")

    def each(scopes: list[dict[str, Any]], policy: Policy) -> Callable[[], object]:
        turns = cycle(scopes)
        return lambda: door.admit({**next(turns)}, policy)

    def refused(scope: dict[str, Any]) -> Callable[[], object]:
        def ask() -> None:
            with contextlib.suppress(MonitorError):
                door.admit({**scope}, Policy.PUSH)

        return ask

    return [
        Alone("nobody, an open server", is_open),
        Alone("a session's cookie", _microseconds(runs, each(cookies, Policy.READ))),
        Alone("an API token", _microseconds(runs, each(readers, Policy.READ))),
        Alone("an agent's token", _microseconds(runs, each(agents, Policy.PUSH))),
        Alone("a token that is nobody's, refused", _microseconds(runs, refused(wrong))),
        Alone("nothing, refused", _microseconds(runs, refused(_scope()))),
    ]


def _scope(name: str = "", value: str = "") -> dict[str, Any]:
    headers = [(b"host", b"127.0.0.1"), (b"accept", b"*/*"), (b"user-agent", b"bench")]
    if name:
        headers.append((name.encode(), value.encode()))
    return {"type": "http", "scheme": "http", "method": "GET", "path": "/", "headers": headers}


def _microseconds(runs: int, call: Callable[[], object]) -> float:
    """The median of some runs; between them what was taken of the rates is given back."""
    found = []
    calls = min(CALLS, 300 * SESSIONS)
    for _ in range(runs):
        began = time.perf_counter()
        for _ in range(calls // runs):
            call()
        found.append((time.perf_counter() - began) / (calls // runs))
    return 1e6 * statistics.median(found)


def over_http(windows: int, requests: int) -> list[Asked]:
    """An open server and one with people, asked in turn by one connection each."""
    people = People(agents=TOKENS, readers=TOKENS, sessions=SESSIONS)
    with house(config=SLOW_COLLECTORS) as bare, house(people, SLOW_COLLECTORS) as held:
        for one, tokens in ((bare, (None,) * HOSTS), (held, held.credentials.agents[:HOSTS])):
            asking = Blocking(one.port)
            for number, token in enumerate(tokens):
                _ask(asking, Pushes(host(number), token, SERIES).next())
            asking.close()
        time.sleep(SETTLE_SECONDS)
        gets = {
            "open server": (bare, cycle([get("/api/v1/hosts")])),
            "session's cookie": (held, _cookies(held.credentials)),
            "API token": (held, _bearers(held.credentials.readers)),
        }
        posts = {
            "open server": (bare, _pushes((None,) * TOKENS)),
            "agent's token": (held, _pushes(held.credentials.agents)),
        }
        return [
            *_windows("GET /api/v1/hosts", gets, windows, requests),
            *_windows("POST /api/v1/push", posts, windows, requests),
        ]


def _windows(
    what: str, kinds: Mapping[str, tuple[Any, Requests]], windows: int, requests: int
) -> list[Asked]:
    """Windows of each kind in turn, in an order that turns too; the first kind is the bare one."""
    costs: dict[str, list[float]] = {name: [] for name in kinds}
    names = list(kinds)
    for window in range(windows + 1):
        for name in names[window % len(names) :] + names[: window % len(names)]:
            where, made = kinds[name]
            line = Blocking(where.port)  # one that waits for its turn is closed after 5 s
            _ask(line, next(made))
            before = cpu([where.pid])
            for _ in range(requests):
                _ask(line, next(made))
            costs[name].append(1e6 * (cpu([where.pid]) - before) / requests)
            line.close()
    bare = costs[names[0]][1:]  # the first window is for warming up
    return [
        Asked(
            f"{what}, {name}",
            statistics.median(costs[name][1:]),
            statistics.median(a - b for a, b in zip(costs[name][1:], bare, strict=True)),
        )
        for name in names
    ]


def _ask(line: Blocking, request: bytes) -> None:
    status = line.ask(request)
    if status != 200:
        raise RuntimeError(f"the server answered {status}")


def _cookies(credentials: Credentials) -> Requests:
    headers = [f"Cookie: monitor_session={cookie}" for cookie in credentials.cookies]
    return cycle([get("/api/v1/hosts", header) for header in headers])


def _bearers(tokens: tuple[str, ...]) -> Requests:
    return cycle([get("/api/v1/hosts", bearer(token)) for token in tokens])


def _pushes(tokens: tuple[str | None, ...]) -> Requests:
    """Pushes of many hosts in turn; their lists of KEYs have been sent when the window begins."""
    made = [Pushes(host(number), token, SERIES) for number, token in enumerate(tokens)]
    for each in cycle(made):
        yield each.next()
        each.is_known = True
