"""Lanes: what a source other than an agent brings of one host, as columns that grow.

An agent names its columns and sends rows.  Everything else (a scrape, remote write, OTLP, a
script's few numbers) sends KEYs with values, some now and others later, so here the columns are
kept for it: a KEY that came stays a column of the lane's frames, absent where it was not sent,
until it has not come for long.  A lane's frames carry its `source`, so that several lanes and an
agent may speak of one host.

All of it is the event loop's.  It knows no format and nobody's rights.
"""

from __future__ import annotations

import contextlib
import math
from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from monitor.core.load import Load, Shed
from monitor.errors import InputError, MonitorError
from monitor.ingest.deriving import Deriver
from monitor.ingest.push import MOST_SERIES
from monitor.ingest.schemas import Room
from monitor.model import Frame, Schema

MOST_LANES = 20_000
"""Lanes in all: two for each of ten thousand hosts."""

MOST_LANES_OF_A_HOST = 32

FORGET_SECONDS = 3_600.0
"""A column that has not come for so long is let go of, when a lane next looks."""

LOOK_SECONDS = 900.0
"""How often a lane looks for such columns."""


class Lane:
    """One source's columns of one host."""

    def __init__(self, host: str, source: str, room: Room, load: Load) -> None:
        self.host = host
        self.source = source
        self.generation = 0
        """Rises when columns were let go of: indices from before hold no more."""
        self.refused_total = 0
        """Series that were not taken, for want of room."""
        self.heard_at = 0.0
        """When a frame of it was last made, in unix seconds."""
        self._room = room
        self._load = load
        self._columns: dict[str, int] = {}
        self._texts: list[str] = []
        self._schema: Schema | None = Schema(())
        self._used_at: NDArray[np.float64] = np.zeros(16)
        self._matters: NDArray[np.bool_] = np.zeros(16, np.bool_)
        self._looked_at = 0.0
        self._deriver = Deriver()

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def schema(self) -> Schema:
        """Its columns now; the same object while they do not change."""
        if self._schema is None:
            self._schema = Schema(tuple(self._columns))
        return self._schema

    def column(self, key: str) -> int:
        """The column of a KEY, which is known to be one; it is new where it was not there.

        Raises `InputError` (``series_limit``) where there is no room for it, and a 429
        (``overloaded``) where new series are shed.
        """
        found = self._columns.get(key)
        if found is not None:
            return found
        try:
            self._require_room()
        except MonitorError:
            self.refused_total += 1
            raise
        found = self._columns[key] = len(self._columns)
        self._texts.append(key)
        self._schema = None
        if found >= len(self._used_at):
            self._used_at = np.concatenate([self._used_at, np.zeros(len(self._used_at))])
            self._matters = np.concatenate([self._matters, np.zeros_like(self._matters)])
        self._matters[found] = self._deriver.wants(key)
        return found

    def _require_room(self) -> None:
        if len(self._columns) >= MOST_SERIES:
            detail = f"a source has at most {MOST_SERIES} series of one host"
            raise InputError(detail, code="series_limit", limit=MOST_SERIES)
        self._load.require(Shed.NEW_SERIES)
        self._room.take(1)

    def columns(self, keys: Iterable[str]) -> NDArray[np.intp]:
        """The columns of several KEYs; raises as `column` does, and those before it are kept."""
        return np.array([self.column(key) for key in keys], np.intp)

    def frame(
        self, at: float, columns: NDArray[np.intp], values: NDArray[np.float64], now: float
    ) -> Frame:
        """A frame of these columns' values at an instant, absent elsewhere; `now` it came.

        Call `look` between frames, never between `column` and `frame`.
        """
        row = np.full(len(self._columns), math.nan)
        row[columns] = values
        self._used_at[columns] = now
        self.heard_at = now
        return Frame(self.host, at, self.schema, array("d", row.tobytes()), self.source)

    def whole(
        self,
        at: float,
        columns: NDArray[np.intp],
        values: NDArray[np.float64],
        now: float,
        hidden: Mapping[str, float] = MappingProxyType({}),
    ) -> Frame:
        """The same with what follows from these values (`deriving`), as far as there is room.

        `hidden` are KEYs that something follows from, and that are not stored.
        """
        matter = self._matters[columns]
        if not (hidden or matter.any()):
            return self.frame(at, columns, values, now)
        texts = [self._texts[column] for column in columns[matter].tolist()]
        known = dict(zip(texts, values[matter].tolist(), strict=True))
        found = self._deriver.derive(at, {**known, **hidden})
        added: dict[int, float] = {}
        for text, value in found.items():
            with contextlib.suppress(MonitorError):
                added[self.column(text)] = value
        columns = np.concatenate([columns, np.fromiter(added, np.intp, len(added))])
        values = np.concatenate([values, np.fromiter(added.values(), np.float64, len(added))])
        return self.frame(at, columns, values, now)

    def look(self, now: float) -> None:
        """Let go of columns that no longer come; a new `generation` where there were any."""
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        used = self._used_at[: len(self._columns)]
        kept = used >= now - FORGET_SECONDS
        if kept.all():
            return
        texts = [text for text, keep in zip(self._columns, kept.tolist(), strict=True) if keep]
        self._room.give_back(len(self._columns) - len(texts))
        matter = self._matters[: len(used)][kept]
        self._columns = {text: column for column, text in enumerate(texts)}
        self._texts = texts
        self._used_at = np.concatenate([used[kept], np.zeros(16)])
        self._matters = np.concatenate([matter, np.zeros(16, np.bool_)])
        self._schema = None
        self.generation += 1

    def close(self) -> None:
        """Give back its room."""
        self._room.give_back(len(self._columns))
        self._columns, self._texts = {}, []
        self._schema = None
        self._deriver = Deriver()
        self.generation += 1


