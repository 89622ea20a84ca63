"""Push documents in MessagePack for many hosts at once, and WebSocket frames around them.

A document is a row of bytes with holes for its number, its instants and its values, so that a
group of hosts is packed and masked by a few copies of arrays: what the sender does takes no
processor from the server beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.recording import Floats
from monitor.model import Schema

Bytes = NDArray[np.uint8]

FLOAT64, UINT64 = 0xCB, 0xCF
"""What MessagePack begins such a number with."""

BINARY = 0x82
MASKED_16_BIT_LENGTH = 0x80 | 126
LONGEST = 65_535
"""Bytes of a message whose length is written in 16 bits."""


class Documents:
    """One document of one frame for each of these hosts, whose names are of one length."""

    def __init__(self, hosts: Sequence[str], boots: Sequence[str], texts: tuple[str, ...]) -> None:
        self._hosts, self._boots, self._texts = tuple(hosts), tuple(boots), texts
        digest = Schema(texts).digest
        # Pieces and holes in turn: the holes are the number, two instants, and the values.
        self._pieces = [
            (
                b"\x87" + _pair("host", host) + _pair("agent", f"bench-{host}")
                + _pair("boot_id", boot) + _pair("schema", digest) + _text("seq"),
                _text("sent"),
                _text("frames") + b"\x91\x82" + _text("at"),
                _text("values") + _list_of(len(texts)),
            )
            for host, boot in zip(hosts, boots, strict=True)
        ]  # fmt: skip
        holes = (9, 9, 9, 9 * len(texts))
        rows = [b"".join(piece + bytes(hole) for piece, hole in zip(row, holes, strict=True))
                for row in self._pieces]  # fmt: skip
        self._rows: Bytes = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
        lengths = [len(piece) for piece in self._pieces[0]]
        ends = np.cumsum([piece + hole for piece, hole in zip(lengths, holes, strict=True)])
        self._places = [int(end) - hole for end, hole in zip(ends, holes, strict=True)]
        self._random = np.random.default_rng()

    @property
    def size(self) -> int:
        """Bytes of one."""
        return int(self._rows.shape[1])

    def first(self, host: int, seq: int, at: float, values: Sequence[float]) -> bytes:
        """The document that brings the list of KEYs."""
        return msgspec.msgpack.encode(
            {
                "host": self._hosts[host],
                "agent": f"bench-{self._hosts[host]}",
                "boot_id": self._boots[host],
                "schema": list(self._texts),
                "seq": seq,
                "sent": at,
                "info": {"version": "bench", "os": "linux", "interval": 1.0},
                "frames": [{"at": at, "values": list(values)}],
            }
        )

    def packed(
        self,
        hosts: NDArray[np.intp],
        seqs: NDArray[np.int64],
        at: Floats,
        sent: float,
        rows: Floats,
    ) -> Bytes:
        """The documents of these hosts with these rows: uint8[hosts, size]."""
        made = self._rows[hosts]
        seq, left, instant, values = self._places
        made[:, seq] = UINT64
        made[:, seq + 1 : seq + 9] = _big(seqs.astype(">u8"))
        made[:, left] = FLOAT64
        made[:, left + 1 : left + 9] = _big(np.full(len(hosts), sent, ">f8"))
        made[:, instant] = FLOAT64
        made[:, instant + 1 : instant + 9] = _big(at.astype(">f8"))
        cells = made[:, values:].reshape(len(hosts), -1, 9)
        cells[:, :, 0] = FLOAT64
        cells[:, :, 1:] = _big(rows.astype(">f8").ravel()).reshape(len(hosts), -1, 8)
        made[:, values:] = cells.reshape(len(hosts), -1)
        return made

    def messages(self, documents: Bytes) -> Bytes:
        """The same as masked binary messages of a WebSocket's client, each with its own mask."""
        count, size = documents.shape
        made = np.empty((count, 8 + size), np.uint8)
        made[:, 0] = BINARY
        made[:, 1] = MASKED_16_BIT_LENGTH
        made[:, 2], made[:, 3] = divmod(size, 256)
        masks = self._random.integers(0, 256, (count, 4), np.uint8)
        made[:, 4:8] = masks
        whole = size - size % 4
        turned = documents[:, :whole].reshape(count, -1, 4) ^ masks[:, None, :]
        made[:, 8 : 8 + whole] = turned.reshape(count, -1)
        made[:, 8 + whole :] = documents[:, whole:] ^ masks[:, : size - whole]
        return made


def message(document: bytes) -> bytes:
    """One masked binary message."""
    mask = np.random.default_rng().integers(0, 256, 4, np.uint8)
    body = np.frombuffer(document, np.uint8)
    masked = body ^ np.resize(mask, len(body))
    length = (
        bytes([MASKED_16_BIT_LENGTH]) + len(document).to_bytes(2, "big")
        if len(document) <= LONGEST
        else bytes([0x80 | 127]) + len(document).to_bytes(8, "big")
    )
    return bytes([BINARY]) + length + mask.tobytes() + masked.tobytes()


def control(opcode: int, body: bytes) -> bytes:
    """A masked control message, of at most 125 bytes, with a mask of zeros."""
    return bytes([0x80 | opcode, 0x80 | len(body), 0, 0, 0, 0]) + body


def _big(numbers: NDArray[np.generic]) -> Bytes:
    return np.frombuffer(numbers.tobytes(), np.uint8).reshape(-1, 8)


def _text(text: str) -> bytes:
    return msgspec.msgpack.encode(text)


def _pair(name: str, text: str) -> bytes:
    return _text(name) + _text(text)


def _list_of(count: int) -> bytes:
    return b"\xdc" + count.to_bytes(2, "big") if count > 15 else bytes([0x90 | count])
