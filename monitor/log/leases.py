"""Leases, on top of any registry's `get`, `create`, `update` and `delete`.

A lease is a key whose value names its holder and how long it may go unrenewed.  Nobody's wall
clock counts: whoever wants another's lease measures by its own monotonic clock how long the
key's revision has stayed the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from monitor.errors import InputError
from monitor.log.records import text
from monitor.ports import Conflict, Registry

PREFIX = "lease/"
"""Where they stand in the registry: ``lease/NAME``."""

LONGEST_SECONDS = 86_400.0
"""A lease of a day is a lock, which this is not."""

MOST_WATCHED = 1_024
"""Leases of others that are watched at once; the one watched longest is forgotten."""


class _Held(msgspec.Struct, array_like=True, frozen=True):
    holder: str
    ttl_seconds: float


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Held)


class Leases:
    """What one process knows of leases: since when each of others' has not been renewed."""

    def __init__(self, registry: Registry, monotonic: Callable[[], float]) -> None:
        self._registry = registry
        self._monotonic = monotonic
        self._watched: dict[str, tuple[int, float]] = {}

    async def take(self, name: str, holder: str, ttl_seconds: float) -> bool:
        """Take, renew or (with a ttl of 0) give up: see `monitor.ports.Registry.lease`."""
        key = text(PREFIX + name, "name")
        text(holder, "holder")
        if not math.isfinite(ttl_seconds) or not 0 <= ttl_seconds <= LONGEST_SECONDS:
            detail = f"a lease lasts 0 to {LONGEST_SECONDS:,.0f} s"
            raise InputError(detail, code="bad_lease", field="ttl", limit=LONGEST_SECONDS)
        mine = _encoder.encode(_Held(holder, ttl_seconds))
        found = await self._registry.get(key)
        try:
            if found is None:
                self._watched.pop(name, None)
                if ttl_seconds:
                    await self._registry.create(key, mine)
                return ttl_seconds > 0
            held = _held(found.value, ttl_seconds)
            if held.holder != holder and not self._has_lapsed(name, found.revision, held):
                return False
            if ttl_seconds:
                await self._registry.update(key, mine, found.revision)
            elif held.holder == holder:
                await self._registry.delete(key, found.revision)
        except Conflict:
            # Somebody was quicker, so it is theirs; what we watched is no longer so.
            return False
        self._watched.pop(name, None)
        return ttl_seconds > 0

    def _has_lapsed(self, name: str, revision: int, held: _Held) -> bool:
        now = self._monotonic()
        seen, since = self._watched.get(name, (0, now))
        if seen != revision:
            self._watched.pop(name, None)
            while len(self._watched) >= MOST_WATCHED:
                del self._watched[next(iter(self._watched))]
            self._watched[name] = (revision, now)
            return False
        return now - since >= held.ttl_seconds


def _held(value: bytes, ttl_seconds: float) -> _Held:
    """Who holds a lease.  What cannot be read is nobody's that renews it: it lapses as ours would.

    A ttl that no holder could have asked for is cut to what one could.
    """
    try:
        held = _decoder.decode(value)
    except msgspec.DecodeError:
        return _Held("", ttl_seconds)
    return _Held(held.holder, min(max(held.ttl_seconds, 0.0), LONGEST_SECONDS))
