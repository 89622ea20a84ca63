"""Sends what waits in a queue, in order, until it is taken or refused for good.

A receiver that is away, busy or slow is tried again, ever more rarely; meanwhile everything waits
on disk.  What it refuses as such is set aside and never holds up what comes after: it is cut into
smaller requests, so that one bad sample does not take thousands of good ones with it.  One request
is under way while the next one is made; so what is sent at once is bounded, and is in order.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import enum
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import structlog

import monitor
from monitor.errors import MonitorError, excerpt
from monitor.forward.config import RemoteWriteConfig
from monitor.forward.encoding import CONTENT_HEADERS, Encoder, Part
from monitor.forward.queue import Queue
from monitor.forward.reading import WINDOW_BYTES, Window
from monitor.outbound import client
from monitor.outbound.connecting import Connector, trusting
from monitor.outbound.targets import parse_url

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
"""Before the second try, and before the tenth: each is twice the one before, less some chance."""

LONGEST_RETRY_AFTER_SECONDS = 300.0
"""A receiver may ask for patience; longer than so it is asked again all the same."""

LOOK_SECONDS = 1.0
"""When a queue is looked at again in which nothing could be read."""

GATHER_SECONDS = 0.25
"""How often it is looked, while samples are gathered, whether a window is full before its time."""

LEAST_BATCH = 100
"""A receiver that finds requests too large gets smaller ones, down to so many samples."""

MOST_SPLITS = 32
"""Requests that one may be cut into to find what is refused in it."""

HOPELESS = 8
"""Refusals in a row after which nothing is cut any more: it is not the samples."""

MOST_REFUSED_FILES = 8
"""Refused requests kept for somebody to look at, the newest ones; each is at most some MB."""

REFUSED = "refused-*.snappy"

_AGAIN = frozenset({401, 403, 404, 405, 407, 408, 415, 421, 425, 429})
"""Refusals that are not about what was sent: a wrong token or address, or not now."""

Request: TypeAlias = list[Part]


class Outcome(enum.Enum):
    """What a receiver made of a request."""

    TAKEN = "taken"
    REFUSED = "refused"
    TOO_LARGE = "too large"


class Ending(Exception):
    """The sender is to end, and what is under way stays in the queue."""


@dataclass(slots=True)
class Counts:
    """What became of samples in a sender's life."""

    requests_total: int = 0
    sent_samples_total: int = 0
    sent_bytes_total: int = 0
    refused_samples_total: int = 0
    retries_total: int = 0


