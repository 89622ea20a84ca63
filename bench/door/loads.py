"""What leans on the server: each a coroutine that ends after so many seconds and says what it saw.

All are paced by the clock and not by the answers, and every wait counts from when a request was
due, so that a server which is slow is not asked less and seems quicker.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from bench.door.house import host
from bench.door.wire import Blocking, Line, Pushes, bearer, get, strangers_token

Saw = dict[str, Any]

MOST_OWED = 3
"""Pushes that a sender holds back while it waits for an answer; more are left out and counted."""

LEAST_STEP_SECONDS = 0.005
"""Below that, requests are sent in groups: the clock of a loop is no finer."""

GRACE_SECONDS = 3.0
"""How long is waited for answers at the end."""

FLOOD_LINES = 32
"""Connections of a flood."""

DEAF_RECEIVE_BYTES = 4_096
OPENED_AT_ONCE = 50
ADDRESSES_OF = 8
"""Connections from one address of loopback, where an address must not have too many."""


class Waits:
    """Answers by status, and how long each was waited for."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.left_out_total = 0

    def noted(self, due: float) -> Callable[[int, float], None]:
        """What notes the answer to a request that was due then."""

        def note(status: int, at: float) -> None:
            self.statuses[status] += 1
            if status == 200:
                self.seconds.append(at - due)

        return note

    def saw(self) -> Saw:
        """All of it; the waits are of what was answered with 200."""
        ordered = sorted(self.seconds) or [float("nan")]
        return {
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "left_out": self.left_out_total,
            "p50_ms": 1e3 * ordered[len(ordered) // 2],
            "p99_ms": 1e3 * ordered[int(len(ordered) * 0.99)],
            "max_ms": 1e3 * ordered[-1],
        }


async def senders(
    port: int, tokens: list[str], seconds: float, series: int, *, is_polite: bool = True
) -> Saw:
    """Each token's host pushes once a second, at its own moment.

    Who is polite comes again when it was told to, as our agent does.
    """
    waits = Waits()
    begin = time.monotonic() + 0.2
    async with asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            first = begin + number / len(tokens)
            pushes = Pushes(host(number), token, series)
            group.create_task(
                _sender(port, pushes, waits, first, begin + seconds, is_polite=is_polite)
            )
    return waits.saw()


async def _sender(
    port: int, pushes: Pushes, waits: Waits, due: float, until: float, *, is_polite: bool
) -> None:
    line, free = Line(port), asyncio.Event()
    while due < until:
        await _at(due)
        free.clear()
        note = waits.noted(due)

        def done(status: int, at: float, note: Callable[[int, float], None] = note) -> None:
            note(status, at)
            pushes.is_known |= status == 200
            free.set()

        await line.ask(pushes.next(), done)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until + GRACE_SECONDS):
                await free.wait()
        due += 1
        pause = line.retry_seconds if is_polite else 0.0
        earliest = time.monotonic() + (pause or -MOST_OWED)
        while due < earliest:
            due += 1
            waits.left_out_total += 1
    line.close()


async def _at(due: float) -> None:
    wait = due - time.monotonic()
    if wait > 0:
        await asyncio.sleep(wait)


async def asking(port: int, path: str, per_second: float, seconds: float) -> Saw:
    """The same question, over and over, over a few connections."""
    return await _flood(port, lambda: get(path), per_second, seconds, 4)


async def flood(
    port: int, token: str | None, number: int, series: int, per_second: float, seconds: float
) -> Saw:
    """One sender that floods; without a token, a stranger that makes one up for each push."""
    pushes = Pushes(host(number), token, series)
    if token is not None:
        line = Blocking(port)
        pushes.is_known = line.ask(pushes.next()) == 200
        line.close()
        return await _flood(port, pushes.next, per_second, seconds, FLOOD_LINES)
    body = Pushes(host(number), "TOKEN", series).next()

    def made_up() -> bytes:
        return body.replace(b"TOKEN", strangers_token().encode(), 1)

    return await _flood(port, made_up, per_second, seconds, FLOOD_LINES)


