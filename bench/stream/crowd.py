"""Many readers of a stream in one process, each as cheap as Python allows.

They read into one shared buffer and count `payloads.MARK`; a few of them, the sample, also
note when each alert and each tick came, or keep every byte.  It knows no schedule and no
server's name.
"""

from __future__ import annotations

import contextlib
import errno
import re
import select
import socket
import time
import zlib
from dataclasses import dataclass, field

from bench.stream.payloads import AT, AT_LATER, MARK

BUFFER_BYTES = 256 * 1024
RECEIVE_BYTES = 64 * 1024
"""Of the kernel, for each reader: a burst fits, and little more."""

SAMPLE = 50
"""Readers that are timed, spread evenly over all."""

READERS_AN_ADDRESS = 8
"""Connections from one address of loopback: a server may bound what one address holds."""

OPENED_AT_ONCE = 128
"""Connections that are begun before answers are looked at."""

MOST_EVENTS = 1_024

_AT = re.compile(AT.pattern.encode())
_AT_LATER = AT_LATER.encode()


@dataclass
class Sampled:
    """What one reader of the sample saw."""

    alerts: int = 0
    kept: bytearray = field(default_factory=bytearray)


class Crowd:
    """Readers of one URL."""

    def __init__(self, port: int, request: bytes, ready: bytes, readers: int) -> None:
        """`ready` is what stands in a reader's first bytes once it is served."""
        self._port, self._request, self._ready, self._count = port, request, ready, readers
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._greeting: dict[int, bytearray] = {}
        self._sample: dict[int, Sampled] = {}
        self._buffer = bytearray(BUFFER_BYTES)
        self._opened = 0
        self._control: socket.socket | None = None
        self.keeping = False
        """Whether the sample keeps its bytes."""
        self.alerts = 0
        self.bytes = 0
        self.lost = 0
        """Connections that ended under us."""
        self.sent: list[float] = []
        """When each alert of this window was asked for, monotonic seconds."""
        self.latencies: list[float] = []
        self.tick_latencies: list[float] = []

    @property
    def size(self) -> int:
        """Readers that are connected."""
        return len(self._sockets) - len(self._greeting)

    # Coming and going

    def open(self, limit_seconds: float) -> float:
        """Connect all; the seconds until each had its first event.

        Raises `TimeoutError` where that takes longer than the limit.
        """
        began = time.monotonic()
        stride = max(1, self._count // SAMPLE)
        while self._opened < self._count or self._greeting:
            for _ in range(min(OPENED_AT_ONCE, self._count - self._opened)):
                fd = self._connect(self._opened)
                if self._opened % stride == 0:
                    self._sample[fd] = Sampled()
                self._opened += 1
            self._greet(0.0 if self._opened < self._count else 0.1)
            if time.monotonic() - began > limit_seconds:
                detail = f"{len(self._greeting)} of {self._count} readers were not served"
                raise TimeoutError(f"{detail} within {limit_seconds:.0f} s")
        return time.monotonic() - began

    def _connect(self, number: int) -> int:
        reader = socket.socket()
        reader.setblocking(False)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        group = number // READERS_AN_ADDRESS
        reader.bind((f"127.1.{group // 250}.{group % 250 + 1}", 0))
        failed = reader.connect_ex(("127.0.0.1", self._port))
        if failed not in {0, errno.EINPROGRESS}:
            raise OSError(failed, "a reader could not connect")
        self._sockets[reader.fileno()] = reader
        self._greeting[reader.fileno()] = bytearray()
        self._poll.register(reader, select.EPOLLOUT)
        return reader.fileno()

    def _greet(self, timeout: float) -> None:
        for fd, _ in self._poll.poll(timeout, MOST_EVENTS):
            head = self._greeting.get(fd)
            if head is None:
                self._read(fd)
                continue
            reader = self._sockets[fd]
            if not head:
                reader.send(self._request)
                head += b"\n"  # asked; a head of an answer begins otherwise
                self._poll.modify(fd, select.EPOLLIN)
                continue
            received = reader.recv(BUFFER_BYTES)
            if not received:
                raise ConnectionError(f"a reader was refused: {bytes(head[:200])!r}")
            head += received
            if self._ready in head:
                del self._greeting[fd]
                if fd in self._sample:
                    self._sample[fd].kept += head[1:]

    def close(self) -> None:
        """Leave, all at once."""
        for reader in self._sockets.values():
            reader.close()
        self._poll.close()
        self._poll = select.epoll()
        if self._control is not None:
            self._poll.register(self._control, select.EPOLLIN)
        self._sockets.clear()
        self._greeting.clear()
        self._sample.clear()
        self._opened = 0

    # Asking for events

    def control(self, port: int) -> None:
        """Where `ask` sends to."""
        self._control = socket.create_connection(("127.0.0.1", port))
        self._control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(self._control, select.EPOLLIN)

    def ask(self, trigger: bytes, alerts: int) -> None:
        """Have the server publish so many alerts."""
        assert self._control is not None
        self.sent += [time.monotonic()] * alerts
        if _AT_LATER in trigger:
            instant = b"%.6f" % time.time()
            trigger = trigger.replace(_AT_LATER, instant[: len(_AT_LATER)])
        self._control.sendall(trigger)

    # Reading

    def begin(self) -> None:
        """Begin a window: what is counted is counted from here."""
        self.alerts = self.bytes = 0
        self.sent, self.latencies, self.tick_latencies = [], [], []
        for sampled in self._sample.values():
            sampled.alerts = 0

    def read(self, timeout: float) -> bool:
        """Read what has come, waiting so long for it; whether there was anything."""
        events = self._poll.poll(timeout, MOST_EVENTS)
        for fd, _ in events:
            self._read(fd)
        return bool(events)

    def _read(self, fd: int) -> None:
        buffer = self._buffer
        reader = self._sockets.get(fd)
        if reader is None:
            assert self._control is not None
            self._control.recv(BUFFER_BYTES)  # what a publisher's endpoint answers
            return
        try:
            received = reader.recv_into(buffer)
        except ConnectionError:
            received = 0
        if not received:
            self._poll.unregister(fd)
            self._sockets.pop(fd).close()
            self._sample.pop(fd, None)
            self.lost += 1
            return
        self.bytes += received
        marks = buffer.count(MARK, 0, received)
        self.alerts += marks
        if fd in self._sample:
            self._time(self._sample[fd], marks, received)

    def _time(self, sampled: Sampled, marks: int, received: int) -> None:
        if self.keeping:
            sampled.kept += self._buffer[:received]
        now = time.monotonic()
        for sent in self.sent[sampled.alerts : sampled.alerts + marks]:
            self.latencies.append(now - sent)
        sampled.alerts += marks
        if self._buffer.find(b"metric_update", 0, received) >= 0:
            at = _AT.search(self._buffer, 0, received)
            if at is not None:
                self.tick_latencies.append(time.time() - float(at[1]))

    def kept_alerts(self) -> int:
        """The alerts in what the first of the sample kept, taken apart as HTTP says.

        Raises where the answer is not what its head says it is.
        """
        head, _, body = bytes(next(iter(self._sample.values())).kept).partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        if b"transfer-encoding: chunked" in lines:
            body = _dechunked(body)
        if b"content-encoding: gzip" in lines:
            body = zlib.decompressobj(31).decompress(body)
        return body.count(MARK)

    @property
    def compressed(self) -> bool:
        """Whether what comes is compressed, by the head of the first of the sample."""
        head = bytes(next(iter(self._sample.values())).kept).partition(b"\r\n\r\n")[0]
        return b"content-encoding: gzip" in head.lower()


def _dechunked(body: bytes) -> bytes:
    parts = []
    with contextlib.suppress(ValueError):  # the last chunk may be cut
        while body:
            size, _, rest = body.partition(b"\r\n")
            length = int(size, 16)
            parts.append(rest[:length])
            body = rest[length + 2 :]
    return b"".join(parts)
