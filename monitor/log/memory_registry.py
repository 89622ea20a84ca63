"""The registry in memory: gone when the program ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping

from monitor.log import checkpoints
from monitor.log.leases import Leases
from monitor.log.records import key_text, value_bytes
from monitor.log.watching import MOST_TOMBSTONES, PAGE_CHANGES, Changes, watch
from monitor.ports import Checkpoint, Conflict, Deleted, Entry, Synced


class MemoryRegistry:
    """A `monitor.ports.Registry` for one process and one event loop.

    `monotonic` is the clock in seconds by which leases of others lapse.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._entries: dict[str, Entry] = {}
        self._deleted: dict[str, Deleted] = {}
        self._forgotten = 0
        self._revision = 0
        self._leases = Leases(self, monotonic)
        self._changed = asyncio.Condition()
        self._closed = False

    async def get(self, key: str) -> Entry | None:
        """The newest value of a key, or none."""
        return self._entries.get(key_text(key))

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins so, sorted."""
        if prefix:
            key_text(prefix)
        return sorted(key for key in self._entries if key.startswith(prefix))

    async def create(self, key: str, value: bytes) -> int:
        """Set a key that is not there: see `monitor.ports.Registry`."""
        return await self._set(key, value, 0)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Set a key that is still at this revision: see `monitor.ports.Registry`."""
        if revision <= 0:
            raise Conflict(self._at(key))
        return await self._set(key, value, revision)

    async def put(self, key: str, value: bytes) -> int:
        """Set a key, whatever it was."""
        return await self._set(key, value, None)

    async def _set(self, key: str, value: bytes, expect: int | None) -> int:
        key_text(key)
        value = value_bytes(value)
        async with self._changed:
            self._require(key, expect)
            self._revision += 1
            self._entries[key] = Entry(key, value, self._revision)
            self._deleted.pop(key, None)
            self._changed.notify_all()
            return self._revision

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Remove a key: see `monitor.ports.Registry`."""
        key_text(key)
        async with self._changed:
            if revision is not None and revision <= 0:
                raise Conflict(self._at(key))
            self._require(key, revision)
            if self._entries.pop(key, None) is None:
                return
            self._revision += 1
            self._deleted[key] = Deleted(key, self._revision)
            while len(self._deleted) > MOST_TOMBSTONES:
                self._forgotten = self._deleted.pop(next(iter(self._deleted))).revision
            self._changed.notify_all()

    def _require(self, key: str, expect: int | None) -> None:
        at = self._at(key)
        if expect is not None and at != expect:
            raise Conflict(at)

    def _at(self, key: str) -> int:
        found = self._entries.get(key)
        return found.revision if found else 0

    def watch(self, prefix: str) -> AsyncIterator[Entry | Synced | Deleted]:
        """The values, `Synced`, and then their changes: see `monitor.ports.Registry`."""
        return watch(self, prefix)

    async def changes(self, prefix: str, since: int) -> Changes:
        """What changed below a prefix since a revision: one page."""
        rows: list[Entry | Deleted] = [*self._entries.values(), *self._deleted.values()]
        rows = [row for row in rows if row.revision > since and row.key.startswith(prefix)]
        rows.sort(key=lambda row: row.revision)
        searched = self._revision
        if len(rows) > PAGE_CHANGES:
            searched = rows[PAGE_CHANGES - 1].revision
        return Changes(rows[:PAGE_CHANGES], searched, self._revision, self._forgotten)

    async def changed(self, since: int) -> bool:
        """Wait until there is something after a revision; false when the registry closes."""
        async with self._changed:
            while self._revision <= since and not self._closed:
                await self._changed.wait()
        return not self._closed

    async def lease(self, name: str, holder: str, ttl_seconds: float) -> bool:
        """Take or renew a lease: see `monitor.ports.Registry`."""
        return await self._leases.take(name, holder, ttl_seconds)

    async def checkpoint(self, name: str) -> Checkpoint:
        """A consumer's checkpoint: see `monitor.ports.Registry`."""
        return await checkpoints.load(self, name)

    async def save(
        self, name: str, state: bytes, positions: Mapping[str, int], revision: int
    ) -> int:
        """Write a checkpoint: see `monitor.ports.Registry`."""
        return await checkpoints.save(self, name, state, positions, revision)

    def oldest_checkpoint(self) -> int:
        """The lowest position in the log that a checkpoint names: trimming stops there."""
        return checkpoints.oldest(
            entry.value
            for key, entry in self._entries.items()
            if key.startswith(checkpoints.PREFIX)
        )

    async def close(self) -> None:
        """End the watches."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()