class Lanes:
    """Every lane of every host."""

    def __init__(self, load: Load, room: Room | None = None) -> None:
        self._load = load
        self._room = room or Room()
        self.samples: dict[str, Counter[str]] = {}
        """By protocol, how many samples became what: ``written``, or an error's code."""
        self._lanes: OrderedDict[tuple[str, str], Lane] = OrderedDict()
        self._of_host: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def of(self, host: str, source: str) -> Lane:
        """The lane of a source of a host, which may be new.

        Raises `InputError`: ``source_limit`` where a host has too many.  Where there are too many
        in all, the one that was asked for longest ago goes.
        """
        found = self._lanes.get((host, source))
        if found is not None:
            self._lanes.move_to_end((host, source))
            return found
        if self._of_host.get(host, 0) >= MOST_LANES_OF_A_HOST:
            detail = f"a host has at most {MOST_LANES_OF_A_HOST} sources beside its agent"
            raise InputError(detail, code="source_limit", limit=MOST_LANES_OF_A_HOST)
        self._load.require(Shed.NEW_SERIES)
        if len(self._lanes) >= MOST_LANES:
            self._drop(next(iter(self._lanes)))
        lane = self._lanes[host, source] = Lane(host, source, self._room, self._load)
        self._of_host[host] = self._of_host.get(host, 0) + 1
        return lane

    def forget(self, host: str) -> None:
        """Let go of every lane of a host."""
        for key in [key for key in self._lanes if key[0] == host]:
            self._drop(key)

    def leave(self, host: str, source: str) -> None:
        """Let go of one lane, whose source says no more; nothing where there is none."""
        if (host, source) in self._lanes:
            self._drop((host, source))

    def _drop(self, key: tuple[str, str]) -> None:
        self._lanes.pop(key).close()
        left = self._of_host.get(key[0], 1) - 1
        if left:
            self._of_host[key[0]] = left
        else:
            self._of_host.pop(key[0], None)
