"""Watching a registry: the same for every one that can say what changed since a revision."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from monitor.ports import Deleted, Entry, Synced

MOST_TOMBSTONES = 1_000
"""Deleted keys that are remembered; who missed more compares all keys instead."""

PAGE_CHANGES = 256
"""Changes taken at a time, fewer where their values are large."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed below a prefix since a revision, in the order of revisions.

    They are complete up to the revision `searched`; `newest` is the registry's.  A deletion at
    or below the revision `forgotten` may not be among them.
    """

    rows: Sequence[Entry | Deleted]
    searched: int
    newest: int
    forgotten: int


class Source(Protocol):
    """A registry that can be watched."""

    async def changes(self, prefix: str, since: int) -> Changes:
        """What changed below a prefix since a revision: one page."""

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins so."""

    async def changed(self, since: int) -> bool:
        """Wait until there is something after a revision; false when the registry closes."""


async def watch(source: Source, prefix: str) -> AsyncIterator[Entry | Synced | Deleted]:
    """What is there, `Synced`, and the changes: see `monitor.ports.Registry.watch`."""
    known: set[str] = set()
    seen, synced = 0, False
    while True:
        page = await source.changes(prefix, seen)
        if synced and seen < page.forgotten:
            for key in sorted(known.difference(await source.keys(prefix))):
                known.discard(key)
                yield Deleted(key, page.forgotten)
        for row in page.rows:
            if isinstance(row, Entry):
                known.add(row.key)
                yield row
            elif synced or row.key in known:
                # Also of a key that came and went between two looks: its writer may know it.
                known.discard(row.key)
                yield row
        seen = page.searched
        if seen < page.newest:
            continue
        if not synced:
            synced = True
            yield Synced.SYNCED
        if not await source.changed(seen):
            return