class Sender:
    """One receiver's."""

    def __init__(
        self,
        name: str,
        config: RemoteWriteConfig,
        queue: Queue,
        folder: Path,
        connector: Connector,
        clock: Callable[[], float],
    ) -> None:
        self._log = structlog.stdlib.get_logger("monitor.forward").bind(remote_write=name)
        self._config = config
        self._queue = queue
        self._folder = folder
        self._clock = clock
        self._client = client.client(
            connector, deadline_seconds=config.timeout, tls=trusting(config.tls_ca)
        )
        self._headers = _headers(config)
        self._encoder = Encoder(config.labels)
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._refused_in_a_row = 0
        self._read_at = 0.0
        self.place = parse_url(config.url).place.written
        """Host and port of the receiver: the rest of its address may be a secret."""
        self.batch = config.batch
        self.counts = Counts()
        self.sent_at = 0.0
        """When something was taken last, 0 before that."""
        self.failing_since = 0.0
        """Since when nothing is taken, 0 while all is well."""
        self.fault = ""
        """What the receiver, or the way there, said last, while nothing is taken."""
        self.refusal = ""
        """What was said of what was refused last."""
        self.oldest_at = 0.0
        """The instant of the oldest sample under way, 0 where nothing is."""

    def wake(self) -> None:
        """Something was added to the queue."""
        self._changed.set()

    async def run(self) -> None:
        """Send until told to end."""
        with contextlib.suppress(Ending):
            while True:
                try:
                    await self._send_window(await self._next())
                except Ending:
                    raise
                except Exception:  # noqa: BLE001 - it is logged
                    # A fault of ours, here, must not end the watching of every host.
                    self._log.exception("sending failed")
                    self._failed("a fault of this server's own: its log says more")
                    await self._pause(LONGEST_WAIT_SECONDS)

    async def end(self, seconds: float, task: asyncio.Task[None]) -> None:
        """Send what waits for at most so long, where the receiver takes it; then close."""
        self._ending.set()
        self._changed.set()
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.wait([task])
        await self._client.aclose()

    async def _next(self) -> Window:
        """What to send next, once enough waits or for long enough."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            if not self._queue.pending_bytes:
                if self._ending.is_set():
                    raise Ending
                await self._changed.wait()
                continue
            due = self._read_at + self._config.interval - loop.time()
            if self._queue.pending_bytes < WINDOW_BYTES and due > 0 and not self._ending.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), min(due, GATHER_SECONDS))
                continue
            self._read_at = loop.time()
            window = await asyncio.to_thread(
                self._queue.read, self._queue.segments(), self._queue.position
            )
            if window is not None:
                return window
            await self._pause(LOOK_SECONDS)

    async def _send_window(self, window: Window) -> None:
        """Send all of it, making each request while the one before is under way."""
        self.oldest_at = window.oldest_at
        waiting = deque(requests(window.parts, self.batch))
        made: asyncio.Task[tuple[bytes, int]] | None = None
        try:
            while waiting:
                parts = waiting.popleft()
                body, samples = await (made or self._made(parts))
                made = self._made(waiting[0]) if waiting else None
                await self._deliver(parts, body, samples)
        finally:
            if made is not None:
                made.cancel()
        self.oldest_at = 0.0
        if window.damaged:
            self._log.error("a file of the queue is damaged; what follows in it is lost")
        try:
            self._queue.sent(window)
        except OSError as error:
            self._log.warning("the queue's position was not written", reason=error.strerror)

    def _made(self, parts: Request) -> asyncio.Task[tuple[bytes, int]]:
        return asyncio.create_task(asyncio.to_thread(self._encoder.body, parts))

    async def _deliver(self, parts: Request, body: bytes, samples: int) -> None:
        """Get a request taken; what is refused in it is found, counted and set aside."""
        waiting: deque[tuple[Request, bytes, int] | Request] = deque([(parts, body, samples)])
        splits = 0
        while waiting:
            found = waiting.popleft()
            if isinstance(found, list):
                found = (found, *await self._made(found))
            parts, body, samples = found
            if not samples:
                continue
            outcome = await self._judged(body)
            if outcome is Outcome.TAKEN:
                self._taken(samples, len(body))
                continue
            if outcome is Outcome.TOO_LARGE:
                self.batch = max(LEAST_BATCH, min(self.batch, samples) // 2)
            halves = _halves(parts)
            hopeless = outcome is Outcome.REFUSED and (
                splits >= MOST_SPLITS or self._refused_in_a_row >= HOPELESS
            )
            if halves is None or hopeless:
                await self._refuse(body, samples)
            else:
                splits += outcome is Outcome.REFUSED
                waiting.extendleft(reversed(halves))

    async def _judged(self, body: bytes) -> Outcome:
        """Try until the receiver has said what it makes of a request."""
        tries = 0
        while True:
            self.counts.requests_total += 1
            later = ""
            try:
                reply = await client.ask(
                    self._client, "POST", self._config.url, headers=self._headers, content=body
                )
            except MonitorError as error:
                fault = error.detail
            else:
                if 200 <= reply.status < 300:
                    return Outcome.TAKEN
                later = reply.retry_after
                said = excerpt(reply.body[:256].decode("utf-8", "replace").strip())
                fault = f"{self.place} answered {reply.status}: {said}"
                if reply.status == 413:
                    self.refusal = fault
                    return Outcome.TOO_LARGE
                if 400 <= reply.status < 500 and reply.status not in _AGAIN:
                    self.refusal = fault
                    return Outcome.REFUSED
            self._failed(fault)
            if self._ending.is_set():
                raise Ending
            self.counts.retries_total += 1
            await self._pause(wait_seconds(tries, later, random.random()))  # noqa: S311
            tries += 1

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the sender is to end.  Raises `Ending`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)
        if self._ending.is_set():
            raise Ending

    def _failed(self, fault: str) -> None:
        if not self.failing_since:
            self.failing_since = self._clock()
            self._log.warning("nothing is taken; what is to be sent waits on disk", reason=fault)
        self.fault = fault

    def _well(self) -> None:
        if self.failing_since:
            self._log.info("what waited is sent", after_seconds=self._clock() - self.failing_since)
        self.failing_since, self.fault = 0.0, ""

    def _taken(self, samples: int, size: int) -> None:
        self._well()
        self._refused_in_a_row = 0
        self.sent_at = self._clock()
        self.counts.sent_samples_total += samples
        self.counts.sent_bytes_total += size

    async def _refuse(self, body: bytes, samples: int) -> None:
        """Count what is refused for good, and keep it where somebody can look at it."""
        self._well()
        if not self._refused_in_a_row:
            self._log.error("samples are refused for good", samples=samples, reason=self.refusal)
        self._refused_in_a_row += 1
        self.counts.refused_samples_total += samples
        with contextlib.suppress(OSError):
            await asyncio.to_thread(_set_aside, self._folder, body)


def requests(parts: Sequence[Part], batch: int) -> list[Request]:
    """Requests of at most `batch` samples, in order; a single frame is never parted."""
    found: list[Request] = []
    room = 0
    for whole in parts:
        columns = max(1, whole.values.shape[1])
        rows = max(1, batch // columns)
        for start in range(0, len(whole.at), rows):
            part = Part(
                whole.stream,
                whole.at[start : start + rows],
                whole.values[start : start + rows],
            )
            if not found or part.samples > room:
                found.append([])
                room = batch
            found[-1].append(part)
            room -= part.samples
    return found


def _halves(parts: Request) -> tuple[Request, Request] | None:
    """A request in two, by sender or else by time; none where it is a single frame."""
    if len(parts) > 1:
        middle = len(parts) // 2
        return parts[:middle], parts[middle:]
    if len(parts[0].at) > 1:
        earlier, later = parts[0].halves()
        return [earlier], [later]
    return None


def wait_seconds(tries: int, retry_after: str, chance: float) -> float:
    """How long to wait after so many failures; `chance` is from 0 to 1.

    What the receiver asks for in seconds is kept to, within `LONGEST_RETRY_AFTER_SECONDS`.
    """
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(tries, 10))
    own = longest * (0.5 + chance / 2)
    asked = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 10 else 0.0
    return max(own, min(asked, LONGEST_RETRY_AFTER_SECONDS))


def _headers(config: RemoteWriteConfig) -> dict[str, str]:
    found = {
        **config.headers,
        **CONTENT_HEADERS,
        "User-Agent": f"awoooi-monitor/{monitor.__version__}",
    }
    if config.token is not None:
        found["Authorization"] = f"Bearer {config.token.reveal()}"
    elif config.password is not None:
        pair = f"{config.username}:{config.password.reveal()}".encode()
        found["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return found


def _set_aside(folder: Path, body: bytes) -> None:
    kept = sorted(folder.glob(REFUSED))
    last = int(kept[-1].stem.partition("-")[2]) if kept else 0
    for path in kept[: max(0, len(kept) + 1 - MOST_REFUSED_FILES)]:
        path.unlink(missing_ok=True)
    (folder / REFUSED.replace("*", f"{last + 1:06d}")).write_bytes(body)