async def _flood(
    port: int, made: Callable[[], bytes], per_second: float, seconds: float, most: int
) -> Saw:
    lines = [Line(port) for _ in range(most)]
    waits, tasks = Waits(), set()
    for due in await _paced(per_second, seconds):
        await _at(due)
        line = next((each for each in lines if each.is_idle), None)
        if line is None:
            waits.left_out_total += 1
            continue
        task = asyncio.ensure_future(line.ask(made(), waits.noted(due)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(0)  # the line is taken from here on
    await asyncio.sleep(0.5)
    for line in lines:
        line.close()
    return waits.saw()


async def _paced(per_second: float, seconds: float) -> Iterable[float]:
    """When each of so many a second is due; several at once where the clock is too coarse."""
    begin = time.monotonic() + 0.2
    group = max(1, round(per_second * LEAST_STEP_SECONDS))
    count = round(per_second * seconds)
    return (begin + number // group * group / per_second for number in range(count))


async def connects(port: int, per_second: float, seconds: float) -> Saw:
    """Connections that are opened, say nothing and leave."""
    loop, count, failed = asyncio.get_running_loop(), 0, 0
    for due in await _paced(per_second, seconds):
        await _at(due)
        opened = socket.socket()
        opened.setblocking(False)
        try:
            async with asyncio.timeout(1.0):
                await loop.sock_connect(opened, ("127.0.0.1", port))
            count += 1
        except (OSError, TimeoutError):
            failed += 1
        opened.close()
    return {"opened": count, "failed": failed}


async def loris(port: int, count: int, seconds: float) -> Saw:
    """Connections whose request comes a few bytes a second; who is cut off comes again."""
    until = time.monotonic() + seconds
    ends: Counter[str] = Counter()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_loris(port, number, until, ends))
            if number % OPENED_AT_ONCE == 0:
                await asyncio.sleep(0.02)
    return dict(ends)


async def _loris(port: int, number: int, until: float, ends: Counter[str]) -> None:
    while time.monotonic() < until:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(_address(number), 0)
            )
        except OSError:
            ends["not connected"] += 1
            await asyncio.sleep(1)
            continue
        ends["opened"] += 1
        answer = asyncio.ensure_future(reader.read(256))
        with contextlib.suppress(OSError):
            writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            while time.monotonic() < until and not answer.done():
                writer.write(b"X-A: b\r\n")
                await asyncio.wait({answer}, timeout=random.uniform(0.7, 1.3))
        ends[_ended(answer)] += 1
        answer.cancel()
        writer.transport.abort()


def _ended(answer: asyncio.Future[bytes]) -> str:
    if not answer.done():
        return "left by itself"
    try:
        found = answer.result()
    except OSError:
        return "cut"
    return found[9:12].decode() if found else "cut"


def _address(number: int) -> str:
    group = number // ADDRESSES_OF
    return f"127.1.{group // 250}.{group % 250 + 1}"


async def deaf(port: int, tokens: list[str], count: int, topics: str, seconds: float) -> Saw:
    """Streams that are opened and never read from, so that they cannot hear of their end either."""
    until = time.monotonic() + seconds
    loop, opened, failed = asyncio.get_running_loop(), [], 0
    for number in range(count):
        each = socket.socket()
        each.setblocking(False)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEAF_RECEIVE_BYTES)
        each.bind((_address(number), 0))
        token = tokens[number % len(tokens)]
        try:
            await loop.sock_connect(each, ("127.0.0.1", port))
            each.send(get(f"/api/v1/stream?topics={topics}", bearer(token)))
        except OSError:
            failed += 1
        opened.append(each)
        if number % OPENED_AT_ONCE == 0:
            await asyncio.sleep(0.05)
    await asyncio.sleep(max(0.0, until - time.monotonic()))
    statuses = Counter(map(_status, opened))
    for each in opened:
        each.close()
    return {"statuses": dict(statuses), "not connected": failed}


def _status(opened: socket.socket) -> str:
    try:
        return opened.recv(16, socket.MSG_PEEK)[9:12].decode() or "cut"
    except OSError:
        return "cut"


async def logins(port: int, names: list[str], password: str, count: int) -> Saw:
    """So many people log in at the same moment, each from an address of their own."""
    due = time.monotonic()
    statuses: Counter[int] = Counter()
    seconds: list[float] = []
    left = asyncio.Semaphore(0)

    def done(status: int, at: float) -> None:
        statuses[status] += 1
        seconds.append(at - due)
        left.release()

    for number in range(count):
        body = f"username={names[number % len(names)]}&password={password.replace(' ', '+')}"
        head = (
            "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}"
        )
        line = Line(port, f"127.2.0.{number + 1}")
        await line.ask(f"{head}\r\n\r\n{body}".encode(), done)
    async with asyncio.timeout(60):
        for _ in range(count):
            await left.acquire()
    return {
        "statuses": {str(status): count for status, count in statuses.items()},
        "seconds": max(seconds),
    }
