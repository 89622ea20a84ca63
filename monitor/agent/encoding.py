"""Frames become push documents in MessagePack: what is said to the server, byte by byte.

The document is that of the push protocol.  Its content (number, frames, tables) is packed once,
so that a retry says exactly the same; whether the schema goes as a list or by its digest, whether
the agent introduces itself, and when it was sent, is decided anew with every sending.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgpack  # type: ignore[import-untyped]

from monitor.model import Schema

PROTOCOL = 1
"""The version of the push protocol that is spoken here."""

_SENT = struct.Struct(">Bd")
_FLOAT64 = 0xCB
"""How MessagePack announces a number of eight bytes."""

_SMALL_MAP = 0x80
"""A map of up to fifteen pairs is this and their number."""


class Row(Protocol):
    """What a document needs of a frame."""

    @property
    def at(self) -> float:
        """Its instant, in unix seconds."""

    @property
    def schema(self) -> Schema:
        """Its columns."""

    @property
    def values(self) -> Sequence[float]:
        """One number a column, NaN where there is none."""


@dataclass(frozen=True, slots=True)
class Document:
    """One numbered push, packed: `content` are `pairs` pairs of a MessagePack map."""

    seq: int
    schema: Schema
    content: bytes
    pairs: int


class Encoder:
    """One life of one sender: its identity, and what it says of itself."""

    def __init__(
        self,
        host: str,
        agent: str,
        boot_id: str,
        labels: Mapping[str, str] | None = None,
        info: Mapping[str, object] | None = None,
    ) -> None:
        self.host = host
        self.boot_id = boot_id
        self._packer = msgpack.Packer(use_single_float=False)
        self._who = self._pairs({"host": host, "agent": agent, "boot_id": boot_id})
        introduction: dict[str, object] = {"protocol": PROTOCOL, "labels": dict(labels or {})}
        introduction["info"] = dict(info or {})
        self._introduction = self._pairs(introduction)

    def document(self, seq: int, frames: Sequence[Row], tables: bytes | None = None) -> Document:
        """The push of these frames, one at least, all of one schema; tables are packed."""
        content = self._pairs(
            {
                "seq": seq,
                "frames": [{"at": frame.at, "values": row(frame.values)} for frame in frames],
            }
        )
        if tables is None:
            return Document(seq, frames[0].schema, content, 2)
        return Document(seq, frames[0].schema, content + b"\xa9snapshots" + tables, 3)

    def message(
        self, document: Document, now: float, *, whole_schema: bool, introduce: bool
    ) -> bytes:
        """What is sent of it at `now`: with the list of KEYs or its digest, and who we are."""
        pairs = 3 + document.pairs + 2 + (3 if introduce else 0)
        schema: object = list(document.schema.texts) if whole_schema else document.schema.digest
        return b"".join(
            (
                bytes((_SMALL_MAP | pairs,)),
                self._who,
                self._introduction if introduce else b"",
                document.content,
                self._pairs({"schema": schema}),
                b"\xa4sent",
                _SENT.pack(_FLOAT64, now),
            )
        )

    def goodbye(self) -> bytes:
        """That this sender ends on purpose: its host is not missing."""
        return bytes((_SMALL_MAP | 4,)) + self._who + self._pairs({"bye": True})

    def _pairs(self, said: Mapping[str, object]) -> bytes:
        """The pairs of a small map without the byte that counts them."""
        packed: bytes = self._packer.pack(said)
        return packed[1:]


def row(values: Sequence[float]) -> list[float | None]:
    """The values as they are sent: what is absent is null."""
    # Only NaN differs from itself; a call of `math.isnan` for each would cost as much as packing.
    return [value if value == value else None for value in values]  # noqa: PLR0124
