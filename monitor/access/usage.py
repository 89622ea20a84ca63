"""When each session and token was last used, to the minute.

It is noted in memory, and written down now and then in a few values of the registry, so that a
thousand agents that push each second cost sixteen writes a minute.
"""

from __future__ import annotations

import msgspec

from monitor.access.directory import Directory
from monitor.ports import Registry

PREFIX = "used/"

BUCKETS = "0123456789abcdef"
"""A value for each first digit of an id."""

FINE_SECONDS = 60.0
"""How finely it is known."""

_SHAPE = dict[str, int]


class Usage:
    """Instants by id, in unix seconds."""

    def __init__(self, registry: Registry, directory: Directory) -> None:
        self._registry = registry
        self._directory = directory
        self._at: dict[str, int] = {}
        self._dirty: set[str] = set()

    def touch(self, id_: str, now: float) -> None:
        """A credential was used."""
        if abs(now - self._at.get(id_, 0)) >= FINE_SECONDS:  # a clock may have been set back
            self._at[id_] = int(now)
            self._dirty.add(id_[0])

    def at(self, id_: str) -> int | None:
        """When a credential was last used, none if it never was."""
        return self._at.get(id_)

    async def load(self) -> None:
        """Take in what was written down."""
        for bucket in BUCKETS:
            entry = await self._registry.get(PREFIX + bucket)
            if entry is not None:
                try:
                    self._at.update(msgspec.json.decode(entry.value, type=_SHAPE))
                except msgspec.MsgspecError:
                    continue  # it is only told, and nothing is judged by it

    async def save(self) -> None:
        """Write down what is new, and let go of what nobody has any more."""
        known = self._directory.sessions.keys() | self._directory.tokens.keys()
        for id_ in self._at.keys() - known:
            del self._at[id_]
        for bucket in sorted(self._dirty):
            found = {id_: at for id_, at in self._at.items() if id_[0] == bucket}
            self._dirty.discard(bucket)
            try:
                await self._registry.put(PREFIX + bucket, msgspec.json.encode(found))
            except BaseException:
                self._dirty.add(bucket)  # it is not written down: another time
                raise
