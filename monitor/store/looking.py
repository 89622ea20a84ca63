"""Looking at a store's file as it is at one moment, whether or not a server runs on it.

Nothing is written, and no lock is taken: what the server commits meanwhile is not seen.  For
commands that ask of history and end soon, since the file's log cannot be folded in while it is
looked at.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import apsw

from monitor.errors import StartError
from monitor.ports import Buckets
from monitor.sqlite.transactions import roll_back
from monitor.store.chunks import Cache
from monitor.store.codec import ChunkDamaged
from monitor.store.hosts import HostView
from monitor.store.loading import Loaded, loaded
from monitor.store.reading import Reader, ranged


class Look:
    """One unchanging view, over a connection that only reads and is its caller's to close.

    It reads in threads, one at a time, and gives what `monitor.ports.SeriesStore` gives.
    """

    def __init__(self, connection: apsw.Connection, now: float) -> None:
        self._connection = connection
        self._cache = Cache()
        self._one = threading.Lock()
        connection.execute("BEGIN")
        try:
            self._found: Loaded = loaded(connection, now)
        except apsw.Error as error:
            roll_back(connection)
            # Damage would be put aside, which is for the server: nothing is written here.
            detail = f"the history cannot be read as it is ({error}); see monitor doctor"
            raise StartError(detail) from error

    def close(self) -> None:
        """End the view."""
        roll_back(self._connection)

    async def series(self, host: str) -> tuple[str, ...]:
        """Every KEY of a host, sorted."""
        known = self._found.hosts.by_name.get(host)
        return () if known is None else await asyncio.to_thread(self._keys, sorted(known.schemas))

    async def range(
        self,
        series: Sequence[tuple[str, str]],
        start: float,
        end: float,
        points: int,
        raw: bool = False,
    ) -> Buckets:
        """At most `points` buckets over [start, end): see `monitor.ports.SeriesStore`."""
        names = {host for host, _ in series}
        views = {
            name: host.view()
            for name in names
            if (host := self._found.hosts.by_name.get(name)) is not None
        }
        cancelled = threading.Event()
        try:
            return await asyncio.to_thread(
                self._range, views, tuple(series), start, end, points, raw, cancelled
            )
        finally:
            cancelled.set()

    def _keys(self, schemas: Sequence[int]) -> tuple[str, ...]:
        keys: set[str] = set()
        with self._one:
            for number in schemas:
                try:
                    keys.update(self._found.shapes.shape(self._connection, number).keys)
                except ChunkDamaged:
                    continue
        return tuple(sorted(keys))

    def _range(
        self,
        views: dict[str, HostView],
        series: tuple[tuple[str, str], ...],
        start: float,
        end: float,
        points: int,
        raw: bool,
        cancelled: threading.Event,
    ) -> Buckets:
        with self._one:
            reader = Reader(
                self._connection, self._found.shapes, cancelled.is_set, cache=self._cache
            )
            return ranged(reader, views, series, start, end, points, raw)
