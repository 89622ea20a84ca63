"""One column of numbers as bytes, and back, bit for bit.

Every piece names its codec by an id, so that one can be replaced without rewriting what is
stored.  It knows nothing of columns' names, of files, or of checksums.
"""

from __future__ import annotations

import zlib

import numpy as np

from monitor.core.series import Floats

try:
    import pcodec  # type: ignore[import-untyped]  # it brings no stubs
    from pcodec import standalone
except ImportError:  # what zlib wrote stays readable, and new chunks are zlib's
    standalone = None

RAW, CONSTANT, ZLIB, PCO = range(4)

LEVEL = 6


class ChunkDamaged(ValueError):
    """Stored bytes are not what was written."""


def encode(values: Floats) -> tuple[int, bytes]:
    """The codec's id, and a column as it wrote it.  `values` is (n,), n at least 1."""
    values = np.ascontiguousarray(values)
    bits = values.view(np.uint64)
    if (bits == bits[0]).all():
        return CONSTANT, values[:1].tobytes()
    if standalone is not None:
        return PCO, standalone.simple_compress(values, pcodec.ChunkConfig(LEVEL))
    return ZLIB, _deflated(bits)


def decode(codec: int, data: bytes | memoryview, rows: int) -> Floats:
    """The column again.  Raises `ChunkDamaged` where it cannot be, or has not `rows` values."""
    if codec == CONSTANT and len(data) == 8:
        return np.full(rows, np.frombuffer(data, np.uint64)[0]).view(np.float64)
    if codec == RAW and len(data) == 8 * rows:
        return np.frombuffer(data, np.float64).copy()
    if codec == ZLIB:
        return _inflated(data, rows)
    if codec == PCO and standalone is not None:
        values = np.empty(rows)
        try:
            progress = standalone.simple_decompress_into(bytes(data), values)
        except (RuntimeError, TypeError) as error:
            raise ChunkDamaged(f"a piece does not decode: {error}") from error
        if progress.n_processed != rows or not progress.finished:
            raise ChunkDamaged("a piece has not as many values as rows")
        return values
    raise ChunkDamaged(f"a piece of codec {codec} and {len(data)} bytes is none of ours")


def _deflated(bits: np.ndarray) -> bytes:
    changed = bits.copy()
    changed[1:] ^= bits[:-1]
    shuffled = changed.astype("<u8").view(np.uint8).reshape(-1, 8).T
    return zlib.compress(shuffled.tobytes(), 6)


def _inflated(data: bytes | memoryview, rows: int) -> Floats:
    inflating = zlib.decompressobj()
    try:
        shuffled = inflating.decompress(data, 8 * rows + 1)
    except zlib.error as error:
        raise ChunkDamaged(f"a piece does not inflate: {error}") from error
    if len(shuffled) != 8 * rows or not inflating.eof:
        raise ChunkDamaged("a piece has not as many values as rows")
    changed = np.frombuffer(shuffled, np.uint8).reshape(8, rows).T.copy().view("<u8")[:, 0]
    return np.bitwise_xor.accumulate(changed).view(np.float64)
