"""JSON as a stranger may send it: read strictly, and never at a price that he chooses.

The standard parser takes NaN, keeps the last of two equal keys, guesses UTF-16 and gives up
where brackets nest too deep, so each of these is seen to here (RELIABILITY 1.11).  It knows
nothing of what a document means.

Measured, 100 values with their KEYs (8.4 kB): 28 µs with the standard parser and a hook that
sees duplicate keys, 7 µs with msgspec, which has no such hook.  A whole request costs some
twenty times the difference, so there is one parser and no second opinion.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np

from monitor.errors import InputError, excerpt

DEEPEST = 16
"""Nested brackets; our own documents have five, `info` may have some more."""

MOST_ELEMENTS = 65_536
"""Commas and opening brackets outside of strings: the parser does not let go of the interpreter
before it is through, so this bounds how long everybody else waits."""

MOST_ESCAPES = 524_288
"""Backslashes, for the same reason: 3.5 ns each."""

SLICE_BYTES = 128 * 1024
"""How much is counted at once: less than a millisecond, and then others may run."""

_STEPS = np.zeros(256, np.int8)
_STEPS[[ord("["), ord("{")]] = 1
_STEPS[[ord("]"), ord("}")]] = -1

_BEGINS = np.zeros(256, np.bool_)
_BEGINS[[ord("["), ord("{"), ord(",")]] = True
_QUOTE = ord('"')
_DULL = bytes(set(range(256)) - set(b'"[]{},'))
"""What neither nests nor parts nor quotes."""


def decode(body: bytes) -> Any:
    """The value that a JSON text in UTF-8 writes: dicts, lists, str, int, float, bool, None.

    Raises `InputError`: ``bad_utf8`` (also for a byte order mark, UTF-16 and lone surrogates),
    ``too_deep``, ``too_many_samples`` (413), ``duplicate_key``, ``non_finite`` (for the words
    NaN and Infinity; a number such as 1e999 comes as infinity), ``number_range`` (for a whole
    number of thousands of digits), ``bad_shape`` for an empty body and ``bad_json`` for
    everything else that is none.
    """
    text = _text(body)
    if not text.strip(" \t\r\n"):
        raise InputError("the body is empty; a push is a JSON object", code="bad_shape")
    _measure(body)
    value = _parsed(text)
    if "\\ud" in text or "\\uD" in text:
        _require_whole_characters(value)
    return value


def _text(body: bytes) -> str:
    if b"\0" in body[:4] or body.startswith(b"\xef\xbb\xbf"):
        detail = "the body is UTF-16, UTF-32 or begins with a byte order mark; send plain UTF-8"
        raise InputError(detail, code="bad_utf8")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: byte {error.start} cannot stand there"
        raise InputError(detail, code="bad_utf8") from None


def _measure(body: bytes) -> None:
    """Raise where a body would cost the parser too much.

    What is counted is exact up to the first fault of the document, which is as far as the
    parser will read.
    """
    if len(body) <= MOST_ELEMENTS and body.count(b"[") + body.count(b"{") <= DEEPEST:
        return
    if body.count(b"\\") > MOST_ESCAPES:
        detail = "the document has too many escapes"
        raise InputError(detail, code="too_many_samples", limit=MOST_ESCAPES, status=413)
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    signs = body.translate(None, _DULL)
    depth, elements, parity = 0, 0, 0
    for start in range(0, len(signs), SLICE_BYTES):
        part = np.frombuffer(signs, np.uint8, min(SLICE_BYTES, len(signs) - start), start)
        # The parity of the quotes before a byte says whether it stands in a string.
        quotes = np.cumsum(part == _QUOTE, dtype=np.uint8) + np.uint8(parity)
        outside = quotes & 1 == 0
        depths = np.cumsum(_STEPS[part] * outside, dtype=np.int32) + depth
        if depths.max() > DEEPEST:
            detail = f"the document nests deeper than {DEEPEST} brackets"
            raise InputError(detail, code="too_deep", limit=DEEPEST)
        elements += int(np.count_nonzero(_BEGINS[part] & outside))
        if elements > MOST_ELEMENTS:
            detail = f"the document has more than {MOST_ELEMENTS} elements: send fewer at once"
            raise InputError(detail, code="too_many_samples", limit=MOST_ELEMENTS, status=413)
        depth, parity = int(depths[-1]), int(quotes[-1]) & 1


def _parsed(text: str) -> Any:
    try:
        return (_DECODER if len(text) <= MOST_ELEMENTS else _GIVING_WAY).decode(text)
    except json.JSONDecodeError as error:
        detail = f"the body is no JSON: {error.msg}, line {error.lineno} column {error.colno}"
        raise InputError(detail, code="bad_json") from None
    except ValueError:  # Python's own bound on the digits of a whole number
        detail = "a number has more digits than any quantity"
        raise InputError(detail, code="number_range") from None
    except RecursionError:  # pragma: no cover - the depth is bounded before
        raise InputError("the document nests too deep", code="too_deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                detail = f"the key {excerpt(name)} stands twice in one object"
                raise InputError(detail, code="duplicate_key", field=excerpt(name))
            seen.add(name)
    return found


def _float(text: str) -> float:
    # A function of Python's: the interpreter looks here whether somebody else waits for it.
    return float(text)


def _constant(text: str) -> NoReturn:
    detail = f"{excerpt(text)} is no JSON; what is absent is null"
    raise InputError(detail, code="non_finite")


def _require_whole_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        detail = "the document writes half a character: a surrogate without its other"
        raise InputError(detail, code="bad_utf8") from None


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_GIVING_WAY = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_constant=_constant
)
