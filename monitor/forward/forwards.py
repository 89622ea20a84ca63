"""Every receiver of remote write: what is accepted goes into their queues, senders empty these."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from monitor.core.selectors import Selector
from monitor.errors import StartError
from monitor.forward.config import RemoteWriteConfig
from monitor.forward.queue import Queue
from monitor.forward.sender import Sender
from monitor.model import Frame
from monitor.outbound.addresses import Network
from monitor.outbound.connecting import Connector
from monitor.outbound.guard import Guard
from monitor.outbound.resolving import Resolver
from monitor.outbound.targets import parse_url

FOLDER = "forward"
"""Where the queues are, below the data directory."""

FLUSH_SECONDS = 0.5
"""How long what waits is sent at the end; the rest stays on disk until the next start."""

MOST_JUDGED = 16_384
"""Hosts of which it is remembered whether a selector takes them."""


@dataclass(frozen=True, slots=True)
class ForwardStatus:
    """How it stands with one receiver: for pages and for ``/metrics``."""

    name: str
    place: str
    """Host and port."""
    pending_samples: int
    pending_bytes: int
    size_bytes: int
    """On disk, with what was sent of files that are not done."""
    most_bytes: int
    behind_seconds: float
    """The age of the oldest sample under way, 0 where nothing is."""
    sent_at: float
    """When something was taken last, 0 before that."""
    failing_since: float
    """Since when nothing is taken, 0 while all is well."""
    fault: str
    """What is the matter now, empty while all is well."""
    refusal: str
    """What was said of what was refused last."""
    requests_total: int
    retries_total: int
    sent_samples_total: int
    sent_bytes_total: int
    refused_samples_total: int
    dropped_samples_total: int


class _Forward:
    """One receiver: which hosts, the queue and the sender."""

    def __init__(
        self,
        name: str,
        config: RemoteWriteConfig,
        folder: Path,
        connector: Connector,
        labels: Callable[[str], Mapping[str, str]],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.config = config
        self.folder = folder
        self.queue = Queue(folder, config.size)
        self.sender = Sender(name, config, self.queue, folder, connector, clock)
        self._labels = labels
        self._selector = Selector.parse(config.hosts) if config.hosts else None
        self._judged: dict[str, tuple[dict[str, str], bool]] = {}

    def take(self, frames: Sequence[Frame]) -> None:
        """Queue those that are selected."""
        if self._selector is not None:
            frames = [frame for frame in frames if self._takes(frame.host, self._selector)]
        if frames:
            self.queue.append(frames)
            self.sender.wake()

    def _takes(self, host: str, selector: Selector) -> bool:
        labels = self._labels(host)
        known = self._judged.get(host)
        if known is not None and known[0] == labels:
            return known[1]
        if len(self._judged) >= MOST_JUDGED:
            self._judged.clear()
        found = selector.matches({**labels, "host": host})
        self._judged[host] = (dict(labels), found)
        return found


class Forwards:
    """All of them.  `tap` is called with what was accepted, `run` sends it."""

    def __init__(
        self,
        configs: Mapping[str, RemoteWriteConfig],
        data_dir: Path,
        allow: tuple[Network, ...],
        labels: Callable[[str], Mapping[str, str]],
        clock: Callable[[], float],
    ) -> None:
        places = [parse_url(config.url).place for config in configs.values()]
        named = frozenset((place.host, place.port) for place in places)
        connector = Connector(Guard(allow, named), Resolver())
        self._clock = clock
        self._folder = data_dir / FOLDER
        self._all: list[_Forward] = []
        for name, config in configs.items():
            try:
                made = _Forward(name, config, self._folder / name, connector, labels, clock)
            except OSError as error:  # what TLS says of authorities is one, too
                detail = f"[remote_write.{name}] tls_ca cannot be used: {error.strerror or error}"
                raise StartError(detail) from None
            self._all.append(made)

    async def open(self) -> None:
        """Find what waits from before.  Raises `StartError`."""
        names = {forward.name for forward in self._all}
        for folder in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            if folder.name not in names:
                structlog.stdlib.get_logger("monitor.forward").warning(
                    "what waits for a receiver that is no longer configured is kept: remove it"
                    " where it is not wanted",
                    folder=str(folder),
                )
        for forward in self._all:
            try:
                await asyncio.to_thread(forward.queue.open)
            except OSError as error:
                detail = f"cannot use {forward.folder}: {error.strerror}"
                raise StartError(detail) from None

    def tap(self, frames: Sequence[Frame]) -> None:
        """Queue what was accepted.  Quick, and never raises."""
        for forward in self._all:
            forward.take(frames)

    async def run(self, flush_seconds: float = FLUSH_SECONDS) -> None:
        """Send until cancelled; then, for `flush_seconds` at most, what waits."""
        tasks = [asyncio.create_task(forward.sender.run()) for forward in self._all]
        try:
            if not tasks:
                await asyncio.Event().wait()
            # None of them ends by itself; where one fails, its error is this one's.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            ends = zip(self._all, tasks, strict=True)
            await asyncio.gather(*(each.sender.end(flush_seconds, task) for each, task in ends))
            for forward in self._all:
                forward.queue.close()

    def status(self) -> tuple[ForwardStatus, ...]:
        """How it stands with each of them now."""
        return tuple(self._status(forward) for forward in self._all)

    def _status(self, forward: _Forward) -> ForwardStatus:
        queue, sender = forward.queue, forward.sender
        fault = sender.fault
        if queue.fault:
            fault = f"the queue cannot be written: {queue.fault}"
        return ForwardStatus(
            name=forward.name,
            place=sender.place,
            pending_samples=queue.pending_samples,
            pending_bytes=queue.pending_bytes,
            size_bytes=queue.size,
            most_bytes=forward.config.size,
            behind_seconds=max(0.0, self._clock() - sender.oldest_at) if sender.oldest_at else 0.0,
            sent_at=sender.sent_at,
            failing_since=sender.failing_since,
            fault=fault,
            refusal=sender.refusal,
            requests_total=sender.counts.requests_total,
            retries_total=sender.counts.retries_total,
            sent_samples_total=sender.counts.sent_samples_total,
            sent_bytes_total=sender.counts.sent_bytes_total,
            refused_samples_total=sender.counts.refused_samples_total,
            dropped_samples_total=queue.counts.dropped_total,
        )
