"""What a simulated host says to the server, and what it makes of the answers.

Documents are packed from parts that were packed before, so that a thousand hosts a second are a
fraction of a processor.  Connections are made elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from collections import Counter
from collections.abc import Mapping, Sequence

import msgpack  # type: ignore[import-untyped]

from monitor.agent.encoding import PROTOCOL
from monitor.agent.simulated import SimulatedHost
from monitor.agent.websocket import WebSocket
from monitor.model import Schema

TABLE_SECONDS = 5.0
"""How often a host says its processes."""

_NUMBER = struct.Struct(">Q")
_FLOAT = struct.Struct(">d")


class Shape:
    """What the documents of hosts with the same series have in common, packed once."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.list = _pairs({"schema": list(keys)})
        self.digest = _pairs({"schema": Schema(keys).digest})
        numbers = [0.0] * len(keys)
        packed: bytes = msgpack.packb(numbers)
        self._head = packed[: len(packed) - 9 * len(keys)]
        # 0xcb before each number says that it has eight bytes.
        self._row = struct.Struct(">" + "Bd" * len(keys))
        self._cells: list[float] = [0xCB, 0.0] * len(keys)

    def row(self, values: Sequence[float]) -> bytes:
        """The values of a frame, none of which is absent."""
        self._cells[1::2] = values
        return self._head + self._row.pack(*self._cells)


class Sender:
    """One host's words to the server: it packs them, and follows what is answered."""

    def __init__(
        self, host: SimulatedHost, shape: Shape, server: str, interval_seconds: float
    ) -> None:
        self.host = host
        self.shape = shape
        self.socket: WebSocket | None = None
        self.ended = asyncio.Event()
        self.refused: Counter[str] = Counter()
        self.waiting: dict[int, float] = {}
        self._seq = 0
        self._is_new = True
        self._table_at = 0.0
        agent = hashlib.sha256(f"simulated {server} {host.name}".encode()).hexdigest()[:32]
        self._boot_id = os.urandom(8).hex()
        self._who = _pairs({"host": host.name, "agent": agent, "boot_id": self._boot_id})
        self._introduction = _pairs(
            {
                "protocol": PROTOCOL,
                "labels": dict(host.labels),
                "info": {
                    "version": "simulated",
                    "os": "Debian GNU/Linux 12 (bookworm)",
                    "kernel": "6.1.0",
                    "arch": "x86_64",
                    "interval": interval_seconds,
                },
            }
        )

    def begin(self) -> None:
        """A connection is new: the server is told everything again."""
        self._is_new = True
        self.ended.clear()
        self.waiting.clear()

    def document(self, at: float) -> bytes:
        """The next push, of the instant `at`."""
        self._seq += 1
        at = self.host.clock(at)
        values = self.host.values(at)
        pairs = 7
        parts = [self._who]
        if self._is_new:
            parts += [self._introduction, self.shape.list]
            pairs += 3
            self._is_new = False
        else:
            parts.append(self.shape.digest)
        parts += [
            b"\xa3seq\xcf",
            _NUMBER.pack(self._seq),
            b"\xa4sent\xcb",
            _FLOAT.pack(at),
            b"\xa6frames\x91\x82\xa2at\xcb",
            _FLOAT.pack(at),
            b"\xa6values",
            self.shape.row(values),
        ]
        if at - self._table_at >= TABLE_SECONDS:
            self._table_at = at
            parts.append(_pairs({"snapshots": {"processes": self.host.processes(at)}}))
            pairs += 1
        return bytes((0x80 | pairs,)) + b"".join(parts)

    @property
    def seq(self) -> int:
        """The number of the last document."""
        return self._seq

    def goodbye(self) -> bytes:
        """That it ends on purpose."""
        return b"\x84" + self._who + _pairs({"bye": True})

    def heard(self, message: bytes, now: float) -> list[float]:
        """What the server says; how long the documents that it acknowledges had to wait."""
        try:
            said = msgpack.unpackb(message)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self.refused["not understood"] += 1
            return []
        waited = []
        for _, seq in said.get("ack", ()):
            sent_at = self.waiting.pop(seq, None)
            if sent_at is not None:
                waited.append(now - sent_at)
        for _, seq, problem in said.get("refused", ()):
            self.waiting.pop(seq, None)
            code = str(problem.get("code", "?"))
            if code == "unknown_schema":
                self._is_new = True
            self.refused[code] += 1
        return waited


def _pairs(said: Mapping[str, object]) -> bytes:
    """The pairs of a small map without the byte that counts them."""
    packed: bytes = msgpack.packb(said)
    return packed[1:]
