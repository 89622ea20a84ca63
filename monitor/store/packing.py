"""The libraries that pack numbers, with their errors as ours.

It knows pcodec and zlib; what the numbers mean and which library packs what is chosen above.
"""

from __future__ import annotations

import functools
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.core.series import Floats

try:
    import pcodec  # type: ignore[import-untyped]  # it brings no stubs
    from pcodec import standalone, wrapped
except ImportError:  # what zlib wrote stays readable, and new chunks are zlib's
    pcodec = None

LEVEL = 8
"""Of pcodec: 4 takes 6 % more bytes, 10 takes 0.3 % less and a third more time."""

QUICK_LEVEL = 6
"""For what is packed again within the hour: a sixth less work than level 8, and hardly larger."""

WIDTHS = (np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.int64))
_NAMES = ("i8", "i16", "i32", "i64")


class ChunkDamaged(ValueError):
    """Stored bytes are not what was written."""


def has_pcodec() -> bool:
    """Whether it is installed."""
    return pcodec is not None


def packed_floats(values: Floats, level: int = LEVEL) -> bytes:
    """By pcodec as they are."""
    packed: bytes = standalone.simple_compress(values, pcodec.ChunkConfig(level))
    return packed


def unpack_floats(data: bytes, values: Floats) -> None:
    """The same again.  Raises `ChunkDamaged` where there are not as many as `values` holds."""
    try:
        progress = standalone.simple_decompress_into(data, values)
    except (RuntimeError, TypeError) as error:
        raise ChunkDamaged(f"a piece does not decode: {error}") from error
    if progress.n_processed != len(values) or not progress.finished:
        raise ChunkDamaged("a piece has not as many values as rows")


def packed_integers(body: NDArray[Any]) -> bytes:
    """By pcodec, integers of one of `WIDTHS`, without its file header."""
    packer = wrapped.FileCompressor().chunk_compressor(body, _plain_config())
    packed: bytes = packer.write_meta() + packer.write_page(0)
    return packed


@functools.cache
def _plain_config() -> Any:
    """No differences and no modes of pcodec's: ours are better here, and it need not search."""
    return pcodec.ChunkConfig(
        LEVEL,
        mode_spec=pcodec.ModeSpec.classic(),
        delta_spec=pcodec.DeltaSpec.no_op(),
        enable_8_bit=True,
    )


@functools.cache
def header() -> bytes:
    """The file header of this pcodec: it tells another how to read."""
    written: bytes = wrapped.FileCompressor().write_header()
    return written


@functools.lru_cache(maxsize=8)
def _unpacker(written: bytes) -> Any:
    return wrapped.FileDecompressor.new(written)[0]


def unpack_integers(written: bytes, body: bytes, width: int, count: int) -> NDArray[Any]:
    """The integers again, their width by its place in `WIDTHS`.  Raises `ChunkDamaged`."""
    packed = np.empty(count, WIDTHS[width])
    try:
        unpacker, begin = _unpacker(written).chunk_decompressor(body, _NAMES[width])
        progress, read = unpacker.read_page_into(body[begin:], count, packed)
    except (RuntimeError, TypeError) as error:
        raise ChunkDamaged(f"a piece does not decode: {error}") from error
    if (progress.n_processed, begin + read) != (count, len(body)) or not count:
        raise ChunkDamaged("a piece has not as many values as rows")
    return packed


def deflated(bits: NDArray[np.uint64]) -> bytes:
    """The bits of floats by the standard library: what changed, its bytes in planes."""
    changed = bits.copy()
    changed[1:] ^= bits[:-1]
    shuffled = changed.astype("<u8").view(np.uint8).reshape(-1, 8).T
    return zlib.compress(shuffled.tobytes(), 6)


def inflate(data: bytes | memoryview, values: Floats) -> None:
    """The same again.  Raises `ChunkDamaged`."""
    shuffled = np.frombuffer(inflated(data, values.nbytes), np.uint8)
    changed = shuffled.reshape(8, len(values)).T.copy().view("<u8")[:, 0]
    np.bitwise_xor.accumulate(changed, out=values.view(np.uint64))


def inflated(data: bytes | memoryview, size: int) -> bytes:
    """Exactly `size` bytes; never more memory than that, whatever the data says.

    Raises `ChunkDamaged` where there are not so many.
    """
    inflating = zlib.decompressobj()
    try:
        found = inflating.decompress(data, size + 1)
    except zlib.error as error:
        raise ChunkDamaged(f"a piece does not inflate: {error}") from error
    if len(found) != size or not inflating.eof:
        raise ChunkDamaged("a piece has not as many values as rows")
    return found
