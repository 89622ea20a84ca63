"""Checkpoints of the log's consumers, on top of any registry's `get`, `create` and `update`.

A checkpoint is one value of the registry, so state and positions are written together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from monitor.errors import InputError
from monitor.log.damage import Damaged
from monitor.log.records import text, value_bytes
from monitor.ports import Checkpoint, Registry

PREFIX = "checkpoint/"
"""Where they stand in the registry: ``checkpoint/NAME``."""

OF_THE_LOG = "log"
"""The name under which a consumer keeps its position in the event log."""

HIGHEST_POSITION = 2**63 - 1
"""As far as a 64-bit number goes."""


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    positions: dict[str, int]
    state: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)


async def load(registry: Registry, name: str) -> Checkpoint:
    """A consumer's checkpoint; of revision 0, empty, where there is none."""
    found = await registry.get(PREFIX + name)
    if found is None:
        return Checkpoint(b"", {}, 0)
    try:
        kept = _decoder.decode(found.value)
    except msgspec.DecodeError:
        detail = (
            f"the checkpoint {name} in the registry (log.db) is damaged: put it back from a "
            f"backup, or delete {PREFIX}{name} to begin anew"
        )
        raise Damaged(detail, code="bad_checkpoint") from None
    return Checkpoint(kept.state, kept.positions, found.revision)


async def save(
    registry: Registry, name: str, state: bytes, positions: Mapping[str, int], revision: int
) -> int:
    """Write a checkpoint; its revision.  Raises `Conflict`, and `InputError` above 256 KiB."""
    key = text(PREFIX + name, "name")
    for of, position in positions.items():
        if not 0 <= position <= HIGHEST_POSITION:
            raise InputError(f"the position in {of} is none", code="bad_position", field=of)
    value = value_bytes(_encoder.encode(_Kept(dict(positions), bytes(state))))
    if revision == 0:
        return await registry.create(key, value)
    return await registry.update(key, value, revision)


def oldest(values: Iterable[bytes]) -> int:
    """The lowest position in the log that any checkpoint names: trimming stops there.

    One that cannot be read may name any, so nothing goes.
    """
    lowest = HIGHEST_POSITION
    for value in values:
        try:
            kept = _decoder.decode(value)
        except msgspec.DecodeError:
            return 0
        lowest = min(lowest, kept.positions.get(OF_THE_LOG, HIGHEST_POSITION))
    return lowest
