"""``monitor agent --simulate N``: a fleet of hosts that are not there, in one process.

Each host has its own WebSocket, its own identity and its own number, as a real agent has, and no
spool: what cannot be sent is lost, and counted.  The hosts share one clock, which spreads them
over the interval.

The same hosts come again with every run: an identity follows from the name and the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from monitor.agent.link import Cut, Link, NoWebSocket, Refused
from monitor.agent.simulated import FAULTS, SimulatedHost
from monitor.agent.simulated_sender import Sender, Shape
from monitor.agent.websocket import WebSocket
from monitor.errors import ConfigError

REPORT_SECONDS = 10.0
"""How often it is said how things are."""

SLICE_SECONDS = 0.005
"""Hosts that are due within this are served together: a timer for each would cost more."""

MOST_OPENING = 64
"""Handshakes at a time, so that a server that comes back is not trampled."""

MOST_WAITING = 64
"""Documents of one host without an answer; beyond, the server is too slow, and it is skipped."""

LEAST_BACKOFF_SECONDS, MOST_BACKOFF_SECONDS = 0.5, 15.0

LATE_SECONDS = 2.0
"""A clock that is this far behind gives up what it has missed."""

END_SECONDS = 3.0
"""How long goodbyes may take."""

DESCRIPTORS_BESIDE = 64
"""Files that a process has open beside its sockets."""

Say = Callable[[str], None]


def parse_faults(text: str, count: int) -> dict[str, int]:
    """How many hosts have which fault: ``disk=3,cpu`` or ``all``; a name alone is one in a hundred.

    Raises `ValueError` with a sentence for the operator.
    """
    some = max(1, count // 100)
    if text.strip() == "all":
        return dict.fromkeys(FAULTS, some)
    found: dict[str, int] = {}
    for each in text.split(","):
        name, equals, number = (part.strip() for part in each.partition("="))
        if name not in FAULTS or name in found:
            raise ValueError(f"faults are some of {', '.join(FAULTS)}, each once, or all")
        if equals and not (number.isascii() and number.isdigit() and 0 < int(number) <= count):
            raise ValueError(f"{name}: expected a number of hosts, 1 to {count}")
        found[name] = int(number) if equals else some
    if sum(found.values()) > count:
        raise ValueError(f"there are {count} hosts, and more are to have faults")
    return found


def hosts(
    count: int, faults: Mapping[str, int], started: float, seed: int = 0
) -> list[SimulatedHost]:
    """`count` hosts; the first ones have the faults."""
    listed = [name for name, number in faults.items() for _ in range(number)]
    listed += [""] * (count - len(listed))
    return [
        SimulatedHost(number, started, fault, seed)
        for number, fault in enumerate(listed[:count], 1)
    ]


class Simulation:
    """A fleet that runs until it is stopped."""

    def __init__(
        self,
        link: Link,
        fleet: Sequence[SimulatedHost],
        interval_seconds: float,
        say: Say,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        shapes = {keys: Shape(keys) for keys in {host.keys for host in fleet}}
        server = str(link.place)
        self._senders = [
            Sender(host, shapes[host.keys], server, interval_seconds) for host in fleet
        ]
        self._interval_seconds = interval_seconds
        self._say = say
        self._clock = clock
        self._opening = asyncio.Semaphore(MOST_OPENING)
        self._stopping = asyncio.Event()
        self._waits: list[float] = []
        self._troubles: Counter[str] = Counter()
        self.sent = 0
        """Documents that went out."""
        self.acknowledged = 0
        self.missed = 0
        """Documents that were due and did not go out: no connection, or no time."""

    @property
    def connected(self) -> int:
        """Hosts that have a connection."""
        return sum(sender.socket is not None for sender in self._senders)

    def stop(self) -> None:
        """Say goodbye and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Send until stopped; everything that was begun has ended when it returns."""
        tasks = [asyncio.create_task(self._stay(sender)) for sender in self._senders]
        tasks += [asyncio.create_task(self._send()), asyncio.create_task(self._report())]
        try:
            stopping = asyncio.create_task(self._stopping.wait())
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            for task in done - {stopping}:
                task.result()  # a fault of ours is not hidden
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._leave()

    async def _stay(self, sender: Sender) -> None:
        """Keep one host connected, while it has anything to say."""
        backoff = LEAST_BACKOFF_SECONDS
        while True:
            if sender.host.is_silent(self._clock()):
                await asyncio.sleep(1.0)
                continue
            sender.begin()
            try:
                async with self._opening:
                    sender.socket = await self._open(sender)
            except (Cut, Refused, NoWebSocket) as error:
                self._troubles[str(error)] += 1
            else:
                backoff = LEAST_BACKOFF_SECONDS
                await sender.ended.wait()
                sender.socket = None
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            backoff = min(MOST_BACKOFF_SECONDS, backoff * 2.0)

    async def _open(self, sender: Sender) -> WebSocket:
        def heard(message: bytes) -> None:
            waits = sender.heard(message, time.monotonic())
            self.acknowledged += len(waits)
            self._waits += waits

        def over(code: int, reason: str) -> None:
            if code not in {1000, 1006} or not sender.host.is_silent(self._clock()):
                self._troubles[f"the server ended the connection: {code} {reason}".strip()] += 1
            sender.ended.set()

        return await self._link.open(heard, over)

    async def _send(self) -> None:
        """The clock of all: each host has its place within the interval."""
        loop = asyncio.get_running_loop()
        began, wall = loop.time(), self._clock()
        count = len(self._senders)
        turn = 0
        while True:
            due = turn / count * self._interval_seconds
            behind = loop.time() - began - due
            if behind < -SLICE_SECONDS:
                await asyncio.sleep(-behind)
            elif behind > LATE_SECONDS:
                lost = int(behind / self._interval_seconds * count)
                self.missed += lost
                turn += lost
                continue
            elif turn % MOST_OPENING == 0:
                await asyncio.sleep(0)  # who is behind lets others in
            self._push(self._senders[turn % count], round(wall + due, 3))
            turn += 1

    def _push(self, sender: Sender, at: float) -> None:
        socket = sender.socket
        if sender.host.is_silent(at):
            if socket is not None:
                socket.abort()
            return
        if socket is None or len(sender.waiting) >= MOST_WAITING:
            self.missed += 1
            return
        document = sender.document(at)
        sender.waiting[sender.seq] = time.monotonic()
        socket.send(document)
        if sender.host.fault == "duplicate":
            socket.send(document)
        self.sent += 1

    async def _report(self) -> None:
        sent, acknowledged, missed, cpu = 0, 0, 0, time.process_time()
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            used, cpu = time.process_time() - cpu, time.process_time()
            waits, self._waits = sorted(self._waits), []
            half, most = _at(waits, 0.5), _at(waits, 0.99)
            self._say(
                f"{self.connected} of {len(self._senders)} hosts connected,"
                f" {(self.sent - sent) / REPORT_SECONDS:.0f} frames/s,"
                f" {(self.acknowledged - acknowledged) / REPORT_SECONDS:.0f} acknowledged,"
                f" {self.missed - missed} missed; answered in {half * 1e3:.0f} ms,"
                f" p99 {most * 1e3:.0f} ms; processor {used / REPORT_SECONDS:.1%}"
            )
            sent, acknowledged, missed = self.sent, self.acknowledged, self.missed
            self._complain()

    def _complain(self) -> None:
        for sender in self._senders:
            self._troubles.update(f"refused: {code}" for code in sender.refused.elements())
            sender.refused.clear()
        for trouble, times in self._troubles.most_common(5):
            self._say(f"{trouble} ({times} times)")
        self._troubles.clear()

    async def _leave(self) -> None:
        leaving = [sender for sender in self._senders if sender.socket is not None]
        for sender in leaving:
            if sender.socket is not None:
                sender.socket.send(sender.goodbye())
                sender.socket.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await asyncio.gather(*(sender.ended.wait() for sender in leaving))


def run(link: Link, count: int, faults: str = "", interval_seconds: float = 1.0) -> int:
    """Simulate `count` hosts until Ctrl-C or SIGTERM; the exit status.

    Raises `ConfigError` where that cannot be meant, or is more than this process may open.
    """
    try:
        wanted = parse_faults(faults, count) if faults else {}
    except ValueError as error:
        raise ConfigError([f"--faults: {error}"]) from None
    _allow_sockets(count)
    asyncio.run(_run(link, hosts(count, wanted, time.time()), interval_seconds))
    return 0


async def _run(link: Link, fleet: Sequence[SimulatedHost], interval_seconds: float) -> None:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - for whoever watches it run

    simulation = Simulation(link, fleet, interval_seconds, say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, simulation.stop)
    wrong = ", ".join(f"{host.name} {host.fault}" for host in fleet[:20] if host.fault)
    say(f"{len(fleet)} simulated hosts for {link.place}, every {interval_seconds:g} s; Ctrl-C ends")
    if wrong:
        say(f"faults: {wrong}{' …' if len(fleet) > 20 and fleet[20].fault else ''}")
    await simulation.run()
    say(
        f"sent {simulation.sent}, acknowledged {simulation.acknowledged}, missed"
        f" {simulation.missed}; all have said goodbye"
    )


def _allow_sockets(count: int) -> None:
    """Raise our limit of descriptors as far as needed and allowed.  Raises `ConfigError`."""
    needed = count + DESCRIPTORS_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError([f"{count} hosts need {needed} descriptors, and {hard} are allowed"])
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _at(values: Sequence[float], share: float) -> float:
    """The value below which this share of sorted values lies; 0 where there is none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0
