"""MessagePack as a stranger may send it: the values that JSON has, and at no price that he chooses.

What comes out is what `strict.decode` makes of the same document in JSON, and what is refused
there is refused here: keys that stand twice, nesting, numbers of elements.  Two things MessagePack
has that JSON has not, bytes and extensions, and both are refused; NaN and infinities come as the
numbers that they are, and whoever knows what a number means refuses them.

Containers are opened one at a time, after their length was judged: msgspec checks that a value is
whole and hands it back unread, so that lists of plain values, which is where the bytes are, are
read in one go.  It knows nothing of what a document means.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from monitor.errors import InputError, excerpt
from monitor.ingest.strict import DEEPEST, MOST_ELEMENTS

Plain: TypeAlias = str | int | float | bool | None

_BYTES_OF_LENGTH = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_ARRAYS, _MAPS = (
    frozenset((*range(0x90, 0xA0), 0xDC, 0xDD)),
    frozenset((*range(0x80, 0x90), 0xDE, 0xDF)),
)
_CONTAINERS = _ARRAYS | _MAPS

_plain = msgspec.msgpack.Decoder(Plain)
_plain_list = msgspec.msgpack.Decoder(list[Plain])
_plain_map = msgspec.msgpack.Decoder(dict[str, Plain])
_raw_list = msgspec.msgpack.Decoder(list[msgspec.Raw])
_raw_map = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])


def decode(body: bytes) -> Any:
    """The value that a MessagePack text writes: dicts, lists, str, int, float, bool, None.

    Raises `InputError`: ``bad_frame`` where it is cut short, goes on behind its end, is none, or
    has what JSON has not; ``bad_utf8``, ``too_deep``, ``too_many_samples`` (413),
    ``duplicate_key``, and ``bad_shape`` where it is empty.
    """
    if not body:
        raise InputError("the body is empty; a push is a map", code="bad_shape")
    try:
        return _Reading().value(body, 0)
    except UnicodeDecodeError:
        raise InputError("a text is not UTF-8", code="bad_utf8") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:
        detail = "the body has what JSON has not: bytes, an extension, a key that is no text"
        raise InputError(detail, code="bad_frame") from None
    except msgspec.DecodeError as error:
        detail = f"the body is no MessagePack: {excerpt(str(error))}"
        raise InputError(detail, code="bad_frame") from None


class _Reading:
    """One document."""

    def __init__(self) -> None:
        self._elements = 0
        self._mixed: set[int] = set()
        """Depths at which a map had a list or a map in it; its like will have too."""

    def value(self, raw: bytes, depth: int) -> Any:
        first = raw[0]
        if first not in _CONTAINERS:
            return _plain.decode(raw)
        if depth >= DEEPEST:
            raise _too_deep()
        count = _length(raw)
        if count > len(raw):
            raise InputError("a list says that it is longer than the body", code="bad_frame")
        self._elements += count or 1
        if self._elements > MOST_ELEMENTS:
            detail = f"the document has more than {MOST_ELEMENTS} elements: send fewer at once"
            raise InputError(detail, code="too_many_samples", limit=MOST_ELEMENTS, status=413)
        return self._list(raw, depth) if first in _ARRAYS else self._map(raw, depth, count)

    def _list(self, raw: bytes, depth: int) -> list[Any]:
        try:
            return _plain_list.decode(raw)
        except msgspec.ValidationError:
            return [self.value(bytes(each), depth + 1) for each in _raw_list.decode(raw)]

    def _map(self, raw: bytes, depth: int, count: int) -> dict[str, Any]:
        found: dict[str, Any]
        if depth and depth not in self._mixed:
            try:
                found = _plain_map.decode(raw)
            except msgspec.ValidationError:
                self._mixed.add(depth)
                return self._map(raw, depth, count)
        else:
            parts = _raw_map.decode(raw)
            found = {name: self.value(bytes(part), depth + 1) for name, part in parts.items()}
        if len(found) < count:
            raise InputError("a key stands twice in one map", code="duplicate_key")
        return found


def _length(raw: bytes) -> int:
    size = _BYTES_OF_LENGTH.get(raw[0])
    return raw[0] & 0x0F if size is None else int.from_bytes(raw[1 : 1 + size], "big")


def _too_deep() -> InputError:
    detail = f"the document nests deeper than {DEEPEST} brackets"
    return InputError(detail, code="too_deep", limit=DEEPEST)
