"""Inflating what a stranger sent compressed, at a price that is ours and not his.

A few kilobytes may say that they are gigabytes.  So nothing is ever inflated beyond a limit, and
what cannot be bounded by its output is bounded before: a zstd frame says how much memory it wants
for its window, and is refused where that is more than anybody needs.  One body is one gzip member
or one zstd frame, with nothing behind it.  It knows no HTTP, and nothing of what is inside.
"""

from __future__ import annotations

import zlib
from typing import Any, Literal, TypeAlias, cast

import cramjam
import numpy as np

from monitor.errors import InputError

Coding: TypeAlias = Literal["identity", "gzip", "zstd"]

CODINGS: tuple[Coding, ...] = ("identity", "gzip", "zstd")
"""The content codings that are taken, by their names in HTTP."""

LARGEST_WINDOW_BYTES = 8 * 1024 * 1024
"""What RFC 8878 section 3.1.1.1.2 asks of every decoder.  The library would allocate 128 MB."""

LARGEST_BLOCK_BYTES = 128 * 1024
"""What one zstd block may become (RFC 8878 section 3.1.1.2.3)."""

MOST_BLOCKS = 4_096
"""Of one zstd frame; 4 MB are 32, and senders that flush often make a few hundred."""

_GZIP = 16 + zlib.MAX_WBITS
_MAGIC = b"\x28\xb5\x2f\xfd"
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)
_DICTIONARY_BYTES = (0, 1, 2, 4)
_RAW, _REPEATED, _COMPRESSED = 0, 1, 2


def inflated(body: bytes, coding: Coding, limit: int) -> bytes:
    """What `body` is without its coding, at most `limit` bytes.

    Raises `InputError`: ``inflated_too_large`` (413), ``bad_gzip`` or ``bad_zstd`` where it is cut
    short, damaged, followed by something else, or not that at all.
    """
    if coding == "gzip":
        return _ungzipped(body, limit)
    if coding == "zstd":
        return _unzstd(body, limit)
    return body


def too_large(limit: int) -> InputError:
    """What is said of a body that is more than `limit` bytes inside."""
    detail = "the body is too large once it is inflated: send less at once"
    return InputError(detail, code="inflated_too_large", limit=limit, status=413)


def _ungzipped(body: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_GZIP)
    try:
        found = stream.decompress(body, limit + 1)
    except zlib.error:
        raise _bad("gzip", "it is no gzip, or damaged") from None
    if len(found) > limit:
        raise too_large(limit)
    if not stream.eof:
        raise _bad("gzip", "it ends too early")
    if stream.unused_data:
        raise _bad("gzip", "something follows its end; send one member")
    return found


def _unzstd(body: bytes, limit: int) -> bytes:
    most = _require_frame(body)
    made = np.empty(min(most, limit), np.uint8)
    try:
        count = cramjam.zstd.decompress_into(body, cast("Any", made))
    except cramjam.DecompressionError as error:
        # The only fault of its output is that it does not fit.
        if most > limit and "whole buffer" in str(error):
            raise too_large(limit) from None
        raise _bad("zstd", "it is damaged") from None
    return made[:count].tobytes()


def _require_frame(body: bytes) -> int:
    """Raise unless this is one whole zstd frame with a small window; the most it can become."""
    if len(body) < 6 or not body.startswith(_MAGIC):
        raise _bad("zstd", "it is no zstd frame")
    header = body[4]
    is_single, has_checksum = bool(header & 0x20), bool(header & 0x04)
    if header & 0x08 or header & 0x03:
        raise _bad("zstd", "it needs a dictionary, or something that is not specified")
    size_bytes = _CONTENT_SIZE_BYTES[header >> 6] or int(is_single)
    at = 5 if is_single else 6
    says = None
    if size_bytes:
        says = int.from_bytes(body[at : at + size_bytes], "little")
        says += 256 if size_bytes == _CONTENT_SIZE_BYTES[1] else 0
    window = says if is_single else _window(body[5])
    at += size_bytes
    made = 0
    for _ in range(MOST_BLOCKS):
        block = int.from_bytes(body[at : at + 3], "little")
        kind, size = block >> 1 & 3, block >> 3
        at += 3 + (1 if kind == _REPEATED else size)
        if at > len(body) or kind > _COMPRESSED:
            raise _bad("zstd", "it is damaged, or ends too early")
        made += LARGEST_BLOCK_BYTES if kind == _COMPRESSED else size
        if block & 1:
            break
    else:
        raise _bad("zstd", f"it has more than {MOST_BLOCKS} blocks")
    at += 4 if has_checksum else 0
    if at != len(body):
        raise _bad("zstd", "it ends too early, or something follows its end; send one frame")
    if window is not None and window > LARGEST_WINDOW_BYTES:
        # A frame of one segment has its whole content for its window.
        detail = "the body wants too large a window: compress it with less, or send less"
        code = "inflated_too_large"
        raise InputError(detail, code=code, limit=LARGEST_WINDOW_BYTES, status=413)
    return made


def _window(descriptor: int) -> int:
    base = 1 << (10 + (descriptor >> 3))
    return base + (base >> 3) * (descriptor & 7)


def _bad(coding: str, why: str) -> InputError:
    detail = f"the body says that it is {coding}, and {why}"
    return InputError(detail, code=f"bad_{coding}")
