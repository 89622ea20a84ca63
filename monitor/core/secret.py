"""A text that is not shown: a password, a token, an address that is a key.

Whatever prints, formats, logs or dumps one gets `MASK`.  It knows where it came from, so
that a configuration can be shown without it; it does not know what it opens.
"""

from __future__ import annotations

import hmac
from typing import ClassVar, NoReturn, Self, final

MASK = "***"
"""What is shown instead."""


class Inline:
    """A mark: this secret may stand in the configuration itself, and is masked all the same."""

    __slots__ = ()


INLINE = Inline()


@final
class Secret:
    """A text that only `reveal` gives.

    Two are compared in constant time.  None can be hashed, pickled or written as JSON: each of
    these would let something of it out, or bring back a mask that somebody takes for the text.
    """

    __slots__ = ("_text", "source")

    def __init__(self, text: str, source: str = "") -> None:
        self._text = text
        self.source = source
        """Where it came from, for people: a file's path, or ``env:NAME``."""

    def reveal(self) -> str:
        """The text itself, for whoever must send it.  Keep it out of names that live long."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        ours, theirs = (each.reveal().encode("utf-8", "surrogatepass") for each in (self, other))
        return hmac.compare_digest(ours, theirs)

    __hash__: ClassVar[None]  # type: ignore[assignment]  # a hash is a short form of the text

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        # `dataclasses.asdict` copies deeply; what never changes need not be copied.
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret has no state to show")
