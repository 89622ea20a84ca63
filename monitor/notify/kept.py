"""What the registry keeps of one kind, a record a key, and its mirror in memory.

Silences and acknowledgements are such kinds.  Whoever decides asks the mirror, which follows what
other processes write; what this one writes is in it at once.  It knows no meaning of a record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

import msgspec

from monitor.errors import InputError, MonitorError, Unavailable
from monitor.ports import Conflict, Deleted, Entry, Registry, Synced, Unknown

AGAIN_SECONDS = 1.0
"""When the registry is watched again after it could not be."""

MOST_GONE = 1_000
"""Removed keys whose last revision is remembered, so that an old value does not come back."""

logger = logging.getLogger("monitor.notify")

_T = TypeVar("_T")


class Kept(Generic[_T]):
    """The records below a prefix by what follows it; `read` makes one of its key and value.

    What cannot be read is as if it were not there, and logged.
    """

    def __init__(self, registry: Registry, prefix: str, read: Callable[[str, bytes], _T]) -> None:
        self._registry = registry
        self._prefix = prefix
        self._read = read
        self._revisions: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self.records: dict[str, _T] = {}
        self.changed: list[Callable[[], None]] = []
        """Called after every change."""

    async def load(self) -> None:
        """Take in what is there now, once."""
        await self._watch(once=True)

    async def follow(self) -> None:
        """Take in what changes, until cancelled or the registry closes."""
        while True:
            try:
                await self._watch(once=False)
            except MonitorError as error:
                logger.warning("%s cannot be followed: %s", self._prefix, error.detail)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    async def create(self, name: str, value: bytes) -> None:
        """Set a record that is not there.

        Raises `InputError` of status 409 where it is, `Unavailable` where nothing can be written.
        """
        await self._write(name, value, 0)

    async def replace(self, name: str, value: bytes) -> None:
        """Set a record that is known; raises as `create`, where somebody else changed it."""
        await self._write(name, value, self._revisions.get(name, 0))

    async def remove(self, name: str) -> None:
        """Let go of a record; raises as `replace`."""
        key, revision = f"{self._prefix}{name}", self._revisions.get(name, 0)
        try:
            await self._registry.delete(key, revision)
        except Conflict:
            await self._look_again(name)
            raise _changed() from None
        except Unknown:
            await self._look_again(name)
            if name in self._revisions:
                raise _unsure() from None
        self._forget(name, revision)

    async def _write(self, name: str, value: bytes, revision: int) -> None:
        key = f"{self._prefix}{name}"
        try:
            if revision:
                made = await self._registry.update(key, value, revision)
            else:
                made = await self._registry.create(key, value)
        except Conflict:
            await self._look_again(name)
            raise _changed() from None
        except Unknown:
            entry = await self._registry.get(key)
            if entry is None or entry.value != value:
                raise _unsure() from None
            made = entry.revision
        self._take(name, value, made)

    async def _watch(self, *, once: bool) -> None:
        before = dict(self._revisions)
        changes = self._registry.watch(self._prefix)
        try:
            async for change in changes:
                match change:
                    case Entry(key, value, revision):
                        name = key.removeprefix(self._prefix)
                        before.pop(name, None)
                        self._take(name, value, revision)
                    case Deleted(key, revision):
                        name = key.removeprefix(self._prefix)
                        self._forget(name, revision)
                        if name in self._revisions:
                            # Who missed much is not told since when a key is gone.
                            await self._look_again(name)
                    case Synced():
                        for name, revision in before.items():  # what went while nobody watched
                            self._forget(name, revision)
                        before.clear()
                        if once:
                            return
        finally:
            if isinstance(changes, AsyncGenerator):
                await changes.aclose()

    async def _look_again(self, name: str) -> None:
        known = self._revisions.get(name, 0)
        entry = await self._registry.get(f"{self._prefix}{name}")
        if entry is None:
            self._forget(name, known)
        else:
            self._take(name, entry.value, entry.revision)

    def _take(self, name: str, value: bytes, revision: int) -> None:
        if revision <= max(self._revisions.get(name, 0), self._gone.get(name, 0)):
            return
        self._gone.pop(name, None)
        self._revisions[name] = revision
        try:
            self.records[name] = self._read(name, value)
        except (msgspec.MsgspecError, MonitorError, ValueError, RecursionError):
            logger.error("%s%s cannot be read; it counts for nothing", self._prefix, name)  # noqa: TRY400
            self.records.pop(name, None)
        self._tell()

    def _forget(self, name: str, revision: int) -> None:
        if revision < self._revisions.get(name, 0):
            return
        self._gone[name] = max(revision, self._gone.pop(name, 0))
        while len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]
        if self._revisions.pop(name, None) is not None:
            self.records.pop(name, None)
            self._tell()

    def _tell(self) -> None:
        for callback in self.changed:
            callback()


def _changed() -> InputError:
    detail = "somebody else changed the same just now; look, and try again"
    return InputError(detail, code="changed_meanwhile", status=409)


def _unsure() -> Unavailable:
    return Unavailable("it is not known whether this was written; look before trying again")
