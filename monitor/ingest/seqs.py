"""Which pushes of one life of a sender have been accepted, in a bounded memory.

Numbers come in any order, with gaps that are counted and never refused.  What is remembered
is every accepted number, as intervals, and a digest of what the latest of them said.  Where
the bounds are passed the oldest is forgotten, which never loses anything: a push that is
stored again is the same frames at the same instants.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import islice

import msgspec

MOST_INTERVALS = 256
"""Runs of numbers without a gap; backfill beside live sending makes two."""

MOST_CONTENTS = 256
"""Digests kept: many more pushes than a sender has under way at once."""

MOST_KEPT_CONTENTS = 32
"""Digests that outlast a restart: a few more than a sender has under way."""

LARGEST_SEQ = 2**63
"""A number is below."""

LARGEST_GAP = 1_000_000
"""More numbers than a sender leaves out in eleven days at one a second: it jumped."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What outlasts a restart: intervals by their first and last numbers, and some contents."""

    firsts: list[int]
    lasts: list[int]
    contents: dict[int, bytes]


class Seqs:
    """The accepted numbers of one `boot_id`."""

    def __init__(self) -> None:
        self._firsts = array("q")
        self._lasts = array("q")
        self._contents: dict[int, bytes] = {}

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._firsts, seq) - 1
        return at >= 0 and seq <= self._lasts[at]

    def content(self, seq: int) -> bytes | None:
        """The digest of what an accepted push said, where it is still kept."""
        return self._contents.get(seq)

    def add(self, seq: int, content: bytes) -> None:
        """Remember a number that is not among them."""
        at = bisect_right(self._firsts, seq)
        joins_before = at > 0 and self._lasts[at - 1] == seq - 1
        joins_after = at < len(self._firsts) and self._firsts[at] == seq + 1
        if joins_before and joins_after:
            self._lasts[at - 1] = self._lasts.pop(at)
            del self._firsts[at]
        elif joins_before:
            self._lasts[at - 1] = seq
        elif joins_after:
            self._firsts[at] = seq
        else:
            self._firsts.insert(at, seq)
            self._lasts.insert(at, seq)
        if len(self._firsts) > MOST_INTERVALS:
            del self._firsts[0], self._lasts[0]
        self._contents[seq] = content
        if len(self._contents) > MOST_CONTENTS:
            del self._contents[next(iter(self._contents))]

    def kept(self) -> Kept:
        """What is to outlast a restart."""
        latest = list(islice(reversed(self._contents.items()), MOST_KEPT_CONTENTS))
        return Kept(self._firsts.tolist(), self._lasts.tolist(), dict(reversed(latest)))

    @classmethod
    def of(cls, kept: Kept) -> Seqs:
        """What was kept; intervals that are none are left out."""
        found, last = cls(), -2
        for first, end in zip(kept.firsts, kept.lasts, strict=False):
            if last + 1 < first <= end < LARGEST_SEQ:
                found._firsts.append(first)
                found._lasts.append(end)
                last = end
        found._contents.update(kept.contents)
        return found

    @property
    def missing(self) -> int:
        """How many numbers between the lowest and the highest have not come, jumps left out."""
        firsts, lasts = self._firsts, self._lasts
        gaps = (firsts[at + 1] - lasts[at] - 1 for at in range(len(firsts) - 1))
        return sum(gap for gap in gaps if gap <= LARGEST_GAP)
